//! The nouns, traits and connection engine of a peer-to-peer stack whose programs run unchanged on a
//! real network and on a simulated one.
//!
//! # Layout
//!
//! What programs hold:
//!
//! - [`provider`](P2PProvider): the traits [`P2PProvider`], [`P2PConnection`], [`P2PListener`], and
//!   the stream halves [`SendStream`], [`RecvStream`];
//! - [`ConnectOptions`], [`ListenOptions`] and [`Admission`]: what one call is to do, and who is let in;
//! - [`PeerId`], [`SecretKey`], [`PeerAddr`] and its ticket: who and where;
//! - [`P2PError`], [`CloseReason`]: what went wrong, who ended it and why;
//! - [`Pooled`], [`Limited`]: providers made of providers, which share connections and keep to limits;
//!   [`TokenBucket`] is what rates are kept with;
//! - [`calls`]: requests and responses on streams;
//! - [`observe`]: log events, metrics, and [`Health`];
//! - [`dynamic`]: the same traits behind pointers, to choose a backend at run time.
//!
//! What a backend writes: [`transport`], a QUIC-shaped minimum. [`Node`] makes a provider of it;
//! [`Connection`] and [`Listener`] are its other two nouns. The protocol between two nodes is in
//! `engine`, without I/O.
//!
//! Nothing here opens a socket, reads a wall clock or draws a random number. Timers are tokio's, so
//! they run in virtual time when its clock is paused.
//!
//! # Features
//!
//! - `conformance`: the suite of promises that every backend passes, in module `conformance`;
//! - `metrics`: counters and measures of each node, as text for Prometheus: see [`observe`].

mod address;
pub mod calls;
mod close;
mod config;
#[cfg(feature = "conformance")]
pub mod conformance;
mod connection;
mod datagram;
pub mod dynamic;
mod engine;
mod error;
#[cfg(test)]
#[path = "../fuzz/targets.rs"]
mod fuzz;
mod handshake;
mod identity;
mod limited;
mod listener;
mod node;
pub mod observe;
mod options;
mod pass;
mod path;
mod permit;
mod pooled;
mod priority;
mod protocol;
mod provider;
mod race;
mod reconnect;
mod stream;
mod token_bucket;
pub mod transport;

pub use address::{PeerAddr, RelayUrl, RelayUrlError, TicketError};
pub use close::{CloseCause, CloseReason, ClosedBy};
pub use config::ConnectionConfig;
pub use connection::{Connection, ProgramRecvStream, ProgramSendStream};
pub use datagram::{DatagramDrop, DatagramFallback, DatagramOptions};
pub use error::{BoxError, ConfigError, Limit, P2PError, ProtocolError, Result, StreamError};
pub use identity::{PeerId, PeerIdError, SecretKey};
pub use limited::{
    Limited, LimitedConnection, LimitedListener, LimitedRecvStream, LimitedSendStream, Limits,
    ScopeLimits, TrafficLimits,
};
pub use listener::Listener;
pub use node::Node;
pub use observe::Health;
#[cfg(feature = "metrics")]
pub use observe::Metrics;
pub use options::{
    Admission, AdmitAll, Applicant, ConnectOptions, ConnectReady, Denied, ListenOptions,
    MAX_CREDENTIAL, Refusal, admission_fn,
};
pub use pass::Pass;
pub use path::{PathAddr, PathEvents, PathInfo, PathKind, PathPolicy};
pub use permit::{ReservedPlace, SendPermit};
pub use pooled::{
    PoolConfig, Pooled, PooledConnection, PooledListener, PooledRecvStream, PooledSendStream,
};
pub use priority::Priority;
pub use protocol::{Capabilities, ProtocolName, ProtocolNameError};
pub use provider::{
    ConnectionStats, LaneStats, Message, P2PConnection, P2PListener, P2PProvider, PeerInfo,
};
pub use reconnect::{
    Backoff, ConnectionState, FailoverPolicy, LaneProgress, Lost, LostReason, ReconnectPolicy,
    StandbyOptions, StandbyState, StateEvents,
};
pub use stream::{RecvStream, SendStream, StreamIo};
pub use token_bucket::{RateLimit, TokenBucket};
