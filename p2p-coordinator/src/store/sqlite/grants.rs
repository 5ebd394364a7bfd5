//! Logins.

use p2p_coordinator_api::Nonce;
use rusqlite::types::Value;
use rusqlite::{Connection, params, params_from_iter};

use super::read::{self, Filter, record};
use super::write::{delete, inserted, json, millis, number, run, updated};
use crate::domain::{Change, Row};
use crate::security::GrantRecord;
use crate::store::{GrantQuery, StoreError};

const GRANT: &str = "SELECT id, version, record FROM grants";

pub(super) fn one(
    sql: &Connection,
    family: &Nonce,
) -> Result<Option<Row<GrantRecord>>, StoreError> {
    read::one(sql, &format!("{GRANT} WHERE family = ?"), [family.to_string()], record)
}

pub(super) fn list(
    sql: &Connection,
    query: &GrantQuery,
) -> Result<Vec<Row<GrantRecord>>, StoreError> {
    let mut filter = Filter::default();
    if let Some(player) = &query.player {
        filter.and("player = ?", Value::Text(player.as_str().into()));
    }
    match query.revoked {
        // As the partial index has it.
        Some(true) => filter.condition("revoked = 1"),
        Some(false) => filter.condition("revoked = 0"),
        None => {}
    }
    if let Some(now) = query.expired_at {
        filter.and("expires_at <= ?", read::millis(now));
    }
    let page = filter.page(query.offset, query.limit);
    let statement = format!("{GRANT}{} ORDER BY expires_at DESC, id {page}", filter.text);
    read::all(sql, &statement, params_from_iter(filter.values), record)?.into_iter().collect()
}

pub(super) fn write(
    sql: &Connection,
    change: Change<GrantRecord>,
) -> Result<Option<Row<GrantRecord>>, StoreError> {
    match change {
        Change::Insert(value) => {
            let done = run(
                sql,
                "INSERT INTO grants (version, family, player, revoked, expires_at, record)
                 VALUES (1, ?, ?, ?, ?, ?)",
                params![
                    value.family.to_string(),
                    value.player.as_str(),
                    value.revoked,
                    millis(value.expires_at),
                    json(&value)?,
                ],
            );
            inserted(sql, done, value)
        }
        Change::Update(row) => {
            let value = &row.value;
            let done = run(
                sql,
                "UPDATE grants SET version = version + 1, revoked = ?, expires_at = ?, record = ?
                 WHERE id = ? AND version = ?",
                params![
                    value.revoked,
                    millis(value.expires_at),
                    json(value)?,
                    row.id,
                    number(row.version),
                ],
            );
            updated(done, row)
        }
        Change::Delete { id, version } => delete(sql, "grants", id, version),
    }
}
