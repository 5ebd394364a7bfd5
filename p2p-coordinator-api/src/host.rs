//! Hosts: who can carry sessions.

use std::fmt;

use p2p_core::PeerId;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::auth::HostAccess;
use crate::ids::{HostId, PlayerId, SessionName};
use crate::proof::HostProof;
use crate::session::Routing;
use crate::time::Timestamp;

/// Whether a host can be given sessions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "lowercase")]
pub enum HostStatus {
    /// It is heard and takes sessions.
    Online,
    /// It was not heard for its lease. A heartbeat brings it back.
    Offline,
    /// It is heard and takes no more.
    Busy,
    /// Its owner took it out.
    Maintenance,
}

impl HostStatus {
    /// All, in the contract's order.
    pub const ALL: [Self; 4] = [Self::Online, Self::Offline, Self::Busy, Self::Maintenance];

    /// As JSON has it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Online => "online",
            Self::Offline => "offline",
            Self::Busy => "busy",
            Self::Maintenance => "maintenance",
        }
    }
}

impl fmt::Display for HostStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A host, as the coordinator shows it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Host {
    /// Its number in the database.
    pub id: i64,
    /// Its name.
    pub host_id: HostId,
    /// Whose it is.
    pub player_id: PlayerId,
    /// What its owner is called.
    pub player_name: String,
    /// Where it is, in its own network.
    pub ip_address: String,
    /// The port there.
    pub port: u16,
    /// Where it is, seen from outside.
    pub public_ip: Option<String>,
    /// Processor cores.
    pub cpu_cores: u32,
    /// Their clock, in MHz.
    pub cpu_frequency_mhz: u32,
    /// Memory, in MiB.
    pub memory_mb: u32,
    /// Its line, in Mbit/s.
    pub network_speed_mbps: u32,
    /// Measured by it, in milliseconds.
    pub latency_ms: f64,
    /// Measured by it, from 0 to 100.
    pub packet_loss_percent: f64,
    /// What it uses of its line, in Mbit/s.
    pub bandwidth_usage_mbps: f64,
    /// Whether it can be given sessions.
    pub status: HostStatus,
    /// The most players it carries.
    pub max_players: u32,
    /// Players on it: what it reported, or what was placed there if that is more.
    pub current_players: u32,
    /// The most zones it serves.
    pub max_zones: u32,
    /// Zones it serves: what it reported, or what was placed there if that is more.
    pub current_zones: u32,
    /// From 0 to 100, with two decimals.
    pub quality_score: f64,
    /// The peer id it has proven, if it can be connected to as a peer. Not there for others.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "crate::text::optional")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>))]
    pub peer_id: Option<PeerId>,
}

/// Asks for a host to be known. Again with the same id: updates it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RegisterHost {
    /// Its name.
    pub host_id: HostId,
    /// Whose it is.
    pub player_id: PlayerId,
    /// What its owner is called.
    pub player_name: String,
    /// Where it is, in its own network: at most 45 characters.
    pub ip_address: String,
    /// The port there; at least 1.
    pub port: u16,
    /// Where it is, seen from outside.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub public_ip: Option<String>,
    /// Processor cores; at least 1.
    pub cpu_cores: u32,
    /// Their clock, in MHz; at least 1.
    pub cpu_frequency_mhz: u32,
    /// Memory, in MiB; at least 1.
    pub memory_mb: u32,
    /// Its line, in Mbit/s; at least 1.
    pub network_speed_mbps: u32,
    /// The ICE servers it has for those who come to it, in whatever form its game uses: kept for who
    /// reads the records. At most [`MAX_ICE_BYTES`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ice_servers: Option<Map<String, Value>>,
    /// The most players it carries; if not given, what the coordinator is configured with, 50 by
    /// default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_players: Option<u32>,
    /// The most zones it serves; 5 if not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_zones: Option<u32>,
    /// What makes it a peer that players can connect to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub p2p: Option<HostProof>,
}

/// The answer to a registration: the host, and for a peer what it needs to do its part.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct RegisteredHost {
    /// The host as it is known now.
    #[serde(flatten)]
    pub host: Host,
    /// For a peer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub p2p: Option<HostTerms>,
}

/// What a host needs to know to admit players and to stay known.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct HostTerms {
    /// Who signs the join tokens that it is to honour.
    #[serde(with = "crate::text")]
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub issuer: PeerId,
    /// The coordinator's clock as it answered: what tokens' times are compared with.
    pub now: Timestamp,
    /// How long the host counts as alive after it was last heard, in milliseconds: beat at least
    /// three times as often.
    pub lease_ms: u64,
    /// What the host shows when it speaks for itself from now on. Coordinators that ask nobody who
    /// they are may leave it out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub access: Option<HostAccess>,
}

/// A sign of life, with what the host measured.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Heartbeat {
    /// In milliseconds; at least 0.
    pub latency_ms: f64,
    /// From 0 to 100.
    pub packet_loss_percent: f64,
    /// In Mbit/s; at least 0.
    pub bandwidth_usage_mbps: f64,
    /// Players on it.
    pub current_players: u32,
    /// Zones it serves.
    pub current_zones: u32,
    /// For a peer: the nonces of the tokens of all players that are connected. A place that is not
    /// in it, and whose token has expired, is free again. At most [`MAX_PRESENT`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub present: Option<Vec<String>>,
}

/// The answer to a heartbeat: the host, and for a peer what has changed for it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct HeartbeatReply {
    /// The host as it is known now.
    #[serde(flatten)]
    pub host: Host,
    /// `server` while P2P is switched off: no more players are sent, and those who are there are to go
    /// on over the game's server. Not there otherwise.
    #[serde(default, skip_serializing_if = "Routing::is_peers")]
    pub routing: Routing,
    /// Its sessions whose players are to go on over the game's server, because P2P is switched off
    /// for all or for their zones. Not there while there are none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub server_routed: Vec<SessionName>,
    /// For a peer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub p2p: Option<HostNews>,
}

/// What a host learns from the answer to its heartbeat.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct HostNews {
    /// The coordinator's clock as it answered.
    pub now: Timestamp,
    /// Of the nonces that the heartbeat named, those that have no place any more: their players went
    /// elsewhere, or their sessions are over. The host is to close their connections.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub gone: Vec<String>,
}

/// The most bytes of a host's ICE servers, as JSON.
pub const MAX_ICE_BYTES: usize = 4096;

/// The most nonces in a heartbeat: no host may carry more players.
pub const MAX_PRESENT: usize = 10_000;
