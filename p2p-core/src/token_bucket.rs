//! [`TokenBucket`]: how often something may happen.

use std::fmt;
use std::time::Duration;

use crate::error::ConfigError;

/// So many in each period, and so many at once.
///
/// ```
/// use std::time::Duration;
/// use p2p_core::RateLimit;
///
/// let limit = RateLimit::new(100, Duration::from_secs(60))?.with_burst(10)?;
/// assert_eq!(limit.to_string(), "100 per 60s, 10 at once");
/// let error = RateLimit::per_second(0).unwrap_err();
/// assert_eq!(error.to_string(), "a rate limit's amount is 0: it must be at least 1");
/// # Ok::<(), p2p_core::ConfigError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct RateLimit {
    amount: u64,
    /// In nanoseconds.
    period: u64,
    burst: u64,
}

impl RateLimit {
    /// `amount` in each `period`, all of which may come at once.
    ///
    /// # Errors
    ///
    /// [`ConfigError`] if one of them is zero, or the period over 584 years (`u64::MAX` nanoseconds).
    pub fn new(amount: u64, period: Duration) -> Result<Self, ConfigError> {
        if amount == 0 {
            return Err(ConfigError::zero("a rate limit's amount"));
        }
        match u64::try_from(period.as_nanos()) {
            Ok(0) | Err(_) => Err(ConfigError::new(
                "a rate limit's period",
                format!("{period:?}"),
                "it must be at least 1 ns and at most 584 years",
            )),
            Ok(period) => Ok(Self { amount, period, burst: amount }),
        }
    }

    /// `amount` in each second, all of which may come at once.
    ///
    /// # Errors
    ///
    /// [`ConfigError`] if it is zero.
    pub fn per_second(amount: u64) -> Result<Self, ConfigError> {
        Self::new(amount, Duration::from_secs(1))
    }

    /// Sets how many may come at once.
    ///
    /// # Errors
    ///
    /// [`ConfigError`] if it is zero.
    pub fn with_burst(mut self, burst: u64) -> Result<Self, ConfigError> {
        if burst == 0 {
            return Err(ConfigError::zero("a rate limit's burst"));
        }
        self.burst = burst;
        Ok(self)
    }

    /// How many in each period.
    pub const fn amount(&self) -> u64 {
        self.amount
    }

    /// The period.
    pub const fn period(&self) -> Duration {
        Duration::from_nanos(self.period)
    }

    /// How many at once.
    pub const fn burst(&self) -> u64 {
        self.burst
    }

    /// What `tokens` are in the bucket's unit. It cannot overflow: both factors have 64 bits.
    const fn units(&self, tokens: u64) -> u128 {
        tokens as u128 * self.period as u128
    }
}

impl fmt::Display for RateLimit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} per {:?}, {} at once", self.amount, self.period(), self.burst)
    }
}

/// A bucket that fills at a steady rate up to its burst, and from which whoever does something takes.
///
/// A pure core: `now` is an argument, as the time since any moment that stays the same; a `now` before
/// an earlier one counts as that one. The arithmetic is in integers and exact: a token comes every
/// `period / amount`, whatever the calls in between, and nothing drifts. Nothing here panics.
///
/// More than the burst at once is possible when the bucket is full. It is paid for afterwards: the
/// bucket is in debt, and nobody gets anything until it is out of it. So the rate holds over time for
/// any amount, and a single message may be larger than the burst.
///
/// ```
/// use std::time::Duration;
/// use p2p_core::{RateLimit, TokenBucket};
///
/// let ms = Duration::from_millis;
/// let mut bucket = TokenBucket::new(RateLimit::per_second(10)?.with_burst(2)?, ms(0));
/// assert_eq!(bucket.try_take(2, ms(0)), Ok(()));
/// assert_eq!(bucket.try_take(1, ms(30)), Err(ms(70)));
/// assert_eq!(bucket.try_take(1, ms(100)), Ok(()));
/// # Ok::<(), p2p_core::ConfigError>(())
/// ```
#[derive(Clone, Debug)]
pub struct TokenBucket {
    limit: RateLimit,
    /// What is missing from a full bucket. The unit is a token divided by the period in nanoseconds,
    /// so that each nanosecond brings `amount` of them: no remainder is ever lost.
    missing: u128,
    as_of: Duration,
}

impl TokenBucket {
    /// A full bucket.
    pub const fn new(limit: RateLimit, now: Duration) -> Self {
        Self { limit, missing: 0, as_of: now }
    }

    /// Takes `tokens`, or says how long to wait until they can be taken, if nobody else takes any.
    /// That time is exact to the nanosecond; longer than [`Duration::MAX`] counts as that.
    ///
    /// # Errors
    ///
    /// That time, never zero. Nothing was taken then.
    pub fn try_take(&mut self, tokens: u64, now: Duration) -> Result<(), Duration> {
        let wait = self.wait(tokens, now);
        if wait > Duration::ZERO {
            return Err(wait);
        }
        self.charge(tokens, now);
        Ok(())
    }

    /// How long to wait until [`try_take`](TokenBucket::try_take) would get `tokens`, if nobody else
    /// takes any; zero if it would now.
    pub fn wait(&mut self, tokens: u64, now: Duration) -> Duration {
        self.refill(now);
        let room = self.limit.units(self.limit.burst.saturating_sub(tokens));
        let over = self.missing.saturating_sub(room);
        if over == 0 {
            return Duration::ZERO;
        }
        let wait = from_nanos(over.div_ceil(self.limit.amount.into()));
        // Nothing comes in before the time that was known before.
        wait.saturating_add(self.as_of.saturating_sub(now))
    }

    /// Takes `tokens` even if they are not there: for what has happened already. The bucket may then
    /// be in debt.
    pub fn charge(&mut self, tokens: u64, now: Duration) {
        self.refill(now);
        self.missing = self.missing.saturating_add(self.limit.units(tokens));
    }

    /// Gives `tokens` back that were taken for what then did not happen; never more than the bucket
    /// holds.
    pub fn put_back(&mut self, tokens: u64, now: Duration) {
        self.refill(now);
        self.missing = self.missing.saturating_sub(self.limit.units(tokens));
    }

    /// Whole tokens that are there: none while in debt.
    pub fn available(&mut self, now: Duration) -> u64 {
        self.refill(now);
        let units = self.limit.units(self.limit.burst).saturating_sub(self.missing);
        u64::try_from(units / u128::from(self.limit.period)).unwrap_or(u64::MAX)
    }

    /// What limits it.
    pub const fn limit(&self) -> RateLimit {
        self.limit
    }

    /// Changes what limits it. What is there stays there, as far as the new burst holds it, and so does
    /// a debt; a fraction of a token is rounded down if the period changes.
    pub fn set_limit(&mut self, limit: RateLimit, now: Duration) {
        self.refill(now);
        let (old, full) = (self.limit, limit.units(limit.burst));
        let old_full = old.units(old.burst);
        self.missing = if self.missing <= old_full {
            full.saturating_sub(convert(old_full - self.missing, old.period, limit.period))
        } else {
            full.saturating_add(convert(self.missing - old_full, old.period, limit.period))
        };
        self.limit = limit;
    }

    fn refill(&mut self, now: Duration) {
        let passed = now.saturating_sub(self.as_of).as_nanos();
        let filled = passed.saturating_mul(self.limit.amount.into());
        self.missing = self.missing.saturating_sub(filled);
        self.as_of = self.as_of.max(now);
    }
}

/// The same tokens in the unit of another period.
fn convert(units: u128, from: u64, to: u64) -> u128 {
    let (from, to) = (u128::from(from), u128::from(to));
    (units / from).saturating_mul(to).saturating_add(units % from * to / from)
}

fn from_nanos(nanos: u128) -> Duration {
    const SECOND: u128 = 1_000_000_000;
    match u64::try_from(nanos / SECOND) {
        // A remainder below 10^9 fits.
        Ok(seconds) => Duration::new(seconds, (nanos % SECOND) as u32),
        Err(_) => Duration::MAX,
    }
}

#[cfg(test)]
mod tests;
