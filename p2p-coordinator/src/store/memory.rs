//! Records in memory: for simulations and trials. They end with the process.

use std::borrow::Cow;
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use p2p_coordinator_api::{
    HostId, HostStatus, Nonce, PlayerId, SessionName, SessionStatus, Timestamp, ZoneId,
};

use super::tally::{Tally, Weight};
use super::{
    Committed, GrantQuery, HostQuery, OPEN_SESSIONS, PlacementQuery, RANKS, ROUNDING, SessionKey,
    SessionQuery, Stamp, Store, StoreError, Totals, ZoneQuery, limit,
};
use crate::domain::placement::{self, Candidate, PlacementView, SessionOnHost};
use crate::domain::session::{Hold, Seat};
use crate::domain::zone::ZoneCounts;
use crate::domain::{
    Beat, Change, Changes, HostRecord, HostView, Load, Row, RowId, SeatChange, SessionRecord,
    Terms, ZoneRecord,
};
use crate::security::GrantRecord;

/// Keeps records in memory, in the order of their numbers.
///
/// A handle: clones are the same store. One that a simulation holds outlives a coordinator that
/// crashes, as a file would; nothing survives the process.
#[derive(Clone, Default)]
pub struct MemoryStore {
    state: Arc<Mutex<State>>,
}

#[derive(Clone, Default)]
struct State {
    hosts: Table<HostRecord>,
    zones: Table<ZoneRecord>,
    sessions: Table<SessionRecord>,
    /// Who has a place where: the order of coming, the session, what keeps the place.
    seats: BTreeMap<PlayerId, (u64, SessionName, Option<Hold>)>,
    seats_taken: u64,
    /// Who has a place in a session, in the order of coming.
    seated: BTreeMap<SessionName, BTreeMap<u64, PlayerId>>,
    /// The live sessions on each host.
    live: BTreeMap<RowId, BTreeSet<RowId>>,
    /// Of each zone.
    counts: BTreeMap<RowId, [i64; 3]>,
    grants: Table<GrantRecord>,
    /// How often something was written.
    writes: u64,
}

#[derive(Clone)]
struct Table<T> {
    rows: BTreeMap<RowId, Row<T>>,
    names: BTreeMap<String, RowId>,
    last: RowId,
}

impl<T> Default for Table<T> {
    fn default() -> Self {
        Self { rows: BTreeMap::new(), names: BTreeMap::new(), last: 0 }
    }
}

trait Named {
    fn name(&self) -> Cow<'_, str>;
}

impl Named for HostRecord {
    fn name(&self) -> Cow<'_, str> {
        self.host_id.as_str().into()
    }
}

impl Named for ZoneRecord {
    fn name(&self) -> Cow<'_, str> {
        self.definition.zone_id.as_str().into()
    }
}

impl Named for SessionRecord {
    fn name(&self) -> Cow<'_, str> {
        self.name.as_str().into()
    }
}

impl Named for GrantRecord {
    fn name(&self) -> Cow<'_, str> {
        self.family.to_string().into()
    }
}

impl<T: Named + Clone> Table<T> {
    fn by_name(&self, name: &str) -> Option<&Row<T>> {
        self.rows.get(self.names.get(name)?)
    }

    /// Whether each change is of what is there once those before it are made.
    fn check(&self, changes: &[Change<T>]) -> Result<(), StoreError> {
        let mut names: BTreeMap<Cow<'_, str>, bool> = BTreeMap::new();
        let mut versions: BTreeMap<RowId, Option<u64>> = BTreeMap::new();
        for change in changes {
            match change {
                Change::Insert(value) => {
                    let name = value.name();
                    let taken = || self.names.contains_key(&*name);
                    if names.get(&name).copied().unwrap_or_else(taken) {
                        return Err(StoreError::Conflict);
                    }
                    names.insert(name, true);
                }
                Change::Update(Row { id, version, .. }) | Change::Delete { id, version } => {
                    let row = self.rows.get(id);
                    let stored = || row.map(|row| row.version);
                    if versions.get(id).copied().unwrap_or_else(stored) != Some(*version) {
                        return Err(StoreError::Conflict);
                    }
                    let kept = matches!(change, Change::Update(_));
                    versions.insert(*id, kept.then(|| *version + 1));
                    names.extend(row.filter(|_| !kept).map(|row| (row.value.name(), false)));
                }
            }
        }
        Ok(())
    }

    fn apply(&mut self, change: Change<T>) -> Option<Row<T>> {
        let row = match change {
            Change::Insert(value) => {
                self.last += 1;
                self.names.insert(value.name().into_owned(), self.last);
                Row { id: self.last, version: 1, value }
            }
            Change::Update(row) => Row { version: row.version + 1, ..row },
            Change::Delete { id, .. } => {
                let row = self.rows.remove(&id)?;
                self.names.remove(&*row.value.name());
                return None;
            }
        };
        self.rows.insert(row.id, row.clone());
        Some(row)
    }
}

impl State {
    fn live_on(&self, host: RowId) -> impl Iterator<Item = &SessionRecord> + Clone {
        let live = self.live.get(&host).into_iter().flatten();
        live.filter_map(|id| self.sessions.rows.get(id)).map(|row| &row.value)
    }

    fn view(&self, row: &Row<HostRecord>) -> HostView {
        let live = self.live_on(row.id);
        let players: usize = live.clone().map(|session| session.seats.len()).sum();
        let zones: BTreeSet<_> = live.map(|session| &session.zone_id).collect();
        let placed = Load { players: count(players), zones: count(zones.len()) };
        HostView { row: row.clone(), placed }
    }

    fn with_zones(&self, host: HostView) -> Candidate {
        let served: BTreeSet<_> =
            self.live_on(host.row.id).map(|session| &session.zone_id).collect();
        Candidate { host, served: served.into_iter().cloned().collect() }
    }

    fn seats_of(&self, session: &SessionRecord) -> Vec<Seat> {
        let players = self.seated.get(&session.name).into_iter().flat_map(BTreeMap::values);
        let seat = |player: &PlayerId| {
            let (_, _, hold) = self.seats.get(player)?;
            Some(Seat { player: player.clone(), hold: hold.clone() })
        };
        players.filter_map(seat).collect()
    }

    fn seated(&self, row: &Row<SessionRecord>) -> Row<SessionRecord> {
        let mut row = row.clone();
        row.value.seats = self.seats_of(&row.value);
        row
    }

    fn counted(&self, zone: &Row<ZoneRecord>) -> (Row<ZoneRecord>, ZoneCounts) {
        let [total, active, served] = self.counts.get(&zone.id).copied().unwrap_or_default();
        let number = |count: i64| u64::try_from(count).unwrap_or(0);
        let counts = ZoneCounts {
            total_sessions: number(total),
            active_sessions: number(active),
            total_players_served: number(served),
        };
        (zone.clone(), counts)
    }

    fn totals(&self) -> Totals {
        let mut totals = Totals {
            hosts: self.hosts.rows.len() as u64,
            zones: self.zones.rows.len() as u64,
            ..Totals::default()
        };
        let hosts = self.hosts.rows.values();
        for host in hosts.filter(|row| row.value.status == HostStatus::Online) {
            let rank = self.view(host).rank();
            totals.quality_score += rank;
            totals.online[RANKS.iter().filter(|bound| rank >= **bound).count()] += 1;
        }
        totals.quality_score = mean(totals.quality_score, totals.online.iter().sum());
        for zone in self.zones.rows.values() {
            let (_, counts) = self.counted(zone);
            totals.zones_for_peers += u64::from(zone.value.definition.p2p_enabled);
            totals.sessions += counts.total_sessions;
            totals.active_sessions += counts.active_sessions;
        }
        let mut hosts = 0;
        let live = self.live.values().flatten().filter_map(|id| self.sessions.rows.get(id));
        for session in live.filter(|row| row.value.status == SessionStatus::Active) {
            totals.players += session.value.seats.len() as u64;
            let host = self.hosts.rows.get(&session.value.host);
            let measured = session.value.metrics.latency_ms;
            if let Some(latency) = measured.or(host.map(|host| host.value.latency_ms)) {
                hosts += 1;
                totals.latency_ms += latency;
            }
        }
        totals.latency_ms = mean(totals.latency_ms, hosts);
        totals
    }

    fn hosts_by_rank(&self) -> Vec<HostView> {
        let mut views: Vec<_> = self.hosts.rows.values().map(|row| self.view(row)).collect();
        views.sort_by(|a, b| {
            (b.rank().total_cmp(&a.rank()))
                .then_with(|| a.row.value.host_id.cmp(&b.row.value.host_id))
        });
        views
    }

    fn on_host(&self, session: &Row<SessionRecord>) -> Option<SessionOnHost> {
        let host = self.view(self.hosts.rows.get(&session.value.host)?);
        Some(SessionOnHost { session: self.seated(session), host })
    }

    fn session_of(&self, player: &PlayerId) -> Option<&Row<SessionRecord>> {
        let (_, name, _) = self.seats.get(player)?;
        self.sessions.by_name(name.as_str())
    }

    fn check(&self, changes: &Changes) -> Result<(), StoreError> {
        self.hosts.check(&changes.hosts)?;
        for (id, version) in &changes.held {
            if self.hosts.rows.get(id).map(|row| row.version) != Some(*version) {
                return Err(StoreError::Conflict);
            }
        }
        self.zones.check(&changes.zones)?;
        self.sessions.check(&changes.sessions)?;
        self.grants.check(&changes.grants)?;
        let mut moved: BTreeMap<&PlayerId, Option<&SessionName>> = BTreeMap::new();
        for SeatChange { player, from, to } in &changes.seats {
            let stored = || self.seats.get(player).map(|(_, session, _)| session);
            if moved.get(player).copied().unwrap_or_else(stored) != from.as_ref() {
                return Err(StoreError::Conflict);
            }
            moved.insert(player, to.as_ref().map(|(session, _)| session));
        }
        Ok(())
    }

    fn apply(&mut self, changes: Changes) -> Committed {
        self.writes += 1;
        for change in changes.seats {
            self.seat(change);
        }
        for change in changes.grants {
            self.grants.apply(change);
        }
        for (id, version) in changes.held {
            if let Some(row) = self.hosts.rows.get_mut(&id) {
                row.version = version + 1;
            }
        }
        let hosts = changes.hosts.into_iter().filter_map(|change| self.hosts.apply(change));
        let hosts = hosts.collect();
        let zones = changes.zones.into_iter().filter_map(|change| self.zones.apply(change));
        let zones = zones.collect();
        let written: Vec<_> =
            changes.sessions.into_iter().filter_map(|change| self.session(change)).collect();
        let sessions = written.iter().map(|row| self.seated(row)).collect();
        Committed { hosts, zones, sessions }
    }

    fn seat(&mut self, SeatChange { player, from, to }: SeatChange) {
        let before = self.seats.remove(&player);
        let kept = before.as_ref().filter(|_| from.as_ref() == to.as_ref().map(|(name, _)| name));
        let order = kept.map_or(self.seats_taken, |(order, ..)| *order);
        if let Some((order, session, _)) = &before
            && let Some(seated) = self.seated.get_mut(session)
        {
            seated.remove(order);
            if seated.is_empty() {
                self.seated.remove(session);
            }
        }
        if let Some((session, hold)) = to {
            self.seats_taken += 1;
            self.seated.entry(session.clone()).or_default().insert(order, player.clone());
            self.seats.insert(player, (order, session, hold));
        }
    }

    fn session(&mut self, change: Change<SessionRecord>) -> Option<Row<SessionRecord>> {
        let known = match &change {
            Change::Insert(_) => None,
            Change::Update(Row { id, .. }) | Change::Delete { id, .. } => Some(*id),
        };
        let before =
            known.and_then(|id| Some((id, Weight::of(&self.sessions.rows.get(&id)?.value))));
        let written = self.sessions.apply(change);
        let after = written.as_ref().map(|row| (row.id, Weight::of(&row.value)));
        let mut tally = Tally::default();
        tally.note(before.map(|(_, weight)| weight), after.map(|(_, weight)| weight));
        for (zone, more) in tally.zones {
            let counts = self.counts.entry(zone).or_default();
            for (count, more) in counts.iter_mut().zip(more) {
                *count = count.saturating_add(more);
            }
        }
        for (id, weight) in [before, after].into_iter().flatten() {
            let live = self.live.entry(weight.host).or_default();
            live.remove(&id);
        }
        if let Some((id, weight)) = after.filter(|(_, weight)| weight.status.is_live()) {
            self.live.entry(weight.host).or_default().insert(id);
        }
        written
    }
}

fn mean(sum: f64, of: u64) -> f64 {
    if of == 0 { 0.0 } else { sum / of as f64 }
}

fn count(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

fn page<T>(items: impl Iterator<Item = T>, offset: u32, most: Option<u32>) -> Vec<T> {
    items.skip(offset as usize).take(limit(most) as usize).collect()
}

impl MemoryStore {
    /// An empty one.
    pub fn new() -> Self {
        Self::default()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // A panic while it was held changed nothing by half: `apply` does not fail.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for MemoryStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.state();
        f.debug_struct("MemoryStore")
            .field("hosts", &state.hosts.rows.len())
            .field("zones", &state.zones.rows.len())
            .field("sessions", &state.sessions.rows.len())
            .finish_non_exhaustive()
    }
}

#[async_trait]
impl Store for MemoryStore {
    fn name(&self) -> &'static str {
        "memory"
    }

    async fn host(&self, host: &HostId) -> Result<Option<HostView>, StoreError> {
        let state = self.state();
        Ok(state.hosts.by_name(host.as_str()).map(|row| state.view(row)))
    }

    async fn candidate(&self, host: &HostId) -> Result<Option<Candidate>, StoreError> {
        let state = self.state();
        let found = state.hosts.by_name(host.as_str());
        Ok(found.map(|row| state.with_zones(state.view(row))))
    }

    async fn hosts(&self, query: &HostQuery) -> Result<Vec<HostView>, StoreError> {
        let state = self.state();
        let wanted = state.hosts_by_rank().into_iter().filter(|view| {
            let host = &view.row.value;
            query.status.is_none_or(|status| host.status == status)
                && query.min_score.is_none_or(|min| view.rank() >= min - ROUNDING)
                && query.available_at.is_none_or(|now| view.is_available(now))
                && query
                    .lost_at
                    .is_none_or(|now| host.status != HostStatus::Offline && host.lease_until <= now)
                && query.leased_beyond.is_none_or(|most| {
                    host.status != HostStatus::Offline && host.lease_until > most
                })
        });
        Ok(page(wanted, query.offset, query.limit))
    }

    async fn zone(
        &self,
        zone: &ZoneId,
    ) -> Result<Option<(Row<ZoneRecord>, ZoneCounts)>, StoreError> {
        let state = self.state();
        Ok(state.zones.by_name(zone.as_str()).map(|row| state.counted(row)))
    }

    async fn zones(
        &self,
        query: &ZoneQuery,
    ) -> Result<Vec<(Row<ZoneRecord>, ZoneCounts)>, StoreError> {
        let state = self.state();
        let mut rows: Vec<_> = state.zones.rows.values().collect();
        let key = |row: &Row<ZoneRecord>| {
            let zone = &row.value.definition;
            (u32::MAX - zone.p2p_priority, zone.zone_name.clone(), zone.zone_id.clone())
        };
        rows.sort_by_cached_key(|row| key(row));
        let wanted = rows.into_iter().filter(|row| {
            query.status.is_none_or(|status| row.value.status == status)
                && query.p2p_enabled.is_none_or(|on| row.value.definition.p2p_enabled == on)
        });
        Ok(page(wanted.map(|row| state.counted(row)), query.offset, query.limit))
    }

    async fn session(&self, key: &SessionKey) -> Result<Option<Row<SessionRecord>>, StoreError> {
        let state = self.state();
        let row = match key {
            SessionKey::Name(name) => state.sessions.by_name(name.as_str()),
            SessionKey::Number(number) => state.sessions.rows.get(number),
        };
        Ok(row.map(|row| state.seated(row)))
    }

    async fn sessions(&self, query: &SessionQuery) -> Result<Vec<Row<SessionRecord>>, StoreError> {
        let state = self.state();
        let wanted = state.sessions.rows.values().filter(|row| {
            query.host.is_none_or(|host| row.value.host == host)
                && query.zone.is_none_or(|zone| row.value.zone == zone)
                && (query.status.is_empty() || query.status.contains(&row.value.status))
                && query.idle_since.is_none_or(|since| row.value.updated_at <= since)
                && query.changed_after.is_none_or(|moment| row.value.updated_at > moment)
        });
        Ok(page(wanted.map(|row| state.seated(row)), query.offset, query.limit))
    }

    async fn session_of(
        &self,
        player: &PlayerId,
    ) -> Result<Option<Row<SessionRecord>>, StoreError> {
        let state = self.state();
        Ok(state.session_of(player).map(|row| state.seated(row)))
    }

    async fn sessions_of(
        &self,
        players: &[PlayerId],
    ) -> Result<BTreeMap<PlayerId, Row<SessionRecord>>, StoreError> {
        let state = self.state();
        let session = |player: &PlayerId| {
            let row = state.session_of(player)?;
            Some((player.clone(), state.seated(row)))
        };
        Ok(players.iter().filter_map(session).collect())
    }

    async fn placement(&self, query: &PlacementQuery) -> Result<Option<PlacementView>, StoreError> {
        let (state, now) = (self.state(), query.now);
        let Some(zone) = state.zones.by_name(query.zone.as_str()) else { return Ok(None) };
        let present = (query.player.as_ref())
            .and_then(|player| state.session_of(player))
            .and_then(|session| state.on_host(session));
        let wanted = |host: &HostRecord| {
            (host.peer.is_some() || !query.peer) && !query.avoid.contains(&host.host_id)
        };
        let mut open: Vec<_> = state
            .sessions
            .rows
            .values()
            .filter(|row| query.enter && row.value.zone == zone.id)
            .filter_map(|row| state.on_host(row))
            .filter(|open| {
                open.session.value.has_room()
                    && open.host.can_take(1, now).is_ok()
                    && wanted(&open.host.row.value)
            })
            .collect();
        open.sort_by_key(|open| (usize::MAX - open.session.value.seats.len(), open.session.id));
        open.truncate(OPEN_SESSIONS as usize);
        let mut view = PlacementView { zone: zone.clone(), present, open, hosts: Vec::new() };
        if !query.enter || !placement::suffices(&view, query.wish(), now) {
            let fit = |candidate: &Candidate| {
                let Candidate { host, served } = candidate;
                placement::can_open(host, served, &zone.value, query.players, now).is_ok()
            };
            let hosts = state.hosts_by_rank().into_iter().filter(|host| wanted(&host.row.value));
            let fit = hosts.map(|host| state.with_zones(host)).filter(fit);
            view.hosts = fit.take(query.hosts as usize).collect();
        }
        Ok(Some(view))
    }

    async fn grant(&self, family: &Nonce) -> Result<Option<Row<GrantRecord>>, StoreError> {
        Ok(self.state().grants.by_name(&family.to_string()).cloned())
    }

    async fn grants(&self, query: &GrantQuery) -> Result<Vec<Row<GrantRecord>>, StoreError> {
        let state = self.state();
        let wanted = state.grants.rows.values().filter(|row| {
            let grant = &row.value;
            query.player.as_ref().is_none_or(|player| grant.player == *player)
                && query.revoked.is_none_or(|revoked| grant.revoked == revoked)
                && query.expired_at.is_none_or(|now| grant.expires_at <= now)
        });
        let mut rows: Vec<_> = wanted.collect();
        rows.sort_by_key(|row| (Reverse(row.value.expires_at), row.id));
        Ok(page(rows.into_iter().cloned(), query.offset, query.limit))
    }

    async fn totals(&self) -> Result<Totals, StoreError> {
        Ok(self.state().totals())
    }

    async fn commit(&self, changes: Changes) -> Result<Committed, StoreError> {
        let mut state = self.state();
        state.check(&changes)?;
        Ok(state.apply(changes))
    }

    async fn hear(&self, beats: Vec<Beat>, terms: &Terms) -> Result<Vec<HostView>, StoreError> {
        let state = &mut *self.state();
        state.writes += 1;
        let mut heard = BTreeSet::new();
        for beat in beats {
            let Some(mut row) = state.hosts.by_name(beat.host.as_str()).cloned() else { continue };
            heard.insert(row.id);
            if row.value.hear(&beat, terms) {
                state.hosts.apply(Change::Update(row));
            }
        }
        let rows = heard.iter().filter_map(|id| state.hosts.rows.get(id));
        Ok(rows.map(|row| state.view(row)).collect())
    }

    async fn prune(
        &self,
        ended_by: Timestamp,
        keep: u32,
        at_most: u32,
    ) -> Result<usize, StoreError> {
        let mut state = self.state();
        state.writes += 1;
        let over = state.sessions.rows.values().filter(|row| !row.value.status.is_live());
        let mut over: Vec<_> =
            over.filter_map(|row| Some((row.value.ended_at?, row.id, row.version))).collect();
        over.sort_unstable();
        let beyond = over.len().saturating_sub(keep as usize);
        let forgotten: Vec<_> = (over.into_iter().enumerate())
            .filter(|(place, (ended, ..))| *place < beyond || *ended <= ended_by)
            .take(at_most as usize)
            .collect();
        for (_, (_, id, version)) in &forgotten {
            state.session(Change::Delete { id: *id, version: *version });
        }
        Ok(forgotten.len())
    }

    async fn stamp(&self) -> Result<Option<Stamp>, StoreError> {
        Ok(Some(Stamp::new(self.state().writes.to_string())))
    }

    async fn check(&self) -> Result<(), StoreError> {
        Ok(())
    }

    async fn close(&self) {}
}
