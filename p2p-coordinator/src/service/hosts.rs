//! Hosts: registered, heard, lost, removed.

use std::collections::BTreeSet;

use bytes::Bytes;
use p2p_coordinator_api::{
    Challenge, Heartbeat, HeartbeatReply, Host, HostId, HostNews, HostTerms, IssuedChallenge,
    Nonce, PlayerId, RegisterHost, RegisteredHost, SessionName,
};

use super::pages::true_until;
use super::{ATTEMPTS, Coordinator, Result, ServiceError};
use crate::domain::{Beat, Change, Changes, HostView, Refusal, Row, SessionRecord, host};
use crate::store::{HostQuery, MAX_LIST, SessionQuery, Store, StoreError};

impl<S: Store> Coordinator<S> {
    /// What a host is to sign to prove its peer id.
    pub fn challenge(&self) -> IssuedChallenge {
        let (inner, now) = (&self.inner, self.now());
        let challenge = Challenge::new(&inner.key, now, inner.random.bytes());
        IssuedChallenge { challenge, expires_at: now.after(Challenge::LIFETIME) }
    }

    /// Makes a host known, or updates it.
    ///
    /// # Errors
    ///
    /// [`Refusal::Proof`] or [`Refusal::HostTaken`]; otherwise [`ServiceError`].
    pub async fn register_host(&self, request: RegisterHost) -> Result<RegisteredHost> {
        let (id, terms) = (request.host_id.clone(), self.settings().terms);
        if let Some(proof) = &request.p2p {
            proof.check(&id, self.issuer(), self.now()).map_err(Refusal::Proof)?;
        }
        let fresh = request.p2p.as_ref().is_some_and(|proof| proof.fresh);
        let mut held = None;
        for attempt in 0..ATTEMPTS {
            self.alone(attempt, &mut held).await;
            let mut known = self.store().host(&id).await?;
            if let Some(view) = &mut known {
                self.inner.pulse.overlay(view, &terms);
            }
            let mut sessions = Vec::new();
            if let (Some(view), true) = (&known, fresh) {
                sessions = self.live_sessions(view).await?;
            }
            // After the reading: whatever was given before it has another time on it, and what is
            // given after it makes the commit fail. The host honours later tokens only.
            let now = self.now();
            let record = known.as_ref().map(|view| &view.row.value);
            self.caller.may_register(&request, record)?;
            let registered = host::register(record, request.clone(), &terms, now)?;
            let mut changes = Changes::default();
            for mut session in sessions {
                let freed = session.value.restart(now);
                changes.free(&session.value.name, freed);
                changes.sessions.push(Change::Update(session));
            }
            let place = known.as_ref().map(|view| (view.row.id, view.row.version));
            changes.hosts.push(Change::upsert(place, registered));
            let Some(committed) = self.commit(changes).await? else { continue };
            let Some(row) = committed.hosts.into_iter().next() else { continue };
            let placed = known.map(|view| view.placed).unwrap_or_default();
            tracing::info!(host = %id, peer = row.value.peer.is_some(), "host registered");
            let p2p = row.value.peer_id().map(|peer| HostTerms {
                issuer: self.issuer(),
                now,
                lease_ms: u64::try_from(terms.lease.as_millis()).unwrap_or(u64::MAX),
                access: Some(self.host_access(&id, &row.value.player_id, peer)),
            });
            return Ok(RegisteredHost { host: HostView { row, placed }.to_api(), p2p });
        }
        Err(ServiceError::Contended)
    }

    /// Takes a sign of life, frees the places of players that the host does not have, and tells it
    /// whom it has that have no place.
    ///
    /// What it says may be written later, with others' (see [`write_heartbeats`]); of a host that is a
    /// peer it is written first.
    ///
    /// [`write_heartbeats`]: Self::write_heartbeats
    ///
    /// # Errors
    ///
    /// [`Refusal::UnknownHost`]; otherwise [`ServiceError`].
    pub async fn heartbeat(&self, id: &HostId, beat: &Heartbeat) -> Result<HeartbeatReply> {
        let now = self.now();
        let routing = self.in_force().peer_play.routing_at_all();
        let measured = Heartbeat { present: None, ..beat.clone() };
        let view = self.keep(Beat { host: id.clone(), measured, heard: now }).await?;
        let Some(present) = &beat.present else {
            let is_peer = view.row.value.peer.is_some();
            let p2p = is_peer.then(|| HostNews { now, gone: Vec::new() });
            // It was heard, whether or not the store can say this now: then the next answer does.
            let server_routed = self.server_routed(&view).await.unwrap_or_default();
            return Ok(HeartbeatReply { host: view.into_api(), routing, server_routed, p2p });
        };
        let mut present: Vec<Nonce> =
            present.iter().filter_map(|nonce| nonce.parse().ok()).collect();
        present.sort_unstable();
        let (mut held, mut routes) = (None, self.routes());
        for attempt in 0..ATTEMPTS {
            self.alone(attempt, &mut held).await;
            // After the lease was renewed: from now on nobody takes the host for lost, and what was
            // taken from it before is seen.
            let now = self.now();
            let mut changes = Changes::default();
            let (mut seated, mut server_routed) = (BTreeSet::new(), Vec::new());
            for mut session in self.live_sessions(&view).await? {
                if !routes.of(&session.value.zone_id).await?.is_peers() {
                    server_routed.push(session.value.name.clone());
                }
                let before = session.value.clone();
                session.value.rein_in(&self.settings().terms, now);
                let freed = session.value.reconcile(&present, now);
                seated.extend(session.value.nonces().copied());
                note(&mut changes, &before, session, freed);
            }
            if self.commit(changes).await?.is_none() {
                continue;
            }
            let p2p = view.row.value.peer.is_some().then(|| HostNews {
                now,
                gone: present
                    .iter()
                    .filter(|nonce| !seated.contains(nonce))
                    .map(ToString::to_string)
                    .collect(),
            });
            return Ok(HeartbeatReply { host: view.to_api(), routing, server_routed, p2p });
        }
        Err(ServiceError::Contended)
    }

    /// A host.
    ///
    /// # Errors
    ///
    /// [`Refusal::UnknownHost`]; otherwise [`ServiceError`].
    pub async fn host(&self, id: &HostId) -> Result<Host> {
        Ok(self.known_host(id).await?.to_api())
    }

    /// Hosts, the best first.
    ///
    /// # Errors
    ///
    /// [`ServiceError::Store`].
    pub async fn hosts(&self, query: &HostQuery) -> Result<Vec<Host>> {
        self.settle().await?;
        Ok(listed(self.store().hosts(query).await?, query))
    }

    /// The same as a JSON text, which is not made again while it is true.
    ///
    /// # Errors
    ///
    /// [`ServiceError::Store`].
    pub async fn hosts_json(&self, query: &HostQuery) -> Result<Bytes> {
        self.settle().await?;
        // Before the list is read: whatever is written from now on gives another.
        let stamp = self.store().stamp().await?;
        let pages = &self.inner.pages;
        if let Some(known) = stamp.as_ref().and_then(|stamp| pages.find(stamp, query)) {
            return Ok(known);
        }
        let views = self.store().hosts(query).await?;
        let until = true_until(query, &views);
        let json = serde_json::to_vec(&listed(views, query)).map_err(|error| {
            let source = Some(error.into());
            StoreError::Failed { what: "to show hosts".into(), source }
        })?;
        let json = Bytes::from(json);
        if let Some(stamp) = stamp {
            pages.keep(stamp, query, until, &json);
        }
        Ok(json)
    }

    /// Hosts that can be given sessions, the best first.
    ///
    /// # Errors
    ///
    /// [`ServiceError::Store`].
    pub async fn available_hosts(&self, mut query: HostQuery) -> Result<Vec<Host>> {
        query.available_at = Some(self.now());
        self.hosts(&query).await
    }

    /// The same as [`hosts_json`](Self::hosts_json) has it.
    ///
    /// # Errors
    ///
    /// [`ServiceError::Store`].
    pub async fn available_hosts_json(&self, mut query: HostQuery) -> Result<Bytes> {
        query.available_at = Some(self.now());
        self.hosts_json(&query).await
    }

    /// Forgets a host. Its sessions fail.
    ///
    /// # Errors
    ///
    /// [`Refusal::UnknownHost`]; otherwise [`ServiceError`].
    pub async fn remove_host(&self, id: &HostId) -> Result<()> {
        let mut held = None;
        for attempt in 0..ATTEMPTS {
            self.alone(attempt, &mut held).await;
            let view = self.known_host(id).await?;
            self.caller.may_speak_for(&view.row.value)?;
            let mut changes = self.failed_sessions(&view).await?;
            changes.hosts.push(Change::Delete { id: view.row.id, version: view.row.version });
            if self.commit(changes).await?.is_some() {
                tracing::info!(host = %id, "host removed");
                return Ok(());
            }
        }
        Err(ServiceError::Contended)
    }

    /// Looks for hosts whose lease is over: they go offline, and their sessions fail. How many.
    ///
    /// A coordinator that has just started gives each host its whole lease: none could reach it before.
    ///
    /// # Errors
    ///
    /// [`ServiceError::Store`].
    pub async fn sweep(&self) -> Result<usize> {
        let now = self.now();
        let query = HostQuery { lost_at: Some(now), limit: Some(SWEPT), ..HostQuery::default() };
        let mut lost = 0;
        self.settle().await?;
        for mut view in self.store().hosts(&query).await? {
            let mut changes = self.failed_sessions(&view).await?;
            let sessions = changes.sessions.len();
            let lease = view.row.value.lease(&self.settings().terms);
            if now.since(self.inner.started) < lease || !view.row.value.expire(now) {
                continue;
            }
            let host = view.row.value.host_id.clone();
            changes.hosts.push(Change::Update(view.row));
            // Whoever changed it meanwhile has heard it, or will be here again.
            if self.commit(changes).await?.is_some() {
                tracing::warn!(%host, sessions, "host lost: nothing heard for its lease");
                lost += 1;
            }
        }
        Ok(lost)
    }

    pub(super) async fn known_host(&self, id: &HostId) -> Result<HostView> {
        let view = self.store().host(id).await?;
        let mut view = view.ok_or_else(|| Refusal::UnknownHost(id.clone()))?;
        self.inner.pulse.overlay(&mut view, &self.settings().terms);
        Ok(view)
    }

    async fn live_sessions(&self, view: &HostView) -> Result<Vec<Row<SessionRecord>>> {
        let mut all = Vec::new();
        loop {
            let query = SessionQuery {
                host: Some(view.row.id),
                status: SessionQuery::LIVE,
                offset: u32::try_from(all.len()).unwrap_or(u32::MAX),
                ..SessionQuery::default()
            };
            let mut page = self.store().sessions(&query).await?;
            let last = page.len() < MAX_LIST as usize;
            all.append(&mut page);
            if last {
                return Ok(all);
            }
        }
    }

    /// The sessions on a host whose players are to go on over the game's server. For one that carries
    /// none nothing is read.
    async fn server_routed(&self, view: &HostView) -> Result<Vec<SessionName>> {
        let (mut routes, mut server_routed) = (self.routes(), Vec::new());
        if view.placed.zones == 0 {
            return Ok(server_routed);
        }
        for session in self.live_sessions(view).await? {
            if !routes.of(&session.value.zone_id).await?.is_peers() {
                server_routed.push(session.value.name);
            }
        }
        Ok(server_routed)
    }

    async fn failed_sessions(&self, view: &HostView) -> Result<Changes> {
        let (mut changes, now) = (Changes::default(), self.now());
        for mut session in self.live_sessions(view).await? {
            let freed = session.value.fail(now);
            changes.free(&session.value.name, freed);
            changes.sessions.push(Change::Update(session));
        }
        Ok(changes)
    }
}

/// As clients see them.
fn listed(views: Vec<HostView>, query: &HostQuery) -> Vec<Host> {
    let mut hosts: Vec<_> = views.into_iter().map(HostView::into_api).collect();
    // A store asks and orders by what is not rounded.
    hosts.retain(|host| query.min_score.is_none_or(|min| host.quality_score >= min));
    hosts.sort_by(|a, b| b.quality_score.total_cmp(&a.quality_score));
    hosts
}

/// Notes what has changed in a session: its places one by one, and the rest if there is any.
pub(super) fn note(
    changes: &mut Changes,
    before: &SessionRecord,
    session: Row<SessionRecord>,
    freed: Vec<PlayerId>,
) {
    let after = &session.value;
    if after == before {
        return;
    }
    for seat in &after.seats {
        if before.seats.iter().any(|known| known.player == seat.player && known != seat) {
            changes.seat(after, &seat.player, Some(&after.name));
        }
    }
    changes.free(&after.name, freed);
    changes.sessions.push(Change::Update(session));
}

/// The most hosts that one sweep looks at.
const SWEPT: u32 = 1000;
