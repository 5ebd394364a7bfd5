//! A peer as cheap as can be, so that the service is what is measured.

use p2p_benches::Result;
use p2p_coordinator::security::{Claims, Kind, Role, Tokens};
use p2p_transport::coordinator::api::Nonce;
use p2p_transport::coordinator::api::websocket::{Decoder, Message, Opcode, Role as Side, encode};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::service::{EPOCH, key, session_of};

/// Far more than any message has.
const MAX: usize = 1 << 20;

pub(crate) struct Peer {
    stream: TcpStream,
    decoder: Decoder,
    out: Vec<u8>,
}

pub(crate) fn name(number: usize) -> String {
    format!("peer-{number}")
}

/// The access token of a peer.
pub(crate) fn token(tokens: &Tokens, number: usize) -> Result<String> {
    Ok(tokens.sign(&Claims {
        kind: Kind::Access,
        id: Nonce([1; 16]),
        family: Nonce([2; 16]),
        role: Role::Player,
        player: name(number).parse()?,
        user: None,
        host: None,
        peer: None,
        issued_at: EPOCH,
        expires_at: tokens.expiry(Kind::Access, EPOCH),
    }))
}

pub(crate) fn tokens() -> Tokens {
    Tokens::new(p2p_coordinator::security::TokenSettings::default(), &key())
}

impl Peer {
    /// Connects, joins its session, and hears that it has.
    pub(crate) async fn connect(at: &str, tokens: &Tokens, number: usize) -> Result<Self> {
        let mut stream = TcpStream::connect(at).await?;
        stream.set_nodelay(true)?;
        let (name, token, session) = (name(number), token(tokens, number)?, session_of(number));
        let request = format!(
            "GET /api/v1/signaling/ws?peer_id={name}&token={token}&session_id={session} HTTP/1.1\r\n\
             host: {at}\r\nupgrade: websocket\r\nconnection: Upgrade\r\n\
             sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        );
        stream.write_all(request.as_bytes()).await?;
        let mut head = Vec::new();
        while !head.windows(4).any(|end| end == b"\r\n\r\n") {
            if stream.read_buf(&mut head).await? == 0 {
                return Err("the service has closed the connection".into());
            }
        }
        if !head.starts_with(b"HTTP/1.1 101") {
            return Err(String::from_utf8_lossy(&head).into_owned().into());
        }
        let end = head.windows(4).position(|end| end == b"\r\n\r\n").unwrap_or_default() + 4;
        let mut decoder = Decoder::new(Side::Server, MAX);
        decoder.feed(&head[end..]);
        let mut peer = Self { stream, decoder, out: Vec::new() };
        let mut has_joined = false;
        while !has_joined {
            peer.hear(|text, _| has_joined |= text.contains("session-joined")).await?;
        }
        Ok(peer)
    }

    /// Waits for messages; what `hear` makes of each text it may answer.
    pub(crate) async fn hear(&mut self, mut hear: impl FnMut(&str, &mut Vec<u8>)) -> Result<()> {
        let mut heard = false;
        while let Some(message) = self.decoder.decode().map_err(|error| error.to_string())? {
            match message {
                Message::Text(text) => {
                    heard = true;
                    hear(text, &mut self.out);
                }
                Message::Ping(payload) => {
                    encode(&mut self.out, Opcode::Pong, payload, Some(MASK));
                }
                Message::Close(close) => return Err(format!("closed: {close:?}").into()),
                _ => {}
            }
        }
        self.flush().await?;
        if !heard {
            let mut space = [0; 16 << 10];
            match self.stream.read(&mut space).await? {
                0 => return Err("the service has closed the connection".into()),
                length => self.decoder.feed(&space[..length]),
            }
        }
        Ok(())
    }

    pub(crate) fn say(&mut self, text: &str) {
        say(&mut self.out, text);
    }

    pub(crate) async fn flush(&mut self) -> Result<()> {
        if !self.out.is_empty() {
            self.stream.write_all(&self.out).await?;
            self.out.clear();
        }
        Ok(())
    }
}

/// Any mask does.
const MASK: [u8; 4] = [7, 1, 9, 5];

pub(crate) fn say(out: &mut Vec<u8>, text: &str) {
    encode(out, Opcode::Text, text.as_bytes(), Some(MASK));
}
