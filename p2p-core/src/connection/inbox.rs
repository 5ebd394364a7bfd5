//! Messages that have arrived and wait for the program.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Poll, Waker};

use bytes::Bytes;

use super::turns::Turns;
use crate::engine::control::ControlFrame;
use crate::engine::credit::{CreditError, RecvCredit};
use crate::engine::packets::ReadMeter;

/// Received messages, in order.
#[derive(Debug)]
pub(super) struct Inbox {
    state: Mutex<InboxState>,
    /// Receivers take turns, so that one waker is enough.
    turns: Turns,
}

#[derive(Debug)]
struct InboxState {
    queue: VecDeque<Bytes>,
    credit: RecvCredit,
    meter: ReadMeter,
    ended: bool,
    receiver: Option<Waker>,
    reporter: Option<Waker>,
}

impl Inbox {
    pub(super) fn new(window: u64) -> Self {
        let state = InboxState {
            queue: VecDeque::new(),
            credit: RecvCredit::new(window),
            meter: ReadMeter::default(),
            ended: false,
            receiver: None,
            reporter: None,
        };
        Self { state: Mutex::new(state), turns: Turns::default() }
    }

    fn state(&self) -> MutexGuard<'_, InboxState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes in what has arrived together, in so many bytes, up to the first failure.
    pub(super) fn extend<E: From<CreditError>>(
        &self,
        bytes: usize,
        mut next: impl FnMut() -> Result<Option<Bytes>, E>,
    ) -> Result<(), E> {
        let mut state = self.state();
        state.meter.on_bytes(bytes);
        let result = loop {
            match next() {
                Ok(Some(message)) => match state.credit.on_received(message.len()) {
                    Ok(()) => {
                        state.queue.push_back(message);
                        state.meter.on_message();
                    }
                    Err(error) => break Err(error.into()),
                },
                Ok(None) => break Ok(()),
                Err(error) => break Err(error),
            }
        };
        let receiver = if state.queue.is_empty() { None } else { state.receiver.take() };
        let reporter = if state.meter.is_due() { state.reporter.take() } else { None };
        drop(state);
        receiver.into_iter().chain(reporter).for_each(Waker::wake);
        result
    }

    /// Nothing follows.
    pub(super) fn end(&self) {
        let receiver = {
            let mut state = self.state();
            state.ended = true;
            state.receiver.take()
        };
        receiver.into_iter().for_each(Waker::wake);
    }

    /// The next message, or `None` after the last. Cancel safe.
    pub(super) async fn recv(&self) -> Option<Bytes> {
        if self.turns.is_free() {
            if let Poll::Ready(message) = self.poll_recv(None) {
                return message;
            }
        }
        let _turn = self.turns.take().await;
        poll_fn(|cx| self.poll_recv(Some(cx.waker()))).await
    }

    fn poll_recv(&self, waker: Option<&Waker>) -> Poll<Option<Bytes>> {
        let mut state = self.state();
        let Some(message) = state.queue.pop_front() else {
            if state.ended {
                return Poll::Ready(None);
            }
            if let Some(waker) = waker {
                state.receiver = Some(waker.clone());
            }
            return Poll::Pending;
        };
        state.credit.on_taken(message.len());
        let reporter = if state.credit.is_due() { state.reporter.take() } else { None };
        drop(state);
        reporter.into_iter().for_each(Waker::wake);
        Poll::Ready(Some(message))
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
