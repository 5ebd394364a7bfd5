//! Sessions: players of a zone on a host.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::ids::{HostId, PlayerId, SessionName, ZoneId};
use crate::time::Timestamp;

/// Where a session is in its life: `pending -> active <-> paused -> ended`, and `failed` from any of
/// the first three when its host is lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "lowercase")]
pub enum SessionStatus {
    /// Made; nobody has said that it began.
    Pending,
    /// Begun.
    Active,
    /// Begun, and held. Nobody joins.
    Paused,
    /// Over.
    Ended,
    /// Over, because its host was lost.
    Failed,
}

impl SessionStatus {
    /// All, in the order of a life.
    pub const ALL: [Self; 5] =
        [Self::Pending, Self::Active, Self::Paused, Self::Ended, Self::Failed];

    /// As JSON has it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Active => "active",
            Self::Paused => "paused",
            Self::Ended => "ended",
            Self::Failed => "failed",
        }
    }

    /// Whether it is not over.
    pub const fn is_live(self) -> bool {
        matches!(self, Self::Pending | Self::Active | Self::Paused)
    }
}

impl fmt::Display for SessionStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Over what the players of a session reach each other.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "lowercase")]
pub enum Routing {
    /// Over peers.
    #[default]
    Peers,
    /// Over the game's server: P2P is switched off, for all or for the session's zone.
    Server,
}

impl Routing {
    /// Whether it is over peers.
    #[allow(clippy::trivially_copy_pass_by_ref, reason = "as serde calls it")]
    pub const fn is_peers(&self) -> bool {
        matches!(self, Self::Peers)
    }

    /// As JSON has it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Peers => "peers",
            Self::Server => "server",
        }
    }
}

/// Asks for a session.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CreateSession {
    /// On this host; without one, the coordinator chooses.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host_id: Option<HostId>,
    /// In this zone.
    pub zone_id: ZoneId,
    /// Who is in it from the beginning. Named twice counts once.
    pub player_ids: Vec<PlayerId>,
}

/// A session, as the coordinator shows it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Session {
    /// Its number in the database.
    pub id: i64,
    /// Its name.
    pub session_id: SessionName,
    /// Its host's number.
    pub host_id: i64,
    /// Its zone's number.
    pub zone_id: i64,
    /// Who has a place, in the order of coming.
    pub connected_players: Vec<PlayerId>,
    /// How many these are.
    pub current_players: u32,
    /// The most there may be.
    pub max_players: u32,
    /// Where it is in its life.
    pub status: SessionStatus,
    /// Reported, in milliseconds.
    pub average_latency_ms: f64,
    /// Reported, from 0 to 100.
    pub average_packet_loss_percent: f64,
    /// Reported, in Mbit/s.
    pub bandwidth_usage_mbps: f64,
    /// When it was first activated.
    pub started_at: Option<Timestamp>,
    /// When it ended or failed.
    pub ended_at: Option<Timestamp>,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it last changed.
    pub updated_at: Timestamp,
    /// Over what its players reach each other. Not there while that is over peers.
    #[serde(default, skip_serializing_if = "Routing::is_peers")]
    pub routing: Routing,
}
