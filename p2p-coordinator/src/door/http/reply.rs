//! Answers, and how each refusal is told.

use axum::Json;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
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
    /// The contract has its own words for it; why, is told in headers.
    Contract { detail: String, refusal: Option<Refusal> },
    /// The request is not of the form.
    Invalid(Invalid),
    /// The path has other methods.
    MethodNotAllowed,
    /// There is no such path.
    NotFound,
    /// It could not be done.
    Service(ServiceError),
    /// A query names a status that there is not.
    Status { given: String, all: String },
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
            Self::Contract { detail, refusal } => {
                let mut headers = HeaderMap::new();
                if let Some(refusal) = refusal {
                    headers
                        .insert(REASON_HEADER, HeaderValue::from_static(refusal.reason().as_str()));
                    // Ids have no control characters, but may have others than ASCII.
                    if let Ok(detail) = HeaderValue::from_bytes(refusal.to_string().as_bytes()) {
                        headers.insert(DETAIL_HEADER, detail);
                    }
                }
                (headers, problem(StatusCode::BAD_REQUEST, &detail)).into_response()
            }
            Self::Invalid(invalid) => {
                let body = json!({ "detail": invalid.0 });
                (StatusCode::UNPROCESSABLE_ENTITY, Json(body)).into_response()
            }
            Self::MethodNotAllowed => problem(StatusCode::METHOD_NOT_ALLOWED, "Method Not Allowed"),
            Self::NotFound => problem(StatusCode::NOT_FOUND, "Not Found"),
            Self::Service(ServiceError::Refused(refusal)) => refused(&refusal),
            Self::Service(ServiceError::Contended) => {
                let busy = problem(
                    StatusCode::SERVICE_UNAVAILABLE,
                    "Too many others change the same at this moment: try again",
                );
                retry_later(busy)
            }
            Self::Service(error) => {
                tracing::error!(error = &error as &dyn std::error::Error, "a request failed");
                problem(StatusCode::INTERNAL_SERVER_ERROR, "Database error occurred")
            }
            Self::Status { given, all } => {
                let detail = format!("Invalid status: {given}. Must be one of: {all}");
                problem(StatusCode::BAD_REQUEST, &detail)
            }
        }
    }
}

/// A refusal with its own status code, sentence and word.
fn refused(refusal: &Refusal) -> Response {
    let reason = refusal.reason();
    let status = match reason {
        RefusalReason::UnknownHost
        | RefusalReason::UnknownPlayer
        | RefusalReason::UnknownSession
        | RefusalReason::UnknownZone => StatusCode::NOT_FOUND,
        RefusalReason::HostTaken | RefusalReason::Proof => StatusCode::FORBIDDEN,
        _ => StatusCode::CONFLICT,
    };
    let body = Problem { detail: refusal.to_string(), reason: Some(reason) };
    let response = (status, Json(body)).into_response();
    if reason.is_retryable() { retry_later(response) } else { response }
}

fn problem(status: StatusCode, detail: &str) -> Response {
    (status, Json::<Value>(json!({ "detail": detail }))).into_response()
}

fn retry_later(mut response: Response) -> Response {
    response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
    response
}
