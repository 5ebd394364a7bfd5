//! How a connection is doing, for all who want to know.

use std::collections::{BTreeMap, VecDeque};
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
    /// Whoever waits, by a number of its own: in the order in which they came, so that simulated runs
    /// repeat.
    waiting: BTreeMap<u64, Waker>,
    next_number: u64,
}

/// A place among those who wait; dropping it gives it back.
#[derive(Debug)]
pub(crate) struct Place {
    cell: Arc<StateCell>,
    number: Option<u64>,
}

impl Place {
    pub(crate) const fn new(cell: Arc<StateCell>) -> Self {
        Self { cell, number: None }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Some(number) = self.number {
            self.cell.log().waiting.remove(&number);
        }
    }
}

impl Place {
    /// The state with the number `next`, or the oldest after it that is remembered; `None` after the
    /// last.
    pub(crate) fn poll_state(
        &mut self,
        next: &mut u64,
        cx: &Context<'_>,
    ) -> Poll<Option<ConnectionState>> {
        let Self { cell, number } = self;
        let mut log = cell.log();
        let index = next.saturating_sub(log.first) as usize;
        if let Some(state) = log.states.get(index).cloned() {
            *next = log.first + index as u64 + 1;
            return Poll::Ready(Some(state));
        }
        if log.states.back().is_some_and(ConnectionState::is_over) {
            return Poll::Ready(None);
        }
        log.wait(number, cx);
        Poll::Pending
    }
}

impl StateCell {
    pub(crate) fn new(subject: Subject) -> Arc<Self> {
        let states = VecDeque::from([ConnectionState::Connected]);
        let waiting = BTreeMap::new();
        let log = Mutex::new(Log { states, first: 0, waiting, next_number: 0 });
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
        let waiting = {
            let mut log = self.log();
            // Resumed on one link and then on the next, of whose loss nothing was noticed, is a change.
            let again = |now: &_| *now == state && state != ConnectionState::Resumed;
            if log.states.back().is_some_and(|now| now.is_over() || again(now)) {
                return;
            }
            if log.states.len() == REMEMBERED {
                log.states.pop_front();
                log.first += 1;
            }
            log.states.push_back(state.clone());
            std::mem::take(&mut log.waiting)
        };
        self.subject.on_state(&state);
        waiting.into_values().for_each(Waker::wake);
    }

    /// Has those who wait look again, though the state is the same.
    pub(crate) fn touch(&self) {
        let waiting = std::mem::take(&mut self.log().waiting);
        waiting.into_values().for_each(Waker::wake);
    }

    /// Waits until `ready` says so of the present state. Cancel safe.
    pub(crate) async fn wait(self: &Arc<Self>, mut ready: impl FnMut(&ConnectionState) -> bool) {
        let mut place = Place::new(self.clone());
        poll_fn(|cx| {
            let mut log = self.log();
            if log.states.back().is_some_and(&mut ready) {
                return Poll::Ready(());
            }
            log.wait(&mut place.number, cx);
            Poll::Pending
        })
        .await;
    }

    /// Waits for the end. Cancel safe.
    pub(crate) async fn over(self: &Arc<Self>) -> CloseReason {
        self.wait(ConnectionState::is_over).await;
        let unknown = || CloseReason::new(ClosedBy::Network, CloseCause::Transport, "");
        self.end().unwrap_or_else(unknown)
    }

    /// The state as it is, then each change.
    pub(crate) fn events(self: &Arc<Self>) -> StateEvents {
        let log = self.log();
        let next = log.first + log.states.len().saturating_sub(1) as u64;
        drop(log);
        StateEvents::new(Place::new(self.clone()), next)
    }
}

impl Log {
    /// Wakes this task at the next change.
    fn wait(&mut self, number: &mut Option<u64>, cx: &Context<'_>) {
        let number = *number.get_or_insert_with(|| {
            self.next_number += 1;
            self.next_number
        });
        self.waiting.insert(number, cx.waker().clone());
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

#[cfg(test)]
mod tests {
    use std::future::Future;
    use std::pin::pin;

    use super::*;
    use crate::identity::SecretKey;
    use crate::observe::Monitor;

    #[test]
    fn who_waits_no_longer_leaves_nothing_behind() {
        let peer = SecretKey::from_bytes(&[1; 32]).peer_id();
        let cell = StateCell::new(Subject::new(Arc::new(Monitor::new(peer)), peer, 0));
        let mut cx = Context::from_waker(Waker::noop());
        let mut stays = pin!(cell.over());
        assert!(stays.as_mut().poll(&mut cx).is_pending());
        for _ in 0..10 {
            let mut events = cell.events();
            assert!(pin!(events.next()).poll(&mut cx).is_ready(), "the present state");
            assert!(pin!(events.next()).poll(&mut cx).is_pending());
            assert!(pin!(cell.over()).poll(&mut cx).is_pending());
        }
        assert_eq!(cell.log().waiting.len(), 1);
        cell.set(ConnectionState::Resumed);
        assert!(cell.log().waiting.is_empty(), "woken");
        assert!(stays.as_mut().poll(&mut cx).is_pending());
        assert_eq!(cell.log().waiting.len(), 1, "and waits again");
    }
}
