//! What to do after each attempt: the decisions of a join, without clock or network.

use std::time::Duration;

use p2p_coordinator_api::join::MAX_AVOID;
use p2p_coordinator_api::{HostId, RefusalReason};
use p2p_core::{ClosedBy, P2PError};

use super::JoinError;
use crate::backoff::Backoff;
use crate::error::RequestError;

/// What comes next.
#[derive(Debug)]
pub(super) enum Next {
    GiveUp(JoinError),
    /// Ask for a place again, after this long.
    Wait(Duration),
}

/// How often a host may say no, to new tokens each time, before another is asked for.
const MAX_REFUSALS: u32 = 3;

/// What is going on.
#[derive(Debug)]
enum Stage {
    Placing,
    Dialling(HostId),
    Waiting,
}

/// What was tried, and how it went.
#[derive(Debug)]
pub(super) struct Attempts {
    avoid: Vec<HostId>,
    backoff: Backoff,
    stage: Stage,
    placed: u32,
    dialled: u32,
    /// Who said no last, and how often in a row.
    refusals: Option<(HostId, u32)>,
    last: Option<JoinError>,
}

impl Attempts {
    pub(super) fn new(jitter_seed: Option<u64>) -> Self {
        Self {
            avoid: Vec::new(),
            backoff: Backoff::new().with_jitter_seed(jitter_seed),
            stage: Stage::Waiting,
            placed: 0,
            dialled: 0,
            refusals: None,
            last: None,
        }
    }

    /// Hosts that are not to be chosen: those that could not be reached.
    pub(super) fn avoid(&self) -> Vec<HostId> {
        self.avoid.clone()
    }

    pub(super) fn placing(&mut self) {
        self.stage = Stage::Placing;
        self.placed = self.placed.saturating_add(1);
    }

    pub(super) fn dialling(&mut self, host: &HostId) {
        self.stage = Stage::Dialling(host.clone());
        self.dialled = self.dialled.saturating_add(1);
    }

    pub(super) fn place_failed(&mut self, error: RequestError) -> Next {
        if error.reason() == Some(RefusalReason::NoHost) && !self.avoid.is_empty() {
            // Better one that could not be reached before than none.
            self.avoid.clear();
            return self.wait();
        }
        if !error.is_retryable() {
            return Next::GiveUp(JoinError::Refused(error));
        }
        self.last = Some(match error {
            RequestError::TimedOut { .. } | RequestError::Unreachable { .. } => {
                JoinError::CoordinatorUnreachable { source: error, attempts: self.placed }
            }
            error => JoinError::Refused(error),
        });
        self.wait()
    }

    pub(super) fn dial_failed(&mut self, host: &HostId, error: P2PError) -> Next {
        match &error {
            P2PError::Closed(reason) if reason.by == ClosedBy::Local => {
                return Next::GiveUp(JoinError::Endpoint { source: error });
            }
            // The host is there and said no: to the token, or because it is busy. A new token helps
            // if this one was used up or older than the host's start.
            P2PError::AuthenticationFailed { .. }
            | P2PError::RefusedForNow { .. }
            | P2PError::Closed(_) => {
                if self.refused_by(host) >= MAX_REFUSALS {
                    self.refusals = None;
                    self.avoid_host(host);
                }
            }
            // It is not there, or not as it was described.
            _ => self.avoid_host(host),
        }
        let (host, attempts) = (host.clone(), self.dialled);
        self.last = Some(JoinError::HostUnreachable { host, source: error, attempts });
        self.wait()
    }

    /// Why there is no connection, when the time is up in the middle of something.
    pub(super) fn at_deadline(self, coordinator: &str, after: Duration) -> JoinError {
        let (placed, dialled) = (self.placed, self.dialled);
        let last = match self.stage {
            Stage::Dialling(host) => {
                let source = P2PError::Timeout { what: "connecting".into(), after };
                Some(JoinError::HostUnreachable { host, source, attempts: dialled })
            }
            // What it said before tells more than that it has not answered yet.
            Stage::Placing => self.last.or_else(|| {
                let coordinator = coordinator.to_owned();
                let source = RequestError::TimedOut { coordinator, after };
                Some(JoinError::CoordinatorUnreachable { source, attempts: placed })
            }),
            Stage::Waiting => self.last,
        };
        JoinError::Deadline { after, last: last.map(Box::new) }
    }

    fn refused_by(&mut self, host: &HostId) -> u32 {
        let times = match &self.refusals {
            Some((last, times)) if last == host => times + 1,
            _ => 1,
        };
        self.refusals = Some((host.clone(), times));
        times
    }

    fn avoid_host(&mut self, host: &HostId) {
        if self.avoid.contains(host) {
            return;
        }
        if self.avoid.len() >= MAX_AVOID {
            // Whoever failed longest ago is the likeliest to be back.
            self.avoid.remove(0);
        }
        self.avoid.push(host.clone());
    }

    fn wait(&mut self) -> Next {
        self.stage = Stage::Waiting;
        Next::Wait(self.backoff.next_delay())
    }
}

#[cfg(test)]
mod tests {
    use p2p_coordinator_api::service::Problem;
    use p2p_core::{CloseCause, CloseReason, SecretKey};

    use super::*;

    fn host(number: usize) -> HostId {
        HostId::new(format!("h{number}")).unwrap()
    }

    fn refusal(status: u16, reason: Option<RefusalReason>) -> RequestError {
        RequestError::Refused { status, problem: Problem { detail: "no".into(), reason } }
    }

    fn absent() -> P2PError {
        P2PError::Timeout { what: "connecting".into(), after: Duration::ZERO }
    }

    fn denied() -> P2PError {
        let peer = SecretKey::from_bytes(&[1; 32]).peer_id();
        P2PError::AuthenticationFailed { peer, reason: "used".into() }
    }

    #[test]
    fn an_absent_host_is_avoided_until_no_other_is_left() {
        let mut attempts = Attempts::new(None);
        for number in 0..MAX_AVOID + 1 {
            attempts.dial_failed(&host(number), absent());
            attempts.dial_failed(&host(number), absent());
        }
        assert_eq!(attempts.avoid(), (1..=MAX_AVOID).map(host).collect::<Vec<_>>());
        let next = attempts.place_failed(refusal(409, Some(RefusalReason::NoHost)));
        assert!(matches!(next, Next::Wait(_)), "{next:?}");
        assert!(attempts.avoid().is_empty());
    }

    #[test]
    fn a_host_that_says_no_is_asked_again_with_new_tokens_and_then_avoided() {
        let mut attempts = Attempts::new(None);
        attempts.dial_failed(&host(1), denied());
        attempts.dial_failed(&host(1), denied());
        assert!(attempts.avoid().is_empty());
        attempts.dial_failed(&host(1), denied());
        assert_eq!(attempts.avoid(), [host(1)]);
    }

    #[test]
    fn what_waiting_does_not_change_ends_it_at_once() {
        for reason in [RefusalReason::UnknownZone, RefusalReason::ZoneClosed] {
            let next = Attempts::new(None).place_failed(refusal(404, Some(reason)));
            assert!(matches!(next, Next::GiveUp(JoinError::Refused(_))), "{next:?}");
        }
        let next = Attempts::new(None).place_failed(refusal(422, None));
        assert!(matches!(next, Next::GiveUp(JoinError::Refused(_))), "{next:?}");
        let shut_down = CloseReason::new(ClosedBy::Local, CloseCause::Shutdown, "");
        let next = Attempts::new(None).dial_failed(&host(1), P2PError::Closed(shut_down));
        assert!(matches!(next, Next::GiveUp(JoinError::Endpoint { .. })), "{next:?}");
    }

    #[test]
    fn the_deadline_names_what_was_in_the_way() {
        let after = Duration::from_secs(15);
        let mut attempts = Attempts::new(None);
        attempts.placing();
        let reason = attempts.at_deadline("c", after).fall_back_reason();
        assert!(reason.contains("coordinator c did not answer"), "{reason}");

        let mut attempts = Attempts::new(None);
        attempts.placing();
        attempts.dialling(&host(1));
        let reason = attempts.at_deadline("c", after).fall_back_reason();
        assert!(reason.contains("'h1'"), "{reason}");

        let mut attempts = Attempts::new(None);
        attempts.placing();
        attempts.place_failed(refusal(503, None));
        attempts.placing();
        let reason = attempts.at_deadline("c", after).fall_back_reason();
        assert!(reason.contains("503"), "{reason}");
    }
}
