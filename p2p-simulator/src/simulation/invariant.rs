//! What must hold all along.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use super::panics::message_of;
use crate::engine::{Nanos, nanos};
use crate::network::Network;

/// When an invariant is checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Every {
    /// Whenever something has happened and all tasks wait again.
    Event,
    /// At multiples of this much virtual time, when all tasks wait; rounded up to milliseconds.
    /// Once nothing else has happened for 100 000 intervals, not before the next event.
    Interval(Duration),
}

type Check = dyn Fn(&Network) -> Result<(), String> + Send + Sync;

/// A named check.
#[derive(Clone)]
pub(crate) struct Invariant {
    name: String,
    interval: Nanos,
    /// When it is due; 0 for at every event.
    due: Nanos,
    check: Arc<Check>,
}

impl Invariant {
    pub(crate) fn new(
        name: &str,
        every: Every,
        check: impl Fn(&Network) -> Result<(), String> + Send + Sync + 'static,
    ) -> Self {
        let interval = match every {
            Every::Event => 0,
            Every::Interval(interval) => nanos(interval),
        };
        Self { name: name.to_owned(), interval, due: interval, check: Arc::new(check) }
    }

    /// When it has to be checked even if nothing happens.
    pub(crate) fn due(&self) -> Option<Nanos> {
        (self.interval > 0).then_some(self.due)
    }

    /// Checks it if it is time. A panic is a "no" too.
    pub(crate) fn check(&mut self, now: Nanos, network: &Network) -> Result<(), (String, String)> {
        if now < self.due {
            return Ok(());
        }
        if let Some(intervals) = now.checked_div(self.interval) {
            self.due = (intervals + 1).saturating_mul(self.interval);
        }
        catch_unwind(AssertUnwindSafe(|| (self.check)(network)))
            .unwrap_or_else(|panic| Err(format!("the check panicked: {}", message_of(&*panic))))
            .map_err(|detail| (self.name.clone(), detail))
    }
}

impl fmt::Debug for Invariant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Invariant").field(&self.name).finish()
    }
}
