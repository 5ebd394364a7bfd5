//! What the users of streams do: open, write, read, finish, give up.

use std::task::{Context, Poll};

use bytes::Bytes;
use p2p_core::StreamError;
use p2p_core::transport::LinkClosed;

use super::conn::{Conn, Wait, forgotten};
use super::streams::{STREAM_WINDOW, Stream};
use super::{ConnId, Direction, Engine, Nanos, Packet, Side, StreamId};

impl Engine {
    /// Opens a stream, waiting while the other side allows no more.
    pub(crate) fn poll_open(
        &mut self,
        id: ConnId,
        side: Side,
        direction: Direction,
        ticket: &mut Option<u64>,
        cx: &Context<'_>,
    ) -> Poll<Result<StreamId, LinkClosed>> {
        let Some(end) = self.end_mut(id, side) else { return Poll::Ready(Err(forgotten())) };
        if let Some(closed) = &end.closed {
            return Poll::Ready(Err(LinkClosed::clone(closed)));
        }
        let d = direction as usize;
        if end.may_open[d] == 0 {
            end.waiting.wait_for(Wait::Open(direction), ticket, cx);
            return Poll::Pending;
        }
        end.may_open[d] -= 1;
        let stream = StreamId::new(side, direction, end.opened[d].into());
        end.opened[d] += 1;
        end.streams.insert(Stream::opened(stream));
        end.handles += 1 + u32::from(direction == Direction::Bi);
        Poll::Ready(Ok(stream))
    }

    /// The next stream that the other side opened.
    pub(crate) fn poll_accept(
        &mut self,
        id: ConnId,
        side: Side,
        direction: Direction,
        ticket: &mut Option<u64>,
        cx: &Context<'_>,
    ) -> Poll<Result<StreamId, LinkClosed>> {
        let Some(end) = self.end_mut(id, side) else { return Poll::Ready(Err(forgotten())) };
        if let Some(stream) = end.accept(side, direction) {
            end.handles += 1 + u32::from(direction == Direction::Bi);
            return Poll::Ready(Ok(stream));
        }
        if let Some(closed) = &end.closed {
            return Poll::Ready(Err(LinkClosed::clone(closed)));
        }
        end.waiting.wait_for(Wait::Accept(direction), ticket, cx);
        Poll::Pending
    }

    /// Sends a packet to the other side, unless this end is closed.
    pub(super) fn reply(&mut self, now: Nanos, id: ConnId, side: Side, packet: Packet) {
        let open = |conn: &&Conn| conn.ends[side as usize].closed.is_none();
        if let Some(conn) = self.conns.get(id).filter(open) {
            self.net.send(now, conn.route(id, side), packet);
        }
    }

    /// If both halves are over: lets the other side open another stream in place of one of its own,
    /// and forgets a stream that nobody holds.
    pub(super) fn settle(&mut self, now: Nanos, id: ConnId, side: Side, stream: StreamId) {
        let Some(end) = self.end_mut(id, side) else { return };
        let Some(state) = end.streams.get_mut(stream).filter(|state| state.is_over()) else {
            return;
        };
        let give_back = stream.opener() != side && !state.given_back;
        state.given_back |= give_back;
        if state.held == 0 {
            end.streams.remove(stream);
        }
        if give_back {
            self.reply(now, id, side, Packet::StreamEnded { direction: stream.direction() });
        }
    }

    /// Writes from the front of `data` as much as the reader has room for, in packets.
    pub(crate) fn poll_write(
        &mut self,
        now: Nanos,
        id: ConnId,
        side: Side,
        stream: StreamId,
        data: &mut Bytes,
        cx: &Context<'_>,
    ) -> Poll<Result<(), StreamError>> {
        let Some(conn) = self.conns.get_mut(id) else {
            return Poll::Ready(Err(forgotten().into()));
        };
        let route = conn.route(id, side);
        let end = &mut conn.ends[side as usize];
        let Some(half) = end.streams.send_mut(stream) else {
            return Poll::Ready(Err(StreamError::Finished));
        };
        if half.finished || half.reset {
            return Poll::Ready(Err(StreamError::Finished));
        }
        if let Some(closed) = &end.closed {
            return Poll::Ready(Err(LinkClosed::clone(closed).into()));
        }
        if let Some(code) = half.stopped {
            return Poll::Ready(Err(StreamError::Stopped { code }));
        }
        if data.is_empty() {
            return Poll::Ready(Ok(()));
        }
        if half.room == 0 {
            half.waker = Some(cx.waker().clone());
            return Poll::Pending;
        }
        let mtu = self.net.mtu(route);
        while half.room > 0 && !data.is_empty() {
            let room = usize::try_from(half.room).unwrap_or(usize::MAX);
            let most = mtu.min(room);
            let bytes = if data.len() <= most { std::mem::take(data) } else { data.split_to(most) };
            half.room -= bytes.len() as u64;
            let packet = Packet::Data { stream, number: half.sent, bytes, fin: false };
            half.sent += 1;
            self.net.send(now, route, packet);
        }
        Poll::Ready(Ok(()))
    }

    pub(crate) fn finish(
        &mut self,
        now: Nanos,
        id: ConnId,
        side: Side,
        stream: StreamId,
    ) -> Result<(), StreamError> {
        let Some(conn) = self.conns.get_mut(id) else { return Err(forgotten().into()) };
        let route = conn.route(id, side);
        let end = &mut conn.ends[side as usize];
        let half = end.streams.send_mut(stream);
        let Some(half) = half.filter(|half| !half.finished && !half.reset) else {
            return Err(StreamError::Finished);
        };
        half.finished = true;
        if end.closed.is_none() {
            let (number, bytes) = (half.sent, Bytes::new());
            half.sent += 1;
            self.net.send(now, route, Packet::Data { stream, number, bytes, fin: true });
        }
        Ok(())
    }

    /// Waits until the reader's transport has all.
    pub(crate) fn poll_finished(
        &mut self,
        id: ConnId,
        side: Side,
        stream: StreamId,
        cx: &Context<'_>,
    ) -> Poll<Result<(), StreamError>> {
        let Some(end) = self.end_mut(id, side) else {
            return Poll::Ready(Err(forgotten().into()));
        };
        let Some(half) = end.streams.send_mut(stream) else {
            return Poll::Ready(Err(StreamError::Finished));
        };
        if half.received {
            return Poll::Ready(Ok(()));
        }
        if half.reset {
            return Poll::Ready(Err(StreamError::Finished));
        }
        if let Some(code) = half.stopped {
            return Poll::Ready(Err(StreamError::Stopped { code }));
        }
        if let Some(closed) = &end.closed {
            return Poll::Ready(Err(LinkClosed::clone(closed).into()));
        }
        half.waker = Some(cx.waker().clone());
        Poll::Pending
    }

    pub(crate) fn reset(
        &mut self,
        now: Nanos,
        id: ConnId,
        side: Side,
        stream: StreamId,
        code: u64,
    ) {
        let Some(end) = self.end_mut(id, side) else { return };
        let half = end.streams.send_mut(stream);
        if let Some(half) = half.filter(|half| !half.reset && !half.finished) {
            half.reset = true;
            self.reply(now, id, side, Packet::Reset { stream, code });
            self.settle(now, id, side, stream);
        }
    }

    /// The next chunk, or `None` at the end.
    pub(crate) fn poll_read(
        &mut self,
        now: Nanos,
        id: ConnId,
        side: Side,
        stream: StreamId,
        max: usize,
        cx: &Context<'_>,
    ) -> Poll<Result<Option<Bytes>, StreamError>> {
        let Some(end) = self.end_mut(id, side) else {
            return Poll::Ready(Err(forgotten().into()));
        };
        let Some(half) = end.streams.recv_mut(stream) else {
            return Poll::Ready(Err(StreamError::Finished));
        };
        if half.stopped {
            return Poll::Ready(Err(StreamError::Finished));
        }
        let Some(chunk) = half.chunks.front_mut() else {
            if let Some(code) = half.reset {
                return Poll::Ready(Err(StreamError::Reset { code }));
            }
            if half.finished {
                return Poll::Ready(Ok(None));
            }
            if let Some(closed) = &end.closed {
                return Poll::Ready(Err(LinkClosed::clone(closed).into()));
            }
            half.waker = Some(cx.waker().clone());
            return Poll::Pending;
        };
        let bytes = if chunk.len() <= max {
            half.chunks.pop_front().unwrap_or_default()
        } else {
            chunk.split_to(max.max(1))
        };
        half.read += bytes.len() as u64;
        let (window, over) = (half.read, half.is_over());
        // Tell the writer when half of its room is free again: often enough to keep it busy.
        if window >= STREAM_WINDOW / 2 && !half.finished {
            half.read = 0;
            self.reply(now, id, side, Packet::Window { stream, bytes: window });
        }
        if over {
            self.settle(now, id, side, stream);
        }
        Poll::Ready(Ok(Some(bytes)))
    }

    pub(crate) fn stop(&mut self, now: Nanos, id: ConnId, side: Side, stream: StreamId, code: u64) {
        let Some(end) = self.end_mut(id, side) else { return };
        let half = end.streams.recv_mut(stream);
        if let Some(half) = half.filter(|half| !half.is_over()) {
            half.stopped = true;
            half.give_up();
            self.reply(now, id, side, Packet::Stop { stream, code });
            self.settle(now, id, side, stream);
        }
    }

    /// Nobody holds the sending half any more: what was not finished is given up.
    pub(crate) fn release_send(&mut self, now: Nanos, id: ConnId, side: Side, stream: StreamId) {
        let half = self.end_mut(id, side).and_then(|end| end.streams.get_mut(stream));
        let half = half.and_then(Stream::send_mut);
        if half.is_some_and(|half| !half.finished) {
            self.reset(now, id, side, stream, 0);
        }
        self.release_half(now, id, side, stream);
    }

    /// Nobody holds the receiving half any more: the writer is to stop.
    pub(crate) fn release_recv(&mut self, now: Nanos, id: ConnId, side: Side, stream: StreamId) {
        self.stop(now, id, side, stream, 0);
        self.release_half(now, id, side, stream);
    }

    fn release_half(&mut self, now: Nanos, id: ConnId, side: Side, stream: StreamId) {
        let state = self.end_mut(id, side).and_then(|end| end.streams.get_mut(stream));
        if let Some(state) = state {
            state.held = state.held.saturating_sub(1);
        }
        self.settle(now, id, side, stream);
        self.release_handle(id, side);
    }
}
