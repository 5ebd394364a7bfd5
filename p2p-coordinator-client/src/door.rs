//! How requests travel: over HTTP to a URL, or on streams of a peer.

use std::time::Duration;

use bytes::Bytes;
use hyper::header::RETRY_AFTER;
use hyper::{HeaderMap, Method};
use p2p_coordinator_api::service::{DETAIL_HEADER, REASON_HEADER};
use p2p_core::P2PProvider;

use crate::addr::CoordinatorAddr;
use crate::client::ClientConfig;
use crate::error::RequestError;

// A build without the feature has a door of the same shape that nobody can make.
#[cfg_attr(not(feature = "http"), path = "door/no_http.rs")]
mod http;
mod peer;
mod stream;

use http::HttpDoor;
#[cfg(feature = "signaling")]
pub(crate) use http::secure;
use peer::PeerDoor;

/// What is asked.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    pub(crate) method: Method,
    /// Path and query, percent-encoded.
    pub(crate) target: String,
    /// JSON.
    pub(crate) body: Option<Bytes>,
    /// What shows who asks.
    pub(crate) credentials: HeaderMap,
}

/// What came back.
#[derive(Clone, Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) body: Bytes,
    /// What a refusal says beside a body that the contract fixes.
    pub(crate) aside: Aside,
}

/// A refusal's word and sentence, where they are not in the body.
#[derive(Clone, Debug, Default)]
pub(crate) struct Aside {
    pub(crate) reason: Option<String>,
    pub(crate) detail: Option<String>,
    /// How long the coordinator asks to be left alone.
    pub(crate) retry_after: Option<Duration>,
}

impl Aside {
    fn of(headers: &HeaderMap) -> Self {
        let text = |name| {
            // Not every sentence is ASCII; what no header should hold is shown as what it is.
            let value = headers.get(name)?;
            Some(String::from_utf8_lossy(value.as_bytes()).into_owned())
        };
        let seconds = headers.get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse().ok());
        let retry_after = seconds.map(Duration::from_secs);
        Self { reason: text(REASON_HEADER), detail: text(DETAIL_HEADER), retry_after }
    }
}

/// One of the ways.
#[derive(Debug)]
pub(crate) enum Door<P: P2PProvider> {
    Http(HttpDoor),
    Peer(PeerDoor<P>),
}

impl<P: P2PProvider> Door<P> {
    pub(crate) fn new(
        provider: &P,
        coordinator: &CoordinatorAddr,
        config: &ClientConfig,
    ) -> Result<Self, RequestError> {
        Ok(match coordinator {
            CoordinatorAddr::Peer(addr) => {
                Self::Peer(PeerDoor::new(provider.clone(), addr.clone(), config.clone())?)
            }
            CoordinatorAddr::Url(url) => Self::Http(HttpDoor::new(url, config.clone())?),
        })
    }

    /// Asks, and waits for the whole reply, both within the request timeout.
    pub(crate) async fn request(&self, call: Call) -> Result<Reply, RequestError> {
        match self {
            Self::Http(door) => door.request(call).await,
            Self::Peer(door) => door.request(call).await,
        }
    }
}

fn too_large(max: usize) -> RequestError {
    RequestError::Unexpected { what: format!("it is larger than the {max} bytes allowed") }
}
