//! Tokens: how they are asked for, and what comes back.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::ids::PlayerId;
use crate::time::Timestamp;

/// Asks for tokens of a player. Who asks vouches for the name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenRequest {
    /// For whom.
    pub player_id: PlayerId,
    /// What the game calls its user: said again in the token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user_id: Option<String>,
    /// A key, if that of the header is not the one that allows it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub api_key: Option<String>,
}

/// Asks for new tokens.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RefreshRequest {
    /// The newest of its login: it is good once.
    pub refresh_token: String,
}

/// Tokens of a player.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct TokenReply {
    /// Shown as `Authorization: Bearer ...`.
    pub access_token: String,
    /// Exchanged for new ones.
    pub refresh_token: Option<String>,
    /// `Bearer`.
    pub token_type: String,
    /// How long the access token is good, in seconds.
    pub expires_in: u64,
}

/// With what a host that has proven its peer id speaks for itself, over HTTP too.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct HostAccess {
    /// Shown as `Authorization: Bearer ...`.
    pub token: String,
    /// Until when it is good; registering again gives another.
    pub expires_at: Timestamp,
}

// Whoever reads a log must not be able to use it.
impl fmt::Debug for RefreshRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RefreshRequest")
    }
}

impl fmt::Debug for TokenReply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenReply").field("expires_in", &self.expires_in).finish_non_exhaustive()
    }
}

impl fmt::Debug for HostAccess {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "HostAccess(until {})", self.expires_at)
    }
}
