//! Where admitted connections wait to be accepted.

use std::collections::VecDeque;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

/// A bounded queue that its listener can close at once, whoever has an entry reserved or waits.
#[derive(Debug)]
pub(crate) struct Backlog<C> {
    state: Mutex<State<C>>,
    changed: Notify,
}

#[derive(Debug)]
struct State<C> {
    waiting: VecDeque<C>,
    /// Entries for connections to come.
    reserved: usize,
    capacity: usize,
    closed: bool,
}

impl<C> Backlog<C> {
    pub(crate) fn new(capacity: usize) -> Self {
        let state = State { waiting: VecDeque::new(), reserved: 0, capacity, closed: false };
        Self { state: Mutex::new(state), changed: Notify::new() }
    }

    fn state(&self) -> MutexGuard<'_, State<C>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn capacity(&self) -> usize {
        self.state().capacity
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.state().closed
    }

    /// Takes an entry for a connection to come, if there is one.
    pub(crate) fn try_reserve(self: &Arc<Self>) -> Option<Entry<C>> {
        let mut state = self.state();
        if state.waiting.len() + state.reserved >= state.capacity {
            return None;
        }
        state.reserved += 1;
        Some(Entry(Some(self.clone())))
    }

    /// Drops those that wait and are `over`, and tells whether there was one. An accept that waits is
    /// not concerned: it would have taken them.
    pub(crate) fn shed(&self, over: impl Fn(&C) -> bool) -> bool {
        let shed: VecDeque<C> = {
            let mut state = self.state();
            let (shed, waiting) = std::mem::take(&mut state.waiting).into_iter().partition(over);
            state.waiting = waiting;
            shed
        };
        // Outside of the lock, where it is dropped too: the end of a connection has effects.
        !shed.is_empty()
    }

    /// The next connection, or `None` once closed. Cancel safe: a wake-up that is not used goes to
    /// the next in line.
    pub(crate) async fn next(&self) -> Option<C> {
        let mut changed = pin!(self.changed.notified());
        loop {
            // Before looking, so that no change is missed in between.
            changed.as_mut().enable();
            {
                let mut state = self.state();
                if state.closed {
                    return None;
                }
                if let Some(connection) = state.waiting.pop_front() {
                    return Some(connection);
                }
            }
            changed.as_mut().await;
            changed.set(self.changed.notified());
        }
    }

    /// Drops what waits, and whatever comes from now on.
    pub(crate) fn close(&self) {
        let waiting = {
            let mut state = self.state();
            state.closed = true;
            std::mem::take(&mut state.waiting)
        };
        // Outside of the lock: the end of a connection has effects.
        drop(waiting);
        self.changed.notify_waiters();
    }
}

/// A place in the queue, taken before it is known whether the connection comes about.
#[derive(Debug)]
pub(crate) struct Entry<C>(Option<Arc<Backlog<C>>>);

impl<C> Entry<C> {
    /// Puts the connection into its place.
    pub(crate) fn fill(mut self, connection: C) {
        let Some(backlog) = self.0.take() else { return };
        let mut state = backlog.state();
        state.reserved -= 1;
        if state.closed {
            drop(state);
            drop(connection);
        } else {
            state.waiting.push_back(connection);
            drop(state);
            backlog.changed.notify_one();
        }
    }
}

impl<C> Drop for Entry<C> {
    fn drop(&mut self) {
        if let Some(backlog) = &self.0 {
            backlog.state().reserved -= 1;
        }
    }
}
