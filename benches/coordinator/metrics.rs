//! What is measured.

use p2p_benches::{Better, Metric, Result};
use tokio::runtime::Runtime;

use crate::{Plan, trials};

const HEALTH: Metric = Metric::new("health_per_s", "requests/s", Better::Higher);
const BEAT_SQLITE: Metric = Metric::new("heartbeat_sqlite_per_s", "requests/s", Better::Higher);
const BEAT_POSTGRES: Metric = Metric::new("heartbeat_postgres_per_s", "requests/s", Better::Higher);
const NEW_SQLITE: Metric = Metric::new("register_sqlite_per_s", "requests/s", Better::Higher);
const NEW_POSTGRES: Metric = Metric::new("register_postgres_per_s", "requests/s", Better::Higher);
const SESSION: Metric = Metric::new("session_per_s", "sessions/s", Better::Higher);
const SESSION_P99: Metric = Metric::new("session_p99_ms", "ms", Better::Lower);
const SESSION_POWER: Metric = Metric::new("session_power_per_s", "sessions/s", Better::Higher);
const SESSION_POSTGRES: Metric =
    Metric::new("session_postgres_per_s", "sessions/s", Better::Higher);
const LIST: Metric = Metric::new("list_per_s", "requests/s", Better::Higher);

/// One number of a contestant for one metric.
pub(crate) type Samples = Vec<(Metric, &'static str, f64)>;

/// What is measured in one go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Trial {
    Health,
    HeartbeatSqlite,
    HeartbeatPostgres,
    RegisterSqlite,
    RegisterPostgres,
    Session,
    SessionPower,
    SessionPostgres,
    List,
}

impl Trial {
    /// All of them, in the order of the report.
    pub(crate) const ALL: [Self; 9] = [
        Self::Health,
        Self::HeartbeatSqlite,
        Self::HeartbeatPostgres,
        Self::RegisterSqlite,
        Self::RegisterPostgres,
        Self::Session,
        Self::SessionPower,
        Self::SessionPostgres,
        Self::List,
    ];

    /// What it gives to the report.
    pub(crate) const fn metrics(self) -> &'static [Metric] {
        match self {
            Self::Health => &[HEALTH],
            Self::HeartbeatSqlite => &[BEAT_SQLITE],
            Self::HeartbeatPostgres => &[BEAT_POSTGRES],
            Self::RegisterSqlite => &[NEW_SQLITE],
            Self::RegisterPostgres => &[NEW_POSTGRES],
            Self::Session => &[SESSION, SESSION_P99],
            Self::SessionPower => &[SESSION_POWER],
            Self::SessionPostgres => &[SESSION_POSTGRES],
            Self::List => &[LIST],
        }
    }

    /// Measures it.
    pub(crate) fn run(self, plan: Plan, serving: &Runtime, asking: &Runtime) -> Result<Samples> {
        use trials::Kept::{Postgres, Sqlite, SqlitePower};
        let ours = |metric, value| (metric, "ours", value);
        Ok(match self {
            Self::Health => {
                let (hello, health) = trials::health(plan, serving, asking)?;
                vec![ours(HEALTH, health), (HEALTH, "axum", hello)]
            }
            Self::HeartbeatSqlite => {
                vec![ours(BEAT_SQLITE, trials::heartbeats(Sqlite, plan, serving, asking)?)]
            }
            Self::HeartbeatPostgres => {
                vec![ours(BEAT_POSTGRES, trials::heartbeats(Postgres, plan, serving, asking)?)]
            }
            Self::RegisterSqlite => {
                vec![ours(NEW_SQLITE, trials::registrations(Sqlite, plan, serving, asking)?)]
            }
            Self::RegisterPostgres => {
                vec![ours(NEW_POSTGRES, trials::registrations(Postgres, plan, serving, asking)?)]
            }
            Self::Session => {
                let (per_s, p99) = trials::sessions(Sqlite, plan, serving, asking)?;
                vec![ours(SESSION, per_s), ours(SESSION_P99, p99)]
            }
            Self::SessionPower => {
                vec![ours(SESSION_POWER, trials::sessions(SqlitePower, plan, serving, asking)?.0)]
            }
            Self::SessionPostgres => {
                vec![ours(SESSION_POSTGRES, trials::sessions(Postgres, plan, serving, asking)?.0)]
            }
            Self::List => vec![ours(LIST, trials::lists(plan, serving, asking)?)],
        })
    }
}
