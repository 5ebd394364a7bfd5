//! What arriving packets do to streams.

use bytes::Bytes;

use super::conn::Wait;
use super::streams::{RecvHalf, SendHalf, Stream};
use super::{ConnId, Direction, Engine, Nanos, Packet, Route, Side, StreamAt, StreamId};

impl Engine {
    /// Where the stream of an arriving packet is. One of the other side's that is not known yet comes
    /// into being, with those before it, so that streams are accepted in the order of opening.
    fn arriving(&mut self, route: Route, stream: StreamId) -> Option<StreamAt> {
        let Route { conn: id, to: side, .. } = route;
        let at = |slot| StreamAt { conn: id, side, stream, slot };
        if let Some(known) = self.streams.get(at(route.stream_to)) {
            return (!known.closed).then_some(at(route.stream_to));
        }
        let end = &mut self.conns.get_mut(id)?.ends[side as usize];
        if end.closed.is_some() {
            return None;
        }
        if stream.opener() != side {
            let (direction, d) = (stream.direction(), stream.direction() as usize);
            while u64::from(end.known[d]) <= stream.count() {
                let next = StreamId::new(stream.opener(), direction, end.known[d].into());
                end.known[d] += 1;
                let links = [route.back, route.link];
                let next = Stream::accepted(id, side, next, links);
                self.streams.insert(&mut end.streams, next);
                end.waiting.wake(Wait::Accept(direction), &mut self.wakers);
            }
        }
        let slot = self.streams.find(end.streams, stream)?;
        // From now on each of the two ends knows where the other is.
        self.streams.at_mut(slot)?.peer = route.stream_from;
        let peer = StreamAt { conn: id, side: side.other(), stream, slot: route.stream_from };
        if let Some(peer) = self.streams.get_mut(peer) {
            peer.peer = slot;
        }
        Some(at(slot))
    }

    /// Lets a packet change the sending half of its stream, and whoever waits there look again.
    fn change_send(&mut self, at: Option<StreamAt>, change: impl FnOnce(&mut SendHalf)) {
        let half = at.and_then(|at| self.streams.send_mut(at));
        let waker = half.and_then(|half| {
            change(half);
            half.waker.take()
        });
        self.wakers.extend(waker);
    }

    /// The same for the receiving half.
    fn change_recv(&mut self, at: Option<StreamAt>, change: impl FnOnce(&mut RecvHalf)) {
        let half = at.and_then(|at| self.streams.recv_mut(at));
        let waker = half.and_then(|half| {
            change(half);
            half.waker.take()
        });
        self.wakers.extend(waker);
    }

    pub(super) fn on_data(
        &mut self,
        now: Nanos,
        route: Route,
        stream: StreamId,
        number: u64,
        bytes: Bytes,
        fin: bool,
    ) {
        let Some(at) = self.arriving(route, stream) else { return };
        let Some(half) = self.streams.recv_mut(at) else { return };
        let waker = if half.take(number, bytes, fin) { half.waker.take() } else { None };
        // All has come, or will not be missed.
        let complete = half.finished || (fin && half.is_over());
        let all = complete && !std::mem::replace(&mut half.confirmed, complete);
        self.wakers.extend(waker);
        if all {
            self.reply(now, at, Packet::Received { stream });
            // All before it may have been read already.
            self.settle(now, at);
        }
    }

    pub(super) fn on_reset(&mut self, now: Nanos, route: Route, stream: StreamId, code: u64) {
        let at = self.arriving(route, stream);
        self.change_recv(at, |half| {
            // If all has arrived, there is nothing left to give up.
            if !half.finished {
                half.is_reset = true;
                half.reset = code;
                half.give_up();
            }
        });
        at.into_iter().for_each(|at| self.settle(now, at));
    }

    pub(super) fn on_stop(&mut self, now: Nanos, route: Route, stream: StreamId, code: u64) {
        let at = self.arriving(route, stream);
        self.change_send(at, |half| {
            if !half.received {
                half.stopped = Some(code);
            }
        });
        at.into_iter().for_each(|at| self.settle(now, at));
    }

    pub(super) fn on_window(&mut self, route: Route, stream: StreamId, bytes: u64) {
        let at = self.arriving(route, stream);
        self.change_send(at, |half| half.room += bytes);
    }

    pub(super) fn on_received(&mut self, now: Nanos, route: Route, stream: StreamId) {
        let at = self.arriving(route, stream);
        self.change_send(at, |half| half.received = true);
        at.into_iter().for_each(|at| self.settle(now, at));
    }

    pub(super) fn on_stream_ended(&mut self, id: ConnId, side: Side, direction: Direction) {
        let Some(conn) = self.conns.get_mut(id) else { return };
        let end = &mut conn.ends[side as usize];
        end.may_open[direction as usize] += 1;
        end.waiting.wake(Wait::Open(direction), &mut self.wakers);
    }
}
