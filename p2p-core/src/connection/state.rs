//! How a connection is doing, for all who want to know.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use crate::close::{CloseCause, CloseReason, ClosedBy};
use crate::observe::Subject;
use crate::reconnect::{ConnectionState, StateEvents};

/// How many changes a slow reader can be behind before it misses the oldest.
const REMEMBERED: usize = 16;

/// The present state, and the last changes.
#[derive(Debug)]
pub(crate) struct StateCell {
    log: Mutex<Log>,
    subject: Subject,
}

#[derive(Debug)]
struct Log {
    /// The last of them is the present one.
    states: VecDeque<ConnectionState>,
    /// The number of the first.
    first: u64,
    /// In the order in which they came, so that simulated runs repeat.
    wakers: Vec<Waker>,
}

impl StateCell {
    pub(crate) fn new(subject: Subject) -> Arc<Self> {
        let states = VecDeque::from([ConnectionState::Connected]);
        let log = Mutex::new(Log { states, first: 0, wakers: Vec::new() });
        Arc::new(Self { log, subject })
    }

    fn log(&self) -> MutexGuard<'_, Log> {
        self.log.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The connection, as it is known outside.
    pub(crate) const fn subject(&self) -> &Subject {
        &self.subject
    }

    pub(crate) fn get(&self) -> ConnectionState {
        self.log().states.back().cloned().unwrap_or(ConnectionState::Connected)
    }

    /// How the connection ended, if it is over.
    pub(crate) fn end(&self) -> Option<CloseReason> {
        end_of(self.log().states.back()?)
    }

    /// Changes the state, unless the connection is over.
    pub(crate) fn set(&self, state: ConnectionState) {
        let wakers = {
            let mut log = self.log();
            if log.states.back().is_some_and(|now| now.is_over() || *now == state) {
                return;
            }
            if log.states.len() == REMEMBERED {
                log.states.pop_front();
                log.first += 1;
            }
            log.states.push_back(state.clone());
            std::mem::take(&mut log.wakers)
        };
        self.subject.on_state(&state);
        wakers.into_iter().for_each(Waker::wake);
    }

    /// Waits until `ready` says so of the present state. Cancel safe.
    pub(crate) async fn wait(&self, mut ready: impl FnMut(&ConnectionState) -> bool) {
        poll_fn(|cx| {
            let mut log = self.log();
            if log.states.back().is_some_and(&mut ready) {
                return Poll::Ready(());
            }
            log.wait(cx);
            Poll::Pending
        })
        .await;
    }

    /// Waits for the end. Cancel safe.
    pub(crate) async fn over(&self) -> CloseReason {
        self.wait(ConnectionState::is_over).await;
        let unknown = || CloseReason::new(ClosedBy::Network, CloseCause::Transport, "");
        self.end().unwrap_or_else(unknown)
    }

    /// The state as it is, then each change.
    pub(crate) fn events(self: &Arc<Self>) -> StateEvents {
        let log = self.log();
        let next = log.first + log.states.len().saturating_sub(1) as u64;
        drop(log);
        StateEvents::new(self.clone(), next)
    }

    /// The state with this number, or the oldest after it that is remembered; `None` after the last.
    pub(crate) fn poll_state(
        &self,
        next: &mut u64,
        cx: &Context<'_>,
    ) -> Poll<Option<ConnectionState>> {
        let mut log = self.log();
        let index = next.saturating_sub(log.first) as usize;
        if let Some(state) = log.states.get(index).cloned() {
            *next = log.first + index as u64 + 1;
            return Poll::Ready(Some(state));
        }
        if log.states.back().is_some_and(ConnectionState::is_over) {
            return Poll::Ready(None);
        }
        log.wait(cx);
        Poll::Pending
    }
}

impl Log {
    fn wait(&mut self, cx: &Context<'_>) {
        if !self.wakers.iter().any(|waker| waker.will_wake(cx.waker())) {
            self.wakers.push(cx.waker().clone());
        }
    }
}

fn end_of(state: &ConnectionState) -> Option<CloseReason> {
    match state {
        ConnectionState::Closed(reason) => Some(reason.clone()),
        ConnectionState::Lost(lost) => {
            let words = lost.reason.to_string();
            Some(CloseReason::new(ClosedBy::Network, CloseCause::Lost, words))
        }
        _ => None,
    }
}
