//! What browsers ask before they let a page of another site use the service, and read in answers
//! (the Fetch standard's CORS protocol).
//!
//! It stands before everything else: a preflight shows no key, and a page is to see refusals too.

use axum::extract::Request;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};

use super::reply::Failure;
use crate::security::origins::Admittance;
use crate::service::Coordinator;
use crate::store::Store;

/// The page that asks, if it may read the answer.
#[derive(Debug)]
pub(super) struct Page(Option<(HeaderValue, Admittance)>);

/// Answers preflights, and refuses what pages of other sites may not send: `Err` is the answer.
pub(super) fn admit<S: Store>(
    coordinator: &Coordinator<S>,
    request: &Request,
) -> Result<Page, Box<Response>> {
    let origin = request.headers().get(header::ORIGIN);
    let origins = &coordinator.settings().security.origins;
    let admit = |origin: &HeaderValue| origins.admit(origin.to_str().unwrap_or_default());
    let (Some(origin), Some(admittance)) = (origin, origin.and_then(admit)) else {
        return stranger(request).map(|()| Page(None));
    };
    if !is_preflight(request) {
        return Ok(Page(Some((origin.clone(), admittance))));
    }
    let wanted = request.headers().get(header::ACCESS_CONTROL_REQUEST_HEADERS);
    let mut response = (StatusCode::OK, "OK").into_response();
    let headers = response.headers_mut();
    admit_into(headers, origin, admittance);
    headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, METHODS);
    headers.insert(header::ACCESS_CONTROL_MAX_AGE, MAX_AGE);
    if let Some(wanted) = wanted {
        headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, wanted.clone());
    }
    Err(Box::new(response))
}

impl Page {
    /// Says in an answer that the page may read it.
    pub(super) fn tell(self, response: &mut Response) {
        if let Self(Some((origin, admittance))) = self {
            admit_into(response.headers_mut(), &origin, admittance);
            response.headers_mut().insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, EXPOSED);
        }
    }
}

fn is_preflight(request: &Request) -> bool {
    request.method() == Method::OPTIONS
        && request.headers().contains_key(header::ACCESS_CONTROL_REQUEST_METHOD)
}

fn admit_into(headers: &mut HeaderMap, origin: &HeaderValue, admittance: Admittance) {
    let (allowed, named) = match admittance {
        Admittance::Anonymous => (HeaderValue::from_static("*"), false),
        Admittance::Named => (origin.clone(), true),
    };
    headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, allowed);
    if named {
        let yes = HeaderValue::from_static("true");
        headers.insert(header::ACCESS_CONTROL_ALLOW_CREDENTIALS, yes);
        headers.append(header::VARY, HeaderValue::from_static("origin"));
    }
}

/// Refuses what a page of another site makes a browser send: browsers do not ask before some kinds of
/// requests, and a coordinator on loopback is within reach of every page. Reading is kept from them by
/// the browser.
fn stranger(request: &Request) -> Result<(), Box<Response>> {
    if is_preflight(request) {
        return Err(Box::new((StatusCode::BAD_REQUEST, "Disallowed CORS origin").into_response()));
    }
    let site = request.headers().get("sec-fetch-site").map(HeaderValue::as_bytes);
    let is_foreign = matches!(site, Some(b"cross-site" | b"same-site"));
    if is_foreign && !request.method().is_safe() {
        return Err(Box::new(Failure::OtherSite.into_response()));
    }
    Ok(())
}

const METHODS: HeaderValue =
    HeaderValue::from_static("DELETE, GET, HEAD, OPTIONS, PATCH, POST, PUT");
const MAX_AGE: HeaderValue = HeaderValue::from_static("600");
const EXPOSED: HeaderValue = HeaderValue::from_static(
    "X-RateLimit-Limit, X-RateLimit-Remaining, X-RateLimit-Reset, Retry-After, X-Refusal-Reason, \
     X-Refusal-Detail, X-Request-Id, Idempotency-Replayed",
);
