//! Sessions by the hand of a server: made, begun, held, ended, and who is in them.

use std::collections::{BTreeMap, BTreeSet};

use p2p_coordinator_api::{
    CreateSession, HostId, Nonce, PlayerId, Session, SessionName, Timestamp, ZoneId,
};

use super::openings::Opening;
use super::{ATTEMPTS, Coordinator, Result, ServiceError};
use crate::domain::{
    Change, Changes, Refusal, Row, RowId, SessionMetrics, SessionRecord, placement,
};
use crate::store::{SessionKey, SessionQuery, Store};

impl<S: Store> Coordinator<S> {
    /// Makes a session, on a named host or on the best. Players who are elsewhere leave there.
    ///
    /// # Errors
    ///
    /// [`ServiceError::Refused`] if the host or the zone does not allow it; otherwise
    /// [`ServiceError`].
    pub async fn create_session(&self, request: &CreateSession) -> Result<Session> {
        self.caller.may_rule()?;
        self.in_force().peer_play.allows(&request.zone_id)?;
        let players: Vec<PlayerId> = {
            let mut seen = BTreeSet::new();
            let new = |player: &&PlayerId| seen.insert((*player).clone());
            request.player_ids.iter().filter(new).cloned().collect()
        };
        let name = self.session_name();
        let key = SessionKey::Name(name.clone());
        self.settle().await?;
        let mut held = None;
        for attempt in 0..ATTEMPTS {
            self.alone(attempt, &mut held).await;
            if let Some(known) = self.made_before(self.store().session(&key)).await? {
                let SessionRecord { zone_id, host_id, .. } = &known.value;
                let on_it = request.host_id.as_ref().is_none_or(|host| host == host_id);
                return match on_it && *zone_id == request.zone_id {
                    true => self.routes().show(&known).await,
                    false => Err(ServiceError::KeyReused),
                };
            }
            let opening = match &request.host_id {
                Some(host) => self.named_opening(host, &request.zone_id, &players).await?,
                None => self.opening(&request.zone_id, &players).await?,
            };
            // The claim is held until the commit has ended.
            let Opening { zone, host, claim: _claim, mut present } = opening;
            let now = self.now();
            let mut session = SessionRecord::open(name.clone(), &host.row, &zone, now);
            let mut changes = Changes::default();
            let mut former = Former::default();
            for player in &players {
                session.add(player.clone(), now)?;
                let from = present.remove(player);
                changes.seat(&session, player, from.as_ref().map(|row| &row.value.name));
                if let Some(row) = from {
                    former.remove(row, player, now);
                }
            }
            changes.sessions.push(Change::Insert(session));
            let made = changes.sessions.len() - 1;
            changes.sessions.extend(former.into_changes());
            // As it was read: if others placed somebody there meanwhile, it may be full now.
            changes.held.push((host.row.id, host.row.version));
            let Some(committed) = self.commit(changes).await? else { continue };
            if let Some(row) = committed.sessions.get(made) {
                return Ok(row.to_api());
            }
        }
        Err(ServiceError::Contended)
    }

    async fn named_opening(
        &self,
        host: &HostId,
        zone: &ZoneId,
        players: &[PlayerId],
    ) -> Result<Opening> {
        let candidate = self.store().candidate(host).await?;
        let candidate = candidate.ok_or_else(|| Refusal::UnknownHost(host.clone()))?;
        let known = self.store().zone(zone).await?;
        let (zone, _) = known.ok_or_else(|| Refusal::UnknownZone(zone.clone()))?;
        zone.value.is_open()?;
        let (host, served) = (candidate.host, candidate.served);
        let count = u32::try_from(players.len()).unwrap_or(u32::MAX);
        placement::can_open(&host, &served, &zone.value, count.max(1), self.now())?;
        let present = self.sessions_of(players).await?;
        Ok(Opening { zone, host, claim: None, present })
    }

    /// A session.
    ///
    /// # Errors
    ///
    /// [`Refusal::UnknownSession`]; otherwise [`ServiceError`].
    pub async fn session(&self, key: &SessionKey) -> Result<Session> {
        self.routes().show(&self.known_session(key).await?).await
    }

    /// Sessions, by number.
    ///
    /// # Errors
    ///
    /// [`ServiceError::Store`].
    pub async fn sessions(&self, query: &SessionQuery) -> Result<Vec<Session>> {
        let mut routes = self.routes();
        let mut shown = Vec::new();
        for row in self.store().sessions(query).await? {
            shown.push(routes.show(&row).await?);
        }
        Ok(shown)
    }

    /// Begins a session, or goes on with it.
    ///
    /// # Errors
    ///
    /// [`Refusal::UnknownSession`], [`Refusal::State`]; otherwise [`ServiceError`].
    pub async fn activate_session(&self, key: &SessionKey) -> Result<()> {
        self.change_session(key, None, |session, now| session.activate(now).map(|()| Vec::new()))
            .await
    }

    /// Holds a session.
    ///
    /// # Errors
    ///
    /// [`Refusal::UnknownSession`], [`Refusal::State`]; otherwise [`ServiceError`].
    pub async fn pause_session(&self, key: &SessionKey) -> Result<()> {
        self.change_session(key, None, |session, now| session.pause(now).map(|()| Vec::new())).await
    }

    /// Ends a session. One that is over stays as it is.
    ///
    /// # Errors
    ///
    /// [`Refusal::UnknownSession`]; otherwise [`ServiceError`].
    pub async fn end_session(&self, key: &SessionKey) -> Result<()> {
        self.change_session(key, None, |session, now| Ok(session.end(now))).await
    }

    /// Gives a player a place, which stays until it is taken back. A player who is elsewhere leaves
    /// there.
    ///
    /// # Errors
    ///
    /// [`Refusal::UnknownSession`], [`Refusal::Full`], [`Refusal::State`], [`Refusal::ZoneClosed`];
    /// otherwise [`ServiceError`].
    pub async fn add_player(&self, key: &SessionKey, player: &PlayerId) -> Result<()> {
        self.caller.may_act_for(player)?;
        self.settle().await?;
        let mut held = None;
        for attempt in 0..ATTEMPTS {
            self.alone(attempt, &mut held).await;
            let now = self.now();
            let mut session = self.known_session(key).await?;
            if !session.value.add(player.clone(), now)? {
                return Ok(());
            }
            self.may_meet(&session.value.zone_id).await?;
            let host = self.store().host(&session.value.host_id).await?;
            let mut changes = Changes::default();
            let mut former = Former::default();
            let from = self.leave(&mut former, player, now).await?;
            if let Some(host) = host {
                // Who comes from another session of this host takes up no more of it.
                host.can_take(u32::from(!former.is_on(host.row.id)), now)?;
                changes.held.push((host.row.id, host.row.version));
            }
            changes.seat(&session.value, player, from.as_ref());
            changes.sessions.push(Change::Update(session));
            changes.sessions.extend(former.into_changes());
            if self.commit(changes).await?.is_some() {
                return Ok(());
            }
        }
        Err(ServiceError::Contended)
    }

    /// Takes what was measured in a session, in whichever state.
    ///
    /// # Errors
    ///
    /// [`Refusal::UnknownSession`]; otherwise [`ServiceError`].
    pub async fn report_session(&self, key: &SessionKey, measured: SessionMetrics) -> Result<()> {
        self.change_session(key, None, |session, now| {
            session.report(measured, now);
            Ok(Vec::new())
        })
        .await
    }

    /// Takes a player's place back; with a nonce, only if that is of the newest token.
    ///
    /// # Errors
    ///
    /// [`Refusal::UnknownSession`], [`Refusal::UnknownPlayer`], [`Refusal::State`]; otherwise
    /// [`ServiceError`].
    pub async fn remove_player(
        &self,
        key: &SessionKey,
        player: &PlayerId,
        nonce: Option<Nonce>,
    ) -> Result<()> {
        let own = Some(player);
        self.change_session(key, own, |session, now| {
            session.remove(player, nonce, now).map(|()| vec![player.clone()])
        })
        .await
    }

    /// Lets `change` change a session and say who lost a place. Beside those who lead the session,
    /// `own` may ask for it.
    async fn change_session(
        &self,
        key: &SessionKey,
        own: Option<&PlayerId>,
        change: impl Fn(&mut SessionRecord, Timestamp) -> std::result::Result<Vec<PlayerId>, Refusal>,
    ) -> Result<()> {
        let mut held = None;
        for attempt in 0..ATTEMPTS {
            self.alone(attempt, &mut held).await;
            let read = self.known_session(key).await?;
            self.may_change(&read.value, own).await?;
            let mut session = read.clone();
            let freed = change(&mut session.value, self.now())?;
            if session == read {
                return Ok(());
            }
            let mut changes = Changes::default();
            changes.free(&session.value.name, freed);
            changes.sessions.push(Change::Update(session));
            if self.commit(changes).await?.is_some() {
                return Ok(());
            }
        }
        Err(ServiceError::Contended)
    }

    async fn may_change(&self, session: &SessionRecord, own: Option<&PlayerId>) -> Result<()> {
        let theirs = own.is_some_and(|player| self.caller.may_act_for(player).is_ok());
        if theirs || self.caller.may_rule().is_ok() {
            return Ok(());
        }
        let host = self.store().host(&session.host_id).await?;
        Ok(self.caller.may_lead(host.as_ref().map(|view| &view.row.value))?)
    }

    pub(super) async fn known_session(&self, key: &SessionKey) -> Result<Row<SessionRecord>> {
        let row = self.store().session(key).await?;
        Ok(row.ok_or_else(|| Refusal::UnknownSession(key.to_string()))?)
    }

    /// Takes a player out of the session where the player is. Which that was.
    pub(super) async fn leave(
        &self,
        former: &mut Former,
        player: &PlayerId,
        now: Timestamp,
    ) -> Result<Option<SessionName>> {
        let Some(row) = self.store().session_of(player).await? else { return Ok(None) };
        let name = row.value.name.clone();
        former.remove(row, player, now);
        Ok(Some(name))
    }
}

/// Sessions that players leave because they go elsewhere.
#[derive(Default)]
pub(super) struct Former(BTreeMap<RowId, Row<SessionRecord>>);

impl Former {
    pub(super) fn remove(&mut self, row: Row<SessionRecord>, player: &PlayerId, now: Timestamp) {
        let row = self.0.entry(row.id).or_insert(row);
        // Whoever is not there any more need not leave.
        let _ = row.value.remove(player, None, now);
    }

    /// Whether one of them is on this host.
    fn is_on(&self, host: RowId) -> bool {
        self.0.values().any(|row| row.value.host == host)
    }

    pub(super) fn into_changes(self) -> impl Iterator<Item = Change<SessionRecord>> {
        self.0.into_values().map(Change::Update)
    }
}
