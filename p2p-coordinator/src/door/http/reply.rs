//! Answers, and how each refusal is told.

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use p2p_coordinator_api::RefusalReason;
use p2p_coordinator_api::service::{DETAIL_HEADER, Problem, REASON_HEADER};
use serde_json::{Value, json};

use super::fields::Invalid;
use crate::domain::Refusal;
use crate::service::ServiceError;

/// Every way in which a request does not get what it asked for.
#[derive(Debug)]
pub(super) enum Failure {
    /// There is nothing of that name, and cannot be.
    Absent { detail: String, reason: RefusalReason },
    /// The contract has its own words for it; why, is told in headers.
    Contract { detail: String, refusal: Option<Refusal> },
    /// The request is not of the form.
    Invalid(Invalid),
    /// The path has other methods: these.
    MethodNotAllowed(&'static str),
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
    /// The body is no text, or nested too deeply.
    Unreadable,
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
            Self::OtherSite => {
                problem(StatusCode::FORBIDDEN, "Pages of other sites may not change anything here")
            }
            Self::NotFound => problem(StatusCode::NOT_FOUND, "Not Found"),
            Self::Service(ServiceError::Refused(refusal)) => refused(&refusal),
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
            Self::Service(error) => {
                tracing::error!(error = &error as &dyn std::error::Error, "a request failed");
                problem(StatusCode::INTERNAL_SERVER_ERROR, "Database error occurred")
            }
            Self::Signal(status, what) => problem(status, &what),
            Self::Status { given, all } => {
                let detail = format!("Invalid status: {given}. Must be one of: {all}");
                problem(StatusCode::BAD_REQUEST, &detail)
            }
            Self::Unreadable => {
                problem(StatusCode::BAD_REQUEST, "There was an error parsing the body")
            }
        }
    }
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

fn retry_later(mut response: Response) -> Response {
    response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
    response
}
