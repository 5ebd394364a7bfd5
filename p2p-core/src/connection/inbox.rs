//! Messages that have arrived, and the lane on which further ones come.
//!
//! Whoever receives reads the lane itself. A task in between would be one more to wake for every
//! message: on loopback that doubled the round trip whenever it ended up on another thread. While
//! nobody receives, what comes stays in the transport; the peer's count of
//! [`packets`](crate::engine::packets) keeps that within what the transport bears.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Poll, Waker};

use bytes::Bytes;

use super::lane::RecvLane;
use super::pump::PumpError;
use super::turns::Turns;
use crate::engine::control::ControlFrame;
use crate::engine::credit::RecvCredit;
use crate::engine::packets::ReadMeter;
use crate::stream::RecvStream;
use crate::transport::Link;

/// Received messages, in order.
#[derive(Debug)]
pub(super) struct Inbox<R> {
    state: Mutex<InboxState>,
    /// Whose turn it is reads.
    lane: Turns<RecvLane<R>>,
}

#[derive(Debug)]
struct InboxState {
    queue: VecDeque<Bytes>,
    credit: RecvCredit,
    meter: ReadMeter,
    reporter: Option<Waker>,
}

impl<R: RecvStream> Inbox<R> {
    /// With the window that was announced to the peer, and the largest message agreed.
    pub(super) fn new(window: u64, max_message_size: usize) -> Self {
        let state = InboxState {
            queue: VecDeque::new(),
            credit: RecvCredit::new(window),
            meter: ReadMeter::default(),
            reporter: None,
        };
        Self { state: Mutex::new(state), lane: Turns::new(RecvLane::new(max_message_size)) }
    }

    fn state(&self) -> MutexGuard<'_, InboxState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The next message, or `None` after the last. After a violation, the messages before it can
    /// still be received. Cancel safe.
    pub(super) async fn recv<L>(&self, link: &L) -> Result<Option<Bytes>, PumpError>
    where
        L: Link<RecvStream = R>,
    {
        // Without a turn, as long as nobody waits for one.
        let message = if self.lane.is_free() { self.pop() } else { None };
        if message.is_some() {
            return Ok(message);
        }
        let mut lane = self.lane.take().await;
        loop {
            if let Some(message) = self.pop() {
                return Ok(Some(message));
            }
            match lane.fill(link).await? {
                Some(bytes) => self.take_in(&mut lane, bytes)?,
                None => return Ok(None),
            }
        }
    }

    fn pop(&self) -> Option<Bytes> {
        let mut state = self.state();
        let message = state.queue.pop_front()?;
        state.credit.on_taken(message.len());
        state.wake_reporter_when_due();
        Some(message)
    }

    /// Takes apart what has arrived together, in so many bytes, up to the first failure.
    fn take_in(&self, lane: &mut RecvLane<R>, bytes: usize) -> Result<(), PumpError> {
        let mut state = self.state();
        state.meter.on_bytes(bytes);
        while let Some(message) = lane.next()? {
            if let Err(error) = state.credit.on_received(message.len()) {
                lane.end();
                return Err(error.into());
            }
            state.meter.on_message();
            state.queue.push_back(message);
        }
        state.wake_reporter_when_due();
        Ok(())
    }

    /// Waits until the peer is to hear how much was read or taken.
    pub(super) async fn report(&self) -> ControlFrame {
        poll_fn(|cx| {
            let mut state = self.state();
            if let Some(total) = state.meter.report() {
                return Poll::Ready(ControlFrame::Read(total));
            }
            if let Some(total) = state.credit.report() {
                return Poll::Ready(ControlFrame::Taken(total));
            }
            state.reporter = Some(cx.waker().clone());
            Poll::Pending
        })
        .await
    }
}

impl InboxState {
    fn wake_reporter_when_due(&mut self) {
        if self.meter.is_due() || self.credit.is_due() {
            self.reporter.take().into_iter().for_each(Waker::wake);
        }
    }
}
