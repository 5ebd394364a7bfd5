//! A run in virtual time: exact, and the same each time.

use std::any::Any;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tokio::runtime::{Builder, Handle, Runtime};

use crate::engine::trace::{TraceKind, Watch};
use crate::engine::{Engine, nanos};
use crate::fault::options::FaultOptions;
use crate::network::Network;
use crate::profile::{LinkProfile, NetworkConfig};
use crate::shared::Shared;
use driver::{Driver, Leave, RealThreads as Threads, Stop};
use isolated::Environment;

pub use builder::SimulationBuilder;
pub use determinism::{DeterminismError, Difference};
pub use error::SimulationError;
pub use invariant::Every;
pub(crate) use invariant::Invariant;
pub(crate) use isolated::Isolated;
pub use outcome::Outcome;

mod builder;
mod determinism;
mod driver;
mod error;
mod invariant;
mod isolated;
mod outcome;
pub(crate) mod panics;
mod watchdog;

/// Runs programs on a simulated network, in virtual time.
///
/// Programs are ordinary tokio code: `tokio::spawn`, `sleep`, `timeout`. All of it runs on one thread,
/// on a clock that stands still while anything can run and then jumps to what happens next. The same
/// seed and program give the same [`trace hash`](Outcome::trace_hash) in every process and build, as
/// long as the program does not look outside: no threads, no sockets, no wall clock, no randomness of
/// the operating system (which a plain `tokio::select!` and std's `HashMap` draw: use `biased;` and
/// `BTreeMap`).
///
/// ```
/// use std::time::Duration;
/// use p2p_core::{ConnectOptions, ConnectionConfig, ListenOptions};
/// use p2p_core::{P2PConnection, P2PListener, P2PProvider};
/// use p2p_simulator::{LinkProfile, Simulation};
///
/// let link = LinkProfile::new().with_latency(Duration::from_millis(40));
/// let outcome = Simulation::new(7).with_link(link).run(async |network| {
///     let alice = network.host("alice").provider(ConnectionConfig::default())?;
///     let bob = network.host("bob").provider(ConnectionConfig::default())?;
///     let listener = bob.listen(ListenOptions::new("hello/1".parse().unwrap())).await?;
///     let options = ConnectOptions::new("hello/1".parse().unwrap());
///     let connection = alice.connect(&bob.local_addr(), options).await?;
///     connection.send("hello".into()).await?;
///     listener.accept().await?.recv().await
/// })?;
/// assert_eq!(outcome.output?, "hello");
/// // One round trip to connect, and one way for the message.
/// assert_eq!(outcome.elapsed, Duration::from_millis(120));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct Simulation {
    config: NetworkConfig,
    time_limit: Duration,
    real_time_limit: Duration,
    real_threads: RealThreads,
    record: usize,
    pub(crate) faults: FaultOptions,
    invariants: Vec<Invariant>,
}

/// What becomes of a run in which a real thread was seen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RealThreads {
    /// The run goes on. [`Outcome::real_threads`] counts them, and the seed may not repeat it.
    Allow,
    /// The run fails.
    #[default]
    Forbid,
}

impl Simulation {
    /// A faultless network of one-millisecond links, on which all randomness follows from `seed`.
    pub const fn new(seed: u64) -> Self {
        Self::with_config(NetworkConfig::new(seed))
    }

    /// Begins with everything that can be set, to be checked in one place.
    pub const fn builder() -> SimulationBuilder {
        SimulationBuilder::new()
    }

    /// A network like this.
    pub const fn with_config(config: NetworkConfig) -> Self {
        Self {
            config,
            // A virtual day: nobody waits that long on purpose, and it costs nothing.
            time_limit: Duration::from_secs(24 * 3600),
            // Much more than a test may take.
            real_time_limit: Duration::from_secs(600),
            real_threads: RealThreads::Forbid,
            record: 0,
            faults: FaultOptions::new(),
            invariants: Vec::new(),
        }
    }

    /// The seed that all randomness follows from.
    pub const fn seed(&self) -> u64 {
        self.config.seed
    }

    /// Sets the seed that all randomness follows from.
    #[must_use]
    pub fn with_seed(mut self, seed: u64) -> Self {
        self.config.seed = seed;
        self
    }

    /// Sets what every link is like of which nothing else is said.
    #[must_use]
    pub fn with_link(mut self, link: LinkProfile) -> Self {
        self.config.link = link;
        self
    }

    /// Sets how many of all attempts to connect fail, from 0 to 1.
    #[must_use]
    pub fn with_connect_failures(mut self, share: f64) -> Self {
        self.config.connect_failures = share;
        self
    }

    /// Sets how much virtual time a run may take; a virtual day if not set, at most a year.
    #[must_use]
    pub fn with_time_limit(mut self, limit: Duration) -> Self {
        self.time_limit = limit.min(Duration::from_secs(365 * 24 * 3600));
        self
    }

    /// Sets how much real time a run may take; ten minutes if not set.
    #[must_use]
    pub fn with_real_time_limit(mut self, limit: Duration) -> Self {
        self.real_time_limit = limit;
        self
    }

    /// Sets what becomes of a run in which a real thread was seen; it fails if not set.
    #[must_use]
    pub fn with_real_threads(mut self, real_threads: RealThreads) -> Self {
        self.real_threads = real_threads;
        self
    }

    /// Keeps the first `events` of the trace, besides the hash over all of it.
    #[must_use]
    pub fn with_recording(mut self, events: usize) -> Self {
        self.record = events;
        self
    }

    /// Lets every run fail in which `check` does not hold all along: see [`Network::invariant`],
    /// for those that look at what the program of one run does.
    #[must_use]
    pub fn with_invariant(
        mut self,
        name: &str,
        every: Every,
        check: impl Fn(&Network) -> Result<(), String> + Send + Sync + 'static,
    ) -> Self {
        self.invariants.push(Invariant::new(name, every, check));
        self
    }

    /// Runs `program` to its end. Tasks that still run then are dropped.
    ///
    /// # Errors
    ///
    /// - [`SimulationError::ImpossibleNetwork`]: no network can be as it was configured;
    /// - [`SimulationError::Fault`]: a fault of the schedule cannot be done;
    /// - [`SimulationError::IdleFault`]: a fault touched nothing;
    /// - [`SimulationError::Strays`]: with [`Simulation::with_strict`] only;
    /// - [`SimulationError::InsideRuntime`]: call it from a plain thread or `#[test]`;
    /// - [`SimulationError::Deadlock`]: nothing is going to happen any more; it says who waits for
    ///   what;
    /// - [`SimulationError::TimeLimit`] and [`SimulationError::RealTimeLimit`]: the program did not
    ///   end in time;
    /// - [`SimulationError::Invariant`]: something does not hold that should;
    /// - [`SimulationError::ClockResumed`]: the program let tokio's clock run;
    /// - [`SimulationError::RealIo`] and [`SimulationError::RealThreads`]: the program looked outside;
    /// - [`SimulationError::UnsuitableTokio`]: this version of tokio has another clock.
    ///
    /// # Panics
    ///
    /// As the program does; the seed is printed.
    pub fn run<P, F>(&self, program: P) -> Result<Outcome<F::Output>, SimulationError>
    where
        P: FnOnce(Network) -> F,
        F: Future,
    {
        match self.execute(program, None)?.end {
            End::Output(outcome) => Ok(outcome),
            End::Error(error) => Err(error),
            End::Panic { payload, at, .. } => {
                let seed = self.config.seed;
                eprintln!("the simulation of seed {seed} panicked at {at:?} of virtual time");
                resume_unwind(payload)
            }
        }
    }

    /// Runs it, under the eyes of `watch` if there is one.
    pub(crate) fn execute<P, F>(
        &self,
        program: P,
        watch: Option<Watch>,
    ) -> Result<Run<F::Output>, SimulationError>
    where
        P: FnOnce(Network) -> F,
        F: Future,
    {
        if Handle::try_current().is_ok() {
            return Err(SimulationError::InsideRuntime);
        }
        self.config.check().map_err(|why| SimulationError::ImpossibleNetwork { why })?;
        self.faults.check()?;
        driver::check_clock()?;
        let place: Arc<OnceLock<Driver>> = Arc::default();
        let threads: Arc<Threads> = Arc::default();
        let (parking, unparking) = (place.clone(), place.clone());
        let on_thread = {
            let threads = threads.clone();
            move || threads.saw_one()
        };
        let runtime = paused_runtime(
            self.config.seed,
            move || parking.get().into_iter().for_each(Driver::on_park),
            move || unparking.get().into_iter().for_each(Driver::on_unpark),
            on_thread,
        )?;
        let entered = runtime.enter();
        let mut engine = Engine::new(&self.config, self.record);
        self.faults.set_up(&mut engine);
        let shared = Arc::new(Shared::new(engine, None));
        let forbid = self.real_threads == RealThreads::Forbid;
        let watched = watch.is_some();
        let driver = Driver::new(shared.clone(), self.time_limit, threads.clone(), forbid, watched);
        let driver = place.get_or_init(|| driver);
        let root = driver.root().clone();
        shared.isolated.begin(Environment {
            seed: self.config.seed,
            threads: threads.clone(),
            root,
        });
        // From here on the driver knows when the clock moves.
        shared.read_clock();
        drop(entered);
        if let Some(watch) = watch {
            shared.with(|engine, _| engine.trace_mut().set_watch(watch));
        }
        self.invariants.iter().for_each(|invariant| shared.add_invariant(invariant.clone()));
        let network = Network { shared: shared.clone() };
        let guarded = watchdog::guard(self.real_time_limit, self.config.seed, {
            let root = driver.root().clone();
            move || root.stop(Stop::Expired)
        });
        panics::listen();
        // What is broken by the panic is dropped with the run.
        let mut running = Box::pin(async { program(network.clone()).await });
        let ended = catch_unwind(AssertUnwindSafe(|| {
            loop {
                match runtime.block_on(driver.run(running.as_mut())) {
                    Leave::Ended(ended) => break ended,
                    Leave::ForIsolated => driver.run_isolated(),
                }
            }
        }));
        // Where its tasks are, for what it does on its way out.
        let dropped = catch_unwind(AssertUnwindSafe(|| runtime.block_on(async { drop(running) })));
        let ended = ended.and_then(|ended| dropped.map(|()| ended));
        let seen = panics::stop_listening();
        drop(guarded);
        let entered = runtime.enter();
        let at = network.elapsed();
        let watch = shared.with(|engine, now| {
            engine.trace_mut().watched(now, TraceKind::Ended);
            engine.trace_mut().take_watch()
        });
        let hosts = network.host_names();
        let (trace_hash, trace_count) = (network.trace_hash(), network.trace_count());
        let recorded = network.recorded();
        let judged = self.faults.judge(&shared, self.config.seed);
        driver.look_for_threads();
        shared.end();
        drop(entered);
        shared.isolated.end(&shared);
        // A thread that never ends must not hold the run up.
        runtime.shutdown_timeout(Duration::from_secs(1));
        let (seed, real_threads) = (self.config.seed, threads.count());
        let outcome = |output, faults| Outcome {
            output,
            seed,
            elapsed: at,
            trace_hash,
            trace_count,
            recorded,
            hosts: hosts.clone(),
            real_threads,
            faults,
        };
        let end = match (seen.real_io, ended) {
            _ if seen.resumed => End::Error(SimulationError::ClockResumed { seed, at }),
            (Some(place), ended) => {
                let at = match ended {
                    Ok(Err(Stop::RealIo { at })) => Duration::from_nanos(at),
                    _ => at,
                };
                let place = place.words(&hosts);
                End::Error(SimulationError::RealIo { seed, at, place })
            }
            _ if forbid && real_threads > 0 => {
                let at = Duration::from_nanos(threads.first_at(nanos(at)));
                End::Error(SimulationError::RealThreads { seed, count: real_threads, at })
            }
            (None, Ok(Ok(output))) => match judged {
                Ok(faults) => End::Output(outcome(output, faults)),
                Err(error) => End::Error(error),
            },
            (None, Ok(Err(stop))) => End::Error(self.stopped(stop, &threads)),
            (None, Err(payload)) => End::Panic { payload, at, place: seen.last },
        };
        Ok(Run { end, watch, hosts })
    }

    fn stopped(&self, stop: Stop, threads: &Threads) -> SimulationError {
        let seed = self.config.seed;
        let time = Duration::from_nanos;
        match stop {
            Stop::Deadlock { at, waits } => SimulationError::Deadlock { seed, at: time(at), waits },
            Stop::Invariant { at, name, detail } => {
                SimulationError::Invariant { seed, name, at: time(at), detail }
            }
            Stop::TimeLimit { waits } => {
                SimulationError::TimeLimit { limit: self.time_limit, seed, waits }
            }
            Stop::Expired => {
                let (limit, at) = (self.real_time_limit, time(threads.last_rest()));
                SimulationError::RealTimeLimit { seed, limit, at }
            }
            // Both are known by what was seen; it is said here only for completeness.
            Stop::RealIo { at } => {
                SimulationError::RealIo { seed, at: time(at), place: "unknown".to_owned() }
            }
            Stop::RealThread => {
                let (count, at) = (threads.count(), time(threads.first_at(threads.last_rest())));
                SimulationError::RealThreads { seed, count, at }
            }
        }
    }
}

/// A run that is over.
pub(crate) struct Run<T> {
    pub(crate) end: End<T>,
    pub(crate) watch: Option<Watch>,
    /// The hosts' names.
    pub(crate) hosts: Vec<String>,
}

/// How it ended.
pub(crate) enum End<T> {
    Output(Outcome<T>),
    Error(SimulationError),
    Panic { payload: Box<dyn Any + Send>, at: Duration, place: Option<String> },
}

/// A runtime on this thread whose clock stands still until all tasks wait.
fn paused_runtime(
    seed: u64,
    on_park: impl Fn() + Send + Sync + 'static,
    on_unpark: impl Fn() + Send + Sync + 'static,
    on_thread: impl Fn() + Send + Sync + 'static,
) -> Result<Runtime, SimulationError> {
    let mut builder = Builder::new_current_thread();
    builder
        .enable_time()
        .start_paused(true)
        // Nothing comes from outside; never look in the middle of the work.
        .event_interval(1 << 20)
        .on_thread_park(on_park)
        .on_thread_unpark(on_unpark)
        // The only threads that such a runtime starts are those that block.
        .on_thread_start(on_thread);
    seed_choices(&mut builder, seed);
    builder.build().map_err(|error| SimulationError::UnsuitableTokio { detail: error.to_string() })
}

/// Lets `select!` and `watch` choose by the seed.
#[cfg(tokio_unstable)]
fn seed_choices(builder: &mut Builder, seed: u64) {
    builder.rng_seed(tokio::runtime::RngSeed::from_bytes(&seed.to_le_bytes()));
}

/// `select!` and `watch` draw from the system: tokio lets nobody seed them without the flag.
#[cfg(not(tokio_unstable))]
const fn seed_choices(_builder: &mut Builder, _seed: u64) {}
