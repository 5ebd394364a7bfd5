//! The words by which kinds of errors and ends are known outside.

use crate::close::{CloseCause, ClosedBy};
use crate::error::P2PError;

pub(super) const fn of_error(error: &P2PError) -> &'static str {
    match error {
        P2PError::AuthenticationFailed { .. } => "authentication_failed",
        P2PError::Closed(reason) => of_cause(reason.cause),
        P2PError::Config(_) => "config",
        P2PError::ConnectionFailed { .. } => "connection_failed",
        P2PError::LimitExceeded { .. } => "limit_exceeded",
        P2PError::Network { .. } => "network",
        P2PError::PeerNotFound { .. } => "peer_not_found",
        P2PError::Protocol(_) => "protocol",
        P2PError::RateLimited { .. } => "rate_limited",
        P2PError::RefusedForNow { .. } => "refused_for_now",
        P2PError::Stream(_) => "stream",
        P2PError::Timeout { .. } => "timed_out",
    }
}

pub(super) const fn of_cause(cause: CloseCause) -> &'static str {
    match cause {
        CloseCause::AdmissionDenied => "admission_denied",
        CloseCause::Application(_) => "application",
        CloseCause::Busy => "busy",
        CloseCause::Dropped => "dropped",
        CloseCause::IncompatibleVersion => "incompatible_version",
        CloseCause::LinkReplaced => "link_replaced",
        CloseCause::Lost => "lost",
        CloseCause::NotResumable => "not_resumable",
        CloseCause::PathPolicy => "path_policy",
        CloseCause::ProtocolViolation => "protocol_violation",
        CloseCause::RateLimited { .. } => "rate_limited",
        CloseCause::Shutdown => "shutdown",
        CloseCause::TimedOut => "timed_out",
        CloseCause::Transport => "transport",
        CloseCause::UnknownProtocol => "unknown_protocol",
    }
}

pub(super) const fn of_side(by: ClosedBy) -> &'static str {
    match by {
        ClosedBy::Local => "local",
        ClosedBy::Network => "network",
        ClosedBy::Peer => "peer",
    }
}
