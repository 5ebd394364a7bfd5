//! Every key that the guides document, and what becomes of it.

use std::time::Duration;

use p2p_coordinator_api::ZoneId;
use serde_json::Value;

use super::{AccessToken, Given, LogLevel, P2pConfig};
use crate::client::ApiKey;

/// What became of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Taken {
    Refused(&'static str),
    Works,
}

/// Takes a value; or says what it has to be.
type Take = fn(&mut P2pConfig, &mut Given, &Value) -> Result<Taken, String>;

use Taken::{Refused, Works};

const DECIDES: &str = "the game's server decides skills and items: they go over it";
const ENCRYPTED: &str = "connections are always encrypted";
const FILES: &str =
    "log lines go to standard error: what runs the program keeps them in files, and rotates those";
const QUIC: &str = "QUIC manages its connections itself";
const RUNTIME: &str = "the program's runtime has its own threads";
const WEBRTC: &str = "what speaks WebRTC sets this by itself";
const BEATS: &str = "the coordinator says how often a host is to be heard";
const WAITS: &str = "waits between attempts grow by themselves";

/// By section, as the guides have them.
pub(super) const KEYS: &[(&str, Take)] = &[
    ("coordinator.rest_api_url", |_, given, value| {
        given.rest_api_url = Some(text(value)?);
        Ok(Works)
    }),
    ("coordinator.websocket_url", |_, given, value| {
        given.websocket_url = Some(text(value)?);
        Ok(Works)
    }),
    ("coordinator.timeout_ms", |to, _, value| {
        to.request_timeout = Duration::from_millis(number(value, 1, 600_000)?);
        Ok(Works)
    }),
    ("coordinator.timeout_seconds", |to, _, value| {
        to.request_timeout = Duration::from_secs(number(value, 1, 600)?);
        Ok(Works)
    }),
    ("coordinator.api_key", api_key),
    ("coordinator.reconnect_max_attempts", |to, _, value| {
        // The first is none again.
        to.max_attempts = small(value, 0, 100)? + 1;
        Ok(Works)
    }),
    ("coordinator.reconnect_backoff_ms", |_, _, value| {
        number(value, 0, 600_000)?;
        Ok(Refused(WAITS))
    }),
    ("webrtc.stun_servers", |to, _, value| {
        to.ice_servers.stun = urls(value, &["stun:", "stuns:"])?;
        Ok(Works)
    }),
    ("webrtc.turn_servers", |to, _, value| {
        to.ice_servers.turn = urls(value, &["turn:", "turns:"])?;
        Ok(Works)
    }),
    ("webrtc.max_peers", max_peers),
    ("webrtc.connection_timeout_ms", |to, _, value| {
        to.connection_timeout = Duration::from_millis(number(value, 1, 600_000)?);
        Ok(Works)
    }),
    ("webrtc.ice_transport_policy", |_, _, value| text(value).map(|_| Refused(WEBRTC))),
    ("webrtc.bundle_policy", |_, _, value| text(value).map(|_| Refused(WEBRTC))),
    ("webrtc.rtcp_mux_policy", |_, _, value| text(value).map(|_| Refused(WEBRTC))),
    ("webrtc.enable_dtls", |_, _, value| switch(value).map(|_| Refused(WEBRTC))),
    ("webrtc.enable_rtp_data_channels", |_, _, value| switch(value).map(|_| Refused(WEBRTC))),
    ("p2p.enabled", |to, _, value| {
        to.enabled = switch(value)?;
        Ok(Works)
    }),
    ("p2p.fallback_to_server", fallback),
    ("p2p.packet_types.movement", |to, _, value| {
        to.packet_types.movement = switch(value)?;
        Ok(Works)
    }),
    ("p2p.packet_types.chat", |to, _, value| {
        to.packet_types.chat = switch(value)?;
        Ok(Works)
    }),
    ("p2p.packet_types.emotes", |to, _, value| {
        to.packet_types.emotes = switch(value)?;
        Ok(Works)
    }),
    ("p2p.packet_types.skills", by_server),
    ("p2p.packet_types.items", by_server),
    ("p2p.max_peers", max_peers),
    ("p2p.max_packet_size_bytes", |_, _, value| number(value, 1, MOST).map(|_| Refused(QUIC))),
    ("p2p.max_bandwidth_mbps", |_, _, value| number(value, 1, MOST).map(|_| Refused(QUIC))),
    ("p2p.target_bitrate_kbps", |_, _, value| number(value, 1, MOST).map(|_| Refused(QUIC))),
    ("p2p.enable_congestion_control", |_, _, value| switch(value).map(|_| Refused(QUIC))),
    ("p2p.packet_queue_size", |_, _, value| number(value, 1, MOST).map(|_| Refused(QUIC))),
    ("security.encryption_enabled", encryption),
    ("security.enable_encryption", encryption),
    ("security.algorithm", |_, _, value| match text(value)?.as_str() {
        "AES-256-GCM" => Ok(Refused("TLS 1.3 chooses with each peer, and AES-256-GCM is offered")),
        other => Err(format!("has to be AES-256-GCM, not '{other}'")),
    }),
    ("security.enable_authentication", |_, _, value| {
        switch(value).map(|_| Refused("the coordinator says what it asks for"))
    }),
    ("security.api_key", api_key),
    ("security.jwt_token", |to, _, value| {
        to.access_token = Some(text(value)?).filter(|text| !text.is_empty()).map(AccessToken);
        Ok(Works)
    }),
    ("security.certificate_validation", |_, _, value| match switch(value)? {
        true => Ok(Works),
        false => Ok(Refused("certificates are always looked at")),
    }),
    ("security.tls_version", |_, _, value| match text(value)?.as_str() {
        "1.2" | "1.3" => Ok(Refused("both sides choose the newest that they have, 1.2 at least")),
        other => Err(format!("has to be 1.2 or 1.3, not '{other}'")),
    }),
    ("logging.level", |to, _, value| {
        to.log_level = level(&text(value)?)?;
        Ok(Works)
    }),
    ("logging.file", |_, _, value| text(value).map(|_| Refused(FILES))),
    ("logging.max_file_size_mb", |_, _, value| number(value, 1, MOST).map(|_| Refused(FILES))),
    ("logging.max_files", |_, _, value| number(value, 1, MOST).map(|_| Refused(FILES))),
    ("logging.console_output", |to, _, value| {
        to.console_output = switch(value)?;
        Ok(Works)
    }),
    ("logging.async_logging", |_, _, value| switch(value).map(|_| Refused(FILES))),
    ("zones.p2p_enabled_zones", |to, _, value| {
        let zones = list(value)?.into_iter().map(|zone| zone.parse::<ZoneId>());
        let zones = zones.collect::<Result<_, _>>().map_err(|error| format!("has {error}"))?;
        to.zones = Some(zones);
        Ok(Works)
    }),
    ("zones.fallback_on_failure", fallback),
    ("zones.zone_transition_timeout_ms", |_, _, value| {
        number(value, 1, MOST)
            .map(|_| Refused("webrtc.connection_timeout_ms is how long it may take"))
    }),
    ("performance.worker_threads", |_, _, value| number(value, 1, MOST).map(|_| Refused(RUNTIME))),
    ("performance.io_thread_pool_size", |_, _, value| {
        number(value, 1, MOST).map(|_| Refused(RUNTIME))
    }),
    ("performance.enable_packet_batching", |_, _, value| switch(value).map(|_| Refused(QUIC))),
    ("performance.packet_batch_size", |_, _, value| number(value, 1, MOST).map(|_| Refused(QUIC))),
    ("performance.packet_batch_timeout_ms", |_, _, value| {
        number(value, 0, MOST).map(|_| Refused(QUIC))
    }),
    ("host.enable_hosting", |to, _, value| {
        to.hosting = switch(value)?;
        Ok(Works)
    }),
    ("host.max_players", |to, _, value| {
        to.max_players = Some(small(value, 1, 10_000)?);
        Ok(Works)
    }),
    ("host.max_zones", |to, _, value| {
        to.max_zones = Some(small(value, 1, 10_000)?);
        Ok(Works)
    }),
    ("host.heartbeat_interval_seconds", |_, _, value| {
        number(value, 1, MOST).map(|_| Refused(BEATS))
    }),
    ("host.quality_report_interval_seconds", |_, _, value| {
        number(value, 1, MOST).map(|_| Refused(BEATS))
    }),
];

const MOST: u64 = 1 << 32;

fn api_key(to: &mut P2pConfig, _: &mut Given, value: &Value) -> Result<Taken, String> {
    let key = text(value)?;
    // Nothing, as the guides have it, is no key; and it does not take away the other section's.
    if !key.is_empty() {
        to.api_key = Some(ApiKey::new(key));
    }
    Ok(Works)
}

fn max_peers(to: &mut P2pConfig, _: &mut Given, value: &Value) -> Result<Taken, String> {
    to.max_peers = usize::try_from(number(value, 1, 10_000)?).map_err(|error| error.to_string())?;
    Ok(Works)
}

fn fallback(to: &mut P2pConfig, _: &mut Given, value: &Value) -> Result<Taken, String> {
    to.fallback_to_server = switch(value)?;
    Ok(Works)
}

fn by_server(_: &mut P2pConfig, _: &mut Given, value: &Value) -> Result<Taken, String> {
    Ok(if switch(value)? { Refused(DECIDES) } else { Works })
}

fn encryption(_: &mut P2pConfig, _: &mut Given, value: &Value) -> Result<Taken, String> {
    Ok(if switch(value)? { Works } else { Refused(ENCRYPTED) })
}

fn text(value: &Value) -> Result<String, String> {
    value.as_str().map(ToOwned::to_owned).ok_or_else(|| "has to be text".into())
}

fn switch(value: &Value) -> Result<bool, String> {
    value.as_bool().ok_or_else(|| "has to be true or false".into())
}

fn number(value: &Value, least: u64, most: u64) -> Result<u64, String> {
    let number = value.as_u64().filter(|number| (least..=most).contains(number));
    number.ok_or_else(|| format!("has to be a number from {least} to {most}"))
}

fn small(value: &Value, least: u32, most: u32) -> Result<u32, String> {
    let number = number(value, least.into(), most.into())?;
    u32::try_from(number).map_err(|error| error.to_string())
}

/// The most items of a list.
const MAX_ITEMS: usize = 1000;

fn list(value: &Value) -> Result<Vec<String>, String> {
    let wrong = || format!("has to be a list of at most {MAX_ITEMS} texts");
    let items = value.as_array().filter(|items| items.len() <= MAX_ITEMS).ok_or_else(wrong)?;
    items.iter().map(|item| item.as_str().map(ToOwned::to_owned).ok_or_else(wrong)).collect()
}

fn urls(value: &Value, schemes: &[&str]) -> Result<Vec<String>, String> {
    let urls = list(value)?;
    let is_one = |url: &String| {
        let rest = schemes.iter().find_map(|scheme| url.strip_prefix(scheme));
        rest.is_some_and(|rest| {
            !rest.is_empty() && rest.bytes().all(|byte| byte.is_ascii_graphic())
        })
    };
    match urls.iter().find(|url| !is_one(url)) {
        // It may have a password in it.
        Some(_) => {
            Err(format!("has to be a list of URLs that begin with {}", schemes.join(" or ")))
        }
        None => Ok(urls),
    }
}

fn level(text: &str) -> Result<LogLevel, String> {
    Ok(match text.to_ascii_lowercase().as_str() {
        "off" => LogLevel::Off,
        "error" | "err" | "critical" => LogLevel::Error,
        "warn" | "warning" => LogLevel::Warn,
        "info" => LogLevel::Info,
        "debug" => LogLevel::Debug,
        "trace" => LogLevel::Trace,
        _ => return Err("has to be off, error, warn, info, debug or trace".into()),
    })
}
