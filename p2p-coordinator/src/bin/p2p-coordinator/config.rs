//! What may be configured, by file, environment and flags; later ones win.

mod signaling;

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use p2p_coordinator::domain::Terms;
use p2p_coordinator::door::Limits;
use p2p_coordinator::service::Settings;
use p2p_coordinator::store::sqlite::Durability;
use serde::{Deserialize, Serialize};
use signaling::SignalingConfig;

use crate::Failure;
use crate::arguments::Arguments;

/// Everything, with its defaults.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Config {
    /// What the service calls itself.
    pub(crate) name: String,
    /// What it says its version is.
    pub(crate) version: String,
    /// Where HTTP is served.
    pub(crate) listen: SocketAddr,
    /// Where peers are served; nowhere if not set.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) p2p: Option<SocketAddr>,
    /// What is logged.
    pub(crate) log: String,
    /// File with the signing key; made if it is not there. Beside the database if not set.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) key_file: Option<PathBuf>,
    pub(crate) store: StoreConfig,
    pub(crate) terms: TermsConfig,
    pub(crate) limits: LimitsConfig,
    pub(crate) signaling: SignalingConfig,
}

#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct StoreConfig {
    /// `sqlite` or `memory`.
    pub(crate) kind: StoreKind,
    /// The SQLite file.
    pub(crate) path: PathBuf,
    /// `process` or `power`.
    pub(crate) durability: DurabilityConfig,
}

#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum StoreKind {
    Memory,
    Sqlite,
}

#[derive(Clone, Copy, Debug, Deserialize, Serialize)]
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

#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct TermsConfig {
    pub(crate) lease_seconds: u32,
    pub(crate) host_timeout_seconds: u32,
    pub(crate) token_seconds: u32,
}

#[derive(Clone, Debug, Deserialize, Serialize)]
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
            listen: SocketAddr::from(([127, 0, 0, 1], 8001)),
            p2p: None,
            log: "info".into(),
            key_file: None,
            store: StoreConfig::default(),
            terms: TermsConfig::default(),
            limits: LimitsConfig::default(),
            signaling: SignalingConfig::default(),
        }
    }
}

impl Default for StoreConfig {
    fn default() -> Self {
        Self {
            kind: StoreKind::Sqlite,
            path: PathBuf::from("data/coordinator.db"),
            durability: DurabilityConfig::Process,
        }
    }
}

impl Default for TermsConfig {
    fn default() -> Self {
        let terms = Terms::default();
        Self {
            lease_seconds: seconds(terms.lease),
            host_timeout_seconds: seconds(terms.host_timeout),
            token_seconds: seconds(terms.token_lifetime),
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
    /// The file that the flags name, then the environment, then the flags.
    pub(crate) fn load(
        arguments: &Arguments,
        environment: impl Fn(&str) -> Option<String>,
    ) -> Result<Self, Failure> {
        let mut config = match &arguments.config {
            Some(path) => {
                let name = path.display();
                let text = std::fs::read_to_string(path).map_err(|error| {
                    Failure::new(format!("cannot read the configuration '{name}': {error}"))
                })?;
                toml::from_str(&text).map_err(|error| {
                    Failure::new(format!("the configuration '{name}' is wrong: {error}"))
                })?
            }
            None => Self::default(),
        };
        config.take_environment(environment)?;
        config.take_flags(arguments);
        config.check()?;
        Ok(config)
    }

    fn take_environment(
        &mut self,
        environment: impl Fn(&str) -> Option<String>,
    ) -> Result<(), Failure> {
        let set = |name: &str| environment(name).filter(|value| !value.is_empty());
        let wrong = |name: &str, value: &str, what: &str| {
            Failure::new(format!("{name} is '{value}' in the environment: it has to be {what}"))
        };
        if let Some(host) = set("P2P_SERVICE_HOST") {
            let ip: IpAddr =
                host.parse().map_err(|_| wrong("P2P_SERVICE_HOST", &host, "an IP address"))?;
            self.listen.set_ip(ip);
        }
        if let Some(port) = set("P2P_SERVICE_PORT") {
            let number =
                port.parse().map_err(|_| wrong("P2P_SERVICE_PORT", &port, "a port, 0 to 65535"))?;
            self.listen.set_port(number);
        }
        if let Some(name) = set("P2P_SERVICE_NAME") {
            self.name = name;
        }
        if let Some(version) = set("P2P_SERVICE_VERSION") {
            self.version = version;
        }
        if let Some(path) = set("P2P_COORDINATOR_DATABASE") {
            self.store.path = path.into();
            self.store.kind = StoreKind::Sqlite;
        }
        if let Some(level) = set("LOG_LEVEL") {
            self.log = level;
        }
        Ok(())
    }

    fn take_flags(&mut self, arguments: &Arguments) {
        if let Some(listen) = arguments.listen {
            self.listen = listen;
        }
        if let Some(p2p) = arguments.p2p {
            self.p2p = Some(p2p);
        }
        if let Some(path) = &arguments.database {
            self.store.path.clone_from(path);
            self.store.kind = StoreKind::Sqlite;
        }
        if arguments.memory {
            self.store.kind = StoreKind::Memory;
        }
        if let Some(level) = &arguments.log {
            self.log.clone_from(level);
        }
    }

    fn check(&self) -> Result<(), Failure> {
        let (terms, limits) = (&self.terms, &self.limits);
        let at_least_one = [
            ("terms.lease_seconds", u64::from(terms.lease_seconds)),
            ("terms.host_timeout_seconds", u64::from(terms.host_timeout_seconds)),
            ("terms.token_seconds", u64::from(terms.token_seconds)),
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
        if let Some((name, _)) = at_least_one.into_iter().find(|(_, value)| *value == 0) {
            return Err(Failure::new(format!("{name} has to be at least 1")));
        }
        self.log_level().map(|_| ())
    }

    pub(crate) fn log_level(&self) -> Result<tracing::Level, Failure> {
        self.log.parse().map_err(|_| {
            let levels = "error, warn, info, debug or trace";
            Failure::new(format!("the log level is '{}': it has to be {levels}", self.log))
        })
    }

    /// All of it as a file would have it.
    pub(crate) fn describe(&self) -> String {
        toml::to_string(self).unwrap_or_else(|error| error.to_string())
    }

    /// Where the signing key is: a coordinator in memory has a new one each time.
    pub(crate) fn key_file(&self) -> Option<PathBuf> {
        match (&self.key_file, self.store.kind) {
            (Some(path), _) => Some(path.clone()),
            (None, StoreKind::Sqlite) => Some(self.store.path.with_extension("key")),
            (None, StoreKind::Memory) => None,
        }
    }

    pub(crate) fn settings(&self) -> Settings {
        let mut terms = Terms::default();
        terms.lease = whole(self.terms.lease_seconds);
        terms.host_timeout = whole(self.terms.host_timeout_seconds);
        terms.token_lifetime = whole(self.terms.token_seconds);
        let mut settings = Settings::default();
        settings.name.clone_from(&self.name);
        settings.version.clone_from(&self.version);
        settings.terms = terms;
        settings.signaling = self.signaling.settings(self.listen.ip());
        settings
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

fn whole(seconds: u32) -> Duration {
    Duration::from_secs(seconds.into())
}
