//! Why a join ended without a connection.

use std::time::Duration;

use p2p_coordinator_api::HostId;
use p2p_core::P2PError;
use thiserror::Error;

use crate::error::{RequestError, sentence};

/// Why a join ended without a connection.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum JoinError {
    /// The coordinator did not answer. Only as the cause of [`Deadline`](JoinError::Deadline).
    #[error("no answer from the coordinator in {attempts} attempts")]
    CoordinatorUnreachable {
        /// What happened last.
        source: RequestError,
        /// How often it was asked.
        attempts: u32,
    },
    /// The time is up.
    #[error("no connection to a host within {after:?}")]
    Deadline {
        /// The time that was given.
        after: Duration,
        /// What was in the way at last.
        #[source]
        last: Option<Box<Self>>,
    },
    /// This side's endpoint cannot connect to anybody: it was shut down.
    #[error("this side's endpoint has ended")]
    Endpoint {
        /// How it says so.
        source: P2PError,
    },
    /// A host did not let the player in, or is not there. Only as the cause of
    /// [`Deadline`](JoinError::Deadline).
    #[error("no connection to host '{host}' (attempts to connect so far: {attempts})")]
    HostUnreachable {
        /// The host that was tried last.
        host: HostId,
        /// What happened.
        source: P2PError,
        /// How often hosts were dialled.
        attempts: u32,
    },
    /// The coordinator gave no place.
    #[error("the coordinator gave no place")]
    Refused(#[source] RequestError),
}

impl JoinError {
    /// A sentence to show to the player, whose game goes on over its server.
    pub fn fall_back_reason(&self) -> String {
        format!("playing over the server: {}", sentence(self))
    }
}
