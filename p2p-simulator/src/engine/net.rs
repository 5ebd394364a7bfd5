//! Links and what is on them: how a packet gets onto its way.

use std::collections::BTreeMap;
use std::time::Duration;

use super::fault::Faults;
use super::link::{Compiled, Fate, Held, Link, Met};
use super::packet::{Delivery, Flight, Packet};
use super::paths::Paths;
use super::queue::EventQueue;
use super::random::{Draws, LinkRandoms, Probability, Purpose};
use super::recovery::Tries;
use super::trace::{Happening, Trace, TraceKind};
use super::{ConnId, Event, Nanos, Side};
use crate::profile::NetworkConfig;

/// Links and what is on them.
#[derive(Debug)]
pub(crate) struct Net {
    pub(super) seed: u64,
    pub(super) connect_failures: Probability,
    /// The default, then those of zones and of single links.
    pub(super) profiles: Vec<Compiled>,
    pub(super) zones: Vec<String>,
    pub(super) zone_of: Vec<u32>,
    pub(super) zone_links: BTreeMap<(u32, u32), u32>,
    pub(super) links: Vec<Link>,
    randoms: LinkRandoms,
    pub(super) by_hosts: BTreeMap<(u32, u32), u32>,
    pub(super) queue: EventQueue<Event>,
    pub(super) trace: Trace,
    pub(crate) faults: Faults,
    pub(super) paths: Paths,
    sent: u64,
    /// How many links nothing passes. While there are none, none is looked at.
    pub(super) cut_links: u32,
    /// How many lost packets wait to be sent again. While there are none, it does not matter what got
    /// through.
    pub(super) recovering: u32,
    /// The last packet of each connection's slot and direction that got onto its way.
    pub(super) passed: Vec<[u64; 2]>,
}

/// From where to where a packet goes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Route {
    pub(super) conn: ConnId,
    pub(super) to: Side,
    pub(super) from_host: u32,
    pub(super) to_host: u32,
    /// The link that it goes over, and the one back.
    pub(super) link: u32,
    pub(super) back: u32,
    /// A stream's packet: where its ends lie that sends and that receives, as far as is known.
    pub(super) stream_from: u32,
    pub(super) stream_to: u32,
}

impl Net {
    pub(super) fn new(config: &NetworkConfig, record: usize) -> Self {
        Self {
            seed: config.seed,
            connect_failures: Probability::new(config.connect_failures),
            profiles: vec![Compiled::from(&config.link)],
            zones: Vec::new(),
            zone_of: Vec::new(),
            zone_links: BTreeMap::new(),
            links: Vec::new(),
            randoms: LinkRandoms::default(),
            by_hosts: BTreeMap::new(),
            queue: EventQueue::new(),
            trace: Trace::new(record),
            faults: Faults::new(),
            paths: Paths::default(),
            sent: 0,
            cut_links: 0,
            recovering: 0,
            passed: Vec::new(),
        }
    }

    /// The round trip over a route, as its ends estimate it.
    pub(super) fn round_trip(&self, route: Route) -> Duration {
        Duration::from_nanos(self.round_trip_estimate(route).mean)
    }

    pub(super) fn mtu(&self, route: Route) -> usize {
        self.profile(route.link).mtu
    }

    /// Fetches what a packet on this link will need, all at the same time. In a large network nothing
    /// of it is in a cache, and to find out one after the other where it is costs the time of each.
    pub(crate) fn fetch(&self, link: u32) {
        std::hint::black_box(self.links.get(link as usize).map(|link| link.profile));
        self.randoms.fetch(link);
    }

    #[inline]
    pub(super) fn send(&mut self, now: Nanos, route: Route, packet: Packet) {
        let flight = self.set_out(now, TraceKind::Sent, route, packet);
        self.put_on_link(now, flight, 0, Tries::first(now));
    }

    /// Sends a packet that had to wait, to arrive no sooner than `not_before`.
    pub(super) fn transmit(&mut self, now: Nanos, flight: Flight, not_before: Nanos) {
        let flight = Flight { sent_at: now, ..flight };
        self.put_on_link(now, flight, not_before, Tries::first(now));
    }

    /// Sends a packet that was lost again. For its sender it is a new one (RFC 9002, section 3).
    pub(super) fn resend(&mut self, now: Nanos, route: Route, packet: Packet, tries: Tries) {
        let flight = self.set_out(now, TraceKind::Resent, route, packet);
        self.put_on_link(now, flight, 0, tries);
    }

    #[inline]
    fn set_out(&mut self, now: Nanos, kind: TraceKind, route: Route, packet: Packet) -> Flight {
        self.sent += 1;
        let flight = Flight { route, order: self.sent, sent_at: now, packet };
        self.trace(now, kind, &flight);
        flight
    }

    #[inline]
    fn put_on_link(&mut self, now: Nanos, flight: Flight, not_before: Nanos, tries: Tries) {
        let route = flight.route;
        if self.is_blocked(route) {
            self.meet_block(now, Held { flight, met: Met::HeldAtStart });
            return;
        }
        self.faults.pass(route);
        let link = &mut self.links[route.link as usize];
        let (seed, places) = (self.seed, link.draw_places());
        let draws = &mut Draws { randoms: &mut self.randoms, seed, link: route.link, places };
        let once = flight.packet.delivery() == Delivery::Once;
        let profile = &self.profiles[link.profile as usize];
        match link.transmit(now, draws, flight.packet.payload().len(), once, profile) {
            Fate::Arrives(at) => {
                self.note_passed(route, flight.order);
                self.queue.push(at.max(not_before), Event::Deliver(flight));
            }
            Fate::Twice(at, again) => {
                self.note_passed(route, flight.order);
                self.queue.push(at, Event::Deliver(flight.clone()));
                self.queue.push(again, Event::Deliver(flight));
            }
            Fate::Lost { .. } | Fate::Dropped { .. } if once => {
                self.trace(now, TraceKind::Lost, &flight);
            }
            Fate::Lost { waited } => self.recover(now, flight, tries, waited),
            Fate::Dropped { ahead } => self.recover_from_overflow(now, flight, tries, ahead),
        }
    }

    /// Whether something of this probability happens on a link.
    pub(super) fn happens_on(&mut self, link: u32, purpose: Purpose, share: Probability) -> bool {
        let (seed, places) = (self.seed, self.links[link as usize].draw_places());
        Draws { randoms: &mut self.randoms, seed, link, places }.happens(purpose, share)
    }

    fn note_passed(&mut self, route: Route, order: u64) {
        if self.recovering == 0 {
            return;
        }
        if let Some(passed) = self.passed.get_mut(route.conn.slot as usize) {
            passed[route.to as usize] = order;
        }
    }

    pub(super) fn trace(&mut self, at: Nanos, kind: TraceKind, flight: &Flight) {
        let Flight { route, packet, .. } = flight;
        self.trace.happened(&Happening {
            at,
            kind,
            from: route.from_host,
            to: route.to_host,
            packet: packet.kind(),
            connection: Some(route.conn.slot),
            stream: packet.stream().map(|stream| stream.0),
            value: packet.value(),
            number: flight.order,
            payload: packet.payload(),
        });
    }
}
