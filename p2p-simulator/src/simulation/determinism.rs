//! Whether a program does the same twice.

use std::fmt;
use std::future::Future;

use thiserror::Error;

use super::panics::message_of;
use super::{End, Outcome, Run, Simulation, SimulationError};
use crate::engine::trace::TraceEvent;
use crate::engine::trace::Verdict;
use crate::engine::trace::diff::TraceDifference;
use crate::engine::trace::{Watch, watch_context};
use crate::network::Network;

/// How often two runs are compared to find the first difference: a program that differs at random
/// differs elsewhere each time, and may for once not differ at all.
const LOOKS: usize = 8;

impl Simulation {
    /// Runs `program` twice and compares everything that happens: packets with their payloads, losses,
    /// faults, hosts, [notes](Network::note), and when all tasks wait, so that timers count too.
    ///
    /// Memory is bounded: a long run is compared by checkpoints of a hash first, and then run again
    /// with the events around the difference. The heap looks different in the two runs, so that
    /// addresses differ.
    ///
    /// ```
    /// use p2p_simulator::Simulation;
    ///
    /// let checked = Simulation::new(7).check_determinism(async |network| {
    ///     network.host("alice");
    ///     tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    /// });
    /// assert!(checked.is_ok());
    /// ```
    ///
    /// # Errors
    ///
    /// - [`DeterminismError::Differs`] with the first difference;
    /// - [`DeterminismError::EndsDiffer`]: the same happened, and yet the runs ended otherwise;
    /// - [`DeterminismError::Run`]: both runs fail, in the same way;
    /// - [`DeterminismError::Panicked`]: both runs panic.
    pub fn check_determinism<P, F>(
        &self,
        program: P,
    ) -> Result<Outcome<F::Output>, DeterminismError>
    where
        P: Fn(Network) -> F,
        F: Future,
    {
        let mut look = Watch::first_look();
        let mut nearest = None;
        for _ in 0..LOOKS {
            let first = looked_outside(self.execute(&program, Some(look.clone()))?)?;
            let second = {
                let _shifted = shifted_heap();
                looked_outside(self.execute(&program, Some(look.clone()))?)?
            };
            let (Some(one), Some(other)) = (&first.watch, &second.watch) else {
                return compare_ends(first, second);
            };
            let range = match one.compare(other) {
                Verdict::Same => match nearest {
                    // It differed before, and may do so again.
                    Some(_) => continue,
                    None => return compare_ends(first, second),
                },
                Verdict::At(number) => {
                    let found = self.difference(number, one, other, &first.hosts, &second.hosts);
                    return Err(DeterminismError::Differs(Box::new(found)));
                }
                Verdict::Within(range) => range,
            };
            look = Watch::look_at(&range);
            nearest = Some(range);
        }
        let range = nearest.unwrap_or_default();
        let (seed, looks) = (self.seed(), LOOKS);
        Err(DeterminismError::DiffersWithin { seed, from: range.start, to: range.end, looks })
    }

    fn difference(
        &self,
        number: u64,
        first: &Watch,
        second: &Watch,
        hosts: &[String],
        others: &[String],
    ) -> Difference {
        let begin = number.saturating_sub(watch_context());
        // The one with more hosts knows all that are in the other before the difference.
        let hosts = if hosts.len() < others.len() { others } else { hosts };
        Difference {
            seed: self.seed(),
            trace: TraceDifference {
                number,
                before: (begin..number).filter_map(|number| first.event_at(number)).collect(),
                first: first.event_at(number),
                second: second.event_at(number),
                hosts: hosts.to_vec(),
            },
        }
    }
}

/// Where a run itself tells why it is not repeatable, that says more than where it first shows.
fn looked_outside<T>(run: Run<T>) -> Result<Run<T>, SimulationError> {
    match run.end {
        End::Error(
            error @ (SimulationError::ClockResumed { .. }
            | SimulationError::RealIo { .. }
            | SimulationError::RealThreads { .. }),
        ) => Err(error),
        _ => Ok(run),
    }
}

/// The same happened; did both end in the same way?
fn compare_ends<T>(first: Run<T>, second: Run<T>) -> Result<Outcome<T>, DeterminismError> {
    let say = |end: &End<T>| match end {
        End::Output(_) => "the program ended".to_owned(),
        End::Error(error) => error.to_string(),
        End::Panic { payload, .. } => format!("the program panicked: {}", message_of(&**payload)),
    };
    let (one, other) = (say(&first.end), say(&second.end));
    if one != other {
        return Err(DeterminismError::EndsDiffer { first: one, second: other });
    }
    match first.end {
        End::Output(outcome) => Ok(outcome),
        End::Error(error) => Err(error.into()),
        End::Panic { payload, at, .. } => {
            let message = message_of(&*payload);
            Err(DeterminismError::Panicked { message, at })
        }
    }
}

/// Memory that makes what is allocated while it lives lie elsewhere than it lay before.
fn shifted_heap() -> Vec<Vec<u8>> {
    // Of all small sizes, and more of each than an allocator keeps in reserve.
    (0..4096).map(|number| Vec::with_capacity(number % 512 + 1)).collect()
}

/// Where two runs differ first, in words with the events before.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Difference {
    /// The seed of both.
    pub seed: u64,
    /// What differs.
    pub trace: TraceDifference,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let number = self.trace.number;
        writeln!(f, "seed {}: two runs differ, first in event {number}:", self.seed)?;
        writeln!(f, "{}", self.trace)?;
        let hint = hint(self.trace.first.as_ref(), self.trace.second.as_ref());
        write!(f, "the cause lies between the last event that is the same and this one: {hint}")
    }
}

/// What to look for, by what differs.
fn hint(first: Option<&TraceEvent>, second: Option<&TraceEvent>) -> &'static str {
    let (Some(first), Some(second)) = (first, second) else {
        return "one run goes on where the other ends: look for what decides that, such as a clock of \
                the system, its randomness, or something that outlives a run (a static, a \
                thread-local)";
    };
    let bytes = TraceEvent { bytes: second.bytes, payload: second.payload, ..*first };
    let time = TraceEvent { at_ns: second.at_ns, ..*first };
    if *second == time {
        "the same happens at another time: look for a timer whose length comes from a clock of the \
         system, its randomness, or something that outlives a run (a static, a thread-local)"
    } else if *second == bytes {
        "the same happens with other contents: look for a clock of the system, its randomness, an \
         address, something that outlives a run (a static, a thread-local), or what was taken in \
         the order of a HashMap or by a select! without biased"
    } else {
        "something else comes first: look for the order of a HashMap or HashSet, a select! without \
         biased, several receivers of one watch channel, or a timer or condition that comes from a \
         clock of the system or its randomness"
    }
}

/// Why two runs of a program are not known to be the same.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum DeterminismError {
    /// The runs differ, and this is where.
    #[error("{0}")]
    Differs(Box<Difference>),
    /// The runs differ, each time elsewhere, so that the first difference was not caught.
    #[error(
        "seed {seed}: two runs differ, {looks} times in another place; the last time first between \
         events {from} and {to}"
    )]
    DiffersWithin {
        /// The seed of both.
        seed: u64,
        /// The last event before which both were the same.
        from: u64,
        /// An event by which they differed.
        to: u64,
        /// How often it was looked.
        looks: usize,
    },
    /// The same happened in both runs, but they ended in different ways.
    #[error("the same happened in two runs, but they ended differently: '{first}' and '{second}'")]
    EndsDiffer {
        /// How the first ended.
        first: String,
        /// How the second ended.
        second: String,
    },
    /// Both runs panicked, in the same way.
    #[error("both runs panicked at {at:?} of virtual time: {message}")]
    Panicked {
        /// What the panic says.
        message: String,
        /// When.
        at: std::time::Duration,
    },
    /// Both runs failed, in the same way.
    #[error(transparent)]
    Run(#[from] SimulationError),
}
