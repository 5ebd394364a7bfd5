//! Ways that nothing passes: cut, where datagrams are lost and streams are sent again after the
//! repair; or held, where everything waits and then goes on as if nothing had been.

use super::super::link::{Held, Met};
use super::super::nanos;
use super::super::packet::{Delivery, Flight};
use super::super::trace::TraceKind;
use super::super::{Engine, Event, Nanos, Net, Route};
use super::table::Effect;

/// Datagrams and farewells that one direction can hold; more are lost.
const MAX_HELD: usize = 1 << 16;

impl Engine {
    /// Cuts the way from one host to another, also for what is on it now.
    pub(crate) fn cut(&mut self, now: Nanos, from: u32, to: u32) {
        self.net.faults.cut_by_hand.insert((from, to));
        self.block(now, from, to, TraceKind::Cut);
    }

    /// Repairs what [`Engine::cut`] cut.
    pub(crate) fn repair(&mut self, now: Nanos, from: u32, to: u32) {
        self.net.faults.cut_by_hand.remove(&(from, to));
        self.unblock(now, from, to);
    }

    pub(super) fn block(&mut self, now: Nanos, from: u32, to: u32, kind: TraceKind) {
        self.block_direct(now, from, to, kind);
        if let Some(relayed) = self.net.relayed_link(from, to) {
            self.block_link(now, relayed as usize);
            self.expect_silence(now, from, to);
        }
    }

    /// Closes the direct way alone.
    pub(in super::super) fn block_direct(
        &mut self,
        now: Nanos,
        from: u32,
        to: u32,
        kind: TraceKind,
    ) {
        let link = self.net.link(from, to);
        if self.block_link(now, link) {
            self.net.trace.mark(now, kind, from, to);
            self.expect_silence(now, from, to);
            self.expect_give_up(now, from, to);
        }
    }

    fn block_link(&mut self, now: Nanos, link: usize) -> bool {
        let open = self.net.links[link].cut_since.is_none();
        if open {
            self.net.links[link].cut_since = Some(now);
            self.net.cut_links += 1;
        }
        open
    }

    fn unblock_link(&mut self, link: usize) -> bool {
        let closed = self.net.links[link].cut_since.take().is_some();
        if closed {
            self.net.cut_links -= 1;
        }
        closed
    }

    /// Opens the way again, if nothing else closes it.
    pub(in super::super) fn unblock(&mut self, now: Nanos, from: u32, to: u32) {
        let faults = &self.net.faults;
        let closes = |effect: &Effect| matches!(effect, Effect::Cut | Effect::Hold);
        if faults.cut_by_hand.contains(&(from, to)) || faults.stands((from, to), closes) {
            return;
        }
        if let Some(relayed) = self.net.relayed_link(from, to) {
            if self.unblock_link(relayed as usize) {
                self.flush_link(now, relayed as usize, from, to);
            }
        }
        if self.net.direct_is_dead((from, to)) {
            return;
        }
        let link = self.net.link(from, to);
        if self.unblock_link(link) {
            self.net.trace.mark(now, TraceKind::Repaired, from, to);
            self.flush_link(now, link, from, to);
        }
    }

    /// Lets go on what waits between two hosts. What met a cut is sent again, after as long as a
    /// sender's probe takes: one round trip (RFC 9002, section 6.2, without the back-off). What was
    /// held on its way arrives now, and what was held at its start sets out now.
    pub(super) fn flush(&mut self, now: Nanos, from: u32, to: u32) {
        let link = self.net.link(from, to);
        self.flush_link(now, link, from, to);
        if let Some(relayed) = self.net.relayed_link(from, to) {
            self.flush_link(now, relayed as usize, from, to);
        }
    }

    fn flush_link(&mut self, now: Nanos, link: usize, from: u32, to: u32) {
        if self.net.links[link].cut_since.is_some() || self.net.faults.is_paused(from, to) {
            return;
        }
        let mut held = std::mem::take(&mut self.net.links[link].held);
        // A packet that was on its way met the cut later than one that was sent into it.
        held.sort_by_key(|held| held.flight.order);
        for Held { flight, met } in held {
            if self.conns.get(flight.route.conn).is_none() {
                continue;
            }
            let not_before = match met {
                Met::Cut => now + nanos(self.net.round_trip(flight.route)),
                Met::HeldAtStart => now,
                Met::HeldAtEnd => {
                    self.net.queue.push(now, Event::Deliver(flight));
                    continue;
                }
            };
            self.net.transmit(now, flight, not_before);
        }
    }
}

impl Net {
    /// Whether nothing passes on this route now.
    pub(crate) fn is_blocked(&self, route: Route) -> bool {
        (self.cut_links > 0 && self.links[route.link as usize].cut_since.is_some())
            || self.faults.is_paused(route.from_host, route.to_host)
    }

    /// A packet meets a closed way, at its start or at its end.
    pub(crate) fn meet_block(&mut self, now: Nanos, held: Held) {
        let route = held.flight.route;
        let pair = (route.from_host, route.to_host);
        let cut = |effect: &Effect| matches!(effect, Effect::Cut | Effect::CutDirect);
        let is_cut = self.faults.cut_by_hand.contains(&pair)
            || self.faults.stands(pair, cut)
            || self.direct_is_dead(pair);
        if is_cut {
            self.faults.hit(pair, cut);
        } else {
            self.faults.hit(pair, |effect| matches!(effect, Effect::Hold));
            for host in [pair.0, pair.1] {
                self.faults.hit_host(host, 1, |effect| matches!(effect, Effect::Pause));
            }
        }
        let met = if is_cut { Met::Cut } else { held.met };
        let waiting = &mut self.links[route.link as usize].held;
        let waits = match held.flight.packet.delivery() {
            Delivery::Reliable => true,
            Delivery::Farewell | Delivery::Once => !is_cut && waiting.len() < MAX_HELD,
        };
        let kind = if waits { TraceKind::Held } else { TraceKind::Lost };
        self.trace(now, kind, &held.flight);
        if waits {
            self.links[route.link as usize].held.push(Held { met, ..held });
        }
    }
}

impl super::Faults {
    pub(super) fn is_paused(&self, from: u32, to: u32) -> bool {
        !self.paused.is_empty() && (self.paused.contains(&from) || self.paused.contains(&to))
    }

    /// Counts a connection that was given up because nothing passed.
    pub(crate) fn hit_silence(&mut self, from: u32, to: u32) {
        let closes =
            |effect: &Effect| matches!(effect, Effect::Cut | Effect::CutDirect | Effect::Hold);
        self.hit((from, to), closes);
        self.hit_host(from, 1, |effect| matches!(effect, Effect::Crash | Effect::Pause));
    }
}

/// A packet between two hosts.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Flying {
    pub(crate) order: u64,
    pub(crate) from: u32,
    pub(crate) to: u32,
    pub(crate) kind: u8,
    pub(crate) bytes: usize,
    pub(crate) sent_at: Nanos,
    /// `None`: it waits for a repair or a release.
    pub(crate) arrives_at: Option<Nanos>,
}

impl Engine {
    /// What is between hosts now, in the order in which it was sent.
    pub(crate) fn in_flight(&self) -> Vec<Flying> {
        let mut found = Vec::new();
        for (at, event) in self.net.queue.iter() {
            if let Event::Deliver(flight) = event {
                found.push(flying(flight, Some(at)));
            }
        }
        for held in self.net.links.iter().flat_map(|link| &link.held) {
            found.push(flying(&held.flight, None));
        }
        found.sort_by_key(|flying| (flying.order, flying.arrives_at));
        found
    }
}

fn flying(flight: &Flight, arrives_at: Option<Nanos>) -> Flying {
    let Flight { route, order, sent_at, packet } = flight;
    let (from, to, order, sent_at) = (route.from_host, route.to_host, *order, *sent_at);
    let (kind, bytes) = (packet.kind(), packet.payload().len());
    Flying { order, from, to, kind, bytes, sent_at, arrives_at }
}
