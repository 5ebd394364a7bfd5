//! What the service says about itself.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use p2p_coordinator_api::service::{Health, ServiceInfo};

use super::reply::Failure;
use crate::service::Coordinator;
use crate::store::Store;

pub(super) async fn info<S: Store>(
    State(coordinator): State<Coordinator<S>>,
) -> Result<Json<ServiceInfo>, Failure> {
    Ok(Json(coordinator.info().await?))
}

pub(super) async fn health<S: Store>(State(coordinator): State<Coordinator<S>>) -> Json<Health> {
    Json(coordinator.health())
}

pub(super) async fn ready<S: Store>(State(coordinator): State<Coordinator<S>>) -> Response {
    let readiness = coordinator.readiness().await;
    let status = match readiness.status.as_str() {
        "ready" => StatusCode::OK,
        _ => StatusCode::SERVICE_UNAVAILABLE,
    };
    (status, Json(readiness)).into_response()
}
