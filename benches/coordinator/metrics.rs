//! What is measured.

use p2p_benches::{Better, Metric, Result};
use tokio::runtime::Runtime;

use crate::load::Rate;
use crate::{Plan, trials};

/// How many a second, and what one costs the service.
const fn pair(per_s: &'static str, unit: &'static str, cpu_us: &'static str) -> [Metric; 2] {
    [Metric::new(per_s, unit, Better::Higher), Metric::new(cpu_us, "us", Better::Lower)]
}

const HEALTH: [Metric; 2] = pair("health_per_s", "requests/s", "health_cpu_us");
const BEAT_SQLITE: [Metric; 2] =
    pair("heartbeat_sqlite_per_s", "requests/s", "heartbeat_sqlite_cpu_us");
const BEAT_POSTGRES: [Metric; 2] =
    pair("heartbeat_postgres_per_s", "requests/s", "heartbeat_postgres_cpu_us");
const NEW_SQLITE: [Metric; 2] =
    pair("register_sqlite_per_s", "requests/s", "register_sqlite_cpu_us");
const NEW_POSTGRES: [Metric; 2] =
    pair("register_postgres_per_s", "requests/s", "register_postgres_cpu_us");
const SESSION: [Metric; 2] = pair("session_per_s", "sessions/s", "session_cpu_us");
const SESSION_POWER: [Metric; 2] =
    pair("session_power_per_s", "sessions/s", "session_power_cpu_us");
const SESSION_POSTGRES: [Metric; 2] =
    pair("session_postgres_per_s", "sessions/s", "session_postgres_cpu_us");
const LIST: [Metric; 2] = pair("list_per_s", "requests/s", "list_cpu_us");
const SESSION_P99: Metric = Metric::new("session_p99_ms", "ms", Better::Lower);
const SESSION_OWN_P99: Metric = Metric::new("session_own_p99_ms", "ms", Better::Lower);

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
    pub(crate) fn metrics(self) -> Vec<Metric> {
        let pair = match self {
            Self::Health => HEALTH,
            Self::HeartbeatSqlite => BEAT_SQLITE,
            Self::HeartbeatPostgres => BEAT_POSTGRES,
            Self::RegisterSqlite => NEW_SQLITE,
            Self::RegisterPostgres => NEW_POSTGRES,
            Self::Session => SESSION,
            Self::SessionPower => SESSION_POWER,
            Self::SessionPostgres => SESSION_POSTGRES,
            Self::List => LIST,
        };
        let p99 = if self == Self::Session { &[SESSION_P99, SESSION_OWN_P99][..] } else { &[] };
        pair.into_iter().chain(p99.iter().cloned()).collect()
    }

    /// Measures it.
    pub(crate) fn run(self, plan: Plan, serving: &Runtime, asking: &Runtime) -> Result<Samples> {
        use trials::Kept::{Postgres, Sqlite, SqlitePower};
        let ours = |metrics, rate| samples(metrics, "ours", rate);
        Ok(match self {
            Self::Health => {
                let (hello, health) = trials::health(plan, serving, asking)?;
                [ours(HEALTH, health), samples(HEALTH, "axum", hello)].concat()
            }
            Self::HeartbeatSqlite => {
                ours(BEAT_SQLITE, trials::heartbeats(Sqlite, plan, serving, asking)?)
            }
            Self::HeartbeatPostgres => {
                ours(BEAT_POSTGRES, trials::heartbeats(Postgres, plan, serving, asking)?)
            }
            Self::RegisterSqlite => {
                ours(NEW_SQLITE, trials::registrations(Sqlite, plan, serving, asking)?)
            }
            Self::RegisterPostgres => {
                ours(NEW_POSTGRES, trials::registrations(Postgres, plan, serving, asking)?)
            }
            Self::Session => {
                let (rate, [p99, own]) = trials::sessions(Sqlite, plan, serving, asking)?;
                let p99 = vec![(SESSION_P99, "ours", p99), (SESSION_OWN_P99, "ours", own)];
                [ours(SESSION, rate), p99].concat()
            }
            Self::SessionPower => {
                ours(SESSION_POWER, trials::sessions(SqlitePower, plan, serving, asking)?.0)
            }
            Self::SessionPostgres => {
                ours(SESSION_POSTGRES, trials::sessions(Postgres, plan, serving, asking)?.0)
            }
            Self::List => ours(LIST, trials::lists(plan, serving, asking)?),
        })
    }
}

fn samples([per_s, cpu_us]: [Metric; 2], contestant: &'static str, rate: Rate) -> Samples {
    vec![(per_s, contestant, rate.per_s), (cpu_us, contestant, rate.cpu_us)]
}
