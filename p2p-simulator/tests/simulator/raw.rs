//! A peer that is none of ours: hellos, frames and preambles written byte by byte, on the streams of
//! a bare transport. What it writes is fixed here and nowhere else, so that it stays what it is when
//! the engine changes.

use bytes::{BufMut, Bytes, BytesMut};
use p2p_core::transport::{Incoming, Link, LinkClosed, Transport};
use p2p_core::{PeerAddr, RecvStream, SendStream, StreamError};

/// All that version 2 can do: datagrams, lanes, compression, resuming, probes.
pub(crate) const EVERYTHING: u64 = 0b1_1111;
pub(crate) const LANES: u64 = 1 << 1;

/// The first bytes of streams.
pub(crate) const NORMAL: u8 = 0x10;
pub(crate) const BULK: u8 = 0x13;
pub(crate) const PROBE: u8 = 0x30;

/// The kinds of control frames.
pub(crate) const TAKEN: u8 = 0x02;
pub(crate) const READ: u8 = 0x03;

/// The number of a connection, that of an attempt to come back to it, and where its lanes stand.
type Claim = (u64, u64, Vec<(u64, u64)>);

/// What a hello says.
#[derive(Clone, Debug)]
pub(crate) struct Words {
    pub(crate) versions: (u16, u16),
    pub(crate) capabilities: u64,
    pub(crate) protocols: Vec<&'static str>,
    pub(crate) credential: Vec<u8>,
    pub(crate) max_message_size: u64,
    pub(crate) receive_window: u64,
    pub(crate) claim: Option<Claim>,
}

impl Words {
    pub(crate) fn new() -> Self {
        Self {
            versions: (1, 2),
            capabilities: EVERYTHING,
            protocols: vec!["test/1"],
            credential: Vec::new(),
            max_message_size: 1 << 20,
            receive_window: 1 << 20,
            claim: Some((1, 0, Vec::new())),
        }
    }

    /// As version 1 said it.
    pub(crate) fn old() -> Self {
        Self { versions: (1, 1), capabilities: 1, claim: None, ..Self::new() }
    }

    /// The bytes, as the first of a control stream.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        varint(&mut out, self.versions.0.into());
        varint(&mut out, self.versions.1.into());
        varint(&mut out, self.capabilities);
        varint(&mut out, self.protocols.len() as u64);
        for name in &self.protocols {
            varint(&mut out, name.len() as u64);
            out.extend(name.as_bytes());
        }
        varint(&mut out, self.credential.len() as u64);
        out.extend(&self.credential);
        varint(&mut out, self.max_message_size);
        varint(&mut out, self.receive_window);
        if let Some((number, attempt, standing)) = &self.claim {
            varint(&mut out, *number);
            varint(&mut out, *attempt);
            varint(&mut out, standing.len() as u64);
            for (end, taken) in standing {
                varint(&mut out, *end);
                varint(&mut out, *taken);
            }
            // Not to be taken for a new one.
            out.push(0);
        }
        let mut stream = vec![0x00];
        stream.extend(frame(&out));
        stream
    }
}

/// An integer as postcard writes it: seven bits in each byte, the lowest first.
fn varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// A length as QUIC writes it.
pub(crate) fn length(value: usize) -> Vec<u8> {
    match value {
        0..0x40 => vec![value as u8],
        0x40..0x4000 => (value as u16 | 0x4000).to_be_bytes().to_vec(),
        _ => (value as u32 | 0x8000_0000).to_be_bytes().to_vec(),
    }
}

/// A frame without a mark: of a control stream, or of a lane of version 1.
pub(crate) fn frame(payload: &[u8]) -> Vec<u8> {
    [length(payload.len()), payload.to_vec()].concat()
}

/// A frame of a lane where compression was agreed.
pub(crate) fn marked(payload: &[u8], packed: bool) -> Vec<u8> {
    [length(payload.len() << 1 | usize::from(packed)), payload.to_vec()].concat()
}

/// A control frame with a count for a lane.
pub(crate) fn count(kind: u8, total: u64, lane: u8) -> Vec<u8> {
    let mut payload = vec![kind];
    payload.extend(total.to_be_bytes());
    if lane != NORMAL {
        payload.push(lane - NORMAL);
    }
    frame(&payload)
}

/// The first bytes of a lane or a probe.
pub(crate) fn preamble(kind: u8, number: u64) -> Vec<u8> {
    [vec![kind], number.to_be_bytes().to_vec()].concat()
}

/// One end of a link, with no engine on it.
pub(crate) struct Raw<L: Link> {
    pub(crate) link: L,
    pub(crate) control: L::SendStream,
}

impl<L: Link> Raw<L> {
    /// Dials, and says these bytes first on the control stream.
    pub(crate) async fn dial<T>(transport: &T, peer: &PeerAddr, hello: &[u8]) -> Self
    where
        T: Transport<Link = L>,
    {
        let link = transport.dial(peer).await.expect("a link");
        let mut control = link.open_uni().await.expect("a stream");
        // The other side may have closed in the middle of it.
        let _ = control.write_all(Bytes::copy_from_slice(hello)).await;
        Self { link, control }
    }

    /// Accepts the next link, and says these bytes first on the control stream.
    pub(crate) async fn accept<T>(transport: &T, hello: &[u8]) -> Self
    where
        T: Transport<Link = L>,
    {
        let mut incoming = transport.accept().await.expect("somebody dials");
        let mut control = incoming.open_early().await.expect("a stream");
        control.write_all(Bytes::copy_from_slice(hello)).await.expect("written");
        Self { link: incoming.authenticated().await.expect("a link"), control }
    }

    /// Opens a stream with these bytes; the link may have closed.
    pub(crate) async fn open(&self, bytes: &[u8]) -> Option<L::SendStream> {
        let mut stream = self.link.open_uni().await.ok()?;
        stream.write_all(Bytes::copy_from_slice(bytes)).await.ok()?;
        Some(stream)
    }

    pub(crate) async fn say(&mut self, bytes: &[u8]) {
        let _ = self.control.write_all(Bytes::copy_from_slice(bytes)).await;
    }

    /// How the other side ended the link: its code and its words.
    pub(crate) async fn verdict(&self) -> (u64, String) {
        match self.link.closed().await {
            LinkClosed::Peer { code, message } => (code, message),
            other => panic!("it ended so: {other:?}"),
        }
    }
}

/// Reads so many bytes.
pub(crate) async fn read<R: RecvStream>(
    stream: &mut R,
    bytes: usize,
) -> Result<Vec<u8>, StreamError> {
    let mut all = BytesMut::new();
    while all.len() < bytes {
        let Some(chunk) = stream.read_chunk(bytes - all.len()).await? else { break };
        all.put(chunk);
    }
    Ok(all.to_vec())
}
