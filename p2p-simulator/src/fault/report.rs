//! What became of the faults of a run.

use std::fmt;
use std::time::Duration;

use super::{FaultKind, list};
use crate::engine::Engine;
use crate::engine::fault::Record;

/// What a fault was, and what it touched.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct FaultRecord {
    /// What it was called.
    pub name: String,
    /// What sort it was.
    pub kind: FaultKind,
    /// The names of the hosts of the one group.
    pub from: Vec<String>,
    /// And of the other; none where it stood on hosts.
    pub to: Vec<String>,
    /// How much it touched: packets, attempts to connect, connections, tasks, looks at a clock.
    pub hits: u64,
    /// When it began; `None` if its time never came.
    pub began: Option<Duration>,
    /// When it ended; `None` if it never did.
    pub ended: Option<Duration>,
}

impl fmt::Display for FaultRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "'{}': {} {}", self.name, self.kind, list(&self.from))?;
        if !self.to.is_empty() {
            write!(f, " - {}", list(&self.to))?;
        }
        match (self.began, self.ended) {
            (None, _) => write!(f, ", which never began")?,
            (Some(began), None) => write!(f, ", from {began:?}")?,
            (Some(began), Some(ended)) => write!(f, ", from {began:?} to {ended:?}")?,
        }
        match self.hits {
            0 => write!(f, ", touched nothing"),
            hits => write!(f, ", hits: {hits}"),
        }
    }
}

/// A task that used a host's endpoint without being one of the host's: see
/// [`Host::spawn`](crate::Host::spawn).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stray {
    /// The host whose endpoint it used.
    pub host: String,
    /// The task: of which host it is, or tokio's number of it.
    pub task: String,
    /// How often it did.
    pub calls: u64,
}

impl fmt::Display for Stray {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} used '{}', calls: {}", self.task, self.host, self.calls)
    }
}

/// The faults of a run, and the tasks that no fault can reach.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct FaultReport {
    /// In the order in which they were named.
    pub faults: Vec<FaultRecord>,
    /// In the order in which they were found.
    pub strays: Vec<Stray>,
}

impl FaultReport {
    /// The faults that touched nothing.
    pub fn idle(&self) -> impl Iterator<Item = &FaultRecord> {
        self.faults.iter().filter(|fault| fault.hits == 0)
    }

    pub(crate) fn of(engine: &Engine) -> Self {
        let name = |&host: &u32| engine.hosts[host as usize].name.clone();
        let faults = &engine.net.faults;
        let stray = |stray: &crate::engine::fault::Stray| Stray {
            host: name(&stray.host),
            task: stray.task.clone(),
            calls: stray.calls,
        };
        Self {
            faults: faults.records().iter().map(|fault| record(fault, name)).collect(),
            strays: faults.strays.iter().map(stray).collect(),
        }
    }
}

fn record(fault: &Record, name: impl Fn(&u32) -> String) -> FaultRecord {
    let (from, to) = match (&fault.spec, &fault.planned) {
        (Some(spec), _) => {
            (spec.from.iter().map(&name).collect(), spec.to.iter().map(&name).collect())
        }
        (None, Some(planned)) => {
            let (from, to) = planned.fault.groups();
            (from.to_vec(), to.to_vec())
        }
        (None, None) => (Vec::new(), Vec::new()),
    };
    FaultRecord {
        name: fault.name.clone(),
        kind: fault.kind(),
        from,
        to,
        hits: fault.hits,
        began: fault.began.map(Duration::from_nanos),
        ended: fault.ended.map(Duration::from_nanos),
    }
}

impl fmt::Display for FaultReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for fault in &self.faults {
            writeln!(f, "fault {fault}")?;
        }
        self.strays.iter().try_for_each(|stray| writeln!(f, "stray: {stray}"))
    }
}
