//! The coordinator's clock, as a host can know it.

use p2p_coordinator_api::Timestamp;
use tokio::time::Instant;

/// What the coordinator said the time was, plus what has passed since. It is behind by the way of the
/// reply. It never goes back, also when the coordinator's does: then it stands until that is past.
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

    pub(crate) fn now(&self, now: Instant) -> Timestamp {
        self.said.after(now.saturating_duration_since(self.at)).max(self.floor)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

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
}
