//! How a lost packet of a stream comes to be sent again: loss costs streams time, not bytes.
//!
//! # The model
//!
//! A sender finds out about a loss as RFC 9002 has it, and then sends the packet again, on the link as
//! it is by then: bandwidth, loss, cuts and all.
//!
//! - *Something sent later got through*: its acknowledgement gives the loss away after 9/8 of a round
//!   trip (time threshold, section 6.1.2), at least 1 ms.
//! - *Nothing did* (a tail loss): a probe is sent after the round trip and four times its variation, at
//!   least 1 ms (probe timeout, section 6.2.1), twice as long after each probe in vain.
//! - *The queue was full*: packets flow, and those behind it tell after one round trip, the wait in
//!   the queue included (packet threshold, section 6.1.1).
//!
//! The round trip is the mean of what both links say, and the wait in the queue at the time. Whether
//! something later got through is looked up for the connection and direction when the first of the two
//! times has come. A sender to whom nothing got through for its idle timeout gives the connection up.
//!
//! Left out: congestion control and pacing; losses of acknowledgements and their delay; that a later
//! packet may get through while a probe is awaited; needless retransmissions.

use p2p_core::transport::LinkClosed;

use super::packet::{Delivery, Flight};
use super::trace::TraceKind;
use super::{Engine, Event, Nanos, Net, Packet, Route, Side};

/// Section 6.1.2 and 6.2.1: kGranularity.
const GRANULARITY: Nanos = 1_000_000;

/// A packet that was lost and will be sent again.
#[derive(Debug)]
pub(super) struct Lost {
    route: Route,
    order: u64,
    packet: Packet,
    tries: Tries,
    /// When it was sent last.
    sent: Nanos,
    rtt: RoundTrip,
    /// What the sender has found out, and when it acts on it.
    noticed: bool,
}

/// What a packet has behind it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Tries {
    /// When it was sent first.
    pub(super) begun: Nanos,
    /// Probe timeouts in a row.
    probes: u32,
}

impl Tries {
    pub(super) const fn first(now: Nanos) -> Self {
        Self { begun: now, probes: 0 }
    }
}

/// A sender's estimate.
#[derive(Clone, Copy, Debug)]
pub(super) struct RoundTrip {
    pub(super) mean: Nanos,
    pub(super) variation: Nanos,
}

impl RoundTrip {
    fn after_waiting(self, waited: Nanos) -> Self {
        Self { mean: self.mean.saturating_add(waited), ..self }
    }

    fn time_threshold(self) -> Nanos {
        self.mean.saturating_add(self.mean / 8).max(GRANULARITY)
    }

    fn probe_timeout(self, probes: u32) -> Nanos {
        let once = self.mean.saturating_add(self.variation.saturating_mul(4).max(GRANULARITY));
        once.saturating_mul(1 << probes.min(32))
    }
}

impl Net {
    /// A packet was lost on its way.
    pub(super) fn recover(&mut self, now: Nanos, flight: Flight, tries: Tries, waited: Nanos) {
        let Flight { route, order, packet, .. } = flight;
        let rtt = self.round_trip_estimate(route).after_waiting(waited);
        let at = now.saturating_add(rtt.time_threshold().min(rtt.probe_timeout(tries.probes)));
        let lost = Lost { route, order, packet, tries, sent: now, rtt, noticed: false };
        self.recovering += 1;
        self.queue.push(at, Event::Recover(Box::new(lost)));
    }

    /// A packet found a full queue.
    pub(super) fn recover_from_overflow(
        &mut self,
        now: Nanos,
        flight: Flight,
        tries: Tries,
        ahead: Nanos,
    ) {
        let Flight { route, order, packet, .. } = flight;
        let rtt = self.round_trip_estimate(route);
        let at = now.saturating_add(ahead).saturating_add(rtt.mean.max(GRANULARITY));
        let lost = Lost { route, order, packet, tries, sent: now, rtt, noticed: true };
        self.recovering += 1;
        self.queue.push(at, Event::Recover(Box::new(lost)));
    }

    /// Whether something that the connection sent this way after the packet got through.
    fn later_passed(&self, route: Route, order: u64) -> bool {
        let passed = self.passed.get(route.conn.slot as usize);
        passed.is_some_and(|passed| passed[route.to as usize] > order)
    }
}

impl Engine {
    /// Time to look what the sender of a lost packet knows, or to send it again.
    pub(super) fn on_recover(&mut self, now: Nanos, mut lost: Box<Lost>) {
        if !lost.noticed {
            lost.noticed = true;
            let at = if self.net.later_passed(lost.route, lost.order) {
                lost.rtt.time_threshold()
            } else {
                lost.tries.probes += 1;
                lost.rtt.probe_timeout(lost.tries.probes - 1)
            };
            let at = lost.sent.saturating_add(at);
            if at > now {
                self.net.queue.push(at, Event::Recover(lost));
                return;
            }
        }
        self.net.recovering -= 1;
        let Lost { route, order, packet, tries, .. } = *lost;
        let (id, from) = (route.conn, route.to.other());
        let Some(conn) = self.conns.get(id) else { return };
        // The path may be another by now.
        let [link, back] = [from, route.to].map(|side| conn.links[side as usize]);
        let route = Route { link, back, ..route };
        let end = &conn.ends[from as usize];
        let over = end.closed.is_some() && packet.delivery() != Delivery::Farewell;
        if over || self.hosts[route.from_host as usize].down_since.is_some() {
            return;
        }
        let silent = now.saturating_sub(tries.begun) >= end.idle_timeout;
        if silent && !self.net.later_passed(route, order) {
            self.give_up(now, route, from);
            return;
        }
        self.net.resend(now, route, packet, tries);
    }

    /// Nothing gets through: for the sender that is silence, as for the other side.
    fn give_up(&mut self, now: Nanos, route: Route, side: Side) {
        if self.end_mut(route.conn, side).is_some_and(|end| end.closed.is_none()) {
            self.net.trace.mark(now, TraceKind::TimedOut, route.to_host, route.from_host);
            self.expect_silence_of(now, route.conn, side);
            self.end(now, route.conn, side, LinkClosed::TimedOut);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Nanos = 1_000_000;

    #[test]
    fn the_time_threshold_is_nine_eighths_of_a_round_trip() {
        let rtt = RoundTrip { mean: 80 * MS, variation: 0 };
        assert_eq!(rtt.time_threshold(), 90 * MS);
        let near = RoundTrip { mean: 1000, variation: 0 };
        assert_eq!(near.time_threshold(), MS, "the granularity, at least");
    }

    #[test]
    fn a_probe_waits_for_the_variation_and_doubles() {
        let rtt = RoundTrip { mean: 80 * MS, variation: 5 * MS };
        assert_eq!(
            [0, 1, 2].map(|probes| rtt.probe_timeout(probes)),
            [100 * MS, 200 * MS, 400 * MS]
        );
        let steady = RoundTrip { mean: 80 * MS, variation: 0 };
        assert_eq!(steady.probe_timeout(0), 81 * MS, "the granularity, at least");
        assert_eq!(RoundTrip { mean: Nanos::MAX / 2, variation: 1 }.probe_timeout(9), Nanos::MAX);
    }
}
