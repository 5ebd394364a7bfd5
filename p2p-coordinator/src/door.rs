//! The ways in: one router, served over TCP and over the streams of peers alike.
//!
//! - [`http`]: the router, with the contract's paths, bodies and status codes;
//! - [`serve`]: HTTP/1.1 on anything that reads and writes, with the bounds of [`Limits`];
//! - [`tcp`] and [`peer`]: who is let in, and who waits for them to leave.

mod closing;
mod handover;
pub mod http;
pub mod peer;
pub mod serve;
mod stall;
pub mod tcp;

pub use closing::Closing;
pub use serve::Limits;
