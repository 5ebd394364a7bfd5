//! From a link to a connection: both sides' hellos, and the judgement on who is let in.
//!
//! Each side opens its control stream and writes its hello before it has read the other's, the
//! acceptor even before it knows who dialled. So `connect` takes one round trip:
//!
//! ```text
//! dialler   |-- transport handshake -->|                  |-- hello (what, credential) -->|
//! acceptor  |<-- handshake, hello (what is served) -------|     authenticated, admitted:  |
//!           |   connect returns (Answered)                |<-- "admitted" ----------------|
//! ```

use bytes::Bytes;

use crate::close::{CloseCause, CloseReason, ClosedBy};
use crate::engine::hello::Agreement;
use crate::identity::PeerId;
use crate::protocol::ProtocolName;
use crate::provider::PeerInfo;
use crate::transport::Link;

mod acceptor;
mod control;
mod dialler;
mod error;
mod returning;
pub(crate) mod unfinished;

pub(crate) use acceptor::inbound;
pub(crate) use control::ControlReader;
pub(crate) use dialler::outbound;
pub(crate) use error::HandshakeError;

/// What the transport is told about the control stream: reports go before what they are about.
const CONTROL_PRIORITY: i32 = 4;

fn refuse<L: Link>(link: &L, cause: CloseCause, message: impl Into<String>) {
    let reason = CloseReason::new(ClosedBy::Local, cause, message);
    link.close(cause.to_wire(), &reason.message);
}

fn peer_info(
    id: PeerId,
    protocol: ProtocolName,
    agreement: Agreement,
    credential: Bytes,
) -> PeerInfo {
    PeerInfo {
        id,
        protocol,
        version: agreement.version,
        capabilities: agreement.capabilities,
        max_message_size: agreement.max_message_size,
        credential,
    }
}
