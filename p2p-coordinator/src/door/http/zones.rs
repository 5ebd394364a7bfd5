//! `/zones`.

use axum::Json;
use axum::body::Bytes;
use axum::http::{HeaderMap, StatusCode};
use p2p_coordinator_api::{DefineZone, Zone, ZoneStatus};

use super::body::Body;
use super::fields::{Fields, Invalid};
use super::gate::Acting;
use super::hosts::MAX_INT;
use super::reply::Failure;
use super::target::{Path, Query};
use crate::store::{Store, ZoneQuery};

type Reply<T> = Result<Json<T>, Failure>;

pub(super) async fn define<S: Store>(
    Acting(coordinator): Acting<S>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<(StatusCode, Json<Zone>), Failure> {
    let body = Body::read(&headers, &body)?;
    let definition = definition(&mut body.fields())?;
    Ok((StatusCode::CREATED, Json(coordinator.define_zone(definition).await?)))
}

pub(super) fn definition(fields: &mut Fields<'_>) -> Result<DefineZone, Invalid> {
    let zone_id = fields.id("zone_id");
    let zone_name = fields.text("zone_name", 255);
    let zone_display_name = fields.text("zone_display_name", 255);
    let map_name = fields.text("map_name", 255);
    let max_players = fields.default_int("max_players", 100, 1, MAX_INT);
    let recommended_players = fields.default_int("recommended_players", 50, 1, MAX_INT);
    let p2p_enabled = fields.default_bool("p2p_enabled", true);
    let p2p_priority = fields.default_int("p2p_priority", 1, 1, 10);
    let fallback_enabled = fields.default_bool("fallback_enabled", true);
    let score = fields.default_float("min_host_quality_score", 7.0, 0.0, Some(10.0));
    let min_bandwidth_mbps = fields.default_int("min_bandwidth_mbps", 100, 1, MAX_INT);
    let max_latency_ms = fields.default_int("max_latency_ms", 100, 1, MAX_INT);
    let description = fields.optional_text("description", MAX_DESCRIPTION);
    fields.finish()?;
    Ok(DefineZone {
        zone_id: fields.given(zone_id)?,
        zone_name,
        zone_display_name,
        map_name,
        max_players,
        recommended_players,
        p2p_enabled,
        p2p_priority,
        fallback_enabled,
        min_host_quality_score: score,
        min_bandwidth_mbps,
        max_latency_ms,
        description,
    })
}

/// The most characters of a description.
const MAX_DESCRIPTION: usize = 4000;

pub(super) async fn read<S: Store>(Acting(coordinator): Acting<S>, path: Path) -> Reply<Zone> {
    Ok(Json(coordinator.zone(&path.zone()?).await?))
}

pub(super) async fn list<S: Store>(
    Acting(coordinator): Acting<S>,
    query: Query,
) -> Reply<Vec<Zone>> {
    let (mut query, status) = listing(&mut query.fields())?;
    query.status = status.map(|given| status_named(&given)).transpose()?;
    Ok(Json(coordinator.zones(&query).await?))
}

/// All of them, or those with a status.
pub(super) fn listing(fields: &mut Fields<'_>) -> Result<(ZoneQuery, Option<String>), Invalid> {
    let p2p_enabled = fields.optional_bool("p2p_enabled");
    let status = fields.status_filter("status_filter", names);
    let (offset, limit) = page(fields)?;
    Ok((ZoneQuery { p2p_enabled, offset, limit, ..ZoneQuery::default() }, status))
}

/// Which of a list: how many are left out, and the most that are wanted. The last that is read.
pub(super) fn page(fields: &mut Fields<'_>) -> Result<(u32, Option<u32>), Invalid> {
    let offset = fields.optional_int("offset", 0, MAX_INT).unwrap_or(0);
    let limit = fields.optional_int("limit", 1, crate::store::MAX_LIST);
    fields.finish()?;
    Ok((offset, limit))
}

fn names() -> Vec<&'static str> {
    ZoneStatus::ALL.map(ZoneStatus::as_str).into()
}

fn status_named(given: &str) -> Result<ZoneStatus, Failure> {
    let named = |status: &ZoneStatus| status.as_str().eq_ignore_ascii_case(given);
    ZoneStatus::ALL.into_iter().find(named).ok_or_else(|| Failure::Status {
        given: given.to_owned(),
        all: ZoneStatus::ALL.map(|status| status.as_str().to_uppercase()).join(", "),
    })
}

pub(super) async fn enabled<S: Store>(
    Acting(coordinator): Acting<S>,
    query: Query,
) -> Reply<Vec<Zone>> {
    let (offset, limit) = page(&mut query.fields())?;
    Ok(Json(coordinator.zones_open_to_peers(offset, limit).await?))
}

pub(super) async fn set_status<S: Store>(
    Acting(coordinator): Acting<S>,
    path: Path,
    query: Query,
) -> Reply<Zone> {
    let id = path.zone()?;
    let given = new_status(&mut query.fields())?;
    Ok(Json(coordinator.set_zone_status(&id, status_named(&given)?).await?))
}

pub(super) fn new_status(fields: &mut Fields<'_>) -> Result<String, Invalid> {
    let given = fields.status("new_status", names);
    fields.finish()?;
    Ok(given)
}

pub(super) async fn enable<S: Store>(Acting(coordinator): Acting<S>, path: Path) -> Reply<Zone> {
    Ok(Json(coordinator.open_zone_to_peers(&path.zone()?, true).await?))
}

pub(super) async fn disable<S: Store>(Acting(coordinator): Acting<S>, path: Path) -> Reply<Zone> {
    Ok(Json(coordinator.open_zone_to_peers(&path.zone()?, false).await?))
}
