//! Where players meet, and what that asks of a host.

use p2p_coordinator_api::{DefineZone, Timestamp, Zone, ZoneStatus};

use serde::{Deserialize, Serialize};

use super::{HostView, Refusal, Row};

/// A zone as it is stored.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ZoneRecord {
    /// What it was defined as.
    pub definition: DefineZone,
    /// Whether sessions can be made in it.
    pub status: ZoneStatus,
    /// When it was first defined.
    pub created_at: Timestamp,
    /// When it last changed.
    pub updated_at: Timestamp,
}

/// What a zone is after it was defined: new, or updated in place with its status kept.
pub fn define(known: Option<&ZoneRecord>, definition: DefineZone, now: Timestamp) -> ZoneRecord {
    ZoneRecord {
        definition,
        status: known.map_or(ZoneStatus::Enabled, |known| known.status),
        created_at: known.map_or(now, |known| known.created_at),
        updated_at: now,
    }
}

impl ZoneRecord {
    /// Whether peers may meet in it.
    ///
    /// # Errors
    ///
    /// [`Refusal::ZoneClosed`].
    pub fn is_open(&self) -> Result<(), Refusal> {
        let why = match self.status {
            ZoneStatus::Enabled if self.definition.p2p_enabled => return Ok(()),
            ZoneStatus::Enabled => "P2P is disabled",
            ZoneStatus::Disabled => "it is disabled",
            ZoneStatus::Maintenance => "it is in maintenance",
        };
        Err(Refusal::ZoneClosed { zone: self.definition.zone_id.clone(), why })
    }

    /// The least score of a host, from 0 to 100. Zones state it in tenths of that scale.
    pub fn min_score(&self) -> f64 {
        self.definition.min_host_quality_score * 10.0
    }

    /// Whether a host meets the zone's demands.
    ///
    /// # Errors
    ///
    /// [`Refusal::HostUnfit`], which says what is missing.
    pub fn accepts(&self, view: &HostView) -> Result<(), Refusal> {
        let (zone, host) = (&self.definition, &view.row.value);
        let (score, min_score) = (view.score(), self.min_score());
        let what = if score < min_score {
            format!("a quality of {min_score} is asked, and it has {score}")
        } else if host.network_speed_mbps < zone.min_bandwidth_mbps {
            let (min, has) = (zone.min_bandwidth_mbps, host.network_speed_mbps);
            format!("{min} Mbit/s are asked, and it has {has}")
        } else if host.latency_ms > f64::from(zone.max_latency_ms) {
            let (max, has) = (zone.max_latency_ms, host.latency_ms);
            format!("at most {max} ms of latency are asked, and it has {has}")
        } else {
            return Ok(());
        };
        let (host, zone) = (host.host_id.clone(), zone.zone_id.clone());
        Err(Refusal::HostUnfit { host, zone, what })
    }
}

impl Row<ZoneRecord> {
    /// As clients see it, with its counters.
    pub fn to_api(&self, counts: ZoneCounts) -> Zone {
        Zone {
            id: self.id,
            definition: self.value.definition.clone(),
            status: self.value.status,
            total_sessions: counts.total_sessions,
            active_sessions: counts.active_sessions,
            total_players_served: counts.total_players_served,
        }
    }
}

/// Counted over a zone's sessions by the store.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ZoneCounts {
    /// All there ever were.
    pub total_sessions: u64,
    /// Active ones.
    pub active_sessions: u64,
    /// Places taken in them, ever.
    pub total_players_served: u64,
}
