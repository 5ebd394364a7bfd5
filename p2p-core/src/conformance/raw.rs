//! A peer that is none of ours: hellos, frames and preambles written byte by byte, on the streams of a
//! bare link. What it writes is fixed here and nowhere else, so that it stays what it is when the
//! engine changes.

use std::future::Future;

use bytes::{BufMut, Bytes, BytesMut};

use crate::stream::{RecvStream, SendStream};
use crate::transport::{Link, LinkClosed};

/// All that version 2 can do: datagrams, lanes, compression, resuming, probes.
pub const EVERYTHING: u64 = 0b1_1111;
/// The capability of a second link.
pub const STANDBY_LINK: u64 = 1 << 6;
/// The capability of several lanes.
pub const LANES: u64 = 1 << 1;

/// The first byte of the normal lane's stream.
pub const NORMAL: u8 = 0x10;
/// The first byte of the bulk lane's stream.
pub const BULK: u8 = 0x13;
/// The first byte of a program's stream.
pub const PROGRAM: u8 = 0x20;
/// The first byte of a probe.
pub const PROBE: u8 = 0x30;
/// The first byte of a datagram that travels on a stream.
pub const DATAGRAM: u8 = 0x40;

/// The kind of a control frame that says that this side lets the other in.
pub const ADMITTED: u8 = 0x01;
/// The kind of a control frame that says how much the program has taken.
pub const TAKEN: u8 = 0x02;
/// The kind of a control frame that says how far the engine has read.
pub const READ: u8 = 0x03;
/// The kind of a control frame that announces the name of a second link.
pub const STANDBY: u8 = 0x04;
/// The kind of a control frame that says that the second link is awaited.
pub const AWAITED: u8 = 0x05;
/// The kind of a control frame that says how far the second link is relied on.
pub const RELY: u8 = 0x06;

/// The number of a connection, that of an attempt to come back to it, and where its lanes stand.
type Claim = (u64, u64, Vec<(u64, u64)>);

/// What a hello says.
#[derive(Clone, Debug)]
#[expect(clippy::exhaustive_structs, reason = "who writes a hello by hand names all of it")]
pub struct Words {
    /// The oldest and the newest version spoken.
    pub versions: (u16, u16),
    /// The bits of what this side can do.
    pub capabilities: u64,
    /// What is wanted, or served.
    pub protocols: Vec<&'static str>,
    /// What is shown.
    pub credential: Vec<u8>,
    /// The largest message taken, in bytes.
    pub max_message_size: u64,
    /// How many bytes may wait in a lane.
    pub receive_window: u64,
    /// Which connection it is about; version 1 says nothing of that.
    pub claim: Option<Claim>,
    /// The link stands by for another of the same connection.
    pub stands_by: bool,
}

impl Words {
    /// As version 2 says it, for this protocol.
    pub fn new(protocol: &'static str) -> Self {
        Self {
            versions: (1, 2),
            capabilities: EVERYTHING,
            protocols: vec![protocol],
            credential: Vec::new(),
            max_message_size: 1 << 20,
            receive_window: 1 << 20,
            claim: Some((1, 0, Vec::new())),
            stands_by: false,
        }
    }

    /// As version 1 said it.
    pub fn old(protocol: &'static str) -> Self {
        Self { versions: (1, 1), capabilities: 1, claim: None, ..Self::new(protocol) }
    }

    /// The bytes, as the first of a control stream.
    pub fn encode(&self) -> Vec<u8> {
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
            if self.stands_by {
                out.push(1);
            }
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
pub fn length(value: usize) -> Vec<u8> {
    match value {
        0..0x40 => vec![value as u8],
        0x40..0x4000 => (value as u16 | 0x4000).to_be_bytes().to_vec(),
        _ => (value as u32 | 0x8000_0000).to_be_bytes().to_vec(),
    }
}

/// A frame without a mark: of a control stream, or of a lane of version 1.
pub fn frame(payload: &[u8]) -> Vec<u8> {
    [length(payload.len()), payload.to_vec()].concat()
}

/// A frame of a lane where compression was agreed.
pub fn marked(payload: &[u8], packed: bool) -> Vec<u8> {
    [length(payload.len() << 1 | usize::from(packed)), payload.to_vec()].concat()
}

/// A control frame with a count for a lane.
pub fn count(kind: u8, total: u64, lane: u8) -> Vec<u8> {
    let mut payload = vec![kind];
    payload.extend(total.to_be_bytes());
    if lane != NORMAL {
        payload.push(lane - NORMAL);
    }
    frame(&payload)
}

/// The first bytes of a lane or a probe.
pub fn preamble(kind: u8, number: u64) -> Vec<u8> {
    [vec![kind], number.to_be_bytes().to_vec()].concat()
}

/// A link to a peer, without an engine on it. Every [`Link`] is one; whoever wants nothing of a
/// backend's code between its attacks and the network writes one on what is below.
pub trait Wire: Send + Sync + 'static {
    /// The writing half of a stream.
    type Out: Send + Sync + 'static;
    /// The reading half of a stream.
    type In: Send + Sync + 'static;

    /// Opens a stream in one direction, waiting while the peer allows no more; `None` once the link
    /// has ended.
    fn open(&self) -> impl Future<Output = Option<Self::Out>> + Send;
    /// Opens a stream in both directions.
    fn open_both(&self) -> impl Future<Output = Option<(Self::Out, Self::In)>> + Send;
    /// The next stream in one direction from the peer.
    fn accept(&self) -> impl Future<Output = Option<Self::In>> + Send;
    /// Writes all of it; `false` if the peer wants no more. Given up, a part may have been written.
    fn write(out: &mut Self::Out, data: &mut Bytes) -> impl Future<Output = bool> + Send;
    /// Ends a stream properly.
    fn finish(out: &mut Self::Out);
    /// Gives a stream up.
    fn reset(out: &mut Self::Out);
    /// The next bytes, or `None` if there are no more.
    fn read(from: &mut Self::In, max: usize) -> impl Future<Output = Option<Bytes>> + Send;
    /// Wants no more of a stream.
    fn stop(from: &mut Self::In);
    /// Sends a datagram, if there is room for it.
    fn datagram(&self, data: Bytes);
    /// How the link ended, if it has.
    fn end(&self) -> Option<LinkClosed>;
    /// Waits for the end of the link.
    fn ended(&self) -> impl Future<Output = LinkClosed> + Send;
}

impl<L: Link> Wire for L {
    type Out = L::SendStream;
    type In = L::RecvStream;

    async fn open(&self) -> Option<L::SendStream> {
        self.open_uni().await.ok()
    }

    async fn open_both(&self) -> Option<(L::SendStream, L::RecvStream)> {
        self.open_bi().await.ok()
    }

    async fn accept(&self) -> Option<L::RecvStream> {
        self.accept_uni().await.ok()
    }

    async fn write(out: &mut L::SendStream, data: &mut Bytes) -> bool {
        while !data.is_empty() {
            if SendStream::write(out, data).await.is_err() {
                return false;
            }
        }
        true
    }

    fn finish(out: &mut L::SendStream) {
        let _ = SendStream::finish(out);
    }

    fn reset(out: &mut L::SendStream) {
        SendStream::reset(out, 3);
    }

    async fn read(from: &mut L::RecvStream, max: usize) -> Option<Bytes> {
        from.read_chunk(max).await.ok().flatten()
    }

    fn stop(from: &mut L::RecvStream) {
        RecvStream::stop(from, 3);
    }

    fn datagram(&self, data: Bytes) {
        let _ = self.send_datagram(data);
    }

    fn end(&self) -> Option<LinkClosed> {
        self.close_reason()
    }

    async fn ended(&self) -> LinkClosed {
        self.closed().await
    }
}

/// One end of a link, with no engine on it, after its first words.
#[expect(missing_debug_implementations, reason = "a wire need not have one")]
#[expect(clippy::exhaustive_structs, reason = "a pair of halves")]
pub struct Raw<W: Wire> {
    /// The link.
    pub wire: W,
    /// This side's control stream.
    pub control: W::Out,
}

impl<W: Wire> Raw<W> {
    /// Says these bytes first, on a control stream; `None` if the link has ended.
    pub async fn greet(wire: W, hello: &[u8]) -> Option<Self> {
        let mut control = wire.open().await?;
        // The other side may have closed in the middle of it.
        W::write(&mut control, &mut Bytes::copy_from_slice(hello)).await;
        Some(Self { wire, control })
    }

    /// Opens a stream with these bytes; `None` if the link has ended.
    pub async fn open(&self, bytes: &[u8]) -> Option<W::Out> {
        let mut stream = self.wire.open().await?;
        W::write(&mut stream, &mut Bytes::copy_from_slice(bytes)).await.then_some(stream)
    }

    /// Writes further bytes on the control stream.
    pub async fn say(&mut self, bytes: &[u8]) {
        W::write(&mut self.control, &mut Bytes::copy_from_slice(bytes)).await;
    }
}

/// Reads so many bytes, or fewer if there are no more.
pub async fn read<W: Wire>(from: &mut W::In, bytes: usize) -> Vec<u8> {
    let mut all = BytesMut::new();
    while all.len() < bytes {
        let Some(chunk) = W::read(from, bytes - all.len()).await else { break };
        all.put(chunk);
    }
    all.to_vec()
}
