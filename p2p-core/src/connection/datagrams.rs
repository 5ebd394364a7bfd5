//! Datagrams that have come, until the program takes them.
//!
//! Whoever receives takes datagrams from the link itself: a task in between would be one more to wake
//! for each. But a transport drops what nobody takes, and does not say so. So once nobody has looked
//! for [`AWAY`], the connection's task collects them here, within a bound, and counts what it drops;
//! the next receiver that has to wait sends it back to sleep.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Poll, Waker, ready};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use tokio::time::sleep;

use super::Core;
use super::counters::Counters;
use super::turns::Turns;
use crate::datagram::DatagramDrop;
use crate::transport::Link;

/// How long nobody looks before the task does. Within it, what comes stays in the transport.
const AWAY: Duration = Duration::from_millis(20);
/// How many are taken from the link at one look: past this, others have their turn.
const BATCH: usize = 1024;
/// How many of them at once.
const AT_ONCE: usize = 32;
/// How much a transport receives at once: what one datagram of it keeps alive, if it is not copied.
pub(crate) const BUFFER: usize = 64 * 1024;
/// How many such buffers the datagrams that wait may keep alive.
pub(crate) const MAX_BUFFERS: usize = 32;
/// What a datagram costs in the queue besides its bytes.
const OVERHEAD: usize = 64;
/// Datagrams up to this size share blocks of that size: an allocation for each would cost more than all
/// else that is done for it.
const SMALL: usize = 128;
const BLOCK: usize = 1536;

#[derive(Debug)]
pub(super) struct Datagrams {
    state: Mutex<State>,
    counters: Arc<Counters>,
    /// Whose turn it is looks at the link.
    turns: Turns<()>,
}

#[derive(Debug)]
struct State {
    queue: Queue,
    /// Looks of receivers at the link so far.
    looks: u64,
    /// A receiver waits.
    waiting: bool,
    receiver: Option<Waker>,
    /// Nobody receives: the task collects.
    away: bool,
    /// The task wants to know when the receiver goes.
    leave_wanted: bool,
    collector: Option<Waker>,
}

/// What waits, within its bound.
#[derive(Debug)]
struct Queue {
    datagrams: VecDeque<Bytes>,
    size: usize,
    max: usize,
    drops: DatagramDrop,
    /// Where the next small ones go.
    block: BytesMut,
}

impl Queue {
    fn pop(&mut self) -> Option<Bytes> {
        let datagram = self.datagrams.pop_front()?;
        self.size -= datagram.len() + OVERHEAD;
        Some(datagram)
    }

    /// A copy, because a datagram may be a small part of what the transport received, all of which it
    /// would keep alive. Small ones go one after the other into the same block.
    fn copy(&mut self, datagram: &[u8]) -> Bytes {
        if datagram.len() > SMALL {
            return Bytes::copy_from_slice(datagram);
        }
        if self.block.capacity() < datagram.len() {
            self.block = BytesMut::with_capacity(BLOCK);
        }
        self.block.extend_from_slice(datagram);
        self.block.split().freeze()
    }

    /// Keeps a datagram, or a copy, dropping what does not fit. One always fits. Returns how many it
    /// dropped.
    fn push(&mut self, datagram: Bytes, as_it_came: bool) -> usize {
        let cost = datagram.len() + OVERHEAD;
        let mut dropped = 0;
        while self.size + cost > self.max && !self.datagrams.is_empty() {
            dropped += 1;
            match self.drops {
                DatagramDrop::Newest => return dropped,
                DatagramDrop::Oldest => drop(self.pop()),
            }
        }
        self.size += cost;
        let kept = if as_it_came { datagram } else { self.copy(&datagram) };
        self.datagrams.push_back(kept);
        dropped
    }
}

/// Counts, by their addresses, from how many of the transport's buffers datagrams are.
struct Buffers {
    /// Where the present stretch of memory begins, as long as a buffer: it touches at most two.
    at: usize,
    left: usize,
}

impl Buffers {
    const fn new() -> Self {
        Self { at: 0, left: MAX_BUFFERS / 2 }
    }

    /// Whether a datagram may wait as it came.
    fn may_keep(&mut self, datagram: &[u8]) -> bool {
        let at = datagram.as_ptr().addr();
        if at.wrapping_sub(self.at) < BUFFER {
            return true;
        }
        if self.left == 0 {
            return false;
        }
        self.at = at;
        self.left -= 1;
        true
    }
}

impl Datagrams {
    pub(super) fn new(max: usize, drops: DatagramDrop, counters: Arc<Counters>) -> Self {
        let datagrams = VecDeque::new();
        let state = State {
            queue: Queue { datagrams, size: 0, max, drops, block: BytesMut::new() },
            looks: 0,
            waiting: false,
            receiver: None,
            away: true,
            leave_wanted: false,
            collector: None,
        };
        Self { state: Mutex::new(state), counters, turns: Turns::default() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One was dropped before it was whole.
    pub(super) fn drop_one(&self) {
        // The counter is written under this lock only.
        let _state = self.state();
        self.counters.on_datagrams_unread(1);
    }

    /// A datagram has come otherwise than to a receiver.
    pub(super) fn push(&self, datagram: Bytes) {
        let receiver = {
            let mut state = self.state();
            self.keep(&mut state, datagram, false);
            state.receiver.take()
        };
        receiver.into_iter().for_each(Waker::wake);
    }

    /// The next of those that wait here, if nobody was first.
    pub(super) fn try_recv(&self) -> Option<Bytes> {
        if self.turns.is_free() { self.pop(&mut self.state()) } else { None }
    }

    fn keep(&self, state: &mut State, datagram: Bytes, as_it_came: bool) {
        let dropped = state.queue.push(datagram, as_it_came);
        if dropped > 0 {
            self.counters.on_datagrams_unread(dropped);
        }
    }

    fn pop(&self, state: &mut State) -> Option<Bytes> {
        let datagram = state.queue.pop()?;
        self.counters.on_datagram_received();
        Some(datagram)
    }

    /// The next datagram, or `None` when the link has ended. Cancel safe.
    pub(super) async fn recv<L: Link>(&self, link: &L) -> Option<Bytes> {
        let _turn = self.turns.take().await;
        let _leaving = Leaving(self);
        let mut reading = pin!(link.recv_datagram());
        poll_fn(|cx| {
            let collector = {
                let mut state = self.state();
                if let Some(datagram) = self.pop(&mut state) {
                    return Poll::Ready(Some(datagram));
                }
                state.looks += 1;
                state.waiting = true;
                state.receiver = Some(cx.waker().clone());
                if std::mem::take(&mut state.away) { state.collector.take() } else { None }
            };
            collector.into_iter().for_each(Waker::wake);
            let Ok(first) = ready!(reading.as_mut().poll(cx)) else {
                return Poll::Ready(self.pop(&mut self.state()));
            };
            // What else is there: a slow receiver leaves it to the queue's bound and counter.
            let mut places = [const { Bytes::new() }; AT_ONCE];
            let mut state = self.state();
            self.counters.on_datagram_received();
            let mut buffers = Buffers::new();
            for _ in 0..BATCH / AT_ONCE {
                let come = link.try_recv_datagrams(&mut places);
                for place in &mut places[..come] {
                    let datagram = std::mem::take(place);
                    let as_it_came = buffers.may_keep(&datagram);
                    self.keep(&mut state, datagram, as_it_came);
                }
                if come < AT_ONCE {
                    break;
                }
            }
            Poll::Ready(Some(first))
        })
        .await
    }

    /// Waits, without a link, until one waits here. Cancel safe.
    pub(super) async fn come(&self) {
        let _turn = self.turns.take().await;
        poll_fn(|cx| {
            let mut state = self.state();
            if !state.queue.datagrams.is_empty() {
                return Poll::Ready(());
            }
            state.receiver = Some(cx.waker().clone());
            Poll::Pending
        })
        .await;
    }

    /// Waits until nobody receives.
    async fn nobody_receives(&self) {
        loop {
            let looks = self.state().looks;
            sleep(AWAY).await;
            {
                let mut state = self.state();
                if !state.waiting && state.looks == looks {
                    state.away = true;
                    return;
                }
                state.leave_wanted = state.waiting;
            }
            // A receiver that waits may do so for hours.
            poll_fn(|cx| {
                let mut state = self.state();
                if !state.leave_wanted {
                    return Poll::Ready(());
                }
                state.collector = Some(cx.waker().clone());
                Poll::Pending
            })
            .await;
        }
    }
}

/// A receiver that waits, until it does not any more.
struct Leaving<'a>(&'a Datagrams);

impl Drop for Leaving<'_> {
    fn drop(&mut self) {
        let collector = {
            let mut state = self.0.state();
            state.waiting = false;
            state.receiver = None;
            if std::mem::take(&mut state.leave_wanted) { state.collector.take() } else { None }
        };
        collector.into_iter().for_each(Waker::wake);
    }
}

/// Collects datagrams whenever nobody receives, until the link has ended.
pub(super) async fn collect<L: Link>(core: &Core<L>, link: &L) {
    let datagrams = &core.datagrams;
    loop {
        {
            let mut reading = pin!(link.recv_datagram());
            let ended = poll_fn(|cx| {
                for _ in 0..BATCH {
                    {
                        let mut state = datagrams.state();
                        if !state.away {
                            return Poll::Ready(false);
                        }
                        state.collector = Some(cx.waker().clone());
                    }
                    let Ok(datagram) = ready!(reading.as_mut().poll(cx)) else {
                        return Poll::Ready(true);
                    };
                    datagrams.push(datagram);
                    reading.set(link.recv_datagram());
                }
                cx.waker().wake_by_ref();
                Poll::Pending
            });
            if ended.await {
                return;
            }
        }
        // In a box: it is not asked for often, and its timer is large.
        Box::pin(datagrams.nobody_receives()).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn queue(drops: DatagramDrop) -> Queue {
        let room_for_three = 3 * (1 + OVERHEAD);
        Queue {
            datagrams: VecDeque::new(),
            size: 0,
            max: room_for_three,
            drops,
            block: BytesMut::new(),
        }
    }

    fn left(mut queue: Queue) -> Vec<u8> {
        let left = std::iter::from_fn(|| queue.pop()).map(|datagram| datagram[0]).collect();
        assert_eq!(queue.size, 0);
        left
    }

    #[test]
    fn the_newest_or_the_oldest_go_and_are_counted() {
        for (drops, kept) in [(DatagramDrop::Newest, [0, 1, 2]), (DatagramDrop::Oldest, [7, 8, 9])]
        {
            let mut queue = queue(drops);
            let dropped: usize =
                (0..10).map(|number| queue.push(Bytes::from(vec![number]), false)).sum();
            assert_eq!(dropped, 7);
            assert_eq!(left(queue), kept);
        }
    }

    #[test]
    fn one_datagram_always_fits() {
        for drops in [DatagramDrop::Newest, DatagramDrop::Oldest] {
            let mut queue = queue(drops);
            let dropped = queue.push(Bytes::from(vec![1; 1000]), false);
            assert_eq!((dropped, left(queue)), (0, vec![1]));
        }
    }

    #[test]
    fn what_is_kept_as_it_came_is_of_few_buffers() {
        let received: Vec<Vec<u8>> = (0..100).map(|_| vec![0; BUFFER]).collect();
        let mut buffers = Buffers::new();
        // Of each, what two packets brought.
        let kept = |buffer: &&Vec<u8>| {
            let (one, other) =
                (buffers.may_keep(&buffer[100..101]), buffers.may_keep(&buffer[1400..1401]));
            one || other
        };
        assert!((1..=MAX_BUFFERS).contains(&received.iter().filter(kept).count()));
    }
}
