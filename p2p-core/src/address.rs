//! Where a peer can be reached, and the ticket that carries it from one person to another.

use std::collections::BTreeSet;
use std::fmt;
use std::net::SocketAddr;
use std::str::FromStr;

use thiserror::Error;

use crate::identity::PeerId;

mod ticket;

pub use ticket::TicketError;

/// A peer and where to reach it: relays, direct addresses, or neither, when something else
/// (an address book, the simulated network) knows the way.
///
/// Prints as a *ticket*, one string to copy and paste, and parses from one:
///
/// ```
/// use p2p_core::{PeerAddr, SecretKey};
///
/// let id = SecretKey::from_bytes(&[7; 32]).peer_id();
/// let addr = PeerAddr::new(id).with_address("192.0.2.1:4433".parse().unwrap());
/// let ticket = addr.to_string();
/// assert!(ticket.starts_with("p2p"));
/// assert_eq!(ticket.parse(), Ok(addr));
/// ```
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PeerAddr {
    id: PeerId,
    relays: BTreeSet<RelayUrl>,
    addresses: BTreeSet<SocketAddr>,
}

impl PeerAddr {
    /// The most relays one address holds; further ones are left out.
    pub const MAX_RELAYS: usize = 8;
    /// The most direct addresses one address holds; further ones are left out. It is as many
    /// candidates as QUIC NAT traversal looks at.
    pub const MAX_ADDRESSES: usize = 32;

    /// A peer of which only the name is known.
    pub const fn new(id: PeerId) -> Self {
        Self { id, relays: BTreeSet::new(), addresses: BTreeSet::new() }
    }

    /// Adds a relay at which the peer can be reached.
    #[must_use]
    pub fn with_relay(mut self, relay: RelayUrl) -> Self {
        if self.relays.len() < Self::MAX_RELAYS {
            self.relays.insert(relay);
        }
        self
    }

    /// Adds an address at which the peer can be reached directly.
    #[must_use]
    pub fn with_address(mut self, address: SocketAddr) -> Self {
        if self.addresses.len() < Self::MAX_ADDRESSES {
            self.addresses.insert(address);
        }
        self
    }

    /// The peer.
    pub const fn id(&self) -> PeerId {
        self.id
    }

    /// Its relays, in order.
    pub fn relays(&self) -> impl ExactSizeIterator<Item = &RelayUrl> {
        self.relays.iter()
    }

    /// Its direct addresses, in order.
    pub fn addresses(&self) -> impl ExactSizeIterator<Item = SocketAddr> + '_ {
        self.addresses.iter().copied()
    }

    /// Whether nothing but the name is known.
    pub fn is_id_only(&self) -> bool {
        self.relays.is_empty() && self.addresses.is_empty()
    }
}

impl From<PeerId> for PeerAddr {
    fn from(id: PeerId) -> Self {
        Self::new(id)
    }
}

impl fmt::Display for PeerAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&ticket::encode(self))
    }
}

impl FromStr for PeerAddr {
    type Err = TicketError;

    fn from_str(text: &str) -> Result<Self, TicketError> {
        ticket::decode(text)
    }
}

/// The URL of a relay: `https://host[:port]`, or `http://` for trials without TLS.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RelayUrl(String);

impl RelayUrl {
    /// The most bytes in a relay's URL.
    pub const MAX_LENGTH: usize = 256;

    /// The URL as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for RelayUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for RelayUrl {
    type Err = RelayUrlError;

    fn from_str(text: &str) -> Result<Self, RelayUrlError> {
        let text = text.trim();
        let rest = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
        let Some(rest) = rest else {
            return Err(RelayUrlError::Scheme { url: text.chars().take(64).collect() });
        };
        // One spelling per relay: a URL without a path means the root.
        let slash = if rest.contains('/') { "" } else { "/" };
        let actual = text.len() + slash.len();
        if actual > Self::MAX_LENGTH {
            return Err(RelayUrlError::TooLong { max: Self::MAX_LENGTH, actual });
        }
        let host = rest.split(['/', '?', '#']).next().unwrap_or_default();
        let printable = text.bytes().all(|byte| byte.is_ascii_graphic());
        if host.is_empty() || host.starts_with(':') || !printable {
            return Err(RelayUrlError::Host { url: text.to_owned() });
        }
        Ok(Self(format!("{text}{slash}")))
    }
}

/// Why a text is not the URL of a relay.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum RelayUrlError {
    /// There is no host in it, or a character that no URL has.
    #[error("'{url}' names no host: a relay is written https://HOST[:PORT]")]
    Host {
        /// The text.
        url: String,
    },
    /// It does not start as a relay's URL does.
    #[error("'{url}' is not a relay's URL: it starts with https:// or http://")]
    Scheme {
        /// The beginning of the text.
        url: String,
    },
    /// Too many bytes.
    #[error("a relay's URL has at most {max} bytes, not {actual}")]
    TooLong {
        /// The bound.
        max: usize,
        /// The length of the text.
        actual: usize,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_relay_has_one_spelling() {
        let url: RelayUrl = "https://relay.example".parse().expect("a URL");
        assert_eq!(url.as_str(), "https://relay.example/");
        assert_eq!(url.as_str().parse(), Ok(url));
    }

    #[test]
    fn what_is_no_relay_is_named() {
        let error = |text: &str| text.parse::<RelayUrl>().expect_err("no URL").to_string();
        assert!(error("ftp://x").contains("ftp://x"));
        assert!(error("https://").contains("no host"));
        assert!(error("https://a b").contains("no host"));
        assert!(error(&format!("https://{}", "x".repeat(300))).contains("256"));
    }

    #[test]
    fn an_address_holds_a_bounded_number_of_places() {
        let id = crate::SecretKey::from_bytes(&[7; 32]).peer_id();
        let mut addr = PeerAddr::new(id);
        for port in 1..100 {
            addr = addr.with_address(([192, 0, 2, 1], port).into());
            addr = addr.with_relay(format!("https://r{port}").parse().expect("a URL"));
        }
        assert_eq!(addr.addresses().len(), PeerAddr::MAX_ADDRESSES);
        assert_eq!(addr.relays().len(), PeerAddr::MAX_RELAYS);
        assert_eq!(addr.to_string().parse(), Ok(addr));
    }
}
