//! [`Bottleneck`]: when a packet comes out of a slow link. Pure: it is told the time.

use std::time::Duration;

/// What a packet has on the wire besides its UDP payload: headers of UDP and IPv4.
const HEADERS: usize = 28;

/// One direction of a link.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Profile {
    /// From its far end on.
    pub(crate) delay: Duration,
    /// Bits per second; `None` for no bound.
    pub(crate) rate: Option<u64>,
    /// How long the queue before it may become; a packet that would make it longer is dropped.
    pub(crate) queue: Duration,
}

/// A link with a queue before it.
#[derive(Debug)]
pub(crate) struct Bottleneck {
    profile: Profile,
    /// When the last packet in the queue will have left it.
    free_at: Duration,
}

impl Bottleneck {
    pub(crate) const fn new(profile: Profile) -> Self {
        Self { profile, free_at: Duration::ZERO }
    }

    /// A packet comes: when it arrives at the other end, or `None` if the queue is full.
    pub(crate) fn pass(&mut self, now: Duration, payload: usize) -> Option<Duration> {
        let Profile { delay, rate, queue } = self.profile;
        let Some(rate) = rate else { return Some(now + delay) };
        let starts = self.free_at.max(now);
        if starts - now > queue {
            return None;
        }
        let bits = (payload + HEADERS) as u64 * 8;
        self.free_at = starts + Duration::from_nanos(bits * 1_000_000_000 / rate);
        Some(self.free_at + delay)
    }
}
