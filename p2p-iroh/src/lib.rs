//! The iroh backend: real connections over QUIC, with hole punching and relays of one's own.
//!
//! ```no_run
//! use p2p_core::{ConnectOptions, P2PConnection, P2PProvider, PeerAddr};
//! use p2p_iroh::IrohConfig;
//!
//! # async fn example(ticket: PeerAddr) -> Result<(), p2p_core::P2PError> {
//! let node = IrohConfig::default().bind().await?;
//! let connection = node.connect(&ticket, ConnectOptions::new("chat/1".parse().unwrap())).await?;
//! connection.send("hello"[..].into()).await?;
//! node.shutdown().await;
//! # Ok(())
//! # }
//! ```
//!
//! Translation only: types, errors, path information. What peers say to each other is the engine's
//! ([`p2p_core::Node`]), the same as on every backend. Nobody is asked for help who was not
//! configured: no public relays, no address lookup, no public name servers, no port mapping. With
//! no relay configured, not a packet leaves before the first dial.
//!
//! # What has not been accepted
//!
//! Attempts at a connection are answered once a place among
//! [`max_handshakes`](p2p_core::ConnectionConfig::max_handshakes) is free; until then they wait in
//! QUIC, below everything that is configured here. Its bounds are noq 1.4's own, and iroh has no way to
//! set them for an endpoint: 65,536 attempts, each with its first packet (less than 100 MiB by noq's
//! account), and 100 MiB of further packets for all of them, 10 MiB for one; what is beyond is dropped
//! unanswered. The second endpoint of a node that keeps standbys refuses whoever dials it at once.
//!
//! # Layout
//!
//! - [`IrohConfig`] (`config`): identity, sockets, relays, bounds; [`IrohConfig::bind`] makes a node;
//!   [`DirectPaths`] says whether it may have any; [`generate_secret_key`] makes an identity to keep;
//! - [`IrohTransport`] (`transport`): dials and accepts; [`IrohIncoming`] (`incoming`) is an inbound
//!   link whose peer has not proven yet who it is;
//! - [`IrohLink`] (`link`): one QUIC connection; `ending` is the one account of how it ended;
//! - [`IrohSendStream`], [`IrohRecvStream`] (`stream`): the halves of its streams;
//! - `path`: which way the data takes, and its changes;
//! - `relay`: waits for a relay and says what is wrong with it;
//! - `address`, `error`: translation of addresses and of failures.

mod address;
mod config;
mod ending;
mod error;
mod incoming;
mod link;
mod path;
mod relay;
mod stream;
mod transport;

pub use config::{DirectPaths, IrohConfig, generate_secret_key};
pub use incoming::IrohIncoming;
pub use link::IrohLink;
pub use stream::{IrohRecvStream, IrohSendStream};
pub use transport::IrohTransport;

/// A provider over iroh.
pub type IrohP2P = p2p_core::Node<IrohTransport>;
/// Its connections.
pub type IrohConnection = p2p_core::Connection<IrohLink>;
/// Its listeners.
pub type IrohListener = p2p_core::Listener<IrohTransport>;
