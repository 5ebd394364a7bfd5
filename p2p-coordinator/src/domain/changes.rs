//! What is to be written, all of it or nothing.

use p2p_coordinator_api::{PlayerId, SessionName};

use super::session::Hold;
use super::{HostRecord, SessionRecord, ZoneRecord};
use crate::security::GrantRecord;

/// A record's number in its table.
pub type RowId = i64;

/// A record as a store has it.
#[derive(Clone, Debug, PartialEq)]
pub struct Row<T> {
    /// Its number.
    pub id: RowId,
    /// How often it was written. Whoever writes it names the version it was read in.
    pub version: u64,
    /// What it says.
    pub value: T,
}

/// One record that is to be written.
#[derive(Clone, Debug, PartialEq)]
pub enum Change<T> {
    /// A new one. It conflicts with one of the same name.
    Insert(T),
    /// This in place of what was read. It conflicts if the version is not the one in the store.
    Update(Row<T>),
    /// Nothing in its place. It conflicts likewise.
    Delete {
        /// Which.
        id: RowId,
        /// As it was read.
        version: u64,
    },
}

impl<T> Change<T> {
    /// The value in place of what was read, or a new one if nothing was.
    pub fn upsert(known: Option<(RowId, u64)>, value: T) -> Self {
        match known {
            Some((id, version)) => Self::Update(Row { id, version, value }),
            None => Self::Insert(value),
        }
    }
}

/// A player's one place: stores keep it apart from the session, so that nobody can have two. It
/// conflicts if the player is elsewhere than `from`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SeatChange {
    /// Who.
    pub player: PlayerId,
    /// The session in which the player was.
    pub from: Option<SessionName>,
    /// The one in which the player is now, and what keeps the place there.
    pub to: Option<(SessionName, Option<Hold>)>,
}

/// Everything that one decision writes.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Changes {
    /// Of hosts.
    pub hosts: Vec<Change<HostRecord>>,
    /// Hosts that stay what they are, by the version in which they were read: other decisions that
    /// were made from that conflict with this one. They have the next version then. None of them is
    /// in `hosts`.
    pub held: Vec<(RowId, u64)>,
    /// Of zones.
    pub zones: Vec<Change<ZoneRecord>>,
    /// Of sessions, but for who has a place in them.
    pub sessions: Vec<Change<SessionRecord>>,
    /// Of who has a place where.
    pub seats: Vec<SeatChange>,
    /// Of logins.
    pub grants: Vec<Change<GrantRecord>>,
}

impl Changes {
    /// Whether there is nothing to write.
    pub fn is_empty(&self) -> bool {
        self.hosts.is_empty()
            && self.held.is_empty()
            && self.zones.is_empty()
            && self.sessions.is_empty()
            && self.seats.is_empty()
            && self.grants.is_empty()
    }

    /// Notes that a player has a place in a session, and where the player was before.
    pub fn seat(&mut self, session: &SessionRecord, player: &PlayerId, from: Option<&SessionName>) {
        let seat = session.seats.iter().find(|seat| seat.player == *player);
        self.seats.push(SeatChange {
            player: player.clone(),
            from: from.cloned(),
            to: seat.map(|seat| (session.name.clone(), seat.hold.clone())),
        });
    }

    /// Notes that players lost their places in a session.
    pub fn free(&mut self, session: &SessionName, players: impl IntoIterator<Item = PlayerId>) {
        self.seats.extend(players.into_iter().map(|player| SeatChange {
            player,
            from: Some(session.clone()),
            to: None,
        }));
    }
}
