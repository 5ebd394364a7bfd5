//! Hosts with a runtime of their own: killed truly, and with a clock of their own.
//!
//! A runtime cannot run inside another, nor from the park hook of one. So the driver leaves the main
//! runtime whenever such a host has something to do, and lets each of them run until all its tasks
//! wait:
//!
//! 1. at the nanosecond at which somebody outside has woken one of its tasks: a packet that arrived, a
//!    channel, a lock. tokio puts those into the runtime's global queue, whose length can be asked;
//! 2. at every whole millisecond, for its timers: tokio tells nobody when the next one is due. Its clock
//!    is moved by as much as the host's own has gone since, in steps of a millisecond at most.
//!
//! Where no such host has a task, there is nothing of this, and no millisecond is looked at.

use std::collections::BTreeMap;
use std::fmt;
use std::future::poll_fn;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::task::{Context, Poll, Waker};

use tokio::runtime::{Handle, Runtime, RuntimeMetrics};

use super::driver::{MS, RealThreads, Root, advance};
use super::paused_runtime;
use crate::engine::Nanos;
use crate::host::task::Marked;
use crate::shared::Shared;

/// In how many steps at most a clock is moved within a millisecond of the network's: one that is
/// faster than this takes longer ones.
const MAX_STRIDES: Nanos = 16;

/// The isolated hosts of a network.
#[derive(Debug, Default)]
pub(crate) struct Isolated {
    /// Whether there is any: all that a rest looks at where there is none.
    any: AtomicBool,
    /// One of them runs now, so that tokio's clock is not the network's.
    running: AtomicBool,
    environment: OnceLock<Environment>,
    state: Mutex<State>,
}

/// What all runtimes of a run have in common.
#[derive(Debug)]
pub(super) struct Environment {
    pub(super) seed: u64,
    pub(super) threads: Arc<RealThreads>,
    pub(super) root: Arc<Root>,
}

#[derive(Debug, Default)]
struct State {
    /// By their numbers; a machine from its first task on.
    hosts: BTreeMap<u32, Option<Arc<Machine>>>,
    /// Those that crashed before they were taken down.
    gone: Vec<Arc<Machine>>,
}

impl Isolated {
    /// A run begins. Without a driver, as in live networks, no host is isolated.
    pub(super) fn begin(&self, environment: Environment) {
        let _ = self.environment.set(environment);
    }

    /// From now on this host has a runtime of its own.
    pub(crate) fn add(&self, host: u32) {
        if self.environment.get().is_some() {
            self.state().hosts.insert(host, None);
            self.any.store(true, Ordering::Relaxed);
        }
    }

    /// Whether it has one.
    pub(crate) fn contains(&self, host: u32) -> bool {
        self.any.load(Ordering::Relaxed) && self.state().hosts.contains_key(&host)
    }

    /// Whether one of them runs now.
    pub(crate) fn is_running(&self) -> bool {
        self.running.load(Ordering::Relaxed)
    }

    /// The runtime of a host in its present life; `None` for hosts that have none.
    pub(crate) fn runtime(&self, shared: &Shared, host: u32, life: u64) -> Option<Handle> {
        let environment = self.environment.get().filter(|_| self.contains(host))?;
        let mut state = self.state();
        let state = &mut *state;
        let place = state.hosts.get_mut(&host)?;
        if place.as_ref().is_none_or(|machine| machine.life != life) {
            state.gone.extend(place.take());
        }
        let new = || Arc::new(Machine::new(environment, shared, host, life));
        Some(place.get_or_insert_with(new).runtime.handle().clone())
    }

    /// Whether one has to run at this time, or to be taken down.
    pub(super) fn are_due(&self, shared: &Shared, now: Nanos) -> bool {
        self.any.load(Ordering::Relaxed) && {
            let state = self.state();
            let due = |machine: &Arc<Machine>| machine.due(shared, now) != Due::Later;
            !state.gone.is_empty() || state.hosts.values().flatten().any(due)
        }
    }

    /// When one has to be looked at though nothing happens.
    pub(super) fn next_step(&self, shared: &Shared, now: Nanos) -> Option<Nanos> {
        if !self.any.load(Ordering::Relaxed) {
            return None;
        }
        let state = self.state();
        let ticks = state.hosts.values().flatten().any(|machine| machine.ticks(shared));
        ticks.then(|| (now / MS + 1) * MS)
    }

    /// Lets those run that are due, in the order of hosts, and takes down those that crashed. Outside
    /// of all runtimes.
    pub(super) fn run_due(&self, shared: &Arc<Shared>, now: Nanos) {
        let Some(environment) = self.environment.get() else { return };
        let machines: Vec<_> = self.state().hosts.values().flatten().cloned().collect();
        self.running.store(true, Ordering::Relaxed);
        for machine in machines {
            if machine.due(shared, now) == Due::Now {
                machine.run(shared, &environment.root, now);
            }
        }
        self.take_down(shared, |machine| machine.due(shared, now) == Due::Crashed);
        self.running.store(false, Ordering::Relaxed);
    }

    /// The run is over.
    pub(super) fn end(&self, shared: &Arc<Shared>) {
        self.any.store(false, Ordering::Relaxed);
        self.take_down(shared, |_| true);
    }

    fn take_down(&self, shared: &Arc<Shared>, which: impl Fn(&Machine) -> bool) {
        let gone = {
            let mut state = self.state();
            let mut gone = std::mem::take(&mut state.gone);
            for place in state.hosts.values_mut() {
                gone.extend(place.take_if(|machine| which(machine)));
            }
            gone
        };
        for machine in gone {
            let _marked = Marked::new(shared, machine.host);
            // Nobody else holds one between two runs.
            if let Some(machine) = Arc::into_inner(machine) {
                machine.runtime.shutdown_background();
            }
        }
    }

    /// Which tasks there still are, in words.
    pub(super) fn waits(&self, shared: &Shared, lines: &mut Vec<String>) {
        for machine in self.state().hosts.values().flatten() {
            let tasks = machine.metrics.num_alive_tasks();
            let name = shared.with(|engine, _| engine.hosts[machine.host as usize].name.clone());
            lines.push(format!("tasks of the isolated host {name} that have not ended: {tasks}"));
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a machine needs now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Due {
    Crashed,
    Later,
    Now,
}

/// One life of an isolated host.
struct Machine {
    host: u32,
    life: u64,
    runtime: Runtime,
    metrics: RuntimeMetrics,
    rests: Arc<Rests>,
    /// What the host's clock showed when the runtime's stood at 0.
    began: Nanos,
    /// What it showed when the runtime's was last moved.
    clock: AtomicU64,
    /// When that was.
    ran_at: AtomicU64,
    /// A pause keeps it from running.
    held: AtomicBool,
}

/// How often all tasks of a machine waited since it was let run.
#[derive(Debug, Default)]
struct Rests {
    count: AtomicU32,
    waker: Mutex<Option<Waker>>,
}

impl Rests {
    /// All tasks wait. The waking keeps tokio from moving the clock.
    fn on_park(&self) {
        self.count.fetch_add(1, Ordering::Relaxed);
        let waker = self.waker.lock().unwrap_or_else(PoisonError::into_inner).clone();
        waker.into_iter().for_each(Waker::wake);
    }
}

impl Machine {
    fn new(environment: &Environment, shared: &Shared, host: u32, life: u64) -> Self {
        let rests: Arc<Rests> = Arc::default();
        let (parking, threads) = (rests.clone(), environment.threads.clone());
        // Another seed for each, for the choices of `select!`.
        let seed = environment.seed.wrapping_add(u64::from(host) + 1);
        let runtime = paused_runtime(
            seed,
            move || parking.on_park(),
            || (),
            move || {
                threads.saw_one();
            },
        );
        // On whole milliseconds of the network, so that timers of a true clock fire on them.
        let (began, ran_at) = shared.with(|engine, now| {
            let clock = &engine.hosts[host as usize].clock;
            (clock.gone(now).saturating_sub(now % MS), now - now % MS)
        });
        let runtime = runtime.expect("the run itself has such a runtime already");
        Self {
            host,
            life,
            metrics: runtime.metrics(),
            runtime,
            rests,
            began,
            clock: began.into(),
            ran_at: ran_at.into(),
            held: AtomicBool::new(false),
        }
    }

    fn due(&self, shared: &Shared, now: Nanos) -> Due {
        let (lives, paused) = self.state(shared);
        let metrics = &self.metrics;
        let ticks = || now / MS > self.ran_at.load(Ordering::Relaxed) / MS;
        match () {
            () if !lives => Due::Crashed,
            () if paused => {
                if metrics.num_alive_tasks() > 0 && !self.held.swap(true, Ordering::Relaxed) {
                    shared.with(|engine, _| engine.hold_tasks(self.host));
                }
                Due::Later
            }
            () if metrics.global_queue_depth() > 0 => Due::Now,
            () if metrics.num_alive_tasks() > 0 && ticks() => Due::Now,
            () => Due::Later,
        }
    }

    /// Whether it may have timers.
    fn ticks(&self, shared: &Shared) -> bool {
        let (lives, paused) = self.state(shared);
        lives && !paused && self.metrics.num_alive_tasks() > 0
    }

    /// Whether the host has not crashed since, and whether it is paused.
    fn state(&self, shared: &Shared) -> (bool, bool) {
        shared.with(|engine, _| {
            let tasks = &engine.hosts[self.host as usize].tasks;
            (tasks.life() == self.life, tasks.paused_since().is_some())
        })
    }

    /// Lets it run until all its tasks wait, with its clock where the host's is now.
    fn run(&self, shared: &Arc<Shared>, root: &Root, now: Nanos) {
        let _marked = Marked::new(shared, self.host);
        let shown = shared.with(|engine, _| {
            engine.read_clock(self.host);
            engine.hosts[self.host as usize].clock.gone(now)
        });
        self.held.store(false, Ordering::Relaxed);
        let mut clock = self.clock.load(Ordering::Relaxed);
        let shown = shown.max(clock);
        // After a pause the clock jumps: nobody saw the time between.
        let jumps = now - self.ran_at.swap(now, Ordering::Relaxed) > MS;
        let stride = ((shown - clock) / MAX_STRIDES).next_multiple_of(MS).max(MS);
        loop {
            let whole = self.began + ((clock - self.began) / stride + 1) * stride;
            let next = if jumps { shown } else { shown.min(whole) };
            self.run_after(root, next - clock);
            clock = next;
            if clock >= shown || root.is_stopped() || !self.state(shared).0 {
                break;
            }
        }
        self.clock.store(clock, Ordering::Relaxed);
    }

    fn run_after(&self, root: &Root, by: Nanos) {
        let mut moved = false;
        self.runtime.block_on(poll_fn(|cx: &mut Context<'_>| {
            if !moved {
                moved = true;
                advance(by);
                self.rests.count.store(0, Ordering::Relaxed);
                let waker = Some(cx.waker().clone());
                *self.rests.waker.lock().unwrap_or_else(PoisonError::into_inner) = waker;
                // A run that takes too long is told here too.
                root.wait(cx.waker());
            }
            // At the first rest, timers that are due have not fired; at the second, all is done.
            let done = self.rests.count.load(Ordering::Relaxed) >= 2 || root.is_stopped();
            if done { Poll::Ready(()) } else { Poll::Pending }
        }));
    }
}

impl fmt::Debug for Machine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Machine").field("host", &self.host).finish_non_exhaustive()
    }
}
