//! One call that gives a player a place in a zone, the address of the host, and a token to show it.

use std::fmt;

use p2p_core::{PeerAddr, PeerId};
use serde::{Deserialize, Serialize};

use crate::ids::{HostId, PlayerId, ZoneId};
use crate::session::Session;
use crate::time::Timestamp;
use crate::token::JoinToken;

/// Asks for a place.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct JoinRequest {
    /// In this zone.
    pub zone_id: ZoneId,
    /// For this player. Whoever has a place elsewhere leaves it; who has one here keeps it.
    pub player_id: PlayerId,
    /// With this peer id the player will connect to the host.
    #[serde(with = "crate::text")]
    pub peer_id: PeerId,
    /// Hosts that the player could not reach: they are not chosen. At most [`MAX_AVOID`].
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub avoid: Vec<HostId>,
}

/// The most hosts in [`JoinRequest::avoid`].
pub const MAX_AVOID: usize = 8;

/// A place.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct JoinReply {
    /// The session.
    pub session: Session,
    /// The host's name.
    pub host_id: HostId,
    /// Where the host is.
    #[serde(with = "crate::text")]
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub host_addr: PeerAddr,
    /// What to show it, as the credential of the connection.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub token: JoinToken,
    /// Until when.
    pub expires_at: Timestamp,
}

/// Why the coordinator refused, as a word that programs can act on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum RefusalReason {
    /// The host has all the players or zones it carries.
    HostFull,
    /// The host is not online.
    HostOffline,
    /// The host id belongs to another peer id.
    HostTaken,
    /// The host does not meet the zone's demands.
    HostUnfit,
    /// The session has all its players.
    Full,
    /// No host is online, has room and meets the zone's demands.
    NoHost,
    /// The proof of the host's identity does not hold, or a peer id is nobody's.
    Proof,
    /// The session's state does not allow it.
    State,
    /// There is no such host.
    UnknownHost,
    /// The player is not in the session.
    UnknownPlayer,
    /// There is no such session.
    UnknownSession,
    /// There is no such zone.
    UnknownZone,
    /// The zone is not enabled, or not for peers.
    ZoneClosed,
}

impl RefusalReason {
    /// As JSON has it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::HostFull => "host_full",
            Self::HostOffline => "host_offline",
            Self::HostTaken => "host_taken",
            Self::HostUnfit => "host_unfit",
            Self::Full => "full",
            Self::NoHost => "no_host",
            Self::Proof => "proof",
            Self::State => "state",
            Self::UnknownHost => "unknown_host",
            Self::UnknownPlayer => "unknown_player",
            Self::UnknownSession => "unknown_session",
            Self::UnknownZone => "unknown_zone",
            Self::ZoneClosed => "zone_closed",
        }
    }

    /// Whether the same request may succeed a little later.
    pub const fn is_retryable(self) -> bool {
        matches!(self, Self::Full | Self::HostFull | Self::HostOffline | Self::NoHost)
    }
}

impl fmt::Display for RefusalReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
