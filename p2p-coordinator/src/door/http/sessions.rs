//! `/sessions`.

use std::time::Duration;

use axum::Json;
use axum::body::Bytes;
use axum::http::{HeaderMap, StatusCode};
use p2p_coordinator_api::join::MAX_AVOID;
use p2p_coordinator_api::{
    CreateSession, HostId, JoinReply, JoinRequest, Nonce, PlayerId, Session, SessionStatus, ZoneId,
};
use serde_json::{Value, json};

use super::body::Body;
use super::fields::{Fields, Invalid};
use super::gate::Acting;
use super::hosts::MAX_INT;
use super::reply::Failure;
use super::target::{Path, Query};
use super::zones::page;
use crate::domain::{Refusal, SessionMetrics};
use crate::service::ServiceError;
use crate::store::{SessionQuery, Store};

type Reply<T> = Result<Json<T>, Failure>;

/// The most players that a session can be made with.
const MAX_PLAYERS: usize = 1000;

pub(super) async fn create<S: Store>(
    Acting(coordinator): Acting<S>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<(StatusCode, Json<Session>), Failure> {
    let body = Body::read(&headers, &body)?;
    let request = creation(&mut body.fields())?;
    let session = coordinator.create_session(&request).await;
    let session = session.map_err(|error| Failure::contract("Failed to create session", error))?;
    Ok((StatusCode::CREATED, Json(session)))
}

pub(super) fn creation(fields: &mut Fields<'_>) -> Result<CreateSession, Invalid> {
    let host_id = fields.id_if_there::<HostId>("host_id");
    let zone_id = fields.id("zone_id");
    let player_ids = fields.ids::<PlayerId>("player_ids", MAX_PLAYERS);
    // To clients of the contract the host is required: when anything else is wrong, they read that.
    fields.missing_besides("host_id");
    fields.finish()?;
    Ok(CreateSession { host_id, zone_id: fields.given(zone_id)?, player_ids })
}

pub(super) async fn join<S: Store>(
    Acting(coordinator): Acting<S>,
    headers: HeaderMap,
    body: Bytes,
) -> Reply<JoinReply> {
    let body = Body::read(&headers, &body)?;
    let request = joining(&mut body.fields())?.map_err(ServiceError::from)?;
    Ok(Json(coordinator.join(&request).await?))
}

pub(super) fn joining(fields: &mut Fields<'_>) -> Result<Result<JoinRequest, Refusal>, Invalid> {
    let (zone_id, player_id) = (fields.id::<ZoneId>("zone_id"), fields.id("player_id"));
    let peer_id = fields.peer("peer_id");
    let avoid = fields.optional_ids::<HostId>("avoid", MAX_AVOID);
    fields.finish()?;
    let (zone_id, player_id) = (fields.given(zone_id)?, fields.given(player_id)?);
    let peer_id = fields.given(peer_id)?;
    Ok(peer_id.map(|peer_id| JoinRequest { zone_id, player_id, peer_id, avoid }))
}

/// Lets sessions fail in which nothing happened for so many minutes.
pub(super) async fn clean_up<S: Store>(
    Acting(coordinator): Acting<S>,
    query: Query,
) -> Reply<Value> {
    let minutes = silence(&mut query.fields())?;
    let failed = coordinator.clean_up(Duration::from_secs(60 * u64::from(minutes))).await?;
    Ok(Json(json!({ "message": format!("Cleaned up {failed} stale sessions") })))
}

/// For how many minutes.
pub(super) fn silence(fields: &mut Fields<'_>) -> Result<u32, Invalid> {
    let minutes = fields.optional_int("timeout_minutes", 1, MAX_INT).unwrap_or(STALE_MINUTES);
    fields.finish()?;
    Ok(minutes)
}

/// As the contract has it if it is not given.
const STALE_MINUTES: u32 = 30;

pub(super) async fn read<S: Store>(Acting(coordinator): Acting<S>, path: Path) -> Reply<Session> {
    Ok(Json(coordinator.session(path.session()?.key()?).await?))
}

pub(super) async fn activate<S: Store>(Acting(coordinator): Acting<S>, path: Path) -> Reply<Value> {
    let key = path.session()?;
    let done = async { coordinator.activate_session(key.key()?).await }.await;
    told(done, &format!("Failed to activate session {key}"), &format!("Session {key} activated"))
}

pub(super) async fn pause<S: Store>(Acting(coordinator): Acting<S>, path: Path) -> Reply<Value> {
    let key = path.session()?;
    let done = async { coordinator.pause_session(key.key()?).await }.await;
    told(done, &format!("Failed to pause session {key}"), &format!("Session {key} paused"))
}

pub(super) async fn end<S: Store>(Acting(coordinator): Acting<S>, path: Path) -> Reply<Value> {
    let key = path.session()?;
    let done = async { coordinator.end_session(key.key()?).await }.await;
    told(done, &format!("Failed to end session {key}"), &format!("Session {key} ended"))
}

/// The contract names these in the query; in a body they are taken as well.
pub(super) async fn report<S: Store>(
    Acting(coordinator): Acting<S>,
    path: Path,
    query: Query,
    headers: HeaderMap,
    body: Bytes,
) -> Reply<Value> {
    let key = path.session()?;
    let mut measured = metrics(&mut query.fields())?;
    if !body.is_empty() {
        let said = metrics(&mut Body::read(&headers, &body)?.fields())?;
        measured.latency_ms = said.latency_ms.or(measured.latency_ms);
        measured.packet_loss_percent = said.packet_loss_percent.or(measured.packet_loss_percent);
        measured.bandwidth_usage_mbps = said.bandwidth_usage_mbps.or(measured.bandwidth_usage_mbps);
    }
    let done = async { coordinator.report_session(key.key()?, measured).await }.await;
    told(
        done,
        &format!("Failed to update metrics for session {key}"),
        &format!("Session {key} metrics updated"),
    )
}

pub(super) fn metrics(fields: &mut Fields<'_>) -> Result<SessionMetrics, Invalid> {
    let metrics = SessionMetrics {
        latency_ms: fields.optional_float("avg_latency_ms"),
        packet_loss_percent: fields.optional_float("packet_loss_percent"),
        bandwidth_usage_mbps: fields.optional_float("bandwidth_usage_mbps"),
    };
    fields.finish()?;
    Ok(metrics)
}

pub(super) async fn add_player<S: Store>(
    Acting(coordinator): Acting<S>,
    path: Path,
    headers: HeaderMap,
    body: Bytes,
) -> Reply<Value> {
    let (key, body) = (path.session(), Body::read_any(&headers, &body));
    let (key, body) = match (key, body) {
        // All that is wrong is told at once.
        (Err(Invalid(mut wrong)), Err(Failure::Invalid(Invalid(more)))) => {
            wrong.extend(more);
            return Err(Invalid(wrong).into());
        }
        (key, body) => (key?, body?),
    };
    let fields = body.fields();
    let player = match fields.value("player_id") {
        Some(Value::String(text)) if !text.is_empty() => text.clone(),
        _ => {
            let detail = "player_id is required".to_owned();
            return Err(Failure::Contract { detail, refusal: None });
        }
    };
    let id = player_of(&mut body.fields())?;
    let done = async { coordinator.add_player(key.key()?, &id).await }.await;
    told(
        done,
        &format!("Failed to add player {player} to session {key}"),
        &format!("Player {player} added to session {key}"),
    )
}

pub(super) fn player_of(fields: &mut Fields<'_>) -> Result<PlayerId, Invalid> {
    let id = fields.id("player_id");
    fields.finish()?;
    fields.given(id)
}

pub(super) async fn remove_player<S: Store>(
    Acting(coordinator): Acting<S>,
    path: Path,
    query: Query,
) -> Reply<Value> {
    let key = path.session()?;
    let player = path.id::<PlayerId>("player_id");
    let nonce = nonce(&mut query.fields())?;
    let player = match player {
        Ok(player) => player,
        // Text that is no id is that of nobody.
        Err(text) => {
            let detail = format!("Failed to remove player {text} from session {key}");
            return Err(Failure::Contract { detail, refusal: None });
        }
    };
    let done = async { coordinator.remove_player(key.key()?, &player, nonce).await }.await;
    told(
        done,
        &format!("Failed to remove player {player} from session {key}"),
        &format!("Player {player} removed from session {key}"),
    )
}

pub(super) fn nonce(fields: &mut Fields<'_>) -> Result<Option<Nonce>, Invalid> {
    let nonce = fields.optional_parsed("nonce");
    fields.finish()?;
    Ok(nonce)
}

pub(super) async fn active_on_host<S: Store>(
    Acting(coordinator): Acting<S>,
    path: Path,
    query: Query,
) -> Reply<Vec<Session>> {
    let page = active(query)?;
    let Ok(id) = path.id::<HostId>("host_id") else { return Ok(Json(Vec::new())) };
    let host = match coordinator.host(&id).await {
        Ok(host) => host.id,
        Err(ServiceError::Refused(Refusal::UnknownHost(_))) => return Ok(Json(Vec::new())),
        Err(error) => return Err(error.into()),
    };
    Ok(Json(coordinator.sessions(&SessionQuery { host: Some(host), ..page }).await?))
}

pub(super) async fn active_in_zone<S: Store>(
    Acting(coordinator): Acting<S>,
    path: Path,
    query: Query,
) -> Reply<Vec<Session>> {
    let page = active(query)?;
    let Ok(id) = path.id::<ZoneId>("zone_id") else { return Ok(Json(Vec::new())) };
    let zone = match coordinator.zone(&id).await {
        Ok(zone) => zone.id,
        Err(ServiceError::Refused(Refusal::UnknownZone(_))) => return Ok(Json(Vec::new())),
        Err(error) => return Err(error.into()),
    };
    Ok(Json(coordinator.sessions(&SessionQuery { zone: Some(zone), ..page }).await?))
}

fn active(query: Query) -> Result<SessionQuery, Failure> {
    let (offset, limit) = page(&mut query.fields())?;
    Ok(SessionQuery { status: &[SessionStatus::Active], offset, limit, ..SessionQuery::default() })
}

/// What the contract says of a change, in either case.
fn told(done: Result<(), ServiceError>, failed: &str, message: &str) -> Reply<Value> {
    done.map_err(|error| Failure::contract(failed, error))?;
    Ok(Json(json!({ "message": message })))
}
