//! The WebSocket handshake (RFC 6455, section 4.2).

use axum::body::Body;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use axum::response::Response;
use p2p_coordinator_api::websocket::accept_key;

/// What a request wants.
#[derive(Debug)]
pub(super) enum Wish {
    /// Not a WebSocket.
    Plain,
    /// One of another version.
    OtherVersion,
    /// One, but the request breaks the rules.
    Broken,
    /// One: this is the answer to it.
    WebSocket(Box<Response>),
}

impl Wish {
    pub(super) fn of(method: &Method, headers: &HeaderMap) -> Self {
        let asks = has(headers, header::UPGRADE, "websocket")
            && has(headers, header::CONNECTION, "upgrade");
        if !asks || method != Method::GET {
            return Self::Plain;
        }
        let version = headers.get(header::SEC_WEBSOCKET_VERSION).map(HeaderValue::as_bytes);
        if version != Some(b"13") {
            return Self::OtherVersion;
        }
        let key = headers.get(header::SEC_WEBSOCKET_KEY).and_then(|key| key.to_str().ok());
        // Sixteen bytes in base64.
        let Some(key) = key.filter(|key| key.len() == 24 && key.ends_with("==")) else {
            return Self::Broken;
        };
        let Ok(accept) = HeaderValue::from_str(&accept_key(key)) else { return Self::Broken };
        let mut answer = empty(StatusCode::SWITCHING_PROTOCOLS);
        let headers = answer.headers_mut();
        headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
        headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
        headers.insert(header::SEC_WEBSOCKET_ACCEPT, accept);
        Self::WebSocket(Box::new(answer))
    }
}

pub(super) fn empty(status: StatusCode) -> Response {
    let mut answer = Response::new(Body::empty());
    *answer.status_mut() = status;
    answer
}

/// Whether a header's list has a word, in any case.
fn has(headers: &HeaderMap, name: HeaderName, word: &str) -> bool {
    headers.get_all(name).iter().any(|value| {
        let list = value.to_str().unwrap_or_default();
        list.split(',').any(|item| item.trim().eq_ignore_ascii_case(word))
    })
}
