//! `/monitoring`, `/metrics`; and what is done around each request: it gets an id and is counted.

use std::sync::Arc;

use axum::Json;
use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::json;
use tracing::Span;

use super::reply::Failure;
use crate::monitoring::{Asked, Text, Traffic};
use crate::service::Coordinator;
use crate::service::monitoring::{Dashboard, HostStats};
use crate::store::Store;

/// The most bytes of a request's id that is taken from its header.
const MAX_ID: usize = 128;

/// The path that scrapers ask by default.
pub(super) const PLAIN: &str = "/metrics";

pub(super) const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Beside an answer that is for want of the store: whether that was away.
#[derive(Clone, Copy, Debug)]
pub(super) struct StoreTrouble {
    pub(super) away: bool,
}

/// What requests are watched with.
pub(super) struct Watch<S> {
    pub(super) coordinator: Coordinator<S>,
    pub(super) traffic: Arc<Traffic>,
}

/// A request that is watched.
pub(super) struct Watched {
    asked: Asked,
    id: HeaderValue,
    /// What its lines in the log are in.
    pub(super) span: Span,
}

impl<S: Store> Watch<S> {
    /// Counts a request, and gives it an id, which its answer and its lines in the log bear.
    pub(super) fn begin(&self, request: &Request) -> Watched {
        let pattern = request.extensions().get::<MatchedPath>().map(MatchedPath::as_str);
        let asked = self.traffic.begin(request.method(), pattern);
        let id = match given(request.headers()) {
            Some(id) => id,
            None => HeaderValue::from_bytes(self.coordinator.request_id().as_bytes())
                .unwrap_or(HeaderValue::from_static("unknown")),
        };
        let span = tracing::error_span!(
            "request",
            id = id.to_str().unwrap_or_default(),
            method = %request.method(),
            route = asked.route(),
        );
        Watched { asked, id, span }
    }

    /// It is answered.
    pub(super) fn end(&self, watched: Watched, response: &mut Response) {
        let Watched { mut asked, id, span } = watched;
        let status = response.status();
        let took = asked.answered(status);
        span.in_scope(|| tracing::debug!(status = status.as_u16(), ?took, "answered"));
        let tally = self.coordinator.tally();
        match status {
            StatusCode::TOO_MANY_REQUESTS => tally.rate_limited.add_one(),
            StatusCode::UNAUTHORIZED => tally.strangers.add_one(),
            _ => {}
        }
        match response.extensions_mut().remove::<StoreTrouble>() {
            Some(StoreTrouble { away: true }) => tally.store_unavailable.add_one(),
            Some(StoreTrouble { away: false }) => tally.store_failed.add_one(),
            None => {}
        }
        response.headers_mut().insert(REQUEST_ID, id);
    }
}

/// The id that a request bears, if it can be passed on as it is: short, and visible ASCII.
fn given(headers: &HeaderMap) -> Option<HeaderValue> {
    let value = headers.get(REQUEST_ID)?;
    let bytes = value.as_bytes();
    let is_sane = (1..=MAX_ID).contains(&bytes.len()) && bytes.iter().all(u8::is_ascii_graphic);
    is_sane.then(|| value.clone())
}

/// The contract answers 200 though the store is away, so that it is seen in the numbers.
pub(super) async fn metrics<S: Store>(
    coordinator: Coordinator<S>,
    traffic: Arc<Traffic>,
) -> Response {
    let mut text = Text::default();
    if coordinator.write_metrics(&mut text).await {
        traffic.write(&mut text);
    }
    ([(header::CONTENT_TYPE, Text::CONTENT_TYPE)], text.into_string()).into_response()
}

/// The same at [`PLAIN`], which can be turned off.
pub(super) async fn plain_metrics<S: Store>(
    coordinator: Coordinator<S>,
    traffic: Arc<Traffic>,
) -> Response {
    if coordinator.settings().prometheus {
        return metrics(coordinator, traffic).await;
    }
    let body = json!({ "error": "Prometheus metrics are disabled" });
    (StatusCode::NOT_FOUND, Json(body)).into_response()
}

pub(super) async fn dashboard<S: Store>(
    State(coordinator): State<Coordinator<S>>,
) -> Json<Dashboard> {
    Json(coordinator.dashboard().await)
}

pub(super) async fn host_stats<S: Store>(
    State(coordinator): State<Coordinator<S>>,
) -> Result<Json<HostStats>, Failure> {
    Ok(Json(coordinator.host_stats().await?))
}
