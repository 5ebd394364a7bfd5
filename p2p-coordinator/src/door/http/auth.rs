//! `/auth`.

use axum::Json;
use axum::body::Bytes;
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::{IntoResponse, Response};
use p2p_coordinator_api::PlayerId;
use p2p_coordinator_api::auth::TokenReply;
use serde_json::{Value, json};

use super::body::Body;
use super::fields::{Fields, Invalid};
use super::gate::Acting;
use super::reply::Failure;
use super::sessions::player_of;
use crate::security::jwt::MAX_TOKEN;
use crate::security::{Caller, Denied};
use crate::service::ServiceError;
use crate::store::Store;

/// The most characters of a key.
const MAX_KEY: usize = 1000;

pub(super) async fn token<S: Store>(
    Acting(mut coordinator): Acting<S>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, Failure> {
    let body = Body::read(&headers, &body)?;
    let (player, user, shown) = credentials(&mut body.fields())?;
    let security = &coordinator.settings().security;
    if let (true, Some(shown)) = (security.check_api_keys, shown) {
        let key = security.api_keys.find(shown.as_bytes()).ok_or(Failure::WrongKeyInBody)?;
        let caller = Caller::with_key(key.role());
        coordinator = coordinator.acting_as(caller);
    }
    Ok(secret(coordinator.log_in(player, user).await?))
}

type Credentials = (PlayerId, Option<String>, Option<String>);

/// Whose tokens, as which user, and with which key.
pub(super) fn credentials(fields: &mut Fields<'_>) -> Result<Credentials, Invalid> {
    let player = fields.id("player_id");
    let user = fields.optional_text("user_id", p2p_coordinator_api::ids::MAX_CHARS);
    let shown = fields.optional_text("api_key", MAX_KEY);
    fields.finish()?;
    Ok((fields.given(player)?, user, shown))
}

pub(super) async fn refresh<S: Store>(
    Acting(coordinator): Acting<S>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, Failure> {
    let body = Body::read(&headers, &body)?;
    let token = refresh_token(&mut body.fields())?;
    Ok(secret(coordinator.refresh(&token).await?))
}

pub(super) fn refresh_token(fields: &mut Fields<'_>) -> Result<String, Invalid> {
    let token = fields.text("refresh_token", MAX_TOKEN);
    fields.finish()?;
    Ok(token)
}

/// By the token in the body or, if there is none, by that of the header.
pub(super) async fn logout<S: Store>(
    Acting(coordinator): Acting<S>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Json<Value>, Failure> {
    let token = if body.is_empty() {
        let bearer = super::gate::bearer(&headers).filter(|token| !token.is_empty());
        bearer.ok_or(ServiceError::Denied(Denied::Unknown))?.to_owned()
    } else {
        let body = Body::read(&headers, &body)?;
        refresh_token(&mut body.fields())?
    };
    coordinator.log_out(&token).await?;
    Ok(Json(json!({ "message": "Logged out" })))
}

pub(super) async fn revoke<S: Store>(
    Acting(coordinator): Acting<S>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Json<Value>, Failure> {
    let body = Body::read(&headers, &body)?;
    let player = player_of(&mut body.fields())?;
    let count = coordinator.log_out_player(&player).await?;
    Ok(Json(json!({ "message": format!("Ended {count} logins of player {player}") })))
}

/// Nobody on the way is to keep it (RFC 6749, section 5.1).
fn secret(reply: TokenReply) -> Response {
    let mut response = Json(reply).into_response();
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
