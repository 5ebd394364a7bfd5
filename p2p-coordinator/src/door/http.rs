//! The router, with the contract's paths, bodies and status codes.
//!
//! - `fields`: what a body or a query must look like, and the contract's words when it does not;
//! - `reply`: answers, and how each refusal is told;
//! - `service`, `hosts`, `zones`, `sessions`: a handler for each path.

mod fields;
mod hosts;
mod reply;
mod service;
mod sessions;
mod zones;

use axum::Router;
use axum::http::Uri;
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::{delete, get, post};
use p2p_coordinator_api::paths;

use crate::service::Coordinator;
use crate::store::Store;
use reply::Failure;

/// All there is to ask of a coordinator.
pub fn router<S: Store>(coordinator: Coordinator<S>) -> Router {
    let api = Router::new()
        .route("/hosts/", get(hosts::list))
        .route("/hosts/challenge", post(hosts::challenge))
        .route("/hosts/register", post(hosts::register))
        .route("/hosts/available/list", get(hosts::available))
        .route("/hosts/available/best", get(hosts::best))
        .route("/hosts/{host_id}", get(hosts::read).delete(hosts::remove))
        .route("/hosts/{host_id}/heartbeat", post(hosts::heartbeat))
        .route("/zones/", get(zones::list).post(zones::define))
        .route("/zones/p2p/enabled", get(zones::enabled))
        .route("/zones/{zone_id}", get(zones::read))
        .route("/zones/{zone_id}/enable-p2p", post(zones::enable))
        .route("/zones/{zone_id}/disable-p2p", post(zones::disable))
        .route("/sessions/", post(sessions::create))
        .route("/sessions/join", post(sessions::join))
        .route("/sessions/host/{host_id}/active", get(sessions::active_on_host))
        .route("/sessions/zone/{zone_id}/active", get(sessions::active_in_zone))
        .route("/sessions/{session_id}", get(sessions::read))
        .route("/sessions/{session_id}/activate", post(sessions::activate))
        .route("/sessions/{session_id}/pause", post(sessions::pause))
        .route("/sessions/{session_id}/end", post(sessions::end))
        .route("/sessions/{session_id}/players", post(sessions::add_player))
        .route("/sessions/{session_id}/players/{player_id}", delete(sessions::remove_player));
    Router::new()
        .route(paths::ROOT, get(service::info))
        .route(paths::HEALTH, get(service::health))
        .route(paths::READY, get(service::ready))
        .nest(paths::PREFIX, api)
        .fallback(unknown)
        .method_not_allowed_fallback(async || Failure::MethodNotAllowed)
        .with_state(coordinator)
}

/// Collections end with a slash; who leaves it out is sent there.
async fn unknown(uri: Uri) -> Response {
    const COLLECTIONS: [&str; 3] = ["/hosts", "/zones", "/sessions"];
    let below = uri.path().strip_prefix(paths::PREFIX);
    if !below.is_some_and(|path| COLLECTIONS.contains(&path)) {
        return Failure::NotFound.into_response();
    }
    let query = uri.query().map(|query| format!("?{query}")).unwrap_or_default();
    Redirect::temporary(&format!("{}/{query}", uri.path())).into_response()
}
