//! The simulated network itself: hosts, links, connections, faults, randomness and trace.
//!
//! No executor, no clock, no lock: whoever drives it passes `now` to every call, wakes the tasks that
//! a call leaves in [`Engine::take_wakers`], and calls [`Engine::advance`] when
//! [`Engine::next_event`] has come. Two drivers do: the virtual one in `simulation`, and the live one
//! in `live`.
//!
//! - [`queue`]: what is going to happen;
//! - [`link`]: what becomes of a packet; [`recovery`]: how a lost one is sent again;
//! - [`classes`]: which links are like what;
//! - [`endpoint`]: hosts, and what dials and accepts on them;
//! - [`conn`] and [`streams`]: connections with QUIC's shape on top of packets;
//! - [`fault`]: cuts, repairs, crashes;
//! - [`random`] and [`normal`], [`trace`], [`wakers`], [`waits`].

use std::collections::BTreeMap;
use std::task::Waker;
use std::time::Duration;

use bytes::Bytes;
use p2p_core::PeerId;
use p2p_core::transport::LinkClosed;

use crate::profile::NetworkConfig;
use conn::Conns;
use endpoint::{Endpoint, Host};
use fault::{Effect, FaultId, Faults};
use link::{Compiled, Fate, Held, Link, Met};
use queue::EventQueue;
use random::Probability;
use recovery::{Lost, Tries};
use trace::{PayloadDigest, Trace, TraceEvent, TraceKind};

pub(crate) mod classes;
pub(crate) mod conn;
pub(crate) mod endpoint;
pub(crate) mod fault;
pub(crate) mod link;
mod normal;
pub(crate) mod queue;
pub(crate) mod random;
pub(crate) mod recovery;
pub(crate) mod streams;
pub(crate) mod trace;
mod waits;
pub(crate) mod wakers;

/// Nanoseconds since the network began.
pub(crate) type Nanos = u64;

pub(crate) fn nanos(duration: Duration) -> Nanos {
    u64::try_from(duration.as_nanos()).unwrap_or(Nanos::MAX)
}

/// A connection. The generation tells it from an earlier one in the same slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct ConnId {
    slot: u32,
    generation: u32,
}

/// One of a connection's two ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    Dialler = 0,
    Acceptor = 1,
}

impl Side {
    pub(crate) const fn other(self) -> Self {
        match self {
            Self::Dialler => Self::Acceptor,
            Self::Acceptor => Self::Dialler,
        }
    }
}

/// Whether a stream goes one way or both.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Direction {
    Uni = 0,
    Bi = 1,
}

/// A stream's number: what QUIC makes of opener, direction and count (RFC 9000, section 2.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct StreamId(u64);

impl StreamId {
    const fn new(opener: Side, direction: Direction, count: u64) -> Self {
        Self(count << 2 | (direction as u64) << 1 | opener as u64)
    }

    const fn opener(self) -> Side {
        if self.0 & 1 == 0 { Side::Dialler } else { Side::Acceptor }
    }

    const fn direction(self) -> Direction {
        if self.0 & 2 == 0 { Direction::Uni } else { Direction::Bi }
    }

    const fn count(self) -> u64 {
        self.0 >> 2
    }
}

/// What travels between the two ends of a connection.
#[derive(Clone, Debug)]
pub(crate) enum Packet {
    /// Somebody wants a connection.
    Dial,
    /// The acceptor has taken it up and proven who it is.
    Answer,
    /// The dialler has proven who it is.
    Confirm,
    Data {
        stream: StreamId,
        /// Counts the packets of this half of the stream.
        number: u64,
        bytes: Bytes,
        fin: bool,
    },
    Reset {
        stream: StreamId,
        code: u64,
    },
    Stop {
        stream: StreamId,
        code: u64,
    },
    /// The reader has room for this many bytes more.
    Window {
        stream: StreamId,
        bytes: u64,
    },
    /// The reader's transport has all of the stream.
    Received {
        stream: StreamId,
    },
    /// One more stream may be opened.
    StreamEnded {
        direction: Direction,
    },
    Datagram(Bytes),
    Close {
        code: u64,
        message: String,
    },
}

/// What a packet's loss means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Delivery {
    /// It is sent again until it arrives.
    Reliable,
    /// It is sent again while there is a way, but nobody waits for a repair.
    Farewell,
    /// It is gone.
    Once,
}

impl Packet {
    const fn delivery(&self) -> Delivery {
        match self {
            Self::Datagram(_) => Delivery::Once,
            Self::Close { .. } => Delivery::Farewell,
            _ => Delivery::Reliable,
        }
    }

    const fn kind(&self) -> u8 {
        match self {
            Self::Dial => 1,
            Self::Answer => 2,
            Self::Confirm => 3,
            Self::Data { .. } => 4,
            Self::Reset { .. } => 5,
            Self::Stop { .. } => 6,
            Self::Window { .. } => 7,
            Self::Received { .. } => 8,
            Self::StreamEnded { .. } => 9,
            Self::Datagram(_) => 10,
            Self::Close { .. } => 11,
        }
    }

    /// The stream it belongs to.
    const fn stream(&self) -> Option<StreamId> {
        match self {
            Self::Data { stream, .. }
            | Self::Reset { stream, .. }
            | Self::Stop { stream, .. }
            | Self::Window { stream, .. }
            | Self::Received { stream } => Some(*stream),
            _ => None,
        }
    }

    /// What it says besides stream and payload.
    const fn value(&self) -> u64 {
        match self {
            Self::Data { fin, .. } => *fin as u64,
            Self::Reset { code, .. } | Self::Stop { code, .. } | Self::Close { code, .. } => *code,
            Self::Window { bytes, .. } => *bytes,
            Self::StreamEnded { direction } => *direction as u64,
            _ => 0,
        }
    }

    fn payload(&self) -> &[u8] {
        match self {
            Self::Data { bytes, .. } | Self::Datagram(bytes) => bytes,
            Self::Close { message, .. } => message.as_bytes(),
            _ => &[],
        }
    }
}

/// What is going to happen.
#[derive(Debug)]
enum Event {
    Deliver {
        route: Route,
        order: u64,
        /// When it set out.
        sent_at: Nanos,
        packet: Packet,
    },
    /// Time to look whether this end has heard nothing for too long.
    CheckSilence {
        conn: ConnId,
        side: Side,
    },
    /// A packet of a stream was lost.
    Recover(Box<Lost>),
    FailDial {
        conn: ConnId,
    },
    GiveDialUp {
        conn: ConnId,
    },
    BeginFault {
        fault: FaultId,
    },
    EndFault {
        fault: FaultId,
    },
}

/// From where to where a packet goes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Route {
    conn: ConnId,
    to: Side,
    from_host: u32,
    to_host: u32,
    link: usize,
    back: usize,
}

/// The network.
#[derive(Debug)]
pub(crate) struct Engine {
    pub(crate) hosts: Vec<Host>,
    endpoints: Vec<Endpoint>,
    by_peer: BTreeMap<PeerId, u32>,
    conns: Conns,
    /// What wall clocks showed when the network began, since 1970.
    pub(crate) epoch: Duration,
    pub(crate) net: Net,
    wakers: Vec<Waker>,
}

/// Links and what is on them.
#[derive(Debug)]
pub(crate) struct Net {
    seed: u64,
    connect_failures: Probability,
    /// The default, then those of zones and of single links.
    profiles: Vec<Compiled>,
    zones: Vec<String>,
    zone_of: Vec<u32>,
    zone_links: BTreeMap<(u32, u32), u32>,
    links: Vec<Link>,
    by_hosts: BTreeMap<(u32, u32), usize>,
    queue: EventQueue<Event>,
    trace: Trace,
    pub(crate) faults: Faults,
    sent: u64,
    /// The last packet of each connection's slot and direction that got onto its way.
    passed: Vec<[u64; 2]>,
}

impl Engine {
    pub(crate) fn new(config: &NetworkConfig, record: usize) -> Self {
        Self {
            hosts: Vec::new(),
            endpoints: Vec::new(),
            by_peer: BTreeMap::new(),
            conns: Conns::default(),
            epoch: crate::clock::EPOCH,
            net: Net {
                seed: config.seed,
                connect_failures: Probability::new(config.connect_failures),
                profiles: vec![Compiled::from(&config.link)],
                zones: Vec::new(),
                zone_of: Vec::new(),
                zone_links: BTreeMap::new(),
                links: Vec::new(),
                by_hosts: BTreeMap::new(),
                queue: EventQueue::new(),
                trace: Trace::new(record),
                faults: Faults::new(),
                sent: 0,
                passed: Vec::new(),
            },
            wakers: Vec::new(),
        }
    }

    /// The tasks to wake after a call.
    pub(crate) fn take_wakers(&mut self) -> Vec<Waker> {
        std::mem::take(&mut self.wakers)
    }

    /// The task to wake after a call, if it is only one.
    pub(crate) fn take_only_waker(&mut self) -> Option<Waker> {
        if self.wakers.len() == 1 { self.wakers.pop() } else { None }
    }

    /// When something happens next.
    pub(crate) fn next_event(&self) -> Option<Nanos> {
        self.net.queue.next_at()
    }

    pub(crate) const fn trace(&self) -> &Trace {
        &self.net.trace
    }

    pub(crate) const fn trace_mut(&mut self) -> &mut Trace {
        &mut self.net.trace
    }

    /// Lets everything happen that is due at `now`, in order.
    pub(crate) fn advance(&mut self, now: Nanos) {
        while let Some((at, event)) = self.net.queue.pop_due(now) {
            match event {
                Event::Deliver { route, order, sent_at, packet } => {
                    self.arrive(at, route, order, sent_at, packet);
                }
                Event::CheckSilence { conn, side } => self.check_silence(at, conn, side),
                Event::Recover(lost) => self.on_recover(at, lost),
                Event::FailDial { conn } => {
                    let message = "the simulated network let it fail".to_owned();
                    self.end(at, conn, Side::Dialler, LinkClosed::Transport { message });
                    self.mark_gone(at, conn, Side::Acceptor);
                }
                Event::GiveDialUp { conn } => self.give_dial_up(at, conn),
                Event::BeginFault { fault } => self.begin_planned(at, fault),
                Event::EndFault { fault } => self.end_fault(at, fault),
            }
        }
    }

    fn arrive(&mut self, now: Nanos, route: Route, order: u64, sent_at: Nanos, packet: Packet) {
        if self.net.is_blocked(route) {
            let held = Held { route, order, sent_at, packet, met: Met::HeldAtEnd };
            self.net.meet_block(now, held);
            return;
        }
        if self.hosts[route.to_host as usize].down_since.is_some() {
            self.net.trace(now, TraceKind::Lost, route, &packet);
            self.net.faults.hit_host(route.to_host, 1, |effect| matches!(effect, Effect::Crash));
            self.mark_gone(now, route.conn, route.to);
            return;
        }
        self.net.trace(now, TraceKind::Arrived, route, &packet);
        let (conn, side) = (route.conn, route.to);
        match packet {
            Packet::Dial => self.on_dial(now, conn),
            Packet::Answer => self.on_answer(now, conn),
            Packet::Confirm => self.on_established(conn, Side::Acceptor),
            Packet::Data { stream, number, bytes, fin } => {
                self.on_data(now, route, stream, number, bytes, fin);
            }
            Packet::Reset { stream, code } => self.on_reset(now, conn, side, stream, code),
            Packet::Stop { stream, code } => self.on_stop(now, conn, side, stream, code),
            Packet::Window { stream, bytes } => self.on_window(conn, side, stream, bytes),
            Packet::Received { stream } => self.on_received(now, conn, side, stream),
            Packet::StreamEnded { direction } => self.on_stream_ended(conn, side, direction),
            Packet::Datagram(bytes) => self.on_datagram(conn, side, bytes),
            Packet::Close { code, message } => {
                self.end(now, conn, side, LinkClosed::Peer { code, message });
            }
        }
    }
}

impl Net {
    /// The round trip over a route, as its ends estimate it.
    pub(crate) fn round_trip(&self, route: Route) -> Duration {
        Duration::from_nanos(self.round_trip_estimate(route).mean)
    }

    pub(crate) fn mtu(&self, route: Route) -> usize {
        self.profile(route.link).mtu
    }

    fn send(&mut self, now: Nanos, route: Route, packet: Packet) {
        self.sent += 1;
        let order = self.sent;
        self.trace(now, TraceKind::Sent, route, &packet);
        self.put_on_link(now, route, order, packet, 0, Tries::first(now));
    }

    /// Sends a packet that had to wait, to arrive no sooner than `not_before`.
    fn transmit(
        &mut self,
        now: Nanos,
        route: Route,
        order: u64,
        packet: Packet,
        not_before: Nanos,
    ) {
        self.put_on_link(now, route, order, packet, not_before, Tries::first(now));
    }

    /// Sends a packet that was lost again. For its sender it is a new one (RFC 9002, section 3).
    fn resend(&mut self, now: Nanos, route: Route, packet: Packet, tries: Tries) {
        self.sent += 1;
        let order = self.sent;
        self.trace(now, TraceKind::Resent, route, &packet);
        self.put_on_link(now, route, order, packet, 0, tries);
    }

    fn put_on_link(
        &mut self,
        now: Nanos,
        route: Route,
        order: u64,
        packet: Packet,
        not_before: Nanos,
        tries: Tries,
    ) {
        if self.is_blocked(route) {
            let met = Met::HeldAtStart;
            self.meet_block(now, Held { route, order, sent_at: now, packet, met });
            return;
        }
        self.faults.pass(route);
        let link = &mut self.links[route.link];
        let once = packet.delivery() == Delivery::Once;
        let profile = &self.profiles[link.profile as usize];
        match link.transmit(now, self.seed, packet.payload().len(), once, profile) {
            Fate::Arrives(at) => {
                self.note_passed(route, order);
                let event = Event::Deliver { route, order, sent_at: now, packet };
                self.queue.push(at.max(not_before), event);
            }
            Fate::Twice(at, again) => {
                self.note_passed(route, order);
                let (sent_at, copy) = (now, packet.clone());
                self.queue.push(at, Event::Deliver { route, order, sent_at, packet });
                self.queue.push(again, Event::Deliver { route, order, sent_at, packet: copy });
            }
            Fate::Lost { .. } | Fate::Dropped { .. } if once => {
                self.trace(now, TraceKind::Lost, route, &packet);
            }
            Fate::Lost { waited } => self.recover(now, route, order, packet, tries, waited),
            Fate::Dropped { ahead } => {
                self.recover_from_overflow(now, route, order, packet, tries, ahead);
            }
        }
    }

    fn note_passed(&mut self, route: Route, order: u64) {
        if let Some(passed) = self.passed.get_mut(route.conn.slot as usize) {
            passed[route.to as usize] = order;
        }
    }

    fn trace(&mut self, at: Nanos, kind: TraceKind, route: Route, packet: &Packet) {
        let payload = packet.payload();
        let event = TraceEvent {
            at_ns: at,
            kind,
            from: route.from_host,
            to: route.to_host,
            packet: packet.kind(),
            bytes: payload.len() as u32,
            connection: Some(route.conn.slot),
            stream: packet.stream().map(|stream| stream.0),
            value: packet.value(),
            payload: PayloadDigest::default(),
        };
        self.trace.event(event, payload);
    }
}
