//! [`IrohConfig`]: what a node over iroh is made of.

use std::net::SocketAddr;
use std::time::Duration;

use p2p_core::{ConfigError, ConnectionConfig, Node, P2PError, PeerAddr, RelayUrl, SecretKey};

use crate::IrohP2P;
use crate::transport::IrohTransport;

/// Identity, sockets, relays and bounds of a node. [`IrohConfig::default`] listens on all
/// interfaces, on any port, with a new identity and without relays; [`bind`](IrohConfig::bind)
/// makes the node.
///
/// ```
/// use p2p_iroh::IrohConfig;
///
/// let config = IrohConfig::default()
///     .with_listen_port(4433)
///     .with_relay("https://relay.example:3443".parse()?);
/// # Ok::<(), p2p_core::RelayUrlError>(())
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct IrohConfig {
    /// Who the node is. `None`, the default, means a new one at each `bind`, by
    /// [`generate_secret_key`].
    pub secret_key: Option<SecretKey>,
    /// Where to bind UDP sockets: at most one IPv4 and one IPv6 address; with one family given,
    /// the other is not used. Empty, the default: all interfaces of both families, IPv6 only if
    /// the machine has it.
    pub bind_addresses: Vec<SocketAddr>,
    /// The port on all interfaces when `bind_addresses` is empty. Default 0: any free one.
    pub listen_port: u16,
    /// The relays to be reachable over. None by default; then the node is reached directly only,
    /// nothing but its dials leaves the machine, and there is no hole punching.
    pub relays: Vec<RelayUrl>,
    /// The relays' UDP port for address discovery, without which nodes behind NATs stay on the
    /// relay. Default 7842; `None` if the relays have none.
    pub relay_quic_port: Option<u16>,
    /// Certificates, in DER, that may vouch for relays, on top of the public certificate
    /// authorities: a relay's own if it is self-signed. None by default.
    pub relay_ca: Vec<Vec<u8>>,
    /// How long `bind` waits until one of the relays serves this node. Default 10 s.
    pub relay_timeout: Duration,
    /// Whether data may take direct paths. Default [`DirectPaths::Allow`].
    pub direct_paths: DirectPaths,
    /// Timers and bounds of connections.
    pub connection: ConnectionConfig,
    /// Peers whose addresses are known from the start: connecting to them by name alone works.
    pub known_peers: Vec<PeerAddr>,
    /// How many bytes of one stream may wait to be read here; further ones wait at the peer. It
    /// bounds a stream's speed to this much per round trip. Default 1.25 MB, iroh's own: 12 MB/s at
    /// 100 ms. Raise it for bulk over long ways, with two costs: on loopback 2 MiB overran the
    /// sockets' buffers and brought bulk from 0.98 of raw iroh's speed to 0.39; and past about 2 MiB
    /// full packets pile up behind a slow reader to where noq 1.4 gives the connection up.
    pub stream_window: u32,
    /// The same for all streams of a link together, so a bound on the memory that a peer can fill.
    /// Default 64 MiB: fifty streams that nobody reads stop the connection.
    pub receive_window: u32,
    /// How many bytes written to a link may be without the peer's acknowledgement; further writes
    /// wait. It bounds the memory of a connection that sends. Default 10 MB, iroh's own.
    pub send_window: u32,
}

impl IrohConfig {
    /// The smallest window that can be set, in bytes: 16 KiB, a dozen packets. With less than 64 bytes
    /// no `connect` comes to an end, and with less than 4 KiB 20 kB take up to seconds on loopback.
    pub const MIN_WINDOW: u32 = 16 * 1024;

    /// Sets who the node is.
    #[must_use]
    pub fn with_secret_key(mut self, secret_key: SecretKey) -> Self {
        self.secret_key = Some(secret_key);
        self
    }

    /// Adds an address to bind, in place of all interfaces: at most one of each family.
    #[must_use]
    pub fn with_bind_address(mut self, address: SocketAddr) -> Self {
        self.bind_addresses.push(address);
        self
    }

    /// Sets the port on all interfaces; it means nothing beside a bind address.
    #[must_use]
    pub const fn with_listen_port(mut self, port: u16) -> Self {
        self.listen_port = port;
        self
    }

    /// Adds a relay to be reachable over.
    #[must_use]
    pub fn with_relay(mut self, relay: RelayUrl) -> Self {
        self.relays.push(relay);
        self
    }

    /// Sets the relays' UDP port for address discovery, if they have it.
    #[must_use]
    pub const fn with_relay_quic_port(mut self, port: Option<u16>) -> Self {
        self.relay_quic_port = port;
        self
    }

    /// Adds a certificate in DER that may vouch for relays.
    #[must_use]
    pub fn with_relay_ca(mut self, certificate: impl Into<Vec<u8>>) -> Self {
        self.relay_ca.push(certificate.into());
        self
    }

    /// Sets how long `bind` waits for a relay.
    #[must_use]
    pub const fn with_relay_timeout(mut self, timeout: Duration) -> Self {
        self.relay_timeout = timeout;
        self
    }

    /// Sets whether data may take direct paths.
    #[must_use]
    pub const fn with_direct_paths(mut self, direct: DirectPaths) -> Self {
        self.direct_paths = direct;
        self
    }

    /// Sets the timers and bounds of connections.
    #[must_use]
    pub fn with_connection(mut self, connection: ConnectionConfig) -> Self {
        self.connection = connection;
        self
    }

    /// Adds a peer whose address is known from the start.
    #[must_use]
    pub fn with_known_peer(mut self, peer: PeerAddr) -> Self {
        self.known_peers.push(peer);
        self
    }

    /// Sets how many bytes of one stream may wait to be read.
    #[must_use]
    pub const fn with_stream_window(mut self, bytes: u32) -> Self {
        self.stream_window = bytes;
        self
    }

    /// Sets how many bytes of all streams of a link may wait to be read.
    #[must_use]
    pub const fn with_receive_window(mut self, bytes: u32) -> Self {
        self.receive_window = bytes;
        self
    }

    /// Sets how many bytes of a link may be on their way.
    #[must_use]
    pub const fn with_send_window(mut self, bytes: u32) -> Self {
        self.send_window = bytes;
        self
    }

    /// Checks that every value can be meant, [`connection`](Self::connection)'s included.
    /// [`bind`](Self::bind) does so first.
    ///
    /// # Errors
    ///
    /// [`ConfigError`], with the setting, its value, and what it should be: one that
    /// [`ConnectionConfig::validate`] finds; a window below [`MIN_WINDOW`](Self::MIN_WINDOW) or above
    /// [`ConnectionConfig::MAX_WINDOW`]; neither direct paths nor a relay.
    pub fn validate(&self) -> Result<(), ConfigError> {
        self.connection.validate()?;
        let windows = [
            ("stream_window", self.stream_window),
            ("receive_window", self.receive_window),
            ("send_window", self.send_window),
        ];
        for (setting, value) in windows {
            if value < Self::MIN_WINDOW || value as usize > ConnectionConfig::MAX_WINDOW {
                let expected = "it must be at least 16384 and at most 1073741824 bytes";
                return Err(ConfigError::new(setting, value.to_string(), expected));
            }
        }
        if self.direct_paths == DirectPaths::Forbid && self.relays.is_empty() {
            let expected = "without direct paths, at least one is needed";
            return Err(ConfigError::new("relays", "empty", expected));
        }
        Ok(())
    }

    /// The most memory, in bytes, that a peer can make this node hold for one connection, whatever it
    /// sends and does not take: the engine's
    /// ([`ConnectionConfig::max_memory_per_connection`]), and QUIC's for each link that the connection
    /// may have ([`ConnectionConfig::max_links_per_connection`]). Programs hold what they hold.
    ///
    /// It counts neither [attempts at a connection](crate#what-has-not-been-accepted) nor links that
    /// have ended, which QUIC lets go of three of its probe timeouts later.
    pub const fn max_memory_per_connection(&self) -> usize {
        // noq keeps what has come in the packets that it came in, until they take up two and a half
        // times as much, or 32 KiB for a stream that has less.
        let received = self.receive_window as usize * 5 / 2;
        let streams = (2 * self.connection.max_streams as usize + 32) * 48 * 1024;
        // Its queues of datagrams, and a connection's own state, keys and buffers.
        let rest = 2 * 1_250_000 + (1 << 20) + 512 * 1024;
        let link = received + streams + self.send_window as usize + rest;
        self.connection.max_memory_per_connection()
            + self.connection.max_links_per_connection() * link
    }

    /// Binds the sockets and makes a node. With relays configured it waits until one of them
    /// serves it, so that the node's ticket leads to it from everywhere. Relays that turned out to
    /// be unusable by then are left out for the life of the node.
    ///
    /// # Errors
    ///
    /// - [`P2PError::Config`]: a value cannot be meant; see [`validate`](Self::validate);
    /// - [`P2PError::Network`]: an address cannot be bound, or no relay can be used; the sentence
    ///   names the address or the relays, and what to do;
    /// - [`P2PError::Timeout`]: no relay answered within `relay_timeout`.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future gives the sockets back.
    ///
    /// # Panics
    ///
    /// Outside of a tokio runtime.
    pub async fn bind(self) -> Result<IrohP2P, P2PError> {
        let transport = IrohTransport::bind(&self).await?;
        Ok(Node::new(transport, self.connection, self.known_peers))
    }
}

impl Default for IrohConfig {
    fn default() -> Self {
        Self {
            secret_key: None,
            bind_addresses: Vec::new(),
            listen_port: 0,
            relays: Vec::new(),
            relay_quic_port: Some(iroh_relay::defaults::DEFAULT_RELAY_QUIC_PORT),
            relay_ca: Vec::new(),
            relay_timeout: Duration::from_secs(10),
            direct_paths: DirectPaths::Allow,
            connection: ConnectionConfig::default(),
            known_peers: Vec::new(),
            stream_window: 1_250_000,
            receive_window: 64 << 20,
            send_window: 10_000_000,
        }
    }
}

/// Whether a node has direct paths.
///
/// iroh has no such choice for one connection. A
/// [`PathPolicy::RelayOnly`](p2p_core::PathPolicy::RelayOnly) of one `connect` dials over relays, and
/// ends the connection when a direct path is found all the same; `Forbid` keeps the whole node from
/// looking for one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum DirectPaths {
    /// Relays help to find them, and carry data until one is found.
    #[default]
    Allow,
    /// No UDP socket is bound: all data goes over relays, of which at least one must be configured,
    /// and peers do not learn where the node is. Bind addresses and the listen port mean nothing.
    Forbid,
}

/// Draws a new identity, with the operating system's randomness.
pub fn generate_secret_key() -> SecretKey {
    SecretKey::from_bytes(&iroh::SecretKey::generate().to_bytes())
}

#[cfg(test)]
mod tests {
    use p2p_core::{Backoff, ReconnectPolicy};

    use super::*;

    #[test]
    fn what_quic_takes_on_each_link_that_a_connection_may_have_is_counted() {
        let lasting = ReconnectPolicy::Resume(Backoff::default());
        let transport = |reconnect| {
            let connection = ConnectionConfig::default().with_reconnect(reconnect);
            let engine = connection.max_memory_per_connection();
            IrohConfig::default().with_connection(connection).max_memory_per_connection() - engine
        };
        let one = IrohConfig::default();
        assert!(transport(ReconnectPolicy::Off) > (one.receive_window + one.send_window) as usize);
        assert_eq!(transport(lasting), 2 * transport(ReconnectPolicy::Off));
    }
}
