//! Streams: ordered, reliable, with flow control.
//!
//! The packets of a stream are counted, and the receiving end keeps those that come early until the
//! one before has come. So a lost packet holds up its own stream, and no other (head-of-line blocking
//! as in QUIC). What is kept is bounded by the window: a writer is never further ahead of the reader.

use std::collections::{BTreeMap, VecDeque};
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use p2p_core::StreamError;
use p2p_core::transport::LinkClosed;

use super::conn::{Conn, STREAM_WINDOW, forgotten};
use super::{ConnId, Direction, Engine, Nanos, Packet, Route, Side, StreamId};

/// One end's halves of a stream.
#[derive(Debug)]
pub(super) struct Stream {
    pub(super) send: Option<SendHalf>,
    recv: Option<RecvHalf>,
    /// How many of the halves are in somebody's hands, or will be when they are accepted.
    held: u8,
    /// Both halves of a stream of the other side are over, and it may open another.
    given_back: bool,
}

#[derive(Debug)]
pub(super) struct SendHalf {
    /// Bytes that the reader has room for.
    room: u64,
    /// How many packets were sent.
    sent: u64,
    finished: bool,
    /// The reader's transport has all.
    received: bool,
    reset: bool,
    stopped: Option<u64>,
    waker: Option<Waker>,
}

#[derive(Debug, Default)]
struct RecvHalf {
    chunks: VecDeque<Bytes>,
    /// The number of the packet that comes next.
    next: u64,
    /// Later ones that are there already: their bytes, and whether they are the last.
    early: BTreeMap<u64, (Bytes, bool)>,
    /// Bytes read since the writer was last told of room.
    read: u64,
    finished: bool,
    /// The writer was told that all has come.
    confirmed: bool,
    reset: Option<u64>,
    stopped: bool,
    waker: Option<Waker>,
}

impl SendHalf {
    const fn new() -> Self {
        Self {
            room: STREAM_WINDOW,
            sent: 0,
            finished: false,
            received: false,
            reset: false,
            stopped: None,
            waker: None,
        }
    }

    const fn is_over(&self) -> bool {
        self.received || self.reset || self.stopped.is_some()
    }
}

impl RecvHalf {
    /// Takes a packet in. Returns whether the reader has something new.
    fn take(&mut self, number: u64, bytes: Bytes, fin: bool) -> bool {
        if self.stopped || self.reset.is_some() {
            return false;
        }
        if number != self.next {
            self.early.insert(number, (bytes, fin));
            return false;
        }
        self.append(bytes, fin);
        while let Some((bytes, fin)) = self.early.remove(&self.next) {
            self.append(bytes, fin);
        }
        true
    }

    fn append(&mut self, bytes: Bytes, fin: bool) {
        self.next += 1;
        if !bytes.is_empty() {
            self.chunks.push_back(bytes);
        }
        self.finished |= fin;
    }

    fn give_up(&mut self) {
        self.chunks.clear();
        self.early.clear();
    }

    fn is_over(&self) -> bool {
        self.stopped || self.reset.is_some() || (self.finished && self.chunks.is_empty())
    }
}

impl Stream {
    fn opened(direction: Direction) -> Self {
        let recv = (direction == Direction::Bi).then(RecvHalf::default);
        Self { send: Some(SendHalf::new()), recv, held: 1 + direction as u8, given_back: false }
    }

    fn accepted(direction: Direction) -> Self {
        let send = (direction == Direction::Bi).then(SendHalf::new);
        let recv = Some(RecvHalf::default());
        Self { send, recv, held: 1 + direction as u8, given_back: false }
    }

    fn is_over(&self) -> bool {
        self.send.as_ref().is_none_or(SendHalf::is_over)
            && self.recv.as_ref().is_none_or(RecvHalf::is_over)
    }

    /// What somebody waits for here, in words; `unread` is what the other side has not read.
    pub(super) fn waits(&self, number: u64, unread: usize) -> Option<String> {
        if self.recv.as_ref().is_some_and(|half| half.waker.is_some()) {
            return Some(format!("data on stream {number}"));
        }
        let send = self.send.as_ref().filter(|half| half.waker.is_some())?;
        Some(if send.finished {
            format!("the peer to have all of stream {number}")
        } else {
            format!("room to write on stream {number}: the peer has {unread} bytes unread")
        })
    }

    /// Bytes that have arrived and that nobody has read.
    pub(super) fn unread(&self) -> usize {
        self.recv.as_ref().map_or(0, |half| half.chunks.iter().map(Bytes::len).sum())
    }

    pub(super) fn wake_all(&mut self, wakers: &mut Vec<Waker>) {
        wakers.extend(self.send.as_mut().and_then(|half| half.waker.take()));
        wakers.extend(self.recv.as_mut().and_then(|half| half.waker.take()));
    }
}

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
            return Poll::Ready(Err(closed.clone()));
        }
        let d = direction as usize;
        if end.may_open[d] == 0 {
            end.waiting.open[d].wait(ticket, cx);
            return Poll::Pending;
        }
        end.may_open[d] -= 1;
        let stream = StreamId::new(side, direction, end.opened[d]);
        end.opened[d] += 1;
        end.streams.insert(stream, Stream::opened(direction));
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
        let d = direction as usize;
        if let Some(stream) = end.to_accept[d].pop_front() {
            end.handles += 1 + u32::from(direction == Direction::Bi);
            return Poll::Ready(Ok(stream));
        }
        if let Some(closed) = &end.closed {
            return Poll::Ready(Err(closed.clone()));
        }
        end.waiting.accept[d].wait(ticket, cx);
        Poll::Pending
    }

    /// The stream of an arriving packet. One of the other side's that is not known yet comes into
    /// being, with those before it, so that streams are accepted in the order of opening.
    fn arriving(&mut self, id: ConnId, side: Side, stream: StreamId) -> Option<&mut Stream> {
        let end = &mut self.conns.get_mut(id)?.ends[side as usize];
        if end.closed.is_some() {
            return None;
        }
        if stream.opener() != side {
            let (direction, d) = (stream.direction(), stream.direction() as usize);
            while end.known[d] <= stream.count() {
                let next = StreamId::new(stream.opener(), direction, end.known[d]);
                end.known[d] += 1;
                end.streams.insert(next, Stream::accepted(direction));
                end.to_accept[d].push_back(next);
                end.waiting.accept[d].wake_all(&mut self.wakers);
            }
        }
        end.streams.get_mut(&stream)
    }

    /// Lets a packet change the sending half of its stream, and whoever waits there look again.
    fn change_send(
        &mut self,
        id: ConnId,
        side: Side,
        stream: StreamId,
        change: impl FnOnce(&mut SendHalf),
    ) {
        let half = self.arriving(id, side, stream).and_then(|stream| stream.send.as_mut());
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
        let half = self.arriving(id, side, stream).and_then(|stream| stream.recv.as_mut());
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
        let state = self.arriving(id, side, stream).and_then(|stream| stream.recv.as_mut());
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
        end.waiting.open[direction as usize].wake_all(&mut self.wakers);
    }

    /// Sends a packet to the other side, unless this end is closed.
    fn reply(&mut self, now: Nanos, id: ConnId, side: Side, packet: Packet) {
        let open = |conn: &&Conn| conn.ends[side as usize].closed.is_none();
        if let Some(conn) = self.conns.get(id).filter(open) {
            self.net.send(now, conn.route(id, side), packet);
        }
    }

    /// If both halves are over: lets the other side open another stream in place of one of its own,
    /// and forgets a stream that nobody holds.
    fn settle(&mut self, now: Nanos, id: ConnId, side: Side, stream: StreamId) {
        let Some(end) = self.end_mut(id, side) else { return };
        let Some(state) = end.streams.get_mut(&stream).filter(|state| state.is_over()) else {
            return;
        };
        let give_back = stream.opener() != side && !state.given_back;
        state.given_back |= give_back;
        if state.held == 0 {
            end.streams.remove(&stream);
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
        let Some(half) = end.streams.get_mut(&stream).and_then(|stream| stream.send.as_mut())
        else {
            return Poll::Ready(Err(StreamError::Finished));
        };
        if half.finished || half.reset {
            return Poll::Ready(Err(StreamError::Finished));
        }
        if let Some(closed) = &end.closed {
            return Poll::Ready(Err(closed.clone().into()));
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
            let bytes = data.split_to(data.len().min(mtu).min(room));
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
        let half = end.streams.get_mut(&stream).and_then(|stream| stream.send.as_mut());
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
        let Some(half) = end.streams.get_mut(&stream).and_then(|stream| stream.send.as_mut())
        else {
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
            return Poll::Ready(Err(closed.clone().into()));
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
        let half = end.streams.get_mut(&stream).and_then(|stream| stream.send.as_mut());
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
        let Some(half) = end.streams.get_mut(&stream).and_then(|stream| stream.recv.as_mut())
        else {
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
                return Poll::Ready(Err(closed.clone().into()));
            }
            half.waker = Some(cx.waker().clone());
            return Poll::Pending;
        };
        let bytes = chunk.split_to(chunk.len().min(max.max(1)));
        if chunk.is_empty() {
            half.chunks.pop_front();
        }
        half.read += bytes.len() as u64;
        let window = half.read;
        // Tell the writer when half of its room is free again: often enough to keep it busy.
        if window >= STREAM_WINDOW / 2 && !half.finished {
            half.read = 0;
            self.reply(now, id, side, Packet::Window { stream, bytes: window });
        }
        self.settle(now, id, side, stream);
        Poll::Ready(Ok(Some(bytes)))
    }

    pub(crate) fn stop(&mut self, now: Nanos, id: ConnId, side: Side, stream: StreamId, code: u64) {
        let Some(end) = self.end_mut(id, side) else { return };
        let half = end.streams.get_mut(&stream).and_then(|stream| stream.recv.as_mut());
        if let Some(half) = half.filter(|half| !half.is_over()) {
            half.stopped = true;
            half.give_up();
            self.reply(now, id, side, Packet::Stop { stream, code });
            self.settle(now, id, side, stream);
        }
    }

    /// Nobody holds the sending half any more: what was not finished is given up.
    pub(crate) fn release_send(&mut self, now: Nanos, id: ConnId, side: Side, stream: StreamId) {
        let half = self.end_mut(id, side).and_then(|end| end.streams.get_mut(&stream));
        let half = half.and_then(|stream| stream.send.as_mut());
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
        let state = self.end_mut(id, side).and_then(|end| end.streams.get_mut(&stream));
        if let Some(state) = state {
            state.held = state.held.saturating_sub(1);
        }
        self.settle(now, id, side, stream);
        self.release_handle(id, side);
    }
}
