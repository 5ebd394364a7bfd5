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
use crate::simulation::{Invariant, Isolated};

/// A network, its clock, and how its driver is told that something will happen sooner.
#[derive(Debug)]
pub(crate) struct Shared {
    engine: Mutex<Engine>,
    start: Instant,
    /// What the clock said when it last moved, where the driver is virtual: it knows when that is, and
    /// reading the clock costs more than much of what is done at that time.
    now: AtomicU64,
    /// When the next event is, so that the driver need not ask the engine: `Nanos::MAX` if there is
    /// none.
    next: AtomicU64,
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
    /// Hosts have tasks, so that others are strays.
    has_host_tasks: AtomicBool,
    /// Hosts with runtimes of their own.
    pub(crate) isolated: Isolated,
    has_invariants: AtomicBool,
}

/// No driver has said what the clock says: whoever needs to know reads it.
const UNREAD: Nanos = Nanos::MAX;

impl Shared {
    /// Starts the clock now. Inside a runtime: its clock is the one that counts.
    pub(crate) fn new(engine: Engine, sooner: Option<Arc<Notify>>) -> Self {
        let next = engine.next_event().unwrap_or(Nanos::MAX);
        Self {
            engine: Mutex::new(engine),
            start: Instant::now(),
            now: AtomicU64::new(UNREAD),
            next: AtomicU64::new(next),
            ended: AtomicBool::new(false),
            sooner,
            home: this_thread(),
            foreign: AtomicU32::new(0),
            invariants: Mutex::default(),
            has_host_tasks: AtomicBool::new(false),
            isolated: Isolated::default(),
            has_invariants: AtomicBool::new(false),
        }
    }

    pub(crate) const fn start(&self) -> Instant {
        self.start
    }

    /// The time since the start.
    pub(crate) fn elapsed(&self) -> Duration {
        if self.isolated.is_running() {
            // tokio's clock is the host's there. The network's stands still meanwhile.
            return Duration::from_nanos(self.now.load(Ordering::Relaxed));
        }
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

    /// Lets go of something, unless the run is over: then nobody is there to hear of it, and to tell
    /// them all would be much of a large network's end.
    pub(crate) fn release(&self, f: impl FnOnce(&mut Engine, Nanos)) {
        if !self.ended.load(Ordering::Relaxed) {
            self.with(f);
        }
    }

    /// Does something with the engine, then wakes whom it concerns.
    pub(crate) fn with<R>(&self, f: impl FnOnce(&mut Engine, Nanos) -> R) -> R {
        self.with_wakes(f).0
    }

    /// Lets everything happen that is due. Returns whether that woke anybody, and when something
    /// happens next.
    pub(crate) fn advance(&self) -> (bool, Option<Nanos>) {
        let is_due = |next| next <= self.now();
        let woke =
            self.next().is_some_and(is_due) && self.with_wakes(|engine, now| engine.advance(now)).1;
        (woke, self.next())
    }

    fn next(&self) -> Option<Nanos> {
        Some(self.next.load(Ordering::Relaxed)).filter(|&next| next != Nanos::MAX)
    }

    fn with_wakes<R>(&self, f: impl FnOnce(&mut Engine, Nanos) -> R) -> (R, bool) {
        if this_thread() != self.home {
            self.foreign.fetch_add(1, Ordering::Relaxed);
        }
        let mut engine = self.engine.lock().unwrap_or_else(PoisonError::into_inner);
        let now = self.now();
        let result = f(&mut engine, now);
        let before = self.next.load(Ordering::Relaxed);
        let next = engine.next_event().unwrap_or(Nanos::MAX);
        self.next.store(next, Ordering::Relaxed);
        let woke = engine.has_wakers() && Self::wake(engine);
        if next < before {
            if let Some(sooner) = &self.sooner {
                sooner.notify_one();
            }
        }
        (result, woke)
    }

    /// Wakes whom it concerns.
    fn wake(mut engine: MutexGuard<'_, Engine>) -> bool {
        // Most calls wake one task: that takes no allocation.
        if let Some(one) = engine.take_only_waker() {
            drop(engine);
            one.wake();
        } else {
            let all = engine.take_wakers();
            drop(engine);
            all.into_iter().for_each(Waker::wake);
        }
        true
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

    /// A host has a task: from now on it matters whose a task is.
    pub(crate) fn expect_strays(&self) {
        self.has_host_tasks.store(true, Ordering::Relaxed);
    }

    pub(crate) fn expects_strays(&self) -> bool {
        self.has_host_tasks.load(Ordering::Relaxed)
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
