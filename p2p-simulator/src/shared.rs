//! The engine behind a lock, with a clock: what every handle on a network has in common.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Waker;
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

use crate::engine::{Engine, Nanos, nanos};

/// A network, its clock, and how its driver is told that something will happen sooner.
#[derive(Debug)]
pub(crate) struct Shared {
    state: Mutex<State>,
    start: Instant,
    /// What the clock said when it last moved, where the driver is virtual: it knows when that is, and
    /// reading the clock costs more than much of what is done at that time.
    now: AtomicU64,
    /// Waits for the next event, where the driver is a task. The virtual driver looks by itself,
    /// whenever all tasks wait.
    pub(crate) sooner: Option<Arc<Notify>>,
}

/// No driver has said what the clock says: whoever needs to know reads it.
const UNREAD: Nanos = Nanos::MAX;

#[derive(Debug)]
struct State {
    engine: Engine,
    /// When the run ended; from then on time stands still.
    ended_at: Option<Nanos>,
}

impl Shared {
    /// Starts the clock now. Inside a runtime: its clock is the one that counts.
    pub(crate) fn new(engine: Engine, sooner: Option<Arc<Notify>>) -> Self {
        let state = State { engine, ended_at: None };
        Self {
            state: Mutex::new(state),
            start: Instant::now(),
            now: AtomicU64::new(UNREAD),
            sooner,
        }
    }

    pub(crate) const fn start(&self) -> Instant {
        self.start
    }

    /// The time since the start.
    pub(crate) fn elapsed(&self) -> Duration {
        self.start.elapsed()
    }

    /// The virtual driver's word that the clock may have moved. Returns what it says.
    pub(crate) fn read_clock(&self) -> Nanos {
        let now = nanos(self.elapsed());
        self.set_now(now);
        now
    }

    /// The same where the driver knows already what the clock says.
    pub(crate) fn set_now(&self, now: Nanos) {
        self.now.store(now, Ordering::Relaxed);
    }

    fn now(&self) -> Nanos {
        match self.now.load(Ordering::Relaxed) {
            UNREAD => nanos(self.elapsed()),
            now => now,
        }
    }

    /// Does something with the engine, then wakes whom it concerns.
    pub(crate) fn with<R>(&self, f: impl FnOnce(&mut Engine, Nanos) -> R) -> R {
        self.with_wakes(f).0
    }

    /// Lets everything happen that is due. Returns whether that woke anybody, and when something
    /// happens next.
    pub(crate) fn advance(&self) -> (bool, Option<Nanos>) {
        let (next, woke) = self.with_wakes(|engine, now| {
            engine.advance(now);
            engine.next_event()
        });
        (woke, next)
    }

    fn with_wakes<R>(&self, f: impl FnOnce(&mut Engine, Nanos) -> R) -> (R, bool) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let now = state.ended_at.unwrap_or_else(|| self.now());
        let before = self.sooner.as_ref().map(|_| state.engine.next_event());
        let result = f(&mut state.engine, now);
        let next = state.engine.next_event();
        // Most calls wake nobody or one task: those take no allocation.
        let one = state.engine.take_only_waker();
        let more = state.engine.take_wakers();
        drop(state);
        let woke = one.is_some() || !more.is_empty();
        if let Some(one) = one {
            one.wake();
        }
        more.into_iter().for_each(Waker::wake);
        if let (Some(sooner), Some(before)) = (&self.sooner, before) {
            if next.is_some_and(|next| before.is_none_or(|before| next < before)) {
                sooner.notify_one();
            }
        }
        (result, woke)
    }

    /// Stops the clock, so that what is dropped after the run cannot read another.
    pub(crate) fn end(&self) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.ended_at = Some(nanos(self.elapsed()));
    }
}
