//! What may be configured. From the weakest to the strongest: defaults, the TOML file, the `.env`
//! file, the environment, flags.
//!
//! - `names`: every name in the environment, and what becomes of it;
//! - `nearest`: for names that nobody knows, which one is meant;
//! - `dotenv`: the form of `.env` files;
//! - `load`: reads all sources;
//! - `running`: what of another one counts while the program runs;
//! - `sources`: which of several values counts, and where it is from;
//! - `secrets`, `security`, `signaling`: sections.

mod dotenv;
mod load;
mod monitoring;
mod names;
mod nearest;
mod running;
mod secrets;
mod security;
mod signaling;
mod sources;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use p2p_coordinator::domain::Terms;
use p2p_coordinator::door::Limits;
use p2p_coordinator::security::SecuritySettings;
use p2p_coordinator::service::{PeerPlay, Settings};
use p2p_coordinator::store::postgres::PostgresConfig;
use p2p_coordinator::store::sqlite::Durability;
use p2p_coordinator_api::ZoneId;
use serde::{Deserialize, Serialize};
use signaling::SignalingConfig;

use crate::Failure;
pub(crate) use monitoring::LogFormat;
use monitoring::MonitoringConfig;
pub(crate) use security::{Place, SecurityConfig};
pub(crate) use sources::Findings;

/// Everything, with its defaults.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Config {
    /// What the service calls itself.
    pub(crate) name: String,
    /// What it says its version is.
    pub(crate) version: String,
    /// `development` or `production`.
    pub(crate) environment: Place,
    /// Where HTTP is served.
    pub(crate) listen: SocketAddr,
    /// Where peers are served; nowhere if not set.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) p2p: Option<SocketAddr>,
    /// Whether players play by peers. If not, servers run all zones.
    pub(crate) p2p_enabled: bool,
    /// The zones where they do; all if not set.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) p2p_enabled_zones: Option<Vec<String>>,
    /// What is logged.
    pub(crate) log: String,
    /// File with the signing key; made if it is not there. Beside the database if not set.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) key_file: Option<PathBuf>,
    pub(crate) store: StoreConfig,
    pub(crate) terms: TermsConfig,
    pub(crate) limits: LimitsConfig,
    pub(crate) tls: TlsConfig,
    pub(crate) security: SecurityConfig,
    pub(crate) signaling: SignalingConfig,
    pub(crate) monitoring: MonitoringConfig,
}

/// Both files, or neither: then HTTP is served as it is.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct TlsConfig {
    /// PEM file with the certificates, the server's first.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) cert_file: Option<PathBuf>,
    /// PEM file with the key.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) key_file: Option<PathBuf>,
}

#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct StoreConfig {
    /// `sqlite`, `postgres` or `memory`.
    pub(crate) kind: StoreKind,
    /// The SQLite file.
    pub(crate) path: PathBuf,
    /// `process` or `power`.
    pub(crate) durability: DurabilityConfig,
    /// The PostgreSQL database.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "without_password")]
    pub(crate) url: Option<String>,
    /// Connections to it for reading; there are two more for writing.
    pub(crate) pool_size: usize,
    /// How long a request waits for it while it is away.
    pub(crate) patience_seconds: u32,
    /// How long the start waits for it.
    pub(crate) start_seconds: u32,
}

fn without_password<S: serde::Serializer>(url: &Option<String>, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_str(&hidden(url.as_deref().unwrap_or_default()))
}

/// A URL with `***` for its password; all of it if it is of another form.
pub(crate) fn hidden(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else { return "***".into() };
    let rest = match rest.rsplit_once('@') {
        Some((user, at)) => match user.split_once(':') {
            Some((user, _)) => format!("{user}:***@{at}"),
            None => rest.to_owned(),
        },
        None => rest.to_owned(),
    };
    let rest = match rest.split_once("password=") {
        Some((before, after)) => {
            let after = after.split_once('&').map_or(String::new(), |(_, more)| format!("&{more}"));
            format!("{before}password=***{after}")
        }
        None => rest,
    };
    format!("{scheme}://{rest}")
}

#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum StoreKind {
    Memory,
    Postgres,
    Sqlite,
}

#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum DurabilityConfig {
    Power,
    Process,
}

impl From<DurabilityConfig> for Durability {
    fn from(config: DurabilityConfig) -> Self {
        match config {
            DurabilityConfig::Power => Self::Power,
            DurabilityConfig::Process => Self::Process,
        }
    }
}

#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct TermsConfig {
    pub(crate) lease_seconds: u32,
    pub(crate) host_timeout_seconds: u32,
    pub(crate) token_seconds: u32,
    /// Of a host that registers without a number of its own.
    pub(crate) max_players_per_host: u32,
    /// How long what a heartbeat says may wait to be written with others.
    pub(crate) heartbeat_millis: u32,
    /// How long nothing may happen in a session until it fails.
    pub(crate) session_timeout_seconds: u32,
    /// How long a session that all players have left is kept for others.
    pub(crate) session_deserted_seconds: u32,
    /// How often sessions are looked at for that.
    pub(crate) session_check_seconds: u32,
    /// How long sessions are remembered that are over, and how many at most.
    pub(crate) session_history_seconds: u32,
    pub(crate) session_history_max: u32,
}

#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct LimitsConfig {
    pub(crate) connections: usize,
    pub(crate) peer_streams: usize,
    pub(crate) body_bytes: usize,
    pub(crate) header_bytes: usize,
    pub(crate) header_seconds: u32,
    pub(crate) body_seconds: u32,
    pub(crate) request_seconds: u32,
    pub(crate) answer_seconds: u32,
    pub(crate) drain_seconds: u32,
}

impl Default for Config {
    fn default() -> Self {
        let Settings { name, version, .. } = Settings::default();
        Self {
            name,
            version,
            environment: Place::default(),
            listen: SocketAddr::from(([127, 0, 0, 1], 8001)),
            p2p: None,
            p2p_enabled: true,
            p2p_enabled_zones: None,
            log: "info".into(),
            key_file: None,
            store: StoreConfig::default(),
            terms: TermsConfig::default(),
            limits: LimitsConfig::default(),
            tls: TlsConfig::default(),
            security: SecurityConfig::default(),
            signaling: SignalingConfig::default(),
            monitoring: MonitoringConfig::default(),
        }
    }
}

impl Default for StoreConfig {
    fn default() -> Self {
        Self {
            kind: StoreKind::Sqlite,
            path: PathBuf::from("data/coordinator.db"),
            durability: DurabilityConfig::Process,
            url: None,
            pool_size: 4,
            patience_seconds: 3,
            start_seconds: 60,
        }
    }
}

impl Default for TermsConfig {
    fn default() -> Self {
        let Settings {
            terms,
            heartbeat_interval,
            session_timeout,
            session_deserted,
            session_check,
            session_history,
            session_history_max,
            ..
        } = Settings::default();
        Self {
            lease_seconds: seconds(terms.lease),
            host_timeout_seconds: seconds(terms.host_timeout),
            token_seconds: seconds(terms.token_lifetime),
            max_players_per_host: terms.max_players,
            heartbeat_millis: u32::try_from(heartbeat_interval.as_millis()).unwrap_or(u32::MAX),
            session_timeout_seconds: seconds(session_timeout),
            session_deserted_seconds: seconds(session_deserted),
            session_check_seconds: seconds(session_check),
            session_history_seconds: seconds(session_history),
            session_history_max,
        }
    }
}

impl Default for LimitsConfig {
    fn default() -> Self {
        let limits = Limits::default();
        Self {
            connections: limits.connections,
            peer_streams: limits.peer_streams,
            body_bytes: limits.body,
            header_bytes: limits.headers,
            header_seconds: seconds(limits.header_timeout),
            body_seconds: seconds(limits.body_timeout),
            request_seconds: seconds(limits.request_timeout),
            answer_seconds: seconds(limits.answer_timeout),
            drain_seconds: seconds(limits.drain),
        }
    }
}

fn seconds(duration: Duration) -> u32 {
    u32::try_from(duration.as_secs()).unwrap_or(u32::MAX)
}

impl Config {
    /// All that cannot be.
    fn problems(&self) -> Vec<String> {
        let (terms, limits) = (&self.terms, &self.limits);
        let at_least_one = [
            ("terms.lease_seconds", u64::from(terms.lease_seconds)),
            ("terms.host_timeout_seconds", u64::from(terms.host_timeout_seconds)),
            ("terms.token_seconds", u64::from(terms.token_seconds)),
            ("terms.max_players_per_host", u64::from(terms.max_players_per_host)),
            ("terms.heartbeat_millis", u64::from(terms.heartbeat_millis)),
            ("terms.session_timeout_seconds", u64::from(terms.session_timeout_seconds)),
            ("terms.session_deserted_seconds", u64::from(terms.session_deserted_seconds)),
            ("terms.session_check_seconds", u64::from(terms.session_check_seconds)),
            ("store.pool_size", self.store.pool_size as u64),
            ("limits.connections", limits.connections as u64),
            ("limits.peer_streams", limits.peer_streams as u64),
            ("limits.body_bytes", limits.body_bytes as u64),
            ("limits.header_bytes", limits.header_bytes as u64),
            ("limits.header_seconds", u64::from(limits.header_seconds)),
            ("limits.body_seconds", u64::from(limits.body_seconds)),
            ("limits.request_seconds", u64::from(limits.request_seconds)),
            ("limits.answer_seconds", u64::from(limits.answer_seconds)),
        ];
        let at_least_one = at_least_one.into_iter().chain(self.signaling.at_least_one());
        let mut problems: Vec<String> = at_least_one
            .filter(|(_, value)| *value == 0)
            .map(|(name, _)| format!("{name} has to be at least 1"))
            .collect();
        let mut failed = |failure: Option<Failure>| problems.extend(failure.map(|why| why.0));
        if self.store.kind == StoreKind::Postgres {
            failed(self.store.postgres().err());
        }
        if self.tls.cert_file.is_some() != self.tls.key_file.is_some() {
            let what = "TLS needs two files: set TLS_CERT_FILE and TLS_KEY_FILE, or neither";
            failed(Some(Failure::new(what)));
        }
        failed(self.log_level().err());
        failed(self.peer_play().err());
        problems.extend(self.security.problems(self.environment, self.is_exposed()));
        problems
    }

    /// Where players play by peers.
    pub(crate) fn peer_play(&self) -> Result<PeerPlay, Failure> {
        let zone = |text: &String| {
            ZoneId::new(text.as_str())
                .map_err(|error| Failure::new(format!("p2p_enabled_zones: '{text}': {error}")))
        };
        let zones = self.p2p_enabled_zones.as_ref();
        let zones = zones.map(|zones| zones.iter().map(zone).collect::<Result<_, _>>());
        Ok(PeerPlay { enabled: self.p2p_enabled, zones: zones.transpose()? })
    }

    /// Whether others than this machine reach a door.
    pub(crate) fn is_exposed(&self) -> bool {
        !self.listen.ip().is_loopback() || self.p2p.is_some_and(|at| !at.ip().is_loopback())
    }

    /// Who may ask, and how much.
    pub(crate) fn security(&self) -> Result<SecuritySettings, Failure> {
        self.security.settings(self.environment, self.is_exposed())
    }

    pub(crate) fn log_level(&self) -> Result<tracing::Level, Failure> {
        self.log.parse().map_err(|_| {
            let levels = "error, warn, info, debug or trace";
            Failure::new(format!("the log level is '{}': it has to be {levels}", self.log))
        })
    }

    /// What the place and the doors make of settings that are left open.
    pub(crate) fn consequences(&self) -> Result<String, Failure> {
        let security = self.security()?;
        let yes_or_no = |on| if on { "yes" } else { "no" };
        Ok(format!(
            "keys are asked for: {}; tokens are looked at: {}; requests are counted: {}",
            yes_or_no(security.check_api_keys),
            yes_or_no(security.check_tokens),
            yes_or_no(security.rates.enabled),
        ))
    }

    /// All of it as a file would have it.
    pub(crate) fn describe(&self) -> String {
        toml::to_string(self).unwrap_or_else(|error| error.to_string())
    }

    /// Where the signing key is: a coordinator in memory has a new one each time.
    pub(crate) fn key_file(&self) -> Option<PathBuf> {
        match (&self.key_file, self.store.kind) {
            (Some(path), _) => Some(path.clone()),
            (None, StoreKind::Postgres | StoreKind::Sqlite) => {
                Some(self.store.path.with_extension("key"))
            }
            (None, StoreKind::Memory) => None,
        }
    }

    pub(crate) fn settings(&self) -> Result<Settings, Failure> {
        let mut terms = Terms::default();
        terms.lease = whole(self.terms.lease_seconds);
        terms.host_timeout = whole(self.terms.host_timeout_seconds);
        terms.token_lifetime = whole(self.terms.token_seconds);
        terms.max_players = self.terms.max_players_per_host;
        let mut settings = Settings::default();
        settings.name.clone_from(&self.name);
        settings.version.clone_from(&self.version);
        settings.terms = terms;
        settings.heartbeat_interval = Duration::from_millis(self.terms.heartbeat_millis.into());
        settings.session_timeout = whole(self.terms.session_timeout_seconds);
        settings.session_deserted = whole(self.terms.session_deserted_seconds);
        settings.session_check = whole(self.terms.session_check_seconds);
        settings.session_history = whole(self.terms.session_history_seconds);
        settings.session_history_max = self.terms.session_history_max;
        settings.prometheus = self.monitoring.prometheus;
        settings.peer_play = self.peer_play()?;
        settings.security = self.security()?;
        let guarded = self.is_exposed() || settings.security.check_api_keys;
        settings.signaling = self.signaling.settings(guarded);
        Ok(settings)
    }

    pub(crate) fn limits(&self) -> Limits {
        let mut limits = Limits::default();
        limits.connections = self.limits.connections;
        limits.peer_streams = self.limits.peer_streams;
        limits.body = self.limits.body_bytes;
        limits.headers = self.limits.header_bytes;
        limits.header_timeout = whole(self.limits.header_seconds);
        limits.body_timeout = whole(self.limits.body_seconds);
        limits.request_timeout = whole(self.limits.request_seconds);
        limits.answer_timeout = whole(self.limits.answer_seconds);
        limits.drain = whole(self.limits.drain_seconds);
        limits
    }
}

impl StoreConfig {
    /// Takes the database that a URL names, or gives back what is none.
    fn take_url(&mut self, url: String) -> Result<(), String> {
        match url.split_once("://") {
            Some(("sqlite", path)) => {
                // By the custom of such URLs a third slash is not yet the root.
                self.path = path.strip_prefix('/').unwrap_or(path).into();
                self.kind = StoreKind::Sqlite;
            }
            Some((scheme, _)) if scheme.starts_with("postgres") => {
                self.kind = StoreKind::Postgres;
                self.url = Some(url);
            }
            _ => return Err(url),
        }
        Ok(())
    }

    /// The database to connect to.
    pub(crate) fn postgres(&self) -> Result<PostgresConfig, Failure> {
        let url = self.url.as_deref().ok_or_else(|| {
            Failure::new("the store is postgres: set store.url or DATABASE_URL to its database")
        })?;
        let mut config = PostgresConfig::new(url).map_err(|error| Failure::of(&error))?;
        config.pool_size = self.pool_size;
        config.patience = whole(self.patience_seconds);
        config.start_patience = whole(self.start_seconds);
        Ok(config)
    }
}

fn whole(seconds: u32) -> Duration {
    Duration::from_secs(seconds.into())
}
