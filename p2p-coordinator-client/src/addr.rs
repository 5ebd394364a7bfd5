//! Where a coordinator is.

use std::fmt;
use std::str::FromStr;

use p2p_core::{PeerAddr, TicketError};
use thiserror::Error;

/// Where a coordinator is: at a URL, or at a peer.
///
/// ```
/// use p2p_coordinator_client::CoordinatorAddr;
///
/// let addr: CoordinatorAddr = "http://127.0.0.1:8001/".parse()?;
/// assert_eq!(addr.to_string(), "http://127.0.0.1:8001");
/// # Ok::<(), p2p_coordinator_client::CoordinatorAddrError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CoordinatorAddr {
    /// A peer that serves the coordinator's protocol. Prints as its ticket.
    Peer(PeerAddr),
    /// `http://` or `https://`, a host, perhaps a port and a path; no slash at the end.
    Url(String),
}

/// The most bytes in a URL: more is no address that somebody typed.
const MAX_URL: usize = 1024;

impl CoordinatorAddr {
    /// What errors call it: short, and the same for one coordinator.
    pub(crate) fn name(&self) -> String {
        match self {
            Self::Peer(addr) => format!("peer {}", addr.id().fmt_short()),
            Self::Url(url) => url.clone(),
        }
    }
}

impl FromStr for CoordinatorAddr {
    type Err = CoordinatorAddrError;

    fn from_str(text: &str) -> Result<Self, CoordinatorAddrError> {
        let text = text.trim();
        let rest = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
        let Some(rest) = rest else {
            let ticket = text.parse().map_err(|source| CoordinatorAddrError::Form { source })?;
            return Ok(Self::Peer(ticket));
        };
        if text.len() > MAX_URL {
            return Err(CoordinatorAddrError::TooLong { actual: text.len() });
        }
        let host = rest.split('/').next().unwrap_or_default();
        // A query would swallow the paths of requests, and a password would show up in errors.
        let plain = rest.bytes().all(|byte| byte.is_ascii_graphic());
        if host.is_empty() || !plain || rest.contains(['?', '#', '@', '\\']) {
            return Err(CoordinatorAddrError::Url { url: text.chars().take(64).collect() });
        }
        Ok(Self::Url(text.trim_end_matches('/').to_owned()))
    }
}

impl fmt::Display for CoordinatorAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Peer(addr) => addr.fmt(f),
            Self::Url(url) => f.write_str(url),
        }
    }
}

/// Why a text is no [`CoordinatorAddr`].
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum CoordinatorAddrError {
    /// Neither form.
    #[error(
        "a coordinator is given as a URL (http://host:port or https://host) or as a peer's ticket \
         (p2p...), and this is neither"
    )]
    Form {
        /// Why it is no ticket.
        source: TicketError,
    },
    /// Too many bytes.
    #[error("a coordinator's URL has at most {MAX_URL} bytes, not {actual}")]
    TooLong {
        /// How many there were.
        actual: usize,
    },
    /// A URL with no host, or with parts that have no place in it.
    #[error(
        "'{url}' is no coordinator's URL: give http://host:port or https://host, without user name, \
         query or fragment"
    )]
    Url {
        /// The beginning of the text.
        url: String,
    },
}

#[cfg(test)]
mod tests {
    use p2p_core::SecretKey;

    use super::*;

    #[test]
    fn both_forms_survive_text() {
        let peer = PeerAddr::new(SecretKey::from_bytes(&[7; 32]).peer_id());
        assert_eq!(peer.to_string().parse(), Ok(CoordinatorAddr::Peer(peer)));
        let url = CoordinatorAddr::Url("https://play.example/p2p".into());
        assert_eq!(" https://play.example/p2p// ".parse(), Ok(url.clone()));
        assert_eq!(url.to_string().parse(), Ok(url));
    }

    #[test]
    fn what_is_neither_is_told_both_forms() {
        let error = "play.example".parse::<CoordinatorAddr>().unwrap_err().to_string();
        assert!(error.contains("http://") && error.contains("ticket"), "{error}");
        for url in ["http://", "http:///x", "http://a b", "http://me:secret@x", "http://x/?a=b"] {
            let error = url.parse::<CoordinatorAddr>();
            assert!(matches!(error, Err(CoordinatorAddrError::Url { .. })), "{url}: {error:?}");
        }
        let long = format!("http://{}", "x".repeat(2000)).parse::<CoordinatorAddr>();
        assert_eq!(long, Err(CoordinatorAddrError::TooLong { actual: 2007 }));
    }
}
