//! What is said of many seeds.

use std::fmt;
use std::time::Duration;

use super::{TraceEvent, TraceHash};
use crate::engine::trace::diff::write_event;

/// One seed that went well.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SeedRun {
    /// The seed.
    pub seed: u64,
    /// How much virtual time it took.
    pub elapsed: Duration,
    /// The hash over everything that happened.
    pub trace_hash: TraceHash,
    /// How many things happened.
    pub trace_count: u64,
}

/// All seeds went well.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct SeedSummary {
    /// The runs, in the order of the seeds.
    pub runs: Vec<SeedRun>,
    /// How much real time all of them took.
    pub real_time: Duration,
}

impl SeedSummary {
    pub(super) fn new(runs: Vec<SeedRun>, real_time: Duration) -> Self {
        Self { runs, real_time }
    }

    /// The virtual time of all runs.
    pub fn virtual_time(&self) -> Duration {
        self.runs.iter().fold(Duration::ZERO, |sum, run| sum.saturating_add(run.elapsed))
    }

    /// How many things happened in all runs.
    pub fn events(&self) -> u64 {
        self.runs.iter().map(|run| run.trace_count).sum()
    }
}

impl fmt::Display for SeedSummary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (seeds, real) = (self.runs.len(), self.real_time.as_secs_f64());
        let rate = seeds as f64 / real.max(1e-9);
        let (virtual_time, events) = (self.virtual_time(), self.events());
        write!(
            f,
            "{seeds} seeds passed: {virtual_time:.1?} of virtual time and {events} events in \
             {real:.2} s, {rate:.0} seeds a second"
        )
    }
}

/// A seed that fails.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct SeedFailure {
    /// The seed.
    pub seed: u64,
    /// Why, with the virtual time.
    pub why: String,
    /// How many seeds of the plan before it went well.
    pub runs_before: u64,
    /// What came of the same seed when it ran again, if it was something else: then the program is
    /// not deterministic.
    pub second: Option<String>,
    /// The last that happened, as it ran again.
    pub last: Vec<TraceEvent>,
    /// The hosts' names, by number.
    pub hosts: Vec<String>,
    /// The line that repeats it.
    pub replay: String,
}

impl fmt::Display for SeedFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { seed, why, runs_before, replay, .. } = self;
        writeln!(f, "seed {seed} fails, after {runs_before} that passed: {why}")?;
        if !self.last.is_empty() {
            writeln!(f, "the last that happened:")?;
        }
        for event in &self.last {
            write!(f, "  ")?;
            write_event(f, event, &self.hosts)?;
            writeln!(f)?;
        }
        if let Some(second) = &self.second {
            writeln!(
                f,
                "NOT DETERMINISTIC: the same seed ran once more, and then: {second}\n\
                 Simulation::check_determinism says where two runs differ first"
            )?;
        }
        write!(f, "repeat it:\n  {replay}")
    }
}

impl std::error::Error for SeedFailure {}
