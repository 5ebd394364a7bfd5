//! The one error of the traits.

use std::fmt;
use std::sync::Arc;
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
    /// A value in a configuration that cannot be meant.
    #[error(transparent)]
    Config(#[from] ConfigError),
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
    /// A limit of this side's own was reached, which makes room again: see
    /// [`Limited`](crate::Limited). Nothing was done.
    #[error("{}: at most {max}{}; retry after {retry_after:?}", Of(limit, peer), Per(per))]
    RateLimited {
        /// Which limit.
        limit: Limit,
        /// With whom, if it is a limit for each peer.
        peer: Option<PeerId>,
        /// Its value.
        max: u64,
        /// The period in which so many may be, or `None` if so many may be at once.
        per: Option<Duration>,
        /// When trying again may help, counted from now. Exact for what is limited by period; for
        /// what is limited at once, nobody knows, and it is what the configuration says.
        retry_after: Duration,
    },
    /// The peer has a limit that leaves no room for this side now, and said when it will.
    #[error("peer {} has no room now: {reason}; retry after {retry_after:?}", peer.fmt_short())]
    RefusedForNow {
        /// The peer.
        peer: PeerId,
        /// Its words.
        reason: String,
        /// When trying again may help, counted from now.
        retry_after: Duration,
    },
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
            Self::ConnectionFailed { .. }
            | Self::Network { .. }
            | Self::RateLimited { .. }
            | Self::RefusedForNow { .. }
            | Self::Timeout { .. } => true,
            // Somebody gives one back sooner or later.
            Self::LimitExceeded { limit, .. } => *limit == Limit::PooledConnections,
            Self::Config(_) | Self::Protocol(_) | Self::Stream(_) => false,
        }
    }

    /// The same error once more, for one more caller who waited for the same thing. What cannot be
    /// cloned, the cause from below, stays in the original, which becomes the cause of this one.
    pub(crate) fn share(self: &Arc<Self>) -> Self {
        let below = || Some(Box::new(self.clone()) as BoxError);
        match &**self {
            Self::AuthenticationFailed { peer, reason } => {
                Self::AuthenticationFailed { peer: *peer, reason: reason.clone() }
            }
            Self::Closed(reason) => Self::Closed(reason.clone()),
            Self::Config(error) => Self::Config(error.clone()),
            Self::ConnectionFailed { peer, reason, source } => Self::ConnectionFailed {
                peer: *peer,
                reason: reason.clone(),
                source: source.as_ref().and_then(|_| below()),
            },
            Self::LimitExceeded { limit, max, actual } => {
                Self::LimitExceeded { limit: *limit, max: *max, actual: *actual }
            }
            Self::Network { what, source } => {
                Self::Network { what: what.clone(), source: source.as_ref().and_then(|_| below()) }
            }
            Self::PeerNotFound { peer } => Self::PeerNotFound { peer: *peer },
            Self::Protocol(error) => Self::Protocol(error.clone()),
            Self::RateLimited { limit, peer, max, per, retry_after } => Self::RateLimited {
                limit: *limit,
                peer: *peer,
                max: *max,
                per: *per,
                retry_after: *retry_after,
            },
            Self::RefusedForNow { peer, reason, retry_after } => Self::RefusedForNow {
                peer: *peer,
                reason: reason.clone(),
                retry_after: *retry_after,
            },
            Self::Stream(error) => Self::Stream(error.clone()),
            Self::Timeout { what, after } => Self::Timeout { what: what.clone(), after: *after },
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
            CloseCause::RateLimited { retry_after } => {
                Self::RefusedForNow { peer, reason: reason.message, retry_after }
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
            Self::Closed(reason)
                if !matches!(reason.cause, CloseCause::Busy | CloseCause::PathPolicy) =>
            {
                Self::ConnectionFailed { peer, reason: reason.to_string(), source: None }
            }
            error => error,
        }
    }
}

/// A limit, and whose.
struct Of<'a>(&'a Limit, &'a Option<PeerId>);

impl fmt::Display for Of<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.1 {
            Some(peer) => write!(f, "{} of peer {}", self.0, peer.fmt_short()),
            None => self.0.fmt(f),
        }
    }
}

struct Per<'a>(&'a Option<Duration>);

impl fmt::Display for Per<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(period) => write!(f, " per {period:?}"),
            None => Ok(()),
        }
    }
}

/// A value in a configuration that cannot be meant.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{setting} is {value}: {expected}")]
#[non_exhaustive]
pub struct ConfigError {
    /// Which setting.
    pub setting: &'static str,
    /// Its value.
    pub value: String,
    /// What it should be.
    pub expected: &'static str,
}

impl ConfigError {
    /// That `setting` has this value, and should be something else.
    pub fn new(setting: &'static str, value: impl Into<String>, expected: &'static str) -> Self {
        Self { setting, value: value.into(), expected }
    }

    /// Checks that `value` is neither zero nor beyond what clocks can add.
    pub(crate) fn check_duration(setting: &'static str, value: Duration) -> Result<(), Self> {
        const YEAR: Duration = Duration::from_secs(365 * 86_400);
        if value.is_zero() || value > YEAR {
            let expected = "it must be at least 1 ns and at most 365 days";
            return Err(Self::new(setting, format!("{value:?}"), expected));
        }
        Ok(())
    }

    /// Checks that `value` is neither zero nor more than 32 bits hold.
    pub(crate) fn check_size(setting: &'static str, value: usize) -> Result<(), Self> {
        if value == 0 || u32::try_from(value).is_err() {
            let expected = "it must be at least 1 and at most 4294967295";
            return Err(Self::new(setting, value.to_string(), expected));
        }
        Ok(())
    }

    /// That `setting` is zero.
    pub(crate) fn zero(setting: &'static str) -> Self {
        Self::new(setting, "0", "it must be at least 1")
    }
}

/// Which bound was reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Limit {
    /// Peers' attempts to connect to this side that get as far as admission.
    Admissions,
    /// Connections that wait to be accepted.
    Backlog,
    /// Connections that live.
    Connections,
    /// Bytes of a hello's credential.
    Credential,
    /// Bytes of a datagram.
    Datagram,
    /// Datagrams that wait for the transport because they are too large for the path.
    DatagramStreams,
    /// This side's attempts to connect.
    Dials,
    /// Inbound connections from one network address that are not admitted yet.
    HandshakesOfAddress,
    /// Inbound connections from one peer that are not admitted yet.
    HandshakesOfPeer,
    /// Listeners of a node.
    Listeners,
    /// Bytes of a message: the smaller of both sides' bounds.
    Message,
    /// Peers for whom limits are kept.
    Peers,
    /// Connections of a pool.
    PooledConnections,
    /// Bytes of messages of one priority that the peer's program has not taken, each counted with 64
    /// bytes: the peer's `receive_window`.
    ReceiveWindow,
    /// Bytes of a message that has a reserved place.
    Reserved,
    /// Bytes of messages of one priority that wait for the transport.
    SendQueue,
    /// Bytes sent in messages and datagrams.
    SentBytes,
    /// Messages and datagrams sent.
    SentMessages,
    /// Bytes read to the end of a stream.
    StreamContent,
}

impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Admissions => "admissions",
            Self::Backlog => "connections that wait to be accepted",
            Self::Connections => "connections",
            Self::Credential => "bytes in a credential",
            Self::Datagram => "bytes in a datagram",
            Self::DatagramStreams => "datagrams that wait for streams",
            Self::Dials => "dials",
            Self::HandshakesOfAddress => "unfinished handshakes from one address",
            Self::HandshakesOfPeer => "unfinished handshakes with one peer",
            Self::Listeners => "listeners of a node",
            Self::Message => "bytes in a message",
            Self::Peers => "peers with limits",
            Self::PooledConnections => "connections of a pool, all in use",
            Self::ReceiveWindow => "bytes of messages that the peer has not taken",
            Self::Reserved => "bytes in a reserved place",
            Self::SendQueue => "bytes of messages that wait to be sent",
            Self::SentBytes => "bytes sent",
            Self::SentMessages => "messages sent",
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
