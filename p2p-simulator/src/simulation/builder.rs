//! All settings of a simulation, checked in one place.

use std::time::Duration;

use super::{Every, Invariant, RealThreads, Simulation};
use crate::network::Network;
use crate::profile::{LinkProfile, NetworkConfig, SettingError};

/// Everything that can be set; [`build`](SimulationBuilder::build) says what is impossible.
///
/// ```
/// use std::time::Duration;
/// use p2p_simulator::{LinkProfile, Simulation};
///
/// let simulation = Simulation::builder()
///     .seed(7)
///     .link(LinkProfile::new().with_latency(Duration::from_millis(40)))
///     .time_limit(Duration::from_secs(60))
///     .build()?;
/// assert_eq!(simulation.seed(), 7);
/// assert!(Simulation::builder().connect_failures(f64::NAN).build().is_err());
/// # Ok::<(), p2p_simulator::SettingError>(())
/// ```
#[derive(Clone, Debug)]
#[must_use = "it does nothing before `build`"]
pub struct SimulationBuilder(Simulation);

impl SimulationBuilder {
    pub(super) const fn new() -> Self {
        Self(Simulation::new(0))
    }

    /// Sets what the network is like, with its seed.
    pub fn config(mut self, config: NetworkConfig) -> Self {
        self.0.config = config;
        self
    }

    /// Sets the seed that all randomness follows from; 0 if not set.
    pub fn seed(mut self, seed: u64) -> Self {
        self.0.config.seed = seed;
        self
    }

    /// Sets what every link is like of which nothing else is said.
    pub fn link(mut self, link: LinkProfile) -> Self {
        self.0.config.link = link;
        self
    }

    /// Sets how many of all attempts to connect fail, from 0 to 1.
    pub fn connect_failures(mut self, share: f64) -> Self {
        self.0.config.connect_failures = share;
        self
    }

    /// Sets how much virtual time a run may take: up to a year; a day if not set.
    pub fn time_limit(mut self, limit: Duration) -> Self {
        self.0.time_limit = limit;
        self
    }

    /// Sets how much real time a run may take; ten minutes if not set.
    pub fn real_time_limit(mut self, limit: Duration) -> Self {
        self.0.real_time_limit = limit;
        self
    }

    /// Sets what becomes of a run in which a real thread was seen; it fails if not set.
    pub fn real_threads(mut self, real_threads: RealThreads) -> Self {
        self.0.real_threads = real_threads;
        self
    }

    /// Keeps the first `events` of the trace, besides the hash over all of it.
    pub fn recording(mut self, events: usize) -> Self {
        self.0.record = events;
        self
    }

    /// Adds what must hold in every run: see [`Simulation::with_invariant`].
    pub fn invariant(
        mut self,
        name: &str,
        every: Every,
        check: impl Fn(&Network) -> Result<(), String> + Send + Sync + 'static,
    ) -> Self {
        self.0.invariants.push(Invariant::new(name, every, check));
        self
    }

    /// The simulation.
    ///
    /// # Errors
    ///
    /// [`SettingError`], which names the setting and what it may be.
    pub fn build(self) -> Result<Simulation, SettingError> {
        let Simulation { config, time_limit, real_time_limit, .. } = &self.0;
        let check = |holds: bool, name, value: String, expected| match holds {
            true => Ok(()),
            false => Err(SettingError { name, value, expected }),
        };
        let share = "a share from 0 to 1";
        let is_share = |value: f64| (0.0..=1.0).contains(&value);
        let failures = config.connect_failures;
        check(is_share(failures), "connect_failures", failures.to_string(), share)?;
        if let Err(why) = config.check() {
            let expected = "what a network can be";
            return Err(SettingError { name: "link", value: why.to_string(), expected });
        }
        let year = Duration::from_secs(365 * 24 * 3600);
        check(
            !time_limit.is_zero() && *time_limit <= year,
            "time_limit",
            format!("{time_limit:?}"),
            "more than nothing and at most a year",
        )?;
        check(
            !real_time_limit.is_zero(),
            "real_time_limit",
            format!("{real_time_limit:?}"),
            "more than nothing",
        )?;
        Ok(self.0)
    }
}
