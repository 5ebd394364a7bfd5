//! Who is at the other end.

use std::net::IpAddr;

use p2p_core::PeerId;

/// Who is at the other end of a connection: beside each request, for the router.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Remote {
    /// Somebody at this address: a client, or a proxy.
    Address(IpAddr),
    /// A peer, who has proven it.
    Peer(PeerId),
}
