//! The life of a connection: dialled, answered, confirmed, closed.

use std::task::{Context, Poll};

use p2p_core::PeerId;
use p2p_core::transport::LinkClosed;

use super::conn::{Conn, End, Wait, forgotten};
use super::trace::TraceKind;
use super::{ConnId, Engine, Event, Nanos, Packet, Side, nanos};

impl Engine {
    /// Begins a connection. `None`: nobody of that name was ever here.
    pub(crate) fn dial(&mut self, now: Nanos, from: u32, peer: PeerId) -> Option<(ConnId, u32)> {
        let &to = self.by_peer.get(&peer)?;
        let (dialler, acceptor) = (&self.endpoints[from as usize], &self.endpoints[to as usize]);
        let idle = dialler.limits.idle_timeout.min(acceptor.limits.idle_timeout);
        let hosts = [dialler.host, acceptor.host];
        let direct = [(hosts[0], hosts[1]), (hosts[1], hosts[0])]
            .map(|(from, to)| self.net.link(from, to) as u32);
        let links = self.path_for_dial(now, from, to).unwrap_or(direct);
        let (dialler, acceptor) = (&self.endpoints[from as usize], &self.endpoints[to as usize]);
        let id = self.conns.insert(Conn {
            ends: [
                End::new(from, idle, acceptor.limits.max_streams),
                End::new(to, idle, dialler.limits.max_streams),
            ],
            hosts,
            links,
            until: now.saturating_add(idle),
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
            self.net.trace.mark(now, TraceKind::ConnectFailed, hosts[0], hosts[1]);
            self.net.queue.push(now + trip, Event::FailDial { conn: id });
        } else {
            self.net.send(now, route, Packet::Dial);
            // Should no answer ever come, as from an endpoint that is gone.
            self.dials.insert((now.saturating_add(idle), id));
        }
        Some((id, to))
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
        if side == Side::Dialler && !end.established {
            self.dials.remove(&(conn.until, id));
        }
        end.established = true;
        end.waiting.wake(Wait::Established, &mut self.wakers);
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
            return Poll::Ready(Err(LinkClosed::clone(closed)));
        }
        end.waiting.wait_for(Wait::Established, ticket, cx);
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
        // The word may never arrive: then the other side finds silence.
        self.expect_silence_of(now, id, side);
        self.end(now, id, side, LinkClosed::Local { code, message });
    }

    /// This end is over, for this reason unless there was one before.
    pub(super) fn end(&mut self, now: Nanos, id: ConnId, side: Side, reason: LinkClosed) {
        let Some(conn) = self.conns.get_mut(id) else { return };
        let end = &mut conn.ends[side as usize];
        if end.closed.is_some() {
            return;
        }
        if side == Side::Dialler && !end.established {
            self.dials.remove(&(conn.until, id));
        }
        end.closed = Some(Box::new(reason));
        end.gone_since = Some(now);
        end.waiting.wake_all(&mut self.wakers);
        for slot in self.streams.in_order(end.streams) {
            let Some(stream) = self.streams.at_mut(slot) else { continue };
            stream.closed = true;
            stream.wake_all(&mut self.wakers);
        }
        self.forget_if_over(id);
    }

    pub(crate) fn close_reason(&self, id: ConnId, side: Side) -> Option<LinkClosed> {
        match self.conns.get(id) {
            Some(conn) => conn.ends[side as usize].closed.as_deref().cloned(),
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
            return Poll::Ready(LinkClosed::clone(closed));
        }
        end.waiting.wait_for(Wait::Closed, ticket, cx);
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
        let Some(conn) = self.conns.get_mut(id) else { return };
        if conn.ends.iter().all(|end| end.handles == 0 && end.gone_since.is_some()) {
            conn.ends.iter_mut().for_each(|end| self.streams.remove_all(&mut end.streams));
            self.conns.remove(id);
        }
    }

    /// Nobody answered the dial in time.
    pub(super) fn give_dial_up(&mut self, now: Nanos, id: ConnId) {
        if self.end_mut(id, Side::Dialler).is_some_and(|end| !end.established) {
            self.end(now, id, Side::Dialler, LinkClosed::TimedOut);
        }
    }
}
