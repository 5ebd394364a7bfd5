//! Who hosts, who plays where, who may connect to whom: a coordinator, as a library.
//!
//! Hosts register, prove who they are, and are scored; zones say what a host must be able to do; players
//! get a place in a session, the host's address, and a signed token to show it. The program of the same
//! name serves it; `p2p-coordinator-client` asks it.
//!
//! # Layout
//!
//! From the outside in:
//!
//! - [`door`]: one router with the contract's paths, served over TCP and on the streams of peers;
//! - [`service`]: [`Coordinator`](service::Coordinator) reads records, lets the domain decide, commits;
//! - [`domain`]: what is decided, as pure functions;
//! - [`security`]: who may do what: tokens and roles;
//! - [`store`]: where records are kept: [`MemoryStore`](store::MemoryStore), SQLite or PostgreSQL; one
//!   trait, one suite of promises;
//! - [`world`]: a clock and chance, passed in.
//!
//! Start here: `service::Coordinator`.
//!
//! # Example
//!
//! ```
//! use p2p_coordinator::service::{Coordinator, Settings};
//! use p2p_coordinator::store::MemoryStore;
//! use p2p_coordinator::world::{Clock, Randomness};
//! use p2p_coordinator_api::{DefineZone, Timestamp};
//! use p2p_core::SecretKey;
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let key = SecretKey::from_bytes(&[7; 32]);
//! let clock = Clock::starting_at(Timestamp::from_millis(1_767_225_600_000));
//! let coordinator =
//!     Coordinator::new(MemoryStore::new(), key, clock, Randomness::new([7; 32]), Settings::default());
//! coordinator.define_zone(DefineZone::new("meadow".parse()?)).await?;
//! assert_eq!(coordinator.info().await?.enabled_zones, ["meadow".parse()?]);
//! # Ok(())
//! # }
//! ```
//!
//! # Features
//!
//! | feature | default | what it adds |
//! |---|---|---|
//! | `server` | yes | the program, and all it can be configured to use |
//! | `postgres` | by `server` | a database that several coordinators share |
//! | `tls` | by `server` | HTTP behind TLS, with certificates from files |
//! | `sqlite` | by `server` | the embedded database |
//! | `conformance` | no | the promises of a store as checks, for who writes one |

pub mod domain;
pub mod door;
mod monitoring;
pub mod security;
pub mod service;
pub mod store;
pub mod world;
