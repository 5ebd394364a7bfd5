//! Signaling: over WebSockets of an implementation that is not ours, and request by request.

mod browser;
mod client;
mod contract;
mod identity;
mod isolation;
mod limits;
mod rest;
mod resume;
mod routing;
mod tokens;
mod typed;
