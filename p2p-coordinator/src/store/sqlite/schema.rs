//! The tables, and how they came to be what they are.
//!
//! A record is JSON, beside the columns by which it is looked up. Migrations are only ever appended:
//! their number is the version of the tables (`PRAGMA user_version`).

use rusqlite::Connection;
use rusqlite_migration::{Error as MigrationError, M, MigrationDefinitionError, Migrations};

const MIGRATIONS: &[M<'_>] = &[RECORDS, GRANTS, COUNTS, ENDS, PROBE];

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

const COUNTS: M<'_> = M::up(
    "-- What is counted over sessions, with each commit that changes one; what is forgotten counts.
    ALTER TABLE hosts ADD COLUMN reported_zones INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE hosts ADD COLUMN max_zones INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE hosts ADD COLUMN network_speed INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE hosts ADD COLUMN latency REAL NOT NULL DEFAULT 0;
    ALTER TABLE hosts ADD COLUMN placed_players INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE hosts ADD COLUMN placed_zones INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE hosts ADD COLUMN rank REAL NOT NULL DEFAULT 0;
    ALTER TABLE zones ADD COLUMN total_sessions INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE zones ADD COLUMN active_sessions INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE zones ADD COLUMN total_players_served INTEGER NOT NULL DEFAULT 0;

    UPDATE hosts SET
        reported_zones = json_extract(record, '$.reported.zones'),
        max_zones = json_extract(record, '$.max_zones'),
        network_speed = json_extract(record, '$.network_speed_mbps'),
        latency = json_extract(record, '$.latency_ms'),
        placed_players = (SELECT COALESCE(SUM(players), 0) FROM sessions
            WHERE host = hosts.id AND status IN ('pending', 'active', 'paused')),
        placed_zones = (SELECT COUNT(DISTINCT zone_id) FROM sessions
            WHERE host = hosts.id AND status IN ('pending', 'active', 'paused'));
    UPDATE hosts SET rank = quality_score
        - COALESCE(25.0 * MAX(placed_players - reported_players, 0) / NULLIF(max_players, 0), 0);
    UPDATE zones SET
        total_sessions = (SELECT COUNT(*) FROM sessions WHERE zone = zones.id),
        active_sessions =
            (SELECT COUNT(*) FROM sessions WHERE zone = zones.id AND status = 'active'),
        total_players_served =
            (SELECT COALESCE(SUM(served), 0) FROM sessions WHERE zone = zones.id);

    DROP INDEX hosts_by_quality;
    DROP INDEX sessions_by_zone;
    CREATE INDEX hosts_by_rank ON hosts (rank DESC, host_id);
    CREATE INDEX hosts_by_status ON hosts (status, rank DESC, host_id);
    CREATE INDEX sessions_by_zone ON sessions (zone, status);
    -- Those with room, the fullest first.
    CREATE INDEX sessions_open ON sessions (zone, players DESC, id)
        WHERE status IN ('pending', 'active') AND players < max_players;",
);

const ENDS: M<'_> = M::up(
    "-- When a session changed last, and when it was over.
    ALTER TABLE sessions ADD COLUMN updated_at INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE sessions ADD COLUMN ended_at INTEGER;
    UPDATE sessions SET
        updated_at = CAST(unixepoch(json_extract(record, '$.updated_at'), 'subsec') * 1000 AS INTEGER),
        ended_at = CAST(unixepoch(json_extract(record, '$.ended_at'), 'subsec') * 1000 AS INTEGER);
    CREATE INDEX sessions_idle ON sessions (updated_at)
        WHERE status IN ('pending', 'active', 'paused');
    CREATE INDEX sessions_over ON sessions (ended_at) WHERE status IN ('ended', 'failed');",
);

const PROBE: M<'_> = M::up(
    "-- Takes room, to see whether there is any.
    CREATE TABLE probe (id INTEGER PRIMARY KEY, filler BLOB NOT NULL) STRICT;",
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_earlier_version_kept_is_counted() {
        let mut sql = Connection::open_in_memory().expect("memory");
        Migrations::from_slice(&MIGRATIONS[..1]).to_latest(&mut sql).expect("the first tables");
        sql.execute_batch(
            r#"INSERT INTO hosts VALUES (1, 1, 'h', 'online', 90.0, 5, 0, 50, 1,
                 '{"reported":{"players":1,"zones":2},"max_zones":5,"network_speed_mbps":100,
                   "latency_ms":1.5}');
               INSERT INTO zones VALUES (7, 1, 'z', 'z', 1, 'enabled', 1, '{}');
               INSERT INTO sessions VALUES
                 (1, 1, 'a', 1, 7, 'z', 'active', 3, 9, 4,
                   '{"updated_at":"1970-01-01T00:00:01.250+00:00","ended_at":null}'),
                 (2, 1, 'b', 1, 7, 'z', 'pending', 2, 9, 2,
                   '{"updated_at":"1970-01-01T00:00:02.000+00:00","ended_at":null}'),
                 (3, 1, 'c', 1, 7, 'z', 'ended', 0, 9, 8,
                   '{"updated_at":"1970-01-01T00:00:03.000+00:00",
                     "ended_at":"1970-01-01T00:00:03.000+00:00"}');"#,
        )
        .expect("rows");
        assert!(migrate(&mut sql).is_ok());
        let host: (i64, i64, i64, f64, f64) = sql
            .query_row(
                "SELECT placed_players, placed_zones, reported_zones, latency, rank FROM hosts",
                [],
                |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?, row.get(4)?)),
            )
            .expect("the host");
        // Four players beyond the one that was reported, of fifty: two points.
        assert_eq!(host, (5, 1, 2, 1.5, 88.0));
        let zone: (i64, i64, i64) = sql
            .query_row(
                "SELECT total_sessions, active_sessions, total_players_served FROM zones",
                [],
                |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)),
            )
            .expect("the zone");
        assert_eq!(zone, (3, 1, 14));
        let sum = "SELECT group_concat(updated_at), SUM(ended_at) FROM sessions";
        let times: (String, i64) =
            sql.query_row(sum, [], |row| Ok((row.get(0)?, row.get(1)?))).expect("times");
        assert_eq!(times, ("1250,2000,3000".into(), 3000));
    }
}
