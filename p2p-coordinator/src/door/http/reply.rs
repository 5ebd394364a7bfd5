//! Answers, and how each refusal is told.

use axum::Json;
use axum::body::Bytes;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use p2p_coordinator_api::RefusalReason;
use p2p_coordinator_api::service::{DETAIL_HEADER, Problem, REASON_HEADER};
use serde_json::{Value, json};

use super::fields::Invalid;
use super::gate::WrongKey;
use super::monitoring::StoreTrouble;
use crate::domain::Refusal;
use crate::security::{Denied, TokenRefusal};
use crate::service::ServiceError;
use crate::store::StoreError;

/// Every way in which a request does not get what it asked for.
#[derive(Debug)]
pub(super) enum Failure {
    /// There is nothing of that name, and cannot be.
    Absent { detail: String, reason: RefusalReason },
    /// The contract has its own words for it; why, is told in headers.
    Contract { detail: String, refusal: Option<Refusal> },
    /// The request is not of the form.
    Invalid(Invalid),
    /// The key by which a request is known when it comes again cannot be that.
    Key(StatusCode, String),
    /// The path has other methods: these.
    MethodNotAllowed(&'static str),
    /// No key was shown, and the header has this name.
    MissingKey(String),
    /// A page of another site made a browser send it.
    OtherSite,
    /// There is no such path.
    NotFound,
    /// It could not be done.
    Service(ServiceError),
    /// A peer's message cannot be taken, or its mailbox not be read.
    Signal(StatusCode, String),
    /// A query names a status that there is not.
    Status { given: String, all: String },
    /// A part of the body has the form that it is to have, and more bytes than are kept of it.
    TooLarge { what: &'static str, max: usize },
    /// The body is no text, or nested too deeply.
    Unreadable,
    /// The key in the header is none of ours.
    WrongKey,
    /// The key in the body is none of ours.
    WrongKeyInBody,
    /// The access token is not good.
    WrongToken(TokenRefusal),
}

/// An answer that is JSON already.
#[derive(Debug)]
pub(super) struct JsonText(pub(super) Bytes);

impl IntoResponse for JsonText {
    fn into_response(self) -> Response {
        let kind = HeaderValue::from_static("application/json");
        ([(header::CONTENT_TYPE, kind)], self.0).into_response()
    }
}

impl From<ServiceError> for Failure {
    fn from(error: ServiceError) -> Self {
        Self::Service(error)
    }
}

impl From<Invalid> for Failure {
    fn from(invalid: Invalid) -> Self {
        Self::Invalid(invalid)
    }
}

impl Failure {
    /// What the contract says when a request is refused, whatever the reason.
    pub(super) fn contract(detail: impl Into<String>, error: ServiceError) -> Self {
        match error {
            ServiceError::Refused(refusal) => {
                Self::Contract { detail: detail.into(), refusal: Some(refusal) }
            }
            error => Self::Service(error),
        }
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        match self {
            Self::Absent { detail, reason } => {
                with_reason(reason, problem(StatusCode::NOT_FOUND, &detail))
            }
            Self::Contract { detail, refusal } => {
                let mut response = problem(StatusCode::BAD_REQUEST, &detail);
                let Some(refusal) = refusal else { return response };
                // Ids have no control characters, but may have others than ASCII.
                if let Ok(detail) = HeaderValue::from_bytes(refusal.to_string().as_bytes()) {
                    response.headers_mut().insert(DETAIL_HEADER, detail);
                }
                with_reason(refusal.reason(), response)
            }
            Self::Invalid(invalid) => {
                let body = json!({ "detail": invalid.0 });
                (StatusCode::UNPROCESSABLE_ENTITY, Json(body)).into_response()
            }
            Self::MethodNotAllowed(allowed) => {
                let refused = problem(StatusCode::METHOD_NOT_ALLOWED, "Method Not Allowed");
                ([(header::ALLOW, allowed)], refused).into_response()
            }
            Self::MissingKey(name) => unauthorized(&format!("Missing {name} header")),
            Self::OtherSite => {
                problem(StatusCode::FORBIDDEN, "Pages of other sites may not change anything here")
            }
            Self::NotFound => problem(StatusCode::NOT_FOUND, "Not Found"),
            Self::Service(ServiceError::BadToken(why)) => guessed(why, bad_refresh_token(why)),
            Self::Service(ServiceError::Denied(denied @ Denied::Unknown)) => {
                unauthorized(&denied.to_string())
            }
            Self::Service(ServiceError::Denied(denied)) => {
                let body = json!({ "detail": denied.to_string(), "error": "forbidden" });
                (StatusCode::FORBIDDEN, Json(body)).into_response()
            }
            Self::Service(ServiceError::Refused(refusal)) => refused(&refusal),
            Self::Service(error @ ServiceError::KeyReused) => {
                problem(StatusCode::UNPROCESSABLE_ENTITY, &error.to_string())
            }
            Self::Service(ServiceError::Contended) => {
                let busy = problem(
                    StatusCode::SERVICE_UNAVAILABLE,
                    "Too many others change the same at this moment: try again",
                );
                retry_later(busy)
            }
            Self::Service(ServiceError::Token(error)) => {
                problem(StatusCode::BAD_REQUEST, &error.to_string())
            }
            Self::Service(ServiceError::Store(StoreError::Unavailable { .. })) => {
                let detail = "The database cannot be reached at this moment: try again";
                let response = problem(StatusCode::SERVICE_UNAVAILABLE, detail);
                retry_later(for_want_of_the_store(true, response))
            }
            Self::Service(error) => {
                tracing::error!(error = &error as &dyn std::error::Error, "a request failed");
                let what = "Database error occurred";
                let response = problem(StatusCode::INTERNAL_SERVER_ERROR, what);
                for_want_of_the_store(false, response)
            }
            Self::Key(status, what) | Self::Signal(status, what) => problem(status, &what),
            Self::Status { given, all } => {
                let detail = format!("Invalid status: {given}. Must be one of: {all}");
                problem(StatusCode::BAD_REQUEST, &detail)
            }
            Self::TooLarge { what, max } => {
                let detail = format!("{what} may have at most {max} bytes as JSON");
                problem(StatusCode::PAYLOAD_TOO_LARGE, &detail)
            }
            Self::Unreadable => {
                problem(StatusCode::BAD_REQUEST, "There was an error parsing the body")
            }
            Self::WrongKey => guess(unauthorized("Invalid API key")),
            Self::WrongKeyInBody => guess(problem(StatusCode::UNAUTHORIZED, "Invalid API key")),
            Self::WrongToken(why) => {
                guessed(why, unauthorized("Invalid or expired authentication token"))
            }
        }
    }
}

/// Somebody who has to say who asks: how, the header tells.
fn unauthorized(detail: &str) -> Response {
    let body = json!({ "detail": detail, "error": "unauthorized" });
    let how = [(header::WWW_AUTHENTICATE, "Bearer")];
    (StatusCode::UNAUTHORIZED, how, Json(body)).into_response()
}

/// Counts as a guess of a key or a token.
fn guess(mut response: Response) -> Response {
    response.extensions_mut().insert(WrongKey);
    response
}

/// What was signed here once was not guessed.
fn guessed(why: TokenRefusal, response: Response) -> Response {
    if why == TokenRefusal::Invalid { guess(response) } else { response }
}

/// The contract's words.
fn bad_refresh_token(why: TokenRefusal) -> Response {
    let detail = match why {
        TokenRefusal::Expired => "Refresh token has expired. Please login again.",
        TokenRefusal::NoPlayer => "Invalid refresh token: missing player_id",
        TokenRefusal::Revoked => {
            "Invalid refresh token: it was used before or taken back. Please login again."
        }
        TokenRefusal::WrongKind => "Invalid token type: expected refresh token",
        TokenRefusal::Invalid => "Invalid refresh token",
    };
    problem(StatusCode::UNAUTHORIZED, detail)
}

/// A refusal with its own status code, sentence and word.
fn refused(refusal: &Refusal) -> Response {
    let reason = refusal.reason();
    let status = match reason {
        _ if *refusal == Refusal::NoAvailableHost => StatusCode::NOT_FOUND,
        RefusalReason::UnknownHost
        | RefusalReason::UnknownPlayer
        | RefusalReason::UnknownSession
        | RefusalReason::UnknownZone => StatusCode::NOT_FOUND,
        RefusalReason::HostTaken | RefusalReason::Proof => StatusCode::FORBIDDEN,
        _ => StatusCode::CONFLICT,
    };
    let detail = refusal.to_string();
    // To clients of the contract a 404 has this one field; programs read the word in the header.
    let told = (status != StatusCode::NOT_FOUND).then_some(reason);
    let response = (status, Json(Problem { detail, reason: told })).into_response();
    let response = with_reason(reason, response);
    if reason.is_retryable() && status == StatusCode::CONFLICT {
        retry_later(response)
    } else {
        response
    }
}

fn with_reason(reason: RefusalReason, mut response: Response) -> Response {
    response.headers_mut().insert(REASON_HEADER, HeaderValue::from_static(reason.as_str()));
    response
}

fn problem(status: StatusCode, detail: &str) -> Response {
    (status, Json::<Value>(json!({ "detail": detail }))).into_response()
}

/// Is counted as such.
fn for_want_of_the_store(away: bool, mut response: Response) -> Response {
    response.extensions_mut().insert(StoreTrouble { away });
    response
}

fn retry_later(mut response: Response) -> Response {
    response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
    response
}
