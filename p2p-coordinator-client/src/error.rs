//! Why a request to the coordinator failed.

use std::time::Duration;

use p2p_coordinator_api::RefusalReason;
use p2p_coordinator_api::service::Problem;
use p2p_core::BoxError;
use thiserror::Error;

/// Why a request to the coordinator failed.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum RequestError {
    /// The login has ended, and there is nothing to log in anew with.
    #[error("the login has ended: {}", problem.detail)]
    LoggedOut {
        /// The coordinator's words.
        problem: Problem,
    },
    /// It answered, and said no.
    #[error("the coordinator refused ({status}): {}", problem.detail)]
    Refused {
        /// The status of its reply.
        status: u16,
        /// Its words, and its word for programs if it gave one.
        problem: Problem,
    },
    /// It did not answer in time.
    #[error("coordinator {coordinator} did not answer within {after:?}")]
    TimedOut {
        /// The coordinator.
        coordinator: String,
        /// How long it was given.
        after: Duration,
    },
    /// What it answered is not what it should be.
    #[error("unexpected reply from the coordinator: {what}")]
    Unexpected {
        /// What is wrong with it.
        what: String,
    },
    /// No connection to it came about, or it broke before the reply was whole.
    #[error("coordinator {coordinator} cannot be reached")]
    Unreachable {
        /// The coordinator.
        coordinator: String,
        /// What happened.
        source: BoxError,
    },
    /// This client cannot ask that.
    #[error("cannot ask the coordinator: {what}")]
    Unsupported {
        /// What is in the way.
        what: String,
    },
}

impl RequestError {
    /// Whether the same request may succeed a little later.
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::TimedOut { .. } | Self::Unreachable { .. } => true,
            Self::Refused { status, problem } => {
                *status >= 500
                    || *status == TOO_MANY_REQUESTS
                    || problem.reason.is_some_and(RefusalReason::is_retryable)
            }
            Self::LoggedOut { .. } | Self::Unexpected { .. } | Self::Unsupported { .. } => false,
        }
    }

    /// The coordinator's word for its refusal, if it refused and gave one.
    pub const fn reason(&self) -> Option<RefusalReason> {
        match self {
            Self::Refused { problem, .. } => problem.reason,
            _ => None,
        }
    }

    /// Whether the coordinator refused with this status.
    pub(crate) const fn is_status(&self, wanted: u16) -> bool {
        matches!(self, Self::Refused { status, .. } if *status == wanted)
    }
}

const TOO_MANY_REQUESTS: u16 = 429;

/// An error and its causes as one sentence, for those who see no chain.
pub(crate) fn sentence(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}
