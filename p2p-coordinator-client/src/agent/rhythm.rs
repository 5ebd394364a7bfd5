//! When to tell the coordinator that the host lives, and what.

use std::time::Duration;

use tokio::time::Instant;

use crate::backoff::Backoff;

/// What is to be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Duty {
    /// That the host lives.
    Beat,
    /// Who it is and where, again.
    Register,
}

/// How telling it went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    Done,
    /// Something may be different a little later.
    Failed,
    /// The coordinator does not know the host.
    Unknown,
}

/// A fourth of the lease between beats, so that two may be lost; after a failure the growing wait of
/// a [`Backoff`], which begins shorter.
#[derive(Debug)]
pub(crate) struct Rhythm {
    interval: Duration,
    next: Duty,
    due: Instant,
    backoff: Backoff,
    /// What was told last.
    last: Duty,
}

/// A lease that is too short for a network's round trips is not worth filling it with requests.
const SHORTEST: Duration = Duration::from_millis(50);
/// Whatever a coordinator says about its lease, a host that never tells of itself is a mistake.
const LONGEST: Duration = Duration::from_secs(3600);

impl Rhythm {
    /// For a host that was registered at `now`. `seed` keeps hosts apart that lost the coordinator
    /// together.
    pub(crate) fn new(now: Instant, lease: Duration, seed: u64) -> Self {
        let backoff = Backoff::new().with_jitter_seed(Some(seed));
        let mut rhythm =
            Self { interval: SHORTEST, next: Duty::Beat, due: now, backoff, last: Duty::Register };
        rhythm.set_lease(lease);
        rhythm.due = now + rhythm.interval;
        rhythm
    }

    pub(crate) fn set_lease(&mut self, lease: Duration) {
        self.interval = (lease / 4).clamp(SHORTEST, LONGEST);
    }

    /// When something is to be told.
    pub(crate) const fn due(&self) -> Instant {
        self.due
    }

    /// What is to be told now; `outdated` says that the last registration is no longer true, on this
    /// side or the other. Every other time it is a beat all the same: neither an address that keeps
    /// changing nor a forger of tokens is to hide who is there.
    pub(crate) const fn duty(&self, outdated: bool) -> Duty {
        match self.last {
            Duty::Beat if outdated => Duty::Register,
            _ => self.next,
        }
    }

    /// Takes note of how `duty`, begun at `begun`, went.
    pub(crate) fn done(&mut self, begun: Instant, now: Instant, duty: Duty, outcome: Outcome) {
        self.last = duty;
        match (duty, outcome) {
            (_, Outcome::Done) => {
                self.backoff.reset();
                self.next = Duty::Beat;
                self.due = (begun + self.interval).max(now);
            }
            (Duty::Beat, Outcome::Unknown) => {
                self.next = Duty::Register;
                self.due = now;
            }
            (_, Outcome::Failed | Outcome::Unknown) => {
                self.next = duty;
                self.due = now + self.backoff.next_delay();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LEASE: Duration = Duration::from_secs(8);

    fn millis(rhythm: &Rhythm, start: Instant) -> u128 {
        rhythm.due().duration_since(start).as_millis()
    }

    #[test]
    fn it_beats_four_times_in_a_lease() {
        let start = Instant::now();
        let mut rhythm = Rhythm::new(start, LEASE, 1);
        assert_eq!((millis(&rhythm, start), rhythm.duty(false)), (2000, Duty::Beat));
        let begun = rhythm.due();
        rhythm.done(begun, begun + Duration::from_millis(300), Duty::Beat, Outcome::Done);
        // The request's own time does not count.
        assert_eq!(millis(&rhythm, start), 4000);
        assert_eq!(rhythm.duty(true), Duty::Register);
        rhythm.done(begun, begun, Duty::Register, Outcome::Done);
        assert_eq!(rhythm.duty(true), Duty::Beat);
    }

    #[test]
    fn who_is_unknown_registers_at_once_and_then_beats() {
        let start = Instant::now();
        let mut rhythm = Rhythm::new(start, LEASE, 1);
        rhythm.done(start, start, Duty::Beat, Outcome::Unknown);
        assert_eq!((rhythm.due(), rhythm.duty(false)), (start, Duty::Register));
        rhythm.done(start, start, Duty::Register, Outcome::Failed);
        assert!(rhythm.due() > start && rhythm.duty(false) == Duty::Register);
        rhythm.done(start, start, Duty::Register, Outcome::Done);
        assert_eq!((millis(&rhythm, start), rhythm.duty(false)), (2000, Duty::Beat));
    }

    #[test]
    fn failures_wait_longer_each_time_and_never_stop() {
        let start = Instant::now();
        let mut rhythm = Rhythm::new(start, LEASE, 1);
        for _ in 0..100 {
            rhythm.done(start, start, Duty::Beat, Outcome::Failed);
            assert!((50..=2000).contains(&millis(&rhythm, start)));
        }
        assert!(millis(&rhythm, start) >= 1000);
    }

    #[test]
    fn no_lease_makes_it_rush_or_stop() {
        let start = Instant::now();
        assert_eq!(millis(&Rhythm::new(start, Duration::ZERO, 1), start), 50);
        assert_eq!(millis(&Rhythm::new(start, Duration::MAX, 1), start), 3_600_000);
    }
}
