//! Zones: defined, listed, opened to peers and closed.

use p2p_coordinator_api::{DefineZone, Zone, ZoneId, ZoneStatus};

use super::{ATTEMPTS, Coordinator, Result, ServiceError};
use crate::domain::{Change, Changes, Refusal, ZoneRecord, zone};
use crate::store::{Store, ZoneQuery};

impl<S: Store> Coordinator<S> {
    /// Makes a zone, or updates it and keeps its status. If that opens or closes it to peers, it is as
    /// with [`open_zone_to_peers`](Self::open_zone_to_peers).
    ///
    /// # Errors
    ///
    /// [`ServiceError`].
    pub async fn define_zone(&self, definition: DefineZone) -> Result<Zone> {
        self.caller.may_rule()?;
        let mut held = None;
        for attempt in 0..ATTEMPTS {
            self.alone(attempt, &mut held).await;
            let known = self.store().zone(&definition.zone_id).await?;
            let record = known.as_ref().map(|(row, _)| &row.value);
            let zone = zone::define(record, definition.clone(), self.now());
            let place = known.as_ref().map(|(row, _)| (row.id, row.version));
            let changes =
                Changes { zones: vec![Change::upsert(place, zone)], ..Changes::default() };
            let Some(committed) = self.commit(changes).await? else { continue };
            let Some(row) = committed.zones.into_iter().next() else { continue };
            self.note_zone(record, &row.value);
            let counts = known.map(|(_, counts)| counts).unwrap_or_default();
            return Ok(row.to_api(counts));
        }
        Err(ServiceError::Contended)
    }

    /// A zone.
    ///
    /// # Errors
    ///
    /// [`Refusal::UnknownZone`]; otherwise [`ServiceError`].
    pub async fn zone(&self, id: &ZoneId) -> Result<Zone> {
        let found = self.store().zone(id).await?;
        let (row, counts) = found.ok_or_else(|| Refusal::UnknownZone(id.clone()))?;
        Ok(row.to_api(counts))
    }

    /// Zones, those of higher priority first.
    ///
    /// # Errors
    ///
    /// [`ServiceError::Store`].
    pub async fn zones(&self, query: &ZoneQuery) -> Result<Vec<Zone>> {
        let rows = self.store().zones(query).await?;
        Ok(rows.iter().map(|(row, counts)| row.to_api(*counts)).collect())
    }

    /// Opens a zone to peers, or closes it to them. Sessions that there are go on, and show over what;
    /// so do their hosts' heartbeats. Members who are connected for signaling are told
    /// ([`tend_peers`](Self::tend_peers)).
    ///
    /// # Errors
    ///
    /// [`Refusal::UnknownZone`]; otherwise [`ServiceError`].
    pub async fn open_zone_to_peers(&self, id: &ZoneId, open: bool) -> Result<Zone> {
        self.change_zone(id, |zone| zone.definition.p2p_enabled = open).await
    }

    /// Enables a zone, or takes it out. Sessions that there are go on, as if it were
    /// [closed to peers](Self::open_zone_to_peers).
    ///
    /// # Errors
    ///
    /// [`Refusal::UnknownZone`]; otherwise [`ServiceError`].
    pub async fn set_zone_status(&self, id: &ZoneId, status: ZoneStatus) -> Result<Zone> {
        self.change_zone(id, |zone| zone.status = status).await
    }

    async fn change_zone(&self, id: &ZoneId, change: impl Fn(&mut ZoneRecord)) -> Result<Zone> {
        self.caller.may_rule()?;
        let mut held = None;
        for attempt in 0..ATTEMPTS {
            self.alone(attempt, &mut held).await;
            let found = self.store().zone(id).await?;
            let (mut row, counts) = found.ok_or_else(|| Refusal::UnknownZone(id.clone()))?;
            let before = row.value.clone();
            change(&mut row.value);
            row.value.updated_at = self.now();
            let changes = Changes { zones: vec![Change::Update(row)], ..Changes::default() };
            let Some(committed) = self.commit(changes).await? else { continue };
            if let Some(row) = committed.zones.first() {
                self.note_zone(Some(&before), &row.value);
                return Ok(row.to_api(counts));
            }
        }
        Err(ServiceError::Contended)
    }
}
