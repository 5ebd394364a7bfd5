//! The engine behind a lock, with a clock: what every handle on a network has in common.

use std::cell::Cell;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
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
    state: Mutex<State>,
    start: Instant,
    /// What the clock said when it last moved, where the driver is virtual: it knows when that is, and
    /// reading the clock costs more than much of what is done at that time.
    now: AtomicU64,
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
            home: this_thread(),
            foreign: AtomicU32::new(0),
            invariants: Mutex::default(),
            has_host_tasks: AtomicBool::new(false),
            isolated: Isolated::default(),
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
        if this_thread() != self.home {
            self.foreign.fetch_add(1, Ordering::Relaxed);
        }
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
        drop(state);
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
        let mut checked = self.take_invariants();
        if checked.is_empty() {
            return Ok(None);
        }
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
