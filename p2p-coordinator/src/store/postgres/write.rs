//! A group of commits as a transaction: one journey to lock and read what it is about, one to write.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use p2p_coordinator_api::{PlayerId, SessionName, SessionStatus};
use tokio_postgres::error::SqlState;
use tokio_postgres::{Error, Row as SqlRow};

use super::batch::Batch;
use super::columns::{self, Tabled, Values, number};
use super::group::{Commit, Group, Outcome, SeatNow, Stored, Table, Written};
use super::link::{Session, failed, is_lost};
use super::read::{get, seat};
use crate::domain::session::Seat;
use crate::domain::{Change, Row, RowId};
use crate::store::tally::{Tally, Weight};
use crate::store::{Committed, StoreError};

/// Why a group was not written.
pub(super) enum Trouble {
    /// The connection was lost before anything was to be kept.
    Early(StoreError),
    /// Others wrote the same at the same moment.
    Raced,
    /// The database does not take it.
    Refused(StoreError),
    /// The connection was lost with the answer: it may have been kept.
    Unknown(StoreError),
}

/// What each commit of a group comes to.
pub(super) type Results = Vec<Result<Committed, StoreError>>;

/// Writes a group: all of each commit, or nothing of those that conflict.
pub(super) async fn group(session: &Session, commits: Vec<Commit>) -> Result<Results, Trouble> {
    let (mut group, mut outcomes) = (Group::default(), Vec::new());
    let read = lock(session, &commits, &mut group).await;
    if let Err(error) = read {
        return Err(undo(session, error, Trouble::Early).await);
    }
    for commit in commits {
        outcomes.push(group.take(commit).ok_or(StoreError::Conflict));
    }
    if group.is_empty() {
        let ended = session.client().batch_execute("ROLLBACK").await;
        ended.map_err(|error| Trouble::Early(failed("to end a transaction", error)))?;
        return Ok(outcomes.into_iter().map(|done| done.map(|_| Committed::default())).collect());
    }
    match write(session, &group, &outcomes).await {
        Ok(rows) => Ok(rows.tell(outcomes)),
        Err(Wrong::Sql(error)) => Err(undo(session, error, Trouble::Unknown).await),
        Err(Wrong::Read(error)) => Err(Trouble::Refused(error)),
    }
}

pub(super) enum Wrong {
    Sql(Error),
    Read(StoreError),
}

impl From<Error> for Wrong {
    fn from(error: Error) -> Self {
        Self::Sql(error)
    }
}

impl From<StoreError> for Wrong {
    fn from(error: StoreError) -> Self {
        Self::Read(error)
    }
}

/// Ends what went wrong, and names it.
pub(super) async fn undo(
    session: &Session,
    error: Error,
    lost: fn(StoreError) -> Trouble,
) -> Trouble {
    const RACES: [SqlState; 3] = [
        SqlState::UNIQUE_VIOLATION,
        SqlState::T_R_DEADLOCK_DETECTED,
        SqlState::T_R_SERIALIZATION_FAILURE,
    ];
    if is_lost(&error) || session.client().batch_execute("ROLLBACK").await.is_err() {
        session.give_up();
        return lost(failed("to write", error));
    }
    if error.code().is_some_and(|code| RACES.contains(code)) {
        return Trouble::Raced;
    }
    Trouble::Refused(failed("to write", error))
}

/// Locks the rows that the commits are about, in the same order everywhere, and reads them.
async fn lock(session: &Session, commits: &[Commit], group: &mut Group) -> Result<(), Error> {
    let mut batch = Batch::default();
    let mut hosts = Asked::of(commits.iter().flat_map(|commit| &commit.hosts));
    let zones = Asked::of(commits.iter().flat_map(|commit| &commit.zones));
    let sessions = Asked::of(commits.iter().flat_map(|commit| &commit.sessions));
    let grants = Asked::of(commits.iter().flat_map(|commit| &commit.grants));
    hosts.ids.extend(commits.iter().flat_map(|commit| &commit.held).map(|(id, _)| *id));
    for change in commits.iter().flat_map(|commit| &commit.sessions) {
        // What it carries is counted anew: one at a time.
        if let Change::Insert(entry) | Change::Update(Row { value: entry, .. }) = change {
            hosts.ids.insert(entry.value.host);
        }
    }
    let players: BTreeSet<&str> = commits
        .iter()
        .flat_map(|commit| &commit.seats)
        .map(|change| change.player.as_str())
        .collect();
    let host_rows = hosts.add(&mut batch, "hosts", "host_id", "");
    let zone_rows = zones.add(&mut batch, "zones", "zone_id", "");
    let weight = ", host_id, zone_id, status::text, current_players, served";
    let session_rows = sessions.add(&mut batch, "p2p_sessions", "session_id", weight);
    let seat_rows = (!players.is_empty()).then(|| {
        let text = "SELECT player::text, session::text FROM p2p_seats WHERE player = ANY ($1)
             ORDER BY player FOR UPDATE";
        batch.add(text, vec![texts(players)])
    });
    let grant_rows = grants.add(&mut batch, "p2p_grants", "family", "");
    let rows = batch.send(session, Some("BEGIN"), None).await?;

    let of = |place: Option<usize>| place.map_or(&[][..], |place| &rows[place]);
    (group.hosts.stored, group.hosts.taken) = stored(of(host_rows.0), of(host_rows.1), |_| Ok(()))?;
    (group.zones.stored, group.zones.taken) = stored(of(zone_rows.0), of(zone_rows.1), |_| Ok(()))?;
    (group.sessions.stored, group.sessions.taken) =
        stored(of(session_rows.0), of(session_rows.1), |row| {
            Ok(Weight {
                host: row.try_get(3)?,
                zone: row.try_get(4)?,
                status: status(row.try_get(5)?),
                players: row.try_get(6)?,
                served: row.try_get(7)?,
            })
        })?;
    (group.grants.stored, group.grants.taken) =
        stored(of(grant_rows.0), of(grant_rows.1), |_| Ok(()))?;
    for row in of(seat_rows) {
        let (player, name): (&str, &str) = (row.try_get(0)?, row.try_get(1)?);
        // What was written as ids is ids.
        let (Ok(player), Ok(name)) = (PlayerId::new(player), SessionName::new(name)) else {
            continue;
        };
        let now = SeatNow { session: Some(name), hold: None, moved: None, changed: false };
        group.seats.insert(player, now);
    }
    Ok(())
}

/// The rows of a table that changes are about.
#[derive(Default)]
struct Asked<'a> {
    ids: BTreeSet<RowId>,
    names: BTreeSet<Cow<'a, str>>,
}

impl<'a> Asked<'a> {
    fn of<T: Tabled>(changes: impl Iterator<Item = &'a Change<columns::Entry<T>>>) -> Self {
        let mut asked = Self::default();
        for change in changes {
            match change {
                Change::Insert(entry) => {
                    asked.names.insert(entry.value.name());
                }
                Change::Update(Row { id, .. }) | Change::Delete { id, .. } => {
                    asked.ids.insert(*id);
                }
            }
        }
        asked
    }

    fn add(
        self,
        batch: &mut Batch,
        table: &str,
        name: &str,
        more: &str,
    ) -> (Option<usize>, Option<usize>) {
        let rows = (!self.ids.is_empty()).then(|| {
            let text = format!(
                "SELECT id, version, {name}::text{more} FROM {table} WHERE id = ANY ($1)
                 ORDER BY id FOR UPDATE"
            );
            let ids: Vec<RowId> = self.ids.into_iter().collect();
            batch.add(text, vec![Box::new(ids)])
        });
        let taken = (!self.names.is_empty()).then(|| {
            let text = format!("SELECT {name}::text FROM {table} WHERE {name} = ANY ($1)");
            batch.add(text, vec![texts(self.names)])
        });
        (rows, taken)
    }
}

fn texts<'a>(texts: impl IntoIterator<Item = impl Into<Cow<'a, str>>>) -> Values {
    let texts: Vec<String> = texts.into_iter().map(|text| text.into().into_owned()).collect();
    Box::new(texts)
}

type StoredRows<T> = (BTreeMap<RowId, Stored<T>>, BTreeSet<String>);

fn stored<T>(
    rows: &[SqlRow],
    taken: &[SqlRow],
    more: impl Fn(&SqlRow) -> Result<T, Error>,
) -> Result<StoredRows<T>, Error> {
    let mut found = BTreeMap::new();
    for row in rows {
        let version = u64::try_from(row.try_get::<_, i64>(1)?).unwrap_or(0);
        let stored = Stored { version, name: row.try_get(2)?, more: more(row)? };
        found.insert(row.try_get(0)?, stored);
    }
    let taken = taken.iter().map(|row| row.try_get(0)).collect::<Result<_, _>>()?;
    Ok((found, taken))
}

fn status(name: &str) -> SessionStatus {
    let named = |status: &SessionStatus| status.as_str().eq_ignore_ascii_case(name);
    // The database's type has no others.
    SessionStatus::ALL.into_iter().find(named).unwrap_or(SessionStatus::Failed)
}

/// The numbers of new rows by their names, and who has a place in the sessions.
#[derive(Default)]
struct Rows {
    hosts: BTreeMap<String, RowId>,
    zones: BTreeMap<String, RowId>,
    sessions: BTreeMap<String, RowId>,
    seats: BTreeMap<String, Vec<Seat>>,
}

async fn write(
    session: &Session,
    group: &Group,
    outcomes: &[Result<Outcome, StoreError>],
) -> Result<Rows, Wrong> {
    let mut batch = Batch::default();
    let hosts = table(&mut batch, &group.hosts);
    let zones = table(&mut batch, &group.zones);
    let sessions = table(&mut batch, &group.sessions);
    seats(&mut batch, group)?;
    table(&mut batch, &group.grants);
    count(&mut batch, group.tally());
    let written: Vec<String> = outcomes
        .iter()
        .flatten()
        .flat_map(|outcome| &outcome.sessions)
        .map(|row| row.value.name.as_str().to_owned())
        .collect();
    let seated = (!written.is_empty()).then(|| {
        let text = "SELECT session::text, player::text, hold FROM p2p_seats
             WHERE session = ANY ($1) ORDER BY place";
        batch.add(text, vec![Box::new(written)])
    });
    let answers = batch.send(session, None, Some("COMMIT")).await?;

    let mut rows = Rows::default();
    let numbers =
        [(hosts, &mut rows.hosts), (zones, &mut rows.zones), (sessions, &mut rows.sessions)];
    for (place, numbers) in numbers {
        for row in place.map_or(&[][..], |place| &answers[place]) {
            numbers.insert(row.try_get(1)?, row.try_get(0)?);
        }
    }
    for row in seated.map_or(&[][..], |place| &answers[place]) {
        let seats = rows.seats.entry(get(row, 0)?).or_default();
        seats.push(seat(get(row, 1)?, get(row, 2)?)?);
    }
    Ok(rows)
}

/// Adds what is written of a table. The place of the new rows' numbers.
fn table<R: Tabled, T>(batch: &mut Batch, table: &Table<R, T>) -> Option<usize> {
    if !table.deleted.is_empty() {
        let ids: Vec<RowId> = table.deleted.iter().copied().collect();
        let text = format!("DELETE FROM {} WHERE id = ANY ($1)", R::TABLE);
        batch.add(text, vec![Box::new(ids)]);
    }
    if !table.updated.is_empty() {
        let ids: Vec<RowId> = table.updated.keys().copied().collect();
        let versions = table.updated.values().map(|(version, _)| number(*version));
        let versions: Vec<i64> = versions.collect();
        let entries: Vec<_> = table.updated.values().map(|(_, entry)| entry).collect();
        let mut params: Vec<Values> = vec![Box::new(ids), Box::new(versions)];
        params.extend(columns::values(&entries));
        batch.add(columns::update::<R>(), params);
    }
    if !table.held.is_empty() {
        let ids: Vec<RowId> = table.held.keys().copied().collect();
        let versions: Vec<i64> = table.held.values().map(|version| number(*version)).collect();
        let text = format!(
            "UPDATE {} AS r SET version = t.version
             FROM unnest($1::bigint[], $2::bigint[]) AS t(id, version) WHERE r.id = t.id",
            R::TABLE
        );
        batch.add(text, vec![Box::new(ids), Box::new(versions)]);
    }
    (!table.inserted.is_empty()).then(|| {
        let entries: Vec<_> = table.inserted.iter().collect();
        batch.add(columns::insert::<R>(), columns::values(&entries))
    })
}

fn seats(batch: &mut Batch, group: &Group) -> Result<(), StoreError> {
    let (mut left, mut held, mut holds) = (Vec::new(), Vec::new(), Vec::new());
    let mut moved = BTreeMap::new();
    for (player, now) in group.seats.iter().filter(|(_, now)| now.changed) {
        let hold = now.hold.as_ref().map(serde_json::to_string).transpose();
        let hold = hold.map_err(|error| StoreError::Failed {
            what: "to write a place".into(),
            source: Some(Box::new(error)),
        })?;
        let player = player.as_str().to_owned();
        match (&now.session, now.moved) {
            (Some(session), Some(order)) => {
                left.push(player.clone());
                moved.insert(order, (player, session.as_str().to_owned(), hold));
            }
            (Some(_), None) => {
                held.push(player);
                holds.push(hold);
            }
            (None, _) => left.push(player),
        }
    }
    if !left.is_empty() {
        let text = "DELETE FROM p2p_seats WHERE player = ANY ($1)";
        batch.add(text, vec![Box::new(left)]);
    }
    if !held.is_empty() {
        let text = "UPDATE p2p_seats AS p SET hold = t.hold
             FROM unnest($1::text[], $2::text[]) AS t(player, hold) WHERE p.player = t.player";
        batch.add(text, vec![Box::new(held), Box::new(holds)]);
    }
    if !moved.is_empty() {
        let (mut players, mut sessions, mut holds) = (Vec::new(), Vec::new(), Vec::new());
        for (player, session, hold) in moved.into_values() {
            players.push(player);
            sessions.push(session);
            holds.push(hold);
        }
        let text = "INSERT INTO p2p_seats (player, session, hold)
             SELECT player, session, hold FROM unnest($1::text[], $2::text[], $3::text[])
             WITH ORDINALITY AS t(player, session, hold, ord) ORDER BY t.ord";
        batch.add(text, vec![Box::new(players), Box::new(sessions), Box::new(holds)]);
    }
    Ok(())
}

/// Adds what is counted over sessions: of hosts anew, of zones what is more.
fn count(batch: &mut Batch, Tally { hosts, zones: counted }: Tally) {
    let hosts: Vec<RowId> = hosts.into_iter().collect();
    if !hosts.is_empty() {
        let text = "UPDATE hosts AS r SET placed_players = c.players, placed_zones = c.zones,
                rank = r.quality_score - COALESCE(25 * GREATEST(c.players - r.current_players, 0)
                    ::float8 / NULLIF(r.max_players, 0), 0)
             FROM (SELECT t.id, COALESCE(sum(s.current_players), 0)::bigint AS players,
                       count(DISTINCT s.zone_id) AS zones
                   FROM unnest($1::bigint[]) AS t(id) LEFT JOIN p2p_sessions s
                       ON s.host_id = t.id AND s.status IN ('PENDING', 'ACTIVE', 'PAUSED')
                   GROUP BY t.id) AS c
             WHERE r.id = c.id";
        batch.add(text, vec![Box::new(hosts)]);
    }
    if !counted.is_empty() {
        let column = |place: usize| -> Values {
            Box::new(counted.values().map(|counts| counts[place]).collect::<Vec<i64>>())
        };
        let zones: Vec<RowId> = counted.keys().copied().collect();
        let text = "UPDATE zones AS z SET total_sessions = z.total_sessions + t.total,
                active_sessions = z.active_sessions + t.active,
                total_players_served = z.total_players_served + t.served
             FROM unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::bigint[])
                 AS t(id, total, active, served)
             WHERE z.id = t.id";
        batch.add(text, vec![Box::new(zones), column(0), column(1), column(2)]);
    }
}

impl Rows {
    fn tell(&self, outcomes: Vec<Result<Outcome, StoreError>>) -> Results {
        outcomes.into_iter().map(|outcome| outcome.map(|outcome| self.committed(outcome))).collect()
    }

    fn committed(&self, outcome: Outcome) -> Committed {
        let mut committed = Committed {
            hosts: numbered(outcome.hosts, &self.hosts),
            zones: numbered(outcome.zones, &self.zones),
            sessions: numbered(outcome.sessions, &self.sessions),
        };
        for row in &mut committed.sessions {
            row.value.seats = self.seats.get(row.value.name.as_str()).cloned().unwrap_or_default();
        }
        committed
    }
}

fn numbered<T: Tabled>(rows: Vec<Written<T>>, numbers: &BTreeMap<String, RowId>) -> Vec<Row<T>> {
    let row = |Written { known, value }: Written<T>| {
        let (id, version) = known.or_else(|| Some((*numbers.get(&*value.name())?, 1)))?;
        Some(Row { id, version, value })
    };
    rows.into_iter().filter_map(row).collect()
}
