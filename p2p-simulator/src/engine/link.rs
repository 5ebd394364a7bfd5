//! What becomes of a packet on a link.
//!
//! # The model
//!
//! A packet waits until those before it have been sent (bandwidth), is on its way for the latency
//! and some of the jitter, and is lost with the probability that the profile says. For a *datagram*
//! that is the end. A packet of a *stream* costs time instead: its sender notices after 9/8 of a
//! round trip (the time threshold of RFC 9002, section 6.1.2) and sends it again, which may be lost
//! too. Order within a stream is kept by whoever sends: see `streams`.
//!
//! Left out: congestion control; acknowledgement delay; the probe timeout and its back-off (section
//! 6.2), as if there were always later packets by whose acknowledgement a loss is noticed; and that a
//! retransmission takes bandwidth.

use std::time::Duration;

use super::random::{Probability, Purpose, Random};
use super::{Nanos, Packet, Route, nanos};
use crate::profile::LinkProfile;

/// Bytes on the wire besides the payload: IPv4, UDP and a short QUIC header with its tag.
const OVERHEAD: u64 = 20 + 8 + 30;
/// How often in a row one packet can be lost: so that a link that loses everything still ends.
const MAX_LOSSES: u32 = 10;

/// One direction between two hosts.
#[derive(Debug)]
pub(crate) struct Link {
    profile: Option<Compiled>,
    free_at: Nanos,
    loss: Random,
    jitter: Random,
    pub(crate) connect_failures: Random,
    /// Since when nothing passes.
    pub(crate) cut_since: Option<Nanos>,
    /// Packets that wait until something passes again.
    pub(crate) held: Vec<Held>,
}

/// A packet that waits for a repair.
#[derive(Debug)]
pub(crate) struct Held {
    pub(crate) route: Route,
    /// When it was sent, counted over all packets.
    pub(crate) order: u64,
    pub(crate) packet: Packet,
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

/// A profile in the units of the engine.
#[derive(Clone, Debug)]
pub(crate) struct Compiled {
    pub(crate) latency: Nanos,
    jitter: Nanos,
    loss: Probability,
    bandwidth: u64,
    queue: Nanos,
    pub(crate) mtu: usize,
}

impl From<&LinkProfile> for Compiled {
    fn from(profile: &LinkProfile) -> Self {
        Self {
            latency: nanos(profile.latency),
            jitter: nanos(profile.jitter),
            loss: Probability::new(profile.loss),
            bandwidth: profile.bandwidth,
            queue: nanos(profile.queue),
            mtu: profile.mtu.max(LinkProfile::MIN_MTU),
        }
    }
}

impl Compiled {
    /// The round trip that a sender would estimate if both directions were like this.
    pub(crate) fn one_way_estimate(&self) -> Duration {
        Duration::from_nanos(self.latency + self.jitter / 2)
    }
}

/// When a packet arrives, or that it does not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    Arrives(Nanos),
    Lost,
}

impl Link {
    pub(crate) fn new(seed: u64, from: u32, to: u32) -> Self {
        Self {
            profile: None,
            free_at: 0,
            loss: Random::new(seed, Purpose::Loss, from, to),
            jitter: Random::new(seed, Purpose::Jitter, from, to),
            connect_failures: Random::new(seed, Purpose::ConnectFailure, from, to),
            cut_since: None,
            held: Vec::new(),
        }
    }

    pub(crate) fn set_profile(&mut self, profile: Option<&LinkProfile>) {
        self.profile = profile.map(Compiled::from);
    }

    pub(crate) fn profile<'a>(&'a self, default: &'a Compiled) -> &'a Compiled {
        self.profile.as_ref().unwrap_or(default)
    }

    /// Puts a packet of `bytes` on the link. `rtt` is what its sender believes the round trip to be.
    pub(crate) fn transmit(
        &mut self,
        now: Nanos,
        bytes: usize,
        reliable: bool,
        rtt: Nanos,
        default: &Compiled,
    ) -> Fate {
        let profile = self.profile.as_ref().unwrap_or(default);
        let mut sent = now;
        if profile.bandwidth > 0 {
            let start = now.max(self.free_at);
            let bits = (bytes as u64 + OVERHEAD) * 8;
            let takes = u128::from(bits) * 1_000_000_000 / u128::from(profile.bandwidth);
            sent = start.saturating_add(u64::try_from(takes).unwrap_or(Nanos::MAX));
            if !reliable && sent - now > profile.queue {
                return Fate::Lost;
            }
            self.free_at = sent;
        }
        let mut arrives =
            sent.saturating_add(profile.latency).saturating_add(self.jitter.up_to(profile.jitter));
        let mut losses = 0;
        while self.loss.happens(profile.loss) {
            if !reliable {
                return Fate::Lost;
            }
            // At least the timer granularity of section 6.1.2.
            let notice = (rtt / 8 * 9).max(1_000_000);
            arrives = arrives.saturating_add(notice);
            losses += 1;
            if losses == MAX_LOSSES {
                break;
            }
        }
        Fate::Arrives(arrives)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Nanos = 1_000_000;

    fn send(profile: &LinkProfile, reliable: bool, count: usize) -> Vec<Fate> {
        let compiled = Compiled::from(profile);
        let mut link = Link::new(7, 1, 2);
        (0..count).map(|_| link.transmit(0, 1192, reliable, 80 * MS, &compiled)).collect()
    }

    #[test]
    fn latency_is_exact() {
        let profile = LinkProfile::new().with_latency(Duration::from_nanos(12_345_678));
        assert_eq!(send(&profile, true, 2), [Fate::Arrives(12_345_678); 2]);
    }

    #[test]
    fn bandwidth_queues_packets_behind_each_other() {
        // 1250 bytes on the wire at 10 Mbit/s take 1 ms each.
        let profile = LinkProfile::new().with_latency(Duration::ZERO).with_bandwidth(10_000_000);
        let expected = [1, 2, 3].map(|ms| Fate::Arrives(ms * MS));
        assert_eq!(send(&profile, true, 3), expected);
    }

    #[test]
    fn a_full_queue_drops_datagrams_and_delays_streams() {
        let profile =
            LinkProfile::new().with_bandwidth(10_000_000).with_queue(Duration::from_millis(5));
        let arrived = |fates: Vec<Fate>| fates.iter().filter(|fate| **fate != Fate::Lost).count();
        assert_eq!(arrived(send(&profile, false, 20)), 5);
        assert_eq!(arrived(send(&profile, true, 20)), 20);
    }

    #[test]
    fn loss_takes_datagrams_and_only_delays_streams() {
        let profile = LinkProfile::new().with_latency(Duration::from_millis(40)).with_loss(0.5);
        let fates = send(&profile, false, 10_000);
        let lost = fates.iter().filter(|fate| **fate == Fate::Lost).count();
        // 5000 expected, standard deviation 50; five of them.
        assert!((4750..=5250).contains(&lost), "{lost}");
        // Each loss costs 9/8 of the round trip of 80 ms: 90 ms.
        let fates = send(&profile, true, 10_000);
        for expected in [40, 40 + 90, 40 + 2 * 90] {
            assert!(fates.contains(&Fate::Arrives(expected * MS)));
        }
        assert!(!fates.contains(&Fate::Lost));
    }

    #[test]
    fn jitter_stays_within_its_bound() {
        let jitter = Duration::from_millis(3);
        let profile =
            LinkProfile::new().with_latency(Duration::from_millis(40)).with_jitter(jitter);
        for fate in send(&profile, true, 1000) {
            let Fate::Arrives(at) = fate else { panic!("nothing is lost") };
            assert!((40 * MS..=43 * MS).contains(&at));
        }
    }
}
