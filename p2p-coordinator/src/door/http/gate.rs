//! The gate before the router: who asks, and whether it is not too much.
//!
//! Answers of the gate have the contract's bodies and headers. What is decided here, `security`
//! decides; this file reads headers and writes them.

use std::sync::{Mutex, PoisonError};

use axum::extract::{FromRequestParts, Request};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use p2p_coordinator_api::{Timestamp, paths};

use super::repeat::{Repeated, RequestKey};
use super::reply::Failure;
use crate::door::Remote;
use crate::security::rates::{Class, Left, Limiter, Source};
use crate::security::{Caller, Role, SecuritySettings};
use crate::service::Coordinator;
use crate::store::Store;

/// What the gate needs.
pub(super) struct Gate<S> {
    coordinator: Coordinator<S>,
    limiter: Mutex<Limiter>,
    pub(super) repeated: Repeated,
}

/// Beside an answer that is a refusal of a wrong key: it counts as a guess.
#[derive(Clone, Copy, Debug)]
pub(super) struct WrongKey;

/// The coordinator, asked by whoever sent the request.
pub(super) struct Acting<S>(pub(super) Coordinator<S>);

impl<S: Store> FromRequestParts<Coordinator<S>> for Acting<S> {
    type Rejection = std::convert::Infallible;

    async fn from_request_parts(
        parts: &mut Parts,
        coordinator: &Coordinator<S>,
    ) -> Result<Self, Self::Rejection> {
        let caller = parts.extensions.get::<Caller>().cloned();
        let acting = coordinator.acting_as(caller.unwrap_or(Caller::UNKNOWN));
        Ok(Self(match parts.extensions.get::<RequestKey>() {
            Some(RequestKey(key)) => acting.for_request(key.clone()),
            None => acting,
        }))
    }
}

impl<S: Store> Gate<S> {
    pub(super) fn new(coordinator: Coordinator<S>) -> Self {
        let security = &coordinator.settings().security;
        let limiter = Mutex::new(Limiter::new(security.rates.max_buckets));
        let repeated = Repeated::new(security.repeats);
        Self { coordinator, limiter, repeated }
    }

    fn security(&self) -> &SecuritySettings {
        &self.coordinator.settings().security
    }

    /// Who asks, and whose bucket pays for it.
    fn identify(&self, request: &Request, open: bool) -> Result<(Caller, Option<Source>), Failure> {
        let (security, headers) = (self.security(), request.headers());
        let name = &security.api_key_header;
        let mut caller = (!security.check_api_keys).then_some(Caller::TRUSTED);
        let mut payer = None;
        if let (true, Some(shown)) = (security.check_api_keys, headers.get(name.as_str())) {
            let key = security.api_keys.find(shown.as_bytes()).ok_or(Failure::WrongKey)?;
            caller = Some(Caller::with_key(key.role()));
            // The others' are in many hands: each address pays for itself.
            payer = (key.role() == Role::Service).then(|| Source::Key(key.name()));
        }
        if let (true, Some(token)) = (security.check_tokens, bearer(headers)) {
            match self.coordinator.verify_access(token) {
                Ok(claims) => {
                    caller = Some(Caller::with_token(&claims));
                    payer = Some(match claims.peer {
                        Some(peer) => Source::Peer(peer),
                        None => Source::Player(claims.player),
                    });
                }
                // It has ended, which is why another is asked for.
                Err(_) if open => {}
                Err(why) => return Err(Failure::WrongToken(why)),
            }
        }
        match caller {
            Some(caller) => Ok((caller, payer)),
            None if open => Ok((Caller::UNKNOWN, None)),
            None => Err(Failure::MissingKey(name.clone())),
        }
    }

    /// Where the request comes from.
    fn source(&self, request: &Request) -> Source {
        let proxies = &self.security().proxies;
        match request.extensions().get::<Remote>() {
            Some(Remote::Address(address)) => {
                let values = request.headers().get_all(proxies.header.name());
                let mut said: Vec<&str> = Vec::new();
                said.extend(values.iter().filter_map(|value| value.to_str().ok()));
                Source::of(proxies.client(*address, said.into_iter()))
            }
            Some(Remote::Peer(peer)) => Source::Peer(*peer),
            None => Source::Nowhere,
        }
    }

    fn take(&self, now: Timestamp, class: Class, source: Source) -> Result<Left, Left> {
        let rates = self.coordinator.in_force().rates;
        let rate = match (&source, class) {
            (Source::Key(_), _) => rates.service,
            (_, Class::Auth) => rates.auth,
            (_, Class::Others) => rates.others,
            (_, Class::Signaling) => rates.signaling,
            (_, Class::Wrong) => rates.wrong,
        };
        let mut limiter = self.limiter.lock().unwrap_or_else(PoisonError::into_inner);
        limiter.take(now, class, source, rate)
    }

    fn has_guesses(&self, now: Timestamp, source: &Source) -> Result<(), Left> {
        let limiter = self.limiter.lock().unwrap_or_else(PoisonError::into_inner);
        limiter.look(now, Class::Wrong, source.clone(), self.coordinator.in_force().rates.wrong)
    }
}

/// What is to be told to somebody who was let through.
#[derive(Debug, Default)]
pub(super) struct Passed {
    left: Option<Left>,
    /// Who pays if it turns out that a key was guessed.
    guesser: Option<Source>,
}

impl<S: Store> Gate<S> {
    /// Lets a request through, with [`Caller`] beside it, or answers it: `Err` is the answer.
    pub(super) fn pass(&self, request: &mut Request) -> Result<Passed, Box<Response>> {
        let path = below_prefix(request.uri().path());
        if EXEMPT.contains(&path) || path.starts_with("/docs/") {
            return Ok(Passed::default());
        }
        let (now, limited) = (self.coordinator.now(), self.coordinator.in_force().rates.enabled);
        let (class, source) = (class(path), self.source(request));
        let open = OPEN.contains(&path);
        let peer = request.extensions().get::<Remote>().and_then(|remote| match remote {
            Remote::Peer(peer) => Some(*peer),
            Remote::Address(_) => None,
        });
        // Before a key or a token is looked at: that it is right must not be found out either.
        let shows = shows_something(request.headers(), self.security()) || class == Class::Auth;
        if let (true, true, Err(left)) = (limited, shows, self.has_guesses(now, &source)) {
            return Err(Box::new(too_many(left, now)));
        }
        let (caller, payer) = match self.identify(request, open) {
            Ok((caller, payer)) => (Ok(caller), payer),
            Err(failure) => (Err(failure), None),
        };
        let left = limited.then(|| self.take(now, class, payer.unwrap_or_else(|| source.clone())));
        let left = left.transpose().map_err(|left| Box::new(too_many(left, now)))?;
        let passed = Passed { left, guesser: limited.then_some(source) };
        match caller {
            Ok(caller) => {
                let caller = match peer {
                    Some(peer) => caller.at_peer(peer),
                    None => caller,
                };
                request.extensions_mut().insert(caller);
                Ok(passed)
            }
            Err(failure) => {
                let mut response = failure.into_response();
                self.tell(passed, &mut response);
                Err(Box::new(response))
            }
        }
    }

    /// Notes a guess, and says in an answer how much may be asked still.
    pub(super) fn tell(&self, passed: Passed, response: &mut Response) {
        if let Some(guesser) = passed.guesser
            && response.extensions_mut().remove::<WrongKey>().is_some()
        {
            // That there was none left, the next is told.
            let _ = self.take(self.coordinator.now(), Class::Wrong, guesser);
        }
        if let Some(left) = passed.left {
            tell(response.headers_mut(), left);
        }
    }
}

/// What the contract asks no key for, and does not count: what a load balancer asks.
const EXEMPT: [&str; 6] =
    [paths::ROOT, paths::HEALTH, paths::READY, "/docs", "/redoc", "/openapi.json"];

/// What shows a token of its own: in the body, or where a browser can.
const OPEN: [&str; 3] = ["/auth/refresh", "/auth/logout", "/signaling/ws"];

fn below_prefix(path: &str) -> &str {
    let below = |prefix| path.strip_prefix(prefix).filter(|rest: &&str| rest.starts_with('/'));
    below(paths::PREFIX).or_else(|| below("/api")).unwrap_or(path)
}

fn class(path: &str) -> Class {
    match path {
        path if path.contains("/auth/") => Class::Auth,
        "/signaling/ws" | "/signaling/offer" | "/signaling/answer" | "/signaling/ice-candidate" => {
            Class::Signaling
        }
        _ => Class::Others,
    }
}

pub(super) fn bearer(headers: &HeaderMap) -> Option<&str> {
    let value = headers.get(header::AUTHORIZATION)?.to_str().unwrap_or_default();
    let (scheme, token) = value.split_once(' ').unwrap_or((value, ""));
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

fn shows_something(headers: &HeaderMap, security: &SecuritySettings) -> bool {
    (security.check_api_keys && headers.contains_key(security.api_key_header.as_str()))
        || (security.check_tokens && headers.contains_key(header::AUTHORIZATION))
}

fn too_many(left: Left, now: Timestamp) -> Response {
    let wait = left.wait(now);
    let window = left.window.as_secs();
    let body = serde_json::json!({
        "error": "rate_limit_exceeded",
        "message": format!("Rate limit exceeded. Try again in {wait} seconds."),
        "limit": left.limit,
        "window_seconds": window,
        "reset_time": reset(left),
    });
    let mut response = (StatusCode::TOO_MANY_REQUESTS, axum::Json(body)).into_response();
    tell(response.headers_mut(), left);
    response.headers_mut().insert(header::RETRY_AFTER, wait.into());
    response
}

fn tell(headers: &mut HeaderMap, left: Left) {
    headers.insert(LIMIT, left.limit.into());
    headers.insert(REMAINING, left.remaining.into());
    headers.insert(RESET, HeaderValue::from(reset(left)));
}

/// In whole seconds since the epoch.
fn reset(left: Left) -> u64 {
    left.reset.as_millis().div_ceil(1000)
}

pub(super) const LIMIT: HeaderName = HeaderName::from_static("x-ratelimit-limit");
pub(super) const REMAINING: HeaderName = HeaderName::from_static("x-ratelimit-remaining");
pub(super) const RESET: HeaderName = HeaderName::from_static("x-ratelimit-reset");
