//! `/hosts`.

use axum::Json;
use axum::body::Bytes;
use axum::http::{HeaderMap, StatusCode};
use p2p_coordinator_api::host::{MAX_ICE_BYTES, MAX_PRESENT};
use p2p_coordinator_api::{
    Heartbeat, HeartbeatReply, Host, HostStatus, IssuedChallenge, Nonce, ProofError, RegisterHost,
    RegisteredHost,
};

use serde_json::json;

use super::body::Body;
use super::fields::{Fields, Invalid};
use super::gate::Acting;
use super::reply::{Failure, JsonText};
use super::target::{Path, Query};
use crate::domain::Refusal;
use crate::service::ServiceError;
use crate::store::{HostQuery, Store};

type Reply<T> = Result<Json<T>, Failure>;

pub(super) async fn challenge<S: Store>(Acting(coordinator): Acting<S>) -> Json<IssuedChallenge> {
    Json(coordinator.challenge())
}

pub(super) async fn register<S: Store>(
    Acting(coordinator): Acting<S>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<(StatusCode, Json<RegisteredHost>), Failure> {
    let body = Body::read(&headers, &body)?;
    let request = registration(&mut body.fields())?;
    let request = request.map_err(|wrong| ServiceError::from(Refusal::Proof(wrong)))?;
    let ice_bytes =
        request.ice_servers.as_ref().map_or(0, |servers| json!(servers).to_string().len());
    if ice_bytes > MAX_ICE_BYTES {
        return Err(Failure::TooLarge { what: "ice_servers", max: MAX_ICE_BYTES });
    }
    Ok((StatusCode::CREATED, Json(coordinator.register_host(request).await?)))
}

pub(super) fn registration(
    fields: &mut Fields<'_>,
) -> Result<Result<RegisterHost, ProofError>, Invalid> {
    let (host_id, player_id) = (fields.id("host_id"), fields.id("player_id"));
    let player_name = fields.text("player_name", 255);
    let ip_address = fields.address("ip_address");
    let port = fields.int("port", 1, 65_535);
    let public_ip = fields.optional_address("public_ip");
    let cpu_cores = fields.int("cpu_cores", 1, MAX_INT);
    let cpu_frequency_mhz = fields.int("cpu_frequency_mhz", 1, MAX_INT);
    let memory_mb = fields.int("memory_mb", 1, MAX_INT);
    let network_speed_mbps = fields.int("network_speed_mbps", 1, MAX_INT);
    let ice_servers = fields.optional_object("ice_servers");
    let max_players = fields.optional_int("max_players", 1, MAX_INT);
    let max_zones = fields.optional_int("max_zones", 1, MAX_INT);
    let p2p = fields.optional_proof("p2p");
    fields.finish()?;
    let (host_id, player_id) = (fields.given(host_id)?, fields.given(player_id)?);
    Ok(p2p.transpose().map(|p2p| RegisterHost {
        host_id,
        player_id,
        player_name,
        ip_address,
        port: u16::try_from(port).unwrap_or(u16::MAX),
        public_ip,
        cpu_cores,
        cpu_frequency_mhz,
        memory_mb,
        network_speed_mbps,
        ice_servers,
        max_players,
        max_zones,
        p2p,
    }))
}

/// The largest number of the contract's columns.
pub(super) const MAX_INT: u32 = i32::MAX as u32;

pub(super) async fn heartbeat<S: Store>(
    Acting(coordinator): Acting<S>,
    path: Path,
    headers: HeaderMap,
    body: Bytes,
) -> Reply<HeartbeatReply> {
    let id = path.host()?;
    let body = Body::read(&headers, &body)?;
    let beat = beat(&mut body.fields())?;
    Ok(Json(coordinator.heartbeat(&id, &beat).await?))
}

pub(super) fn beat(fields: &mut Fields<'_>) -> Result<Heartbeat, Invalid> {
    let beat = Heartbeat {
        latency_ms: fields.float("latency_ms", 0.0, None),
        packet_loss_percent: fields.float("packet_loss_percent", 0.0, Some(100.0)),
        bandwidth_usage_mbps: fields.float("bandwidth_usage_mbps", 0.0, None),
        current_players: fields.int("current_players", 0, MAX_INT),
        current_zones: fields.int("current_zones", 0, MAX_INT),
        present: fields.optional_texts("present", MAX_PRESENT, Nonce::CHARS),
    };
    fields.finish()?;
    Ok(beat)
}

pub(super) async fn read<S: Store>(Acting(coordinator): Acting<S>, path: Path) -> Reply<Host> {
    Ok(Json(coordinator.host(&path.host()?).await?))
}

pub(super) async fn list<S: Store>(
    Acting(coordinator): Acting<S>,
    query: Query,
) -> Result<JsonText, Failure> {
    let (mut query, status) = listing(&mut query.fields())?;
    query.status = status.map(|given| status_named(&given)).transpose()?;
    Ok(JsonText(coordinator.hosts_json(&query).await?))
}

/// All of them, or those with a status.
pub(super) fn listing(fields: &mut Fields<'_>) -> Result<(HostQuery, Option<String>), Invalid> {
    let status =
        fields.status_filter("status_filter", || HostStatus::ALL.map(HostStatus::as_str).into());
    Ok((choice(fields)?, status))
}

fn status_named(given: &str) -> Result<HostStatus, Failure> {
    let named = |status: &HostStatus| status.as_str().eq_ignore_ascii_case(given);
    HostStatus::ALL.into_iter().find(named).ok_or_else(|| Failure::Status {
        given: given.to_owned(),
        all: HostStatus::ALL.map(|status| status.as_str().to_uppercase()).join(", "),
    })
}

pub(super) async fn available<S: Store>(
    Acting(coordinator): Acting<S>,
    query: Query,
) -> Result<JsonText, Failure> {
    let query = choice(&mut query.fields())?;
    Ok(JsonText(coordinator.available_hosts_json(query).await?))
}

pub(super) async fn best<S: Store>(Acting(coordinator): Acting<S>, query: Query) -> Reply<Host> {
    let mut query = choice(&mut query.fields())?;
    // More than one, because scores are rounded, and ranks are not.
    query.limit.get_or_insert(16);
    let hosts = coordinator.available_hosts(query).await?;
    let best = hosts.into_iter().next();
    Ok(Json(best.ok_or(ServiceError::Refused(Refusal::NoAvailableHost))?))
}

/// Those with a score.
pub(super) fn choice(fields: &mut Fields<'_>) -> Result<HostQuery, Invalid> {
    let query = HostQuery {
        min_score: fields.optional_float("min_quality_score"),
        offset: fields.optional_int("offset", 0, MAX_INT).unwrap_or(0),
        limit: fields.optional_int("limit", 1, crate::store::MAX_LIST),
        ..HostQuery::default()
    };
    fields.finish()?;
    Ok(query)
}

pub(super) async fn remove<S: Store>(
    Acting(coordinator): Acting<S>,
    path: Path,
) -> Result<StatusCode, Failure> {
    coordinator.remove_host(&path.host()?).await?;
    Ok(StatusCode::NO_CONTENT)
}
