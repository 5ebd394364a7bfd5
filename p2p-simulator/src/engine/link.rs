//! What becomes of a packet on a link.
//!
//! # The model
//!
//! A packet waits until those before it have been sent (bandwidth) or finds the queue full and is
//! dropped. On its way it may be lost, by itself or in a burst; else it takes the latency, some of the
//! jitter, and longer if it is held back. A datagram may arrive twice. Each of these draws from a
//! stream of randomness of its own, and not at all where the profile leaves it no choice.
//!
//! What a loss means is not decided here: see `recovery`.

use super::random::{Draws, Probability, Purpose};
use super::{Flight, Nanos, nanos};
use crate::profile::{Latency, LinkProfile, QueueLimit};

/// Bytes on the wire besides the payload: IPv4, UDP and a short QUIC header with its tag.
const OVERHEAD: u64 = 20 + 8 + 30;

/// Tells a relayed link's randomness from that of the direct one: no network has so many hosts.
const RELAYED: u32 = 0x80_0000;

/// One direction between two hosts. What every packet needs comes first, so that it is together.
#[derive(Debug)]
#[repr(C)]
pub(crate) struct Link {
    places: [u32; 2],
    /// What it is like: an index into the network's profiles.
    pub(super) profile: u32,
    /// Whether the profile is its own, or that of its zones.
    pub(super) own_profile: bool,
    /// Whether it leads over a relay.
    pub(super) relayed: bool,
    burst: bool,
    free_at: Nanos,
    /// Since when nothing passes.
    pub(crate) cut_since: Option<Nanos>,
    /// Packets that wait until something passes again.
    pub(crate) held: Vec<Held>,
}

/// A packet that waits for a repair.
#[derive(Debug)]
pub(crate) struct Held {
    pub(crate) flight: Flight,
    pub(crate) met: Met,
}

/// What keeps a packet waiting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Met {
    /// A cut: it is sent again after the repair.
    Cut,
    /// A hold, before it set out.
    HeldAtStart,
    /// A hold, when it would have arrived.
    HeldAtEnd,
}

/// A profile in the units of the engine. What cannot be is brought to what can.
#[derive(Clone, Debug)]
pub(crate) struct Compiled {
    pub(super) source: LinkProfile,
    latency: CompiledLatency,
    jitter: Nanos,
    loss: Probability,
    burst: Option<CompiledBurst>,
    held_back: Probability,
    held_back_by: Nanos,
    twice: Probability,
    /// 0 is no bound.
    bandwidth: u64,
    queue: Nanos,
    pub(crate) mtu: usize,
}

#[derive(Clone, Copy, Debug)]
enum CompiledLatency {
    Fixed(Nanos),
    Normal { mean: Nanos, deviation: Nanos },
    Uniform { min: Nanos, width: Nanos },
}

#[derive(Clone, Copy, Debug)]
struct CompiledBurst {
    to_bad: Probability,
    to_good: Probability,
    good_loss: Probability,
    bad_loss: Probability,
}

impl From<&LinkProfile> for Compiled {
    fn from(profile: &LinkProfile) -> Self {
        let latency = match profile.latency {
            Latency::Fixed(latency) => CompiledLatency::Fixed(nanos(latency)),
            Latency::Normal { mean, deviation } => {
                CompiledLatency::Normal { mean: nanos(mean), deviation: nanos(deviation) }
            }
            Latency::Uniform { min, max } => CompiledLatency::Uniform {
                min: nanos(min),
                width: nanos(max).saturating_sub(nanos(min)),
            },
        };
        let burst = profile.burst_loss.map(|burst| CompiledBurst {
            to_bad: Probability::new(burst.to_bad),
            to_good: Probability::new(burst.to_good),
            good_loss: Probability::new(burst.good_loss),
            bad_loss: Probability::new(burst.bad_loss),
        });
        let bandwidth = profile.bandwidth.unwrap_or(0);
        let queue = match profile.queue {
            QueueLimit::Time(time) => nanos(time),
            QueueLimit::Bytes(bytes) => time_to_send(bytes, bandwidth),
        };
        Self {
            source: profile.clone(),
            latency,
            jitter: nanos(profile.jitter),
            loss: Probability::new(profile.loss),
            burst,
            held_back: Probability::new(profile.reordering.map_or(0.0, |held| held.share)),
            held_back_by: profile.reordering.map_or(0, |held| nanos(held.by)),
            twice: Probability::new(profile.duplication),
            bandwidth,
            queue,
            mtu: profile.mtu.max(LinkProfile::MIN_MTU),
        }
    }
}

impl Compiled {
    /// The mean of the time on the way, as a sender comes to know it.
    pub(super) const fn mean(&self) -> Nanos {
        let latency = match self.latency {
            CompiledLatency::Fixed(latency) => latency,
            CompiledLatency::Normal { mean, .. } => mean,
            CompiledLatency::Uniform { min, width } => min.saturating_add(width / 2),
        };
        latency.saturating_add(self.jitter / 2)
    }

    /// The mean deviation from that mean: a quarter of the width of an even distribution, and 0.8
    /// standard deviations of a normal one.
    pub(super) const fn variation(&self) -> Nanos {
        let latency = match self.latency {
            CompiledLatency::Fixed(_) => 0,
            CompiledLatency::Normal { deviation, .. } => deviation / 5 * 4,
            CompiledLatency::Uniform { width, .. } => width / 4,
        };
        latency.saturating_add(self.jitter / 4)
    }
}

/// When a packet arrives, or that it does not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    Arrives(Nanos),
    Twice(Nanos, Nanos),
    /// Lost on the way, after having waited this long for those before it.
    Lost {
        waited: Nanos,
    },
    /// The queue was full, with this much before it.
    Dropped {
        ahead: Nanos,
    },
}

impl Link {
    pub(crate) const fn new(from: u32, to: u32, profile: u32) -> Self {
        Self {
            places: [from, to],
            profile,
            own_profile: false,
            relayed: false,
            burst: false,
            free_at: 0,
            cut_since: None,
            held: Vec::new(),
        }
    }

    pub(super) const fn places(&self) -> [u32; 2] {
        self.places
    }

    /// The same, for the streams of randomness.
    pub(super) const fn draw_places(&self) -> [u32; 2] {
        let [from, to] = self.places;
        [from, if self.relayed { to | RELAYED } else { to }]
    }

    /// Puts a packet with `bytes` of payload on the link.
    pub(crate) fn transmit(
        &mut self,
        now: Nanos,
        draws: &mut Draws<'_>,
        bytes: usize,
        may_double: bool,
        profile: &Compiled,
    ) -> Fate {
        let mut sent = now;
        let mut ahead = 0;
        if profile.bandwidth > 0 {
            ahead = self.free_at.saturating_sub(now);
            let takes = time_to_send(bytes as u64 + OVERHEAD, profile.bandwidth);
            if ahead > 0 && ahead.saturating_add(takes) > profile.queue {
                return Fate::Dropped { ahead };
            }
            sent = now.saturating_add(ahead).saturating_add(takes);
            self.free_at = sent;
        }
        if self.loses(draws, profile) {
            return Fate::Lost { waited: ahead };
        }
        let first = sent.saturating_add(way(draws, profile));
        if may_double && draws.happens(Purpose::Duplication, profile.twice) {
            return Fate::Twice(first, sent.saturating_add(way(draws, profile)));
        }
        Fate::Arrives(first)
    }

    fn loses(&mut self, draws: &mut Draws<'_>, profile: &Compiled) -> bool {
        let mut lost = false;
        if let Some(burst) = profile.burst {
            let turn = if self.burst { burst.to_good } else { burst.to_bad };
            self.burst ^= draws.happens(Purpose::Burst, turn);
            let loss = if self.burst { burst.bad_loss } else { burst.good_loss };
            lost = draws.happens(Purpose::Burst, loss);
        }
        // Drawn even if the packet is lost already: one property's draws do not move another's.
        lost | draws.happens(Purpose::Loss, profile.loss)
    }
}

/// How long a packet is on its way.
fn way(draws: &mut Draws<'_>, profile: &Compiled) -> Nanos {
    let mut way = match profile.latency {
        CompiledLatency::Fixed(latency) => latency,
        CompiledLatency::Normal { mean, deviation } => {
            draws.of(Purpose::Latency).normal(mean, deviation)
        }
        CompiledLatency::Uniform { min, width } => {
            min.saturating_add(draws.of(Purpose::Latency).up_to(width))
        }
    };
    if profile.jitter > 0 {
        way = way.saturating_add(draws.of(Purpose::Jitter).up_to(profile.jitter));
    }
    if draws.happens(Purpose::Reordering, profile.held_back) {
        way = way.saturating_add(profile.held_back_by);
    }
    way
}

/// How long so many bytes take at a bandwidth in bits per second: not at all without a bound.
fn time_to_send(bytes: u64, bandwidth: u64) -> Nanos {
    if bandwidth == 0 {
        return 0;
    }
    // Packets fit into 64 bits; a queue's limit may not.
    match bytes.checked_mul(8_000_000_000) {
        Some(scaled) => scaled / bandwidth,
        None => {
            let time = u128::from(bytes) * 8_000_000_000 / u128::from(bandwidth);
            u64::try_from(time).unwrap_or(Nanos::MAX)
        }
    }
}

#[cfg(test)]
mod tests;
