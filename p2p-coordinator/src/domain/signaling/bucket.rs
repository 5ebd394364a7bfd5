//! A token bucket: a rate, and how much of it may come at once.

use std::time::Duration;

use p2p_coordinator_api::Timestamp;

use super::Limits;

/// How much a peer may send now, in thousandths of a message.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bucket {
    level: u64,
    at: Timestamp,
    /// How many were too many, one after the other.
    strikes: u32,
}

/// A message is too many.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Excess {
    /// How many messages may come at once.
    pub burst: u32,
    /// How long a whole bucket takes to fill, in seconds.
    pub window: u32,
    /// When the next may come.
    pub retry_after: Duration,
    /// So many were too many that the connection is ended.
    pub is_final: bool,
}

const MESSAGE: u64 = 1000;

impl Bucket {
    pub(super) fn full(limits: &Limits, now: Timestamp) -> Self {
        Self { level: u64::from(limits.burst) * MESSAGE, at: now, strikes: 0 }
    }

    /// Takes what `messages` cost, at most a whole bucket.
    pub(super) fn take(
        &mut self,
        limits: &Limits,
        now: Timestamp,
        messages: usize,
    ) -> Result<(), Excess> {
        let most = u64::from(limits.burst) * MESSAGE;
        let millis = u64::try_from(now.since(self.at).as_millis()).unwrap_or(u64::MAX);
        let gained = millis.saturating_mul(limits.per_second.into());
        self.level = self.level.saturating_add(gained).min(most);
        self.at = now;
        let cost = (messages as u64).saturating_mul(MESSAGE).min(most);
        if let Some(rest) = self.level.checked_sub(cost) {
            self.level = rest;
            self.strikes = 0;
            return Ok(());
        }
        self.strikes = self.strikes.saturating_add(1);
        let millis = (cost - self.level).div_ceil(u64::from(limits.per_second.max(1)));
        Err(Excess {
            burst: limits.burst,
            window: limits.burst.div_ceil(limits.per_second.max(1)),
            retry_after: Duration::from_millis(millis),
            is_final: self.strikes > limits.strikes,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_was_put_back_by_hours_silences_nobody() {
        let limits = Limits::default();
        let start = Timestamp::from_millis(1_769_860_800_000);
        let mut bucket = Bucket::full(&limits, start);
        bucket.take(&limits, start, limits.burst as usize).expect("a whole bucket");
        let back = start.before(Duration::from_secs(5 * 3600));
        assert!(bucket.take(&limits, back, 1).is_err(), "a jump fills nothing");
        let later = back.after(Duration::from_secs(1));
        bucket.take(&limits, later, limits.per_second as usize).expect("it fills from there on");
    }
}
