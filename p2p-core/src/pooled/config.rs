//! What bounds a pool.

use std::time::Duration;

use crate::error::ConfigError;

/// The bounds of a [`Pooled`](crate::Pooled) provider.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct PoolConfig {
    /// Connections in the pool, those on their way included. Over it, the one that has been idle for
    /// longest goes. As many again may be closing. Default 256.
    pub max_connections: usize,
    /// How long a connection that nobody uses stays open. Default 60 s.
    pub idle_timeout: Duration,
    /// The code with which idle connections are closed. Default 0.
    pub close_code: u32,
}

impl PoolConfig {
    /// Sets how many connections there may be.
    #[must_use]
    pub const fn with_max_connections(mut self, connections: usize) -> Self {
        self.max_connections = connections;
        self
    }

    /// Sets how long a connection that nobody uses stays open.
    #[must_use]
    pub const fn with_idle_timeout(mut self, timeout: Duration) -> Self {
        self.idle_timeout = timeout;
        self
    }

    /// Sets the code with which idle connections are closed.
    #[must_use]
    pub const fn with_close_code(mut self, code: u32) -> Self {
        self.close_code = code;
        self
    }

    pub(super) fn check(&self) -> Result<(), ConfigError> {
        if self.max_connections == 0 {
            return Err(ConfigError::zero("max_connections"));
        }
        ConfigError::check_duration("idle_timeout", self.idle_timeout)
    }
}

impl Default for PoolConfig {
    fn default() -> Self {
        Self { max_connections: 256, idle_timeout: Duration::from_secs(60), close_code: 0 }
    }
}
