//! What reads the tables.

use p2p_coordinator_api::{HostId, PlayerId, SessionName, SessionStatus, Timestamp, ZoneId};
use rusqlite::types::Value;
use rusqlite::{Connection, OptionalExtension, Params, Row as SqlRow, params, params_from_iter};
use serde::de::DeserializeOwned;

use super::failed;
use crate::domain::placement::{self, Candidate, PlacementView, SessionOnHost};
use crate::domain::session::Seat;
use crate::domain::zone::ZoneCounts;
use crate::domain::{HostRecord, HostView, Load, Row, RowId, SessionRecord, ZoneRecord};
use crate::store::tally::Weight;
use crate::store::{
    HostQuery, OPEN_SESSIONS, PlacementQuery, RANKS, ROUNDING, SessionKey, SessionQuery,
    StoreError, Totals, ZoneQuery, limit,
};

type Result<T> = std::result::Result<T, StoreError>;

const HOST: &str =
    "SELECT h.id, h.version, h.record, h.placed_players, h.placed_zones FROM hosts h";

const ZONE: &str = "SELECT z.id, z.version, z.record,
    z.total_sessions, z.active_sessions, z.total_players_served FROM zones z";

const SESSION: &str = "SELECT s.id, s.version, s.record FROM sessions s";

pub(super) fn host(sql: &Connection, host: &HostId) -> Result<Option<HostView>> {
    one(sql, &format!("{HOST} WHERE h.host_id = ?"), [host.as_str()], host_view)
}

pub(super) fn candidate(sql: &Connection, id: &HostId) -> Result<Option<Candidate>> {
    host(sql, id)?.map(|host| with_zones(sql, host)).transpose()
}

/// What a session counts for now.
pub(super) fn weight(sql: &Connection, session: RowId) -> Result<Option<Weight>> {
    let statement = "SELECT host, zone, status, players, served FROM sessions WHERE id = ?";
    one(sql, statement, [session], |row| {
        let name: String = row.get(2)?;
        let named = |status: &SessionStatus| status.as_str() == name;
        Ok(Ok(Weight {
            host: row.get(0)?,
            zone: row.get(1)?,
            // Nobody else writes here.
            status: SessionStatus::ALL.into_iter().find(named).unwrap_or(SessionStatus::Failed),
            players: row.get(3)?,
            served: row.get(4)?,
        }))
    })
}

fn with_zones(sql: &Connection, host: HostView) -> Result<Candidate> {
    let served = all(
        sql,
        "SELECT DISTINCT zone_id FROM sessions
         WHERE host = ? AND status IN ('pending', 'active', 'paused') ORDER BY zone_id",
        [host.row.id],
        |row| row.get::<_, String>(0),
    )?;
    let served = served.into_iter().map(parsed::<ZoneId>).collect::<Result<_>>()?;
    Ok(Candidate { host, served })
}

pub(super) fn hosts(sql: &Connection, query: &HostQuery) -> Result<Vec<HostView>> {
    let mut filter = Filter::default();
    if let Some(status) = query.status {
        filter.and("h.status = ?", Value::Text(status.as_str().into()));
    }
    if let Some(score) = query.min_score {
        filter.and("h.rank >= ?", Value::Real(score - ROUNDING));
    }
    if let Some(now) = query.available_at {
        filter.and("h.status = 'online' AND h.lease_until > ?", millis(now));
        filter.condition(&format!("{PLAYERS} < h.max_players AND {ZONES} < h.max_zones"));
    }
    if let Some(now) = query.lost_at {
        filter.and("h.status <> 'offline' AND h.lease_until <= ?", millis(now));
    }
    if let Some(moment) = query.leased_beyond {
        filter.and("h.status <> 'offline' AND h.lease_until > ?", millis(moment));
    }
    let page = filter.page(query.offset, query.limit);
    let statement = format!("{HOST}{} ORDER BY h.rank DESC, h.host_id {page}", filter.text);
    all(sql, &statement, params_from_iter(filter.values), host_view)?.into_iter().collect()
}

/// What a host carries.
const PLAYERS: &str = "MAX(h.reported_players, h.placed_players)";
const ZONES: &str = "MAX(h.reported_zones, h.placed_zones)";

/// Sessions are counted by their zones' counters: only active ones are looked at one by one.
pub(super) fn totals(sql: &Connection) -> Result<Totals> {
    let [fair, good, excellent] = RANKS;
    let statement = format!(
        "SELECT (SELECT COUNT(*) FROM hosts), h.*, z.*, s.* FROM
            (SELECT COUNT(*) FILTER (WHERE rank < {fair}),
                COUNT(*) FILTER (WHERE rank >= {fair} AND rank < {good}),
                COUNT(*) FILTER (WHERE rank >= {good} AND rank < {excellent}),
                COUNT(*) FILTER (WHERE rank >= {excellent}), TOTAL(rank) / MAX(COUNT(*), 1)
                FROM hosts WHERE status = 'online') h,
            (SELECT COUNT(*), COUNT(*) FILTER (WHERE p2p_enabled),
                COALESCE(SUM(total_sessions), 0), COALESCE(SUM(active_sessions), 0)
                FROM zones) z,
            (SELECT COALESCE(SUM(s.players), 0), COALESCE(AVG(
                    COALESCE(json_extract(s.record, '$.metrics.latency_ms'), h.latency)), 0.0)
                FROM zones z CROSS JOIN sessions s ON s.zone = z.id AND s.status = 'active'
                LEFT JOIN hosts h ON h.id = s.host) s"
    );
    let totals = one(sql, &statement, [], |row| {
        let count = |column| row.get::<_, i64>(column).map(|count| count.try_into().unwrap_or(0));
        Ok(Ok(Totals {
            hosts: count(0)?,
            online: [count(1)?, count(2)?, count(3)?, count(4)?],
            quality_score: row.get(5)?,
            zones: count(6)?,
            zones_for_peers: count(7)?,
            sessions: count(8)?,
            active_sessions: count(9)?,
            players: count(10)?,
            latency_ms: row.get(11)?,
        }))
    });
    Ok(totals?.unwrap_or_default())
}

pub(super) fn zone(
    sql: &Connection,
    zone: &ZoneId,
) -> Result<Option<(Row<ZoneRecord>, ZoneCounts)>> {
    one(sql, &format!("{ZONE} WHERE z.zone_id = ?"), [zone.as_str()], counted_zone)
}

pub(super) fn zones(
    sql: &Connection,
    query: &ZoneQuery,
) -> Result<Vec<(Row<ZoneRecord>, ZoneCounts)>> {
    let mut filter = Filter::default();
    if let Some(status) = query.status {
        filter.and("z.status = ?", Value::Text(status.as_str().into()));
    }
    if let Some(on) = query.p2p_enabled {
        filter.and("z.p2p_enabled = ?", Value::Integer(on.into()));
    }
    let page = filter.page(query.offset, query.limit);
    let order = "ORDER BY z.priority DESC, z.name, z.zone_id";
    let statement = format!("{ZONE}{} {order} {page}", filter.text);
    all(sql, &statement, params_from_iter(filter.values), counted_zone)?.into_iter().collect()
}

pub(super) fn session(sql: &Connection, key: &SessionKey) -> Result<Option<Row<SessionRecord>>> {
    let row = match key {
        SessionKey::Name(name) => {
            one(sql, &format!("{SESSION} WHERE s.name = ?"), [name.as_str()], record)?
        }
        SessionKey::Number(id) => one(sql, &format!("{SESSION} WHERE s.id = ?"), [id], record)?,
    };
    row.map(|row| seated(sql, row)).transpose()
}

pub(super) fn sessions(sql: &Connection, query: &SessionQuery) -> Result<Vec<Row<SessionRecord>>> {
    let mut filter = Filter::default();
    if let Some(host) = query.host {
        filter.and("s.host = ?", Value::Integer(host));
    }
    if let Some(zone) = query.zone {
        filter.and("s.zone = ?", Value::Integer(zone));
    }
    if !query.status.is_empty() {
        let states: Vec<_> =
            query.status.iter().map(|status| format!("'{}'", status.as_str())).collect();
        filter.condition(&format!("s.status IN ({})", states.join(", ")));
    }
    if let Some(since) = query.idle_since {
        filter.and("s.updated_at <= ?", millis(since));
    }
    if let Some(moment) = query.changed_after {
        filter.and("s.updated_at > ?", millis(moment));
    }
    let page = filter.page(query.offset, query.limit);
    let statement = format!("{SESSION}{} ORDER BY s.id {page}", filter.text);
    let rows = all(sql, &statement, params_from_iter(filter.values), record)?;
    rows.into_iter().map(|row| seated(sql, row?)).collect()
}

pub(super) fn session_of(
    sql: &Connection,
    player: &PlayerId,
) -> Result<Option<Row<SessionRecord>>> {
    let statement = format!("{SESSION} JOIN seats p ON p.session = s.name WHERE p.player = ?");
    let row = one(sql, &statement, [player.as_str()], record)?;
    row.map(|row| seated(sql, row)).transpose()
}

pub(super) fn placement(sql: &Connection, query: &PlacementQuery) -> Result<Option<PlacementView>> {
    let statement = "SELECT id, version, record FROM zones WHERE zone_id = ?";
    let zone: Option<Row<ZoneRecord>> = one(sql, statement, [query.zone.as_str()], record)?;
    let Some(zone) = zone else { return Ok(None) };
    let present = match &query.player {
        Some(player) => match session_of(sql, player)? {
            Some(session) => on_host(sql, session)?,
            None => None,
        },
        None => None,
    };
    let open = if query.enter { open_sessions(sql, zone.id, query)? } else { Vec::new() };
    let mut view = PlacementView { zone, present, open, hosts: Vec::new() };
    if !query.enter || !placement::suffices(&view, query.wish(), query.now) {
        view.hosts = candidates(sql, &view.zone, query)?;
    }
    Ok(Some(view))
}

fn open_sessions(
    sql: &Connection,
    zone: RowId,
    query: &PlacementQuery,
) -> Result<Vec<SessionOnHost>> {
    let statement = format!(
        "{SESSION} JOIN hosts h ON h.id = s.host
         WHERE s.zone = ? AND s.status IN ('pending', 'active') AND s.players < s.max_players
         AND h.status = 'online' AND h.lease_until > ? AND h.is_peer >= ?
         AND {PLAYERS} < h.max_players
         AND h.host_id NOT IN (SELECT value FROM json_each(?))
         ORDER BY s.players DESC, s.id LIMIT {OPEN_SESSIONS}"
    );
    let params = params![zone, millis(query.now), query.peer, avoided(query)?];
    let rows = all(sql, &statement, params, record)?;
    let mut open = Vec::with_capacity(rows.len());
    for row in rows {
        open.extend(on_host(sql, seated(sql, row?)?)?);
    }
    Ok(open)
}

fn avoided(query: &PlacementQuery) -> Result<String> {
    serde_json::to_string(&query.avoid).map_err(|error| failed("to write ids", error))
}

/// Looks at the best hosts until there are enough that could open a session.
fn candidates(
    sql: &Connection,
    zone: &Row<ZoneRecord>,
    query: &PlacementQuery,
) -> Result<Vec<Candidate>> {
    let statement = format!(
        "{HOST} WHERE h.status = 'online' AND h.lease_until > ? AND h.is_peer >= ?
         AND h.host_id NOT IN (SELECT value FROM json_each(?))
         AND {PLAYERS} + ? <= h.max_players AND h.network_speed >= ? AND h.latency <= ?
         ORDER BY h.rank DESC, h.host_id"
    );
    let wrong = |error| failed("to read hosts", error);
    let mut prepared = sql.prepare_cached(&statement).map_err(wrong)?;
    let demands = &zone.value.definition;
    let params = params![
        millis(query.now),
        query.peer,
        avoided(query)?,
        query.players,
        demands.min_bandwidth_mbps,
        demands.max_latency_ms,
    ];
    let mut rows = prepared.query(params).map_err(wrong)?;
    let mut candidates = Vec::new();
    while let Some(row) = rows.next().map_err(wrong)? {
        let candidate = with_zones(sql, host_view(row).map_err(wrong)??)?;
        let (host, served) = (&candidate.host, &candidate.served);
        if placement::can_open(host, served, &zone.value, query.players, query.now).is_ok() {
            candidates.push(candidate);
        }
        if candidates.len() >= query.hosts as usize {
            break;
        }
    }
    Ok(candidates)
}

pub(super) fn seats(sql: &Connection, session: &SessionName) -> Result<Vec<Seat>> {
    let rows = all(
        sql,
        "SELECT player, hold FROM seats WHERE session = ? ORDER BY place",
        [session.as_str()],
        |row| Ok((row.get::<_, String>(0)?, row.get::<_, Option<String>>(1)?)),
    )?;
    let seat = |(player, hold): (String, Option<String>)| {
        let hold = hold.map(|hold| json(&hold)).transpose()?;
        Ok(Seat { player: parsed(player)?, hold })
    };
    rows.into_iter().map(seat).collect()
}

fn seated(sql: &Connection, mut row: Row<SessionRecord>) -> Result<Row<SessionRecord>> {
    row.value.seats = seats(sql, &row.value.name)?;
    Ok(row)
}

fn on_host(sql: &Connection, session: Row<SessionRecord>) -> Result<Option<SessionOnHost>> {
    let host = one(sql, &format!("{HOST} WHERE h.id = ?"), [session.value.host], host_view)?;
    Ok(host.map(|host| SessionOnHost { session, host }))
}

/// The conditions of a query and their values.
#[derive(Default)]
pub(super) struct Filter {
    pub(super) text: String,
    pub(super) values: Vec<Value>,
}

impl Filter {
    pub(super) fn and(&mut self, condition: &str, value: Value) {
        self.condition(condition);
        self.values.push(value);
    }

    pub(super) fn condition(&mut self, condition: &str) {
        self.text += if self.text.is_empty() { " WHERE " } else { " AND " };
        self.text += condition;
    }

    pub(super) fn page(&self, offset: u32, most: Option<u32>) -> String {
        format!("LIMIT {} OFFSET {offset}", limit(most))
    }
}

fn host_view(row: &SqlRow<'_>) -> rusqlite::Result<Result<HostView>> {
    let placed = Load { players: row.get(3)?, zones: row.get(4)? };
    Ok(record::<HostRecord>(row)?.map(|row| HostView { row, placed }))
}

fn counted_zone(row: &SqlRow<'_>) -> rusqlite::Result<Result<(Row<ZoneRecord>, ZoneCounts)>> {
    let count = |column| row.get::<_, i64>(column).map(|number| u64::try_from(number).unwrap_or(0));
    let counts = ZoneCounts {
        total_sessions: count(3)?,
        active_sessions: count(4)?,
        total_players_served: count(5)?,
    };
    Ok(record::<ZoneRecord>(row)?.map(|row| (row, counts)))
}

/// The first three columns: number, version, record.
pub(super) fn record<T: DeserializeOwned>(row: &SqlRow<'_>) -> rusqlite::Result<Result<Row<T>>> {
    let (id, version, text): (i64, i64, String) = (row.get(0)?, row.get(1)?, row.get(2)?);
    let version = u64::try_from(version).unwrap_or(0);
    Ok(json(&text).map(|value| Row { id, version, value }))
}

/// The first row, if there is one.
pub(super) fn one<T>(
    sql: &Connection,
    statement: &str,
    params: impl Params,
    read: impl Fn(&SqlRow<'_>) -> rusqlite::Result<Result<T>>,
) -> Result<Option<T>> {
    let row = sql
        .prepare_cached(statement)
        .and_then(|mut query| query.query_row(params, read).optional())
        .map_err(|error| failed("to read", error))?;
    row.transpose()
}

pub(super) fn all<T>(
    sql: &Connection,
    statement: &str,
    params: impl Params,
    read: impl FnMut(&SqlRow<'_>) -> rusqlite::Result<T>,
) -> Result<Vec<T>> {
    sql.prepare_cached(statement)
        .and_then(|mut query| query.query_map(params, read)?.collect())
        .map_err(|error| failed("to read", error))
}

fn json<T: DeserializeOwned>(text: &str) -> Result<T> {
    serde_json::from_str(text).map_err(|error| failed("to understand a record", error))
}

fn parsed<T: TryFrom<String, Error: std::error::Error + Send + Sync + 'static>>(
    text: String,
) -> Result<T> {
    T::try_from(text).map_err(|error| failed("to understand an id", error))
}

pub(super) fn millis(moment: Timestamp) -> Value {
    Value::Integer(i64::try_from(moment.as_millis()).unwrap_or(i64::MAX))
}
