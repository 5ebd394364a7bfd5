//! Signaling: who is reachable where, and what reaches whom, as a pure state machine.
//!
//! Commands and `now` go into a [`Hub`], [`Effect`]s come out; connections, queues and clocks are the
//! shell's. A *peer* is a name that a connection holds; a *room* is where peers of one session meet.
//!
//! - [`hub`](Hub): who comes, goes, takes over and comes back;
//! - `rooms`: who is in which room, and who is told;
//! - `relay`: from one peer to another, or an answer why not;
//! - `mailbox`: peers that ask by requests of their own instead of holding a connection;
//! - `backlog`: what is kept for whom is away; [`Limits`] and `bucket`: how much of everything;
//! - `permits`: until when connections may last;
//! - `frames`: the texts that are sent.
//!
//! What holds, whatever comes: a message reaches only peers of its sender's room, unless
//! [`Reach::Anyone`] is set; messages from one peer to another arrive in the order of sending; each
//! message that does not arrive is answered; and all that is kept has a bound.

mod backlog;
mod bucket;
mod frames;
mod hub;
mod limits;
mod mailbox;
mod peer;
mod permits;
mod relay;
mod rooms;

#[cfg(test)]
mod tests;

pub use bucket::Excess;
pub use hub::{Arrival, Denied, Hub, Resume, ResumeToken};
pub use limits::{Limits, Reach};
pub use mailbox::{MailboxId, VisitError};
pub use permits::Permit;
pub use relay::{Delivery, Kind, Outgoing, Undeliverable};
pub use rooms::JoinError;

use bytes::Bytes;
use p2p_coordinator_api::websocket::TOKEN_ENDED;

/// One connection of a peer. Never used twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnectionId(u64);

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Ends a connection. The hub has forgotten it.
    Close {
        /// Which.
        connection: ConnectionId,
        /// Why.
        ending: Ending,
    },
    /// Sends text, after all that was sent before. If there is no room for it, the shell says so with
    /// [`Hub::overflowed`].
    Deliver {
        /// To which connection.
        to: ConnectionId,
        /// A JSON object.
        text: Bytes,
    },
}

/// Why a connection is ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Ending {
    /// It sent too much for too long.
    Excess,
    /// The peer has connected anew.
    Replaced,
    /// The token that let it in has ended, and it has shown no newer one.
    TokenExpired,
    /// The login of that token was taken back.
    TokenRevoked,
    /// It takes what it is sent too slowly.
    TooSlow,
}

impl Ending {
    /// The WebSocket close code, and the reason that goes with it.
    pub const fn words(self) -> (u16, &'static str) {
        match self {
            Self::Excess => (1008, "Rate limit exceeded"),
            Self::Replaced => (4001, "Replaced by a newer connection of this peer"),
            Self::TokenExpired => (TOKEN_ENDED, "The access token has expired"),
            Self::TokenRevoked => (TOKEN_ENDED, "The access token has been taken back"),
            Self::TooSlow => (1013, "Messages are not taken fast enough"),
        }
    }
}

/// A peer, from coming to going.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct PeerKey(u64);
