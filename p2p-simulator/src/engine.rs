//! The simulated network itself: hosts, links, connections, faults, randomness and trace.
//!
//! No executor, no clock, no lock: whoever drives it passes `now` to every call, wakes the tasks that
//! a call leaves in [`Engine::take_wakers`], and calls [`Engine::advance`] when
//! [`Engine::next_event`] has come. Two drivers do: the virtual one in `simulation`, and the live one
//! in `live`.
//!
//! - [`queue`]: what is going to happen;
//! - [`packet`]: what travels; [`net`]: how it gets onto its way; [`link`]: what becomes of it there;
//!   [`recovery`]: how a lost one is sent again;
//! - [`classes`]: which links are like what;
//! - [`endpoint`]: hosts, and what dials and accepts on them;
//! - [`paths`]: direct and relayed ways between two hosts;
//! - [`conn`]: connections with QUIC's shape on top of packets; [`lifecycle`], from the dial to the end;
//!   [`silence`], what ends without a word; [`datagrams`];
//! - [`streams`] on connections; [`stream_arrivals`], what packets do to them; [`stream_calls`], what
//!   their users do;
//! - [`fault`]: cuts, repairs, crashes;
//! - [`random`] and [`normal`], [`trace`], [`wakers`], [`waits`], [`chunks`].

use std::collections::{BTreeMap, BTreeSet};
use std::task::Waker;
use std::time::Duration;

use p2p_core::PeerId;
use p2p_core::transport::LinkClosed;

use crate::profile::NetworkConfig;
use conn::Conns;
use endpoint::{Endpoint, Host};
use fault::{Effect, FaultId};
use link::{Held, Met};
pub(crate) use net::{Net, Route};
pub(crate) use packet::{Direction, Flight, Packet, StreamId};
use paths::PathEvent;
use recovery::Lost;
pub(crate) use streams::StreamAt;
use streams::Streams;
use trace::{Trace, TraceKind};

mod chunks;
pub(crate) mod classes;
pub(crate) mod conn;
mod datagrams;
pub(crate) mod endpoint;
pub(crate) mod fault;
mod lifecycle;
pub(crate) mod link;
mod net;
mod normal;
mod packet;
mod paths;
pub(crate) mod queue;
pub(crate) mod random;
pub(crate) mod recovery;
mod silence;
mod stream_arrivals;
mod stream_calls;
mod streams;
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

impl ConnId {
    /// No connection's.
    const NONE: Self = Self { slot: u32::MAX, generation: u32::MAX };
}

/// One of a connection's two ends. A whole word, so that what has one is moved in whole words: bytes
/// that are read together with their neighbours right after they were written are waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
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

/// What is going to happen.
#[derive(Debug)]
enum Event {
    Deliver(Flight),
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
    BeginFault {
        fault: FaultId,
    },
    EndFault {
        fault: FaultId,
    },
    Path(PathEvent),
}

/// The network.
#[derive(Debug)]
pub(crate) struct Engine {
    pub(crate) hosts: Vec<Host>,
    /// How many hosts have crashed and were not restarted.
    hosts_down: u32,
    endpoints: Vec<Endpoint>,
    by_peer: BTreeMap<PeerId, u32>,
    conns: Conns,
    streams: Streams,
    /// Dials that nobody has answered yet, and when they are given up.
    dials: BTreeSet<(Nanos, ConnId)>,
    /// What wall clocks showed when the network began, since 1970.
    pub(crate) epoch: Duration,
    pub(crate) net: Net,
    wakers: Vec<Waker>,
}

impl Engine {
    pub(crate) fn new(config: &NetworkConfig, record: usize) -> Self {
        Self {
            hosts: Vec::new(),
            hosts_down: 0,
            endpoints: Vec::new(),
            by_peer: BTreeMap::new(),
            conns: Conns::default(),
            streams: Streams::default(),
            dials: BTreeSet::new(),
            epoch: crate::clock::EPOCH,
            net: Net::new(config, record),
            wakers: Vec::new(),
        }
    }

    /// Whether a call left tasks to wake.
    pub(crate) fn has_wakers(&self) -> bool {
        !self.wakers.is_empty()
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
        let next = self.net.queue.next_at();
        match self.dials.first() {
            Some(&(given_up, _)) => Some(next.map_or(given_up, |next| next.min(given_up))),
            None => next,
        }
    }

    pub(crate) const fn trace(&self) -> &Trace {
        &self.net.trace
    }

    pub(crate) const fn trace_mut(&mut self) -> &mut Trace {
        &mut self.net.trace
    }

    /// Lets everything happen that is due at `now`, in order.
    pub(crate) fn advance(&mut self, now: Nanos) {
        loop {
            // A dial that is answered at the last moment is not given up.
            if let Some(&(at, conn)) = self.dials.first() {
                if at <= now && self.net.queue.next_at().is_none_or(|next| at < next) {
                    self.dials.pop_first();
                    self.give_dial_up(at, conn);
                    continue;
                }
            }
            let Some((at, event)) = self.net.queue.pop_due(now) else { return };
            match event {
                Event::Deliver(flight) => self.arrive(at, flight),
                Event::CheckSilence { conn, side } => self.check_silence(at, conn, side),
                Event::Recover(lost) => self.on_recover(at, lost),
                Event::FailDial { conn } => {
                    let message = "the simulated network let it fail".to_owned();
                    self.end(at, conn, Side::Dialler, LinkClosed::Transport { message });
                    self.mark_gone(at, conn, Side::Acceptor);
                }
                Event::BeginFault { fault } => self.begin_planned(at, fault),
                Event::EndFault { fault } => self.end_fault(at, fault),
                Event::Path(event) => self.on_path_event(at, event),
            }
        }
    }

    fn arrive(&mut self, now: Nanos, flight: Flight) {
        let route = flight.route;
        if self.net.is_blocked(route) {
            self.net.meet_block(now, Held { flight, met: Met::HeldAtEnd });
            return;
        }
        if self.hosts_down > 0 && self.hosts[route.to_host as usize].down_since.is_some() {
            self.net.trace(now, TraceKind::Lost, &flight);
            self.net.faults.hit_host(route.to_host, 1, |effect| matches!(effect, Effect::Crash));
            self.mark_gone(now, route.conn, route.to);
            return;
        }
        self.net.trace(now, TraceKind::Arrived, &flight);
        let (conn, side) = (route.conn, route.to);
        match flight.packet {
            Packet::Dial => self.on_dial(now, conn),
            Packet::Answer => self.on_answer(now, conn),
            Packet::Confirm => self.on_established(conn, Side::Acceptor),
            Packet::Data { stream, number, bytes, fin } => {
                self.on_data(now, route, stream, number, bytes, fin);
            }
            Packet::Reset { stream, code } => self.on_reset(now, route, stream, code),
            Packet::Stop { stream, code } => self.on_stop(now, route, stream, code),
            Packet::Window { stream, bytes } => self.on_window(route, stream, bytes),
            Packet::Received { stream } => self.on_received(now, route, stream),
            Packet::StreamEnded { direction } => self.on_stream_ended(conn, side, direction),
            Packet::Datagram(bytes) => self.on_datagram(conn, side, bytes),
            Packet::Close { code, message } => {
                self.end(now, conn, side, LinkClosed::Peer { code, message });
            }
        }
    }
}
