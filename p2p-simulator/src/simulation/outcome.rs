//! What came of a run.

use std::io;
use std::time::Duration;

use crate::engine::trace::json;
use crate::engine::trace::{TraceEvent, TraceHash};
use crate::fault::report::FaultReport;

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
    /// The hosts' names, by number.
    pub hosts: Vec<String>,
    /// How many real threads were seen, where they are allowed. With any, the run may differ from
    /// others of the same seed.
    pub real_threads: u32,
    /// The faults that were done to the network, and what each touched.
    pub faults: FaultReport,
}

impl<T> Outcome<T> {
    /// Writes what was [recorded](crate::Simulation::with_recording) as JSON lines: one with seed,
    /// hosts and hash, then one for each event. The order of fields is fixed, so that traces can be
    /// compared as text.
    ///
    /// # Errors
    ///
    /// What `out` has to say.
    pub fn write_trace(&self, mut out: impl io::Write) -> io::Result<()> {
        write!(out, r#"{{"seed":{},"hosts":["#, self.seed)?;
        for (number, name) in self.hosts.iter().enumerate() {
            if number > 0 {
                write!(out, ",")?;
            }
            json::write_text(&mut out, name)?;
        }
        let (events, hash) = (self.trace_count, self.trace_hash);
        writeln!(out, r#"],"events":{events},"hash":"{hash}"}}"#)?;
        for (number, event) in (0..).zip(&self.recorded) {
            json::write_event(&mut out, number, event, &self.hosts)?;
        }
        out.flush()
    }
}
