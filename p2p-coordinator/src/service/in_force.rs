//! What can be changed while the coordinator runs.

use std::collections::BTreeSet;
use std::sync::{Arc, PoisonError};

use p2p_coordinator_api::{Routing, Zone, ZoneId, ZoneStatus};

use super::{Coordinator, Result};
use crate::domain::Refusal;
use crate::security::Rates;
use crate::store::{MAX_LIST, Store, ZoneQuery};

/// Where players play by peers; elsewhere servers run the zone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerPlay {
    /// Whether they do at all. Default yes.
    pub enabled: bool,
    /// Only in these zones. Default `None`: in all that their definitions open.
    pub zones: Option<BTreeSet<ZoneId>>,
}

impl Default for PeerPlay {
    fn default() -> Self {
        Self { enabled: true, zones: None }
    }
}

impl PeerPlay {
    /// Whether players may meet in this zone.
    ///
    /// # Errors
    ///
    /// [`Refusal::ZoneClosed`].
    pub fn allows(&self, zone: &ZoneId) -> std::result::Result<(), Refusal> {
        let why = if !self.enabled {
            "P2P is switched off, its server runs it"
        } else if self.zones.as_ref().is_some_and(|zones| !zones.contains(zone)) {
            "P2P is switched on for other zones only, its server runs it"
        } else {
            return Ok(());
        };
        Err(Refusal::ZoneClosed { zone: zone.clone(), why })
    }

    /// Over what players reach each other where no zone is named.
    pub const fn routing_at_all(&self) -> Routing {
        if self.enabled { Routing::Peers } else { Routing::Server }
    }
}

/// All of it: it changes together.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct InForce {
    /// Where players play by peers.
    pub peer_play: PeerPlay,
    /// How much may be asked. Another [`Rates::max_buckets`] changes nothing while it runs.
    pub rates: Rates,
}

impl<S> Coordinator<S> {
    /// What counts now.
    pub fn in_force(&self) -> Arc<InForce> {
        self.inner.in_force.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// From now on this counts. Sessions that there are go on, and show over what; so do hosts'
    /// heartbeats. Peers who are connected for signaling hear it from
    /// [`review_rooms`](Coordinator::review_rooms).
    pub fn put_in_force(&self, in_force: InForce) {
        *self.inner.in_force.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(in_force);
    }
}

impl<S: Store> Coordinator<S> {
    /// Zones where players may meet now, those of higher priority first; `offset` of them are left
    /// out, and there are at most `limit`.
    ///
    /// # Errors
    ///
    /// [`ServiceError::Store`](super::ServiceError::Store).
    pub async fn zones_open_to_peers(&self, offset: u32, limit: Option<u32>) -> Result<Vec<Zone>> {
        let peer_play = self.in_force().peer_play.clone();
        let (status, p2p_enabled) = (Some(ZoneStatus::Enabled), Some(true));
        match peer_play {
            PeerPlay { enabled: false, .. } => Ok(Vec::new()),
            PeerPlay { zones: None, .. } => {
                self.zones(&ZoneQuery { status, p2p_enabled, offset, limit }).await
            }
            PeerPlay { zones: Some(named), .. } => {
                let mut open = Vec::new();
                for id in &named {
                    if let Some((row, counts)) = self.store().zone(id).await?
                        && row.value.is_open().is_ok()
                    {
                        open.push(row.to_api(counts));
                    }
                }
                let order = |zone: &Zone| {
                    let definition = &zone.definition;
                    (std::cmp::Reverse(definition.p2p_priority), definition.zone_name.clone())
                };
                open.sort_by_cached_key(order);
                let limit = limit.unwrap_or(MAX_LIST).min(MAX_LIST);
                Ok(open.into_iter().skip(offset as usize).take(limit as usize).collect())
            }
        }
    }
}
