//! The one error of the traits.

use std::fmt;
use std::time::Duration;

use thiserror::Error;

use crate::close::{CloseCause, CloseReason, ClosedBy};
use crate::identity::PeerId;
use crate::protocol::ProtocolName;

/// A cause from below, kept as it was.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// What the methods of the traits return.
pub type Result<T, E = P2PError> = std::result::Result<T, E>;

/// What can go wrong between peers: who failed, at what, and (by [`is_retryable`]) whether trying
/// again may help. Causes are in [`source`], not in the text.
///
/// [`is_retryable`]: P2PError::is_retryable
/// [`source`]: std::error::Error::source
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum P2PError {
    /// The peer, or whoever answered for it, is not who it should be; or it does not let us in.
    #[error("peer {} refused us or could not prove who it is: {reason}", peer.fmt_short())]
    AuthenticationFailed {
        /// The peer.
        peer: PeerId,
        /// Its words, or ours.
        reason: String,
    },
    /// The connection has ended.
    #[error("{0}")]
    Closed(CloseReason),
    /// No connection came about.
    #[error("connection to peer {} failed: {reason}", peer.fmt_short())]
    ConnectionFailed {
        /// The peer.
        peer: PeerId,
        /// What happened.
        reason: String,
        /// What is below.
        source: Option<BoxError>,
    },
    /// A bound was reached. Every bound is in the configuration; the peer's came with its hello.
    #[error("{limit}: at most {max}, not {actual}")]
    LimitExceeded {
        /// Which bound.
        limit: Limit,
        /// Its value.
        max: u64,
        /// What it would have taken.
        actual: u64,
    },
    /// The network, a socket or a relay failed, apart from any peer.
    #[error("{what}")]
    Network {
        /// What failed.
        what: String,
        /// What is below.
        source: Option<BoxError>,
    },
    /// Nothing is known about where the peer is.
    #[error("peer {} not found: no address, no relay and no address book leads to it", peer.fmt_short())]
    PeerNotFound {
        /// The peer.
        peer: PeerId,
    },
    /// The two sides do not speak the same language.
    #[error("protocol: {0}")]
    Protocol(#[from] ProtocolError),
    /// One stream ended, its connection may go on.
    #[error(transparent)]
    Stream(#[from] StreamError),
    /// Something took longer than its bound.
    #[error("timeout after {after:?}: {what}")]
    Timeout {
        /// What took too long.
        what: String,
        /// The bound.
        after: Duration,
    },
}

impl P2PError {
    /// Whether the same call may succeed later, with nothing changed on this side.
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::AuthenticationFailed { .. } | Self::PeerNotFound { .. } => false,
            Self::Closed(reason) => reason.is_retryable(),
            Self::ConnectionFailed { .. } | Self::Network { .. } | Self::Timeout { .. } => true,
            Self::LimitExceeded { .. } | Self::Protocol(_) | Self::Stream(_) => false,
        }
    }

    /// What the end of a link says about an attempt to connect to `peer`.
    pub(crate) fn from_refusal(peer: PeerId, protocol: &ProtocolName, reason: CloseReason) -> Self {
        if reason.by == ClosedBy::Local {
            return Self::Closed(reason);
        }
        match reason.cause {
            CloseCause::AdmissionDenied => {
                Self::AuthenticationFailed { peer, reason: reason.message }
            }
            CloseCause::IncompatibleVersion => {
                ProtocolError::IncompatibleVersion { detail: reason.message }.into()
            }
            CloseCause::ProtocolViolation => {
                ProtocolError::Violation { detail: reason.message }.into()
            }
            CloseCause::UnknownProtocol => {
                ProtocolError::UnknownProtocol { name: protocol.clone() }.into()
            }
            _ => Self::Closed(reason),
        }
    }

    /// The same, for a link that ended before it was a connection.
    pub(crate) fn from_failed_connect(
        peer: PeerId,
        protocol: &ProtocolName,
        reason: CloseReason,
    ) -> Self {
        match Self::from_refusal(peer, protocol, reason) {
            Self::Closed(reason) if reason.cause != CloseCause::Busy => {
                Self::ConnectionFailed { peer, reason: reason.to_string(), source: None }
            }
            error => error,
        }
    }
}

/// Which bound was reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Limit {
    /// Bytes of a hello's credential.
    Credential,
    /// Bytes of a datagram.
    Datagram,
    /// Listeners of a node.
    Listeners,
    /// Bytes of a message: the smaller of both sides' bounds.
    Message,
    /// Bytes of messages of one priority that wait for the transport.
    SendQueue,
    /// Bytes read to the end of a stream.
    StreamContent,
}

impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Credential => "bytes in a credential",
            Self::Datagram => "bytes in a datagram",
            Self::Listeners => "listeners of a node",
            Self::Message => "bytes in a message",
            Self::SendQueue => "bytes of messages that wait to be sent",
            Self::StreamContent => "bytes in this stream",
        })
    }
}

/// How two sides fail to understand each other.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ProtocolError {
    /// The peer cannot do what was asked for.
    #[error("the peer does not support {capability}")]
    Unsupported {
        /// What it lacks.
        capability: &'static str,
    },
    /// No version is spoken by both.
    #[error("no version is spoken by both sides: {detail}")]
    IncompatibleVersion {
        /// The ranges.
        detail: String,
    },
    /// A listener for this name is there already.
    #[error("protocol {name} already has a listener on this node")]
    InUse {
        /// The name.
        name: ProtocolName,
    },
    /// Nobody listens for this name at the peer.
    #[error("the peer does not serve protocol {name}")]
    UnknownProtocol {
        /// The name.
        name: ProtocolName,
    },
    /// The peer sent what the protocol does not allow.
    #[error("violated: {detail}")]
    Violation {
        /// What it was.
        detail: String,
    },
}

/// How one stream ends, other than by its last byte.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum StreamError {
    /// The connection under it ended.
    #[error("{0}")]
    Closed(CloseReason),
    /// The link under it was lost; the connection may go on with another, but streams do not.
    #[error("the link under the stream was lost: open another once the connection has resumed")]
    LinkReplaced,
    /// This side finished or reset it before.
    #[error("this side of the stream has ended already")]
    Finished,
    /// The writer gave up.
    #[error("the peer reset the stream with code {code}")]
    Reset {
        /// Its code.
        code: u64,
    },
    /// The reader does not want more.
    #[error("the peer stopped reading the stream with code {code}")]
    Stopped {
        /// Its code.
        code: u64,
    },
}
