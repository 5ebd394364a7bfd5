//! What happened: a running hash over all of it, and on request the events themselves.

use std::fmt;

use xxhash_rust::xxh3::{Xxh3Default, xxh3_64};

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
    pub(crate) const ALL: [Self; 21] = [
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
    pub(crate) const fn mark(at: Nanos, kind: TraceKind, from: u32, to: u32) -> Self {
        Self {
            at_ns: at,
            kind,
            from,
            to,
            packet: 0,
            bytes: 0,
            connection: None,
            stream: None,
            value: 0,
            payload: PayloadDigest { hash: 0, start: [0; PayloadDigest::KEPT], kept: 0 },
        }
    }

    /// What kind of packet it is about.
    pub const fn packet_name(&self) -> Option<&'static str> {
        packet_name(self.packet)
    }

    /// Canonical bytes: fixed width, little endian. The payload follows them; its length is among
    /// them.
    fn canonical(&self) -> [u8; 43] {
        let mut bytes = [0; 43];
        bytes[..8].copy_from_slice(&self.at_ns.to_le_bytes());
        bytes[8..12].copy_from_slice(&self.from.to_le_bytes());
        bytes[12..16].copy_from_slice(&self.to.to_le_bytes());
        bytes[16] = self.kind as u8;
        bytes[17] = self.packet;
        bytes[18..22].copy_from_slice(&self.bytes.to_le_bytes());
        // One flag byte, so that "none" is not the same as 0.
        bytes[22] = u8::from(self.connection.is_some()) | u8::from(self.stream.is_some()) << 1;
        bytes[23..27].copy_from_slice(&self.connection.unwrap_or(0).to_le_bytes());
        bytes[27..35].copy_from_slice(&self.stream.unwrap_or(0).to_le_bytes());
        bytes[35..].copy_from_slice(&self.value.to_le_bytes());
        bytes
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

/// The running hash, and the first events if they are recorded.
pub(crate) struct Trace {
    hash: Xxh3Default,
    count: u64,
    recorded: Vec<TraceEvent>,
    record: usize,
    /// Where two runs are compared.
    watch: Option<Box<Watch>>,
}

impl Trace {
    /// Keeps the first `record` events besides the hash.
    pub(crate) fn new(record: usize) -> Self {
        Self { hash: Xxh3Default::new(), count: 0, recorded: Vec::new(), record, watch: None }
    }

    /// Watches what follows closely.
    pub(crate) fn set_watch(&mut self, watch: Watch) {
        self.watch = Some(Box::new(watch));
    }

    pub(crate) fn take_watch(&mut self) -> Option<Watch> {
        self.watch.take().map(|watch| *watch)
    }

    pub(crate) fn event(&mut self, event: TraceEvent, payload: &[u8]) {
        let bytes = event.canonical();
        self.hash.update(&bytes);
        self.hash.update(payload);
        self.count += 1;
        if self.recorded.len() < self.record {
            self.recorded.push(TraceEvent { payload: PayloadDigest::of(payload), ..event });
        }
        if let Some(watch) = &mut self.watch {
            watch.event(event, &bytes, payload);
        }
    }

    /// An event that is no packet.
    pub(crate) fn mark(&mut self, at: Nanos, kind: TraceKind, from: u32, to: u32) {
        self.event(TraceEvent::mark(at, kind, from, to), &[]);
    }

    /// An event that is no packet but has words.
    pub(crate) fn words(&mut self, at: Nanos, kind: TraceKind, host: u32, words: &str) {
        let bytes = words.len() as u32;
        let event = TraceEvent { bytes, ..TraceEvent::mark(at, kind, host, host) };
        self.event(event, words.as_bytes());
    }

    /// An event that only a comparison of runs sees, for it is none of the network's.
    pub(crate) fn watched(&mut self, at: Nanos, kind: TraceKind) {
        if let Some(watch) = self.watch.as_mut().filter(|watch| watch.compares()) {
            let event = TraceEvent::mark(at, kind, 0, 0);
            watch.event(event, &event.canonical(), &[]);
        }
    }

    pub(crate) fn hash(&self) -> TraceHash {
        TraceHash(self.hash.digest128())
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

    #[test]
    fn the_payload_is_part_of_the_hash() {
        let hash = |payload: &[u8]| {
            let mut trace = Trace::new(0);
            let bytes = payload.len() as u32;
            let mark = TraceEvent::mark(1, TraceKind::Arrived, 0, 1);
            trace.event(TraceEvent { packet: 4, bytes, ..mark }, payload);
            trace.hash()
        };
        assert_ne!(hash(b"a"), hash(b"b"));
        assert_eq!(hash(b"a"), hash(b"a"));
    }

    #[test]
    fn the_hash_is_the_same_on_every_machine() {
        let mut trace = Trace::new(1);
        trace.mark(5, TraceKind::Cut, 1, 2);
        assert_eq!(trace.hash().to_string(), "3a23fc79f25cf94ca97096e5bb6cbce4");
        assert_eq!(trace.recorded().len(), 1);
    }
}
