//! Which way a connection's data takes: direct, over a relay, or none.

use std::fmt;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_core::Stream;

use crate::address::RelayUrl;

/// The path that carries a connection's data now.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct PathInfo {
    /// Direct, relayed, or none at the moment.
    pub kind: PathKind,
    /// The other end of the path.
    pub remote: Option<PathAddr>,
    /// The round trip as the transport estimates it.
    pub rtt: Option<Duration>,
}

impl PathInfo {
    /// No path: connecting, or between paths.
    pub const NONE: Self = Self { kind: PathKind::None, remote: None, rtt: None };

    /// A path to the peer itself.
    pub const fn direct(remote: SocketAddr, rtt: Option<Duration>) -> Self {
        Self { kind: PathKind::Direct, remote: Some(PathAddr::Ip(remote)), rtt }
    }

    /// A path over a relay.
    pub const fn relayed(relay: RelayUrl, rtt: Option<Duration>) -> Self {
        Self { kind: PathKind::Relayed, remote: Some(PathAddr::Relay(relay)), rtt }
    }

    /// Whether both are the same way, whatever the round trip.
    pub fn is_same_way(&self, other: &Self) -> bool {
        self.kind == other.kind && self.remote == other.remote
    }
}

/// The kind of a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PathKind {
    /// Straight to the peer.
    Direct,
    /// None at the moment.
    None,
    /// Over a relay.
    Relayed,
}

impl fmt::Display for PathKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Direct => "direct",
            Self::None => "none",
            Self::Relayed => "relay",
        })
    }
}

/// The other end of a path.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum PathAddr {
    /// The peer's address.
    Ip(SocketAddr),
    /// The relay between.
    Relay(RelayUrl),
}

impl fmt::Display for PathAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ip(addr) => addr.fmt(f),
            Self::Relay(url) => url.fmt(f),
        }
    }
}

/// Which paths a connection may take. Each side says so for itself, and ends the connection with
/// [`CloseCause::PathPolicy`](crate::CloseCause::PathPolicy), which the peer sees, when the path is
/// none of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum PathPolicy {
    /// Any; the transport takes a direct one when it finds one.
    #[default]
    PreferDirect,
    /// Direct ones. Most connections begin on a relay and find a direct path within seconds.
    RequireDirect {
        /// How long a link may be without a direct path, from its beginning on and whenever it has
        /// lost one. With zero, it has to begin direct.
        grace: Duration,
    },
    /// Over relays only: the peer does not learn this side's address from the data's path. The policy
    /// judges the path that carries data; that the transport tries no other is a setting of the
    /// backend, if it has one.
    RelayOnly,
}

impl PathPolicy {
    /// What is wrong with a link that begins on this path, in words for both sides.
    pub(crate) fn refuses(self, kind: PathKind) -> Option<&'static str> {
        match self {
            Self::RelayOnly if kind == PathKind::Direct => Some(DIRECT),
            _ => None,
        }
    }
}

/// What a close says to a peer that is reached directly, and should not be.
pub(crate) const DIRECT: &str = "the path is direct, and only relays are allowed";

/// The changes of a connection's path: first the path as it is, then one item for each change of
/// way; it ends with the connection. Slow readers miss intermediate paths, never the last one.
pub struct PathEvents(Option<Pin<Box<dyn Stream<Item = PathInfo> + Send>>>);

impl PathEvents {
    /// Wraps what a backend has.
    pub fn new(stream: impl Stream<Item = PathInfo> + Send + 'static) -> Self {
        Self(Some(Box::pin(stream)))
    }

    /// The next path, or `None` when the connection has ended, however often it is asked.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses nothing.
    pub async fn next(&mut self) -> Option<PathInfo> {
        std::future::poll_fn(|cx| Pin::new(&mut *self).poll_next(cx)).await
    }
}

impl Stream for PathEvents {
    type Item = PathInfo;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<PathInfo>> {
        let Some(stream) = &mut self.0 else { return Poll::Ready(None) };
        let polled = stream.as_mut().poll_next(cx);
        if let Poll::Ready(None) = polled {
            // Not every stream may be asked again after its end.
            self.0 = None;
        }
        polled
    }
}

impl fmt::Debug for PathEvents {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PathEvents")
    }
}
