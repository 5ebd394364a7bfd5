//! A run in virtual time: exact, and the same each time.

use std::future::Future;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use thiserror::Error;
use tokio::runtime::{Builder, Handle, Runtime};

use crate::engine::Engine;
use crate::engine::trace::{TraceEvent, TraceHash};
use crate::fault::FaultError;
use crate::fault::options::FaultOptions;
use crate::fault::report::FaultReport;
use crate::network::Network;
use crate::profile::{LinkProfile, NetworkConfig, ProfileError};
use crate::shared::Shared;
use driver::Driver;

mod driver;

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
    record: usize,
    pub(crate) faults: FaultOptions,
}

impl Simulation {
    /// A faultless network of one-millisecond links, on which all randomness follows from `seed`.
    pub const fn new(seed: u64) -> Self {
        Self::with_config(NetworkConfig::new(seed))
    }

    /// A network like this.
    pub const fn with_config(config: NetworkConfig) -> Self {
        // A virtual day: nobody waits that long on purpose, and it costs nothing.
        Self {
            config,
            time_limit: Duration::from_secs(24 * 3600),
            record: 0,
            faults: FaultOptions::new(),
        }
    }

    /// Sets what every link is like of which nothing else is said.
    #[must_use]
    pub fn with_link(mut self, link: LinkProfile) -> Self {
        self.config.link = link;
        self
    }

    /// Sets how many of all attempts to connect fail, from 0 to 1.
    #[must_use]
    pub const fn with_connect_failures(mut self, share: f64) -> Self {
        self.config.connect_failures = share;
        self
    }

    /// Sets how much virtual time a run may take; a virtual day if not set, at most a year.
    #[must_use]
    pub fn with_time_limit(mut self, limit: Duration) -> Self {
        self.time_limit = limit.min(Duration::from_secs(365 * 24 * 3600));
        self
    }

    /// Keeps the first `events` of the trace, besides the hash over all of it.
    #[must_use]
    pub const fn with_recording(mut self, events: usize) -> Self {
        self.record = events;
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
    /// - [`SimulationError::TimeLimit`]: the program did not end in time; most often everything waits
    ///   for something that never comes;
    /// - [`SimulationError::UnsuitableTokio`]: this version of tokio has another clock.
    pub fn run<P, F>(&self, program: P) -> Result<Outcome<F::Output>, SimulationError>
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
        let (parking, unparking) = (place.clone(), place.clone());
        let runtime = paused_runtime(
            move || parking.get().into_iter().for_each(Driver::on_park),
            move || unparking.get().into_iter().for_each(Driver::on_unpark),
        )?;
        let entered = runtime.enter();
        let mut engine = Engine::new(&self.config, self.record);
        self.faults.set_up(&mut engine);
        let shared = Arc::new(Shared::new(engine, None));
        let driver = Driver::new(shared.clone(), self.time_limit);
        let driver = place.get_or_init(|| driver);
        drop(entered);
        let network = Network { shared: shared.clone() };
        let output = runtime.block_on(async { driver.run(program(network.clone())).await });
        let entered = runtime.enter();
        let outcome = Outcome {
            output,
            seed: self.config.seed,
            elapsed: network.elapsed(),
            trace_hash: network.trace_hash(),
            trace_count: network.trace_count(),
            recorded: network.recorded(),
            faults: network.fault_report(),
        };
        let judged = self.faults.judge(&shared, self.config.seed);
        shared.end();
        drop(entered);
        drop(runtime);
        let outcome = outcome.within_limit(self.time_limit)?;
        judged.map(|_| outcome)
    }
}

/// A runtime on this thread whose clock stands still until all tasks wait.
fn paused_runtime(
    on_park: impl Fn() + Send + Sync + 'static,
    on_unpark: impl Fn() + Send + Sync + 'static,
) -> Result<Runtime, SimulationError> {
    Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        // Nothing comes from outside; never look in the middle of the work.
        .event_interval(1 << 20)
        .on_thread_park(on_park)
        .on_thread_unpark(on_unpark)
        .build()
        .map_err(|error| SimulationError::UnsuitableTokio { detail: error.to_string() })
}

/// What came of a run.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Outcome<T> {
    /// What the program returned.
    pub output: T,
    /// The seed it ran with.
    pub seed: u64,
    /// How much virtual time it took.
    pub elapsed: Duration,
    /// The hash over everything that happened.
    pub trace_hash: TraceHash,
    /// How many things happened.
    pub trace_count: u64,
    /// The first of them, as many as were to be recorded.
    pub recorded: Vec<TraceEvent>,
    /// The faults that were done to the network, and what each touched.
    pub faults: FaultReport,
}

impl<T> Outcome<Option<T>> {
    fn within_limit(self, limit: Duration) -> Result<Outcome<T>, SimulationError> {
        let Some(output) = self.output else {
            return Err(SimulationError::TimeLimit { limit, seed: self.seed });
        };
        let Self { seed, elapsed, trace_hash, trace_count, recorded, faults, .. } = self;
        Ok(Outcome { output, seed, elapsed, trace_hash, trace_count, recorded, faults })
    }
}

/// Why a run did not come to its end.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum SimulationError {
    /// No network can be as it was configured.
    #[error("no network can be like this: {why}")]
    ImpossibleNetwork {
        /// What cannot be.
        why: ProfileError,
    },
    /// Called inside a tokio runtime, which cannot have another one inside.
    #[error(
        "a simulation runs its own runtime and cannot be started inside another: call it from a \
         plain #[test] or thread, or use Network::live for a network in wall-clock time"
    )]
    InsideRuntime,
    /// A fault cannot be done: the schedule's version, a host's name, or what it asks for.
    #[error(transparent)]
    Fault(FaultError),
    /// Faults touched nothing, so that the run has not shown what it was to show.
    #[error(
        "seed {seed}: a fault touched nothing: {faults} (let a test that may be so say \
         with_idle_faults(IdleFaults::Report))"
    )]
    IdleFault {
        /// The faults' names.
        names: Vec<String>,
        /// What they were.
        faults: String,
        /// The seed to repeat it with.
        seed: u64,
    },
    /// Tasks used hosts' endpoints without being the hosts' own.
    #[error("seed {seed}: not spawned by the host whose network it uses: {strays}")]
    Strays {
        /// The tasks, and the hosts whose endpoints they used.
        strays: String,
        /// The seed to repeat it with.
        seed: u64,
    },
    /// The program did not end in the virtual time allowed.
    #[error("seed {seed}: the program had not ended after {limit:?} of virtual time")]
    TimeLimit {
        /// The time allowed.
        limit: Duration,
        /// The seed to repeat it with.
        seed: u64,
    },
    /// tokio's paused clock does not behave as the virtual driver needs.
    #[error("this version of tokio cannot drive a simulation (1.54 can): {detail}")]
    UnsuitableTokio {
        /// What was found.
        detail: String,
    },
}
