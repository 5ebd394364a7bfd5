//! A deterministic, seeded, in-memory network: a backend of the stack in `p2p-core`.
//!
//! # Layout
//!
//! - [`Simulation`]: runs programs in virtual time, exactly and the same each time. Start here.
//! - [`sim_test!`] and [`run_seeds`]: one program, many seeds, on all cores.
//! - [`Network`] and [`Host`]: the handles on a network; [`Network::live`] runs one in wall-clock time.
//! - [`NetworkConfig`] and [`LinkProfile`]: what networks and links are like.
//! - [`TraceHash`] and [`TraceEvent`]: what happened; [`trace_difference`]: where two traces part.
//! - [`SimulatorP2P`], [`SimulatorConnection`], [`SimulatorListener`]: the traits' provider, connection
//!   and listener here, on [`SimTransport`] and [`SimLink`].
//!
//! Inside: `engine`, the network itself, without executor, clock or lock; `simulation` and `live`, its
//! two drivers; `transport`, the core's transport traits on top.
//!
//! # What is simulated
//!
//! Packets, one by one: of streams, datagrams, flow control and closing, with QUIC's shape. Loss costs
//! a stream time and a datagram its life; the model of recovery is described in `engine::link`. What is
//! not simulated: congestion control, the bytes of a handshake, NATs and relays.
//!
//! This crate turns tokio's `test-util` feature on: make it a dev-dependency.

mod engine;
mod harness;
mod live;
mod network;
mod profile;
mod shared;
mod simulation;
mod transport;

pub use engine::trace::diff::{TraceDifference, trace_difference};
pub use engine::trace::{PayloadDigest, TraceEvent, TraceHash, TraceKind};
pub use harness::{SeedFailure, SeedPlan, SeedRun, SeedSummary, run_seeds, test_seeds};
pub use network::{Host, Network};
pub use profile::{LinkProfile, NetworkConfig, SettingError};
pub use simulation::{
    DeterminismError, Difference, Every, Outcome, RealThreads, Simulation, SimulationBuilder,
    SimulationError,
};
pub use transport::{SimIncoming, SimLink, SimRecvStream, SimSendStream, SimTransport};

/// The simulator's provider.
pub type SimulatorP2P = p2p_core::Node<SimTransport>;
/// The simulator's connection.
pub type SimulatorConnection = p2p_core::Connection<SimLink>;
/// The simulator's listener.
pub type SimulatorListener = p2p_core::Listener<SimTransport>;

/// The guide's snippets run as tests.
#[cfg(doctest)]
#[doc = include_str!("../../docs/simulating.md")]
struct Guide;
