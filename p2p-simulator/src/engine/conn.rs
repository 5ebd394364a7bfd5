//! Connections: who is at their two ends, and what is there.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use p2p_core::transport::LinkClosed;

use super::endpoint::host_address;
use super::streams::NOWHERE;
use super::wakers::WakerSet;
use super::{ConnId, Direction, Engine, Nanos, Route, Side, StreamId};

/// Unidirectional streams that a peer may always open: the engine's, for control and messages.
const ENGINE_STREAMS: u32 = 8;

/// All connections, in reusable slots.
#[derive(Debug, Default)]
pub(super) struct Conns {
    slots: Vec<(u32, Option<Conn>)>,
    free: Vec<u32>,
}

/// Two ends and the way between them. There may be very many that are idle, so they are small: what
/// only some need lies in a box or a list.
#[derive(Debug)]
pub(super) struct Conn {
    pub(super) ends: [End; 2],
    pub(super) hosts: [u32; 2],
    /// The link from each side to the other.
    pub(super) links: [u32; 2],
    /// When the dial is given up.
    pub(super) until: Nanos,
}

/// One end of a connection.
#[derive(Debug)]
pub(super) struct End {
    pub(super) endpoint: u32,
    /// Who uses this end: the link, once there is one, and its streams.
    pub(super) handles: u32,
    pub(super) established: bool,
    pub(super) closed: Option<Box<LinkClosed>>,
    /// Since when it says nothing any more.
    pub(super) gone_since: Option<Nanos>,
    pub(super) idle_timeout: Nanos,
    /// How many streams of each direction the other side lets this one have open.
    pub(super) may_open: [u32; 2],
    pub(super) opened: [u32; 2],
    /// How many of the other side's streams are known, by direction, and how many of those accepted.
    pub(super) known: [u32; 2],
    pub(super) accepted: [u32; 2],
    /// The first in the chain of its streams.
    pub(super) streams: u32,
    /// Made with the first: most connections carry none.
    #[allow(clippy::box_collection)] // A quarter of the room in what there is very much of.
    pub(super) datagrams: Option<Box<VecDeque<Bytes>>>,
    /// Who waits here, for what.
    pub(super) waiting: WakerSet<Wait>,
}

/// What a task can wait for at an end; [`Engine::leave`] takes it back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wait {
    Established,
    Accept(Direction),
    Open(Direction),
    Datagram,
    Path,
    Closed,
}

impl End {
    pub(super) fn new(endpoint: u32, idle_timeout: Nanos, max_streams: u32) -> Self {
        Self {
            endpoint,
            handles: 0,
            established: false,
            closed: None,
            gone_since: None,
            idle_timeout,
            may_open: [max_streams.max(ENGINE_STREAMS), max_streams],
            opened: [0; 2],
            known: [0; 2],
            accepted: [0; 2],
            streams: NOWHERE,
            datagrams: None,
            waiting: WakerSet::default(),
        }
    }

    /// The next of the other side's streams that nobody has accepted yet.
    pub(super) fn accept(&mut self, side: Side, direction: Direction) -> Option<StreamId> {
        let d = direction as usize;
        let next = self.accepted[d];
        if next == self.known[d] {
            return None;
        }
        self.accepted[d] += 1;
        Some(StreamId::new(side.other(), direction, next.into()))
    }
}

impl Conn {
    pub(super) fn route(&self, conn: ConnId, from: Side) -> Route {
        let to = from.other();
        Route {
            conn,
            to,
            from_host: self.hosts[from as usize],
            to_host: self.hosts[to as usize],
            link: self.links[from as usize],
            back: self.links[to as usize],
            stream_from: NOWHERE,
            stream_to: NOWHERE,
        }
    }

    /// The link from a side to the other, and the one back.
    pub(super) const fn links_from(&self, side: Side) -> [u32; 2] {
        let [there, back] = self.links;
        match side {
            Side::Dialler => [there, back],
            Side::Acceptor => [back, there],
        }
    }

    pub(super) fn joins(&self, from: u32, to: u32) -> Option<Side> {
        match self.hosts {
            hosts if hosts == [from, to] => Some(Side::Acceptor),
            hosts if hosts == [to, from] => Some(Side::Dialler),
            _ => None,
        }
    }
}

impl Conns {
    pub(super) fn insert(&mut self, conn: Conn) -> ConnId {
        let slot = self.free.pop().unwrap_or_else(|| {
            self.slots.push((0, None));
            (self.slots.len() - 1) as u32
        });
        let (generation, place) = &mut self.slots[slot as usize];
        *place = Some(conn);
        ConnId { slot, generation: *generation }
    }

    pub(super) fn get(&self, id: ConnId) -> Option<&Conn> {
        let (generation, conn) = self.slots.get(id.slot as usize)?;
        conn.as_ref().filter(|_| *generation == id.generation)
    }

    pub(super) fn get_mut(&mut self, id: ConnId) -> Option<&mut Conn> {
        let (generation, conn) = self.slots.get_mut(id.slot as usize)?;
        conn.as_mut().filter(|_| *generation == id.generation)
    }

    pub(super) fn remove(&mut self, id: ConnId) {
        if self.get(id).is_some() {
            let (generation, conn) = &mut self.slots[id.slot as usize];
            *generation = generation.wrapping_add(1);
            *conn = None;
            self.free.push(id.slot);
        }
    }

    pub(super) fn ids(&self) -> Vec<ConnId> {
        let ids = self.slots.iter().enumerate().filter(|(_, (_, conn))| conn.is_some());
        ids.map(|(slot, (generation, _))| ConnId { slot: slot as u32, generation: *generation })
            .collect()
    }
}

impl Engine {
    pub(super) fn ends_where(&self, which: impl Fn(&Conn, &End) -> bool) -> Vec<(ConnId, Side)> {
        let mut found = Vec::new();
        for id in self.conns.ids() {
            for side in [Side::Dialler, Side::Acceptor] {
                if self.conns.get(id).is_some_and(|conn| which(conn, &conn.ends[side as usize])) {
                    found.push((id, side));
                }
            }
        }
        found
    }

    pub(super) fn end_mut(&mut self, id: ConnId, side: Side) -> Option<&mut End> {
        self.conns.get_mut(id).map(|conn| &mut conn.ends[side as usize])
    }

    /// Waits no longer.
    pub(crate) fn leave(&mut self, id: ConnId, side: Side, ticket: u64) {
        if let Some(end) = self.end_mut(id, side) {
            end.waiting.leave(ticket);
        }
    }

    /// The link from this end to the other.
    pub(crate) fn link_from(&self, id: ConnId, side: Side) -> u32 {
        self.conns.get(id).map_or(NOWHERE, |conn| conn.links[side as usize])
    }

    /// The other end's address and the round trip to it.
    pub(crate) fn path(&self, id: ConnId, side: Side) -> Option<(SocketAddr, Duration)> {
        let route = self.conns.get(id)?.route(id, side);
        Some((host_address(route.to_host), self.net.round_trip(route)))
    }
}

/// What is said of a connection whose ends are both gone.
pub(super) fn forgotten() -> LinkClosed {
    LinkClosed::Transport { message: "the connection is gone".to_owned() }
}
