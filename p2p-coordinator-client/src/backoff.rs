//! How long to wait between attempts.

use std::time::Duration;

/// A growing wait: each twice the last, up to a cap. Without a seed the same each time; with one,
/// each is between half of that and all of it, so that many who failed together come back apart.
#[derive(Clone, Debug)]
pub(crate) struct Backoff {
    first: Duration,
    next: Duration,
    cap: Duration,
    jitter: Option<u64>,
}

impl Backoff {
    /// From 100 ms, a few round trips, to 2 s, which a person waiting still bears.
    pub(crate) const fn new() -> Self {
        let (first, cap) = (Duration::from_millis(100), Duration::from_secs(2));
        Self { first, next: first, cap, jitter: None }
    }

    pub(crate) const fn with_jitter_seed(mut self, seed: Option<u64>) -> Self {
        self.jitter = seed;
        self
    }

    /// How long to wait before the next attempt.
    pub(crate) fn next_delay(&mut self) -> Duration {
        let delay = self.next;
        self.next = (delay * 2).min(self.cap);
        match &mut self.jitter {
            None => delay,
            Some(state) => {
                let nanos = u64::try_from(delay.as_nanos()).unwrap_or(u64::MAX);
                Duration::from_nanos(nanos - split_mix(state) % (nanos / 2 + 1))
            }
        }
    }

    /// Something succeeded: the next failure is a first one.
    pub(crate) const fn reset(&mut self) {
        self.next = self.first;
    }
}

/// SplitMix64 (Steele, Lea, Flood 2014): enough to spread, and the same everywhere.
pub(crate) const fn split_mix(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut z = *state;
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn millis(backoff: &mut Backoff, count: usize) -> Vec<u128> {
        (0..count).map(|_| backoff.next_delay().as_millis()).collect()
    }

    #[test]
    fn the_wait_doubles_up_to_the_cap_and_starts_over() {
        let mut backoff = Backoff::new();
        assert_eq!(millis(&mut backoff, 7), [100, 200, 400, 800, 1600, 2000, 2000]);
        backoff.reset();
        assert_eq!(millis(&mut backoff, 1), [100]);
    }

    proptest! {
        #[test]
        fn jitter_takes_at_most_half_and_follows_from_its_seed(seed: u64) {
            let mut plain = Backoff::new();
            let mut one = Backoff::new().with_jitter_seed(Some(seed));
            let mut same = one.clone();
            for _ in 0..20 {
                let (whole, delay) = (plain.next_delay(), one.next_delay());
                prop_assert!(whole / 2 <= delay && delay <= whole);
                prop_assert_eq!(delay, same.next_delay());
            }
        }
    }
}
