//! The router, with the contract's paths, bodies and status codes.
//!
//! - `cors`, `gate`: before all others: which pages may ask, who asks, and how much;
//! - `repeat`: requests that are sent again get the answer that there was;
//! - `target`, `body`: what is asked for, and with what;
//! - `fields`: what a body or a query must look like, and the contract's words when it does not;
//!   `numbers` and `json`: the forms that numbers may have, and what is wrong with broken text;
//! - `outline`, `openapi`: what is read is also what is described, at `/openapi.json` and `/docs`;
//! - `reply`: answers, and how each refusal is told;
//! - `monitoring`: around all others, each request gets an id and is counted; and what was counted;
//! - `auth`, `service`, `hosts`, `zones`, `sessions`, `signaling`: a handler for each path.

mod around;
mod auth;
mod body;
mod cors;
mod fields;
mod gate;
mod hosts;
mod json;
mod monitoring;
mod numbers;
#[cfg(feature = "openapi")]
mod openapi;
mod outline;
mod repeat;
mod reply;
mod service;
mod sessions;
mod signaling;
mod target;
mod zones;

use std::sync::Arc;

use axum::Router;
use axum::http::Uri;
use axum::middleware::from_fn_with_state;
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::{MethodRouter, delete, get, patch, post};
use p2p_coordinator_api::paths;

use crate::domain::signaling::Kind;
use crate::monitoring::Traffic;
use crate::service::Coordinator;
use crate::store::Store;
use around::Around;
use gate::{Acting, Gate};
use monitoring::Watch;
use reply::Failure;

/// All there is to ask of a coordinator.
pub fn router<S: Store>(coordinator: Coordinator<S>) -> Router {
    let (mut router, mut known) = (Router::new(), Vec::new());
    let mut routes: Vec<Route<S>> = contract_routes().collect();
    #[cfg(feature = "openapi")]
    routes.extend(openapi::routes(coordinator.settings()));
    let patterns = routes.iter().map(|(path, ..)| path.as_str()).chain(METRICS);
    let traffic = Arc::new(Traffic::new(patterns));
    routes.extend(metrics_routes(&traffic));
    for (path, allowed, mut methods) in routes {
        if allowed.starts_with("GET") {
            // As the contract has it; of itself the router would answer as if to GET.
            methods = methods.head(async move || Failure::MethodNotAllowed(allowed));
        }
        methods = methods.fallback(async move || Failure::MethodNotAllowed(allowed));
        router = router.route(&path, methods);
        known.push(path);
    }
    let known: Arc<[String]> = known.into();
    let around = Arc::new(Around {
        coordinator: coordinator.clone(),
        gate: Gate::new(coordinator.clone()),
        watch: Watch { coordinator: coordinator.clone(), traffic },
    });
    router
        .fallback(async move |uri: Uri| unknown(&known, &uri))
        .layer(from_fn_with_state(around, around::around))
        .with_state(coordinator)
}

/// A path, the methods it has, and who answers.
type Route<S> = (String, &'static str, MethodRouter<Coordinator<S>>);

fn contract_routes<S: Store>() -> impl Iterator<Item = Route<S>> {
    let all = service_routes().into_iter().chain(api_routes());
    all.chain(signaling_routes()).chain(figures_routes())
}

fn service_routes<S: Store>() -> [Route<S>; 3] {
    [
        (paths::ROOT.into(), "GET", get(service::info)),
        (paths::HEALTH.into(), "GET", get(service::health)),
        (paths::READY.into(), "GET", get(service::ready)),
    ]
}

/// Where the contract has everything, and where its documents do.
const PREFIXES: [&str; 2] = [paths::PREFIX, "/api"];

fn api_routes<S: Store>() -> impl Iterator<Item = Route<S>> {
    PREFIXES.into_iter().flat_map(|prefix| {
        routes_below().map(|(path, allowed, methods)| (format!("{prefix}{path}"), allowed, methods))
    })
}

fn routes_below<S: Store>() -> [(&'static str, &'static str, MethodRouter<Coordinator<S>>); 29] {
    let host = get(hosts::read).delete(hosts::remove);
    let zones = get(zones::list).post(zones::define);
    let player = delete(sessions::remove_player);
    [
        ("/auth/token", "POST", post(auth::token)),
        ("/auth/refresh", "POST", post(auth::refresh)),
        ("/auth/logout", "POST", post(auth::logout)),
        ("/auth/revoke", "POST", post(auth::revoke)),
        ("/hosts/", "GET", get(hosts::list)),
        ("/hosts/challenge", "POST", post(hosts::challenge)),
        ("/hosts/register", "POST", post(hosts::register)),
        ("/hosts/available/list", "GET", get(hosts::available)),
        ("/hosts/available/best", "GET", get(hosts::best)),
        ("/hosts/{host_id}", "GET, DELETE", host),
        ("/hosts/{host_id}/heartbeat", "POST", post(hosts::heartbeat)),
        ("/zones/", "GET, POST", zones),
        ("/zones/p2p/enabled", "GET", get(zones::enabled)),
        ("/zones/{zone_id}", "GET", get(zones::read)),
        ("/zones/{zone_id}/status", "PATCH", patch(zones::set_status)),
        ("/zones/{zone_id}/enable-p2p", "POST", post(zones::enable)),
        ("/zones/{zone_id}/disable-p2p", "POST", post(zones::disable)),
        ("/sessions/", "POST", post(sessions::create)),
        ("/sessions/join", "POST", post(sessions::join)),
        ("/sessions/cleanup", "POST", post(sessions::clean_up)),
        ("/sessions/host/{host_id}/active", "GET", get(sessions::active_on_host)),
        ("/sessions/zone/{zone_id}/active", "GET", get(sessions::active_in_zone)),
        ("/sessions/{session_id}", "GET", get(sessions::read)),
        ("/sessions/{session_id}/activate", "POST", post(sessions::activate)),
        ("/sessions/{session_id}/pause", "POST", post(sessions::pause)),
        ("/sessions/{session_id}/end", "POST", post(sessions::end)),
        ("/sessions/{session_id}/metrics", "PATCH", patch(sessions::report)),
        ("/sessions/{session_id}/players", "POST", post(sessions::add_player)),
        ("/sessions/{session_id}/players/{player_id}", "DELETE", player),
    ]
}

fn signaling_routes<S: Store>() -> impl Iterator<Item = Route<S>> {
    PREFIXES.into_iter().flat_map(|prefix| {
        let exchange = Kind::ALL.map(|kind| {
            let methods = get(async move |Acting(coordinator): Acting<S>, headers, query| {
                signaling::rest::collect(coordinator, kind, headers, query).await
            });
            let methods =
                methods.post(async move |Acting(coordinator): Acting<S>, headers, body| {
                    signaling::rest::post(coordinator, kind, headers, body).await
                });
            (format!("{prefix}/signaling/{}", kind.as_str()), "GET, POST", methods)
        });
        let others = [
            (format!("{prefix}/signaling/ws"), "GET", get(signaling::socket::open)),
            (format!("{prefix}/signaling/stats"), "GET", get(signaling::rest::stats)),
        ];
        others.into_iter().chain(exchange)
    })
}

fn figures_routes<S: Store>() -> impl Iterator<Item = Route<S>> {
    PREFIXES.into_iter().flat_map(|prefix| {
        [
            (format!("{prefix}/monitoring/dashboard"), "GET", get(monitoring::dashboard)),
            (format!("{prefix}/monitoring/hosts/stats"), "GET", get(monitoring::host_stats)),
        ]
    })
}

/// Where Prometheus' text is: at the last path unless that is turned off.
const METRICS: [&str; 3] =
    ["/api/v1/monitoring/metrics", "/api/monitoring/metrics", monitoring::PLAIN];

fn metrics_routes<S: Store>(traffic: &Arc<Traffic>) -> impl Iterator<Item = Route<S>> {
    METRICS.into_iter().map(|path| {
        let traffic = traffic.clone();
        let methods = get(async move |Acting(coordinator): Acting<S>| match path {
            monitoring::PLAIN => monitoring::plain_metrics(coordinator, traffic).await,
            _ => monitoring::metrics(coordinator, traffic).await,
        });
        (path.to_owned(), "GET", methods)
    })
}

/// Who leaves out a slash at the end, or puts one too many, is sent to the path that there is.
fn unknown(known: &[String], uri: &Uri) -> Response {
    let path = uri.path();
    let other = match path.strip_suffix('/') {
        Some(_) => path.trim_end_matches('/').to_owned(),
        None => format!("{path}/"),
    };
    // Two slashes at the beginning of a location would name another server; CONNECT has no path.
    if path.is_empty()
        || path.starts_with("//")
        || !known.iter().any(|pattern| matches(pattern, &other))
    {
        return Failure::NotFound.into_response();
    }
    let query = uri.query().map(|query| format!("?{query}")).unwrap_or_default();
    Redirect::temporary(&format!("{other}{query}")).into_response()
}

fn matches(pattern: &str, path: &str) -> bool {
    let (pattern, mut parts) = (pattern.split('/'), path.split('/'));
    let all = pattern.into_iter().all(|want| {
        let part = parts.next();
        part.is_some_and(|part| part == want || want.starts_with('{') && !part.is_empty())
    });
    all && parts.next().is_none()
}
