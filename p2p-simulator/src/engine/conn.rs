//! The life of a connection: dialled, answered, confirmed, closed.

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use p2p_core::PeerId;
use p2p_core::transport::{DatagramError, LinkClosed};

use super::endpoint::host_address;
use super::streams::Stream;
use super::wakers::WakerSet;
use super::{ConnId, Direction, Engine, Event, Nanos, Packet, Route, Side, StreamId, nanos};

/// Datagrams that may wait to be received; then the oldest go.
const MAX_DATAGRAMS: usize = 1024;
/// Unidirectional streams that a peer may always open: the engine's, for control and messages.
const ENGINE_STREAMS: u32 = 8;
/// Bytes that a stream's writer may be ahead of its reader.
pub(crate) const STREAM_WINDOW: u64 = 1 << 20;

/// All connections, in reusable slots.
#[derive(Debug, Default)]
pub(super) struct Conns {
    slots: Vec<(u32, Option<Conn>)>,
    free: Vec<u32>,
}

/// Two ends and the way between them.
#[derive(Debug)]
pub(super) struct Conn {
    pub(super) ends: [End; 2],
    pub(super) peers: [PeerId; 2],
    hosts: [u32; 2],
    /// The link from each side to the other.
    links: [usize; 2],
}

/// One end of a connection.
#[derive(Debug)]
pub(super) struct End {
    pub(super) endpoint: u32,
    /// Who uses this end: the link, once there is one, and its streams.
    pub(super) handles: u32,
    established: bool,
    pub(super) closed: Option<LinkClosed>,
    /// Since when it says nothing any more.
    gone_since: Option<Nanos>,
    pub(super) idle_timeout: Nanos,
    /// How many streams of each direction the other side lets this one have open.
    pub(super) may_open: [u32; 2],
    pub(super) opened: [u64; 2],
    /// How many of the other side's streams are known, by direction.
    pub(super) known: [u64; 2],
    pub(super) to_accept: [VecDeque<StreamId>; 2],
    pub(super) streams: BTreeMap<StreamId, Stream>,
    datagrams: VecDeque<Bytes>,
    pub(super) waiting: Waiting,
}

/// Who waits at an end, for what.
#[derive(Debug, Default)]
pub(super) struct Waiting {
    established: WakerSet,
    pub(super) accept: [WakerSet; 2],
    pub(super) open: [WakerSet; 2],
    datagram: WakerSet,
    closed: WakerSet,
}

/// What a task can wait for at an end; [`Engine::leave`] takes it back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wait {
    Established,
    Accept(Direction),
    Open(Direction),
    Datagram,
    Closed,
}

impl Waiting {
    fn of(&mut self, wait: Wait) -> &mut WakerSet {
        match wait {
            Wait::Established => &mut self.established,
            Wait::Accept(direction) => &mut self.accept[direction as usize],
            Wait::Open(direction) => &mut self.open[direction as usize],
            Wait::Datagram => &mut self.datagram,
            Wait::Closed => &mut self.closed,
        }
    }

    /// Whether somebody waits for the other side's proof.
    pub(super) fn establishing(&self) -> bool {
        !self.established.is_empty()
    }

    pub(super) fn datagram_waited_for(&self) -> bool {
        !self.datagram.is_empty()
    }

    fn wake_all(&mut self, wakers: &mut Vec<Waker>) {
        let [accept_uni, accept_bi] = &mut self.accept;
        let [open_uni, open_bi] = &mut self.open;
        let (established, datagram) = (&mut self.established, &mut self.datagram);
        for set in
            [established, accept_uni, accept_bi, open_uni, open_bi, datagram, &mut self.closed]
        {
            set.wake_all(wakers);
        }
    }
}

impl End {
    fn new(endpoint: u32, idle_timeout: Nanos, max_streams: u32) -> Self {
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
            to_accept: [VecDeque::new(), VecDeque::new()],
            streams: BTreeMap::new(),
            datagrams: VecDeque::new(),
            waiting: Waiting::default(),
        }
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
        }
    }

    fn joins(&self, from: u32, to: u32) -> Option<Side> {
        match self.hosts {
            hosts if hosts == [from, to] => Some(Side::Acceptor),
            hosts if hosts == [to, from] => Some(Side::Dialler),
            _ => None,
        }
    }
}

impl Conns {
    fn insert(&mut self, conn: Conn) -> ConnId {
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

    fn remove(&mut self, id: ConnId) {
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

    /// Begins a connection. `None`: nobody of that name was ever here.
    pub(crate) fn dial(&mut self, now: Nanos, from: u32, peer: PeerId) -> Option<ConnId> {
        let &to = self.by_peer.get(&peer)?;
        let (dialler, acceptor) = (&self.endpoints[from as usize], &self.endpoints[to as usize]);
        let idle = dialler.idle_timeout.min(acceptor.idle_timeout);
        let hosts = [dialler.host, acceptor.host];
        let links = [self.net.link(hosts[0], hosts[1]), self.net.link(hosts[1], hosts[0])];
        let id = self.conns.insert(Conn {
            ends: [
                End::new(from, idle, acceptor.max_streams),
                End::new(to, idle, dialler.max_streams),
            ],
            peers: [dialler.peer, acceptor.peer],
            hosts,
            links,
        });
        self.note_conn(from, id);
        self.note_conn(to, id);
        let dialler = &self.endpoints[from as usize];
        let conn = self.conns.get_mut(id)?;
        conn.ends[Side::Dialler as usize].handles = 1;
        let route = conn.route(id, Side::Dialler);
        if self.net.passed.len() <= id.slot as usize {
            self.net.passed.resize(id.slot as usize + 1, [0; 2]);
        }
        let failures = self.net.connect_failures;
        if dialler.closed {
            let message = "its endpoint was closed".to_owned();
            self.end(now, id, Side::Dialler, LinkClosed::Transport { message });
        } else if self.dial_fails(route) || self.net.connect_fails(route, failures) {
            let trip = nanos(self.net.round_trip(route));
            self.net.trace.mark(now, super::TraceKind::ConnectFailed, hosts[0], hosts[1]);
            self.net.queue.push(now + trip, Event::FailDial { conn: id });
        } else {
            self.net.send(now, route, Packet::Dial);
            // Should no answer ever come, as from an endpoint that is gone.
            self.net.queue.push(now + idle, Event::GiveDialUp { conn: id });
        }
        Some(id)
    }

    /// The acceptor takes the connection up.
    pub(crate) fn answer(&mut self, now: Nanos, id: ConnId) {
        if let Some(conn) = self.conns.get(id) {
            let route = conn.route(id, Side::Acceptor);
            self.net.send(now, route, Packet::Answer);
        }
    }

    pub(super) fn on_answer(&mut self, now: Nanos, id: ConnId) {
        self.on_established(id, Side::Dialler);
        if let Some(conn) = self.conns.get(id) {
            let route = conn.route(id, Side::Dialler);
            self.net.send(now, route, Packet::Confirm);
        }
    }

    pub(super) fn on_established(&mut self, id: ConnId, side: Side) {
        let Some(conn) = self.conns.get_mut(id) else { return };
        let end = &mut conn.ends[side as usize];
        end.established = true;
        end.waiting.established.wake_all(&mut self.wakers);
    }

    /// Waits until the other side has proven who it is.
    pub(crate) fn poll_established(
        &mut self,
        id: ConnId,
        side: Side,
        ticket: &mut Option<u64>,
        cx: &Context<'_>,
    ) -> Poll<Result<(), LinkClosed>> {
        let Some(end) = self.end_mut(id, side) else { return Poll::Ready(Err(forgotten())) };
        if end.established {
            return Poll::Ready(Ok(()));
        }
        if let Some(closed) = &end.closed {
            return Poll::Ready(Err(closed.clone()));
        }
        end.waiting.established.wait(ticket, cx);
        Poll::Pending
    }

    pub(super) fn end_mut(&mut self, id: ConnId, side: Side) -> Option<&mut End> {
        self.conns.get_mut(id).map(|conn| &mut conn.ends[side as usize])
    }

    /// Waits no longer.
    pub(crate) fn leave(&mut self, id: ConnId, side: Side, wait: Wait, ticket: u64) {
        if let Some(end) = self.end_mut(id, side) {
            end.waiting.of(wait).leave(ticket);
        }
    }

    /// The other end's address and the round trip to it.
    pub(crate) fn path(&self, id: ConnId, side: Side) -> Option<(SocketAddr, Duration)> {
        let route = self.conns.get(id)?.route(id, side);
        Some((host_address(route.to_host), self.net.round_trip(route)))
    }

    pub(crate) fn max_datagram(&self, id: ConnId, side: Side) -> usize {
        self.conns.get(id).map_or(0, |conn| self.net.mtu(conn.route(id, side)))
    }

    pub(crate) fn send_datagram(
        &mut self,
        now: Nanos,
        id: ConnId,
        side: Side,
        datagram: Bytes,
    ) -> Result<(), DatagramError> {
        let Some(conn) = self.conns.get(id) else {
            return Err(DatagramError::Closed(forgotten()));
        };
        if let Some(closed) = &conn.ends[side as usize].closed {
            return Err(DatagramError::Closed(closed.clone()));
        }
        let route = conn.route(id, side);
        let max = self.net.mtu(route);
        if datagram.len() > max {
            return Err(DatagramError::TooLarge { max });
        }
        self.net.send(now, route, Packet::Datagram(datagram));
        Ok(())
    }

    pub(super) fn on_datagram(&mut self, id: ConnId, side: Side, datagram: Bytes) {
        let Some(conn) = self.conns.get_mut(id) else { return };
        let end = &mut conn.ends[side as usize];
        if end.closed.is_some() {
            return;
        }
        if end.datagrams.len() >= MAX_DATAGRAMS {
            end.datagrams.pop_front();
        }
        end.datagrams.push_back(datagram);
        end.waiting.datagram.wake_all(&mut self.wakers);
    }

    pub(crate) fn poll_datagram(
        &mut self,
        id: ConnId,
        side: Side,
        ticket: &mut Option<u64>,
        cx: &Context<'_>,
    ) -> Poll<Result<Bytes, LinkClosed>> {
        let Some(end) = self.end_mut(id, side) else { return Poll::Ready(Err(forgotten())) };
        if let Some(datagram) = end.datagrams.pop_front() {
            return Poll::Ready(Ok(datagram));
        }
        if let Some(closed) = &end.closed {
            return Poll::Ready(Err(closed.clone()));
        }
        end.waiting.datagram.wait(ticket, cx);
        Poll::Pending
    }

    /// Closes this end at once, with a word to the other.
    pub(crate) fn close(&mut self, now: Nanos, id: ConnId, side: Side, code: u64, message: &str) {
        let Some(conn) = self.conns.get(id) else { return };
        if conn.ends[side as usize].closed.is_some() {
            return;
        }
        let route = conn.route(id, side);
        let message = message.to_owned();
        self.net.send(now, route, Packet::Close { code, message: message.clone() });
        // A cut swallows the word: then the other side finds silence.
        if self.net.links[route.link].cut_since.is_some() {
            self.expect_silence_of(now, id, side);
        }
        self.end(now, id, side, LinkClosed::Local { code, message });
    }

    /// This end is over, for this reason unless there was one before.
    pub(super) fn end(&mut self, now: Nanos, id: ConnId, side: Side, reason: LinkClosed) {
        let Some(conn) = self.conns.get_mut(id) else { return };
        let end = &mut conn.ends[side as usize];
        if end.closed.is_some() {
            return;
        }
        end.closed = Some(reason);
        end.gone_since = Some(now);
        end.waiting.wake_all(&mut self.wakers);
        for stream in end.streams.values_mut() {
            stream.wake_all(&mut self.wakers);
        }
        self.forget_if_over(id);
    }

    pub(crate) fn close_reason(&self, id: ConnId, side: Side) -> Option<LinkClosed> {
        match self.conns.get(id) {
            Some(conn) => conn.ends[side as usize].closed.clone(),
            None => Some(forgotten()),
        }
    }

    pub(crate) fn poll_closed(
        &mut self,
        id: ConnId,
        side: Side,
        ticket: &mut Option<u64>,
        cx: &Context<'_>,
    ) -> Poll<LinkClosed> {
        let Some(end) = self.end_mut(id, side) else { return Poll::Ready(forgotten()) };
        if let Some(closed) = &end.closed {
            return Poll::Ready(closed.clone());
        }
        end.waiting.closed.wait(ticket, cx);
        Poll::Pending
    }

    /// The link's handle is gone: closes the link.
    pub(crate) fn release(&mut self, now: Nanos, id: ConnId, side: Side) {
        self.close(now, id, side, 0, "");
        self.release_handle(id, side);
    }

    pub(super) fn release_handle(&mut self, id: ConnId, side: Side) {
        if let Some(end) = self.end_mut(id, side) {
            end.handles = end.handles.saturating_sub(1);
        }
        self.forget_if_over(id);
    }

    /// An end says nothing any more, and nobody is there to know.
    pub(super) fn mark_gone(&mut self, now: Nanos, id: ConnId, side: Side) {
        if let Some(end) = self.end_mut(id, side) {
            end.gone_since.get_or_insert(now);
            self.forget_if_over(id);
        }
    }

    /// Forgets a connection that is over and that nobody holds.
    fn forget_if_over(&mut self, id: ConnId) {
        let Some(conn) = self.conns.get(id) else { return };
        if conn.ends.iter().all(|end| end.handles == 0 && end.gone_since.is_some()) {
            self.conns.remove(id);
        }
    }

    /// Nobody answered the dial in time.
    pub(super) fn give_dial_up(&mut self, now: Nanos, id: ConnId) {
        if self.end_mut(id, Side::Dialler).is_some_and(|end| !end.established) {
            self.end(now, id, Side::Dialler, LinkClosed::TimedOut);
        }
    }

    /// Ends this end if it has heard nothing for its idle timeout. Keep-alives are not simulated one
    /// by one: an end hears the other as long as there is a way and somebody there.
    pub(super) fn check_silence(&mut self, now: Nanos, id: ConnId, side: Side) {
        let Some(conn) = self.conns.get(id) else { return };
        let route = conn.route(id, side);
        let silent_since = [
            self.net.links[route.back].cut_since,
            self.hosts[route.to_host as usize].down_since,
            self.hosts[route.to_host as usize].tasks.paused_since,
            conn.ends[side.other() as usize].gone_since,
        ];
        let end = &conn.ends[side as usize];
        let since = silent_since.into_iter().flatten().min();
        if end.closed.is_none() && since.is_some_and(|since| now - since >= end.idle_timeout) {
            self.net.trace.mark(now, super::TraceKind::TimedOut, route.to_host, route.from_host);
            self.net.faults.hit_silence(route.to_host, route.from_host);
            self.expect_silence_of(now, id, side);
            self.end(now, id, side, LinkClosed::TimedOut);
        }
    }

    /// This end says nothing any more: begins to count the silence at the other.
    pub(super) fn expect_silence_of(&mut self, now: Nanos, conn: ConnId, side: Side) {
        let side = side.other();
        if let Some(end) = self.end_mut(conn, side) {
            let at = now + end.idle_timeout;
            self.net.queue.push(at, Event::CheckSilence { conn, side });
        }
    }

    /// Begins to count the silence of those ends that can no longer hear.
    pub(super) fn expect_silence(&mut self, now: Nanos, from: u32, to: u32) {
        for id in self.conns.ids() {
            let Some(conn) = self.conns.get(id) else { continue };
            if let Some(side) = conn.joins(from, to) {
                let idle = conn.ends[side as usize].idle_timeout;
                self.net.queue.push(now + idle, Event::CheckSilence { conn: id, side });
            }
        }
    }
}

/// What is said of a connection whose ends are both gone.
pub(super) fn forgotten() -> LinkClosed {
    LinkClosed::Transport { message: "the connection is gone".to_owned() }
}
