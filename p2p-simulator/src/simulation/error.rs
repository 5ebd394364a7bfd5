//! Why a run did not come to its end.

use std::fmt;
use std::time::Duration;

use thiserror::Error;

use crate::fault::FaultError;
use crate::profile::ProfileError;

/// Why a run did not come to its end.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum SimulationError {
    /// The program let tokio's clock run by itself.
    #[error(
        "seed {seed}: tokio's clock runs by itself, at {at:?} of virtual time: in a simulation it is \
         moved from event to event, and the program must not call tokio::time::resume"
    )]
    ClockResumed {
        /// The seed to repeat it with.
        seed: u64,
        /// When it was seen, in virtual time.
        at: Duration,
    },
    /// Nothing is going to happen any more, and the program has not ended.
    #[error(
        "seed {seed}: virtual deadlock at {at:?}: no packet is on its way, no timer is set, and the \
         program has not ended{}",
        Listed(waits)
    )]
    Deadlock {
        /// The seed to repeat it with.
        seed: u64,
        /// When everything had come to a standstill, in virtual time.
        at: Duration,
        /// Who waits for what, in words.
        waits: Vec<String>,
    },
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
    /// An invariant did not hold.
    #[error("seed {seed}: invariant '{name}' does not hold at {at:?}: {detail}")]
    Invariant {
        /// The seed to repeat it with.
        seed: u64,
        /// The invariant.
        name: String,
        /// When it was seen, in virtual time.
        at: Duration,
        /// What the check said.
        detail: String,
    },
    /// The program used the real network, a signal or a process.
    #[error(
        "seed {seed}: real I/O at {at:?} of virtual time ({place}): a simulation has no sockets, \
         signals or processes of the system (tokio::net, tokio::signal, tokio::process): connect \
         through the simulated hosts, or run this part of the program outside of the simulation"
    )]
    RealIo {
        /// The seed to repeat it with.
        seed: u64,
        /// When, in virtual time.
        at: Duration,
        /// The host whose task it was, the program's function, and where tokio refused it.
        place: String,
    },
    /// The program started a real thread.
    #[error(
        "seed {seed}: {count} real thread(s) started, the first at {at:?} of virtual time, by \
         spawn_blocking, tokio::fs, lookup_host or a thread of the program's own that used the \
         network or woke the program: how long a thread takes differs from run to run, and so does what follows; do \
         the work in the task itself, or allow it with real_threads(RealThreads::Allow)"
    )]
    RealThreads {
        /// The seed.
        seed: u64,
        /// How many.
        count: u32,
        /// When the first was seen, in virtual time.
        at: Duration,
    },
    /// The program did not end in the real time allowed.
    #[error(
        "seed {seed}: the run had not ended after {limit:?} of real time, at {at:?} of virtual \
         time: it does a lot, or it never rests (a loop of yield_now takes no virtual time)"
    )]
    RealTimeLimit {
        /// The seed to repeat it with.
        seed: u64,
        /// The real time allowed.
        limit: Duration,
        /// When in virtual time all tasks last waited.
        at: Duration,
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
    #[error(
        "seed {seed}: the program had not ended after {limit:?} of virtual time{}",
        Listed(waits)
    )]
    TimeLimit {
        /// The time allowed.
        limit: Duration,
        /// The seed to repeat it with.
        seed: u64,
        /// Who waits for what, in words.
        waits: Vec<String>,
    },
    /// tokio's paused clock does not behave as the virtual driver needs.
    #[error("this version of tokio cannot drive a simulation (1.54 can): {detail}")]
    UnsuitableTokio {
        /// What was found.
        detail: String,
    },
}

/// Lines, each indented below the sentence they belong to.
struct Listed<'a>(&'a [String]);

impl fmt::Display for Listed<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|line| write!(f, "\n  - {line}"))
    }
}
