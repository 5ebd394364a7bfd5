//! What checks are made of: the usual steps, with words for what goes wrong.

use std::error::Error;
use std::fmt::Debug;

use p2p_coordinator_api::{IdError, PlayerId, SessionName};

use super::{Failure, Outcome};
use crate::domain::{
    Change, Changes, HostRecord, HostView, Refusal, Row, SessionRecord, ZoneRecord,
};
use crate::store::{Committed, HostQuery, SessionKey, SessionQuery, Store, StoreError, ZoneQuery};

/// Fails a check, with words, unless the condition holds.
macro_rules! ensure {
    ($condition:expr, $($words:tt)+) => {
        if !$condition {
            let words = format!($($words)+);
            return Err($crate::store::conformance::Failure::new(format!(
                "{words} ({}:{})", file!(), line!(),
            )));
        }
    };
}

/// Fails a check, with words, unless both are equal.
macro_rules! ensure_eq {
    ($found:expr, $expected:expr, $($words:tt)+) => {
        match (&$found, &$expected) {
            (found, expected) if found == expected => {}
            (found, expected) => {
                let words = format!($($words)+);
                let (found, expected) = (
                    $crate::store::conformance::step::shown(found),
                    $crate::store::conformance::step::shown(expected),
                );
                return Err($crate::store::conformance::Failure::new(format!(
                    "{words}: expected {expected}, not {found} ({}:{})",
                    file!(),
                    line!(),
                )));
            }
        }
    };
}

pub(super) use {ensure, ensure_eq};

/// As much of a value as somebody reads.
pub(super) fn shown<T: Debug + ?Sized>(value: &T) -> String {
    let text = format!("{value:?}");
    match text.char_indices().nth(1500) {
        Some((end, _)) => format!("{}... (and more)", &text[..end]),
        None => text,
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        let mut words = error.to_string();
        let mut source = error.source();
        while let Some(error) = source {
            words += &format!(": {error}");
            source = error.source();
        }
        Self(words)
    }
}

impl From<IdError> for Failure {
    fn from(error: IdError) -> Self {
        Self(error.to_string())
    }
}

impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Self {
        Self(format!("refused: {refusal}"))
    }
}

/// What must be there.
pub(super) fn found<T>(what: &str, value: Option<T>) -> Outcome<T> {
    value.ok_or_else(|| Failure::new(format!("{what} is not there")))
}

/// The only one.
pub(super) fn only<T: Debug>(what: &str, values: Vec<T>) -> Outcome<T> {
    let count = values.len();
    match <[T; 1]>::try_from(values) {
        Ok([value]) => Ok(value),
        Err(_) => Err(Failure::new(format!("one {what} was expected, not {count}"))),
    }
}

/// A commit that must conflict.
pub(super) async fn conflicts(what: &str, store: &impl Store, changes: Changes) -> Outcome {
    match store.commit(changes).await {
        Err(StoreError::Conflict) => Ok(()),
        Err(other) => Err(Failure::new(format!("{what}: {}", Failure::from(other)))),
        Ok(_) => Err(Failure::new(format!("{what}: it was written, and should conflict"))),
    }
}

pub(super) async fn add_host(store: &impl Store, host: HostRecord) -> Outcome<Row<HostRecord>> {
    only("host", store.commit(hosts([Change::Insert(host)])).await?.hosts)
}

pub(super) async fn add_zone(store: &impl Store, zone: ZoneRecord) -> Outcome<Row<ZoneRecord>> {
    only("zone", store.commit(zones([Change::Insert(zone)])).await?.zones)
}

/// Writes a new session together with the seats that are in it.
pub(super) async fn add_session(
    store: &impl Store,
    session: SessionRecord,
) -> Outcome<Row<SessionRecord>> {
    let mut changes = Changes::default();
    for seat in &session.seats {
        changes.seat(&session, &seat.player, None);
    }
    changes.sessions.push(Change::Insert(session));
    only("session", store.commit(changes).await?.sessions)
}

/// Writes a session that was changed; nobody came or went.
pub(super) async fn save_session(
    store: &impl Store,
    session: Row<SessionRecord>,
) -> Outcome<Row<SessionRecord>> {
    only("session", store.commit(sessions([Change::Update(session)])).await?.sessions)
}

/// Writes a session into which a player came who had been nowhere.
pub(super) async fn save_seat(
    store: &impl Store,
    session: Row<SessionRecord>,
    player: &PlayerId,
) -> Outcome<Row<SessionRecord>> {
    only("session", store.commit(seated(session, player, None)).await?.sessions)
}

/// A session as it was changed, and one player's place in it.
pub(super) fn seated(
    session: Row<SessionRecord>,
    player: &PlayerId,
    from: Option<&SessionName>,
) -> Changes {
    let mut changes = Changes::default();
    changes.seat(&session.value, player, from);
    changes.sessions.push(Change::Update(session));
    changes
}

pub(super) fn hosts(hosts: impl IntoIterator<Item = Change<HostRecord>>) -> Changes {
    Changes { hosts: hosts.into_iter().collect(), ..Changes::default() }
}

pub(super) fn zones(zones: impl IntoIterator<Item = Change<ZoneRecord>>) -> Changes {
    Changes { zones: zones.into_iter().collect(), ..Changes::default() }
}

pub(super) fn sessions(sessions: impl IntoIterator<Item = Change<SessionRecord>>) -> Changes {
    Changes { sessions: sessions.into_iter().collect(), ..Changes::default() }
}

pub(super) async fn session(store: &impl Store, name: &SessionName) -> Outcome<Row<SessionRecord>> {
    let session = store.session(&SessionKey::Name(name.clone())).await?;
    found(&format!("session {name}"), session)
}

pub(super) fn players(session: &SessionRecord) -> Vec<&str> {
    session.seats.iter().map(|seat| seat.player.as_str()).collect()
}

pub(super) fn host_names(hosts: &[HostView]) -> Vec<&str> {
    hosts.iter().map(|host| host.row.value.host_id.as_str()).collect()
}

/// All that a store has: of each table no more than one list shows.
#[derive(Debug, PartialEq)]
pub(super) struct Everything {
    hosts: Vec<HostView>,
    zones: Vec<(Row<ZoneRecord>, crate::domain::zone::ZoneCounts)>,
    sessions: Vec<Row<SessionRecord>>,
}

impl Everything {
    /// How many hosts, zones and sessions.
    pub(super) const fn counts(&self) -> (usize, usize, usize) {
        (self.hosts.len(), self.zones.len(), self.sessions.len())
    }
}

pub(super) async fn everything(store: &impl Store) -> Outcome<Everything> {
    Ok(Everything {
        hosts: store.hosts(&HostQuery::default()).await?,
        zones: store.zones(&ZoneQuery::default()).await?,
        sessions: store.sessions(&SessionQuery::default()).await?,
    })
}

/// That a refused commit left no trace.
pub(super) async fn unchanged(store: &impl Store, before: &Everything) -> Outcome {
    ensure_eq!(everything(store).await?, *before, "something was written");
    Ok(())
}

/// Many commits, one after the other.
pub(super) async fn commit_each(
    store: &impl Store,
    each: impl IntoIterator<Item = Changes>,
) -> Outcome<Vec<Committed>> {
    let mut committed = Vec::new();
    for changes in each {
        committed.push(store.commit(changes).await?);
    }
    Ok(committed)
}
