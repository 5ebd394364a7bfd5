//! Traces in words, and the first difference of two.

use std::fmt;

use super::{TraceEvent, TraceKind};

/// The first difference of two traces, with what came before it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct TraceDifference {
    /// The number of the first event that differs, counted from 0.
    pub number: u64,
    /// The events before it, which are the same in both.
    pub before: Vec<TraceEvent>,
    /// What the first trace has there; `None` if it ends.
    pub first: Option<TraceEvent>,
    /// What the second trace has there.
    pub second: Option<TraceEvent>,
    /// The hosts' names, by number.
    pub hosts: Vec<String>,
}

/// Looks for the first difference of two traces, and keeps up to `context` events before it.
///
/// Host names in the result's words come from `hosts`, by number; it may be empty.
pub fn trace_difference(
    first: &[TraceEvent],
    second: &[TraceEvent],
    hosts: &[String],
    context: usize,
) -> Option<TraceDifference> {
    let longest = first.len().max(second.len());
    let number = (0..longest).find(|&i| first.get(i) != second.get(i))?;
    Some(TraceDifference {
        number: number as u64,
        before: first[number.saturating_sub(context)..number].to_vec(),
        first: first.get(number).copied(),
        second: second.get(number).copied(),
        hosts: hosts.to_vec(),
    })
}

impl fmt::Display for TraceDifference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let begin = self.number - self.before.len() as u64;
        for (number, event) in (begin..).zip(&self.before) {
            write!(f, "  {number:>8}  ")?;
            write_event(f, event, &self.hosts)?;
            writeln!(f)?;
        }
        for (name, event) in [("first", &self.first), ("second", &self.second)] {
            write!(f, "> {:>8}  {name:<6} run: ", self.number)?;
            match event {
                Some(event) => write_event(f, event, &self.hosts)?,
                None => write!(f, "nothing: it had ended")?,
            }
            if name == "first" {
                writeln!(f)?;
            }
        }
        Ok(())
    }
}

/// An event in words, with host names where they are known.
pub(crate) fn write_event(
    f: &mut impl fmt::Write,
    event: &TraceEvent,
    hosts: &[String],
) -> fmt::Result {
    let (ms, ns) = (event.at_ns / 1_000_000, event.at_ns % 1_000_000);
    write!(f, "{ms}.{ns:06} ms  {}", event.kind.words())?;
    if matches!(event.kind, TraceKind::Rested | TraceKind::Ended) {
        return Ok(());
    }
    let host = |f: &mut dyn fmt::Write, number: u32| match hosts.get(number as usize) {
        Some(name) => write!(f, " {name}"),
        None => write!(f, " host {number}"),
    };
    if event.kind != TraceKind::Noted {
        host(f, event.from)?;
        if event.from != event.to {
            write!(f, " ->")?;
            host(f, event.to)?;
        }
    }
    if let Some(packet) = event.packet_name() {
        write!(f, "  {packet}")?;
    }
    if let Some(connection) = event.connection {
        write!(f, " on connection {connection}")?;
    }
    if let Some(stream) = event.stream {
        write!(f, " stream {stream}")?;
    }
    match (event.packet, event.value) {
        (_, 0) => {}
        (4, _) => write!(f, " end")?,
        (_, value) => write!(f, " value {value}")?,
    }
    if event.bytes > 0 {
        write!(f, "  {} B", event.bytes)?;
        let start = event.payload.start();
        if !start.is_empty() {
            let more = if (event.bytes as usize) > start.len() { ".." } else { "" };
            write!(f, " \"{}\"{more}", start.escape_ascii())?;
        }
        if event.payload.hash != 0 {
            write!(f, " #{:08x}", event.payload.hash as u32)?;
        }
    }
    Ok(())
}

impl TraceKind {
    /// Its name in words.
    fn words(self) -> String {
        match self {
            Self::Held => "held by a cut".to_owned(),
            Self::HostAdded => "host added".to_owned(),
            Self::Bound => "endpoint started".to_owned(),
            Self::Unbound => "endpoint ended".to_owned(),
            Self::Rested => "all tasks wait".to_owned(),
            Self::Ended => "the program ended".to_owned(),
            other => in_words(&format!("{other:?}")),
        }
    }
}

/// `ConnectFailed` as "connect failed".
fn in_words(name: &str) -> String {
    let mut words = String::new();
    for c in name.chars() {
        if c.is_uppercase() && !words.is_empty() {
            words.push(' ');
        }
        words.extend(c.to_lowercase());
    }
    words
}
