//! Every name that the environment and an `.env` file may set, and what becomes of it.
//!
//! One setting may have several names: those of the deployment guide, of the integration guide and of
//! the reference. A name that does nothing here is in the list too, with the reason, so that whoever
//! sets it is told.

use std::str::FromStr;

use super::{Config, LogFormat, Place, StoreKind};

/// Takes a value; or says what it has to be.
pub(super) type Apply = fn(&mut Config, &str) -> Result<(), &'static str>;

/// What becomes of a name.
#[derive(Clone, Copy, Debug)]
pub(super) enum Meaning {
    /// It does nothing, for this reason.
    Ignored(&'static str),
    /// It is a part of the PostgreSQL database's URL.
    Postgres,
    /// It sets this setting.
    Sets(&'static str, Apply),
}

/// A name and its meaning.
pub(super) type Name = (&'static str, Meaning);

use Meaning::{Ignored, Postgres, Sets};

const AI: &str = "no game AI is spoken to";
const ICE: &str = "pages choose their ICE servers themselves, and hosts say theirs as ice_servers";
const DEMANDS: &str = "each zone has its own demands on hosts";
const REDIS: &str = "one instance needs no Redis";

/// All of them, in the order of the alphabet.
pub(super) const NAMES: [Name; 80] = [
    ("AI_SERVICE_API_KEY", Ignored(AI)),
    ("AI_SERVICE_ENABLED", Ignored(AI)),
    ("AI_SERVICE_URL", Ignored(AI)),
    (
        "API_KEYS",
        Sets("security.api_keys", |to, text| {
            to.security.api_keys = list(text).into_iter().map(Into::into).collect();
            Ok(())
        }),
    ),
    (
        "API_KEY_HEADER",
        Sets("security.api_key_header", |to, text| set(&mut to.security.api_key_header, text)),
    ),
    (
        "API_KEY_VALIDATION_ENABLED",
        Sets("security.api_key_validation", |to, text| {
            to.security.api_key_validation = Some(switch(text)?);
            Ok(())
        }),
    ),
    (
        "COORDINATOR_API_KEY",
        Sets("security.coordinator_api_key", |to, text| {
            to.security.coordinator_api_key = Some(text.to_owned().into());
            Ok(())
        }),
    ),
    (
        "CORS_ORIGINS",
        Sets("security.cors_origins", |to, text| set(&mut to.security.cors_origins, text)),
    ),
    ("DATABASE_MAX_OVERFLOW", Ignored("the pool never has more than DATABASE_POOL_SIZE")),
    (
        "DATABASE_POOL_SIZE",
        Sets("store.pool_size", |to, text| number(&mut to.store.pool_size, text)),
    ),
    (
        "DATABASE_URL",
        Sets("store.url", |to, text| {
            to.store.take_url(text.to_owned()).map_err(|_| "postgresql://... or sqlite://PATH")
        }),
    ),
    ("ENABLE_P2P", Sets("p2p_enabled", enable)),
    ("ENVIRONMENT", Sets("environment", place)),
    ("HOST", Sets("listen.ip", address)),
    (
        "HOST_HEARTBEAT_TIMEOUT_MINUTES",
        Sets("terms.host_timeout_seconds", |to, text| {
            minutes(&mut to.terms.host_timeout_seconds, text)
        }),
    ),
    (
        "JWT_ALGORITHM",
        Sets("JWT_ALGORITHM", |_, text| match text {
            "HS256" => Ok(()),
            _ => Err("left out: tokens are signed with HS256"),
        }),
    ),
    (
        "JWT_AUDIENCE",
        Sets("security.jwt_audience", |to, text| set(&mut to.security.jwt_audience, text)),
    ),
    (
        "JWT_EXPIRATION_SECONDS",
        Sets("security.jwt_expiration_seconds", |to, text| {
            number(&mut to.security.jwt_expiration_seconds, text)
        }),
    ),
    ("JWT_ISSUER", Sets("security.jwt_issuer", |to, text| set(&mut to.security.jwt_issuer, text))),
    (
        "JWT_PREVIOUS_SECRET_KEYS",
        Sets("security.jwt_previous_secret_keys", |to, text| {
            let keys = list(text).into_iter().map(Into::into).collect();
            to.security.jwt_previous_secret_keys = keys;
            Ok(())
        }),
    ),
    (
        "JWT_REFRESH_EXPIRATION_SECONDS",
        Sets("security.jwt_refresh_expiration_seconds", |to, text| {
            number(&mut to.security.jwt_refresh_expiration_seconds, text)
        }),
    ),
    (
        "JWT_SECRET_KEY",
        Sets("security.jwt_secret_key", |to, text| {
            to.security.jwt_secret_key = Some(text.to_owned().into());
            Ok(())
        }),
    ),
    (
        "JWT_VALIDATION_ENABLED",
        Sets("security.jwt_validation", |to, text| {
            to.security.jwt_validation = switch(text)?;
            Ok(())
        }),
    ),
    (
        "LOG_FORMAT",
        Sets("monitoring.log_format", |to, text| {
            to.monitoring.log_format = match text {
                "json" => LogFormat::Json,
                "text" => LogFormat::Text,
                _ => return Err("json or text"),
            };
            Ok(())
        }),
    ),
    (
        "LOG_LEVEL",
        Sets("log", |to, text| {
            // Two of the reference's words have others here.
            to.log = match text.to_ascii_lowercase().as_str() {
                "warning" => "warn".into(),
                "critical" => "error".into(),
                other => other.to_owned(),
            };
            Ok(())
        }),
    ),
    ("MAX_LATENCY_MS", Ignored(DEMANDS)),
    ("MIN_CPU_CORES", Ignored(DEMANDS)),
    ("MIN_CPU_FREQUENCY_MHZ", Ignored(DEMANDS)),
    ("MIN_MEMORY_MB", Ignored(DEMANDS)),
    ("MIN_NETWORK_SPEED_MBPS", Ignored(DEMANDS)),
    ("NPC_BROADCAST_INTERVAL", Ignored(AI)),
    (
        "P2P_COORDINATOR_DATABASE",
        Sets("store.url", |to, text| {
            to.store.path = text.into();
            to.store.kind = StoreKind::Sqlite;
            Ok(())
        }),
    ),
    ("P2P_ENABLED", Sets("p2p_enabled", enable)),
    (
        "P2P_ENABLED_ZONES",
        Sets("p2p_enabled_zones", |to, text| {
            to.p2p_enabled_zones = match text.trim() {
                "*" => None,
                text => Some(list(text)),
            };
            Ok(())
        }),
    ),
    ("P2P_FALLBACK_ENABLED", Ignored("each zone has its own fallback_enabled")),
    (
        "P2P_HOST_HEALTH_CHECK_INTERVAL_SECONDS",
        Ignored(
            "a host is lost when it is silent for HOST_HEARTBEAT_TIMEOUT_MINUTES, looked at all the time",
        ),
    ),
    (
        "P2P_MAX_PLAYERS_PER_HOST",
        Sets("terms.max_players_per_host", |to, text| {
            number(&mut to.terms.max_players_per_host, text)
        }),
    ),
    ("P2P_SERVICE_ENV", Sets("environment", place)),
    ("P2P_SERVICE_HOST", Sets("listen.ip", address)),
    ("P2P_SERVICE_NAME", Sets("name", |to, text| set(&mut to.name, text))),
    ("P2P_SERVICE_PORT", Sets("listen.port", port)),
    ("P2P_SERVICE_VERSION", Sets("version", |to, text| set(&mut to.version, text))),
    (
        "P2P_SESSION_TIMEOUT_SECONDS",
        Sets("terms.session_timeout_seconds", |to, text| {
            number(&mut to.terms.session_timeout_seconds, text)
        }),
    ),
    ("PORT", Sets("listen.port", port)),
    ("POSTGRES_DB", Postgres),
    ("POSTGRES_HOST", Postgres),
    ("POSTGRES_PASSWORD", Postgres),
    ("POSTGRES_PORT", Postgres),
    ("POSTGRES_USER", Postgres),
    (
        "PROMETHEUS_ENABLED",
        Sets("monitoring.prometheus", |to, text| {
            to.monitoring.prometheus = switch(text)?;
            Ok(())
        }),
    ),
    ("PROMETHEUS_PORT", Ignored("metrics have no port of their own")),
    (
        "RATE_LIMIT_AUTH_REQUESTS",
        Sets("security.rate_limit.auth_requests", |to, text| {
            number(&mut to.security.rate_limit.auth_requests, text)
        }),
    ),
    (
        "RATE_LIMIT_ENABLED",
        Sets("security.rate_limit.enabled", |to, text| {
            to.security.rate_limit.enabled = Some(switch(text)?);
            Ok(())
        }),
    ),
    (
        "RATE_LIMIT_MAX_BUCKETS",
        Sets("security.rate_limit.max_buckets", |to, text| {
            number(&mut to.security.rate_limit.max_buckets, text)
        }),
    ),
    (
        "RATE_LIMIT_REQUESTS",
        Sets("security.rate_limit.requests", |to, text| {
            number(&mut to.security.rate_limit.requests, text)
        }),
    ),
    (
        "RATE_LIMIT_SERVICE_REQUESTS",
        Sets("security.rate_limit.service_requests", |to, text| {
            number(&mut to.security.rate_limit.service_requests, text)
        }),
    ),
    (
        "RATE_LIMIT_SIGNALING_REQUESTS",
        Sets("security.rate_limit.signaling_requests", |to, text| {
            number(&mut to.security.rate_limit.signaling_requests, text)
        }),
    ),
    ("RATE_LIMIT_WINDOW", Sets("security.rate_limit.window_seconds", window)),
    ("RATE_LIMIT_WINDOW_SECONDS", Sets("security.rate_limit.window_seconds", window)),
    (
        "RATE_LIMIT_WRONG_KEYS",
        Sets("security.rate_limit.wrong_keys", |to, text| {
            number(&mut to.security.rate_limit.wrong_keys, text)
        }),
    ),
    ("REDIS_DB", Ignored(REDIS)),
    ("REDIS_HOST", Ignored(REDIS)),
    ("REDIS_PASSWORD", Ignored(REDIS)),
    ("REDIS_PORT", Ignored(REDIS)),
    ("REDIS_URL", Ignored(REDIS)),
    ("SECRET_KEY", Ignored("what signs tokens is JWT_SECRET_KEY")),
    ("SERVICE_NAME", Sets("name", |to, text| set(&mut to.name, text))),
    (
        "SESSION_HEALTH_CHECK_INTERVAL",
        Sets("terms.session_check_seconds", |to, text| {
            number(&mut to.terms.session_check_seconds, text)
        }),
    ),
    (
        "SESSION_TIMEOUT_MINUTES",
        Sets("terms.session_timeout_seconds", |to, text| {
            minutes(&mut to.terms.session_timeout_seconds, text)
        }),
    ),
    ("STUN_SERVER", Ignored(ICE)),
    ("STUN_SERVERS", Ignored(ICE)),
    (
        "TLS_CERT_FILE",
        Sets("tls.cert_file", |to, text| {
            to.tls.cert_file = Some(text.into());
            Ok(())
        }),
    ),
    (
        "TLS_KEY_FILE",
        Sets("tls.key_file", |to, text| {
            to.tls.key_file = Some(text.into());
            Ok(())
        }),
    ),
    (
        "TRUSTED_PROXIES",
        Sets("security.trusted_proxies", |to, text| {
            to.security.trusted_proxies = list(text);
            Ok(())
        }),
    ),
    (
        "TRUSTED_PROXY_HEADER",
        Sets("security.trusted_proxy_header", |to, text| {
            set(&mut to.security.trusted_proxy_header, text)
        }),
    ),
    ("TURN_PASSWORD", Ignored(ICE)),
    ("TURN_SERVER", Ignored(ICE)),
    ("TURN_SERVERS", Ignored(ICE)),
    ("TURN_USERNAME", Ignored(ICE)),
    ("WORKERS", Ignored("one process uses all cores")),
];

/// The meaning of a name, if it has one.
pub(super) fn meaning(name: &str) -> Option<Meaning> {
    let at = NAMES.binary_search_by_key(&name, |(name, _)| name).ok()?;
    NAMES.get(at).map(|(_, meaning)| *meaning)
}

fn set(into: &mut String, text: &str) -> Result<(), &'static str> {
    text.clone_into(into);
    Ok(())
}

fn number<T: FromStr>(into: &mut T, text: &str) -> Result<(), &'static str> {
    *into = text.trim().parse().map_err(|_| "a whole number")?;
    Ok(())
}

fn minutes(seconds: &mut u32, text: &str) -> Result<(), &'static str> {
    let minutes: u32 = text.trim().parse().map_err(|_| "a whole number")?;
    *seconds = minutes.checked_mul(60).ok_or("less than 71582788")?;
    Ok(())
}

/// As people write it: True, FALSE, 1.
fn switch(text: &str) -> Result<bool, &'static str> {
    match text.trim().to_ascii_lowercase().as_str() {
        "true" | "1" | "yes" | "on" => Ok(true),
        "false" | "0" | "no" | "off" => Ok(false),
        _ => Err("true or false"),
    }
}

/// With commas between.
fn list(text: &str) -> Vec<String> {
    let items = text.split(',').map(str::trim).filter(|item| !item.is_empty());
    items.map(str::to_owned).collect()
}

fn enable(to: &mut Config, text: &str) -> Result<(), &'static str> {
    to.p2p_enabled = switch(text)?;
    Ok(())
}

fn place(to: &mut Config, text: &str) -> Result<(), &'static str> {
    to.environment = match text.to_ascii_lowercase().as_str() {
        "development" => Place::Development,
        "production" => Place::Production,
        _ => return Err("development or production"),
    };
    Ok(())
}

fn address(to: &mut Config, text: &str) -> Result<(), &'static str> {
    let ip: std::net::IpAddr = text.parse().map_err(|_| "an IP address")?;
    to.listen.set_ip(ip);
    Ok(())
}

fn port(to: &mut Config, text: &str) -> Result<(), &'static str> {
    to.listen.set_port(text.parse().map_err(|_| "a port, 0 to 65535")?);
    Ok(())
}

fn window(to: &mut Config, text: &str) -> Result<(), &'static str> {
    number(&mut to.security.rate_limit.window_seconds, text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_is_found_and_is_in_the_table_of_the_documentation() {
        assert!(NAMES.is_sorted_by_key(|(name, _)| *name));
        let documented = include_str!("../../../../../docs/coordinator-configuration.md");
        let rows: Vec<&str> =
            documented.lines().filter_map(|line| line.strip_prefix("| `")).collect();
        for (name, means) in NAMES {
            assert!(meaning(name).is_some(), "{name}");
            let does = match means {
                Ignored(why) => format!("not used: {why}"),
                Postgres => "`store.url`".into(),
                Sets(setting, _) => format!("`{setting}`"),
            };
            let row = format!("{name}` | {does} |");
            assert!(rows.contains(&row.as_str()), "missing: | `{row}");
        }
        assert_eq!(rows.len(), NAMES.len(), "rows of names that there are not");
    }
}
