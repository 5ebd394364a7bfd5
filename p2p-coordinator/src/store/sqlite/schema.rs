//! The tables, and how they came to be what they are.
//!
//! A record is JSON, beside the columns by which it is looked up. Migrations are only ever appended:
//! their number is the version of the tables (`PRAGMA user_version`).

use rusqlite::Connection;
use rusqlite_migration::{Error as MigrationError, M, MigrationDefinitionError, Migrations};

const MIGRATIONS: &[M<'_>] = &[RECORDS, GRANTS];

const RECORDS: M<'_> = M::up(
    "CREATE TABLE hosts (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        version INTEGER NOT NULL,
        host_id TEXT NOT NULL UNIQUE,
        status TEXT NOT NULL,
        quality_score REAL NOT NULL,
        lease_until INTEGER NOT NULL,
        is_peer INTEGER NOT NULL,
        max_players INTEGER NOT NULL,
        reported_players INTEGER NOT NULL,
        record TEXT NOT NULL
    ) STRICT;
    CREATE INDEX hosts_by_quality ON hosts (status, quality_score DESC, host_id);
    CREATE INDEX hosts_by_lease ON hosts (lease_until) WHERE status <> 'offline';

    CREATE TABLE zones (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        version INTEGER NOT NULL,
        zone_id TEXT NOT NULL UNIQUE,
        name TEXT NOT NULL,
        priority INTEGER NOT NULL,
        status TEXT NOT NULL,
        p2p_enabled INTEGER NOT NULL,
        record TEXT NOT NULL
    ) STRICT;

    CREATE TABLE sessions (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        version INTEGER NOT NULL,
        name TEXT NOT NULL UNIQUE,
        host INTEGER NOT NULL,
        zone INTEGER NOT NULL,
        zone_id TEXT NOT NULL,
        status TEXT NOT NULL,
        players INTEGER NOT NULL,
        max_players INTEGER NOT NULL,
        served INTEGER NOT NULL,
        record TEXT NOT NULL
    ) STRICT;
    CREATE INDEX sessions_by_zone ON sessions (zone, status, players DESC, served);
    CREATE INDEX sessions_by_host ON sessions (host, status, players, zone_id);

    -- One row for each player: nobody has two places.
    CREATE TABLE seats (
        place INTEGER PRIMARY KEY AUTOINCREMENT,
        player TEXT NOT NULL UNIQUE,
        session TEXT NOT NULL,
        hold TEXT
    ) STRICT;
    CREATE INDEX seats_by_session ON seats (session, place);",
);

const GRANTS: M<'_> = M::up(
    "CREATE TABLE grants (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        version INTEGER NOT NULL,
        family TEXT NOT NULL UNIQUE,
        player TEXT NOT NULL,
        revoked INTEGER NOT NULL,
        expires_at INTEGER NOT NULL,
        record TEXT NOT NULL
    ) STRICT;
    CREATE INDEX grants_by_player ON grants (player, expires_at DESC);
    CREATE INDEX grants_by_end ON grants (expires_at DESC);
    CREATE INDEX grants_revoked ON grants (expires_at DESC) WHERE revoked = 1;",
);

/// What is wrong with a file.
pub(super) enum Trouble {
    /// Its content is not what SQLite wrote.
    Damaged(String),
    /// Its tables are of a later version.
    Newer { found: usize, known: usize },
    /// SQLite said no.
    Sql(rusqlite::Error),
}

impl From<rusqlite::Error> for Trouble {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sql(error)
    }
}

/// Brings the tables up to date, all steps or none.
pub(super) fn migrate(connection: &mut Connection) -> Result<(), Trouble> {
    let newer = |connection: &Connection| {
        let found: i64 = connection.query_row("PRAGMA user_version", [], |row| row.get(0))?;
        let found = usize::try_from(found).unwrap_or(usize::MAX);
        Ok::<_, rusqlite::Error>(Trouble::Newer { found, known: MIGRATIONS.len() })
    };
    match Migrations::from_slice(MIGRATIONS).to_latest(connection) {
        Ok(()) => Ok(()),
        Err(MigrationError::MigrationDefinition(MigrationDefinitionError::DatabaseTooFarAhead)) => {
            Err(newer(connection)?)
        }
        Err(MigrationError::RusqliteError { err, .. }) => Err(err.into()),
        Err(error) => Err(Trouble::Damaged(error.to_string())),
    }
}
