//! Messages that are to be sent: a lane for each priority, and the streams that carry them.
//!
//! A message goes to the transport within its `send`, as long as its lane is not under load. Under
//! load it goes into the queue, and the connection's task writes out what has collected there. Only
//! that task is ever woken by the transport, so that a dropped `send` leaves nothing undone.
//!
//! What load is, `state` says.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Poll, Waker};

use bytes::Bytes;
use tokio::sync::Notify;

mod state;

use self::state::{Lane, State};
use super::counters::{Counters, add};
use super::turns::Turns;
use super::watch::Watch;
use crate::close::CloseReason;
use crate::engine::credit::CreditError;
use crate::engine::send_lane::{LaneTerms, Progress};
use crate::engine::standby::Way;
use crate::error::{Limit, StreamError};
use crate::priority::Priority;
use crate::stream::SendStream;

/// The messages of one direction, until the peer has them.
#[derive(Debug)]
pub(super) struct Outbox<S> {
    state: Mutex<State<S>>,
    /// Senders of one priority take turns, so that their order is that of their calls, and one waker
    /// is enough.
    turns: [Turns<()>; Priority::COUNT],
    /// The peer knows one lane only.
    single: bool,
    terms: LaneTerms,
    watch: Arc<Watch>,
    counters: Arc<Counters>,
    /// For those who close: the peer's transport has everything, or never will. In order, so that
    /// simulated runs repeat.
    settled: Notify,
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
        let mut state = State::new();
        // Most connections need it, so it is opened before it is wanted.
        state.lane(Priority::Normal.index(), terms).wanted = true;
        let (state, turns, settled) = (Mutex::new(state), Default::default(), Notify::new());
        Self { state, turns, single, terms, watch, counters, settled }
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
        let to = state.lane(lane, self.terms);
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
        let to = state.lane(lane, self.terms);
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
        let to = state.lane(lane, self.terms);
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
            let lane = state.lane(self.lane_of(priority), self.terms);
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

    /// Why a message of this size has to wait: a bound, its value, and what it would have taken.
    pub(super) fn bound_on(&self, priority: Priority, size: usize) -> (Limit, u64, u64) {
        let lane = self.lane_of(priority);
        self.state().lane(lane, self.terms).out.bound_on(size)
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
            (state.turn, state.lane(priority.index(), self.terms).out.next_offset())
        };
        stream.write_all(preamble(offset)).await?;
        let writer = {
            let mut state = self.state();
            if state.turn != turn {
                // The lane goes another way by now.
                return Ok(());
            }
            state.lane(priority.index(), self.terms).stream = Some(stream);
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
            state.begin_turn();
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
            let lane = state.lane(lane.index(), self.terms);
            (lane.out.on_taken(total), lane.sender.take())
        };
        sender.into_iter().for_each(Waker::wake);
        result
    }

    /// The peer's engine has read up to here. Called by the task that drains, which goes on to do so.
    pub(super) fn on_read(&self, lane: Priority, offset: u64) -> Result<(), CreditError> {
        let (result, writer) = {
            let mut state = self.state();
            (state.lane(lane.index(), self.terms).out.on_read(offset), state.take_writer())
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

    /// The standby is gone: so are the lanes' streams on it, unless it was what they went over.
    pub(super) fn forget_former(&self) {
        let streams: Vec<_> = {
            let mut state = self.state();
            if state.way == Way::Standby {
                return;
            }
            state.made_mut().filter_map(|lane| lane.former.take()).collect()
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
    /// Returns the reason that counts: the first.
    pub(super) fn close(&self, reason: CloseReason) -> CloseReason {
        let (reason, wake) = {
            let mut state = self.state();
            let reason = state.closing.get_or_insert_with(|| Box::new(reason)).clone();
            let mut wake = state.take_senders();
            wake.extend(state.take_writer());
            (reason, wake)
        };
        wake.into_iter().for_each(Waker::wake);
        *reason
    }

    /// Waits, after a close, until the peer's transport has everything, or never will.
    pub(super) async fn delivered(&self) {
        let mut settled = pin!(self.settled.notified());
        // Before looking, so that no change is missed in between.
        settled.as_mut().enable();
        let is_settled = {
            let state = self.state();
            state.delivered || state.ended
        };
        if !is_settled {
            settled.await;
        }
    }

    /// The peer's transport has everything.
    pub(super) fn set_delivered(&self) {
        self.state().delivered = true;
        self.settled.notify_waiters();
    }

    /// The connection has ended.
    pub(super) fn end(&self) {
        let senders = {
            let mut state = self.state();
            state.ended = true;
            state.take_senders()
        };
        senders.into_iter().for_each(Waker::wake);
        self.settled.notify_waiters();
    }
}
