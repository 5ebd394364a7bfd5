//! The coordinator's client: register a host, join a zone, end in a live connection or in a reason.
//!
//! # Layout
//!
//! - [`Client`]: the coordinator's calls, typed; at a [`CoordinatorAddr`], within [`ClientConfig`],
//!   with an [`ApiKey`] or an access token where the coordinator asks for one;
//! - [`Client::join`] with [`JoinOptions`]: from a zone to [`Joined`], a connection to its host, or to
//!   a [`JoinError`] that says why the game goes on over its server;
//! - [`HostAgent`] with [`HostConfig`]: a host that is known to the coordinator and lets in each
//!   [`Guest`] it sent;
//! - [`P2pConfig`]: a game client's `p2p_config.json`, as the integration guides have it;
//! - [`Doorkeeper`]: the host's judgement on join tokens, for hosts with an agent of their own;
//! - [`RequestError`], [`HostError`], [`TokenRefusal`]: what went wrong.
//!
//! What is said is in [`api`], the crate `p2p-coordinator-api`. Inside: `door` is how requests travel,
//! over HTTP or on streams of a peer; `refusal` reads the coordinator's words; `backoff` is how long
//! to wait; `join/attempts`, `agent/rhythm`, `agent/guests` and `agent/errand` decide, without clock
//! or network.
//!
//! Everything waits on tokio's clock and runs on any [`P2PProvider`](p2p_core::P2PProvider), so that it
//! runs in a simulation as well. Nothing draws a random number.
//!
//! # A host, and a player
//!
//! ```no_run
//! use p2p_coordinator_client::{Client, ClientConfig, HostAgent, HostConfig, JoinOptions};
//! use p2p_core::{P2PConnection, P2PProvider, SecretKey};
//!
//! async fn host<P: P2PProvider>(
//!     provider: P,
//!     secret: SecretKey,
//! ) -> Result<(), Box<dyn std::error::Error>> {
//!     let coordinator = "http://127.0.0.1:8001".parse()?;
//!     let client = Client::new(provider.clone(), coordinator, ClientConfig::default())?;
//!     let config = HostConfig::new("h1".parse()?, "alice".parse()?, "game/1".parse()?);
//!     let agent = HostAgent::start(client, provider, secret, config).await?;
//!     let guest = agent.accept().await?;
//!     guest.connection.send("welcome".into()).await?;
//!     agent.shutdown().await;
//!     Ok(())
//! }
//!
//! async fn player<P: P2PProvider>(provider: P) -> Result<(), Box<dyn std::error::Error>> {
//!     let coordinator = "http://127.0.0.1:8001".parse()?;
//!     let client = Client::new(provider, coordinator, ClientConfig::default())?;
//!     let options = JoinOptions::new("game/1".parse()?);
//!     match client.join(&"plaza".parse()?, &"bob".parse()?, options).await {
//!         Ok(joined) => println!("{:?}", joined.connection.recv().await?),
//!         Err(error) => println!("{}", error.fall_back_reason()),
//!     }
//!     Ok(())
//! }
//! ```
//!
//! # Features
//!
//! - `http` (default): coordinators at a URL. Without it, only those that are peers.
//! - `signaling`: module `signaling`, WebRTC's offers, answers and candidates.

mod addr;
mod agent;
mod backoff;
mod client;
mod door;
mod doorkeeper;
mod error;
mod join;
mod p2p_config;
mod path;
mod refusal;
#[cfg(feature = "signaling")]
pub mod signaling;

pub use p2p_coordinator_api as api;

pub use addr::{CoordinatorAddr, CoordinatorAddrError};
pub use agent::{AgentState, Guest, HostAgent, HostConfig, HostError};
pub use client::{ApiKey, Client, ClientConfig};
pub use doorkeeper::{Doorkeeper, TokenRefusal};
pub use error::RequestError;
pub use join::{JoinError, JoinOptions, Joined};
pub use p2p_config::{
    AccessToken, IceServers, LogLevel, MAX_P2P_CONFIG, P2pConfig, P2pConfigError, PacketType,
    PacketTypes, RefusedKey, Route,
};
