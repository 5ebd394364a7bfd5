//! Which columns the tables have, and what of a record is in each.
//!
//! Many rows are written by one statement, with an array for each column.

use std::borrow::Cow;
use std::time::SystemTime;

use p2p_coordinator_api::Timestamp;
use serde::Serialize;
use tokio_postgres::types::ToSql;

use super::read::moment;
use crate::domain::{HostRecord, SessionRecord, ZoneRecord};
use crate::security::GrantRecord;
use crate::store::StoreError;

/// A record, and the whole of it as JSON.
#[derive(Clone, Debug)]
pub(super) struct Entry<T> {
    pub(super) value: T,
    json: String,
}

impl<T: Serialize> Entry<T> {
    pub(super) fn new(value: T) -> Result<Self, StoreError> {
        match serde_json::to_string(&value) {
            Ok(json) => Ok(Self { value, json }),
            Err(error) => Err(StoreError::Failed {
                what: "to write a record".into(),
                source: Some(Box::new(error)),
            }),
        }
    }
}

/// The values of a column, one for each row.
pub(super) type Values = Box<dyn ToSql + Send + Sync>;

pub(super) struct Column<T: 'static> {
    name: &'static str,
    /// Its type; enums come as text.
    kind: &'static str,
    values: fn(&[&Entry<T>]) -> Values,
}

/// A record that has a table.
pub(super) trait Tabled: Serialize + Clone + Send + Sync + 'static {
    const TABLE: &'static str;
    /// The column with the name by which it is unique.
    const NAME: &'static str;
    const COLUMNS: &'static [Column<Self>];
    /// What the store computes from the row: a column, and how, for a new row and for one that is
    /// there. `t` is what is written, `r` what is there.
    const COMPUTED: Option<(&'static str, &'static str, &'static str)> = None;

    fn name(&self) -> Cow<'_, str>;
}

macro_rules! columns {
    ($record:ty: $($column:literal $kind:literal $type:ty => |$entry:ident| $value:expr,)+) => {
        &[$(Column {
            name: $column,
            kind: $kind,
            values: |entries: &[&Entry<$record>]| {
                let values: Vec<$type> = entries.iter().map(|$entry| $value).collect();
                Box::new(values)
            },
        },)+]
    };
}

impl Tabled for HostRecord {
    const TABLE: &'static str = "hosts";
    const NAME: &'static str = "host_id";
    const COMPUTED: Option<(&'static str, &'static str, &'static str)> = Some((
        "rank",
        "t.quality_score",
        "t.quality_score - COALESCE(
            25 * GREATEST(r.placed_players - t.current_players, 0)::float8
            / NULLIF(t.max_players, 0), 0)",
    ));
    const COLUMNS: &'static [Column<Self>] = columns! { Self:
        "host_id" "text" String => |host| host.value.host_id.as_str().to_owned(),
        "player_id" "text" String => |host| host.value.player_id.as_str().to_owned(),
        "player_name" "text" String => |host| text(&host.value.player_name),
        "ip_address" "text" String => |host| text(&host.value.ip_address),
        "port" "integer" i32 => |host| host.value.port.into(),
        "public_ip" "text" Option<String> => |host| host.value.public_ip.as_deref().map(text),
        "cpu_cores" "bigint" i64 => |host| host.value.cpu_cores.into(),
        "cpu_frequency_mhz" "bigint" i64 => |host| host.value.cpu_frequency_mhz.into(),
        "memory_mb" "bigint" i64 => |host| host.value.memory_mb.into(),
        "network_speed_mbps" "bigint" i64 => |host| host.value.network_speed_mbps.into(),
        "ice_servers" "json" Option<String> => |host| {
            host.value.ice_servers.as_deref().map(text)
        },
        "latency_ms" "float8" f64 => |host| host.value.latency_ms,
        "packet_loss_percent" "float8" f64 => |host| host.value.packet_loss_percent,
        "bandwidth_usage_mbps" "float8" f64 => |host| host.value.bandwidth_usage_mbps,
        "status" "hoststatus" String => |host| host.value.status.as_str().to_uppercase(),
        "max_players" "bigint" i64 => |host| host.value.max_players.into(),
        "current_players" "bigint" i64 => |host| host.value.reported.players.into(),
        "max_zones" "bigint" i64 => |host| host.value.max_zones.into(),
        "current_zones" "bigint" i64 => |host| host.value.reported.zones.into(),
        "quality_score" "float8" f64 => |host| host.value.quality_score,
        "last_heartbeat" "timestamptz" SystemTime => |host| moment(host.value.last_heard),
        "lease_until" "timestamptz" SystemTime => |host| moment(host.value.lease_until),
        "is_peer" "boolean" bool => |host| host.value.peer.is_some(),
        "created_at" "timestamptz" SystemTime => |host| moment(host.value.created_at),
        "updated_at" "timestamptz" SystemTime => |host| moment(host.value.updated_at),
        "record" "text" String => |host| host.json.clone(),
    };

    fn name(&self) -> Cow<'_, str> {
        self.host_id.as_str().into()
    }
}

impl Tabled for ZoneRecord {
    const TABLE: &'static str = "zones";
    const NAME: &'static str = "zone_id";
    const COLUMNS: &'static [Column<Self>] = columns! { Self:
        "zone_id" "text" String => |zone| zone.value.definition.zone_id.as_str().to_owned(),
        "zone_name" "text" String => |zone| text(&zone.value.definition.zone_name),
        "zone_display_name" "text" String => |zone| text(&zone.value.definition.zone_display_name),
        "map_name" "text" String => |zone| text(&zone.value.definition.map_name),
        "max_players" "bigint" i64 => |zone| zone.value.definition.max_players.into(),
        "recommended_players" "bigint" i64 => |zone| {
            zone.value.definition.recommended_players.into()
        },
        "p2p_enabled" "boolean" bool => |zone| zone.value.definition.p2p_enabled,
        "p2p_priority" "bigint" i64 => |zone| zone.value.definition.p2p_priority.into(),
        "fallback_enabled" "boolean" bool => |zone| zone.value.definition.fallback_enabled,
        "min_host_quality_score" "float8" f64 => |zone| {
            zone.value.definition.min_host_quality_score
        },
        "min_bandwidth_mbps" "bigint" i64 => |zone| {
            zone.value.definition.min_bandwidth_mbps.into()
        },
        "max_latency_ms" "bigint" i64 => |zone| zone.value.definition.max_latency_ms.into(),
        "status" "zonestatus" String => |zone| zone.value.status.as_str().to_uppercase(),
        "description" "text" Option<String> => |zone| {
            zone.value.definition.description.as_deref().map(text)
        },
        "created_at" "timestamptz" SystemTime => |zone| moment(zone.value.created_at),
        "updated_at" "timestamptz" SystemTime => |zone| moment(zone.value.updated_at),
        "record" "text" String => |zone| zone.json.clone(),
    };

    fn name(&self) -> Cow<'_, str> {
        self.definition.zone_id.as_str().into()
    }
}

impl Tabled for SessionRecord {
    const TABLE: &'static str = "p2p_sessions";
    const NAME: &'static str = "session_id";
    const COLUMNS: &'static [Column<Self>] = columns! { Self:
        "session_id" "text" String => |session| session.value.name.as_str().to_owned(),
        "host_id" "bigint" i64 => |session| session.value.host,
        "zone_id" "bigint" i64 => |session| session.value.zone,
        "zone_key" "text" String => |session| session.value.zone_id.as_str().to_owned(),
        "connected_players" "json" String => |session| players(&session.value),
        "current_players" "bigint" i64 => |session| count(session.value.seats.len()),
        "max_players" "bigint" i64 => |session| session.value.max_players.into(),
        "served" "bigint" i64 => |session| number(session.value.served),
        "status" "sessionstatus" String => |session| session.value.status.as_str().to_uppercase(),
        "average_latency_ms" "float8" f64 => |session| {
            session.value.metrics.latency_ms.unwrap_or(0.0)
        },
        "average_packet_loss_percent" "float8" f64 => |session| {
            session.value.metrics.packet_loss_percent.unwrap_or(0.0)
        },
        "bandwidth_usage_mbps" "float8" f64 => |session| {
            session.value.metrics.bandwidth_usage_mbps.unwrap_or(0.0)
        },
        "started_at" "timestamptz" Option<SystemTime> => |session| maybe(session.value.started_at),
        "ended_at" "timestamptz" Option<SystemTime> => |session| maybe(session.value.ended_at),
        "created_at" "timestamptz" SystemTime => |session| moment(session.value.created_at),
        "updated_at" "timestamptz" SystemTime => |session| moment(session.value.updated_at),
        "record" "text" String => |session| session.json.clone(),
    };

    fn name(&self) -> Cow<'_, str> {
        self.name.as_str().into()
    }
}

impl Tabled for GrantRecord {
    const TABLE: &'static str = "p2p_grants";
    const NAME: &'static str = "family";
    const COLUMNS: &'static [Column<Self>] = columns! { Self:
        "family" "text" String => |grant| grant.value.family.to_string(),
        "player" "text" String => |grant| grant.value.player.as_str().to_owned(),
        "revoked" "boolean" bool => |grant| grant.value.revoked,
        "expires_at" "timestamptz" SystemTime => |grant| moment(grant.value.expires_at),
        "record" "text" String => |grant| grant.json.clone(),
    };

    fn name(&self) -> Cow<'_, str> {
        self.family.to_string().into()
    }
}

/// The database's text has no zero byte; the record has it.
fn text(text: &str) -> String {
    text.replace('\0', "")
}

fn players(session: &SessionRecord) -> String {
    let ids: Vec<_> = session.seats.iter().map(|seat| seat.player.as_str()).collect();
    serde_json::Value::from(ids).to_string()
}

fn maybe(at: Option<Timestamp>) -> Option<SystemTime> {
    at.map(moment)
}

fn count(number: usize) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

pub(super) fn number(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// Inserts rows in order; gives back their numbers and names.
pub(super) fn insert<T: Tabled>() -> String {
    let names = list(T::COLUMNS, |column| column.name.to_owned());
    let values = list(T::COLUMNS, |column| format!("t.{}::{}", column.name, column.kind));
    let (computed, how) = match T::COMPUTED {
        Some((column, how, _)) => (format!(", {column}"), format!(", {how}")),
        None => Default::default(),
    };
    let arrays = arrays::<T>(1);
    let (table, name) = (T::TABLE, T::NAME);
    format!(
        "INSERT INTO {table} (version, {names}{computed}) SELECT 1, {values}{how}
         FROM unnest({arrays}) WITH ORDINALITY AS t({names}, ord) ORDER BY t.ord
         RETURNING id, {name}::text"
    )
}

/// Writes rows by their numbers; versions come second.
pub(super) fn update<T: Tabled>() -> String {
    let names = list(T::COLUMNS, |column| column.name.to_owned());
    let mut values =
        list(T::COLUMNS, |column| format!("{0} = t.{0}::{1}", column.name, column.kind));
    if let Some((column, _, how)) = T::COMPUTED {
        values += &format!(", {column} = {how}");
    }
    let arrays = arrays::<T>(3);
    let table = T::TABLE;
    format!(
        "UPDATE {table} AS r SET version = t.version, {values}
         FROM unnest($1::bigint[], $2::bigint[], {arrays}) AS t(id, version, {names})
         WHERE r.id = t.id"
    )
}

pub(super) fn values<T: Tabled>(entries: &[&Entry<T>]) -> Vec<Values> {
    T::COLUMNS.iter().map(|column| (column.values)(entries)).collect()
}

fn arrays<T: Tabled>(first: usize) -> String {
    let plain = |column: &Column<T>| match column.kind {
        "hoststatus" | "zonestatus" | "sessionstatus" | "json" => "text",
        kind => kind,
    };
    let arrays: Vec<_> = (first..)
        .zip(T::COLUMNS)
        .map(|(number, column)| format!("${number}::{}[]", plain(column)))
        .collect();
    arrays.join(", ")
}

fn list<T>(columns: &[Column<T>], text: impl Fn(&Column<T>) -> String) -> String {
    columns.iter().map(text).collect::<Vec<_>>().join(", ")
}
