//! Peer-to-peer connections whose programs run unchanged on a real QUIC network and on a simulated one.
//!
//! Write a program for any provider; run it on iroh, in a simulation, or on what the environment says:
//!
//! ```
//! use p2p_transport::{ConnectOptions, ListenOptions, P2PConnection, P2PListener, P2PProvider, Result};
//!
//! async fn hello<P: P2PProvider>(alice: P, bob: P) -> Result<String> {
//!     let protocol: p2p_transport::ProtocolName = "hello/1".parse().unwrap();
//!     let listener = bob.listen(ListenOptions::new(protocol.clone())).await?;
//!     let connection = alice.connect(&bob.local_addr(), ConnectOptions::new(protocol)).await?;
//!     connection.send("hello".into()).await?;
//!     let message = listener.accept().await?.recv().await?;
//!     Ok(String::from_utf8_lossy(&message).into_owned())
//! }
//!
//! # fn main() -> std::result::Result<(), Box<dyn std::error::Error>> {
//! # #[cfg(feature = "iroh")]
//! tokio::runtime::Runtime::new()?.block_on(async {
//!     use p2p_transport::iroh::IrohConfig;
//!     let [alice, bob] = [IrohConfig::default().bind().await?, IrohConfig::default().bind().await?];
//!     assert_eq!(hello(alice, bob).await?, "hello");
//!     Ok::<_, p2p_transport::P2PError>(())
//! })?;
//! # #[cfg(feature = "simulator")] {
//! use p2p_transport::{ConnectionConfig, simulator::Simulation};
//! let outcome = Simulation::new(7).run(async |network| {
//!     let alice = network.host("alice").provider(ConnectionConfig::default())?;
//!     let bob = network.host("bob").provider(ConnectionConfig::default())?;
//!     hello(alice, bob).await
//! })?;
//! assert_eq!(outcome.output?, "hello");
//! # }
//! # Ok(())
//! # }
//! ```
//!
//! # Layout
//!
//! - All of [`p2p_core`]: the traits, identities, options, errors;
//! - `iroh` and `simulator`: the backends, by feature;
//! - `coordinator`: hosts that register, players who join, by feature;
//! - [`Settings`] and `Backend`: a backend chosen at run time, from configuration or environment.
//!
//! # Features
//!
//! | feature | default | what it adds |
//! |---|---|---|
//! | `coordinator-client` | no | the coordinator's client, as `coordinator` |
//! | `iroh` | yes | the QUIC backend |
//! | `metrics` | no | metrics of each provider, as text for Prometheus: see [`observe`] |
//! | `simulator` | no | the simulated network; turns tokio's `test-util` on, so for dev-dependencies |

#[cfg(any(feature = "iroh", feature = "simulator"))]
mod backend;
mod settings;

pub use p2p_core::*;

#[cfg(any(feature = "iroh", feature = "simulator"))]
pub use backend::Backend;
pub use settings::{Implementation, Settings, SettingsError};

#[cfg(feature = "coordinator-client")]
pub use p2p_coordinator_client as coordinator;
#[cfg(feature = "iroh")]
pub use p2p_iroh as iroh;
#[cfg(feature = "simulator")]
pub use p2p_simulator as simulator;

/// The README's programs compile and run.
#[cfg(all(doctest, feature = "coordinator-client", feature = "iroh", feature = "simulator"))]
#[doc = include_str!("../README.md")]
struct Readme;
