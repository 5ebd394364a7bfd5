//! What bounds calls.

use std::time::Duration;

use crate::error::ConfigError;

/// What one call is to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct CallOptions {
    /// How long it may take, from the call to the end of the response. The peer is told. Default 30 s.
    pub timeout: Duration,
    /// The largest response that is taken, in bytes. Default 1 MiB.
    pub max_response_size: usize,
    /// Which of this side's streams goes first: the higher. Default 0.
    pub priority: i32,
}

impl CallOptions {
    /// Sets how long the call may take.
    #[must_use]
    pub const fn with_timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Sets the largest response.
    #[must_use]
    pub const fn with_max_response_size(mut self, bytes: usize) -> Self {
        self.max_response_size = bytes;
        self
    }

    /// Sets the request's priority among this side's streams.
    #[must_use]
    pub const fn with_priority(mut self, priority: i32) -> Self {
        self.priority = priority;
        self
    }

    pub(super) fn check(&self) -> Result<(), ConfigError> {
        ConfigError::check_duration("timeout", self.timeout)?;
        ConfigError::check_size("max_response_size", self.max_response_size)
    }
}

impl Default for CallOptions {
    fn default() -> Self {
        Self { timeout: Duration::from_secs(30), max_response_size: 1 << 20, priority: 0 }
    }
}

/// What a side that serves allows each connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ServeOptions {
    /// Calls that are answered at once; further ones are told that this side is busy. Default 64.
    pub max_concurrent: usize,
    /// The largest request that is taken, in bytes. At most so much for each call at once is held for
    /// a peer. Default 1 MiB.
    pub max_request_size: usize,
    /// How long a call may take here, from its stream to the end of the response, whatever the caller
    /// says. Default 60 s.
    pub max_timeout: Duration,
}

impl ServeOptions {
    /// Sets how many calls are answered at once.
    #[must_use]
    pub const fn with_max_concurrent(mut self, calls: usize) -> Self {
        self.max_concurrent = calls;
        self
    }

    /// Sets the largest request.
    #[must_use]
    pub const fn with_max_request_size(mut self, bytes: usize) -> Self {
        self.max_request_size = bytes;
        self
    }

    /// Sets how long a call may take here.
    #[must_use]
    pub const fn with_max_timeout(mut self, timeout: Duration) -> Self {
        self.max_timeout = timeout;
        self
    }

    pub(super) fn check(&self) -> Result<(), ConfigError> {
        ConfigError::check_size("max_concurrent", self.max_concurrent)?;
        ConfigError::check_size("max_request_size", self.max_request_size)?;
        ConfigError::check_duration("max_timeout", self.max_timeout)
    }
}

impl Default for ServeOptions {
    fn default() -> Self {
        Self { max_concurrent: 64, max_request_size: 1 << 20, max_timeout: Duration::from_secs(60) }
    }
}
