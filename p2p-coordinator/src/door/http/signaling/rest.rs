//! Signaling request by request, and its figures.

use axum::Json;
use axum::body::{Body as HttpBody, Bytes};
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use super::super::body::Body;
use super::super::fields::{Fields, Invalid};
use super::super::gate::bearer;
use super::super::reply::Failure;
use super::super::target::Query;
use crate::domain::signaling::{Delivery, Denied, JoinError, Kind, Outgoing, Undeliverable};
use crate::service::Coordinator;
use crate::service::signaling::{ConnectError, Letter, PostError, SignalingStats};
use crate::store::Store;

pub(in super::super) async fn stats<S: Store>(
    State(coordinator): State<Coordinator<S>>,
) -> Json<SignalingStats> {
    Json(coordinator.signaling_stats())
}

/// Sends: `session_id`, `from`, `to`, and `sdp` or `candidate`, which may be any JSON but null.
pub(in super::super) async fn post<S: Store>(
    coordinator: Coordinator<S>,
    kind: Kind,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Json<Value>, Failure> {
    let body = Body::read(&headers, &body)?;
    let (session, from, to, payload) = letter(&mut body.fields(), kind)?;
    let max = coordinator.settings().signaling.limits.message_bytes;
    if payload.len() > max {
        let what = format!("{} has at most {max} bytes", kind.field());
        return Err(Failure::Signal(StatusCode::PAYLOAD_TOO_LARGE, what));
    }
    let letter = Letter { peer: &from, token: bearer(&headers), session: &session };
    let message = Outgoing { kind, to: &to, payload: &payload };
    let name = kind.as_str();
    match coordinator.post_signal(&letter, &message).await {
        Ok(Delivery::Delivered) => Ok(Json(json!({ "message": format!("{name} sent to {to}") }))),
        Ok(Delivery::Kept) => Ok(Json(json!({ "message": format!("{name} kept for {to}") }))),
        Err(PostError::Undeliverable(Undeliverable::Nobody | Undeliverable::Full)) => {
            let what = format!("Failed to deliver {name} to {to}");
            Err(Failure::Signal(StatusCode::NOT_FOUND, what))
        }
        Err(error) => Err(refused(error)),
    }
}

type Posted = (String, String, String, String);

/// In which session, from whom, to whom, and what.
pub(in super::super) fn letter(fields: &mut Fields<'_>, kind: Kind) -> Result<Posted, Invalid> {
    let session = fields.text_or_number("session_id");
    let from = fields.name("from");
    let to = fields.name("to");
    let payload = fields.any(kind.field()).map(Value::to_string).unwrap_or_default();
    fields.finish()?;
    Ok((session, from, to, payload))
}

/// Takes what lies there: `session_id` and `peer_id` in the query; a list of the messages that a
/// WebSocket would have had.
pub(in super::super) async fn collect<S: Store>(
    coordinator: Coordinator<S>,
    kind: Kind,
    headers: HeaderMap,
    query: Query,
) -> Result<Response, Failure> {
    let (session, peer) = mailbox(&mut query.fields())?;
    let letter = Letter { peer: &peer, token: bearer(&headers), session: &session };
    let messages = coordinator.collect_signals(&letter, kind).await.map_err(refused)?;
    let mut list = b"[".to_vec();
    for message in &messages {
        if list.len() > 1 {
            list.push(b',');
        }
        list.extend_from_slice(message);
    }
    list.push(b']');
    Ok(([(header::CONTENT_TYPE, "application/json")], HttpBody::from(list)).into_response())
}

/// In which session, and whose.
pub(in super::super) fn mailbox(fields: &mut Fields<'_>) -> Result<(String, String), Invalid> {
    let session = fields.name("session_id");
    let peer = fields.name("peer_id");
    fields.finish()?;
    Ok((session, peer))
}

fn refused(error: PostError) -> Failure {
    let status = match &error {
        PostError::Service(_) => StatusCode::INTERNAL_SERVER_ERROR,
        PostError::Connect(ConnectError::Token) => StatusCode::UNAUTHORIZED,
        PostError::Connect(ConnectError::Foreign | ConnectError::Denied(Denied::Taken))
        | PostError::Stranger(_) => StatusCode::FORBIDDEN,
        PostError::Connect(ConnectError::Denied(Denied::Name))
        | PostError::Join(JoinError::Name) => StatusCode::BAD_REQUEST,
        PostError::Undeliverable(Undeliverable::Excess(_))
        | PostError::Join(JoinError::Excess(_)) => StatusCode::TOO_MANY_REQUESTS,
        PostError::Undeliverable(_) => StatusCode::NOT_FOUND,
        PostError::Connect(_) | PostError::Join(_) => StatusCode::SERVICE_UNAVAILABLE,
    };
    match error {
        PostError::Service(error) => Failure::Service(error),
        error => Failure::Signal(status, error.to_string()),
    }
}
