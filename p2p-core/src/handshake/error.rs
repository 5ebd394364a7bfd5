//! How a handshake fails, in the words of each who wants to know.

use crate::close::{CloseCause, CloseReason, ClosedBy};
use crate::connection::relink::RedialError;
use crate::error::{P2PError, ProtocolError, StreamError};
use crate::identity::PeerId;
use crate::protocol::ProtocolName;
use crate::reconnect::LostReason;
use crate::transport::LinkClosed;

/// How a handshake ends without a connection.
pub(crate) enum HandshakeError {
    Link(CloseReason),
    Protocol(ProtocolError),
    Stream(StreamError),
}

impl From<LinkClosed> for HandshakeError {
    fn from(closed: LinkClosed) -> Self {
        Self::Link(closed.into())
    }
}

impl From<ProtocolError> for HandshakeError {
    fn from(error: ProtocolError) -> Self {
        Self::Protocol(error)
    }
}

impl From<StreamError> for HandshakeError {
    fn from(error: StreamError) -> Self {
        match error {
            StreamError::Closed(reason) => Self::Link(reason),
            error => Self::Stream(error),
        }
    }
}

impl HandshakeError {
    /// For the side that dialled.
    pub(super) fn into_connect_error(self, peer: PeerId, protocol: &ProtocolName) -> P2PError {
        match self {
            Self::Link(reason) => P2PError::from_failed_connect(peer, protocol, reason),
            Self::Protocol(error) => error.into(),
            Self::Stream(error) => error.into(),
        }
    }

    /// For the side that dialled once more.
    pub(super) fn into_redial_error(
        self,
        peer: PeerId,
        protocol: Option<&ProtocolName>,
    ) -> RedialError {
        let Self::Link(reason) = self else {
            let error = match (self, protocol) {
                (error, Some(protocol)) => error.into_connect_error(peer, protocol).to_string(),
                _ => String::new(),
            };
            return RedialError::Later(error);
        };
        match reason.cause {
            _ if reason.by != ClosedBy::Peer => RedialError::Later(reason.to_string()),
            CloseCause::NotResumable => RedialError::Never(LostReason::PeerRestarted),
            CloseCause::IncompatibleVersion
            | CloseCause::PathPolicy
            | CloseCause::ProtocolViolation
            | CloseCause::UnknownProtocol
            | CloseCause::AdmissionDenied => RedialError::Never(LostReason::Refused(reason)),
            _ => RedialError::Later(reason.to_string()),
        }
    }

    /// For the peer, in the close of the link.
    pub(super) fn refusal(&self) -> (CloseCause, String) {
        match self {
            Self::Link(reason) => (reason.cause, String::new()),
            Self::Protocol(error @ ProtocolError::IncompatibleVersion { .. }) => {
                (CloseCause::IncompatibleVersion, error.to_string())
            }
            Self::Protocol(error) => (CloseCause::ProtocolViolation, error.to_string()),
            Self::Stream(error) => (CloseCause::ProtocolViolation, error.to_string()),
        }
    }
}
