//! `/signaling`: over a WebSocket, or request by request.

mod handshake;
mod pump;
pub(super) mod rest;
pub(super) mod socket;
