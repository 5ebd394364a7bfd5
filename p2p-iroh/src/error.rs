//! What iroh's errors mean to whoever binds or dials.

use std::error::Error;
use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::time::Duration;

use iroh::endpoint::{
    BindError, ConnectError, ConnectWithOptsError, ConnectingError, ConnectionError,
    TransportErrorCode,
};
use p2p_core::{BoxError, CloseCause, CloseReason, ClosedBy, P2PError, PeerId};

/// No connection came about, for a reason of our own.
pub(crate) fn failed(peer: PeerId, reason: impl Into<String>) -> P2PError {
    P2PError::ConnectionFailed { peer, reason: reason.into(), source: None }
}

/// Why the endpoint could not be bound to `addresses`.
pub(crate) fn bind(error: BindError, addresses: &[SocketAddr]) -> P2PError {
    let what = match &error {
        BindError::Sockets { source, .. } => {
            let address = culprit(source.kind(), addresses);
            match source.kind() {
                io::ErrorKind::AddrInUse => {
                    format!("address {address} is in use: choose another port, or 0 for any")
                }
                io::ErrorKind::AddrNotAvailable => format!(
                    "address {address} is not one of this machine's: choose one of its own, or \
                     0.0.0.0 for all"
                ),
                io::ErrorKind::PermissionDenied => format!(
                    "no permission to bind {address}: choose a port from 1024 on, or 0 for any"
                ),
                _ => format!("cannot bind {address}: {source}"),
            }
        }
        error => format!("cannot set up the endpoint: {}", chain(error)),
    };
    P2PError::Network { what, source: Some(error.into()) }
}

/// Which of the addresses failed: the error does not say, so each is tried again.
fn culprit(kind: io::ErrorKind, addresses: &[SocketAddr]) -> String {
    let fails =
        |address: &&SocketAddr| UdpSocket::bind(**address).is_err_and(|error| error.kind() == kind);
    match addresses.iter().find(fails) {
        Some(address) => address.to_string(),
        None => addresses.iter().map(ToString::to_string).collect::<Vec<_>>().join(" or "),
    }
}

/// Why dialling `peer` failed.
pub(crate) fn dial(peer: PeerId, idle_timeout: Duration, error: ConnectError) -> P2PError {
    let reason = match &error {
        ConnectError::Connect { source, .. } => match source {
            ConnectWithOptsError::NoAddress { .. } => return P2PError::PeerNotFound { peer },
            ConnectWithOptsError::EndpointClosed { .. } => return shut_down(),
            source => chain(source),
        },
        ConnectError::Connecting { source, .. } => match source {
            ConnectingError::ConnectionError { source, .. } => {
                return handshake(peer, idle_timeout, source.clone(), error.into());
            }
            // It has shown no key: whoever it is, it has proven nothing.
            ConnectingError::HandshakeFailure { source, .. } => {
                return P2PError::AuthenticationFailed { peer, reason: chain(source) };
            }
            source => chain(source),
        },
        ConnectError::Connection { source, .. } => {
            return handshake(peer, idle_timeout, source.clone(), error.into());
        }
        error => chain(error),
    };
    P2PError::ConnectionFailed { peer, reason, source: Some(error.into()) }
}

fn handshake(
    peer: PeerId,
    idle_timeout: Duration,
    error: ConnectionError,
    source: BoxError,
) -> P2PError {
    let reason = match &error {
        ConnectionError::TimedOut => {
            let what = format!("no answer from peer {}", peer.fmt_short());
            return P2PError::Timeout { what, after: idle_timeout };
        }
        ConnectionError::LocallyClosed => return shut_down(),
        ConnectionError::TransportError(error) if is_about_identity(error.code) => {
            let reason = "somebody else answered at its address".into();
            return P2PError::AuthenticationFailed { peer, reason };
        }
        ConnectionError::ConnectionClosed(close) if close.error_code == no_common_protocol() => {
            "whoever is there does not speak this protocol".into()
        }
        ConnectionError::ConnectionClosed(close)
            if close.error_code == TransportErrorCode::CONNECTION_REFUSED =>
        {
            "it refuses connections now: it is shutting down, or too many from this address have not said \
             who they are"
                .into()
        }
        error => error.to_string(),
    };
    P2PError::ConnectionFailed { peer, reason, source: Some(source) }
}

/// Whether our side broke the handshake off over the peer's key: the alerts about certificates,
/// `bad_certificate` to `unknown_ca`, `decrypt_error` for a wrong signature, and
/// `certificate_required` (RFC 8446, section 6).
fn is_about_identity(code: TransportErrorCode) -> bool {
    (42..=48).chain([51, 116]).any(|alert| code == TransportErrorCode::crypto(alert))
}

/// The alert `no_application_protocol` (RFC 7301, section 3.2).
fn no_common_protocol() -> TransportErrorCode {
    TransportErrorCode::crypto(120)
}

fn shut_down() -> P2PError {
    P2PError::Closed(CloseReason::new(ClosedBy::Local, CloseCause::Shutdown, ""))
}

/// The error and its causes in one line. What only repeats its cause is left out.
pub(crate) fn chain(error: &dyn Error) -> String {
    let mut line = error.to_string();
    let (mut last, mut cause) = (line.clone(), error.source());
    while let Some(error) = cause {
        let words = error.to_string();
        if words != last {
            line = format!("{line}: {words}");
        }
        (last, cause) = (words, error.source());
    }
    line
}

/// The innermost cause.
pub(crate) fn root(mut error: &dyn Error) -> &dyn Error {
    while let Some(cause) = error.source() {
        error = cause;
    }
    error
}
