//! The page to try the interface: Swagger UI, served whole, so that it works without the internet.

use std::sync::Arc;

use axum::extract::Path;
use axum::http::{HeaderValue, header};
use axum::response::{Html, IntoResponse, Response};
use utoipa_swagger_ui::Config;

use crate::door::http::reply::Failure;

/// Where it is.
pub(super) const PAGE: &str = "/docs";

/// Paths are relative to this page's, so that it also works below a proxy's prefix.
const TEXT: &str = include_str!("page.html");

pub(super) async fn page() -> Response {
    let mut response = Html(TEXT).into_response();
    // Whatever a description says, the page loads nothing from elsewhere.
    let policy = HeaderValue::from_static(
        "default-src 'self'; img-src 'self' data:; script-src 'self' 'unsafe-inline'; \
         style-src 'self' 'unsafe-inline'; frame-ancestors 'none'",
    );
    response.headers_mut().insert(header::CONTENT_SECURITY_POLICY, policy);
    response
}

/// What the page loads.
pub(super) async fn file(Path(name): Path<String>) -> Result<Response, Failure> {
    let file = utoipa_swagger_ui::serve(&name, Arc::new(Config::default()));
    let file = file.ok().flatten().ok_or(Failure::NotFound)?;
    let kind = HeaderValue::try_from(file.content_type);
    let kind = kind.unwrap_or(HeaderValue::from_static("application/octet-stream"));
    Ok(([(header::CONTENT_TYPE, kind)], file.bytes.into_owned()).into_response())
}
