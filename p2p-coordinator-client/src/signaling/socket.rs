//! A WebSocket on anything that reads and writes.

use std::io;

use data_encoding::BASE64;
use p2p_coordinator_api::websocket::{
    Decoder, Message, Opcode, Role, accept_key, encode, encode_close,
};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

/// What a WebSocket can be on.
pub(super) trait Io: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Io for T {}

/// The most bytes of a message: far more than a coordinator passes on.
const MAX_MESSAGE: usize = 4 << 20;

/// The most bytes of the handshake's answer.
const MAX_HEAD: usize = 16 << 10;

/// Where masks and keys come from.
pub(super) type Draw = Box<dyn FnMut() -> u64 + Send>;

pub(super) struct Socket {
    io: Box<dyn Io>,
    decoder: Decoder,
    draw: Draw,
}

/// What comes.
pub(super) enum Heard {
    Text(String),
    /// A sign of life.
    Pong,
    /// The other side has ended it.
    Close(Option<(u16, String)>),
}

impl Socket {
    /// Asks for an upgrade.
    pub(super) async fn open(
        mut io: Box<dyn Io>,
        host: &str,
        target: &str,
        mut draw: Draw,
    ) -> io::Result<Self> {
        let key = BASE64.encode(&[draw().to_be_bytes(), draw().to_be_bytes()].concat());
        let request = format!(
            "GET {target} HTTP/1.1\r\nhost: {host}\r\nupgrade: websocket\r\nconnection: Upgrade\r\n\
             sec-websocket-version: 13\r\nsec-websocket-key: {key}\r\n\r\n"
        );
        io.write_all(request.as_bytes()).await?;
        io.flush().await?;
        let mut head = Vec::new();
        let end = loop {
            if let Some(end) = head.windows(4).position(|end| end == b"\r\n\r\n") {
                break end + 4;
            }
            if head.len() > MAX_HEAD || io.read_buf(&mut head).await? == 0 {
                return Err(wrong("the handshake has no answer"));
            }
        };
        let text = String::from_utf8_lossy(&head[..end]);
        let mut lines = text.split("\r\n");
        let status = lines.next().unwrap_or_default();
        if status.split(' ').nth(1) != Some("101") {
            return Err(wrong(&format!("no WebSocket there: {status}")));
        }
        let wanted = accept_key(&key);
        let agrees = lines.filter_map(|line| line.split_once(':')).any(|(name, value)| {
            name.eq_ignore_ascii_case("sec-websocket-accept") && value.trim() == wanted
        });
        if !agrees {
            return Err(wrong("the handshake's answer is not to our question"));
        }
        let mut decoder = Decoder::new(Role::Server, MAX_MESSAGE);
        decoder.feed(&head[end..]);
        Ok(Self { io, decoder, draw })
    }

    pub(super) async fn say(&mut self, text: &str) -> io::Result<()> {
        self.write(Opcode::Text, text.as_bytes()).await
    }

    /// What comes next; pings are answered on the way. Cancel safe, but for a pong that may be cut off:
    /// the socket is of no use then.
    pub(super) async fn hear(&mut self) -> io::Result<Heard> {
        loop {
            let ping = match self.decoder.decode().map_err(|error| wrong(&error.to_string()))? {
                None => None,
                Some(Message::Text(text)) => return Ok(Heard::Text(text.to_owned())),
                Some(Message::Binary(_)) => continue,
                Some(Message::Pong(_)) => return Ok(Heard::Pong),
                Some(Message::Close(close)) => {
                    return Ok(Heard::Close(close.map(|(code, why)| (code, why.to_owned()))));
                }
                Some(Message::Ping(payload)) => Some(payload.to_vec()),
            };
            if let Some(payload) = ping {
                self.write(Opcode::Pong, &payload).await?;
                continue;
            }
            let mut space = [0; 4096];
            match self.io.read(&mut space).await? {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                length => self.decoder.feed(&space[..length]),
            }
        }
    }

    /// Says good-bye.
    pub(super) async fn close(&mut self, code: u16) {
        let mut out = Vec::new();
        let mask = self.mask();
        encode_close(&mut out, code, "", Some(mask));
        // Who has gone needs no good-bye.
        let _ = self.io.write_all(&out).await;
        let _ = self.io.shutdown().await;
    }

    async fn write(&mut self, opcode: Opcode, payload: &[u8]) -> io::Result<()> {
        let mut out = Vec::with_capacity(payload.len() + 14);
        let mask = self.mask();
        encode(&mut out, opcode, payload, Some(mask));
        self.io.write_all(&out).await?;
        self.io.flush().await
    }

    fn mask(&mut self) -> [u8; 4] {
        let [a, b, c, d, ..] = (self.draw)().to_be_bytes();
        [a, b, c, d]
    }
}

fn wrong(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what.to_owned())
}
