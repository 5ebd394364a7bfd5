//! The engine behind a lock, with a clock: what every handle on a network has in common.

use std::cell::Cell;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Waker;
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

use crate::engine::{Engine, Nanos, nanos};
use crate::network::Network;
use crate::simulation::Invariant;

/// A network, its clock, and how its driver is told that something will happen sooner.
#[derive(Debug)]
pub(crate) struct Shared {
    engine: Mutex<Engine>,
    start: Instant,
    /// What the clock said when it last moved, where the driver is virtual: it knows when that is, and
    /// reading the clock costs more than much of what is done at that time.
    now: AtomicU64,
    /// The run is over; from then on time stands still.
    ended: AtomicBool,
    /// Waits for the next event, where the driver is a task. The virtual driver looks by itself,
    /// whenever all tasks wait.
    pub(crate) sooner: Option<Arc<Notify>>,
    /// The thread it belongs to, and how often another one used it.
    home: usize,
    foreign: AtomicU32,
    /// What must hold all along; looked at by the virtual driver only.
    invariants: Mutex<Vec<Invariant>>,
    has_invariants: AtomicBool,
}

/// No driver has said what the clock says: whoever needs to know reads it.
const UNREAD: Nanos = Nanos::MAX;

impl Shared {
    /// Starts the clock now. Inside a runtime: its clock is the one that counts.
    pub(crate) fn new(engine: Engine, sooner: Option<Arc<Notify>>) -> Self {
        Self {
            engine: Mutex::new(engine),
            start: Instant::now(),
            now: AtomicU64::new(UNREAD),
            ended: AtomicBool::new(false),
            sooner,
            home: this_thread(),
            foreign: AtomicU32::new(0),
            invariants: Mutex::default(),
            has_invariants: AtomicBool::new(false),
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
        if !self.ended.load(Ordering::Relaxed) {
            self.now.store(now, Ordering::Relaxed);
        }
    }

    /// What the clock says, or said when it last moved.
    pub(crate) fn now(&self) -> Nanos {
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
        if this_thread() != self.home {
            self.foreign.fetch_add(1, Ordering::Relaxed);
        }
        let mut engine = self.engine.lock().unwrap_or_else(PoisonError::into_inner);
        let now = self.now();
        let before = self.sooner.as_ref().map(|_| engine.next_event());
        let result = f(&mut engine, now);
        if before.is_none() && !engine.has_wakers() {
            return (result, false);
        }
        let woke = self.wake(engine, before.flatten());
        (result, woke)
    }

    /// Wakes whom it concerns. Returns whether that is anybody.
    fn wake(&self, mut engine: MutexGuard<'_, Engine>, before: Option<Nanos>) -> bool {
        let next = self.sooner.as_ref().and_then(|_| engine.next_event());
        // Most calls wake nobody or one task: those take no allocation.
        let one = engine.take_only_waker();
        let more = if one.is_none() { engine.take_wakers() } else { Vec::new() };
        drop(engine);
        let woke = one.is_some() || !more.is_empty();
        if let Some(one) = one {
            one.wake();
        }
        more.into_iter().for_each(Waker::wake);
        if let Some(sooner) = &self.sooner {
            if next.is_some_and(|next| before.is_none_or(|before| next < before)) {
                sooner.notify_one();
            }
        }
        woke
    }

    /// Stops the clock, so that what is dropped after the run cannot read another.
    pub(crate) fn end(&self) {
        self.read_clock();
        self.ended.store(true, Ordering::Relaxed);
        // They may hold handles on the network, and so itself.
        drop(self.take_invariants());
    }

    /// Whether a thread used the network on which it does not run. Of no meaning in live networks.
    pub(crate) fn was_used_elsewhere(&self) -> bool {
        self.foreign.load(Ordering::Relaxed) > 0
    }

    pub(crate) fn add_invariant(&self, invariant: Invariant) {
        self.invariants.lock().unwrap_or_else(PoisonError::into_inner).push(invariant);
        self.has_invariants.store(true, Ordering::Relaxed);
    }

    fn take_invariants(&self) -> Vec<Invariant> {
        std::mem::take(&mut self.invariants.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Checks what is due. Returns when the next must be looked at although nothing happens, or the
    /// name and words of one that does not hold.
    pub(crate) fn check_invariants(
        self: &Arc<Self>,
        now: Nanos,
    ) -> Result<Option<Nanos>, (String, String)> {
        if !self.has_invariants.load(Ordering::Relaxed) {
            return Ok(None);
        }
        let mut checked = self.take_invariants();
        let network = Network { shared: self.clone() };
        let result = checked.iter_mut().try_for_each(|invariant| invariant.check(now, &network));
        // A check may have added one.
        checked.extend(self.take_invariants());
        let next = checked.iter().filter_map(Invariant::due).min();
        *self.invariants.lock().unwrap_or_else(PoisonError::into_inner) = checked;
        result.map(|()| next)
    }
}

thread_local! {
    static HERE: Cell<u8> = const { Cell::new(0) };
}

/// Tells threads apart that live at the same time, in less than a nanosecond. Only ever compared.
pub(crate) fn this_thread() -> usize {
    HERE.try_with(|here| std::ptr::from_ref(here).addr()).unwrap_or(0)
}
