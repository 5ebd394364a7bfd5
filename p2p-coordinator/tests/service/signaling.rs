//! Signaling: over WebSockets of an implementation that is not ours, and request by request.

mod browser;
mod client;
mod contract;
mod identity;
mod isolation;
mod limits;
mod resume;
mod rest;
mod typed;
