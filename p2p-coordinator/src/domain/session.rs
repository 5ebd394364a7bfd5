//! The life of a session and the places in it.
//!
//! `pending -> active <-> paused -> ended`; `failed` from any of the first three, when the host is
//! lost. A session is held by its host, whose lease ([`HostRecord::lease_until`]) its heartbeats
//! renew. Each time it is given to a host anew - when it is made, when it goes on after a pause, when
//! the host's process has been started again - its *epoch* grows. Tokens carry the epoch, so that a
//! host refuses those of an earlier one (fencing).
//!
//! A player's place either was given by a server that vouches for it, and stays until it is taken
//! back; or it was given with a join token, and is kept while its host reports the player, or until
//! the reservation ends.

use std::time::Duration;

use p2p_coordinator_api::HostId;
use p2p_coordinator_api::{
    Nonce, PlayerId, Routing, Session, SessionName, SessionStatus, Timestamp, ZoneId,
};
use serde::{Deserialize, Serialize};

use super::{HostRecord, Refusal, Row, RowId, Terms, ZoneRecord, is_ahead};

/// A session as it is stored.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SessionRecord {
    /// Its name.
    pub name: SessionName,
    /// Its host's number.
    pub host: RowId,
    /// Its host's name.
    pub host_id: HostId,
    /// Its zone's number.
    pub zone: RowId,
    /// Its zone's name.
    pub zone_id: ZoneId,
    /// Who has a place, in the order of coming. Stored apart.
    #[serde(skip)]
    pub seats: Vec<Seat>,
    /// The most there may be.
    pub max_players: u32,
    /// Whether a join opened it: then it ends when the last player has left. One that a server made
    /// is the server's to end.
    pub ends_empty: bool,
    /// How many places were ever taken.
    pub served: u64,
    /// Where it is in its life.
    pub status: SessionStatus,
    /// How often it was given to a host.
    pub epoch: u64,
    /// What was reported of it.
    #[serde(default, skip_serializing_if = "SessionMetrics::is_empty")]
    pub metrics: SessionMetrics,
    /// When it was first activated.
    pub started_at: Option<Timestamp>,
    /// When it ended or failed.
    pub ended_at: Option<Timestamp>,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it last changed.
    pub updated_at: Timestamp,
}

/// What somebody measured in a session. What was not reported is not there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct SessionMetrics {
    /// The mean of its players' latency, in milliseconds.
    pub latency_ms: Option<f64>,
    /// The mean of what they lose, from 0 to 100.
    pub packet_loss_percent: Option<f64>,
    /// What they use of the host's line, in Mbit/s.
    pub bandwidth_usage_mbps: Option<f64>,
}

impl SessionMetrics {
    fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// A player's place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seat {
    /// Who.
    pub player: PlayerId,
    /// For a place with a token.
    pub hold: Option<Hold>,
}

/// What keeps a place with a token.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hold {
    /// The tokens given for it, the newest last; at most [`Hold::MAX_NONCES`].
    pub nonces: Vec<Nonce>,
    /// With which of them the host last said that the player is there.
    pub present: Option<Nonce>,
    /// Until when it is kept, though its host says nothing of the player. A place that a server gave
    /// has no such time.
    pub reserved_until: Option<Timestamp>,
}

impl Hold {
    /// The most tokens of one place that are remembered.
    pub const MAX_NONCES: usize = 4;

    /// One more token; the oldest goes, but for that with which the player is there.
    fn add(&mut self, nonce: Nonce) {
        self.nonces.push(nonce);
        if self.nonces.len() > Self::MAX_NONCES {
            let oldest = self.nonces.iter().position(|nonce| Some(*nonce) != self.present);
            self.nonces.remove(oldest.unwrap_or(0));
        }
    }
}

impl Seat {
    /// Whether a server gave it and has to take it back.
    fn is_vouched(&self) -> bool {
        self.hold.as_ref().is_none_or(|hold| hold.reserved_until.is_none())
    }
}

impl SessionRecord {
    /// A session without players.
    pub fn open(
        name: SessionName,
        host: &Row<HostRecord>,
        zone: &Row<ZoneRecord>,
        now: Timestamp,
    ) -> Self {
        Self {
            name,
            host: host.id,
            host_id: host.value.host_id.clone(),
            zone: zone.id,
            zone_id: zone.value.definition.zone_id.clone(),
            seats: Vec::new(),
            max_players: zone.value.definition.max_players,
            ends_empty: false,
            served: 0,
            status: SessionStatus::Pending,
            epoch: 1,
            metrics: SessionMetrics::default(),
            started_at: None,
            ended_at: None,
            created_at: now,
            updated_at: now,
        }
    }

    /// Begins it, or goes on after a pause.
    ///
    /// # Errors
    ///
    /// [`Refusal::State`] from any other state.
    pub fn activate(&mut self, now: Timestamp) -> Result<(), Refusal> {
        match self.status {
            SessionStatus::Pending => {}
            SessionStatus::Paused => self.epoch += 1,
            status => return Err(Refusal::State { status }),
        }
        self.status = SessionStatus::Active;
        self.started_at.get_or_insert(now);
        self.updated_at = now;
        Ok(())
    }

    /// Holds it: nobody joins until it is activated again.
    ///
    /// # Errors
    ///
    /// [`Refusal::State`] unless it is active.
    pub fn pause(&mut self, now: Timestamp) -> Result<(), Refusal> {
        match self.status {
            SessionStatus::Active => {
                self.status = SessionStatus::Paused;
                self.updated_at = now;
                Ok(())
            }
            status => Err(Refusal::State { status }),
        }
    }

    /// Ends it, from any state; gives back who had a place. One that is over stays as it is.
    pub fn end(&mut self, now: Timestamp) -> Vec<PlayerId> {
        self.finish(SessionStatus::Ended, now)
    }

    /// The same for one whose host was lost.
    pub fn fail(&mut self, now: Timestamp) -> Vec<PlayerId> {
        self.finish(SessionStatus::Failed, now)
    }

    fn finish(&mut self, status: SessionStatus, now: Timestamp) -> Vec<PlayerId> {
        if !self.status.is_live() {
            return Vec::new();
        }
        self.status = status;
        self.ended_at = Some(now);
        self.updated_at = now;
        self.seats.drain(..).map(|seat| seat.player).collect()
    }

    /// Takes what was measured in it; what is not there stays as it was. In one that is not over this
    /// is a sign of life.
    pub fn report(&mut self, measured: SessionMetrics, now: Timestamp) {
        let known = self.metrics;
        self.metrics = SessionMetrics {
            latency_ms: measured.latency_ms.or(known.latency_ms),
            packet_loss_percent: measured.packet_loss_percent.or(known.packet_loss_percent),
            bandwidth_usage_mbps: measured.bandwidth_usage_mbps.or(known.bandwidth_usage_mbps),
        };
        if self.status.is_live() {
            self.updated_at = now;
        }
    }

    /// Whether nothing has happened in it for so long. Where there are players, their host's signs of
    /// life are theirs.
    pub fn is_stale(&self, host: Option<&HostRecord>, timeout: Duration, now: Timestamp) -> bool {
        let heard = host.filter(|_| !self.seats.is_empty()).map(|host| host.last_heard);
        let last = heard.map_or(self.updated_at, |heard| heard.max(self.updated_at));
        self.status.is_live() && now.since(last) >= timeout
    }

    /// Whether all who were in it have left, and nothing has happened since for so long.
    pub fn is_deserted(&self, timeout: Duration, now: Timestamp) -> bool {
        let is_left = self.status.is_live() && self.seats.is_empty() && self.served > 0;
        is_left && now.since(self.updated_at) >= timeout
    }

    /// Its host's process was started again: nobody is in it any more, and earlier tokens are void.
    pub fn restart(&mut self, now: Timestamp) -> Vec<PlayerId> {
        if !self.status.is_live() {
            return Vec::new();
        }
        self.epoch += 1;
        self.updated_at = now;
        let (kept, freed): (_, Vec<Seat>) = self.seats.drain(..).partition(Seat::is_vouched);
        self.seats = kept;
        self.end_if_deserted(now);
        freed.into_iter().map(|seat| seat.player).collect()
    }

    /// Whether a player has a place.
    pub fn seats(&self, player: &PlayerId) -> bool {
        self.seats.iter().any(|seat| seat.player == *player)
    }

    /// Whether one more finds a place now.
    pub fn has_room(&self) -> bool {
        self.is_joinable() && self.seats.len() < self.max_players as usize
    }

    /// Whether somebody may come at all.
    pub const fn is_joinable(&self) -> bool {
        matches!(self.status, SessionStatus::Pending | SessionStatus::Active)
    }

    /// Gives a player a place that stays, or leaves the one there is. Whether it is new.
    ///
    /// # Errors
    ///
    /// [`Refusal::Full`], or [`Refusal::State`] if it is over.
    pub fn add(&mut self, player: PlayerId, now: Timestamp) -> Result<bool, Refusal> {
        if !self.status.is_live() {
            return Err(Refusal::State { status: self.status });
        }
        if self.seats(&player) {
            return Ok(false);
        }
        self.take_seat(Seat { player, hold: None }, now)?;
        Ok(true)
    }

    /// Reserves a place for a player that is given a token, or keeps the one there is for longer. One
    /// that a server gave stays as it is. Whether it is new.
    ///
    /// # Errors
    ///
    /// [`Refusal::Full`], or [`Refusal::State`] if nobody may come.
    pub fn reserve(
        &mut self,
        player: PlayerId,
        nonce: Nonce,
        until: Timestamp,
        now: Timestamp,
    ) -> Result<bool, Refusal> {
        if !self.is_joinable() {
            return Err(Refusal::State { status: self.status });
        }
        let hold = |until| Hold { nonces: vec![nonce], present: None, reserved_until: until };
        let Some(seat) = self.seats.iter_mut().find(|seat| seat.player == player) else {
            self.take_seat(Seat { player, hold: Some(hold(Some(until))) }, now)?;
            return Ok(true);
        };
        match &mut seat.hold {
            Some(known) => {
                known.reserved_until = known.reserved_until.map(|_| until);
                known.add(nonce);
            }
            None => seat.hold = Some(hold(None)),
        }
        self.updated_at = now;
        Ok(false)
    }

    fn take_seat(&mut self, seat: Seat, now: Timestamp) -> Result<(), Refusal> {
        if self.seats.len() >= self.max_players as usize {
            return Err(Refusal::Full { max_players: self.max_players });
        }
        self.seats.push(seat);
        self.served += 1;
        self.updated_at = now;
        Ok(())
    }

    /// Takes a player's place back. With a nonce, as hosts do, only if that is of the newest token,
    /// because who has come again meanwhile stays, and not if a server gave it.
    ///
    /// # Errors
    ///
    /// [`Refusal::UnknownPlayer`] if there is no such place, [`Refusal::State`] if it is over.
    pub fn remove(
        &mut self,
        player: &PlayerId,
        nonce: Option<Nonce>,
        now: Timestamp,
    ) -> Result<(), Refusal> {
        if !self.status.is_live() {
            return Err(Refusal::State { status: self.status });
        }
        let gone = |seat: &Seat| {
            let newest = seat.hold.as_ref().and_then(|hold| hold.nonces.last());
            let told = newest == nonce.as_ref() && !seat.is_vouched();
            seat.player == *player && (nonce.is_none() || told)
        };
        let Some(place) = self.seats.iter().position(gone) else {
            return Err(Refusal::UnknownPlayer(player.clone()));
        };
        self.seats.remove(place);
        self.updated_at = now;
        self.end_if_deserted(now);
        Ok(())
    }

    fn end_if_deserted(&mut self, now: Timestamp) {
        if self.ends_empty && self.seats.is_empty() {
            self.end(now);
        }
    }

    /// Takes note of which players the host has: frees the places of those that it does not report
    /// and whose reservation is over, and begins a session that has its first. `present` is sorted.
    /// Who lost a place.
    pub fn reconcile(&mut self, present: &[Nonce], now: Timestamp) -> Vec<PlayerId> {
        let mut freed = Vec::new();
        let (mut inhabited, mut changed) = (false, false);
        self.seats.retain_mut(|seat| {
            let Some(hold) = &mut seat.hold else { return true };
            let is_there = |nonce: &&Nonce| present.binary_search(nonce).is_ok();
            let there = hold.nonces.iter().rev().find(is_there).copied();
            inhabited |= there.is_some();
            changed |= hold.present != there;
            hold.present = there;
            let stays = there.is_some() || hold.reserved_until.is_none_or(|until| now < until);
            if !stays {
                freed.push(seat.player.clone());
            }
            stays
        });
        if inhabited && self.status == SessionStatus::Pending {
            // It may be begun, because it is pending.
            let _ = self.activate(now);
        }
        if changed || !freed.is_empty() {
            self.updated_at = now;
        }
        if !freed.is_empty() {
            self.end_if_deserted(now);
        }
        freed
    }

    /// What is of a clock that has been put back since counts as of now: its last change, and
    /// reservations.
    pub fn rein_in(&mut self, terms: &Terms, now: Timestamp) {
        if is_ahead(self.updated_at, now) {
            self.updated_at = now;
        }
        let reserved = now.after(terms.reservation());
        for hold in self.seats.iter_mut().filter_map(|seat| seat.hold.as_mut()) {
            hold.reserved_until =
                hold.reserved_until.map(|until| match is_ahead(until, reserved) {
                    true => reserved,
                    false => until,
                });
        }
    }

    /// The tokens of all that have a place.
    pub fn nonces(&self) -> impl Iterator<Item = &Nonce> {
        self.seats.iter().filter_map(|seat| seat.hold.as_ref()).flat_map(|hold| &hold.nonces)
    }
}

impl Row<SessionRecord> {
    /// As clients see it.
    pub fn to_api(&self) -> Session {
        let session = &self.value;
        Session {
            id: self.id,
            session_id: session.name.clone(),
            host_id: session.host,
            zone_id: session.zone,
            connected_players: session.seats.iter().map(|seat| seat.player.clone()).collect(),
            current_players: u32::try_from(session.seats.len()).unwrap_or(u32::MAX),
            max_players: session.max_players,
            status: session.status,
            average_latency_ms: session.metrics.latency_ms.unwrap_or(0.0),
            average_packet_loss_percent: session.metrics.packet_loss_percent.unwrap_or(0.0),
            bandwidth_usage_mbps: session.metrics.bandwidth_usage_mbps.unwrap_or(0.0),
            started_at: session.started_at,
            ended_at: session.ended_at,
            created_at: session.created_at,
            updated_at: session.updated_at,
            routing: Routing::Peers,
        }
    }
}
