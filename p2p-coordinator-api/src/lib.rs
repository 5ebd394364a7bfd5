//! What crosses the wire between a coordinator and its clients.
//!
//! # Layout
//!
//! - [`ids`]: [`HostId`], [`PlayerId`], [`SessionName`], [`ZoneId`]: text that is valid if it exists;
//! - [`host`], [`zone`], [`session`]: the objects, the requests that make and change them, their states;
//! - [`auth`]: access and refresh tokens: how they are asked for;
//! - [`join`]: one call that gives a player a place, the host's address and a token;
//! - [`token`]: [`JoinToken`], signed by the coordinator, shown to the host, checked offline;
//! - [`proof`]: how a host proves that it owns the peer id with which it registers;
//! - [`service`]: what the service says about itself, and how it says no;
//! - [`paths`]: where everything is;
//! - [`websocket`]: messages on a stream of bytes, by RFC 6455;
//! - [`Timestamp`]: wall time, as the coordinator's clock has it;
//! - [`text`]: for serde, what JSON carries as text.
//!
//! Objects, paths and enums are those of the contract that existing clients rely on; what is new for
//! peers travels beside them: a host that registers no address has exactly the fields of old.
//!
//! With feature `openapi`, the objects have schemas for an OpenAPI document.
//!
//! No I/O, no clock, no randomness.

pub mod auth;
#[cfg(test)]
#[path = "../fuzz/targets.rs"]
mod fuzz;
pub mod host;
pub mod ids;
pub mod join;
pub mod paths;
pub mod proof;
pub mod service;
pub mod session;
pub mod text;
pub mod time;
pub mod token;
pub mod websocket;
pub mod zone;

pub use host::{
    Heartbeat, HeartbeatReply, Host, HostNews, HostStatus, HostTerms, RegisterHost, RegisteredHost,
};
pub use ids::{HostId, IdError, PlayerId, SessionName, ZoneId};
pub use join::{JoinReply, JoinRequest, RefusalReason};
pub use proof::{Challenge, HostProof, IssuedChallenge, ProofError};
pub use session::{CreateSession, Routing, Session, SessionStatus};
pub use time::Timestamp;
pub use token::{JoinClaims, JoinToken, Nonce, TokenError};
pub use zone::{DefineZone, Zone, ZoneStatus};
