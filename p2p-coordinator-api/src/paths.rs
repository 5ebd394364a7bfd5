//! Where everything is.

/// What all paths but the service's own begin with.
pub const PREFIX: &str = "/api/v1";
/// What the service is.
pub const ROOT: &str = "/";
/// Whether the process lives.
pub const HEALTH: &str = "/health";
/// Whether the service can do its work.
pub const READY: &str = "/ready";

/// The protocol under which a coordinator serves HTTP/1.1 on the streams of a peer: one stream, one
/// or more requests.
pub const PROTOCOL: &str = "p2p-coordinator/1";
