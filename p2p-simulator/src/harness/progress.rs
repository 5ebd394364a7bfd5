//! How far it is: a bar on a terminal, a line now and then elsewhere, and what came of it.

use std::fmt::Display;
use std::io::{IsTerminal, Write};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::{real_now, real_since};

/// What takes no longer needs no progress.
const QUIET: Duration = Duration::from_secs(1);
/// How often the bar moves.
const BAR_EVERY: Duration = Duration::from_millis(100);
/// How often there is a line where there is no terminal, as in logs of CI.
const LINE_EVERY: Duration = Duration::from_secs(10);
/// Cells of the bar.
const CELLS: u64 = 30;

/// The progress of one plan, on stderr.
#[derive(Debug)]
pub(super) struct Progress {
    name: String,
    count: u64,
    started: Instant,
    terminal: bool,
    /// When it was last shown, after the start.
    shown: Mutex<Option<Duration>>,
}

impl Progress {
    pub(super) fn new(name: &str, count: u64) -> Self {
        Self {
            name: name.to_owned(),
            count,
            started: real_now(),
            terminal: std::io::stderr().is_terminal(),
            shown: Mutex::default(),
        }
    }

    /// So many are done.
    pub(super) fn advance(&self, done: u64) {
        let elapsed = real_since(self.started);
        let (first, every) =
            if self.terminal { (QUIET, BAR_EVERY) } else { (LINE_EVERY, LINE_EVERY) };
        let mut shown = self.shown.lock().unwrap_or_else(PoisonError::into_inner);
        if elapsed < shown.map_or(first, |shown| shown + every) {
            return;
        }
        *shown = Some(elapsed);
        let text = line(&self.name, done, self.count, elapsed, self.terminal);
        // A terminal that is gone needs none.
        let _ = match self.terminal {
            true => write!(std::io::stderr(), "\r\x1b[K{text}"),
            false => writeln!(std::io::stderr(), "{text}"),
        };
    }

    /// All is done. Where progress was seen, what came of it is too.
    pub(super) fn end(&self, summary: &dyn Display) {
        if self.shown.lock().unwrap_or_else(PoisonError::into_inner).is_some() {
            let wipe = if self.terminal { "\r\x1b[K" } else { "" };
            let _ = writeln!(std::io::stderr(), "{wipe}{}: {summary}", self.name);
        }
    }
}

/// `name [=====>    ] 1200 of 5000 seeds, 300 a second, 13s left`, with a bar or without.
fn line(name: &str, done: u64, count: u64, elapsed: Duration, bar: bool) -> String {
    let rate = done as f64 / elapsed.as_secs_f64().max(1e-9);
    let left = Duration::try_from_secs_f64((count.saturating_sub(done)) as f64 / rate);
    let left = left.map_or("unknown".to_owned(), |left| format!("{}s", left.as_secs()));
    let bar = if bar { format!(" [{}]", cells(done, count)) } else { ":".to_owned() };
    format!("{name}{bar} {done} of {count} seeds, {rate:.0} a second, {left} left")
}

fn cells(done: u64, count: u64) -> String {
    let full = u128::from(done.min(count)) * u128::from(CELLS) / u128::from(count.max(1));
    let full = full as usize;
    let rest = CELLS as usize - full;
    let head = if rest > 0 { ">" } else { "" };
    format!("{}{head}{}", "=".repeat(full), " ".repeat(rest.saturating_sub(1)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_says_how_far_how_fast_and_how_long_yet() {
        let text = line("raft", 1200, 5000, Duration::from_secs(4), true);
        let bar = "[=======>                      ]";
        assert_eq!(text, format!("raft {bar} 1200 of 5000 seeds, 300 a second, 12s left"));
        let text = line("raft", 1200, 5000, Duration::from_secs(4), false);
        assert_eq!(text, "raft: 1200 of 5000 seeds, 300 a second, 12s left");
    }

    #[test]
    fn a_bar_is_as_wide_at_its_start_and_at_its_end() {
        for done in [0, 1, 499, 999, 1000] {
            assert_eq!(cells(done, 1000).len(), CELLS as usize, "{done}");
        }
        assert_eq!(cells(1000, 1000), "=".repeat(30));
        // The largest plan, and one of which nothing is done.
        assert_eq!(cells(u64::MAX, u64::MAX).len(), CELLS as usize);
        assert!(line("x", 0, 10, Duration::ZERO, true).ends_with("unknown left"));
    }
}
