//! What happened: a running hash over all of it, and on request the events themselves.

use std::fmt;

use xxhash_rust::xxh3::Xxh3Default;

use super::Nanos;

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
}

impl fmt::Display for TraceEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (at, kind, bytes) = (self.at_ns as f64 / 1e6, self.kind, self.bytes);
        write!(f, "{at:.6} ms {kind:?} {}->{} {} {bytes} B", self.from, self.to, self.packet)
    }
}

/// The running hash, and the first events if they are recorded.
pub(crate) struct Trace {
    hash: Xxh3Default,
    count: u64,
    recorded: Vec<TraceEvent>,
    record: usize,
}

impl Trace {
    /// Keeps the first `record` events besides the hash.
    pub(crate) fn new(record: usize) -> Self {
        Self { hash: Xxh3Default::new(), count: 0, recorded: Vec::new(), record }
    }

    pub(crate) fn event(&mut self, event: TraceEvent, payload: &[u8]) {
        // Canonical bytes: fixed width, little endian, then the payload, whose length is among them.
        let mut bytes = [0; 22];
        bytes[..8].copy_from_slice(&event.at_ns.to_le_bytes());
        bytes[8..12].copy_from_slice(&event.from.to_le_bytes());
        bytes[12..16].copy_from_slice(&event.to.to_le_bytes());
        bytes[16] = event.kind as u8;
        bytes[17] = event.packet;
        bytes[18..].copy_from_slice(&event.bytes.to_le_bytes());
        self.hash.update(&bytes);
        self.hash.update(payload);
        self.count += 1;
        if self.recorded.len() < self.record {
            self.recorded.push(event);
        }
    }

    /// An event that is no packet.
    pub(crate) fn mark(&mut self, at: Nanos, kind: TraceKind, from: u32, to: u32) {
        self.event(TraceEvent { at_ns: at, kind, from, to, packet: 0, bytes: 0 }, &[]);
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
            let kind = TraceKind::Arrived;
            let bytes = payload.len() as u32;
            trace.event(TraceEvent { at_ns: 1, kind, from: 0, to: 1, packet: 2, bytes }, payload);
            trace.hash()
        };
        assert_ne!(hash(b"a"), hash(b"b"));
        assert_eq!(hash(b"a"), hash(b"a"));
    }

    #[test]
    fn the_hash_is_the_same_on_every_machine() {
        let mut trace = Trace::new(1);
        trace.mark(5, TraceKind::Cut, 1, 2);
        assert_eq!(trace.hash().to_string(), "1d938935aa16594d241e5b40e1d396e6");
        assert_eq!(trace.recorded().len(), 1);
    }
}
