//! Over what players reach each other: by what is in force, and by what each zone's record says.

use std::collections::BTreeMap;

use p2p_coordinator_api::{Routing, Session, ZoneId};

use super::{Coordinator, Result, ServiceError};
use crate::domain::{Row, SessionRecord, ZoneRecord};
use crate::store::Store;

/// Over what players reach each other in zones, of which each is looked up once.
pub(super) struct Routes<'a, S> {
    coordinator: &'a Coordinator<S>,
    known: BTreeMap<ZoneId, Routing>,
}

impl<S: Store> Routes<'_, S> {
    pub(super) async fn of(&mut self, zone: &ZoneId) -> Result<Routing> {
        if let Some(known) = self.known.get(zone) {
            return Ok(*known);
        }
        let routing = self.coordinator.routing(zone).await?;
        self.known.insert(zone.clone(), routing);
        Ok(routing)
    }

    /// A session as clients see it now.
    pub(super) async fn show(&mut self, row: &Row<SessionRecord>) -> Result<Session> {
        let mut session = row.to_api();
        if row.value.status.is_live() {
            session.routing = self.of(&row.value.zone_id).await?;
        }
        Ok(session)
    }
}

impl<S: Store> Coordinator<S> {
    pub(super) const fn routes(&self) -> Routes<'_, S> {
        Routes { coordinator: self, known: BTreeMap::new() }
    }

    /// Whether players may meet in a zone, by what is in force and by its record.
    pub(super) async fn may_meet(&self, zone: &ZoneId) -> Result<()> {
        self.in_force().peer_play.allows(zone)?;
        if let Some((row, _)) = self.store().zone(zone).await? {
            row.value.is_open()?;
        }
        Ok(())
    }

    pub(super) async fn routing(&self, zone: &ZoneId) -> Result<Routing> {
        match self.may_meet(zone).await {
            Ok(()) => Ok(Routing::Peers),
            Err(ServiceError::Refused(_)) => Ok(Routing::Server),
            Err(error) => Err(error),
        }
    }

    /// After a zone was written: if it was opened or closed, those in it are told soon.
    pub(super) fn note_zone(&self, before: Option<&ZoneRecord>, after: &ZoneRecord) {
        let is_open = after.is_open().is_ok();
        if before.is_some_and(|before| before.is_open().is_ok() != is_open) {
            tracing::info!(zone = %after.definition.zone_id, open = is_open, "zone opened or closed");
            self.inner.signaling.look_soon();
        }
    }
}
