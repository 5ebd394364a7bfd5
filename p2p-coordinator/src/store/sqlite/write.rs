//! What changes the tables.

use std::collections::BTreeMap;

use p2p_coordinator_api::{SessionName, Timestamp};
use rusqlite::{Connection, ErrorCode, OptionalExtension, Params, params};
use serde::Serialize;

use super::{failed, grants, read};
use crate::domain::{
    Beat, Change, Changes, HostRecord, HostView, Row, RowId, SeatChange, SessionRecord, Terms,
    ZoneRecord,
};
use crate::store::tally::{Tally, Weight};
use crate::store::{Committed, PROBE_BYTES, StoreError};

/// Writes all of it. Whoever calls undoes it if it fails.
pub(super) fn commit(sql: &Connection, changes: Changes) -> Result<Committed, StoreError> {
    let mut committed = Committed::default();
    for change in changes.hosts {
        committed.hosts.extend(host(sql, change)?);
    }
    for (id, version) in changes.held {
        hold(sql, id, version)?;
    }
    for change in changes.zones {
        committed.zones.extend(zone(sql, change)?);
    }
    let (mut sessions, mut tally) = (Vec::new(), Tally::default());
    for change in changes.sessions {
        let before = match &change {
            Change::Insert(_) => None,
            Change::Update(Row { id, .. }) | Change::Delete { id, .. } => read::weight(sql, *id)?,
        };
        let written = session(sql, change)?;
        tally.note(before, written.as_ref().map(|row| Weight::of(&row.value)));
        sessions.extend(written);
    }
    count(sql, &tally)?;
    for change in &changes.seats {
        seat(sql, change)?;
    }
    for change in changes.grants {
        grants::write(sql, change)?;
    }
    for mut row in sessions {
        row.value.seats = read::seats(sql, &row.value.name)?;
        committed.sessions.push(row);
    }
    Ok(committed)
}

/// Writes signs of life into their hosts as they are.
pub(super) fn hear(
    sql: &Connection,
    beats: &[Beat],
    terms: &Terms,
) -> Result<Vec<HostView>, StoreError> {
    let mut heard = BTreeMap::new();
    for beat in beats {
        let Some(mut view) = read::host(sql, &beat.host)? else { continue };
        if view.row.value.hear(beat, terms) {
            update_host(sql, &view.row)?;
            view.row.version += 1;
        }
        heard.insert(view.row.id, view);
    }
    Ok(heard.into_values().collect())
}

/// Forgets sessions that are over. How many.
pub(super) fn prune(
    sql: &Connection,
    ended_by: Timestamp,
    keep: u32,
    at_most: u32,
) -> Result<usize, StoreError> {
    run(
        sql,
        "DELETE FROM sessions WHERE id IN (
             SELECT id FROM sessions
             WHERE status IN ('ended', 'failed') AND ended_at <= MAX(?1, COALESCE(
                 (SELECT ended_at FROM sessions
                  WHERE status IN ('ended', 'failed') AND ended_at IS NOT NULL
                  ORDER BY ended_at DESC, id DESC LIMIT 1 OFFSET ?2), ?1))
             ORDER BY ended_at, id LIMIT ?3)",
        params![millis(ended_by), keep, at_most],
    )
}

fn host(
    sql: &Connection,
    change: Change<HostRecord>,
) -> Result<Option<Row<HostRecord>>, StoreError> {
    match change {
        Change::Insert(value) => {
            let done = run(
                sql,
                "INSERT INTO hosts
                 (version, host_id, status, quality_score, rank, lease_until, is_peer, max_players,
                  max_zones, reported_players, reported_zones, network_speed, latency, record)
                 VALUES (1, ?1, ?2, ?3, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)",
                params![
                    value.host_id.as_str(),
                    value.status.as_str(),
                    value.quality_score,
                    millis(value.lease_until),
                    value.peer.is_some(),
                    value.max_players,
                    value.max_zones,
                    value.reported.players,
                    value.reported.zones,
                    value.network_speed_mbps,
                    value.latency_ms,
                    json(&value)?,
                ],
            );
            inserted(sql, done, value)
        }
        Change::Update(row) => updated(update_host(sql, &row), row),
        Change::Delete { id, version } => delete(sql, "hosts", id, version),
    }
}

fn hold(sql: &Connection, id: RowId, version: u64) -> Result<(), StoreError> {
    let statement = "UPDATE hosts SET version = version + 1 WHERE id = ? AND version = ?";
    match run(sql, statement, params![id, number(version)])? {
        0 => Err(StoreError::Conflict),
        _ => Ok(()),
    }
}

fn update_host(sql: &Connection, row: &Row<HostRecord>) -> Result<usize, StoreError> {
    let value = &row.value;
    run(
        sql,
        "UPDATE hosts SET version = version + 1, status = ?1, quality_score = ?2,
         lease_until = ?3, is_peer = ?4, max_players = ?5, max_zones = ?6,
         reported_players = ?7, reported_zones = ?8, network_speed = ?9, latency = ?10,
         record = ?11, rank = ?2
             - COALESCE(25.0 * MAX(placed_players - ?7, 0) / NULLIF(?5, 0), 0)
         WHERE id = ?12 AND version = ?13",
        params![
            value.status.as_str(),
            value.quality_score,
            millis(value.lease_until),
            value.peer.is_some(),
            value.max_players,
            value.max_zones,
            value.reported.players,
            value.reported.zones,
            value.network_speed_mbps,
            value.latency_ms,
            json(value)?,
            row.id,
            number(row.version),
        ],
    )
}

fn zone(
    sql: &Connection,
    change: Change<ZoneRecord>,
) -> Result<Option<Row<ZoneRecord>>, StoreError> {
    match change {
        Change::Insert(value) => {
            let zone = &value.definition;
            let done = run(
                sql,
                "INSERT INTO zones
                 (version, zone_id, name, priority, status, p2p_enabled, record)
                 VALUES (1, ?, ?, ?, ?, ?, ?)",
                params![
                    zone.zone_id.as_str(),
                    zone.zone_name,
                    zone.p2p_priority,
                    value.status.as_str(),
                    zone.p2p_enabled,
                    json(&value)?,
                ],
            );
            inserted(sql, done, value)
        }
        Change::Update(row) => {
            let zone = &row.value.definition;
            let done = run(
                sql,
                "UPDATE zones SET version = version + 1, name = ?, priority = ?, status = ?,
                 p2p_enabled = ?, record = ? WHERE id = ? AND version = ?",
                params![
                    zone.zone_name,
                    zone.p2p_priority,
                    row.value.status.as_str(),
                    zone.p2p_enabled,
                    json(&row.value)?,
                    row.id,
                    number(row.version),
                ],
            );
            updated(done, row)
        }
        Change::Delete { id, version } => delete(sql, "zones", id, version),
    }
}

fn session(
    sql: &Connection,
    change: Change<SessionRecord>,
) -> Result<Option<Row<SessionRecord>>, StoreError> {
    match change {
        Change::Insert(value) => {
            let done = run(
                sql,
                "INSERT INTO sessions
                 (version, name, host, zone, zone_id, status, players, max_players, served,
                  updated_at, ended_at, record)
                 VALUES (1, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                params![
                    value.name.as_str(),
                    value.host,
                    value.zone,
                    value.zone_id.as_str(),
                    value.status.as_str(),
                    players(&value),
                    value.max_players,
                    number(value.served),
                    millis(value.updated_at),
                    value.ended_at.map(millis),
                    json(&value)?,
                ],
            );
            inserted(sql, done, value)
        }
        Change::Update(row) => {
            let value = &row.value;
            let done = run(
                sql,
                "UPDATE sessions SET version = version + 1, status = ?, players = ?, served = ?,
                 updated_at = ?, ended_at = ?, record = ? WHERE id = ? AND version = ?",
                params![
                    value.status.as_str(),
                    players(value),
                    number(value.served),
                    millis(value.updated_at),
                    value.ended_at.map(millis),
                    json(value)?,
                    row.id,
                    number(row.version),
                ],
            );
            updated(done, row)
        }
        Change::Delete { id, version } => delete(sql, "sessions", id, version),
    }
}

/// Writes what is counted over sessions: of hosts anew, of zones what is more.
fn count(sql: &Connection, tally: &Tally) -> Result<(), StoreError> {
    for host in &tally.hosts {
        run(
            sql,
            "UPDATE hosts SET placed_players = c.players, placed_zones = c.zones,
                 rank = quality_score
                     - COALESCE(25.0 * MAX(c.players - reported_players, 0) / NULLIF(max_players, 0), 0)
             FROM (SELECT COALESCE(SUM(players), 0) AS players, COUNT(DISTINCT zone_id) AS zones
                   FROM sessions
                   WHERE host = ?1 AND status IN ('pending', 'active', 'paused')) AS c
             WHERE id = ?1",
            [host],
        )?;
    }
    for (zone, [total, active, served]) in &tally.zones {
        run(
            sql,
            "UPDATE zones SET total_sessions = total_sessions + ?,
                 active_sessions = active_sessions + ?,
                 total_players_served = total_players_served + ? WHERE id = ?",
            [total, active, served, zone],
        )?;
    }
    Ok(())
}

/// Takes new room before it gives up what it took the last time: pages of its own to write to would
/// be there on a full disk as well.
pub(super) fn probe(sql: &Connection) -> Result<(), StoreError> {
    run(sql, "INSERT INTO probe (filler) VALUES (zeroblob(?))", [PROBE_BYTES])?;
    run(sql, "DELETE FROM probe WHERE id <> ?", [sql.last_insert_rowid()])?;
    Ok(())
}

fn seat(sql: &Connection, change: &SeatChange) -> Result<(), StoreError> {
    let player = change.player.as_str();
    let present: Option<String> = sql
        .prepare_cached("SELECT session FROM seats WHERE player = ?")
        .and_then(|mut found| found.query_row([player], |row| row.get(0)).optional())
        .map_err(|error| failed("to read a place", error))?;
    let from = change.from.as_ref().map(SessionName::as_str);
    if present.as_deref() != from {
        return Err(StoreError::Conflict);
    }
    let Some((session, hold)) = &change.to else {
        run(sql, "DELETE FROM seats WHERE player = ?", [player])?;
        return Ok(());
    };
    let hold = hold.as_ref().map(json).transpose()?;
    if from == Some(session.as_str()) {
        // The same place, kept for longer: the order of coming stays.
        run(sql, "UPDATE seats SET hold = ? WHERE player = ?", params![hold, player])?;
    } else {
        if from.is_some() {
            run(sql, "DELETE FROM seats WHERE player = ?", [player])?;
        }
        run(
            sql,
            "INSERT INTO seats (player, session, hold) VALUES (?, ?, ?)",
            params![player, session.as_str(), hold],
        )?;
    }
    Ok(())
}

pub(super) fn run(
    sql: &Connection,
    statement: &str,
    params: impl Params,
) -> Result<usize, StoreError> {
    sql.prepare_cached(statement).and_then(|mut ready| ready.execute(params)).map_err(|error| {
        match error.sqlite_error_code() {
            // A name is taken, since it was looked up.
            Some(ErrorCode::ConstraintViolation) => StoreError::Conflict,
            _ => failed("to write", error),
        }
    })
}

pub(super) fn inserted<T>(
    sql: &Connection,
    done: Result<usize, StoreError>,
    value: T,
) -> Result<Option<Row<T>>, StoreError> {
    done.map(|_| Some(Row { id: sql.last_insert_rowid(), version: 1, value }))
}

pub(super) fn updated<T>(
    done: Result<usize, StoreError>,
    row: Row<T>,
) -> Result<Option<Row<T>>, StoreError> {
    match done? {
        0 => Err(StoreError::Conflict),
        _ => Ok(Some(Row { version: row.version + 1, ..row })),
    }
}

pub(super) fn delete<T>(
    sql: &Connection,
    table: &str,
    id: RowId,
    version: u64,
) -> Result<Option<Row<T>>, StoreError> {
    let statement = format!("DELETE FROM {table} WHERE id = ? AND version = ?");
    match run(sql, &statement, params![id, number(version)])? {
        0 => Err(StoreError::Conflict),
        _ => Ok(None),
    }
}

pub(super) fn json(record: &impl Serialize) -> Result<String, StoreError> {
    serde_json::to_string(record).map_err(|error| failed("to write a record", error))
}

fn players(session: &SessionRecord) -> u32 {
    u32::try_from(session.seats.len()).unwrap_or(u32::MAX)
}

/// SQLite's integers have a sign.
pub(super) fn number(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

pub(super) fn millis(moment: Timestamp) -> i64 {
    number(moment.as_millis())
}
