//! How a call fails.

use std::fmt;
use std::time::Duration;

use thiserror::Error;

use crate::error::{ConfigError, P2PError, StreamError};

/// Why a call has no response.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum CallError {
    /// The other side gave the call up: it stopped serving, or its handler panicked.
    #[error("the peer broke the call off")]
    BrokenOff(#[source] StreamError),
    /// The other side answers as many calls on this connection as it wants. This one was not begun.
    #[error("the peer answers {max} calls at once on this connection, and no more")]
    Busy {
        /// Its bound.
        max: u32,
    },
    /// An option that cannot be meant.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// What is below: the connection has ended, or the link under it was lost. Streams, and so calls,
    /// do not move to another.
    #[error(transparent)]
    Connection(P2PError),
    /// There was no response in time: by this side's clock or, if it has a bound of its own for all
    /// calls, by the peer's.
    #[error("no response within {after:?}")]
    DeadlineExceeded {
        /// The time there was.
        after: Duration,
    },
    /// The peer answered what is no answer.
    #[error("the peer's response is none: {detail}")]
    Protocol {
        /// What is wrong with it.
        detail: String,
    },
    /// The handler's own no.
    #[error("the peer refused the call: {0}")]
    Refused(Refusal),
    /// The request is larger than the peer takes. No handler saw it.
    #[error("bytes in a request: at most {max}, not {actual}")]
    RequestTooLarge {
        /// The peer's bound, in bytes.
        max: u64,
        /// The request's size.
        actual: u64,
    },
    /// The response is larger than [`CallOptions::max_response_size`](super::CallOptions).
    #[error("bytes in a response: at most {max}, not {actual}")]
    ResponseTooLarge {
        /// The bound, in bytes.
        max: u64,
        /// The response's size.
        actual: u64,
    },
}

impl CallError {
    /// Whether the same call may succeed later, and has not been begun now.
    pub fn is_retryable(&self) -> bool {
        matches!(self, Self::Busy { .. })
    }
}

impl From<StreamError> for CallError {
    fn from(error: StreamError) -> Self {
        match error {
            StreamError::Closed(reason) => Self::Connection(P2PError::Closed(reason)),
            StreamError::LinkReplaced => Self::Connection(error.into()),
            error => Self::BrokenOff(error),
        }
    }
}

/// A handler's no, for the caller.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Refusal {
    /// What programs go by; its meaning is theirs.
    pub code: u32,
    /// Words for people: at most [`Refusal::MAX_TEXT`] bytes. From a peer, they are only as
    /// trustworthy as the peer.
    pub text: String,
}

impl Refusal {
    /// The most bytes of a text; longer ones are cut at a character.
    pub const MAX_TEXT: usize = 1024;

    /// Puts a refusal together, cutting a text that is too long.
    pub fn new(code: u32, text: impl Into<String>) -> Self {
        let mut text = text.into();
        let mut end = Self::MAX_TEXT.min(text.len());
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        text.truncate(end);
        Self { code, text }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (code {})", self.text, self.code)
    }
}

impl std::error::Error for Refusal {}
