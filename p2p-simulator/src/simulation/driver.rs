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
//! That the first poll of `tokio::time::advance` moves the clock, and that a hook that wakes the
//! program keeps the clock from jumping, are facts of tokio 1.54 that no document promises:
//! [`check_clock`] looks whether they still hold.

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use tokio::time::{Instant, Sleep};

use super::{SimulationError, paused_runtime};
use crate::engine::{Nanos, nanos};
use crate::shared::Shared;

/// tokio's resolution.
const MS: Nanos = 1_000_000;

#[derive(Debug)]
pub(super) struct Driver {
    shared: Arc<Shared>,
    limit: Nanos,
    gate: Mutex<Gate>,
    /// Whether tokio was left to move its clock.
    jumps: AtomicBool,
    root: Arc<Root>,
}

/// The timer that keeps tokio's clock from jumping past the next network event.
#[derive(Debug, Default)]
struct Gate {
    timer: Option<Pin<Box<Sleep>>>,
    at: Option<Nanos>,
}

/// Tells why the future that the runtime blocks on was woken: for the program's sake, or only to let
/// tasks run before time goes on.
#[derive(Debug, Default)]
struct Root {
    program_woken: AtomicBool,
    waker: Mutex<Option<Waker>>,
}

impl Root {
    fn nudge(&self) {
        let waker = self.waker.lock().unwrap_or_else(PoisonError::into_inner).clone();
        waker.into_iter().for_each(Waker::wake);
    }
}

impl Wake for Root {
    fn wake(self: Arc<Self>) {
        self.program_woken.store(true, Ordering::Relaxed);
        self.nudge();
    }
}

impl Driver {
    pub(super) fn new(shared: Arc<Shared>, limit: Duration) -> Self {
        Self {
            shared,
            limit: nanos(limit),
            gate: Mutex::default(),
            jumps: AtomicBool::new(false),
            root: Arc::default(),
        }
    }

    /// Runs the program; `None` if its time was over first.
    pub(super) async fn run<F: Future>(&self, program: F) -> Option<F::Output> {
        let mut program = pin!(program);
        let waker = Waker::from(self.root.clone());
        self.root.program_woken.store(true, Ordering::Relaxed);
        poll_fn(|cx| {
            let waiting = Some(cx.waker().clone());
            *self.root.waker.lock().unwrap_or_else(PoisonError::into_inner) = waiting;
            if self.root.program_woken.swap(false, Ordering::Relaxed) {
                return program.as_mut().poll(&mut Context::from_waker(&waker)).map(Some);
            }
            if self.now() >= self.limit { Poll::Ready(None) } else { Poll::Pending }
        })
        .await
    }

    fn now(&self) -> Nanos {
        self.shared.read_clock()
    }

    /// tokio may have let the clock jump to a timer.
    pub(super) fn on_unpark(&self) {
        if self.jumps.swap(false, Ordering::Relaxed) {
            self.now();
        }
    }

    /// No task is ready: goes on to what happens next.
    pub(super) fn on_park(&self) {
        let mut now = self.now();
        loop {
            let (woke, next) = self.shared.advance();
            // Even a wake that reaches nobody must not let the clock jump; hence the nudge.
            if woke || now >= self.limit {
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
                    // The limit rounded up: where the clock can stop.
                    return self.set_gate(event.min(self.limit.next_multiple_of(MS)).max(grid));
                }
            }
        }
    }

    fn set_gate(&self, at: Nanos) {
        self.jumps.store(true, Ordering::Relaxed);
        let mut gate: MutexGuard<'_, Gate> =
            self.gate.lock().unwrap_or_else(PoisonError::into_inner);
        if gate.at.replace(at) == Some(at) {
            return;
        }
        let deadline = self.shared.start() + Duration::from_nanos(at);
        let timer = gate.timer.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(deadline)));
        timer.as_mut().reset(deadline);
        // Registers it. Its firing needs to wake nobody: tokio parks again, and we are called.
        let _ = timer.as_mut().poll(&mut Context::from_waker(Waker::noop()));
    }
}

/// Moves tokio's clock, here and now.
fn advance(by: Nanos) {
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
    let waiting: Arc<Mutex<Option<Waker>>> = Arc::default();
    let on_park = {
        let waiting = waiting.clone();
        move || {
            let waker = waiting.lock().unwrap_or_else(PoisonError::into_inner).take();
            waker.into_iter().for_each(Waker::wake);
        }
    };
    let runtime = paused_runtime(on_park, || ())?;
    runtime.block_on(async {
        let start = Instant::now();
        advance(250_123);
        if start.elapsed() != Duration::from_nanos(250_123) {
            return unsuitable("advancing the paused clock does not take effect at once");
        }
        advance(MS - 250_123);
        // Waits for a timer, and is woken by the hook first: no time may have passed by then.
        let mut timer = pin!(tokio::time::sleep(Duration::from_millis(10)));
        let mut hooked = false;
        poll_fn(|cx| {
            if hooked {
                return Poll::Ready(());
            }
            hooked = true;
            *waiting.lock().unwrap_or_else(PoisonError::into_inner) = Some(cx.waker().clone());
            timer.as_mut().poll(cx)
        })
        .await;
        if start.elapsed() != Duration::from_millis(1) {
            return unsuitable("the paused clock jumps although the park hook has woken a task");
        }
        timer.await;
        if start.elapsed() != Duration::from_millis(11) {
            return unsuitable("the paused clock does not jump to the next timer exactly");
        }
        Ok(())
    })
}
