//! What reads the tables: each read is one statement, and so of one moment.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use p2p_coordinator_api::{HostId, Nonce, PlayerId, Timestamp, ZoneId};
use serde::de::DeserializeOwned;
use tokio_postgres::Row as SqlRow;
use tokio_postgres::types::{FromSqlOwned, ToSql};

use super::Readers;
use super::link::failed;
use crate::domain::placement::{self, Candidate, PlacementView, SessionOnHost};
use crate::domain::session::Seat;
use crate::domain::zone::ZoneCounts;
use crate::domain::{HostRecord, HostView, Load, Row, SessionRecord, ZoneRecord};
use crate::security::GrantRecord;
use crate::store::{
    GrantQuery, HostQuery, OPEN_SESSIONS, PlacementQuery, RANKS, ROUNDING, SessionKey,
    SessionQuery, Stamp, StoreError, Totals, ZoneQuery, limit,
};

type Result<T> = std::result::Result<T, StoreError>;

pub(super) const HOST: &str = "h.id, h.version, h.record, h.placed_players, h.placed_zones";

const ZONE: &str = "z.id, z.version, z.record,
    z.total_sessions, z.active_sessions, z.total_players_served";

/// With the players in it and what holds their places, in the order of coming.
const SESSION: &str = "s.id, s.version, s.record,
    ARRAY(SELECT player::text FROM p2p_seats WHERE session = s.session_id ORDER BY place),
    ARRAY(SELECT hold FROM p2p_seats WHERE session = s.session_id ORDER BY place)";

const SERVED: &str = "ARRAY(SELECT DISTINCT zone_key::text FROM p2p_sessions
    WHERE host_id = h.id AND status IN ('PENDING', 'ACTIVE', 'PAUSED') ORDER BY zone_key::text)";

pub(super) async fn host(sql: &Readers, host: &HostId) -> Result<Option<HostView>> {
    let text = format!("SELECT {HOST} FROM hosts h WHERE h.host_id = $1");
    one(sql.rows(&text, &[&host.as_str()]).await?, host_view)
}

pub(super) async fn candidate(sql: &Readers, host: &HostId) -> Result<Option<Candidate>> {
    let text = format!("SELECT {HOST}, {SERVED} FROM hosts h WHERE h.host_id = $1");
    one(sql.rows(&text, &[&host.as_str()]).await?, |row| with_zones(row, 0))
}

pub(super) async fn hosts(sql: &Readers, query: &HostQuery) -> Result<Vec<HostView>> {
    let mut filter = Filter::default();
    if let Some(status) = query.status {
        filter.and("h.status = $::text::hoststatus", status.as_str().to_uppercase());
    }
    if let Some(score) = query.min_score {
        filter.and("h.rank >= $", score - ROUNDING);
    }
    if let Some(now) = query.available_at {
        filter.and(
            "h.status = 'ONLINE' AND h.lease_until > $
             AND GREATEST(h.current_players, h.placed_players) < h.max_players
             AND GREATEST(h.current_zones, h.placed_zones) < h.max_zones",
            moment(now),
        );
    }
    if let Some(now) = query.lost_at {
        filter.and("h.status <> 'OFFLINE' AND h.lease_until <= $", moment(now));
    }
    if let Some(most) = query.leased_beyond {
        filter.and("h.status <> 'OFFLINE' AND h.lease_until > $", moment(most));
    }
    let page = filter.page(query.offset, query.limit);
    let text =
        format!("SELECT {HOST} FROM hosts h{} ORDER BY h.rank DESC, h.host_id{page}", filter.text);
    all(sql.rows(&text, &filter.params()).await?, host_view)
}

/// Sessions are counted by their zones' counters: only active ones are looked at one by one.
pub(super) async fn totals(sql: &Readers) -> Result<Totals> {
    let [fair, good, excellent] = RANKS;
    let text = format!(
        "SELECT (SELECT COUNT(*) FROM hosts), h.*, z.*, s.* FROM
            (SELECT COUNT(*) FILTER (WHERE rank < {fair}),
                COUNT(*) FILTER (WHERE rank >= {fair} AND rank < {good}),
                COUNT(*) FILTER (WHERE rank >= {good} AND rank < {excellent}),
                COUNT(*) FILTER (WHERE rank >= {excellent}), COALESCE(AVG(rank), 0)
                FROM hosts WHERE status = 'ONLINE') h(p, f, g, e, q),
            (SELECT COUNT(*), COUNT(*) FILTER (WHERE p2p_enabled),
                COALESCE(SUM(total_sessions), 0)::bigint, COALESCE(SUM(active_sessions), 0)::bigint
                FROM zones) z(n, p, t, a),
            (SELECT COALESCE(SUM(s.current_players), 0)::bigint, COALESCE(AVG(
                    COALESCE((s.record::json #>> '{{metrics,latency_ms}}')::float8, h.latency_ms)), 0)
                FROM p2p_sessions s LEFT JOIN hosts h ON h.id = s.host_id
                WHERE s.status = 'ACTIVE') s(p, l)"
    );
    let totals = one(sql.rows(&text, &[]).await?, |row| {
        let count = |column| get::<i64>(row, column).map(|count| u64::try_from(count).unwrap_or(0));
        Ok(Totals {
            hosts: count(0)?,
            online: [count(1)?, count(2)?, count(3)?, count(4)?],
            quality_score: get(row, 5)?,
            zones: count(6)?,
            zones_for_peers: count(7)?,
            sessions: count(8)?,
            active_sessions: count(9)?,
            players: count(10)?,
            latency_ms: get(row, 11)?,
        })
    });
    Ok(totals?.unwrap_or_default())
}

pub(super) async fn zone(
    sql: &Readers,
    zone: &ZoneId,
) -> Result<Option<(Row<ZoneRecord>, ZoneCounts)>> {
    let text = format!("SELECT {ZONE} FROM zones z WHERE z.zone_id = $1");
    one(sql.rows(&text, &[&zone.as_str()]).await?, counted_zone)
}

pub(super) async fn zones(
    sql: &Readers,
    query: &ZoneQuery,
) -> Result<Vec<(Row<ZoneRecord>, ZoneCounts)>> {
    let mut filter = Filter::default();
    if let Some(status) = query.status {
        filter.and("z.status = $::text::zonestatus", status.as_str().to_uppercase());
    }
    if let Some(on) = query.p2p_enabled {
        filter.and("z.p2p_enabled = $", on);
    }
    let page = filter.page(query.offset, query.limit);
    let order = "ORDER BY z.p2p_priority DESC, z.zone_name, z.zone_id";
    let text = format!("SELECT {ZONE} FROM zones z{} {order}{page}", filter.text);
    all(sql.rows(&text, &filter.params()).await?, counted_zone)
}

pub(super) async fn session(sql: &Readers, key: &SessionKey) -> Result<Option<Row<SessionRecord>>> {
    let select = format!("SELECT {SESSION} FROM p2p_sessions s");
    let rows = match key {
        SessionKey::Name(name) => {
            sql.rows(&format!("{select} WHERE s.session_id = $1"), &[&name.as_str()]).await?
        }
        SessionKey::Number(id) => sql.rows(&format!("{select} WHERE s.id = $1"), &[id]).await?,
    };
    one(rows, |row| seated(row, 0))
}

pub(super) async fn sessions(
    sql: &Readers,
    query: &SessionQuery,
) -> Result<Vec<Row<SessionRecord>>> {
    let mut filter = Filter::default();
    if let Some(host) = query.host {
        filter.and("s.host_id = $", host);
    }
    if let Some(zone) = query.zone {
        filter.and("s.zone_id = $", zone);
    }
    if !query.status.is_empty() {
        let states: Vec<_> =
            query.status.iter().map(|status| status.as_str().to_uppercase()).collect();
        filter.and("s.status = ANY ($::text[]::sessionstatus[])", states);
    }
    if let Some(since) = query.idle_since {
        filter.and("s.updated_at <= $", moment(since));
    }
    if let Some(after) = query.changed_after {
        filter.and("s.updated_at > $", moment(after));
    }
    let page = filter.page(query.offset, query.limit);
    let text = format!("SELECT {SESSION} FROM p2p_sessions s{} ORDER BY s.id{page}", filter.text);
    all(sql.rows(&text, &filter.params()).await?, |row| seated(row, 0))
}

const SESSION_OF: &str = "p2p_seats p JOIN p2p_sessions s ON s.session_id = p.session";

pub(super) async fn session_of(
    sql: &Readers,
    player: &PlayerId,
) -> Result<Option<Row<SessionRecord>>> {
    let text = format!("SELECT {SESSION} FROM {SESSION_OF} WHERE p.player = $1");
    one(sql.rows(&text, &[&player.as_str()]).await?, |row| seated(row, 0))
}

pub(super) async fn sessions_of(
    sql: &Readers,
    players: &[PlayerId],
) -> Result<BTreeMap<PlayerId, Row<SessionRecord>>> {
    let names: Vec<&str> = players.iter().map(PlayerId::as_str).collect();
    let text =
        format!("SELECT {SESSION}, p.player::text FROM {SESSION_OF} WHERE p.player = ANY ($1)");
    let rows = all(sql.rows(&text, &[&names]).await?, |row| {
        Ok((parsed::<PlayerId>(get(row, 5)?)?, seated(row, 0)?))
    })?;
    Ok(rows.into_iter().collect())
}

/// One statement of four parts: the zone, where the player is, open sessions, and hosts if there is
/// none of those.
pub(super) async fn placement(
    sql: &Readers,
    query: &PlacementQuery,
) -> Result<Option<PlacementView>> {
    const NO_SESSION: &str = "NULL::bigint, NULL::bigint, NULL::text, NULL::text[], NULL::text[]";
    const NO_HOST: &str = "NULL::bigint, NULL::bigint, NULL::text, NULL::bigint, NULL::bigint";
    let players = "GREATEST(h.current_players, h.placed_players)";
    let wanted = "h.status = 'ONLINE' AND h.lease_until > $3 AND (h.is_peer OR NOT $4)
        AND h.host_id <> ALL ($5::text[])";
    // As `quality_score` has it, but for the rounding.
    let score = format!(
        "GREATEST(0, 30 - h.latency_ms / 10) + GREATEST(0, 20 - 2 * h.packet_loss_percent)
         + 25 * (1 - {players}::float8 / NULLIF(h.max_players, 0))
         + LEAST(10, 10 * h.cpu_cores::float8 / 4) + LEAST(10, 10 * h.memory_mb::float8 / 8192)
         + LEAST(5, 5 * h.network_speed_mbps::float8 / 100)"
    );
    let text = format!(
        "WITH zone AS (SELECT * FROM zones WHERE zone_id = $1),
         present AS (SELECT s.* FROM {SESSION_OF} WHERE p.player = $2),
         open AS MATERIALIZED (
            SELECT s.id FROM zone z JOIN p2p_sessions s ON s.zone_id = z.id
                JOIN hosts h ON h.id = s.host_id
            WHERE $6 AND s.status IN ('PENDING', 'ACTIVE') AND s.current_players < s.max_players
                AND {wanted} AND {players} < h.max_players
            ORDER BY s.current_players DESC, s.id LIMIT {OPEN_SESSIONS}),
         fit AS MATERIALIZED (
            SELECT h.id FROM zone z CROSS JOIN hosts h
            WHERE NOT EXISTS (SELECT 1 FROM open)
                AND {wanted} AND {players} + $7 <= h.max_players
                AND h.network_speed_mbps >= z.min_bandwidth_mbps
                AND h.latency_ms <= z.max_latency_ms
                AND {score} >= z.min_host_quality_score * 10 - {ROUNDING}
                AND (GREATEST(h.current_zones, h.placed_zones) < h.max_zones
                    OR EXISTS (SELECT 1 FROM p2p_sessions s WHERE s.host_id = h.id
                        AND s.status IN ('PENDING', 'ACTIVE', 'PAUSED') AND s.zone_id = z.id))
            ORDER BY h.rank DESC, h.host_id LIMIT $8)
         SELECT 0 AS part, 0::float8, NULL::text COLLATE \"C\", 0::bigint, z.id, z.version, z.record,
            NULL::text[], NULL::text[], {NO_HOST}, NULL::text[] FROM zone z
         UNION ALL
         SELECT 1, 0, NULL, 0, {SESSION}, {HOST}, NULL
            FROM present s JOIN hosts h ON h.id = s.host_id
         UNION ALL
         SELECT 2, s.current_players, NULL, -s.id, {SESSION}, {HOST}, NULL
            FROM open o JOIN p2p_sessions s ON s.id = o.id JOIN hosts h ON h.id = s.host_id
         UNION ALL
         SELECT 3, h.rank, h.host_id::text COLLATE \"C\", 0, {NO_SESSION}, {HOST}, {SERVED}
            FROM fit f JOIN hosts h ON h.id = f.id
         ORDER BY 1, 2 DESC, 3, 4 DESC"
    );
    let avoid: Vec<&str> = query.avoid.iter().map(HostId::as_str).collect();
    let player = query.player.as_ref().map(PlayerId::as_str);
    let (now, players) = (moment(query.now), i64::from(query.players));
    let (zone, hosts) = (query.zone.as_str(), i64::from(query.hosts));
    let params: [&(dyn ToSql + Sync); 8] =
        [&zone, &player, &now, &query.peer, &avoid, &query.enter, &players, &hosts];
    let mut rows = sql.rows(&text, &params).await?.into_iter();
    let Some(zone) = rows.next() else { return Ok(None) };
    let zone: Row<ZoneRecord> = record(&zone, 4)?;
    let mut view = PlacementView { zone, present: None, open: Vec::new(), hosts: Vec::new() };
    let on_host =
        |row: &SqlRow| Ok(SessionOnHost { session: seated(row, 4)?, host: host_at(row, 9)? });
    for row in rows {
        match get::<i32>(&row, 0)? {
            1 => view.present = Some(on_host(&row)?),
            2 => view.open.push(on_host(&row)?),
            _ => view.hosts.push(with_zones(&row, 9)?),
        }
    }
    let zone = &view.zone.value;
    view.hosts.retain(|Candidate { host, served }| {
        placement::can_open(host, served, zone, query.players, query.now).is_ok()
    });
    Ok(Some(view))
}

const GRANT: &str = "SELECT id, version, record FROM p2p_grants";

pub(super) async fn grant(sql: &Readers, family: &Nonce) -> Result<Option<Row<GrantRecord>>> {
    let text = format!("{GRANT} WHERE family = $1");
    one(sql.rows(&text, &[&family.to_string()]).await?, |row| record(row, 0))
}

pub(super) async fn grants(sql: &Readers, query: &GrantQuery) -> Result<Vec<Row<GrantRecord>>> {
    let mut filter = Filter::default();
    if let Some(player) = &query.player {
        filter.and("player = $", player.as_str().to_owned());
    }
    if let Some(revoked) = query.revoked {
        // As the partial index has it, so that it is used.
        filter.condition(if revoked { "revoked" } else { "NOT revoked" });
    }
    if let Some(now) = query.expired_at {
        filter.and("expires_at <= $", moment(now));
    }
    let page = filter.page(query.offset, query.limit);
    let text = format!("{GRANT}{} ORDER BY expires_at DESC, id{page}", filter.text);
    all(sql.rows(&text, &filter.params()).await?, |row| record(row, 0))
}

/// Which transactions are over, and so all that can be seen: equal snapshots show equal rows.
pub(super) async fn stamp(sql: &Readers) -> Result<Stamp> {
    let rows = sql.rows("SELECT pg_current_snapshot()::text", &[]).await?;
    Ok(Stamp::new(one(rows, |row| get::<String>(row, 0))?.unwrap_or_default()))
}

/// The conditions of a query and their values.
#[derive(Default)]
struct Filter {
    text: String,
    values: Vec<Box<dyn ToSql + Send + Sync>>,
}

impl Filter {
    /// One more condition; `$` in it stands for the value.
    fn and(&mut self, condition: &str, value: impl ToSql + Send + Sync + 'static) {
        self.values.push(Box::new(value));
        self.condition(&condition.replacen('$', &format!("${}", self.values.len()), 1));
    }

    /// One more that has no value.
    fn condition(&mut self, condition: &str) {
        self.text += if self.text.is_empty() { " WHERE " } else { " AND " };
        self.text += condition;
    }

    fn page(&mut self, offset: u32, most: Option<u32>) -> String {
        self.values.push(Box::new(i64::from(limit(most))));
        self.values.push(Box::new(i64::from(offset)));
        let count = self.values.len();
        format!(" LIMIT ${} OFFSET ${count}", count - 1)
    }

    fn params(&self) -> Vec<&(dyn ToSql + Sync)> {
        self.values.iter().map(|value| value.as_ref() as &(dyn ToSql + Sync)).collect()
    }
}

pub(super) fn host_view(row: &SqlRow) -> Result<HostView> {
    host_at(row, 0)
}

fn host_at(row: &SqlRow, column: usize) -> Result<HostView> {
    let number = |column| get::<i64>(row, column).map(|number| number.try_into().unwrap_or(0));
    let placed = Load { players: number(column + 3)?, zones: number(column + 4)? };
    Ok(HostView { row: record::<HostRecord>(row, column)?, placed })
}

fn with_zones(row: &SqlRow, column: usize) -> Result<Candidate> {
    let served: Vec<String> = get(row, column + 5)?;
    let served = served.into_iter().map(parsed::<ZoneId>).collect::<Result<_>>()?;
    Ok(Candidate { host: host_at(row, column)?, served })
}

fn counted_zone(row: &SqlRow) -> Result<(Row<ZoneRecord>, ZoneCounts)> {
    let count = |column| get::<i64>(row, column).map(|number| number.try_into().unwrap_or(0));
    let counts = ZoneCounts {
        total_sessions: count(3)?,
        active_sessions: count(4)?,
        total_players_served: count(5)?,
    };
    Ok((record(row, 0)?, counts))
}

fn seated(row: &SqlRow, column: usize) -> Result<Row<SessionRecord>> {
    let mut session = record::<SessionRecord>(row, column)?;
    let players: Vec<String> = get(row, column + 3)?;
    let holds: Vec<Option<String>> = get(row, column + 4)?;
    session.value.seats = players
        .into_iter()
        .zip(holds)
        .map(|(player, hold)| seat(player, hold))
        .collect::<Result<_>>()?;
    Ok(session)
}

pub(super) fn seat(player: String, hold: Option<String>) -> Result<Seat> {
    Ok(Seat { player: parsed(player)?, hold: hold.map(|hold| json(&hold)).transpose()? })
}

/// Three columns: number, version, record.
fn record<T: DeserializeOwned>(row: &SqlRow, column: usize) -> Result<Row<T>> {
    let version = get::<i64>(row, column + 1)?.try_into().unwrap_or(0);
    let text: &str = row.try_get(column + 2).map_err(|error| failed("to read", error))?;
    Ok(Row { id: get(row, column)?, version, value: json(text)? })
}

pub(super) fn get<T: FromSqlOwned>(row: &SqlRow, column: usize) -> Result<T> {
    row.try_get(column).map_err(|error| failed("to read", error))
}

/// The first row, if there is one.
fn one<T>(rows: Vec<SqlRow>, read: impl Fn(&SqlRow) -> Result<T>) -> Result<Option<T>> {
    rows.first().map(read).transpose()
}

fn all<T>(rows: Vec<SqlRow>, read: impl Fn(&SqlRow) -> Result<T>) -> Result<Vec<T>> {
    rows.iter().map(read).collect()
}

pub(super) fn json<T: DeserializeOwned>(text: &str) -> Result<T> {
    serde_json::from_str(text).map_err(|error| misread("to understand a record", error))
}

fn parsed<T: TryFrom<String, Error: std::error::Error + Send + Sync + 'static>>(
    text: String,
) -> Result<T> {
    T::try_from(text).map_err(|error| misread("to understand an id", error))
}

fn misread(what: &str, error: impl std::error::Error + Send + Sync + 'static) -> StoreError {
    StoreError::Failed { what: what.to_owned(), source: Some(Box::new(error)) }
}

pub(super) fn moment(moment: Timestamp) -> SystemTime {
    UNIX_EPOCH + Duration::from_millis(moment.as_millis())
}
