//! What the bearer of a key or a token is.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// What the bearer of a key or a token is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Somebody who plays: touches what is this player's.
    Player,
    /// Who carries sessions: touches its own host, and sessions there.
    Host,
    /// A game's server: makes and ends sessions and zones, and gives tokens to players.
    Service,
    /// Who runs the coordinator: everything.
    Admin,
}

impl Role {
    /// All, in the order of what they may do.
    pub const ALL: [Self; 4] = [Self::Player, Self::Host, Self::Service, Self::Admin];

    /// As JSON and configurations have it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Player => "player",
            Self::Host => "host",
            Self::Service => "service",
            Self::Admin => "admin",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Role {
    type Err = UnknownRole;

    fn from_str(text: &str) -> Result<Self, UnknownRole> {
        Self::ALL.into_iter().find(|role| role.as_str() == text).ok_or(UnknownRole)
    }
}

/// Text that names no [`Role`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("a role is player, host, service or admin")]
pub struct UnknownRole;
