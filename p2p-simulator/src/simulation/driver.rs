//! The virtual driver: lets network events happen exactly when all tasks wait.
//!
//! tokio's paused clock jumps to the next timer when there is nothing to run, in whole milliseconds;
//! network events have nanoseconds. Both are brought together in `on_thread_park`, which tokio calls
//! when no task is ready:
//!
//! 1. Events that are due happen. If they woke anybody, that is all: tasks run before time goes on.
//! 2. An event later in this millisecond: the clock is advanced to it, to the nanosecond. No timer of
//!    tokio's can lie between, for its timers lie on whole milliseconds.
//! 3. An event in a later millisecond: the clock is put back on a whole millisecond if it is not on
//!    one, and a timer of our own, the *gate*, is set to the event's millisecond. tokio then jumps to
//!    its next timer, be it the gate or one of the program's.
//!
//! On the way it looks whether the run has to stop: at its limit of virtual time, because an
//! invariant does not hold, a real thread has started or real I/O was tried, and for a *deadlock*. When
//! the network has nothing to do any more, tokio does not say whether a timer is left. So at the limit
//! the gate is set a year further: if nothing comes before it, nothing ever will.
//!
//! That the first poll of `tokio::time::advance` moves the clock, and that a hook that yields keeps
//! the clock from jumping, are facts of tokio 1.54 that no document promises: [`check_clock`] looks
//! whether they still hold.

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use tokio::time::{Instant, Sleep};

use super::{SimulationError, panics, paused_runtime};
use crate::engine::trace::TraceKind;
use crate::engine::{Nanos, nanos};
use crate::shared::{Shared, this_thread};

/// tokio's resolution.
pub(super) const MS: Nanos = 1_000_000;
/// How far behind the limit a timer is looked for. tokio's timers reach a little over two years.
const PROBE: Nanos = 365 * 24 * 3600 * 1_000_000_000;
/// How often in a row the clock stops for invariants alone.
const MAX_IDLE_CHECKS: u32 = 100_000;
/// How often the clock may stop on the way to the probe: tokio's wheel of timers has 6 levels, and
/// stops where it goes from one to the next. More stops than these are timers of the program's.
const MAX_PROBES: u32 = 16;

#[derive(Debug)]
pub(super) struct Driver {
    shared: Arc<Shared>,
    limit: Nanos,
    gate: Mutex<Gate>,
    /// Whether tokio was left to move its clock.
    jumps: AtomicBool,
    root: Arc<Root>,
    threads: Arc<RealThreads>,
    forbid_threads: bool,
    /// Another run is compared to this one.
    watched: bool,
    /// The limit was reached, and it is looked whether there are timers behind it.
    probing: AtomicBool,
}

/// Why a run stops before its program has ended.
#[derive(Clone, Debug)]
pub(super) enum Stop {
    Deadlock {
        at: Nanos,
        waits: Vec<String>,
    },
    Invariant {
        at: Nanos,
        name: String,
        detail: String,
    },
    /// Of real time.
    Expired,
    RealIo {
        at: Nanos,
    },
    RealThread,
    TimeLimit {
        waits: Vec<String>,
    },
}

/// Why the runtime was left.
pub(super) enum Leave<T> {
    Ended(Result<T, Stop>),
    /// For a moment: see [`Driver::run_isolated`].
    ForIsolated,
}

/// Real threads seen in a run, and when.
///
/// tokio's clock does not jump while a thread is at work, so the time when the driver sees the first is
/// the time when it began, give or take less than a millisecond. The thread itself could not tell.
#[derive(Debug, Default)]
pub(super) struct RealThreads {
    count: AtomicU32,
    first_at: OnceLock<Nanos>,
    /// The virtual time when all tasks last waited.
    now: AtomicU64,
}

impl RealThreads {
    /// A thread has started.
    pub(super) fn saw_one(&self) {
        self.count.fetch_add(1, Ordering::AcqRel);
    }

    pub(super) fn count(&self) -> u32 {
        self.count.load(Ordering::Acquire)
    }

    /// When the first was seen, which is now if none was before.
    pub(super) fn first_at(&self, now: Nanos) -> Nanos {
        *self.first_at.get_or_init(|| now)
    }

    pub(super) fn last_rest(&self) -> Nanos {
        self.now.load(Ordering::Acquire)
    }
}

/// The timer that keeps tokio's clock from jumping past the next network event.
#[derive(Debug, Default)]
struct Gate {
    timer: Option<Pin<Box<Sleep>>>,
    at: Option<Nanos>,
    /// Since when nobody was woken by the network, and the program did nothing.
    quiet_since: Option<Nanos>,
    idle_checks: u32,
    probes: u32,
}

/// Tells why the future that the runtime blocks on was woken: for the program's sake, or only to let
/// tasks run before time goes on.
#[derive(Debug, Default)]
pub(super) struct Root {
    program_woken: AtomicBool,
    /// The program did something since all tasks last waited.
    active: AtomicBool,
    stopped: AtomicBool,
    /// The main runtime is to be left for a while.
    leaves: AtomicBool,
    /// The thread of the run, and whether another woke the program.
    home: usize,
    woken_elsewhere: AtomicBool,
    stop: Mutex<Option<Stop>>,
    waker: Mutex<Option<Waker>>,
}

impl Root {
    /// Who is woken to see that the run has to stop.
    pub(super) fn wait(&self, waker: &Waker) {
        let mut waiting = self.waker.lock().unwrap_or_else(PoisonError::into_inner);
        match &mut *waiting {
            Some(waiting) => waiting.clone_from(waker),
            none => *none = Some(waker.clone()),
        }
    }

    pub(super) fn is_stopped(&self) -> bool {
        self.stopped.load(Ordering::Acquire)
    }

    fn nudge(&self) {
        let waker = self.waker.lock().unwrap_or_else(PoisonError::into_inner);
        // The runtime's own, which runs nothing when it is woken.
        waker.iter().for_each(Waker::wake_by_ref);
    }

    /// Ends the run, unless something else ends it already. Also from other threads.
    pub(super) fn stop(&self, stop: Stop) {
        self.stop.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(stop);
        self.stopped.store(true, Ordering::Release);
        self.nudge();
    }
}

impl Wake for Root {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if this_thread() != self.home {
            self.woken_elsewhere.store(true, Ordering::Relaxed);
        }
        self.program_woken.store(true, Ordering::Relaxed);
        self.nudge();
    }
}

impl Driver {
    pub(super) fn new(
        shared: Arc<Shared>,
        limit: Duration,
        threads: Arc<RealThreads>,
        forbid_threads: bool,
        watched: bool,
    ) -> Self {
        let woken = AtomicBool::new(true);
        let root = Root { program_woken: woken, home: this_thread(), ..Root::default() };
        let root = Arc::new(root);
        Self {
            shared,
            limit: nanos(limit),
            gate: Mutex::default(),
            jumps: AtomicBool::new(false),
            root,
            threads,
            forbid_threads,
            watched,
            probing: AtomicBool::new(false),
        }
    }

    pub(super) const fn root(&self) -> &Arc<Root> {
        &self.root
    }

    /// Runs the program to its end, or until something stops it; or until an isolated host is to run,
    /// which it cannot do in here.
    pub(super) async fn run<F: Future>(&self, mut program: Pin<&mut F>) -> Leave<F::Output> {
        let waker = Waker::from(self.root.clone());
        let mut waits = false;
        poll_fn(|cx| {
            // The runtime's waker stays the same until it is left.
            if !std::mem::replace(&mut waits, true) {
                self.root.wait(cx.waker());
            }
            if self.root.is_stopped() {
                let stop = self.root.stop.lock().unwrap_or_else(PoisonError::into_inner).take();
                return Poll::Ready(Leave::Ended(Err(stop.unwrap_or(Stop::Expired))));
            }
            if self.root.leaves.swap(false, Ordering::Relaxed) {
                return Poll::Ready(Leave::ForIsolated);
            }
            if self.root.program_woken.load(Ordering::Relaxed) {
                self.root.program_woken.store(false, Ordering::Relaxed);
                // A timer behind the limit has fired, which nobody may see.
                if self.probing.load(Ordering::Relaxed) && self.shared.now() > self.edge() {
                    return Poll::Ready(Leave::Ended(Err(self.time_limit())));
                }
                self.root.active.store(true, Ordering::Relaxed);
                let polled = program.as_mut().poll(&mut Context::from_waker(&waker));
                return polled.map(|output| Leave::Ended(Ok(output)));
            }
            Poll::Pending
        })
        .await
    }

    /// Lets isolated hosts run. Outside of the runtime, which goes on afterwards where it was.
    pub(super) fn run_isolated(&self) {
        self.shared.isolated.run_due(&self.shared, self.threads.last_rest());
    }

    /// tokio may have let the clock jump to a timer.
    pub(super) fn on_unpark(&self) {
        if self.jumps.load(Ordering::Relaxed) {
            self.jumps.store(false, Ordering::Relaxed);
            self.shared.read_clock();
        }
    }

    /// The limit rounded up: where the clock can stop.
    const fn edge(&self) -> Nanos {
        self.limit.next_multiple_of(MS)
    }

    /// No task is ready: goes on to what happens next.
    pub(super) fn on_park(&self) {
        if self.root.is_stopped() {
            return self.root.nudge();
        }
        let mut now = self.shared.now();
        loop {
            self.threads.now.store(now, Ordering::Release);
            if self.watched {
                self.shared.with(|engine, now| engine.trace_mut().watched(now, TraceKind::Rested));
            }
            let (woke, next) = self.shared.advance();
            if woke {
                self.root.active.store(true, Ordering::Relaxed);
                return stay();
            }
            let check_at = match self.look(now) {
                Ok(check_at) => check_at,
                Err(stop) => return self.root.stop(stop),
            };
            if now >= self.limit {
                return self.at_limit(now, next);
            }
            if self.shared.isolated.are_due(&self.shared, now) {
                self.root.active.store(true, Ordering::Relaxed);
                self.root.leaves.store(true, Ordering::Relaxed);
                return self.root.nudge();
            }
            match next {
                Some(next) if next / MS == now / MS => {
                    advance(next - now);
                    now = next;
                    self.shared.set_now(now);
                }
                _ => {
                    let grid = now.next_multiple_of(MS);
                    if grid != now {
                        advance(grid - now);
                        self.shared.set_now(grid);
                    }
                    let event = next.map_or(Nanos::MAX, |next| next / MS * MS);
                    let gate = &mut *self.lock_gate();
                    let check_at = self.next_check(gate, now, next.is_none(), check_at);
                    let step = self.shared.isolated.next_step(&self.shared, now);
                    let at = event.min(check_at).min(step.unwrap_or(Nanos::MAX));
                    return self.set_gate(gate, at.min(self.edge()).max(grid));
                }
            }
        }
    }

    /// Counts a thread of the program's own, which tells nobody when it starts.
    pub(super) fn look_for_threads(&self) {
        let woken = self.root.woken_elsewhere.load(Ordering::Relaxed);
        if (woken || self.shared.was_used_elsewhere()) && self.threads.count() == 0 {
            self.threads.saw_one();
        }
    }

    /// Looks whether something is wrong, and when it is to be looked again.
    fn look(&self, now: Nanos) -> Result<Option<Nanos>, Stop> {
        self.look_for_threads();
        if self.threads.count() > 0 {
            self.threads.first_at(now);
            if self.forbid_threads {
                return Err(Stop::RealThread);
            }
        }
        if panics::saw_real_io() {
            return Err(Stop::RealIo { at: now });
        }
        let checked = self.shared.check_invariants(now);
        checked.map_err(|(name, detail)| Stop::Invariant { at: now, name, detail })
    }

    /// All tasks wait at the limit, or behind it.
    fn at_limit(&self, now: Nanos, next: Option<Nanos>) {
        if self.shared.isolated.next_step(&self.shared, now).is_some() {
            // Whether those have timers, nobody can tell.
            return self.root.stop(self.time_limit());
        }
        let probe = self.edge() + PROBE;
        let mut gate = self.lock_gate();
        self.next_check(&mut gate, now, next.is_none(), None);
        gate.probes += 1;
        if next.is_none() && now < probe && gate.probes <= MAX_PROBES {
            self.probing.store(true, Ordering::Relaxed);
            return self.set_gate(&mut gate, probe);
        }
        let quiet_since = gate.quiet_since;
        drop(gate);
        if next.is_none() && now >= probe {
            let at = quiet_since.unwrap_or(now);
            return self.root.stop(Stop::Deadlock { at, waits: self.waits() });
        }
        self.root.stop(self.time_limit());
    }

    fn time_limit(&self) -> Stop {
        Stop::TimeLimit { waits: self.waits() }
    }

    fn waits(&self) -> Vec<String> {
        let mut waits = self.shared.with(|engine, _| engine.waits());
        let tasks = tokio::runtime::Handle::current().metrics().num_alive_tasks();
        self.shared.isolated.waits(&self.shared, &mut waits);
        waits.push(format!("spawned tasks that have not ended, the library's among them: {tasks}"));
        waits
    }

    fn lock_gate(&self) -> MutexGuard<'_, Gate> {
        self.gate.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Where the clock has to stop for the sake of an invariant.
    fn next_check(
        &self,
        gate: &mut Gate,
        now: Nanos,
        quiet: bool,
        check_at: Option<Nanos>,
    ) -> Nanos {
        if self.root.active.load(Ordering::Relaxed) {
            self.root.active.store(false, Ordering::Relaxed);
            gate.quiet_since = None;
            gate.idle_checks = 0;
        }
        // An event may still come that concerns nobody, such as a dial's time running out.
        gate.quiet_since.get_or_insert(now);
        gate.idle_checks += u32::from(quiet);
        let check_at = check_at.filter(|_| gate.idle_checks < MAX_IDLE_CHECKS);
        check_at.map_or(Nanos::MAX, |at| at.next_multiple_of(MS))
    }

    fn set_gate(&self, gate: &mut Gate, at: Nanos) {
        self.jumps.store(true, Ordering::Relaxed);
        if gate.at.replace(at) == Some(at) {
            return;
        }
        let deadline = self.shared.start() + Duration::from_nanos(at);
        let timer = gate.timer.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(deadline)));
        // Registers it, with nobody to wake: when it fires, tokio parks again, and we are called.
        timer.as_mut().reset(deadline);
    }
}

/// Keeps the clock from jumping before the next rest: even a wake that reaches nobody must not let it.
fn stay() {
    // The first poll leaves something to do to the runtime, which is nothing. To wake the future that
    // it blocks on does as well, and costs far more.
    let yielded = pin!(tokio::task::yield_now());
    let _ = yielded.poll(&mut Context::from_waker(Waker::noop()));
}

/// Moves tokio's clock, here and now.
pub(super) fn advance(by: Nanos) {
    // The first poll moves the clock; what follows in that future is a yield, which nobody needs.
    let advance = pin!(tokio::time::advance(Duration::from_nanos(by)));
    let _ = advance.poll(&mut Context::from_waker(Waker::noop()));
}

/// Looks once per process whether tokio's clock still behaves as described above.
pub(super) fn check_clock() -> Result<(), SimulationError> {
    static CHECKED: OnceLock<Result<(), SimulationError>> = OnceLock::new();
    CHECKED.get_or_init(look_at_clock).clone()
}

fn look_at_clock() -> Result<(), SimulationError> {
    let unsuitable = |detail: &str| Err(SimulationError::UnsuitableTokio { detail: detail.into() });
    // Who waits, and whether the hook has been called meanwhile.
    let waiting: Arc<Mutex<Option<(Waker, bool)>>> = Arc::default();
    let on_park = {
        let waiting = waiting.clone();
        move || {
            let mut waiting = waiting.lock().unwrap_or_else(PoisonError::into_inner);
            match waiting.take() {
                Some((waker, true)) => waker.wake(),
                Some((waker, false)) => {
                    stay();
                    *waiting = Some((waker, true));
                }
                None => {}
            }
        }
    };
    let runtime = paused_runtime(0, on_park, || (), || ())?;
    runtime.block_on(async {
        let start = Instant::now();
        advance(250_123);
        if start.elapsed() != Duration::from_nanos(250_123) {
            return unsuitable("advancing the paused clock does not take effect at once");
        }
        advance(MS - 250_123);
        // Waits for a timer. The hook yields, and when it is called next wakes this: no time may have
        // passed by then.
        let mut timer = pin!(tokio::time::sleep(Duration::from_millis(10)));
        let mut hooked = false;
        poll_fn(|cx| {
            if hooked {
                return Poll::Ready(());
            }
            hooked = true;
            *waiting.lock().unwrap_or_else(PoisonError::into_inner) =
                Some((cx.waker().clone(), false));
            timer.as_mut().poll(cx)
        })
        .await;
        if start.elapsed() != Duration::from_millis(1) {
            return unsuitable("the paused clock jumps although the park hook has yielded");
        }
        timer.await;
        if start.elapsed() != Duration::from_millis(11) {
            return unsuitable("the paused clock does not jump to the next timer exactly");
        }
        Ok(())
    })
}
