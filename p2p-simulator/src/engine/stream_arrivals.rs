//! What arriving packets do to streams.

use bytes::Bytes;

use super::conn::Wait;
use super::streams::{RecvHalf, SendHalf, Stream};
use super::{ConnId, Direction, Engine, Nanos, Packet, Route, Side, StreamId};

impl Engine {
    /// The stream of an arriving packet. One of the other side's that is not known yet comes into
    /// being, with those before it, so that streams are accepted in the order of opening.
    fn arriving(&mut self, id: ConnId, side: Side, stream: StreamId) -> Option<&mut Stream> {
        let end = &mut self.conns.get_mut(id)?.ends[side as usize];
        if end.closed.is_some() {
            return None;
        }
        if stream.opener() != side {
            let (direction, d) = (stream.direction(), stream.direction() as usize);
            while u64::from(end.known[d]) <= stream.count() {
                let next = StreamId::new(stream.opener(), direction, end.known[d].into());
                end.known[d] += 1;
                end.streams.insert(Stream::accepted(next));
                end.waiting.wake(Wait::Accept(direction), &mut self.wakers);
            }
        }
        end.streams.get_mut(stream)
    }

    /// Lets a packet change the sending half of its stream, and whoever waits there look again.
    fn change_send(
        &mut self,
        id: ConnId,
        side: Side,
        stream: StreamId,
        change: impl FnOnce(&mut SendHalf),
    ) {
        let half = self.arriving(id, side, stream).and_then(Stream::send_mut);
        let waker = half.and_then(|half| {
            change(half);
            half.waker.take()
        });
        self.wakers.extend(waker);
    }

    /// The same for the receiving half.
    fn change_recv(
        &mut self,
        id: ConnId,
        side: Side,
        stream: StreamId,
        change: impl FnOnce(&mut RecvHalf),
    ) {
        let half = self.arriving(id, side, stream).and_then(Stream::recv_mut);
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
        let (id, side) = (route.conn, route.to);
        let state = self.arriving(id, side, stream).and_then(Stream::recv_mut);
        let Some(half) = state else { return };
        let waker = if half.take(number, bytes, fin) { half.waker.take() } else { None };
        // All has come, or will not be missed.
        let complete = half.finished || (fin && half.is_over());
        let all = complete && !std::mem::replace(&mut half.confirmed, complete);
        self.wakers.extend(waker);
        if all {
            self.reply(now, id, side, Packet::Received { stream });
            // All before it may have been read already.
            self.settle(now, id, side, stream);
        }
    }

    pub(super) fn on_reset(
        &mut self,
        now: Nanos,
        id: ConnId,
        side: Side,
        stream: StreamId,
        code: u64,
    ) {
        self.change_recv(id, side, stream, |half| {
            // If all has arrived, there is nothing left to give up.
            if !half.finished {
                half.reset = Some(code);
                half.give_up();
            }
        });
        self.settle(now, id, side, stream);
    }

    pub(super) fn on_stop(
        &mut self,
        now: Nanos,
        id: ConnId,
        side: Side,
        stream: StreamId,
        code: u64,
    ) {
        self.change_send(id, side, stream, |half| {
            if !half.received {
                half.stopped = Some(code);
            }
        });
        self.settle(now, id, side, stream);
    }

    pub(super) fn on_window(&mut self, id: ConnId, side: Side, stream: StreamId, bytes: u64) {
        self.change_send(id, side, stream, |half| half.room += bytes);
    }

    pub(super) fn on_received(&mut self, now: Nanos, id: ConnId, side: Side, stream: StreamId) {
        self.change_send(id, side, stream, |half| half.received = true);
        self.settle(now, id, side, stream);
    }

    pub(super) fn on_stream_ended(&mut self, id: ConnId, side: Side, direction: Direction) {
        let Some(conn) = self.conns.get_mut(id) else { return };
        let end = &mut conn.ends[side as usize];
        end.may_open[direction as usize] += 1;
        end.waiting.wake(Wait::Open(direction), &mut self.wakers);
    }
}
