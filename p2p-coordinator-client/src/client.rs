//! [`Client`]: the coordinator's calls, typed.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use hyper::Method;
use hyper::header::{AUTHORIZATION, HeaderMap, HeaderName, HeaderValue};
use p2p_coordinator_api::auth::{RefreshRequest, TokenReply, TokenRequest};
use p2p_coordinator_api::service::IDEMPOTENCY_HEADER;
use p2p_core::P2PProvider;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::time::sleep;

use crate::addr::CoordinatorAddr;
use crate::door::{Call, Door, Reply};
use crate::error::RequestError;
use crate::path::path;
use crate::refusal::problem;

mod attempts;
mod calls;
mod held;
mod login;

pub(crate) use attempts::Repeat;

use attempts::Attempts;
use login::Login;

/// A coordinator's client. A handle: clones share one way to the coordinator, and one login.
///
/// A request that fails because the coordinator is away or overloaded is sent again, up to
/// [`ClientConfig::max_attempts`] times in all, with growing waits between. What must not be done twice
/// is sent with an `Idempotency-Key`, by which the coordinator knows it again. Not sent again are
/// [`place`](Client::place), [`challenge`](Client::challenge), [`register_host`](Client::register_host)
/// and [`heartbeat`](Client::heartbeat): whoever calls these, as [`join`](Client::join) and
/// [`HostAgent`](crate::HostAgent) do, has a rhythm of their own.
///
/// # Cancel safety
///
/// Dropping the future of any call gives up on the reply; whether the coordinator did what it was
/// asked is then unknown, as after [`RequestError::TimedOut`].
pub struct Client<P: P2PProvider> {
    inner: Arc<Inner<P>>,
    /// What it shows with each request.
    credentials: HeaderMap,
    /// Whose access token it shows as well.
    login: Option<Arc<Login>>,
}

struct Inner<P: P2PProvider> {
    provider: P,
    coordinator: CoordinatorAddr,
    door: Door<P>,
    max_attempts: u32,
    /// What waits between attempts follow from.
    seed: u64,
}

impl<P: P2PProvider> Client<P> {
    /// A client of the coordinator at `coordinator`. Connects when it is first asked something.
    /// `provider` is how it reaches a coordinator that is a peer, and what
    /// [`join`](Client::join) connects to hosts with.
    ///
    /// # Errors
    ///
    /// [`RequestError::Unsupported`] for a URL in a build without the feature `http`, if there is no
    /// TLS for it, or if the key of the configuration cannot stand in a header.
    pub fn new(
        provider: P,
        coordinator: CoordinatorAddr,
        config: ClientConfig,
    ) -> Result<Self, RequestError> {
        let door = Door::new(&provider, &coordinator, &config)?;
        let mut credentials = HeaderMap::new();
        if let Some(ApiKey(key)) = &config.api_key {
            credentials.insert("x-api-key", sensitive(key, "API key")?);
        }
        // The peer id is as good a seed as any: what matters is that clients have different ones.
        let seed = provider.local_peer_id().as_bytes().first_chunk().copied();
        let seed = u64::from_be_bytes(seed.unwrap_or_default());
        let max_attempts = config.max_attempts;
        let inner = Inner { provider, coordinator, door, max_attempts, seed };
        Ok(Self { inner: Arc::new(inner), credentials, login: None })
    }

    /// The same client, which says with each request who asks: by a player's access token, or by that
    /// of a host. It may do then what the player or the host may, until the token ends; with
    /// [`logged_in`](Self::logged_in) and [`with_tokens`](Self::with_tokens) it is renewed.
    ///
    /// # Errors
    ///
    /// [`RequestError::Unsupported`] if the token cannot stand in a header.
    pub fn with_access_token(&self, token: &str) -> Result<Self, RequestError> {
        let mut client = self.clone();
        let value = sensitive(&format!("Bearer {token}"), "access token")?;
        client.credentials.insert(AUTHORIZATION, value);
        client.login = None;
        Ok(client)
    }

    /// The coordinator.
    pub fn coordinator(&self) -> &CoordinatorAddr {
        &self.inner.coordinator
    }

    /// What it connects with.
    pub fn provider(&self) -> &P {
        &self.inner.provider
    }

    async fn get<T: DeserializeOwned>(&self, target: String) -> Result<T, RequestError> {
        parse(&self.ask(Method::GET, target, None::<&()>, Repeat::Freely).await?)
    }

    async fn post<T: DeserializeOwned>(
        &self,
        target: String,
        body: Option<&impl Serialize>,
        repeat: Repeat,
    ) -> Result<T, RequestError> {
        parse(&self.ask(Method::POST, target, body, repeat).await?)
    }

    /// Asks; a reply that is no success is an error.
    async fn ask(
        &self,
        method: Method,
        target: String,
        body: Option<&impl Serialize>,
        repeat: Repeat,
    ) -> Result<Reply, RequestError> {
        let mut call = self.call(method, target, body)?;
        if repeat == Repeat::Keyed {
            call.credentials.insert(KEY, plain(&self.new_key(), "key")?);
        }
        let Some(token) = self.access_token().await? else {
            return self.deliver(call, repeat).await;
        };
        let shown = sensitive(&format!("Bearer {token}"), "access token")?;
        call.credentials.insert(AUTHORIZATION, shown);
        match self.deliver(call.clone(), repeat).await {
            // It was taken back, or clocks differ: a newer one may do.
            Err(error) if error.is_status(UNAUTHORIZED) && self.token_refused(&token) => {
                let Some(token) = self.access_token().await? else { return Err(error) };
                let shown = sensitive(&format!("Bearer {token}"), "access token")?;
                call.credentials.insert(AUTHORIZATION, shown);
                self.deliver(call, repeat).await
            }
            outcome => outcome,
        }
    }

    /// Exchanges a refresh token in a request with this key.
    async fn exchange(
        &self,
        request: &RefreshRequest,
        key: Option<String>,
    ) -> Result<TokenReply, RequestError> {
        let target = path(&["auth", "refresh"])?;
        let mut call = self.call(Method::POST, target, Some(request))?;
        let key = key.unwrap_or_else(|| self.new_key());
        call.credentials.insert(KEY, plain(&key, "key")?);
        parse(&self.deliver(call, Repeat::Keyed).await?)
    }

    /// Logs in, whoever is logged in.
    async fn enter(&self, request: &TokenRequest) -> Result<TokenReply, RequestError> {
        let target = path(&["auth", "token"])?;
        let mut call = self.call(Method::POST, target, Some(request))?;
        call.credentials.insert(KEY, plain(&self.new_key(), "key")?);
        parse(&self.deliver(call, Repeat::Keyed).await?)
    }

    fn call(
        &self,
        method: Method,
        target: String,
        body: Option<&impl Serialize>,
    ) -> Result<Call, RequestError> {
        let body = match body.map(serde_json::to_vec).transpose() {
            Ok(body) => body.map(Into::into),
            Err(error) => {
                let what = format!("the request cannot be written as JSON: {error}");
                return Err(RequestError::Unsupported { what });
            }
        };
        Ok(Call { method, target, body, credentials: self.credentials.clone() })
    }

    /// Sends a request, and again if that is right.
    async fn deliver(&self, call: Call, repeat: Repeat) -> Result<Reply, RequestError> {
        let inner = &self.inner;
        let mut attempts = Attempts::new(repeat, inner.max_attempts, inner.seed);
        loop {
            let (error, asked) = match inner.door.request(call.clone()).await {
                Ok(reply) if (200..300).contains(&reply.status) => return Ok(reply),
                Ok(Reply { status, body, aside }) => {
                    let asked = aside.retry_after;
                    let problem = problem(&body, aside);
                    (RequestError::Refused { status, problem }, asked)
                }
                Err(error) => (error, None),
            };
            match attempts.failed(&error, asked) {
                Some(wait) => sleep(wait).await,
                None => return Err(error),
            }
        }
    }

    /// A key that no other request has, of this client or another.
    fn new_key(&self) -> String {
        let provider = &self.inner.provider;
        format!("{:016x}{:016x}", provider.random(), provider.random())
    }
}

const KEY: HeaderName = HeaderName::from_static(IDEMPOTENCY_HEADER);

const UNAUTHORIZED: u16 = 401;

fn plain(text: &str, what: &str) -> Result<HeaderValue, RequestError> {
    HeaderValue::from_str(text).map_err(|_| RequestError::Unsupported {
        what: format!("the {what} has characters that cannot stand in a header"),
    })
}

/// A header whose value is not logged.
fn sensitive(text: &str, what: &str) -> Result<HeaderValue, RequestError> {
    let mut value = plain(text, what)?;
    value.set_sensitive(true);
    Ok(value)
}

fn parse<T: DeserializeOwned>(reply: &Reply) -> Result<T, RequestError> {
    serde_json::from_slice(&reply.body).map_err(|error| RequestError::Unexpected {
        what: format!("with status {} came what does not parse: {error}", reply.status),
    })
}

impl<P: P2PProvider> Clone for Client<P> {
    fn clone(&self) -> Self {
        let (credentials, login) = (self.credentials.clone(), self.login.clone());
        Self { inner: self.inner.clone(), credentials, login }
    }
}

impl<P: P2PProvider> fmt::Debug for Client<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client")
            .field("coordinator", &self.inner.coordinator.name())
            .finish_non_exhaustive()
    }
}

/// The bounds of a client. [`ClientConfig::default`] is a sane start.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ClientConfig {
    /// How long one attempt at a request may take, connecting included. Default 5 s.
    pub request_timeout: Duration,
    /// How often a request is sent at most that may be sent again; 1 is never again. Default 3.
    pub max_attempts: u32,
    /// The largest reply, in bytes. Default 4 MiB.
    pub max_reply: usize,
    /// What coordinators want to see that ask for keys. Default: none.
    pub api_key: Option<ApiKey>,
}

/// A key for a coordinator's API. Not printed.
#[derive(Clone, PartialEq, Eq)]
pub struct ApiKey(String);

impl ApiKey {
    /// The key of this text.
    pub fn new(key: impl Into<String>) -> Self {
        Self(key.into())
    }
}

impl fmt::Debug for ApiKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ApiKey")
    }
}

impl ClientConfig {
    /// Sets how often a request is sent at most.
    #[must_use]
    pub const fn with_max_attempts(mut self, attempts: u32) -> Self {
        self.max_attempts = attempts;
        self
    }

    /// Sets how long one attempt at a request may take.
    #[must_use]
    pub const fn with_request_timeout(mut self, timeout: Duration) -> Self {
        self.request_timeout = timeout;
        self
    }

    /// Sets the key to show.
    #[must_use]
    pub fn with_api_key(mut self, key: ApiKey) -> Self {
        self.api_key = Some(key);
        self
    }

    /// Sets the largest reply.
    #[must_use]
    pub const fn with_max_reply(mut self, bytes: usize) -> Self {
        self.max_reply = bytes;
        self
    }
}

impl Default for ClientConfig {
    fn default() -> Self {
        let (request_timeout, max_reply) = (Duration::from_secs(5), 4 << 20);
        Self { request_timeout, max_attempts: 3, max_reply, api_key: None }
    }
}
