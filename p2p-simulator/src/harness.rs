//! Many seeds, on all cores: one simulation per thread, results in the order of the seeds.
//!
//! - [`plan`]: which seeds, from the test's text and from the environment;
//! - [`progress`]: what is seen meanwhile; [`report`]: what is said in the end;
//! - [`sim_test!`](crate::sim_test): all of it as a test.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::future::Future;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::engine::trace::{TraceEvent, TraceHash, Watch};
use crate::network::Network;
use crate::simulation::panics::message_of;
use crate::simulation::{End, Simulation, SimulationError};

pub use plan::SeedPlan;
use progress::Progress;
pub use report::{SeedFailure, SeedRun, SeedSummary};

mod macros;
mod plan;
mod progress;
mod report;

/// The events before a failure that are shown.
const TAIL: usize = 20;

/// Runs `program` once for each seed of `plan`, in simulations like `simulation`, on as many threads
/// as the plan says. With an error, a panic or a run that does not end, it stops: of the seeds that
/// fail, the first of the plan is reported, whichever thread was faster. That seed runs once more, to
/// see whether it fails again, and for the last of its trace.
///
/// ```
/// use p2p_simulator::{SeedPlan, Simulation, run_seeds};
///
/// let summary = run_seeds(&SeedPlan::new(100), &Simulation::new(0), async |network| {
///     let host = network.host("alice");
///     if host.name() == "alice" { Ok(()) } else { Err("another name") }
/// })?;
/// assert_eq!(summary.runs.len(), 100);
/// # Ok::<(), Box<p2p_simulator::SeedFailure>>(())
/// ```
///
/// # Errors
///
/// [`SeedFailure`]: the first seed that fails, with the line that repeats it.
pub fn run_seeds<P, F, T, E>(
    plan: &SeedPlan,
    simulation: &Simulation,
    program: P,
) -> Result<SeedSummary, Box<SeedFailure>>
where
    P: Fn(Network) -> F + Sync,
    F: Future<Output = Result<T, E>>,
    E: Debug,
{
    let started = real_now();
    let sweep = Sweep {
        plan,
        simulation,
        program: &program,
        next: AtomicU64::new(0),
        first_failed: AtomicU64::new(u64::MAX),
        done: Mutex::default(),
        progress: Progress::new(plan.name(), plan.count()),
    };
    let threads = plan.threads_to_use();
    if threads == 1 {
        sweep.work();
    } else {
        // Each simulation is on one thread, and knows nothing of the others.
        std::thread::scope(|scope| {
            for _ in 0..threads {
                scope.spawn(|| sweep.work());
            }
        });
    }
    let (done, progress) = (sweep.done.into_inner(), sweep.progress);
    let mut done = done.unwrap_or_else(PoisonError::into_inner);
    let failed = sweep.first_failed.into_inner();
    if let Some(Err(failure)) = done.remove(&failed) {
        progress.end(&format_args!("seed {} fails", failure.seed));
        return Err(Box::new(again(plan, simulation, &program, failure, failed)));
    }
    let runs = done.into_values().filter_map(Result::ok).collect();
    let summary = SeedSummary::new(runs, real_since(started));
    progress.end(&summary);
    Ok(summary)
}

/// What the threads share.
struct Sweep<'a, P> {
    plan: &'a SeedPlan,
    simulation: &'a Simulation,
    program: &'a P,
    next: AtomicU64,
    first_failed: AtomicU64,
    done: Mutex<BTreeMap<u64, Result<SeedRun, Failed>>>,
    progress: Progress,
}

/// How a seed failed.
#[derive(Clone, Debug)]
struct Failed {
    seed: u64,
    why: String,
}

impl<P> Sweep<'_, P> {
    /// Takes one seed after the other, until there are none or an earlier one has failed.
    fn work<F, T, E>(&self)
    where
        P: Fn(Network) -> F,
        F: Future<Output = Result<T, E>>,
        E: Debug,
    {
        loop {
            let number = self.next.fetch_add(1, Ordering::Relaxed);
            let Some(seed) = self.plan.seed(number) else { return };
            if number > self.first_failed.load(Ordering::Relaxed) {
                return;
            }
            let result = one(self.simulation, seed, self.program, None).0;
            if result.is_err() {
                self.first_failed.fetch_min(number, Ordering::Relaxed);
            }
            let mut done = self.done.lock().unwrap_or_else(PoisonError::into_inner);
            done.insert(number, result);
            let count = done.len() as u64;
            drop(done);
            self.progress.advance(count);
        }
    }
}

/// The last of a trace, with the hosts' names.
type Tail = (Vec<TraceEvent>, Vec<String>);

/// Runs one seed.
fn one<P, F, T, E>(
    simulation: &Simulation,
    seed: u64,
    program: &P,
    watch: Option<Watch>,
) -> (Result<SeedRun, Failed>, Tail)
where
    P: Fn(Network) -> F,
    F: Future<Output = Result<T, E>>,
    E: Debug,
{
    let failed = |why: String| Err(Failed { seed, why });
    let run = match simulation.clone().with_seed(seed).execute(program, watch) {
        Ok(run) => run,
        Err(error) => return (failed(without_seed(&error, seed)), Tail::default()),
    };
    let result = match run.end {
        End::Output(outcome) => match outcome.output {
            Ok(_) => Ok(SeedRun {
                seed,
                elapsed: outcome.elapsed,
                trace_hash: outcome.trace_hash,
                trace_count: outcome.trace_count,
            }),
            Err(error) => failed(format!(
                "at {:?} of virtual time, the program's error: {error:?}",
                outcome.elapsed
            )),
        },
        End::Error(error) => failed(without_seed(&error, seed)),
        End::Panic { payload, at, place } => {
            let place = place.unwrap_or_else(|| "an unknown place".to_owned());
            let message = message_of(&*payload);
            failed(format!("at {at:?} of virtual time, a panic at {place}: {message}"))
        }
    };
    (result, (run.watch.map(Watch::into_last).unwrap_or_default(), run.hosts))
}

/// An error's words without the seed, which is said already.
fn without_seed(error: &SimulationError, seed: u64) -> String {
    let text = error.to_string();
    text.strip_prefix(&format!("seed {seed}: ")).map_or(text.clone(), str::to_owned)
}

/// Runs a seed that failed again, with its trace.
fn again<P, F, T, E>(
    plan: &SeedPlan,
    simulation: &Simulation,
    program: &P,
    failed: Failed,
    runs_before: u64,
) -> SeedFailure
where
    P: Fn(Network) -> F,
    F: Future<Output = Result<T, E>>,
    E: Debug,
{
    let (second, (last, hosts)) = one(simulation, failed.seed, program, Some(Watch::tail(TAIL)));
    let second = match second {
        Ok(_) => Some("it did not fail".to_owned()),
        Err(second) if second.why != failed.why => Some(second.why),
        Err(_) => None,
    };
    let Failed { seed, why } = failed;
    SeedFailure { seed, why, runs_before, second, last, hosts, replay: plan.replay_line(seed) }
}

/// Runs a test's seeds: what [`sim_test!`](crate::sim_test) expands to.
///
/// # Panics
///
/// If a seed fails, or the environment asks for seeds that cannot be.
#[track_caller]
pub fn test_seeds<P, F, T, E>(plan: SeedPlan, simulation: &Simulation, program: P)
where
    P: Fn(Network) -> F + Sync,
    F: Future<Output = Result<T, E>>,
    E: Debug,
{
    let plan = match plan.with_environment(|name| std::env::var(name).ok()) {
        Ok(plan) => plan,
        Err(error) => panic!("{error}"),
    };
    match run_seeds(&plan, simulation, program) {
        Ok(summary) => println!("{}: {summary}", plan.name()),
        Err(failure) => panic!("{failure}"),
    }
}

/// A point in real time, for rates and progress: no simulation sees it.
#[allow(clippy::disallowed_methods)]
fn real_now() -> std::time::Instant {
    std::time::Instant::now()
}

fn real_since(start: std::time::Instant) -> Duration {
    real_now().saturating_duration_since(start)
}
