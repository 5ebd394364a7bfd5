//! Why a host did not start.

use std::time::Duration;

use p2p_core::{P2PError, PeerId};
use thiserror::Error;

use crate::error::RequestError;

/// Why a host did not start.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum HostError {
    /// The time is up.
    #[error("the host was not registered within {after:?}")]
    Deadline {
        /// The time that was given.
        after: Duration,
        /// What the coordinator, or the way to it, said last.
        #[source]
        last: Option<RequestError>,
    },
    /// The secret is not the provider's: what it proves would be somebody else.
    #[error(
        "the secret is of peer {} and the provider is peer {}: give the provider's own",
        secret.fmt_short(),
        provider.fmt_short()
    )]
    ForeignKey {
        /// Whose the secret is.
        secret: PeerId,
        /// Who the provider is.
        provider: PeerId,
    },
    /// The host was registered and could not listen.
    #[error("the host cannot listen")]
    Listen {
        /// What happened.
        source: P2PError,
    },
    /// The coordinator took the host and said nothing about tokens.
    #[error("the coordinator knows no peers: it gave no issuer of join tokens")]
    NoTerms,
    /// The coordinator does not take the host, and would not a little later.
    #[error("the coordinator does not take the host")]
    Refused {
        /// Its answer.
        source: RequestError,
    },
}
