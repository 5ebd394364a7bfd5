//! [`Client`]: the coordinator's calls, typed.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use hyper::Method;
use hyper::header::{AUTHORIZATION, HeaderMap, HeaderValue};
use p2p_core::P2PProvider;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::addr::CoordinatorAddr;
use crate::door::{Call, Door, Reply};
use crate::error::RequestError;
use crate::refusal::problem;

mod calls;

/// A coordinator's client. A handle: clones share one way to the coordinator.
///
/// # Cancel safety
///
/// Dropping the future of any call gives up on the reply; whether the coordinator did what it was
/// asked is then unknown, as after [`RequestError::TimedOut`].
pub struct Client<P: P2PProvider> {
    inner: Arc<Inner<P>>,
    /// What it shows with each request.
    credentials: HeaderMap,
}

struct Inner<P: P2PProvider> {
    provider: P,
    coordinator: CoordinatorAddr,
    door: Door<P>,
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
        Ok(Self { inner: Arc::new(Inner { provider, coordinator, door }), credentials })
    }

    /// The same client, which says with each request who asks: by a player's access token, or by that
    /// of a host. It may do then what the player or the host may.
    ///
    /// # Errors
    ///
    /// [`RequestError::Unsupported`] if the token cannot stand in a header.
    pub fn with_access_token(&self, token: &str) -> Result<Self, RequestError> {
        let mut client = self.clone();
        let value = sensitive(&format!("Bearer {token}"), "access token")?;
        client.credentials.insert(AUTHORIZATION, value);
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
        parse(&self.ask(Method::GET, target, None::<&()>).await?)
    }

    async fn post<T: DeserializeOwned>(
        &self,
        target: String,
        body: Option<&impl Serialize>,
    ) -> Result<T, RequestError> {
        parse(&self.ask(Method::POST, target, body).await?)
    }

    /// Asks; a reply that is no success is an error.
    async fn ask(
        &self,
        method: Method,
        target: String,
        body: Option<&impl Serialize>,
    ) -> Result<Reply, RequestError> {
        let body = match body.map(serde_json::to_vec).transpose() {
            Ok(body) => body.map(Into::into),
            Err(error) => {
                let what = format!("the request cannot be written as JSON: {error}");
                return Err(RequestError::Unsupported { what });
            }
        };
        let credentials = self.credentials.clone();
        let reply = self.inner.door.request(Call { method, target, body, credentials }).await?;
        match reply.status {
            200..300 => Ok(reply),
            status => {
                let problem = problem(&reply.body, reply.aside);
                Err(RequestError::Refused { status, problem })
            }
        }
    }
}

/// A header whose value is not logged.
fn sensitive(text: &str, what: &str) -> Result<HeaderValue, RequestError> {
    let mut value = HeaderValue::from_str(text).map_err(|_| RequestError::Unsupported {
        what: format!("the {what} has characters that cannot stand in a header"),
    })?;
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
        Self { inner: self.inner.clone(), credentials: self.credentials.clone() }
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
    /// How long one request may take, connecting included. Default 5 s.
    pub request_timeout: Duration,
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
    /// Sets how long one request may take.
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
        Self { request_timeout: Duration::from_secs(5), max_reply: 4 << 20, api_key: None }
    }
}
