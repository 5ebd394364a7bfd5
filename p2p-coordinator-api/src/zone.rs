//! Zones: where players meet, and what a host must be able to do to carry one.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::ids::ZoneId;

/// Whether sessions can be made in a zone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "lowercase")]
pub enum ZoneStatus {
    /// They can.
    Enabled,
    /// They cannot.
    Disabled,
    /// They cannot for a while.
    Maintenance,
}

impl ZoneStatus {
    /// All, in the contract's order.
    pub const ALL: [Self; 3] = [Self::Enabled, Self::Disabled, Self::Maintenance];

    /// As JSON has it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Enabled => "enabled",
            Self::Disabled => "disabled",
            Self::Maintenance => "maintenance",
        }
    }
}

impl fmt::Display for ZoneStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Asks for a zone to exist. Again with the same id: updates it, but for its status.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct DefineZone {
    /// Its name.
    pub zone_id: ZoneId,
    /// What the game calls it.
    pub zone_name: String,
    /// What players read.
    pub zone_display_name: String,
    /// Its map.
    pub map_name: String,
    /// The most players in one of its sessions; at least 1.
    pub max_players: u32,
    /// How many are good; at least 1.
    pub recommended_players: u32,
    /// Whether its players may meet as peers.
    pub p2p_enabled: bool,
    /// Which zone comes first in lists, from 1 to 10.
    pub p2p_priority: u32,
    /// Whether the game's server carries it when peers cannot.
    pub fallback_enabled: bool,
    /// The least quality of a host in tenths of the hosts' scale: 7.0 asks for a score of 70.
    pub min_host_quality_score: f64,
    /// The least line of a host, in Mbit/s; at least 1.
    pub min_bandwidth_mbps: u32,
    /// The most latency of a host, in milliseconds; at least 1.
    pub max_latency_ms: u32,
    /// Words.
    #[serde(default)]
    pub description: Option<String>,
}

impl DefineZone {
    /// A zone with the contract's defaults, whose names are its id.
    pub fn new(zone_id: ZoneId) -> Self {
        let name = zone_id.to_string();
        Self {
            zone_id,
            zone_name: name.clone(),
            zone_display_name: name.clone(),
            map_name: name,
            max_players: 100,
            recommended_players: 50,
            p2p_enabled: true,
            p2p_priority: 1,
            fallback_enabled: true,
            min_host_quality_score: 7.0,
            min_bandwidth_mbps: 100,
            max_latency_ms: 100,
            description: None,
        }
    }
}

/// A zone, as the coordinator shows it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Zone {
    /// Its number in the database.
    pub id: i64,
    /// What it was defined as.
    #[serde(flatten)]
    pub definition: DefineZone,
    /// Whether sessions can be made in it.
    pub status: ZoneStatus,
    /// Sessions it ever had.
    pub total_sessions: u64,
    /// Sessions that are active now.
    pub active_sessions: u64,
    /// Places that were ever taken in it.
    pub total_players_served: u64,
}
