//! Requests and responses: each call is a stream of its own.
//!
//! [`serve`] answers what [`call`] asks, over any [`P2PConnection`], in either direction or both. A
//! slow or large call holds up no other. Every size, time and number is bounded, on both sides.
//!
//! The deadline travels with the request, as the time that is left. Whoever gives a call up, by dropping
//! its future or because time is up, resets its stream; the other side's handler is dropped then, at its
//! next `await`. Whether it had done its work by then, nobody knows: repeat only what may happen twice.
//!
//! `serve` takes all streams that the peer opens on the connection, so a protocol that is called has a
//! [name](crate::ProtocolName) of its own.
//!
//! ```
//! use bytes::Bytes;
//! use p2p_core::P2PConnection;
//! use p2p_core::calls::{CallError, CallOptions, Refusal, Request, ServeOptions, call, serve};
//!
//! async fn shout(request: Request) -> Result<Bytes, Refusal> {
//!     match std::str::from_utf8(&request.body) {
//!         Ok(text) => Ok(text.to_uppercase().into()),
//!         Err(_) => Err(Refusal::new(400, "not a text")),
//!     }
//! }
//!
//! async fn one_side(connection: impl P2PConnection) -> p2p_core::Result<()> {
//!     let end = serve(&connection, shout, ServeOptions::default()).await?;
//!     println!("served until {end}");
//!     Ok(())
//! }
//!
//! async fn other_side(connection: impl P2PConnection) -> Result<Bytes, CallError> {
//!     call(&connection, "hello".into(), CallOptions::default()).await
//! }
//! ```
//!
//! # On the wire
//!
//! A request is one byte for the version (1), the time left in microseconds (8 bytes), the length of the
//! body (4 bytes), and the body; then the stream stays open, so that its reset says that the call was
//! given up. A response is one byte for its kind, a number that belongs to the kind (4 bytes), the length
//! of the body (4 bytes), the body, and the end of the stream. Numbers are big-endian.
//!
//! [`P2PConnection`]: crate::P2PConnection

mod client;
mod error;
mod options;
mod reader;
mod server;
pub(crate) mod wire;

pub use client::call;
pub use error::{CallError, Refusal};
pub use options::{CallOptions, ServeOptions};
pub use server::{Request, serve};
