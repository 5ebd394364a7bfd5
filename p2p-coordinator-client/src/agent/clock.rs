//! The coordinator's clock, as a host can know it.

use std::time::Duration;

use p2p_coordinator_api::Timestamp;
use tokio::time::Instant;

/// What the coordinator said the time was, plus what has passed since. It is behind by the way of the
/// reply. It never goes back for a little; when the coordinator's was put back, it follows.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    said: Timestamp,
    at: Instant,
    floor: Timestamp,
}

impl Clock {
    /// The coordinator said at `at` that it was `said`.
    pub(crate) const fn new(said: Timestamp, at: Instant) -> Self {
        Self { said, at, floor: said }
    }

    /// It said so again.
    pub(crate) fn synchronise(&mut self, said: Timestamp, at: Instant) {
        let floor = self.now(at);
        *self = Self { said, at, floor };
    }

    /// It said so again, and is followed also when its clock was put back by more than a way can
    /// take. Says whether it was.
    pub(crate) fn follow(&mut self, said: Timestamp, at: Instant) -> bool {
        let put_back = said.after(STEP) < self.now(at);
        if put_back {
            *self = Self::new(said, at);
        } else {
            self.synchronise(said, at);
        }
        put_back
    }

    pub(crate) fn now(&self, now: Instant) -> Timestamp {
        self.said.after(now.saturating_duration_since(self.at)).max(self.floor)
    }
}

/// Slower than this no answer is: requests have a shorter time.
const STEP: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_runs_and_jumps_forward_and_never_back() {
        let start = Instant::now();
        let later = |millis| start + Duration::from_millis(millis);
        let millis = |clock: &Clock, at| clock.now(later(at)).as_millis();
        let mut clock = Clock::new(Timestamp::from_millis(5000), start);
        assert_eq!(millis(&clock, 100), 5100);
        clock.synchronise(Timestamp::from_millis(9000), later(200));
        assert_eq!(millis(&clock, 300), 9100);
        clock.synchronise(Timestamp::from_millis(9050), later(400));
        assert_eq!((millis(&clock, 400), millis(&clock, 500)), (9200, 9200));
        assert_eq!(millis(&clock, 600), 9250);
    }

    #[test]
    fn it_follows_a_clock_that_was_put_back() {
        let start = Instant::now();
        let mut clock = Clock::new(Timestamp::from_millis(60_000), start);
        assert!(
            !clock.follow(Timestamp::from_millis(50_000), start),
            "no more than a way can take"
        );
        assert_eq!(clock.now(start), Timestamp::from_millis(60_000));
        assert!(clock.follow(Timestamp::from_millis(49_999), start));
        assert_eq!(clock.now(start), Timestamp::from_millis(49_999));
    }
}
