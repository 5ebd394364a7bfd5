//! What a simulation does about faults.

use std::time::{Duration, SystemTime};

use super::report::FaultReport;
use super::schedule::FaultSchedule;
use crate::clock::EPOCH;
use crate::engine::Engine;
use crate::shared::Shared;
use crate::simulation::{Simulation, SimulationError};

/// What becomes of a run with a fault that touched nothing.
///
/// Such a fault is most often a test that tests nothing: the wrong pair of hosts, or the wrong time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum IdleFaults {
    /// The run fails, and names it.
    #[default]
    Fail,
    /// It is in the report, and that is all.
    Report,
}

/// What becomes of a run in which a task used a host's endpoint without being one of the host's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Strays {
    Fail,
    Report,
}

/// A simulation's options about faults.
#[derive(Clone, Debug)]
pub(crate) struct FaultOptions {
    idle: IdleFaults,
    strays: Strays,
    schedule: Option<FaultSchedule>,
    epoch: Duration,
}

impl FaultOptions {
    pub(crate) const fn new() -> Self {
        let (idle, strays) = (IdleFaults::Fail, Strays::Report);
        Self { idle, strays, schedule: None, epoch: EPOCH }
    }

    /// Looks whether the schedule can be had, before anything runs.
    pub(crate) fn check(&self) -> Result<(), SimulationError> {
        self.schedule.as_ref().map_or(Ok(()), FaultSchedule::check).map_err(SimulationError::Fault)
    }

    pub(crate) fn set_up(&self, engine: &mut Engine) {
        engine.epoch = self.epoch;
        for planned in self.schedule.iter().flat_map(|schedule| &schedule.faults) {
            engine.plan_fault(0, planned.clone());
        }
    }

    /// The report of a run; or what was wrong with its faults.
    pub(crate) fn judge(&self, shared: &Shared, seed: u64) -> Result<FaultReport, SimulationError> {
        let (report, refused) = shared.with(|engine, _| {
            (FaultReport::of(engine), engine.net.faults.refused.first().cloned())
        });
        if let Some(error) = refused {
            return Err(SimulationError::Fault(error));
        }
        if self.strays == Strays::Fail && !report.strays.is_empty() {
            let strays: Vec<_> = report.strays.iter().map(ToString::to_string).collect();
            return Err(SimulationError::Strays { strays: strays.join("; "), seed });
        }
        let idle: Vec<_> = report.idle().collect();
        if self.idle == IdleFaults::Fail && !idle.is_empty() {
            let names = idle.iter().map(|fault| fault.name.clone()).collect();
            let faults: Vec<_> = idle.iter().map(ToString::to_string).collect();
            return Err(SimulationError::IdleFault { names, faults: faults.join("; "), seed });
        }
        Ok(report)
    }
}

impl Simulation {
    /// Sets what becomes of a run with a fault that touched nothing; if not set, it fails.
    #[must_use]
    pub const fn with_idle_faults(mut self, idle: IdleFaults) -> Self {
        self.faults.idle = idle;
        self
    }

    /// Lets the faults of this schedule happen, with times from the beginning of the run. Its hosts
    /// must be there when their faults begin.
    #[must_use]
    pub fn with_schedule(mut self, schedule: FaultSchedule) -> Self {
        self.faults.schedule = Some(schedule);
        self
    }

    /// Whether a task that uses a host's endpoint without being one of the host's fails the run: see
    /// [`Host::spawn`](crate::Host::spawn). If not set, it is only reported.
    #[must_use]
    pub const fn with_strict(mut self, strict: bool) -> Self {
        self.faults.strays = if strict { Strays::Fail } else { Strays::Report };
        self
    }

    /// Sets what the hosts' wall clocks show when the run begins; if not set, or before 1970, it is
    /// midnight of 1 January 2025, UTC.
    #[must_use]
    pub fn with_epoch(mut self, epoch: SystemTime) -> Self {
        self.faults.epoch = epoch.duration_since(SystemTime::UNIX_EPOCH).unwrap_or(EPOCH);
        self
    }
}
