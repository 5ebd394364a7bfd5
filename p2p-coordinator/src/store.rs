//! Where records are kept: one trait, and one suite of promises for all that implement it.
//!
//! A store settles races: [`commit`](Store::commit) writes all of what one decision wants, or
//! nothing if the records it was made from have changed meanwhile. Who decides reads again then.

mod memory;
#[cfg(feature = "postgres")]
pub mod postgres;
#[cfg(feature = "sqlite")]
pub mod sqlite;
mod tally;

#[cfg(feature = "conformance")]
pub mod conformance;

use std::collections::BTreeMap;
use std::error::Error;
use std::fmt::Debug;

use async_trait::async_trait;
use p2p_coordinator_api::{
    HostId, HostStatus, Nonce, PlayerId, SessionName, SessionStatus, Timestamp, ZoneId, ZoneStatus,
};
use thiserror::Error;

pub use memory::MemoryStore;

use crate::domain::placement::{Candidate, PlacementView, Wish};
use crate::domain::zone::ZoneCounts;
use crate::domain::{
    Beat, Changes, HostRecord, HostView, Row, RowId, SessionRecord, Terms, ZoneRecord,
};
use crate::security::GrantRecord;

/// Keeps hosts, zones, sessions, who has a place where, and logins.
///
/// # Contract for implementers
///
/// - What `commit` has acknowledged survives the process, unless the store says that it keeps
///   nothing.
/// - Each read is of one moment: it shows all of a commit or nothing.
/// - Lists have an order that depends on the records only.
///
/// # Cancel safety
///
/// Dropping the future of a read loses nothing. Dropping that of `commit` leaves open whether it was
/// done; it is not done by half.
#[async_trait]
pub trait Store: Debug + Send + Sync + 'static {
    /// What it is called where the service tells which stores it uses.
    fn name(&self) -> &'static str;

    /// A host, and what was placed on it.
    async fn host(&self, host: &HostId) -> Result<Option<HostView>, StoreError>;

    /// A host, what was placed on it, and the zones it serves.
    async fn candidate(&self, host: &HostId) -> Result<Option<Candidate>, StoreError>;

    /// Hosts, the best first by what they carry ([`HostView::rank`]), then by name.
    async fn hosts(&self, query: &HostQuery) -> Result<Vec<HostView>, StoreError>;

    /// A zone and its counters.
    async fn zone(
        &self,
        zone: &ZoneId,
    ) -> Result<Option<(Row<ZoneRecord>, ZoneCounts)>, StoreError>;

    /// Zones, those of higher priority first, then by name.
    async fn zones(
        &self,
        query: &ZoneQuery,
    ) -> Result<Vec<(Row<ZoneRecord>, ZoneCounts)>, StoreError>;

    /// A session.
    async fn session(&self, key: &SessionKey) -> Result<Option<Row<SessionRecord>>, StoreError>;

    /// Sessions, by number.
    async fn sessions(&self, query: &SessionQuery) -> Result<Vec<Row<SessionRecord>>, StoreError>;

    /// The session in which a player has a place.
    async fn session_of(&self, player: &PlayerId)
    -> Result<Option<Row<SessionRecord>>, StoreError>;

    /// The sessions in which these players have places; who has none is left out.
    async fn sessions_of(
        &self,
        players: &[PlayerId],
    ) -> Result<BTreeMap<PlayerId, Row<SessionRecord>>, StoreError>;

    /// What a placement in a zone is decided on, all of one moment; `None` if there is no such zone.
    /// At most [`OPEN_SESSIONS`] sessions, the fullest first; and if none of them will do, hosts that
    /// could open one, the best first, as many as are asked for.
    async fn placement(&self, query: &PlacementQuery) -> Result<Option<PlacementView>, StoreError>;

    /// A login.
    async fn grant(&self, family: &Nonce) -> Result<Option<Row<GrantRecord>>, StoreError>;

    /// Logins, those that end last first, then by number.
    async fn grants(&self, query: &GrantQuery) -> Result<Vec<Row<GrantRecord>>, StoreError>;

    /// How much there is, all of one moment.
    async fn totals(&self) -> Result<Totals, StoreError>;

    /// Writes all of it, or nothing. The rows as they are now, in the order of the changes; deleted
    /// ones are left out.
    ///
    /// # Errors
    ///
    /// [`StoreError::Conflict`] if a record or a place is not what the decision was made from.
    async fn commit(&self, changes: Changes) -> Result<Committed, StoreError>;

    /// Writes signs of life, each into its host as that is now: no version is compared, so none
    /// conflicts. Those of hosts that are not there, and those that are no news
    /// ([`HostRecord::hear`]), change nothing. The hosts as they are then, in any order, each once.
    async fn hear(&self, beats: Vec<Beat>, terms: &Terms) -> Result<Vec<HostView>, StoreError>;

    /// A number that changes when others than this store have changed its records: as long as it is
    /// the same, nobody has. `None` where that cannot be told.
    async fn others(&self) -> Result<Option<u64>, StoreError> {
        Ok(None)
    }

    /// Forgets sessions that are over: those that ended by this moment, and those beyond the `keep`
    /// that ended last. At most so many at once; how many. Zones go on counting them.
    async fn prune(
        &self,
        ended_by: Timestamp,
        keep: u32,
        at_most: u32,
    ) -> Result<usize, StoreError>;

    /// Whether this is the one of all coordinators on the same records that looks after them: at most
    /// one at a time, as far as the store can tell; `true` where it cannot.
    async fn lead(&self) -> Result<bool, StoreError> {
        Ok(true)
    }

    /// A mark of all records as they are now: as long as it is the same, whoever writes, so are they.
    /// `None` where that cannot be told.
    async fn stamp(&self) -> Result<Option<Stamp>, StoreError> {
        Ok(None)
    }

    /// Whether it answered when it was last asked.
    fn is_connected(&self) -> bool {
        true
    }

    /// Whether it can do its work now, writing included: where records take room, it has kept
    /// [`PROBE_BYTES`] more, and has given up those that it kept the last time. No record changes.
    async fn check(&self) -> Result<(), StoreError>;

    /// Ends it, when all that was acknowledged is kept. Where anything is kept, further calls fail.
    async fn close(&self);
}

/// What tells one state of the records from another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stamp(String);

impl Stamp {
    /// Any text that differs.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }
}

/// How much room a store asks for to say that it can do its work: more than nearly every commit
/// takes, so that it does not say so while those fail.
pub const PROBE_BYTES: u32 = 64 << 10;

/// The most sessions that one placement looks at.
pub const OPEN_SESSIONS: u32 = 16;

/// The most hosts that one placement looks at, if it does not ask for more.
pub const CANDIDATES: u32 = 8;

/// The most records in one list.
pub const MAX_LIST: u32 = 1000;

/// How much there is.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct Totals {
    /// Hosts.
    pub hosts: u64,
    /// Those that are online, by their rank: below 50, from there on, from 70 on, from 90 on; but
    /// for the rounding.
    pub online: [u64; 4],
    /// Their mean rank; 0 if there are none.
    pub quality_score: f64,
    /// Zones.
    pub zones: u64,
    /// Those that are open to peers, of whatever status.
    pub zones_for_peers: u64,
    /// Sessions that the zones count: all there ever were.
    pub sessions: u64,
    /// Active ones.
    pub active_sessions: u64,
    /// Places taken in those.
    pub players: u64,
    /// The mean over active sessions of what their hosts measured, in milliseconds; 0 if there are
    /// none.
    pub latency_ms: f64,
}

/// The ranks at which hosts are better: see [`Totals::online`].
pub(crate) const RANKS: [f64; 3] = [50.0 - ROUNDING, 70.0 - ROUNDING, 90.0 - ROUNDING];

/// Which hosts.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct HostQuery {
    /// Of this status.
    pub status: Option<HostStatus>,
    /// With at least this score, but for the rounding.
    pub min_score: Option<f64>,
    /// Available at this moment: online, lease held, room for players and zones.
    pub available_at: Option<Timestamp>,
    /// Not offline, though their lease had ended at this moment.
    pub lost_at: Option<Timestamp>,
    /// Not offline, with a lease that ends after this moment.
    pub leased_beyond: Option<Timestamp>,
    /// How many are left out at the beginning.
    pub offset: u32,
    /// The most; [`MAX_LIST`] at most and if not given.
    pub limit: Option<u32>,
}

/// Which zones.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ZoneQuery {
    /// Of this status.
    pub status: Option<ZoneStatus>,
    /// With peers enabled, or not.
    pub p2p_enabled: Option<bool>,
    /// How many are left out at the beginning.
    pub offset: u32,
    /// The most; [`MAX_LIST`] at most and if not given.
    pub limit: Option<u32>,
}

/// Who is to be placed where.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct PlacementQuery {
    /// In which zone.
    pub zone: ZoneId,
    /// Who; nobody in particular if a server asks for a session.
    pub player: Option<PlayerId>,
    /// Whether the host has to be a peer.
    pub peer: bool,
    /// Hosts not to choose.
    pub avoid: Vec<HostId>,
    /// How many places are needed; at least one.
    pub players: u32,
    /// Whether a session that there is will do.
    pub enter: bool,
    /// How many hosts that could open a session are looked at.
    pub hosts: u32,
    /// When.
    pub now: Timestamp,
}

impl PlacementQuery {
    /// Of nobody in particular, in a session that there is or a new one, on any host.
    pub const fn new(zone: ZoneId, now: Timestamp) -> Self {
        Self {
            zone,
            player: None,
            peer: false,
            avoid: Vec::new(),
            players: 1,
            enter: true,
            hosts: CANDIDATES,
            now,
        }
    }

    /// The wish in it.
    pub fn wish(&self) -> Wish<'_> {
        Wish { peer: self.peer, avoid: &self.avoid }
    }
}

/// Which sessions.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct SessionQuery {
    /// Of this host.
    pub host: Option<RowId>,
    /// Of this zone.
    pub zone: Option<RowId>,
    /// Of one of these states; of any if there are none.
    pub status: &'static [SessionStatus],
    /// Not changed since this moment.
    pub idle_since: Option<Timestamp>,
    /// Changed after this moment.
    pub changed_after: Option<Timestamp>,
    /// How many are left out at the beginning.
    pub offset: u32,
    /// The most; [`MAX_LIST`] at most and if not given.
    pub limit: Option<u32>,
}

impl SessionQuery {
    /// The states in which a session is not over.
    pub const LIVE: &'static [SessionStatus] =
        &[SessionStatus::Pending, SessionStatus::Active, SessionStatus::Paused];
}

/// A rank is not rounded, as a score is: the most by which it can be less.
pub(crate) const ROUNDING: f64 = 0.005;

/// Which logins.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct GrantQuery {
    /// Of this player.
    pub player: Option<PlayerId>,
    /// Taken back, or not.
    pub revoked: Option<bool>,
    /// Nothing any more at this moment.
    pub expired_at: Option<Timestamp>,
    /// How many are left out at the beginning.
    pub offset: u32,
    /// The most; [`MAX_LIST`] at most and if not given.
    pub limit: Option<u32>,
}

pub(crate) fn limit(limit: Option<u32>) -> u32 {
    limit.unwrap_or(MAX_LIST).min(MAX_LIST)
}

/// One session, by either of its names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SessionKey {
    /// By its name.
    Name(SessionName),
    /// By its number in the database.
    Number(RowId),
}

impl std::fmt::Display for SessionKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Name(name) => f.write_str(name.as_str()),
            Self::Number(number) => write!(f, "{number}"),
        }
    }
}

/// What a commit wrote, but for logins.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Committed {
    /// Hosts.
    pub hosts: Vec<Row<HostRecord>>,
    /// Zones.
    pub zones: Vec<Row<ZoneRecord>>,
    /// Sessions, with all their places.
    pub sessions: Vec<Row<SessionRecord>>,
}

/// Why a store did not do what it was asked.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum StoreError {
    /// A record or a place has changed since it was read.
    #[error("the records have changed meanwhile")]
    Conflict,
    /// The database cannot be reached; it may be back soon.
    #[error("the database cannot be reached: {what}")]
    Unavailable {
        /// In which way.
        what: String,
    },
    /// The store failed.
    #[error("the database failed: {what}")]
    Failed {
        /// At what.
        what: String,
        /// Why.
        source: Option<Box<dyn Error + Send + Sync>>,
    },
}
