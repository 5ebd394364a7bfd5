//! Messages that are to be sent: a lane for each priority, and the streams that carry them.
//!
//! A message goes to the transport within its `send`, as long as its lane is not under load. Under
//! load it goes into the queue, and the connection's task writes out what has collected there. Only
//! that task is ever woken by the transport, so that a dropped `send` leaves nothing undone.
//!
//! Load is, besides a lane's [budget](crate::engine::packets), [`OWN_WRITES`] messages in a row without
//! the task having had its turn: a sender that does not wait for anything. Each write costs several
//! times what a message costs that goes with others, and wakes the transport's driver. A turn in which
//! nothing had collected shows that there was no load; then the next comes [`CALM`] times later, for each
//! costs a message that is waited for some microseconds.

use std::future::poll_fn;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use bytes::Bytes;

use super::counters::{Counters, add};
use super::turns::Turns;
use super::watch::Watch;
use crate::close::CloseReason;
use crate::engine::credit::CreditError;
use crate::engine::send_lane::{LaneTerms, Progress, SendLane};
use crate::engine::standby::Way;
use crate::error::StreamError;
use crate::priority::Priority;
use crate::stream::SendStream;

/// So many messages, or so many bytes, have writes of their own before the connection's task is to have
/// a turn: the last of them wakes it, and further ones collect until then.
const OWN_WRITES: u32 = 16;
const OWN_BYTES: usize = 8 * 1024;
const CALM: u8 = 16;

/// The messages of one direction, until the peer has them.
#[derive(Debug)]
pub(super) struct Outbox<S> {
    state: Mutex<State<S>>,
    /// Senders of one priority take turns, so that their order is that of their calls, and one waker
    /// is enough.
    turns: [Turns<()>; Priority::COUNT],
    /// The peer knows one lane only.
    single: bool,
    max_queued: usize,
    watch: Arc<Watch>,
    counters: Arc<Counters>,
}

#[derive(Debug)]
struct State<S> {
    /// Made when they are first wanted: most connections use one.
    lanes: [Option<Box<Lane<S>>>; Priority::COUNT],
    terms: LaneTerms,
    /// Messages given.
    given: u64,
    /// Somebody wants to know when more are given.
    watched: bool,
    /// The link that the lanes go over.
    way: Way,
    /// How often that has changed.
    turn: u64,
    /// There is one.
    attached: bool,
    /// The standby stands for the main link.
    switched: bool,
    /// This side closes: nothing is queued any more.
    closing: Option<CloseReason>,
    delivered: bool,
    ended: bool,
    failed: Option<StreamError>,
    closer: Option<Waker>,
    /// The parts of the connection's task that write, when they wait, by [`Way`].
    writers: [Option<Waker>; 2],
    /// Messages that were written within their `send` since one of them had its turn, and their bytes.
    own_writes: u32,
    own_bytes: usize,
    /// 1, or [`CALM`] if nothing had collected then.
    calm: u8,
    /// The parts that open streams, when they wait.
    openers: [Option<Waker>; 2],
}

#[derive(Debug)]
struct Lane<S> {
    out: SendLane,
    stream: Option<S>,
    /// The stream on the other link, for what is on its way there.
    former: Option<S>,
    /// Something is to be written, and there is no stream yet.
    wanted: bool,
    sender: Option<Waker>,
}

/// Why a message was not taken.
pub(super) enum PushError {
    /// This side is closing, for this reason.
    Closing(CloseReason),
    /// The connection has ended, and says why.
    Ended,
}

impl<S: SendStream> Outbox<S> {
    /// For a peer that knows one lane only, if `single`.
    pub(super) fn new(
        terms: LaneTerms,
        single: bool,
        watch: Arc<Watch>,
        counters: Arc<Counters>,
    ) -> Self {
        let mut state = State {
            lanes: [const { None }; Priority::COUNT],
            terms,
            given: 0,
            watched: false,
            way: Way::Main,
            turn: 0,
            attached: true,
            switched: false,
            closing: None,
            delivered: false,
            ended: false,
            failed: None,
            closer: None,
            writers: [None, None],
            own_writes: 0,
            own_bytes: 0,
            calm: 1,
            openers: [None, None],
        };
        // Most connections need it, so it is opened before it is wanted.
        state.lane(Priority::Normal.index()).wanted = true;
        Self {
            state: Mutex::new(state),
            turns: Default::default(),
            single,
            max_queued: terms.max_queued,
            watch,
            counters,
        }
    }

    fn state(&self) -> MutexGuard<'_, State<S>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    const fn lane_of(&self, priority: Priority) -> usize {
        if self.single { Priority::Normal.index() } else { priority.index() }
    }

    /// Takes a message, when there is credit and room for it. If the future is dropped before, the
    /// message is not sent; after, it is. [`try_push`](Self::try_push) may be tried before.
    pub(super) async fn push(&self, priority: Priority, message: &Bytes) -> Result<(), PushError> {
        let _turn = self.turns[self.lane_of(priority)].take().await;
        poll_fn(|cx| self.poll_push(priority, Some(cx.waker()), message)).await
    }

    /// Takes a message if there is credit and room for it at once, and nobody waits; `false` if not.
    #[inline]
    pub(super) fn try_push(&self, priority: Priority, message: &Bytes) -> Result<bool, PushError> {
        let lane = self.lane_of(priority);
        if !self.turns[lane].is_free() {
            return Ok(false);
        }
        match self.poll_push(priority, None, message) {
            Poll::Ready(result) => result.map(|()| true),
            Poll::Pending => Ok(false),
        }
    }

    #[inline]
    fn poll_push(
        &self,
        priority: Priority,
        waker: Option<&Waker>,
        message: &Bytes,
    ) -> Poll<Result<(), PushError>> {
        let lane = self.lane_of(priority);
        let mut state = self.state();
        if let Some(error) = state.takes_no_more() {
            return Poll::Ready(Err(error));
        }
        let to = state.lane(lane);
        if !to.out.try_push(message) {
            if let Some(waker) = waker {
                to.sender = Some(waker.clone());
            }
            return Poll::Pending;
        }
        self.counters.on_sent(priority, message.len());
        self.pushed(state, lane);
        Poll::Ready(Ok(()))
    }

    /// A message was taken.
    #[inline]
    fn pushed(&self, mut state: MutexGuard<'_, State<S>>, lane: usize) {
        state.given += 1;
        if state.way == Way::Standby {
            let counters = &self.counters;
            let switched = state.switched;
            let over =
                if switched { &counters.messages_on_standby } else { &counters.messages_hedged };
            add(over, 1);
        }
        let wake = state.write_soon(lane);
        let watched = std::mem::take(&mut state.watched);
        drop(state);
        wake.into_iter().for_each(Waker::wake);
        if watched {
            self.watch.wake();
        }
    }

    /// Keeps a place for a message of this size, when there is credit and room for it. If the future
    /// is dropped before, none is kept.
    pub(super) async fn reserve(&self, priority: Priority, size: usize) -> Result<(), PushError> {
        let lane = self.lane_of(priority);
        let turns = &self.turns[lane];
        if turns.is_free() {
            if let Poll::Ready(result) = self.poll_reserve(lane, None, size) {
                return result;
            }
        }
        let _turn = turns.take().await;
        poll_fn(|cx| self.poll_reserve(lane, Some(cx.waker()), size)).await
    }

    fn poll_reserve(
        &self,
        lane: usize,
        waker: Option<&Waker>,
        size: usize,
    ) -> Poll<Result<(), PushError>> {
        let mut state = self.state();
        if let Some(error) = state.takes_no_more() {
            return Poll::Ready(Err(error));
        }
        let to = state.lane(lane);
        if to.out.try_reserve(size) {
            return Poll::Ready(Ok(()));
        }
        if let Some(waker) = waker {
            to.sender = Some(waker.clone());
        }
        Poll::Pending
    }

    /// Takes a message for which a place of this size was kept.
    pub(super) fn push_reserved(
        &self,
        priority: Priority,
        size: usize,
        message: &Bytes,
    ) -> Result<(), PushError> {
        let lane = self.lane_of(priority);
        let mut state = self.state();
        if let Some(error) = state.takes_no_more() {
            return Err(error);
        }
        let to = state.lane(lane);
        to.out.push_reserved(size, message);
        // It may need less than was kept.
        let sender = to.sender.take();
        self.counters.on_sent(priority, message.len());
        self.pushed(state, lane);
        sender.into_iter().for_each(Waker::wake);
        Ok(())
    }

    /// Gives a place back.
    pub(super) fn give_back(&self, priority: Priority, size: usize) {
        let sender = {
            let mut state = self.state();
            let lane = state.lane(self.lane_of(priority));
            lane.out.give_back(size);
            lane.sender.take()
        };
        sender.into_iter().for_each(Waker::wake);
    }

    /// Wakes the watch when more is given.
    pub(super) fn watch(&self) {
        self.state().watched = true;
    }

    /// Messages given so far.
    pub(super) fn given(&self) -> u64 {
        self.state().given
    }

    /// How many bytes of each priority may be queued.
    pub(super) const fn max_queued(&self) -> usize {
        self.max_queued
    }

    /// Bytes of this priority that no stream has carried yet.
    pub(super) fn queued(&self, priority: Priority) -> usize {
        self.state().lanes[self.lane_of(priority)].as_ref().map_or(0, |lane| lane.out.queued())
    }

    /// How far the messages of each priority came.
    pub(super) fn progress(&self) -> [Progress; Priority::COUNT] {
        let state = self.state();
        let progress = |lane: &Option<Box<Lane<S>>>| {
            lane.as_ref().map_or_else(Progress::default, |lane| lane.out.progress())
        };
        state.lanes.each_ref().map(progress)
    }

    /// The lanes go over this link from now on; what the peer is not known to have goes once more.
    pub(super) fn go_over(&self, way: Way, switched: bool) {
        let (former, wake) = {
            let mut state = self.state();
            state.switched = switched && way == Way::Standby;
            if state.way == way {
                return;
            }
            if way == Way::Standby {
                let late = state.made().map(|lane| lane.out.unacknowledged()).sum();
                add(&self.counters.messages_hedged, late);
            }
            state.turn_to(way)
        };
        drop(former);
        wake.into_iter().flatten().for_each(Waker::wake);
    }

    /// Waits for a lane that wants a stream on this link; says where it is to begin.
    pub(super) async fn wants_stream(&self, way: Way) -> Priority {
        poll_fn(|cx| {
            let mut state = self.state();
            let wanting = |lane: &&Priority| {
                let lane = state.lanes[lane.index()].as_ref();
                lane.is_some_and(|lane| lane.wanted && lane.stream.is_none())
            };
            if state.way == way {
                if let Some(&priority) = Priority::ALL.iter().find(wanting) {
                    return Poll::Ready(priority);
                }
            }
            state.openers[way as usize] = Some(cx.waker().clone());
            Poll::Pending
        })
        .await
    }

    /// The lane's stream is open. `preamble` says what goes first, given where the lane goes on.
    pub(super) async fn set_stream(
        &self,
        way: Way,
        priority: Priority,
        mut stream: S,
        preamble: impl FnOnce(u64) -> Bytes,
    ) -> Result<(), StreamError> {
        stream.set_priority(priority.of_stream());
        // Nobody else writes this lane while it has no stream.
        let (turn, offset) = {
            let mut state = self.state();
            if state.way != way {
                return Ok(());
            }
            (state.turn, state.lane(priority.index()).out.next_offset())
        };
        stream.write_all(preamble(offset)).await?;
        let writer = {
            let mut state = self.state();
            if state.turn != turn {
                // The lane goes another way by now.
                return Ok(());
            }
            state.lane(priority.index()).stream = Some(stream);
            state.writers[way as usize].take()
        };
        writer.into_iter().for_each(Waker::wake);
        Ok(())
    }

    /// Writes out what is queued for this link, again and again, until this side closes and all is
    /// written: then it gives the streams back.
    pub(super) async fn drain(&self, way: Way) -> Result<Vec<S>, StreamError> {
        poll_fn(|cx| {
            let mut state = self.state();
            if state.way != way {
                state.writers[way as usize] = Some(cx.waker().clone());
                return Poll::Pending;
            }
            if !state.is_written() {
                state.calm = 1;
            } else if state.is_turn_due() {
                state.calm = CALM;
            }
            let written = state.write(cx);
            let mut wake: [Option<Waker>; Priority::COUNT] = [const { None }; Priority::COUNT];
            for (lane, wake) in state.made_mut().zip(&mut wake) {
                if lane.out.has_room() {
                    *wake = lane.sender.take();
                }
            }
            let result = match written {
                Err(error) => Poll::Ready(Err(error)),
                Ok(()) if state.closing.is_some() && state.is_written() => {
                    let streams = state.made_mut().filter_map(|lane| lane.stream.take());
                    Poll::Ready(Ok(streams.collect()))
                }
                Ok(()) => Poll::Pending,
            };
            state.writers[way as usize] = Some(cx.waker().clone());
            (state.own_writes, state.own_bytes) = (0, 0);
            drop(state);
            wake.into_iter().flatten().for_each(Waker::wake);
            result
        })
        .await
    }

    /// Waits until the lanes go over other streams, if one of theirs has failed.
    pub(super) async fn fresh_streams(&self, way: Way) {
        poll_fn(|cx| {
            let mut state = self.state();
            if state.failed.is_none() {
                return Poll::Ready(());
            }
            state.writers[way as usize] = Some(cx.waker().clone());
            Poll::Pending
        })
        .await;
    }

    /// The peer's program has taken this much.
    pub(super) fn on_taken(&self, lane: Priority, total: u64) -> Result<(), CreditError> {
        let (result, sender) = {
            let mut state = self.state();
            let lane = state.lane(lane.index());
            (lane.out.on_taken(total), lane.sender.take())
        };
        sender.into_iter().for_each(Waker::wake);
        result
    }

    /// The peer's engine has read up to here. Called by the task that drains, which goes on to do so.
    pub(super) fn on_read(&self, lane: Priority, offset: u64) -> Result<(), CreditError> {
        let (result, writer) = {
            let mut state = self.state();
            (state.lane(lane.index()).out.on_read(offset), state.take_writer())
        };
        writer.into_iter().for_each(Waker::wake);
        result
    }

    /// The link is lost; another may follow.
    pub(super) fn detach(&self) {
        let streams: Vec<_> = {
            let mut state = self.state();
            state.writers[Way::Main as usize] = None;
            state.openers[Way::Main as usize] = None;
            if state.way == Way::Main {
                state.attached = false;
                state.failed = None;
                state.turn += 1;
                state.made_mut().filter_map(|lane| lane.stream.take()).collect()
            } else {
                state.made_mut().filter_map(|lane| lane.former.take()).collect()
            }
        };
        drop(streams);
    }

    /// There is a next link, on which the lanes go on.
    pub(super) fn attach(&self) {
        let (former, wake) = {
            let mut state = self.state();
            state.switched = false;
            state.turn_to(Way::Main)
        };
        drop(former);
        wake.into_iter().flatten().for_each(Waker::wake);
    }

    /// Takes no further messages, and lets the task finish the streams once it has written the rest.
    pub(super) fn close(&self, reason: CloseReason) {
        let wake = {
            let mut state = self.state();
            state.closing.get_or_insert(reason);
            let mut wake = state.take_senders();
            wake.extend(state.take_writer());
            wake
        };
        wake.into_iter().for_each(Waker::wake);
    }

    /// Waits, after a close, until the peer's transport has everything, or never will.
    pub(super) async fn delivered(&self) {
        poll_fn(|cx| {
            let mut state = self.state();
            if state.delivered || state.ended {
                return Poll::Ready(());
            }
            state.closer = Some(cx.waker().clone());
            Poll::Pending
        })
        .await;
    }

    /// The peer's transport has everything.
    pub(super) fn set_delivered(&self) {
        let closer = {
            let mut state = self.state();
            state.delivered = true;
            state.closer.take()
        };
        closer.into_iter().for_each(Waker::wake);
    }

    /// The connection has ended.
    pub(super) fn end(&self) {
        let wake = {
            let mut state = self.state();
            state.ended = true;
            let mut wake = state.take_senders();
            wake.extend(state.closer.take());
            wake
        };
        wake.into_iter().for_each(Waker::wake);
    }
}

impl<S: SendStream> State<S> {
    /// The lane, which is made if it was not there.
    fn lane(&mut self, lane: usize) -> &mut Lane<S> {
        let terms = self.terms;
        self.lanes[lane].get_or_insert_with(|| {
            let out = SendLane::new(terms);
            Box::new(Lane { out, stream: None, former: None, wanted: false, sender: None })
        })
    }

    /// The lanes that were made, the most urgent first.
    fn made(&self) -> impl Iterator<Item = &Lane<S>> {
        self.lanes.iter().flatten().map(Box::as_ref)
    }

    fn made_mut(&mut self) -> impl Iterator<Item = &mut Lane<S>> {
        self.lanes.iter_mut().flatten().map(Box::as_mut)
    }

    fn take_writer(&mut self) -> Option<Waker> {
        self.writers[self.way as usize].take()
    }

    /// Lets the lanes go over this link. What is on its way on the other may still arrive: its streams
    /// live on until the next turn. Returns those of the turn before, and whom to wake.
    fn turn_to(&mut self, way: Way) -> (Vec<S>, [Option<Waker>; 2]) {
        self.way = way;
        self.turn += 1;
        self.attached = true;
        self.failed = None;
        let mut gone = Vec::new();
        for lane in self.lanes.iter_mut().flatten() {
            gone.extend(std::mem::replace(&mut lane.former, lane.stream.take()));
            lane.out.rewind();
            lane.wanted |= lane.out.queued() > 0;
        }
        (gone, [self.take_writer(), self.openers[way as usize].take()])
    }

    /// Why no message is taken, if so.
    fn takes_no_more(&self) -> Option<PushError> {
        match &self.closing {
            Some(reason) => Some(PushError::Closing(reason.clone())),
            None => self.ended.then_some(PushError::Ended),
        }
    }

    fn take_senders(&mut self) -> Vec<Waker> {
        self.made_mut().filter_map(|lane| lane.sender.take()).collect()
    }

    /// Writes at once if the lane is not under load; otherwise returns the task to wake for it. A
    /// task that does not wait will look by itself.
    #[inline]
    fn write_soon(&mut self, lane: usize) -> Option<Waker> {
        let Lane { out, stream, wanted, .. } = self.lanes[lane].as_deref_mut()?;
        let Some(stream) = stream else {
            *wanted = true;
            return if self.attached { self.openers[self.way as usize].take() } else { None };
        };
        let writer = self.writers[self.way as usize].take()?;
        if self.failed.is_none() && out.is_ample() {
            self.own_writes += 1;
            self.own_bytes += out.queued();
            match out.write(stream, &mut Context::from_waker(&writer)) {
                Ok(()) if !self.is_turn_due() => {
                    self.writers[self.way as usize] = Some(writer);
                    return None;
                }
                Ok(()) => {}
                Err(error) => self.failed = Some(error),
            }
        }
        Some(writer)
    }

    /// Writes what is queued, the most urgent first, as far as the transport and the budgets have
    /// room.
    fn write(&mut self, cx: &mut Context<'_>) -> Result<(), StreamError> {
        if let Some(error) = &self.failed {
            return Err(error.clone());
        }
        for Lane { out, stream, .. } in self.lanes.iter_mut().flatten().map(Box::as_mut) {
            let Some(stream) = stream else { continue };
            if let Err(error) = out.write(stream, cx) {
                self.failed = Some(error.clone());
                return Err(error);
            }
        }
        Ok(())
    }

    /// Whether so much was written within `send`s that the task is to have its turn.
    fn is_turn_due(&self) -> bool {
        self.own_writes >= OWN_WRITES * u32::from(self.calm)
            || self.own_bytes >= OWN_BYTES * usize::from(self.calm)
    }

    fn is_written(&self) -> bool {
        self.made().all(|lane| lane.out.queued() == 0)
    }
}
