//! Ways that nothing passes: cut, where datagrams are lost and streams are sent again after the
//! repair; or held, where everything waits and then goes on as if nothing had been.

use std::collections::{BTreeMap, BTreeSet};

use super::super::link::{Held, Met};
use super::super::nanos;
use super::super::trace::TraceKind;
use super::super::{ConnId, Delivery, Engine, Event, Nanos, Net, Packet, Route, StreamId};
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
        let link = self.net.link(from, to);
        if self.net.links[link].cut_since.is_none() {
            self.net.links[link].cut_since = Some(now);
            self.net.trace.mark(now, kind, from, to);
            self.expect_silence(now, from, to);
        }
    }

    /// Opens the way again, if nothing else closes it.
    pub(super) fn unblock(&mut self, now: Nanos, from: u32, to: u32) {
        let faults = &self.net.faults;
        let closes = |effect: &Effect| matches!(effect, Effect::Cut | Effect::Hold);
        if faults.cut_by_hand.contains(&(from, to)) || faults.stands((from, to), closes) {
            return;
        }
        let link = self.net.link(from, to);
        if self.net.links[link].cut_since.take().is_some() {
            self.net.trace.mark(now, TraceKind::Repaired, from, to);
            self.flush(now, from, to);
        }
    }

    /// Lets go on what waits between two hosts. What met a cut is sent again, after as long as a
    /// sender's probe takes: one round trip (RFC 9002, section 6.2, without the back-off). What was
    /// held on its way arrives now, and what was held at its start sets out now.
    pub(super) fn flush(&mut self, now: Nanos, from: u32, to: u32) {
        let link = self.net.link(from, to);
        if self.net.links[link].cut_since.is_some() || self.net.faults.is_paused(from, to) {
            return;
        }
        let mut held = std::mem::take(&mut self.net.links[link].held);
        // A packet that was on its way met the cut later than one that was sent into it.
        held.sort_by_key(|held| held.order);
        for Held { route, order, packet, met } in held {
            let Some(conn) = self.conns.get_mut(route.conn) else { continue };
            let not_before = match met {
                Met::Cut => now + nanos(self.net.round_trip(route)),
                Met::HeldAtStart => now,
                Met::HeldAtEnd => {
                    self.net.queue.push(now, Event::Deliver { route, order, packet });
                    continue;
                }
            };
            let Packet::Data { stream, .. } = packet else {
                self.net.transmit(now, route, order, packet, not_before);
                continue;
            };
            self.net.faults.stalls.expect(route, stream, order);
            let side = route.to.other();
            let half = conn.ends[side as usize].streams.get_mut(&stream);
            match half.and_then(|stream| stream.send.as_mut()) {
                Some(half) => {
                    let at = not_before.max(half.not_before);
                    half.not_before = self.net.transmit(now, route, order, packet, at);
                }
                None => {
                    self.net.transmit(now, route, order, packet, not_before);
                }
            }
        }
        let conns = &self.conns;
        self.net.faults.stalls.retain(|conn| conns.get(conn).is_some());
    }
}

impl Net {
    /// Whether nothing passes on this route now.
    pub(crate) fn is_blocked(&self, route: Route) -> bool {
        self.links[route.link].cut_since.is_some()
            || self.faults.is_paused(route.from_host, route.to_host)
    }

    /// A packet meets a closed way, at its start or at its end.
    pub(crate) fn meet_block(
        &mut self,
        now: Nanos,
        route: Route,
        order: u64,
        packet: Packet,
        held: Met,
    ) {
        let pair = (route.from_host, route.to_host);
        let cut = |effect: &Effect| matches!(effect, Effect::Cut);
        let is_cut = self.faults.cut_by_hand.contains(&pair) || self.faults.stands(pair, cut);
        if is_cut {
            self.faults.hit(pair, cut);
        } else {
            self.faults.hit(pair, |effect| matches!(effect, Effect::Hold));
            for host in [pair.0, pair.1] {
                self.faults.hit_host(host, 1, |effect| matches!(effect, Effect::Pause));
            }
        }
        let met = if is_cut { Met::Cut } else { held };
        let waiting = &mut self.links[route.link].held;
        let waits = match packet.delivery() {
            Delivery::Reliable => true,
            Delivery::Farewell | Delivery::Once => !is_cut && waiting.len() < MAX_HELD,
        };
        let kind = if waits { TraceKind::Held } else { TraceKind::Lost };
        self.trace(now, kind, route, &packet);
        if waits {
            self.links[route.link].held.push(Held { route, order, packet, met });
        }
    }
}

impl super::Faults {
    pub(super) fn is_paused(&self, from: u32, to: u32) -> bool {
        !self.paused.is_empty() && (self.paused.contains(&from) || self.paused.contains(&to))
    }

    /// Counts a connection that was given up because nothing passed.
    pub(crate) fn hit_silence(&mut self, from: u32, to: u32) {
        self.hit((from, to), |effect| matches!(effect, Effect::Cut | Effect::Hold));
        self.hit_host(from, 1, |effect| matches!(effect, Effect::Crash | Effect::Pause));
    }

    /// The packets to deliver now that this one has come: none if its stream misses an earlier one.
    pub(crate) fn in_order(
        &mut self,
        route: Route,
        order: u64,
        packet: Packet,
    ) -> Vec<(Route, Packet)> {
        let Packet::Data { stream, .. } = packet else { return vec![(route, packet)] };
        self.stalls.arrive(route, stream, order, packet)
    }

    /// Whether a stream may miss a packet that a later one has overtaken.
    pub(crate) fn is_in_order(&self) -> bool {
        self.stalls.streams.is_empty()
    }
}

/// The streams of which packets are sent again after a repair: those that were sent later and had
/// got through the cut wait at the reader, as they would for a gap in the stream's bytes.
#[derive(Debug, Default)]
pub(super) struct Stalls {
    streams: BTreeMap<(ConnId, u8, StreamId), Stall>,
}

#[derive(Debug, Default)]
struct Stall {
    missing: BTreeSet<u64>,
    arrived: BTreeMap<u64, (Route, Packet)>,
}

impl Stalls {
    fn expect(&mut self, route: Route, stream: StreamId, order: u64) {
        let stall = self.streams.entry((route.conn, route.to as u8, stream)).or_default();
        stall.missing.insert(order);
    }

    fn retain(&mut self, is_there: impl Fn(ConnId) -> bool) {
        self.streams.retain(|(conn, ..), _| is_there(*conn));
    }

    fn arrive(
        &mut self,
        route: Route,
        stream: StreamId,
        order: u64,
        packet: Packet,
    ) -> Vec<(Route, Packet)> {
        let key = (route.conn, route.to as u8, stream);
        let Some(stall) = self.streams.get_mut(&key) else { return vec![(route, packet)] };
        stall.missing.remove(&order);
        stall.arrived.insert(order, (route, packet));
        let gap = stall.missing.first().copied().unwrap_or(u64::MAX);
        let later = stall.arrived.split_off(&gap);
        let ready = std::mem::replace(&mut stall.arrived, later);
        if stall.missing.is_empty() {
            self.streams.remove(&key);
        }
        ready.into_values().collect()
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
    /// `None`: it waits for a repair or a release.
    pub(crate) arrives_at: Option<Nanos>,
}

impl Engine {
    /// What is between hosts now, in the order in which it was sent.
    pub(crate) fn in_flight(&self) -> Vec<Flying> {
        let mut found = Vec::new();
        for (at, event) in self.net.queue.iter() {
            if let Event::Deliver { route, order, packet } = event {
                found.push(flying(*route, *order, packet, Some(at)));
            }
        }
        for held in self.net.links.iter().flat_map(|link| &link.held) {
            found.push(flying(held.route, held.order, &held.packet, None));
        }
        found.sort_by_key(|flying| (flying.order, flying.arrives_at));
        found
    }
}

fn flying(route: Route, order: u64, packet: &Packet, arrives_at: Option<Nanos>) -> Flying {
    let (from, to) = (route.from_host, route.to_host);
    Flying { order, from, to, kind: packet.kind(), bytes: packet.payload().len(), arrives_at }
}
