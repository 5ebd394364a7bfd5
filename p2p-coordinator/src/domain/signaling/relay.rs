//! From one peer to another, or an answer why not.

use p2p_coordinator_api::Timestamp;
use thiserror::Error;

use super::frames;
use super::hub::Hub;
use super::peer::Link;
use super::{ConnectionId, Effect, Excess, PeerKey, Reach};

/// What peers send each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// An SDP answer.
    Answer,
    /// An ICE candidate.
    IceCandidate,
    /// An SDP offer.
    Offer,
}

impl Kind {
    /// All.
    pub const ALL: [Self; 3] = [Self::Offer, Self::Answer, Self::IceCandidate];

    /// As messages have it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Answer => "answer",
            Self::IceCandidate => "ice-candidate",
            Self::Offer => "offer",
        }
    }

    /// The field in which its content is.
    pub const fn field(self) -> &'static str {
        match self {
            Self::Answer | Self::Offer => "sdp",
            Self::IceCandidate => "candidate",
        }
    }
}

/// A message from a peer.
#[derive(Clone, Copy, Debug)]
pub struct Outgoing<'a> {
    /// What it is.
    pub kind: Kind,
    /// For whom.
    pub to: &'a str,
    /// Its content: JSON, which is passed on as it is.
    pub payload: &'a str,
}

/// What became of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Delivery {
    /// It goes to the peer's connection, or lies in its mailbox.
    Delivered,
    /// The peer is away, and gets it when it is back in time.
    Kept,
}

/// Why a message reaches nobody.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum Undeliverable {
    /// The sender has sent too much.
    #[error("too many messages")]
    Excess(Excess),
    /// As much is kept for the peer as there may be.
    #[error("as much is kept for the peer as there may be")]
    Full,
    /// There is nobody of that name within reach.
    #[error("there is nobody of that name")]
    Nobody,
}

impl Hub {
    /// A message from the peer at a connection. On its way there may be one effect.
    ///
    /// # Errors
    ///
    /// [`Undeliverable`].
    pub fn send(
        &mut self,
        now: Timestamp,
        from: ConnectionId,
        message: &Outgoing<'_>,
        effects: &mut Vec<Effect>,
    ) -> Result<Delivery, Undeliverable> {
        let from = *self.connections.get(&from).ok_or(Undeliverable::Nobody)?;
        self.relay(now, from, message, effects)
    }

    /// Tells the peer at a connection what became of its message: that it arrives only if it has an
    /// `id`, which is JSON; that it does not, always.
    pub fn answer(
        &self,
        connection: ConnectionId,
        message: &Outgoing<'_>,
        id: Option<&str>,
        outcome: Result<Delivery, Undeliverable>,
        effects: &mut Vec<Effect>,
    ) {
        let text = match (outcome, id) {
            (Ok(delivery), Some(id)) => frames::ack(id, delivery == Delivery::Kept),
            (Ok(_), None) => return,
            (Err(_), id) => {
                let kind = message.kind.as_str();
                frames::error(&format!("Failed to deliver {kind} to {}", message.to), id)
            }
        };
        effects.push(Effect::Deliver { to: connection, text });
    }

    pub(super) fn relay(
        &mut self,
        now: Timestamp,
        from: PeerKey,
        message: &Outgoing<'_>,
        effects: &mut Vec<Effect>,
    ) -> Result<Delivery, Undeliverable> {
        let sender = self.peers.get(&from).ok_or(Undeliverable::Nobody)?;
        let target = *self.names.get(message.to).ok_or(Undeliverable::Nobody)?;
        let at = self.stamp.of(now);
        let draft = frames::relay(message.kind, &sender.json, message.payload, at);
        let room = sender.room();
        let peer = self.peers.get_mut(&target).ok_or(Undeliverable::Nobody)?;
        if self.reach == Reach::Room && (room.is_none() || peer.room() != room) {
            return Err(Undeliverable::Nobody);
        }
        let kind = Some(message.kind);
        match (&mut peer.link, &mut peer.resumable) {
            (Link::Socket(to), None) => {
                effects.push(Effect::Deliver { to: *to, text: draft.done() });
                Ok(Delivery::Delivered)
            }
            (Link::Socket(to), Some(resumable)) => {
                let text = draft.numbered(resumable.backlog.next());
                resumable.backlog.push(&self.limits, kind, text.clone());
                effects.push(Effect::Deliver { to: *to, text });
                Ok(Delivery::Delivered)
            }
            (Link::Mailbox { mail, .. }, _) if mail.has_room(&self.limits, draft.len()) => {
                mail.push(&self.limits, kind, draft.done());
                Ok(Delivery::Delivered)
            }
            (Link::Away { .. }, Some(resumable))
                if resumable.backlog.has_room(&self.limits, draft.len()) =>
            {
                let text = draft.numbered(resumable.backlog.next());
                resumable.backlog.push(&self.limits, kind, text);
                Ok(Delivery::Kept)
            }
            _ => Err(Undeliverable::Full),
        }
    }
}
