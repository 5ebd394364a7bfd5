//! Whether a request is sent again, and when: without clock or network.

use std::time::Duration;

use crate::backoff::Backoff;
use crate::error::RequestError;

/// What it means to send a request twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Repeat {
    /// It asks for nothing twice: it is sent again.
    Freely,
    /// It would, but for a key by which the coordinator knows it again: it is sent again with that.
    Keyed,
    /// Whoever asked has a rhythm of their own.
    Never,
}

/// The longest that a coordinator is waited for because it asked to be; past that its refusal is told.
const MAX_WAIT: Duration = Duration::from_secs(5);

/// The attempts of one request.
#[derive(Debug)]
pub(super) struct Attempts {
    left: u32,
    backoff: Backoff,
}

impl Attempts {
    pub(super) const fn new(repeat: Repeat, max: u32, seed: u64) -> Self {
        let left = match repeat {
            Repeat::Never => 0,
            Repeat::Freely | Repeat::Keyed => max.saturating_sub(1),
        };
        Self { left, backoff: Backoff::new().with_jitter_seed(Some(seed)) }
    }

    /// An attempt has failed: how long to wait before the next, if there is to be one. `asked` is how
    /// long the coordinator asks to be left alone.
    pub(super) fn failed(
        &mut self,
        error: &RequestError,
        asked: Option<Duration>,
    ) -> Option<Duration> {
        // A conflict that passes: the same request is being done, or others change the same.
        let passes = error.is_retryable() || (error.is_status(CONFLICT) && asked.is_some());
        let asked = asked.unwrap_or_default();
        if self.left == 0 || !passes || asked > MAX_WAIT {
            return None;
        }
        self.left -= 1;
        Some(self.backoff.next_delay().max(asked))
    }
}

const CONFLICT: u16 = 409;

#[cfg(test)]
mod tests {
    use p2p_coordinator_api::RefusalReason;
    use p2p_coordinator_api::service::Problem;

    use super::*;

    fn refused(status: u16, reason: Option<RefusalReason>) -> RequestError {
        RequestError::Refused { status, problem: Problem { detail: "no".into(), reason } }
    }

    fn away() -> RequestError {
        RequestError::TimedOut { coordinator: "c".into(), after: Duration::from_secs(5) }
    }

    #[test]
    fn only_what_may_be_sent_twice_is_and_so_often_as_is_configured() {
        for (repeat, most) in [(Repeat::Never, 0), (Repeat::Freely, 2), (Repeat::Keyed, 2)] {
            let mut attempts = Attempts::new(repeat, 3, 1);
            let waits: Vec<_> = (0..5).filter_map(|_| attempts.failed(&away(), None)).collect();
            assert_eq!(waits.len(), most, "{repeat:?}");
            assert!(waits.iter().all(|wait| *wait <= Duration::from_millis(200)), "{waits:?}");
        }
    }

    #[test]
    fn what_waiting_does_not_change_is_not_sent_again() {
        let second = Some(Duration::from_secs(1));
        for (error, asked) in [
            (refused(400, None), None),
            (refused(401, None), None),
            (refused(404, None), None),
            (refused(409, None), None),
            (refused(422, None), second),
            (refused(409, Some(RefusalReason::ZoneClosed)), None),
            (RequestError::Unsupported { what: "x".into() }, None),
        ] {
            let mut attempts = Attempts::new(Repeat::Freely, 3, 1);
            assert_eq!(attempts.failed(&error, asked), None, "{error:?}");
        }
    }

    #[test]
    fn a_coordinator_that_asks_to_wait_is_waited_for_within_bounds() {
        let mut attempts = Attempts::new(Repeat::Keyed, 3, 1);
        let second = Duration::from_secs(1);
        assert_eq!(attempts.failed(&refused(409, None), Some(second)), Some(second));
        assert_eq!(attempts.failed(&refused(429, None), Some(second * 60)), None);
        assert_eq!(attempts.failed(&refused(503, None), Some(second)), Some(second));
    }
}
