//! Counts of what happens seldom: connections, links, errors.

use std::collections::BTreeMap;
use std::time::Duration;

use super::monitor::Direction;
use crate::provider::ConnectionStats;

/// What one node has counted since it was made. The kinds are words of this library, so that their
/// number is bounded.
#[derive(Debug, Default)]
pub(super) struct Tally {
    pub(super) connects: BTreeMap<Direction, Times>,
    /// By kind.
    pub(super) failures: BTreeMap<(Direction, &'static str), u64>,
    /// By who ended them, and why.
    pub(super) ends: BTreeMap<(&'static str, &'static str), u64>,
    pub(super) links_lost: u64,
    pub(super) reconnect_attempts: u64,
    pub(super) resumes: u64,
    pub(super) failovers: u64,
    pub(super) hedges: u64,
    pub(super) switches: u64,
    pub(super) heals: u64,
    pub(super) violations: u64,
    /// Of connections that have ended.
    pub(super) ended_traffic: ConnectionStats,
}

/// Upper ends of a histogram's classes, in seconds, from a round trip on loopback to the patience of
/// a user.
const BOUNDS: [f64; 14] =
    [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, f64::INFINITY];

/// A histogram of times. (That of `prometheus-client` reads the wall clock when it is made.)
#[derive(Clone, Debug, Default)]
pub(super) struct Times {
    counts: [u64; BOUNDS.len()],
    sum: f64,
}

impl Times {
    pub(super) fn observe(&mut self, time: Duration) {
        let seconds = time.as_secs_f64();
        self.sum += seconds;
        if let Some(class) = BOUNDS.iter().position(|bound| seconds <= *bound) {
            self.counts[class] += 1;
        }
    }

    pub(super) fn count(&self) -> u64 {
        self.counts.iter().sum()
    }

    pub(super) const fn sum(&self) -> f64 {
        self.sum
    }

    /// Each class by its upper end, with what fell into it.
    pub(super) fn classes(&self) -> [(f64, u64); BOUNDS.len()] {
        std::array::from_fn(|class| (BOUNDS[class], self.counts[class]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_falls_into_the_least_class_that_holds_it() {
        let mut times = Times::default();
        for millis in [0, 1, 2, 10_000, 10_001, 1_000_000] {
            times.observe(Duration::from_millis(millis));
        }
        let filled: Vec<_> = times.classes().into_iter().filter(|(_, count)| *count > 0).collect();
        assert_eq!(filled, [(0.001, 2), (0.0025, 1), (10.0, 1), (f64::INFINITY, 2)]);
        assert_eq!(times.count(), 6);
    }
}
