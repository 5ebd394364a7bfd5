//! Messages that have arrived and wait for the program, and the credit that bounds both directions.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use bytes::Bytes;

use crate::engine::credit::{CreditError, RecvCredit, SendCredit};

/// Received messages, in order.
#[derive(Debug)]
pub(super) struct Inbox {
    state: Mutex<InboxState>,
    /// Receivers take turns, so that one waker is enough.
    turn: tokio::sync::Mutex<()>,
}

#[derive(Debug)]
struct InboxState {
    queue: VecDeque<Bytes>,
    credit: RecvCredit,
    ended: bool,
    receiver: Option<Waker>,
    reporter: Option<Waker>,
}

impl Inbox {
    pub(super) fn new(window: u64) -> Self {
        let state = InboxState {
            queue: VecDeque::new(),
            credit: RecvCredit::new(window),
            ended: false,
            receiver: None,
            reporter: None,
        };
        Self { state: Mutex::new(state), turn: tokio::sync::Mutex::new(()) }
    }

    fn state(&self) -> MutexGuard<'_, InboxState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes in what has arrived together, up to the first failure.
    pub(super) fn extend<E: From<CreditError>>(
        &self,
        mut next: impl FnMut() -> Result<Option<Bytes>, E>,
    ) -> Result<(), E> {
        let mut state = self.state();
        let result = loop {
            match next() {
                Ok(Some(message)) => match state.credit.on_received(message.len()) {
                    Ok(()) => state.queue.push_back(message),
                    Err(error) => break Err(error.into()),
                },
                Ok(None) => break Ok(()),
                Err(error) => break Err(error),
            }
        };
        let receiver = if state.queue.is_empty() { None } else { state.receiver.take() };
        drop(state);
        receiver.into_iter().for_each(Waker::wake);
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
        let _turn = self.turn.lock().await;
        poll_fn(|cx| self.poll_recv(cx)).await
    }

    fn poll_recv(&self, cx: &Context<'_>) -> Poll<Option<Bytes>> {
        let mut state = self.state();
        let Some(message) = state.queue.pop_front() else {
            if state.ended {
                return Poll::Ready(None);
            }
            state.receiver = Some(cx.waker().clone());
            return Poll::Pending;
        };
        state.credit.on_taken(message.len());
        let reporter = if state.credit.is_due() { state.reporter.take() } else { None };
        drop(state);
        reporter.into_iter().for_each(Waker::wake);
        Poll::Ready(Some(message))
    }

    /// Waits until the peer is to hear how much was taken, and tells it.
    pub(super) async fn report(&self) -> u64 {
        poll_fn(|cx| {
            let mut state = self.state();
            match state.credit.report() {
                Some(total) => Poll::Ready(total),
                None => {
                    state.reporter = Some(cx.waker().clone());
                    Poll::Pending
                }
            }
        })
        .await
    }
}

/// What this side may send.
#[derive(Debug)]
pub(super) struct Credit(Mutex<CreditState>);

#[derive(Debug)]
struct CreditState {
    credit: SendCredit,
    ended: bool,
    sender: Option<Waker>,
}

impl Credit {
    pub(super) fn new(window: u64) -> Self {
        let credit = SendCredit::new(window);
        Self(Mutex::new(CreditState { credit, ended: false, sender: None }))
    }

    fn state(&self) -> MutexGuard<'_, CreditState> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for the credit for a message of this size, and takes it. One caller at a time; it comes
    /// back at once when all has ended, as sending will say why. Cancel safe.
    pub(super) async fn take(&self, size: usize) {
        poll_fn(|cx| {
            let mut state = self.state();
            if state.credit.try_take(size) || state.ended {
                return Poll::Ready(());
            }
            state.sender = Some(cx.waker().clone());
            Poll::Pending
        })
        .await;
    }

    /// The peer reports how much its program has taken.
    pub(super) fn on_taken(&self, total: u64) -> Result<(), CreditError> {
        let (result, sender) = {
            let mut state = self.state();
            (state.credit.on_taken(total), state.sender.take())
        };
        sender.into_iter().for_each(Waker::wake);
        result
    }

    /// No further report will come.
    pub(super) fn end(&self) {
        let sender = {
            let mut state = self.state();
            state.ended = true;
            state.sender.take()
        };
        sender.into_iter().for_each(Waker::wake);
    }
}
