//! Requests with an `Idempotency-Key`: who sends one again gets the answer that there was.
//!
//! The key is the client's, of 1 to 255 visible characters, and counts for whoever asks. Within
//! [`RepeatLimits::window`], the same key with the same method, path, query and body is answered as
//! before, to the byte and with `Idempotency-Replayed: true`; with another request it is 422, and
//! while the first is being done 409 with `Retry-After`. A request with a key is done to its end though
//! its client has gone, so that the answer is there when it comes back.
//!
//! Kept are answers that are final: not those of a failure (5xx), of a limit (429), of a missing
//! credential (401) or with `Retry-After`; and no secrets (`Cache-Control: no-store`). They are kept in
//! this process. What has to hold over its end, and for other coordinators on the store, the service
//! makes follow from the key: a session is made once, and so is a login and a refresh.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::body::{Body, Bytes};
use axum::extract::Request;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http_body_util::BodyExt;
use p2p_coordinator_api::service::{IDEMPOTENCY_HEADER, REPLAYED_HEADER};
use sha2::{Digest as _, Sha256};

use super::reply::Failure;
use crate::security::Caller;
use crate::security::repeats::{Digest, Known, RepeatLimits, Repeats};
use crate::service::Coordinator;
use crate::store::Store;

/// The most bytes of a key.
const MAX_KEY: usize = 255;

/// The key of a request, beside it.
#[derive(Clone, Debug)]
pub(super) struct RequestKey(pub(super) Arc<str>);

/// What was answered.
#[derive(Clone, Debug)]
struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    body: Bytes,
}

/// Answers that may be wanted again.
#[derive(Clone, Debug)]
pub(super) struct Repeated(Arc<Mutex<Repeats<Answer>>>);

impl Repeated {
    pub(super) fn new(limits: RepeatLimits) -> Self {
        Self(Arc::new(Mutex::new(Repeats::new(limits))))
    }

    fn repeats(&self) -> MutexGuard<'_, Repeats<Answer>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether a request has a key that counts.
    pub(super) fn concerns(request: &Request) -> bool {
        request.headers().contains_key(IDEMPOTENCY_HEADER) && !is_safe(request.method())
    }

    /// Lets a request through, or answers it as before.
    pub(super) async fn run<S: Store>(
        &self,
        coordinator: &Coordinator<S>,
        request: Request,
        next: Next,
    ) -> Response {
        let named = request.headers().get(IDEMPOTENCY_HEADER).cloned();
        let scope = match &named {
            Some(_) => request.extensions().get::<Caller>().map(Caller::scope),
            None => None,
        };
        let (Some(named), Some(scope), false) = (named, scope, is_safe(request.method())) else {
            return next.run(request).await;
        };
        let Some(text) = key(&named) else {
            let what = format!("{IDEMPOTENCY_HEADER} has to be 1 to {MAX_KEY} visible characters");
            return Failure::Key(StatusCode::BAD_REQUEST, what).into_response();
        };
        let (parts, body) = request.into_parts();
        // The door has read it whole, within its bounds.
        let Ok(body) = body.collect().await.map(http_body_util::Collected::to_bytes) else {
            return Failure::Unreadable.into_response();
        };
        let key: Digest = digest([scope.as_bytes(), text.as_bytes()]);
        let target = parts.uri.path_and_query().map_or("", |target| target.as_str());
        let asked = digest([parts.method.as_str().as_bytes(), target.as_bytes(), &body]);
        match self.repeats().begin(coordinator.now(), key, asked) {
            Known::New => {}
            Known::Answered(answer) => return answer.again(),
            Known::Other => {
                let what = "The key was another request's: choose a new one for each";
                return Failure::Key(StatusCode::UNPROCESSABLE_ENTITY, what.into()).into_response();
            }
            Known::Running => {
                let what = "A request with this key is being done: ask again in a moment";
                let mut response = Failure::Key(StatusCode::CONFLICT, what.into()).into_response();
                response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
                return response;
            }
        }
        let mut request = Request::from_parts(parts, Body::from(body));
        request.extensions_mut().insert(RequestKey(text.into()));
        let running = Running { repeated: self.clone(), key };
        let coordinator = coordinator.clone();
        // It ends when it is done: whoever stops waiting for it finds the answer later.
        let done = tokio::spawn(async move {
            let response = next.run(request).await;
            running.keep(&coordinator, response).await
        });
        // It fails only if the runtime ends under it, or by a panic, which the door tells as such.
        done.await.unwrap_or_else(|_| StatusCode::INTERNAL_SERVER_ERROR.into_response())
    }
}

/// A request that is being done. If it is dropped before it was answered, it may be done again.
struct Running {
    repeated: Repeated,
    key: Digest,
}

impl Running {
    async fn keep<S: Store>(self, coordinator: &Coordinator<S>, response: Response) -> Response {
        if !is_final(&response) {
            return response;
        }
        let (parts, body) = response.into_parts();
        let Ok(body) = body.collect().await.map(http_body_util::Collected::to_bytes) else {
            return StatusCode::INTERNAL_SERVER_ERROR.into_response();
        };
        let answer =
            Answer { status: parts.status, headers: parts.headers.clone(), body: body.clone() };
        let headers = answer.headers.iter().map(|(name, value)| name.as_str().len() + value.len());
        let bytes = ROUGHLY + headers.sum::<usize>() + body.len();
        self.repeated.repeats().done(coordinator.now(), self.key, answer, bytes);
        Response::from_parts(parts, Body::from(body))
    }
}

/// What an answer takes beside its texts.
const ROUGHLY: usize = 512;

impl Drop for Running {
    fn drop(&mut self) {
        self.repeated.repeats().abandoned(&self.key);
    }
}

impl Answer {
    fn again(self) -> Response {
        let mut response = (self.status, self.body).into_response();
        *response.headers_mut() = self.headers;
        let name = HeaderName::from_static(REPLAYED_HEADER);
        response.headers_mut().insert(name, HeaderValue::from_static("true"));
        response
    }
}

fn is_final(response: &Response) -> bool {
    let (status, headers) = (response.status(), response.headers());
    let is_secret = headers.get(header::CACHE_CONTROL).is_some_and(|value| value == "no-store");
    !(status.is_server_error()
        || status == StatusCode::TOO_MANY_REQUESTS
        || status == StatusCode::UNAUTHORIZED
        || headers.contains_key(header::RETRY_AFTER)
        || is_secret)
}

/// To ask these again asks for nothing twice.
fn is_safe(method: &Method) -> bool {
    matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS)
}

/// The key: also in quotes, as the draft of the header's standard has it.
fn key(value: &HeaderValue) -> Option<&str> {
    let text = value.to_str().ok()?.trim();
    let text = text.strip_prefix('"').and_then(|text| text.strip_suffix('"')).unwrap_or(text);
    let is_key = (1..=MAX_KEY).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_graphic());
    is_key.then_some(text)
}

fn digest<const N: usize>(parts: [&[u8]; N]) -> Digest {
    let mut sha = Sha256::new();
    for part in parts {
        sha.update((part.len() as u64).to_be_bytes());
        sha.update(part);
    }
    sha.finalize().into()
}
