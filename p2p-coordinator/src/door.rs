//! The ways in: one router, served over TCP and over the streams of peers alike.
//!
//! - [`http`]: the router, with the contract's paths, bodies and status codes;
//! - [`serve`]: HTTP/1.1 on anything that reads and writes, with the bounds of [`Limits`];
//! - [`tcp`], `tls` and [`peer`]: who is let in, and who waits for them to leave; `crowd`: who makes
//!   room when all places are taken;
//! - [`Remote`]: who is at the other end.

mod closing;
mod crowd;
mod handover;
pub mod http;
pub mod peer;
mod remote;
pub mod serve;
mod stall;
pub mod tcp;
#[cfg(feature = "tls")]
pub mod tls;

pub use closing::Closing;
pub use remote::Remote;
pub use serve::Limits;
