//! What the service tells of itself in numbers.

use std::collections::BTreeMap;

use serde::Serialize;

use super::{Coordinator, Result, ServiceError};
use crate::monitoring::{Tally, Text};
use crate::store::{Store, StoreError, Totals};
use crate::world::RequestId;

/// The answer at `/monitoring/dashboard`.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[non_exhaustive]
pub struct Dashboard {
    /// Hosts.
    pub hosts: HostFigures,
    /// Zones.
    pub zones: ZoneFigures,
    /// Sessions.
    pub sessions: SessionFigures,
    /// Each store in use, and how it is.
    pub system: BTreeMap<String, String>,
    /// Why the numbers are all zero.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<&'static str>,
}

/// Hosts in numbers.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[non_exhaustive]
pub struct HostFigures {
    /// All of them.
    pub total: u64,
    /// Online ones.
    pub online: u64,
    /// All others.
    pub offline: u64,
    /// The mean of those online, from 0 to 100, with two digits.
    pub average_quality_score: f64,
}

/// Zones in numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[non_exhaustive]
pub struct ZoneFigures {
    /// All of them.
    pub total: u64,
    /// Those that are open to peers, whatever their status.
    pub enabled: u64,
    /// All others.
    pub disabled: u64,
}

/// Sessions in numbers.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[non_exhaustive]
pub struct SessionFigures {
    /// All there ever were.
    pub total: u64,
    /// Active ones.
    pub active: u64,
    /// All others.
    pub inactive: u64,
    /// Who has a place in an active one.
    pub total_players: u64,
    /// The mean over active ones of what their hosts measured, in milliseconds, with two digits.
    pub average_latency_ms: f64,
}

/// The answer at `/monitoring/hosts/stats`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[non_exhaustive]
pub struct HostStats {
    /// Hosts that are online.
    pub total_online: u64,
    /// By how good they are.
    pub quality_distribution: QualityDistribution,
}

/// Hosts by how good they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[non_exhaustive]
pub struct QualityDistribution {
    /// From 90 on.
    pub excellent: u64,
    /// From 70 on.
    pub good: u64,
    /// From 50 on.
    pub fair: u64,
    /// All others.
    pub poor: u64,
}

/// To two digits; what JSON cannot say becomes the largest number that it can.
fn rounded(number: f64) -> f64 {
    let number = number.clamp(f64::MIN, f64::MAX);
    let rounded = (number * 100.0).round() / 100.0;
    // Numbers so large have no digits behind the point.
    if rounded.is_finite() { rounded } else { number }
}

impl Dashboard {
    fn new(totals: &Totals, system: BTreeMap<String, String>) -> Self {
        let online = totals.online.iter().sum();
        Self {
            hosts: HostFigures {
                total: totals.hosts,
                online,
                offline: totals.hosts.saturating_sub(online),
                average_quality_score: rounded(totals.quality_score),
            },
            zones: ZoneFigures {
                total: totals.zones,
                enabled: totals.zones_for_peers,
                disabled: totals.zones.saturating_sub(totals.zones_for_peers),
            },
            sessions: SessionFigures {
                total: totals.sessions,
                active: totals.active_sessions,
                inactive: totals.sessions.saturating_sub(totals.active_sessions),
                total_players: totals.players,
                average_latency_ms: rounded(totals.latency_ms),
            },
            system,
            error: None,
        }
    }
}

impl<S> Coordinator<S> {
    /// What is counted of its work.
    pub(crate) fn tally(&self) -> &Tally {
        &self.inner.tally
    }

    /// A name for a request that came without one.
    pub(crate) fn request_id(&self) -> RequestId {
        self.inner.random.request_id()
    }

    /// Counts what the store did not do.
    pub(super) fn note(&self, error: &ServiceError) {
        match error {
            ServiceError::Store(StoreError::Unavailable { .. }) => {
                self.tally().store_unavailable.add_one();
            }
            ServiceError::Store(StoreError::Failed { .. }) => self.tally().store_failed.add_one(),
            _ => {}
        }
    }
}

impl<S: Store> Coordinator<S> {
    /// The numbers of the dashboard. If the store does not give them, they are zero, and there is a
    /// sentence that says so.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses nothing.
    pub async fn dashboard(&self) -> Dashboard {
        let name = self.store().name().to_owned();
        match self.totals().await {
            Ok(totals) => Dashboard::new(&totals, [(name, "connected".to_owned())].into()),
            Err(error) => {
                self.note(&error);
                tracing::error!(error = &error as &dyn std::error::Error, "no dashboard");
                let system = [(name, "unavailable".to_owned())].into();
                let error = Some("The database cannot be asked at this moment: try again");
                Dashboard { error, ..Dashboard::new(&Totals::default(), system) }
            }
        }
    }

    /// How good the hosts are that are online.
    ///
    /// # Errors
    ///
    /// [`ServiceError::Store`].
    pub async fn host_stats(&self) -> Result<HostStats> {
        let [poor, fair, good, excellent] = self.totals().await?.online;
        Ok(HostStats {
            total_online: poor + fair + good + excellent,
            quality_distribution: QualityDistribution { excellent, good, fair, poor },
        })
    }

    /// The metrics for Prometheus, but for those of a door. Whether the store gave its numbers: if
    /// not, there is nothing but that.
    pub(crate) async fn write_metrics(&self, text: &mut Text) -> bool {
        let up = "p2p_coordinator_up";
        let help = "Whether the coordinator and its store work";
        let totals = match self.totals().await {
            Ok(totals) => totals,
            Err(error) => {
                self.note(&error);
                tracing::error!(error = &error as &dyn std::error::Error, "no metrics");
                text.gauge(up, help, 0);
                return false;
            }
        };
        let Dashboard { hosts, zones, sessions, .. } = Dashboard::new(&totals, BTreeMap::new());
        text.gauge("p2p_hosts_total", "Hosts", hosts.total);
        text.gauge("p2p_hosts_online", "Hosts that are online", hosts.online);
        let score = hosts.average_quality_score;
        text.gauge("p2p_host_quality_score_avg", "Mean score of hosts that are online", score);
        text.gauge("p2p_zones_total", "Zones", zones.total);
        text.gauge("p2p_zones_enabled", "Zones that are open to peers", zones.enabled);
        text.gauge("p2p_sessions_total", "Sessions, also those that are over", sessions.total);
        text.gauge("p2p_sessions_active", "Active sessions", sessions.active);
        text.gauge("p2p_players_total", "Players in active sessions", sessions.total_players);
        let latency = sessions.average_latency_ms;
        let name = "p2p_session_latency_ms_avg";
        text.gauge(name, "Mean latency of active sessions by their hosts, in ms", latency);
        text.gauge(up, help, 1);
        let signaling = self.signaling_stats();
        let (connections, rooms) = (signaling.active_connections, signaling.active_sessions);
        text.gauge("p2p_signaling_connections", "Peers connected for signaling", connections);
        text.gauge("p2p_signaling_sessions", "Sessions in which such a peer is", rooms);
        self.tally().write(text);
        true
    }

    /// One at a time: however many ask, the store counts once at a moment.
    async fn totals(&self) -> Result<Totals> {
        let _turn = self.inner.counting.lock().await;
        self.settle().await?;
        Ok(self.store().totals().await?)
    }
}
