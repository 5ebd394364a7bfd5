//! When to try for a next link.

use std::time::Duration;

use crate::reconnect::Backoff;

/// How long to wait before an attempt, the first being number 1: nothing at first, then twice as long
/// each time up to the bound, less up to a half by chance, so that many peers of one that was away do
/// not come back at once. `random` is uniform over all numbers.
pub(crate) fn delay(backoff: &Backoff, attempt: u32, random: u64) -> Duration {
    let Some(doublings) = attempt.checked_sub(2) else { return Duration::ZERO };
    let factor = 1_u32.checked_shl(doublings).unwrap_or(u32::MAX);
    let full = backoff.first.saturating_mul(factor).min(backoff.max);
    let nanos = u64::try_from(full.as_nanos()).unwrap_or(u64::MAX);
    let off = (u128::from(random) * u128::from(nanos / 2)) >> 64;
    Duration::from_nanos(nanos - off as u64)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_delay_lies_between_half_and_all_of_what_doubling_says(
            first in 1u64..5000, max in 1u64..100_000, attempt in 0u32..200, random: u64,
        ) {
            let (first, max) = (Duration::from_millis(first), Duration::from_millis(max));
            let backoff = Backoff { first, max, ..Backoff::default() };
            let delay = delay(&backoff, attempt, random);
            if attempt <= 1 {
                prop_assert_eq!(delay, Duration::ZERO);
            } else {
                let full = (first * (1 << (attempt - 2).min(20))).min(max);
                prop_assert!(delay <= full && delay >= full / 2, "{delay:?} of {full:?}");
            }
        }
    }
}
