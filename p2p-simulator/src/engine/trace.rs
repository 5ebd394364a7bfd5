//! What happened: a running hash over all of it, and on request the events themselves.

use std::fmt;

use xxhash_rust::xxh3::{Xxh3Default, xxh3_64, xxh3_128};

use super::Nanos;
pub(crate) use watch::{Verdict, Watch};

pub(crate) mod diff;
pub(crate) mod file;
pub(crate) mod json;
mod watch;

/// The 128-bit hash over everything that happened: times, places, kinds and payloads. Same seed and
/// same program, same hash, in every process and build.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct TraceHash(u128);

impl fmt::Display for TraceHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl fmt::Debug for TraceHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TraceHash({self})")
    }
}

/// What kind of thing happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
#[repr(u8)]
pub enum TraceKind {
    /// A packet was sent.
    Sent = 1,
    /// A packet arrived.
    Arrived = 2,
    /// A packet was lost for good: datagrams only.
    Lost = 3,
    /// A packet of a stream met a cut and waits for the repair.
    Held = 4,
    /// A direction was cut.
    Cut = 5,
    /// A direction was repaired.
    Repaired = 6,
    /// A host crashed.
    Crashed = 7,
    /// A host started again.
    Restarted = 8,
    /// An attempt to connect was made to fail.
    ConnectFailed = 9,
    /// A connection was given up after silence.
    TimedOut = 10,
    /// A packet of a stream had been lost, and was sent again.
    Resent = 20,
    /// A host was paused.
    Paused = 11,
    /// A host went on after a pause.
    Resumed = 12,
    /// A fault that changes a direction or a host began.
    FaultBegan = 13,
    /// It ended.
    FaultEnded = 14,
    /// The packets of a connection take another path in this direction.
    PathChanged = 15,
    /// A host came to be. Its name is the payload.
    HostAdded = 240,
    /// A host's endpoint started.
    Bound = 241,
    /// A host's endpoint ended.
    Unbound = 242,
    /// The program noted something: see [`Network::note`](crate::Network::note).
    Noted = 243,
    /// All tasks waited. Only where determinism is checked: then timers are seen too.
    Rested = 244,
    /// The program ended. Only where determinism is checked.
    Ended = 245,
}

impl TraceKind {
    pub(crate) const ALL: [Self; 22] = [
        Self::Sent,
        Self::Arrived,
        Self::Lost,
        Self::Held,
        Self::Cut,
        Self::Repaired,
        Self::Crashed,
        Self::Restarted,
        Self::ConnectFailed,
        Self::TimedOut,
        Self::Resent,
        Self::Paused,
        Self::Resumed,
        Self::FaultBegan,
        Self::FaultEnded,
        Self::PathChanged,
        Self::HostAdded,
        Self::Bound,
        Self::Unbound,
        Self::Noted,
        Self::Rested,
        Self::Ended,
    ];
}

/// What a packet carried, as far as a recording keeps it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct PayloadDigest {
    /// A hash over all of it; 0 in what was not recorded.
    pub hash: u64,
    start: [u8; Self::KEPT],
    kept: u8,
}

impl PayloadDigest {
    /// Enough to recognise a message by.
    const KEPT: usize = 32;

    fn of(payload: &[u8]) -> Self {
        let kept = payload.len().min(Self::KEPT);
        let mut start = [0; Self::KEPT];
        start[..kept].copy_from_slice(&payload[..kept]);
        Self { hash: xxh3_64(payload), start, kept: kept as u8 }
    }

    /// What was written in hexadecimal digits.
    fn read(hash: u64, digits: &str) -> Option<Self> {
        let mut digest = Self { hash, ..Self::default() };
        let kept = digest.start.get_mut(..digits.len() / 2)?;
        for (place, byte) in kept.iter_mut().zip(0..) {
            *place = u8::from_str_radix(digits.get(byte * 2..byte * 2 + 2)?, 16).ok()?;
        }
        digest.kept = u8::try_from(kept.len()).ok()?;
        (digits.len() % 2 == 0).then_some(digest)
    }

    /// Its first bytes.
    pub fn start(&self) -> &[u8] {
        &self.start[..usize::from(self.kept)]
    }
}

/// One thing that happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct TraceEvent {
    /// When, in nanoseconds from the start.
    pub at_ns: u64,
    /// What.
    pub kind: TraceKind,
    /// The number of the host it came from.
    pub from: u32,
    /// The number of the host it went to.
    pub to: u32,
    /// The packet's kind: 0 where there is none.
    pub packet: u8,
    /// Bytes of payload.
    pub bytes: u32,
    /// The number of the connection's slot, where there is one. Slots are used again.
    pub connection: Option<u32>,
    /// The number of the packet's stream, as QUIC counts streams.
    pub stream: Option<u64>,
    /// What else the packet says: 1 at a stream's end, a code, a window's bytes, a direction.
    pub value: u64,
    /// What it carried. Kept in recordings only; the trace hash is over all of it.
    pub payload: PayloadDigest,
}

impl TraceEvent {
    /// Something that is no packet.
    #[cfg(test)]
    pub(crate) fn mark(at: Nanos, kind: TraceKind, from: u32, to: u32) -> Self {
        let payload = PayloadDigest::default();
        Self { payload, ..Happening::mark(at, kind, from, to).event() }
    }

    /// What kind of packet it is about.
    pub const fn packet_name(&self) -> Option<&'static str> {
        packet_name(self.packet)
    }
}

const fn packet_name(packet: u8) -> Option<&'static str> {
    Some(match packet {
        1 => "dial",
        2 => "answer",
        3 => "confirm",
        4 => "data",
        5 => "reset",
        6 => "stop",
        7 => "window",
        8 => "received",
        9 => "stream-ended",
        10 => "datagram",
        11 => "close",
        _ => return None,
    })
}

impl fmt::Display for TraceEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        diff::write_event(f, self, &[])
    }
}

/// How many events before a difference are shown.
pub(crate) const fn watch_context() -> u64 {
    watch::CONTEXT
}

/// One thing that happened, as it enters the hash.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Happening<'a> {
    pub(crate) at: Nanos,
    pub(crate) kind: TraceKind,
    pub(crate) from: u32,
    pub(crate) to: u32,
    pub(crate) packet: u8,
    pub(crate) connection: Option<u32>,
    pub(crate) stream: Option<u64>,
    pub(crate) value: u64,
    /// The number of the packet, counted over all that were sent.
    pub(crate) number: u64,
    pub(crate) payload: &'a [u8],
}

/// Canonical bytes of an event at most.
const BYTES: usize = 48;

/// Words, little endian.
fn bytes<const WORDS: usize, const BYTES: usize>(words: [u64; WORDS]) -> [u8; BYTES] {
    let mut bytes = [0; BYTES];
    for (place, word) in bytes.chunks_exact_mut(8).zip(words) {
        place.copy_from_slice(&word.to_le_bytes());
    }
    bytes
}

impl<'a> Happening<'a> {
    /// Something that is no packet.
    const fn mark(at: Nanos, kind: TraceKind, from: u32, to: u32) -> Self {
        Self {
            at,
            kind,
            from,
            to,
            packet: 0,
            connection: None,
            stream: None,
            value: 0,
            number: 0,
            payload: &[],
        }
    }

    /// Appends the event's canonical bytes: words, as many as its kind has, the kind and the time
    /// first. What has been sent has its number, counted over all, from its place in the order; what
    /// becomes of it later is told by that number. Of the payload, it has the length.
    #[inline]
    fn canonical(&self, to: &mut Vec<u8>) {
        // Flags, so that "none" is not the same as 0.
        let flags = u64::from(self.connection.is_some()) | u64::from(self.stream.is_some()) << 1;
        let what = u64::from(self.kind as u8)
            | u64::from(self.packet) << 8
            | flags << 16
            | (self.payload.len() as u64) << 32;
        if self.is_later() {
            return to.extend_from_slice(&bytes::<3, 24>([what, self.at, self.number]));
        }
        let places = u64::from(self.from) | u64::from(self.to) << 32;
        let connection = u64::from(self.connection.unwrap_or(0));
        let stream = self.stream.unwrap_or(0);
        let words = [what, self.at, places, connection, stream, self.value];
        to.extend_from_slice(&bytes::<6, BYTES>(words));
    }

    /// Whether this became of a packet that has been seen before.
    const fn is_later(&self) -> bool {
        matches!(self.kind, TraceKind::Arrived | TraceKind::Held | TraceKind::Lost)
    }

    /// The payload where it is seen for the first time: in packets that are sent, and in words. Later
    /// events of a packet have its number.
    const fn new_payload(&self) -> &'a [u8] {
        if self.is_later() { &[] } else { self.payload }
    }

    fn event(&self) -> TraceEvent {
        TraceEvent {
            at_ns: self.at,
            kind: self.kind,
            from: self.from,
            to: self.to,
            packet: self.packet,
            bytes: self.payload.len() as u32,
            connection: self.connection,
            stream: self.stream,
            value: self.value,
            payload: PayloadDigest::of(self.payload),
        }
    }
}

/// The running hash, and the first events if they are recorded.
pub(crate) struct Trace {
    hash: Xxh3Default,
    /// What is not yet part of it: many events at once cost less than each by itself.
    fresh: Vec<u8>,
    count: u64,
    recorded: Vec<TraceEvent>,
    record: usize,
    /// Where two runs are compared.
    watch: Option<Box<Watch>>,
}

/// Bytes that are hashed at once.
const FRESH: usize = 4096;
/// Longer payloads are part of the hash by their own hash of 128 bits.
const MAX_PLAIN: usize = 240;

impl Trace {
    /// Keeps the first `record` events besides the hash.
    pub(crate) fn new(record: usize) -> Self {
        Self {
            hash: Xxh3Default::new(),
            fresh: Vec::with_capacity(FRESH),
            count: 0,
            recorded: Vec::new(),
            record,
            watch: None,
        }
    }

    /// Watches what follows closely.
    pub(crate) fn set_watch(&mut self, watch: Watch) {
        self.watch = Some(Box::new(watch));
    }

    pub(crate) fn take_watch(&mut self) -> Option<Watch> {
        self.watch.take().map(|watch| *watch)
    }

    #[inline]
    pub(crate) fn happened(&mut self, what: &Happening<'_>) {
        if self.fresh.len() + BYTES + MAX_PLAIN > FRESH {
            self.hash.update(&self.fresh);
            self.fresh.clear();
        }
        let begin = self.fresh.len();
        what.canonical(&mut self.fresh);
        let end = self.fresh.len();
        let payload = what.new_payload();
        if payload.len() <= MAX_PLAIN {
            self.fresh.extend_from_slice(payload);
        } else {
            self.fresh.extend_from_slice(&xxh3_128(payload).to_le_bytes());
        }
        self.count += 1;
        if self.recorded.len() < self.record {
            self.recorded.push(what.event());
        }
        if let Some(watch) = &mut self.watch {
            watch.happened(what, &self.fresh[begin..end]);
        }
    }

    /// An event that is no packet.
    pub(crate) fn mark(&mut self, at: Nanos, kind: TraceKind, from: u32, to: u32) {
        self.happened(&Happening::mark(at, kind, from, to));
    }

    /// An event that is no packet but has words.
    pub(crate) fn words(&mut self, at: Nanos, kind: TraceKind, host: u32, words: &str) {
        let payload = words.as_bytes();
        self.happened(&Happening { payload, ..Happening::mark(at, kind, host, host) });
    }

    /// An event that only a comparison of runs sees, for it is none of the network's.
    pub(crate) fn watched(&mut self, at: Nanos, kind: TraceKind) {
        if let Some(watch) = self.watch.as_mut().filter(|watch| watch.compares()) {
            let what = Happening::mark(at, kind, 0, 0);
            let mut canonical = Vec::with_capacity(BYTES);
            what.canonical(&mut canonical);
            watch.happened(&what, &canonical);
        }
    }

    pub(crate) fn hash(&self) -> TraceHash {
        let mut hash = self.hash.clone();
        hash.update(&self.fresh);
        TraceHash(hash.digest128())
    }

    pub(crate) const fn count(&self) -> u64 {
        self.count
    }

    pub(crate) fn recorded(&self) -> &[TraceEvent] {
        &self.recorded
    }
}

impl fmt::Debug for Trace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Trace").field("count", &self.count).field("hash", &self.hash()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hash(payload: &[u8]) -> TraceHash {
        let mut trace = Trace::new(0);
        let mark = Happening::mark(1, TraceKind::Sent, 0, 1);
        trace.happened(&Happening { packet: 4, payload, ..mark });
        trace.hash()
    }

    #[test]
    fn the_payload_is_part_of_the_hash() {
        for size in [1, MAX_PLAIN, MAX_PLAIN + 1, 100_000] {
            let one = vec![7; size];
            let mut other = one.clone();
            other[size - 1] = 8;
            assert_ne!(hash(&one), hash(&other), "{size}");
            assert_eq!(hash(&one), hash(&one.clone()), "{size}");
        }
    }

    #[test]
    fn looking_at_the_hash_does_not_change_it() {
        let run = |looks: bool| {
            let mut trace = Trace::new(0);
            for number in 0..1000 {
                trace.mark(number, TraceKind::Cut, 1, 2);
                if looks {
                    trace.hash();
                }
            }
            trace.hash()
        };
        assert_eq!(run(true), run(false));
    }

    #[test]
    fn the_hash_is_the_same_on_every_machine() {
        let mut trace = Trace::new(1);
        trace.mark(5, TraceKind::Cut, 1, 2);
        assert_eq!(trace.hash().to_string(), "57d37d9d470ebea95cb52b29afabf853");
        assert_eq!(trace.recorded().len(), 1);
    }
}
