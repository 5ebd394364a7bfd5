//! Two ways between two hosts, and which of them a connection takes.
//!
//! # The model
//!
//! Where a relayed link was set between two hosts, their connections follow iroh's rules:
//!
//! - The path belongs to an endpoint and its peer, not to a connection: a dial goes over the path that
//!   the endpoint's open connections to that peer have. Only when the last of them has closed is the
//!   path forgotten; then a dial takes the relay, which is there at once.
//! - An accepted connection answers on the path on which it was dialled.
//! - A punch makes the path direct, some time after a dial, after a fresh look at the endpoint's own
//!   addresses, and again and again while it fails. It needs the relay, a direct link that is not cut,
//!   and addresses that are not stale.
//! - A direct path that brings nothing for a while is given up, for the relay; what was on its way is
//!   sent again there. If the relay is cut too at that time, what was on its way is never sent again:
//!   the connection lives, and its streams hang.
//! - A *rebind* of a host's NAT makes all its direct paths dead, and its addresses stale until it looks
//!   at them again, which it does from time to time, or is asked to. A *UDP cut* makes direct links dead
//!   for as long as it lasts.
//! - An endpoint that goes by relays only does so whatever happens.
//!
//! Left out: NATs and their kinds, the packets of a punch, that both sides find out at different times,
//! and pairs of hosts without a relayed link, which have one direct path and no rules.

use std::collections::{BTreeMap, BTreeSet};
use std::task::{Context, Poll};
use std::time::Duration;

use super::conn::Wait;
use super::endpoint::Endpoint;
use super::fault::Effect;
use super::link::{Compiled, Held, Link};
use super::packet::Delivery;
use super::trace::TraceKind;
use super::{ConnId, Engine, Event, Nanos, Net, Route, Side, nanos};
use crate::profile::LinkProfile;
use crate::relay::PathRules;

/// From which host to which.
type Pair = (u32, u32);

/// What is going to happen to paths.
#[derive(Clone, Copy, Debug)]
pub(super) enum PathEvent {
    /// Time to look whether a direct link has been dead for too long.
    GiveUp(Pair),
    /// An attempt to get a direct path between two endpoints.
    Punch(Pair),
    /// A host looks at its own addresses.
    Report(u32),
}

/// Relayed links, and what is known of direct ones.
#[derive(Debug, Default)]
pub(super) struct Paths {
    rules: PathRules,
    relayed: BTreeMap<Pair, u32>,
    /// Directions whose direct paths a rebind has made dead, until the next punch.
    rebound: BTreeSet<Pair>,
    /// Hosts that do not know their own addresses.
    stale: BTreeSet<u32>,
}

impl Net {
    /// The link over the relay, if there is one.
    pub(super) fn relayed_link(&self, from: u32, to: u32) -> Option<u32> {
        if self.paths.relayed.is_empty() {
            None
        } else {
            self.paths.relayed.get(&(from, to)).copied()
        }
    }

    fn is_relayed(&self, link: u32) -> bool {
        self.links[link as usize].relayed
    }

    /// Whether the direct link alone is dead.
    pub(super) fn direct_is_dead(&self, pair: Pair) -> bool {
        self.paths.rebound.contains(&pair)
            || self.faults.stands(pair, |effect| matches!(effect, Effect::CutDirect))
    }

    fn is_cut(&self, link: u32) -> bool {
        self.links[link as usize].cut_since.is_some()
    }
}

impl Engine {
    /// Sets what the way over a relay from one host to another is like. From the first time on, the
    /// two have the rules above.
    pub(crate) fn set_relayed_link(&mut self, from: u32, to: u32, profile: &LinkProfile) {
        let compiled = Compiled::from(profile);
        if let Some(&link) = self.net.paths.relayed.get(&(from, to)) {
            let number = self.net.links[link as usize].profile;
            self.net.profiles[number as usize] = compiled;
            return;
        }
        self.net.profiles.push(compiled);
        let mut link = Link::new(from, to, (self.net.profiles.len() - 1) as u32);
        (link.own_profile, link.relayed) = (true, true);
        self.net.links.push(link);
        self.net.paths.relayed.insert((from, to), (self.net.links.len() - 1) as u32);
    }

    pub(crate) const fn set_path_rules(&mut self, rules: PathRules) {
        self.net.paths.rules = rules;
    }

    /// Whether a host has a way over a relay to any other.
    pub(crate) fn has_relay(&self, host: u32) -> bool {
        self.net.paths.relayed.range((host, 0)..=(host, u32::MAX)).next().is_some()
    }

    /// Whether it has one to this peer's host.
    pub(crate) fn has_relay_to(&self, host: u32, peer: p2p_core::PeerId) -> bool {
        let to = self.by_peer.get(&peer).map(|&endpoint| self.endpoints[endpoint as usize].host);
        to.is_some_and(|to| self.net.relayed_link(host, to).is_some())
    }

    /// The links that a connection of these endpoints takes at first. Both ways must be there.
    pub(super) fn path_for_dial(&mut self, now: Nanos, from: u32, to: u32) -> Option<[u32; 2]> {
        let hosts = [&self.endpoints[from as usize], &self.endpoints[to as usize]].map(|e| e.host);
        let relayed = [
            self.net.relayed_link(hosts[0], hosts[1])?,
            self.net.relayed_link(hosts[1], hosts[0])?,
        ];
        if self.goes_by_relays_only(from, to) {
            return Some(relayed);
        }
        let after = nanos(self.net.paths.rules.punch);
        self.net.queue.push(now + after, Event::Path(PathEvent::Punch((from, to))));
        let open = self.open_between(from, to);
        let is_direct = |&(id, side): &(ConnId, Side)| {
            self.conns.get(id).is_some_and(|conn| !self.net.is_relayed(conn.links[side as usize]))
        };
        if open.iter().any(is_direct) { None } else { Some(relayed) }
    }

    fn goes_by_relays_only(&self, from: u32, to: u32) -> bool {
        [from, to].iter().any(|&endpoint| self.endpoints[endpoint as usize].relays_only)
    }

    /// The open connections that an endpoint has to another, and its side of each.
    fn open_between(&self, at: u32, peer: u32) -> Vec<(ConnId, Side)> {
        let mut open = Vec::new();
        for &id in self.endpoints.get(at as usize).map_or(&[][..], Endpoint::conns) {
            let Some(conn) = self.conns.get(id) else { continue };
            for side in [Side::Dialler, Side::Acceptor] {
                let (end, other) = (&conn.ends[side as usize], &conn.ends[side.other() as usize]);
                if end.endpoint == at && other.endpoint == peer && end.closed.is_none() {
                    open.push((id, side));
                }
            }
        }
        open
    }

    /// All open connections over a link, with the side that sends there.
    fn open_over(&self, link: u32) -> Vec<(ConnId, Side)> {
        self.conns
            .ids()
            .into_iter()
            .flat_map(|id| [(id, Side::Dialler), (id, Side::Acceptor)])
            .filter(|&(id, side)| {
                self.conns.get(id).is_some_and(|conn| conn.links[side as usize] == link)
            })
            .collect()
    }

    /// Lets a connection's packets in one direction take another link. Returns the former one, if it is
    /// another.
    fn move_to(&mut self, now: Nanos, (id, side): (ConnId, Side), link: u32) -> Option<u32> {
        let conn = self.conns.get_mut(id)?;
        let former = std::mem::replace(&mut conn.links[side as usize], link);
        if former == link {
            return None;
        }
        let route = conn.route(id, side);
        // Each stream knows its links, there and back.
        for (side, place) in [(side, 0), (side.other(), 1)] {
            for slot in self.streams.in_order(conn.ends[side as usize].streams) {
                if let Some(stream) = self.streams.at_mut(slot) {
                    stream.links[place] = link;
                }
            }
        }
        for side in [Side::Dialler, Side::Acceptor] {
            let waiting = &mut conn.ends[side as usize].waiting;
            waiting.wake(Wait::Path, &mut self.wakers);
        }
        self.net.trace.mark(now, TraceKind::PathChanged, route.from_host, route.to_host);
        Some(former)
    }

    /// Sends again what a connection has waiting on its former link in one direction, or lets go of it.
    fn send_waiting(
        &mut self,
        now: Nanos,
        (id, side): (ConnId, Side),
        former: u32,
        resend: Option<Nanos>,
    ) {
        let Some(conn) = self.conns.get(id) else { return };
        let route = conn.route(id, side);
        let held = &mut self.net.links[former as usize].held;
        let (mine, others): (Vec<Held>, Vec<Held>) =
            std::mem::take(held).into_iter().partition(|held| held.flight.route.conn == id);
        *held = others;
        for Held { mut flight, .. } in mine {
            if flight.packet.delivery() != Delivery::Reliable {
                continue;
            }
            if let Some(at) = resend {
                flight.route = Route { link: route.link, back: route.back, ..flight.route };
                self.net.transmit(now, flight, at);
            }
        }
    }

    pub(super) fn on_path_event(&mut self, now: Nanos, event: PathEvent) {
        match event {
            PathEvent::GiveUp(pair) => self.give_path_up(now, pair),
            PathEvent::Punch(endpoints) => self.punch(now, endpoints),
            PathEvent::Report(host) => self.report_addresses(now, host),
        }
    }

    /// A direct link is dead from now on: counts the time until it is given up.
    pub(super) fn expect_give_up(&mut self, now: Nanos, from: u32, to: u32) {
        if self.net.relayed_link(from, to).is_some() {
            let at = now + nanos(self.net.paths.rules.idle);
            self.net.queue.push(at, Event::Path(PathEvent::GiveUp((from, to))));
        }
    }

    fn give_path_up(&mut self, now: Nanos, (from, to): Pair) {
        let direct = self.net.link(from, to) as u32;
        let idle = nanos(self.net.paths.rules.idle);
        let dead = self.net.links[direct as usize].cut_since;
        if dead.is_none_or(|since| now - since < idle) {
            return;
        }
        // One side tells the other, so both do: first they move, then what waits is sent again, with
        // both ways known.
        let mut moved = Vec::new();
        for (from, to) in [(from, to), (to, from)] {
            let direct = self.net.link(from, to) as u32;
            let Some(relayed) = self.net.relayed_link(from, to) else { continue };
            for place in self.open_over(direct) {
                moved.extend(self.move_to(now, place, relayed).map(|was| (place, relayed, was)));
            }
        }
        for ((id, side), relayed, was) in moved {
            let Some(conn) = self.conns.get(id) else { continue };
            let again = 3 * nanos(self.net.round_trip(conn.route(id, side)));
            let endpoints = (conn.ends[0].endpoint, conn.ends[1].endpoint);
            let resend = (!self.net.is_cut(relayed)).then_some(now + again);
            self.send_waiting(now, (id, side), was, resend);
            if side == Side::Dialler {
                let at = now + nanos(self.net.paths.rules.punch_again);
                self.net.queue.push(at, Event::Path(PathEvent::Punch(endpoints)));
            }
        }
    }

    fn punch(&mut self, now: Nanos, (from, to): (u32, u32)) {
        let hosts = [from, to].map(|endpoint| self.endpoints[endpoint as usize].host);
        let relayed: Vec<_> = self
            .open_between(from, to)
            .into_iter()
            .filter(|&(id, side)| {
                self.conns.get(id).is_some_and(|conn| {
                    conn.ends[side as usize].established
                        && self.net.is_relayed(conn.links[side as usize])
                })
            })
            .collect();
        // Nothing is left to punch for, or the path that is to carry the negotiation is another.
        if relayed.is_empty() || self.goes_by_relays_only(from, to) {
            return;
        }
        let pairs = [(hosts[0], hosts[1]), (hosts[1], hosts[0])];
        let faults = &self.net.faults;
        let cut =
            |effect: &Effect| matches!(effect, Effect::Cut | Effect::Hold | Effect::CutDirect);
        let stands =
            pairs.iter().any(|&pair| faults.stands(pair, cut) || faults.is_cut_by_hand(pair));
        if stands || hosts.iter().any(|host| self.net.paths.stale.contains(host)) {
            let at = now + nanos(self.net.paths.rules.punch_again);
            self.net.queue.push(at, Event::Path(PathEvent::Punch((from, to))));
            return;
        }
        for (from, to) in pairs {
            if self.net.paths.rebound.remove(&(from, to)) {
                self.unblock(now, from, to);
            }
        }
        let direct = pairs.map(|(from, to)| self.net.link(from, to) as u32);
        let mut moved = Vec::new();
        for (id, _) in relayed {
            for side in [Side::Dialler, Side::Acceptor] {
                let Some(conn) = self.conns.get(id) else { continue };
                let link = direct[usize::from(conn.hosts[side as usize] != hosts[0])];
                moved.extend(self.move_to(now, (id, side), link).map(|was| ((id, side), was)));
            }
        }
        for (place, was) in moved {
            self.send_waiting(now, place, was, Some(now));
        }
    }

    /// A host's NAT forgets it: its direct paths are dead, and it does not know its addresses.
    pub(crate) fn rebind(&mut self, now: Nanos, host: u32) -> u64 {
        let pairs: Vec<_> = self.net.paths.relayed.keys().copied().collect();
        let mut touched = 0;
        for (from, to) in pairs {
            if from == host || to == host {
                self.net.paths.rebound.insert((from, to));
                self.block_direct(now, from, to, TraceKind::Cut);
                touched += 1;
            }
        }
        if touched > 0 && self.net.paths.stale.insert(host) {
            let at = now + nanos(self.net.paths.rules.report);
            self.net.queue.push(at, Event::Path(PathEvent::Report(host)));
        }
        touched
    }

    /// A host looks at its own addresses, which makes it punch anew where they had changed.
    pub(crate) fn report_addresses(&mut self, now: Nanos, host: u32) {
        if !self.net.paths.stale.remove(&host) {
            return;
        }
        let at = now + nanos(self.net.paths.rules.punch);
        let mut pairs = BTreeSet::new();
        for id in self.conns.ids() {
            let Some(conn) = self.conns.get(id).filter(|conn| conn.hosts.contains(&host)) else {
                continue;
            };
            pairs.insert((conn.ends[0].endpoint, conn.ends[1].endpoint));
        }
        for pair in pairs {
            self.net.queue.push(at, Event::Path(PathEvent::Punch(pair)));
        }
    }

    /// Whether an end's packets go over a relay.
    pub(crate) fn is_relayed(&self, id: ConnId, side: Side) -> bool {
        self.conns.get(id).is_some_and(|conn| self.net.is_relayed(conn.links[side as usize]))
    }

    /// Waits until an end's path is not this one any more.
    pub(crate) fn poll_path(
        &mut self,
        id: ConnId,
        side: Side,
        relayed: bool,
        ticket: &mut Option<u64>,
        cx: &Context<'_>,
    ) -> Poll<()> {
        if self.is_relayed(id, side) != relayed {
            return Poll::Ready(());
        }
        if let Some(end) = self.end_mut(id, side) {
            end.waiting.wait_for(Wait::Path, ticket, cx);
        }
        Poll::Pending
    }
}

impl Default for PathRules {
    /// iroh's, as measured between two NATs.
    fn default() -> Self {
        Self {
            idle: Duration::from_secs(15),
            punch: Duration::from_millis(500),
            punch_again: Duration::from_secs(60),
            report: Duration::from_secs(24),
        }
    }
}
