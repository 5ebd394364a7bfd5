//! What the users of streams do: open, write, read, finish, give up.

use std::collections::VecDeque;
use std::task::{Context, Poll};

use bytes::Bytes;
use p2p_core::StreamError;
use p2p_core::transport::LinkClosed;

use super::conn::{Wait, forgotten};
use super::streams::{NOWHERE, STREAM_WINDOW, Stream};
use super::{ConnId, Direction, Engine, Nanos, Net, Packet, Route, Side, StreamAt, StreamId};

/// Chunks that a reader takes at once at most.
const MAX_READY: usize = 32;

impl Engine {
    /// Opens a stream, waiting while the other side allows no more.
    pub(crate) fn poll_open(
        &mut self,
        id: ConnId,
        side: Side,
        direction: Direction,
        ticket: &mut Option<u64>,
        cx: &Context<'_>,
    ) -> Poll<Result<StreamAt, LinkClosed>> {
        let Some(conn) = self.conns.get_mut(id) else { return Poll::Ready(Err(forgotten())) };
        let links = conn.links_from(side);
        let end = &mut conn.ends[side as usize];
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
        let opened = Stream::opened(id, side, stream, links);
        let slot = self.streams.insert(&mut end.streams, opened);
        end.handles += 1 + u32::from(direction == Direction::Bi);
        Poll::Ready(Ok(StreamAt { conn: id, side, stream, slot }))
    }

    /// The next stream that the other side opened.
    pub(crate) fn poll_accept(
        &mut self,
        id: ConnId,
        side: Side,
        direction: Direction,
        ticket: &mut Option<u64>,
        cx: &Context<'_>,
    ) -> Poll<Result<StreamAt, LinkClosed>> {
        let Some(end) = self.end_mut(id, side) else { return Poll::Ready(Err(forgotten())) };
        if let Some(stream) = end.accept(side, direction) {
            end.handles += 1 + u32::from(direction == Direction::Bi);
            let first = end.streams;
            let slot = self.streams.find(first, stream).unwrap_or(NOWHERE);
            return Poll::Ready(Ok(StreamAt { conn: id, side, stream, slot }));
        }
        if let Some(closed) = &end.closed {
            return Poll::Ready(Err(LinkClosed::clone(closed)));
        }
        end.waiting.wait_for(Wait::Accept(direction), ticket, cx);
        Poll::Pending
    }

    /// From a stream's end to the other, over the network.
    fn stream_route(net: &Net, at: StreamAt, stream: &Stream) -> Route {
        let [link, back] = stream.links;
        let [from_host, to_host] = net.links[link as usize].places();
        let (conn, to) = (at.conn, at.side.other());
        let (stream_from, stream_to) = (at.slot, stream.peer);
        Route { conn, to, from_host, to_host, link, back, stream_from, stream_to }
    }

    /// Sends a packet of a stream, unless this end is closed.
    pub(super) fn reply(&mut self, now: Nanos, at: StreamAt, packet: Packet) {
        if let Some(stream) = self.streams.get(at).filter(|stream| !stream.closed) {
            self.net.send(now, Self::stream_route(&self.net, at, stream), packet);
        }
    }

    /// If both halves are over: lets the other side open another stream in place of one of its own,
    /// and forgets a stream that nobody holds.
    pub(super) fn settle(&mut self, now: Nanos, at: StreamAt) {
        let Some(state) = self.streams.get_mut(at).filter(|state| state.is_over()) else { return };
        let give_back = at.stream.opener() != at.side && !state.given_back;
        state.given_back |= give_back;
        if give_back {
            self.reply(now, at, Packet::StreamEnded { direction: at.stream.direction() });
        }
        if self.streams.get(at).is_some_and(|state| state.held == 0) {
            if let Some(conn) = self.conns.get_mut(at.conn) {
                let end = &mut conn.ends[at.side as usize];
                self.streams.remove(&mut end.streams, at.slot);
            }
        }
    }

    /// How this end of a connection has ended.
    fn closed(&self, at: StreamAt) -> StreamError {
        self.close_reason(at.conn, at.side).unwrap_or_else(forgotten).into()
    }

    /// Writes from the front of `data` as much as the reader has room for, in packets.
    pub(crate) fn poll_write(
        &mut self,
        now: Nanos,
        at: StreamAt,
        data: &mut Bytes,
        cx: &Context<'_>,
    ) -> Poll<Result<(), StreamError>> {
        let Some(stream) = self.streams.get_mut(at) else {
            return Poll::Ready(Err(StreamError::Finished));
        };
        let route = Self::stream_route(&self.net, at, stream);
        let closed = stream.closed;
        let Some(half) = stream.send_mut().filter(|half| !half.finished && !half.reset) else {
            return Poll::Ready(Err(StreamError::Finished));
        };
        if closed {
            return Poll::Ready(Err(self.closed(at)));
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
            let (stream, number) = (at.stream, half.sent);
            half.sent += 1;
            self.net.send(now, route, Packet::Data { stream, number, bytes, fin: false });
        }
        Poll::Ready(Ok(()))
    }

    pub(crate) fn finish(&mut self, now: Nanos, at: StreamAt) -> Result<(), StreamError> {
        let half = self.streams.send_mut(at);
        let Some(half) = half.filter(|half| !half.finished && !half.reset) else {
            return Err(StreamError::Finished);
        };
        half.finished = true;
        let (stream, number) = (at.stream, half.sent);
        half.sent += 1;
        self.reply(now, at, Packet::Data { stream, number, bytes: Bytes::new(), fin: true });
        Ok(())
    }

    /// Waits until the reader's transport has all.
    pub(crate) fn poll_finished(
        &mut self,
        at: StreamAt,
        cx: &Context<'_>,
    ) -> Poll<Result<(), StreamError>> {
        let Some(stream) = self.streams.get_mut(at) else {
            return Poll::Ready(Err(StreamError::Finished));
        };
        let closed = stream.closed;
        let Some(half) = stream.send_mut() else {
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
        if closed {
            return Poll::Ready(Err(self.closed(at)));
        }
        half.waker = Some(cx.waker().clone());
        Poll::Pending
    }

    pub(crate) fn reset(&mut self, now: Nanos, at: StreamAt, code: u64) {
        let half = self.streams.send_mut(at);
        if let Some(half) = half.filter(|half| !half.reset && !half.finished) {
            half.reset = true;
            self.reply(now, at, Packet::Reset { stream: at.stream, code });
            self.settle(now, at);
        }
    }

    /// The next chunk, or `None` at the end. Those behind it go to `ready`, as many as it may hold;
    /// the reader takes them from there, and says with the next call how many bytes it has `taken`.
    #[allow(clippy::box_collection)] // As readers have it, of whom there may be very many.
    pub(crate) fn poll_read(
        &mut self,
        now: Nanos,
        at: StreamAt,
        max: usize,
        taken: u32,
        ready: &mut Option<Box<VecDeque<Bytes>>>,
        cx: &Context<'_>,
    ) -> Poll<Result<Option<Bytes>, StreamError>> {
        let Some(stream) = self.streams.get_mut(at) else {
            return Poll::Ready(Err(StreamError::Finished));
        };
        let closed = stream.closed;
        let Some(half) = stream.recv_mut().filter(|half| !half.stopped) else {
            return Poll::Ready(Err(StreamError::Finished));
        };
        half.read += taken;
        let bytes = half.chunks.take(max);
        half.read += bytes.as_ref().map_or(0, |bytes| bytes.len() as u32);
        // Of a stream that has ended, it is to be known here when all is read.
        while !half.finished && ready.as_ref().is_none_or(|ready| ready.len() < MAX_READY) {
            let Some(next) = half.chunks.take(usize::MAX) else { break };
            ready.get_or_insert_default().push_back(next);
        }
        let (finished, over) = (half.finished, half.is_over());
        let reset = half.is_reset.then_some(half.reset);
        if bytes.is_none() && !over && !closed {
            half.waker = Some(cx.waker().clone());
        }
        // Tell the writer when half of its room is free again: often enough to keep it busy.
        let read = u64::from(half.read);
        if read >= STREAM_WINDOW / 2 && !finished {
            half.read = 0;
            self.reply(now, at, Packet::Window { stream: at.stream, bytes: read });
        }
        Poll::Ready(match bytes {
            Some(bytes) => {
                if over {
                    self.settle(now, at);
                }
                Ok(Some(bytes))
            }
            None => match reset {
                Some(code) => Err(StreamError::Reset { code }),
                None if finished => Ok(None),
                None if closed => Err(self.closed(at)),
                None => return Poll::Pending,
            },
        })
    }

    pub(crate) fn stop(&mut self, now: Nanos, at: StreamAt, code: u64) {
        let half = self.streams.recv_mut(at);
        if let Some(half) = half.filter(|half| !half.is_over()) {
            half.stopped = true;
            half.give_up();
            self.reply(now, at, Packet::Stop { stream: at.stream, code });
            self.settle(now, at);
        }
    }

    /// Nobody holds the sending half any more: what was not finished is given up.
    pub(crate) fn release_send(&mut self, now: Nanos, at: StreamAt) {
        if self.streams.send_mut(at).is_some_and(|half| !half.finished) {
            self.reset(now, at, 0);
        }
        self.release_half(now, at);
    }

    /// Nobody holds the receiving half any more: the writer is to stop.
    pub(crate) fn release_recv(&mut self, now: Nanos, at: StreamAt) {
        self.stop(now, at, 0);
        self.release_half(now, at);
    }

    fn release_half(&mut self, now: Nanos, at: StreamAt) {
        if let Some(state) = self.streams.get_mut(at) {
            state.held = state.held.saturating_sub(1);
        }
        self.settle(now, at);
        self.release_handle(at.conn, at.side);
    }
}
