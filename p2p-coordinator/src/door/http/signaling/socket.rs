//! The WebSocket for signaling: who is let in, and with which words somebody is not.

use axum::extract::Request;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use p2p_coordinator_api::websocket::{POLICY_VIOLATION, SERVICE_RESTART, TRY_AGAIN_LATER};

use super::super::gate::Acting;
use super::super::reply::Failure;
use super::super::target::Query;
use super::handshake::{Wish, empty};
use super::pump::{pump, send_off};
use crate::domain::signaling::Denied;
use crate::door::Closing;
use crate::door::handover::Handover;
use crate::service::Coordinator;
use crate::service::signaling::{ConnectError, Knock};
use crate::store::Store;

pub(in super::super) async fn open<S: Store>(
    Acting(coordinator): Acting<S>,
    query: Query,
    mut request: Request,
) -> Response {
    let mut answer = match Wish::of(request.method(), request.headers()) {
        Wish::WebSocket(answer) => answer,
        // To the service before this one there was nothing here for others.
        Wish::Plain => return Failure::NotFound.into_response(),
        Wish::Broken => return empty(StatusCode::BAD_REQUEST),
        Wish::OtherVersion => {
            let mut answer = empty(StatusCode::UPGRADE_REQUIRED);
            let headers = answer.headers_mut();
            headers.insert(header::SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13"));
            return answer;
        }
    };
    let Some(visitor) = Visitor::of(&query) else { return empty(StatusCode::FORBIDDEN) };
    let Some(upgrade) = request.extensions_mut().remove::<OnUpgrade>() else {
        // The connection cannot be anything but HTTP.
        return empty(StatusCode::BAD_REQUEST);
    };
    Handover::put(answer.extensions_mut(), move |closing| {
        serve(coordinator, visitor, upgrade, closing)
    });
    *answer
}

/// Who comes, by the query.
struct Visitor {
    peer: String,
    token: Option<String>,
    session: Option<String>,
    resume: Option<String>,
    received: Option<u64>,
}

impl Visitor {
    fn of(query: &Query) -> Option<Self> {
        let text = |name| query.text(name);
        Some(Self {
            peer: text("peer_id")?,
            token: text("token"),
            session: text("session_id").filter(|session| !session.is_empty()),
            resume: text("resume"),
            received: text("seq").and_then(|seq| seq.parse().ok()),
        })
    }
}

async fn serve<S: Store>(
    coordinator: Coordinator<S>,
    visitor: Visitor,
    upgrade: OnUpgrade,
    closing: Closing,
) {
    let Ok(upgraded) = upgrade.await else { return };
    let mut io = TokioIo::new(upgraded);
    let mut knock = Knock::new(&visitor.peer);
    knock.token = visitor.token.as_deref();
    knock.resume = visitor.resume.as_deref();
    knock.received = visitor.received;
    let line = match coordinator.connect(&knock) {
        Ok(line) => line,
        Err(error) => {
            let (code, reason) = words(error);
            return send_off(&mut io, &error.to_string(), code, reason).await;
        }
    };
    if let Some(session) = visitor.session {
        line.join_named(&session).await;
    }
    pump(io, line, coordinator.settings().signaling.limits, closing).await;
}

/// With which code and reason the connection is closed, after the error's sentence.
const fn words(error: ConnectError) -> (u16, &'static str) {
    match error {
        ConnectError::Token => (POLICY_VIOLATION, "Invalid authentication token"),
        ConnectError::Foreign => (POLICY_VIOLATION, "peer_id is not that of the token"),
        ConnectError::Draining => (SERVICE_RESTART, "The coordinator restarts: connect again"),
        ConnectError::Denied(Denied::Full { .. }) => (TRY_AGAIN_LATER, "Too many peers"),
        ConnectError::Denied(Denied::Taken) => (POLICY_VIOLATION, "peer_id is in use"),
        ConnectError::Denied(Denied::Name) => (POLICY_VIOLATION, "peer_id is not allowed"),
    }
}
