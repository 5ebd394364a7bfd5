//! Traces read back from JSON lines.

use std::fmt;
use std::io::{self, BufRead};

use serde::Deserialize;
use thiserror::Error;

use super::diff::{TraceDifference, trace_difference};
use super::{PayloadDigest, TraceEvent, TraceKind, packet_name};

/// A trace that was written by [`Outcome::write_trace`](crate::Outcome::write_trace).
///
/// ```
/// use p2p_simulator::{Simulation, TraceFile};
///
/// let run = |name: &'static str| {
///     Simulation::new(7).with_recording(1000).run(async move |network| drop(network.host(name)))
/// };
/// let read = |name| -> Result<TraceFile, Box<dyn std::error::Error>> {
///     let mut lines = Vec::new();
///     run(name)?.write_trace(&mut lines)?;
///     Ok(TraceFile::read(&lines[..])?)
/// };
/// let (one, other) = (read("alice")?, read("alicia")?);
/// assert!(one.compare(&one, 10).is_same());
/// let comparison = one.compare(&other, 10);
/// assert!(comparison.to_string().contains("alicia"), "{comparison}");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct TraceFile {
    /// The seed of the run.
    pub seed: u64,
    /// The hosts' names, by number.
    pub hosts: Vec<String>,
    /// How many things happened, recorded or not.
    pub count: u64,
    /// The hash over all of them, in hexadecimal digits.
    pub hash: String,
    /// The first of them, as many as were recorded.
    pub events: Vec<TraceEvent>,
}

/// Why a trace cannot be read.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum TraceFileError {
    /// It is empty.
    #[error("there is no trace in it: its first line says seed, hosts and hash")]
    Empty,
    /// It cannot be read at all.
    #[error("line {line} cannot be read")]
    Io {
        /// The line, counted from 1.
        line: u64,
        /// Why.
        source: io::Error,
    },
    /// A line is not as this version writes it.
    #[error("line {line} is no line of a trace: {why}")]
    Line {
        /// The line, counted from 1.
        line: u64,
        /// What is wrong with it.
        why: String,
    },
}

#[derive(Deserialize)]
struct Header {
    seed: u64,
    hosts: Vec<String>,
    events: u64,
    hash: String,
}

/// Fields that are not here say again, for readers, what others say.
#[derive(Deserialize)]
struct Line {
    n: u64,
    at_ns: u64,
    kind: String,
    from: u32,
    to: u32,
    packet: Option<String>,
    connection: Option<u32>,
    stream: Option<u64>,
    value: u64,
    bytes: u32,
    payload_hash: String,
    payload_start: String,
}

impl TraceFile {
    /// Reads a trace, line by line.
    ///
    /// # Errors
    ///
    /// [`TraceFileError`], which names the line.
    pub fn read(input: impl BufRead) -> Result<Self, TraceFileError> {
        let mut lines = (1..).zip(input.lines()).map(|(line, text)| match text {
            Ok(text) => Ok((line, text)),
            Err(source) => Err(TraceFileError::Io { line, source }),
        });
        let (line, text) = lines.next().ok_or(TraceFileError::Empty)??;
        let header = serde_json::from_str::<Header>(&text);
        let Header { seed, hosts, events: count, hash } =
            header.map_err(|why| TraceFileError::Line { line, why: why.to_string() })?;
        let mut events = Vec::new();
        for next in lines {
            let (line, text) = next?;
            let event = read_event(&text, events.len() as u64);
            events.push(event.map_err(|why| TraceFileError::Line { line, why })?);
        }
        Ok(Self { seed, hosts, count, hash, events })
    }

    /// Looks for the first difference from `other`, with up to `context` events before it.
    pub fn compare(&self, other: &Self, context: usize) -> TraceComparison {
        // The longer list knows the names of both, up to the difference.
        let longer = if self.hosts.len() < other.hosts.len() { other } else { self };
        let both =
            (self.count.min(other.count)).min(self.events.len().min(other.events.len()) as u64);
        let recorded = |file: &Self| file.count == file.events.len() as u64;
        let found = trace_difference(&self.events, &other.events, &longer.hosts, context);
        // Where one was recorded further than the other, only that is different.
        let found = found.filter(|found| {
            let ended = |event: Option<TraceEvent>, file: &Self| event.is_some() || recorded(file);
            ended(found.first, self) && ended(found.second, other)
        });
        match found {
            Some(difference) => TraceComparison::Differ(Box::new(difference)),
            None if self.hash == other.hash => TraceComparison::Same { events: self.count },
            None => TraceComparison::DifferLater { recorded: both },
        }
    }
}

fn read_event(text: &str, number: u64) -> Result<TraceEvent, String> {
    let line: Line = serde_json::from_str(text).map_err(|why| why.to_string())?;
    if line.n != number {
        return Err(format!("it has number {} where {number} comes next", line.n));
    }
    let kind = TraceKind::ALL.into_iter().find(|kind| format!("{kind:?}") == line.kind);
    let kind = kind.ok_or_else(|| format!("the kind '{}' is not known", line.kind))?;
    let packet = match line.packet {
        None => 0,
        Some(name) => (1..=u8::MAX)
            .find(|&packet| packet_name(packet) == Some(&name))
            .ok_or_else(|| format!("the packet '{name}' is not known"))?,
    };
    let hash = u64::from_str_radix(&line.payload_hash, 16)
        .map_err(|_| format!("the payload's hash '{}' is no number", line.payload_hash))?;
    let payload = PayloadDigest::read(hash, &line.payload_start)
        .ok_or_else(|| format!("the payload's start '{}' is no bytes", line.payload_start))?;
    Ok(TraceEvent {
        at_ns: line.at_ns,
        kind,
        from: line.from,
        to: line.to,
        packet,
        bytes: line.bytes,
        connection: line.connection,
        stream: line.stream,
        value: line.value,
        payload,
    })
}

/// What comes of comparing two traces.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum TraceComparison {
    /// They differ, first here.
    Differ(Box<TraceDifference>),
    /// They differ, by their hashes, but not in what both have recorded.
    DifferLater {
        /// How many events both have.
        recorded: u64,
    },
    /// They are the same, to the last event.
    Same {
        /// How many.
        events: u64,
    },
}

impl TraceComparison {
    /// Whether the traces are the same.
    pub const fn is_same(&self) -> bool {
        matches!(self, Self::Same { .. })
    }
}

impl fmt::Display for TraceComparison {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Differ(difference) => {
                writeln!(f, "the traces differ, first in event {}:", difference.number)?;
                write!(f, "{difference}")
            }
            Self::DifferLater { recorded } => write!(
                f,
                "the traces differ by their hashes, after the {recorded} events that both have: \
                 record more of them (with_recording)"
            ),
            Self::Same { events } => write!(f, "the traces are the same: {events} events"),
        }
    }
}
