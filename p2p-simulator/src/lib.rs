//! A deterministic, seeded, in-memory network: a backend of the stack in `p2p-core`.
//!
//! # Layout
//!
//! - [`Simulation`]: runs programs in virtual time, exactly and the same each time. Start here.
//! - [`sim_test!`] and [`run_seeds`]: one program, many seeds, on all cores.
//! - [`Network`] and [`Host`]: the handles on a network; [`Network::live`] runs one in wall-clock time.
//! - [`NetworkConfig`], [`LinkProfile`] and [`Preset`]: what networks and links are like; [`Zone`]: groups
//!   of hosts between which links are alike.
//! - [`Network::fault`]: faults by hand; [`FaultSchedule`]: faults as data; [`FaultReport`]: what they
//!   touched.
//! - [`HostTask`] and [`HostClock`]: what runs on a host, and the time of day there.
//! - [`TraceHash`] and [`TraceEvent`]: what happened; [`trace_difference`]: where two traces part;
//!   [`TraceFile`]: the same for traces that were written down.
//! - [`SimulatorP2P`], [`SimulatorConnection`], [`SimulatorListener`]: the traits' provider, connection
//!   and listener here, on [`SimTransport`] and [`SimLink`].
//!
//! Inside: `engine`, the network itself, without executor, clock or lock; `simulation` and `live`, its
//! two drivers; `transport`, the core's transport traits on top.
//!
//! # What is simulated
//!
//! Packets, one by one: of streams, datagrams, flow control and closing, with QUIC's shape. Loss costs
//! a stream time and a datagram its life; the model of links and of recovery is described in `docs/simulator-model.md`. What is
//! not simulated: congestion control, the bytes of a handshake, NATs; of relays, only that two hosts may
//! have a way over one ([`Network::set_relayed_link`]).
//!
//! This crate turns tokio's `test-util` feature on: make it a dev-dependency.

mod clock;
mod engine;
mod fault;
mod harness;
mod host;
mod live;
mod network;
mod profile;
mod relay;
mod shared;
mod simulation;
mod transport;
mod zone;

pub use clock::HostClock;
pub use engine::trace::diff::{TraceDifference, trace_difference};
pub use engine::trace::file::{TraceComparison, TraceFile, TraceFileError};
pub use engine::trace::{PayloadDigest, TraceEvent, TraceHash, TraceKind};
pub use fault::generate::FaultProfile;
pub use fault::guard::{FaultGuard, InFlight, NamedFault};
pub use fault::options::IdleFaults;
pub use fault::report::{FaultRecord, FaultReport, Stray};
pub use fault::schedule::{FaultSchedule, ScheduledFault};
pub use fault::{Bandwidth, Degrade, Fault, FaultError, FaultKind};
pub use harness::{SeedFailure, SeedPlan, SeedRun, SeedSummary, run_seeds, test_seeds};
pub use host::Host;
pub use host::task::{HostTask, HostTaskError};
pub use network::Network;
pub use profile::{
    BurstLoss, Latency, LinkProfile, NetworkConfig, Preset, ProfileError, QueueLimit, Reordering,
    SettingError,
};
pub use relay::PathRules;
pub use simulation::{
    DeterminismError, Difference, Every, Outcome, RealThreads, Simulation, SimulationBuilder,
    SimulationError,
};
pub use transport::{SimIncoming, SimLink, SimRecvStream, SimSendStream, SimTransport};
pub use zone::Zone;

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
