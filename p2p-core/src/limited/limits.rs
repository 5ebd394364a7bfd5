//! What the limits are.

use std::time::Duration;

use super::Way;
use crate::error::ConfigError;
use crate::token_bucket::RateLimit;

/// The limits of a [`Limited`](crate::Limited) provider. By default only the number of connections is
/// limited.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// With all peers together. By default 4096 connections.
    pub total: ScopeLimits,
    /// With each peer. By default 64 connections.
    pub per_peer: ScopeLimits,
    /// Peers that are kept count of; at least as many as there may be connections. A peer without
    /// a connection is forgotten when its place is needed, the one first that has been quiet for
    /// longest. Default 8192.
    pub max_peers: usize,
    /// What a caller who is refused for the number of connections is told to wait, because nobody
    /// knows when one ends. Default 1 s.
    pub retry_after: Duration,
}

impl Limits {
    /// Sets the limits for all peers together.
    #[must_use]
    pub const fn with_total(mut self, limits: ScopeLimits) -> Self {
        self.total = limits;
        self
    }

    /// Sets the limits for each peer.
    #[must_use]
    pub const fn with_per_peer(mut self, limits: ScopeLimits) -> Self {
        self.per_peer = limits;
        self
    }

    /// Sets how many peers are kept count of.
    #[must_use]
    pub const fn with_max_peers(mut self, peers: usize) -> Self {
        self.max_peers = peers;
        self
    }

    /// Sets what a caller is told who is refused for the number of connections.
    #[must_use]
    pub const fn with_retry_after(mut self, wait: Duration) -> Self {
        self.retry_after = wait;
        self
    }

    /// Whether messages or bytes are limited that go this way.
    pub(super) fn limit_traffic(&self, way: Way) -> bool {
        [&self.total, &self.per_peer].into_iter().any(|scope| {
            let traffic = match way {
                Way::Received => &scope.received,
                Way::Sent => &scope.sent,
            };
            traffic.messages.is_some() || traffic.bytes.is_some()
        })
    }

    pub(super) fn check(&self) -> Result<(), ConfigError> {
        if self.total.connections == 0 {
            return Err(ConfigError::zero("total.connections"));
        }
        if self.per_peer.connections == 0 {
            return Err(ConfigError::zero("per_peer.connections"));
        }
        if self.max_peers < self.total.connections {
            let (value, expected) = (self.max_peers, "it must be at least total.connections");
            return Err(ConfigError::new("max_peers", value.to_string(), expected));
        }
        ConfigError::check_duration("retry_after", self.retry_after)
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            total: ScopeLimits::default().with_connections(4096),
            per_peer: ScopeLimits::default(),
            max_peers: 8192,
            retry_after: Duration::from_secs(1),
        }
    }
}

/// The limits for one peer, or for all together. Rates that are not set are not limited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ScopeLimits {
    /// Connections that may live at once, whoever dialled; applicants count from when the admission hook
    /// is asked about them. Default 64.
    pub connections: usize,
    /// How often this side may try to connect.
    pub dials: Option<RateLimit>,
    /// How often peers may try to connect to this side and get as far as admission: who finds no place
    /// does not.
    pub admissions: Option<RateLimit>,
    /// What this side may send.
    pub sent: TrafficLimits,
    /// What this side receives before the peer has to wait.
    pub received: TrafficLimits,
}

impl ScopeLimits {
    /// Sets how many connections may live at once.
    #[must_use]
    pub const fn with_connections(mut self, connections: usize) -> Self {
        self.connections = connections;
        self
    }

    /// Sets how often this side may try to connect.
    #[must_use]
    pub const fn with_dials(mut self, limit: RateLimit) -> Self {
        self.dials = Some(limit);
        self
    }

    /// Sets how often peers may try to connect.
    #[must_use]
    pub const fn with_admissions(mut self, limit: RateLimit) -> Self {
        self.admissions = Some(limit);
        self
    }

    /// Sets what this side may send.
    #[must_use]
    pub const fn with_sent(mut self, limits: TrafficLimits) -> Self {
        self.sent = limits;
        self
    }

    /// Sets what this side receives.
    #[must_use]
    pub const fn with_received(mut self, limits: TrafficLimits) -> Self {
        self.received = limits;
        self
    }
}

impl Default for ScopeLimits {
    fn default() -> Self {
        let traffic = TrafficLimits { messages: None, bytes: None };
        Self { connections: 64, dials: None, admissions: None, sent: traffic, received: traffic }
    }
}

/// The limits for what goes one way. What is not set is not limited.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct TrafficLimits {
    /// Messages and datagrams.
    pub messages: Option<RateLimit>,
    /// Payload bytes in messages, datagrams and streams.
    pub bytes: Option<RateLimit>,
}

impl TrafficLimits {
    /// Sets how many messages and datagrams.
    #[must_use]
    pub const fn with_messages(mut self, limit: RateLimit) -> Self {
        self.messages = Some(limit);
        self
    }

    /// Sets how many bytes.
    #[must_use]
    pub const fn with_bytes(mut self, limit: RateLimit) -> Self {
        self.bytes = Some(limit);
        self
    }
}
