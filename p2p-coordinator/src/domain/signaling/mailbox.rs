//! Peers that ask by requests of their own instead of holding a connection.

use bytes::Bytes;
use p2p_coordinator_api::Timestamp;

use super::backlog::Backlog;
use super::hub::{Denied, Hub, check_name};
use super::peer::{Link, Peer};
use super::{Delivery, Effect, Ending, JoinError, Kind, Outgoing, PeerKey, Undeliverable};

/// A peer in a room, for one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MailboxId(PeerKey);

/// Why a request is not done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum VisitError {
    /// It cannot come.
    #[error(transparent)]
    Denied(#[from] Denied),
    /// It cannot join.
    #[error(transparent)]
    Join(#[from] JoinError),
}

impl Hub {
    /// A peer asks something in a room. If it has a connection, that goes on, and is in the room from
    /// now on; otherwise it has a mailbox, for as long as it goes on asking.
    ///
    /// # Errors
    ///
    /// [`VisitError`].
    pub fn visit(
        &mut self,
        now: Timestamp,
        peer: &str,
        proven: bool,
        room: &str,
        effects: &mut Vec<Effect>,
    ) -> Result<MailboxId, VisitError> {
        check_name(peer)?;
        let key = match self.names.get(peer) {
            Some(&key) if self.is_same(key, proven) => key,
            Some(&key) if self.may_replace(key, proven) => {
                self.remove(key, Some(Ending::Replaced), effects);
                self.new_mailbox(now, peer, proven)?
            }
            Some(_) => return Err(Denied::Taken.into()),
            None => self.new_mailbox(now, peer, proven)?,
        };
        self.heard(now, key);
        let target = self.rooms.find(room);
        let place = self.peers.get(&key).and_then(Peer::room);
        if target.is_none() || place != target {
            let shown = super::frames::quoted(room);
            if let Err(error) = self.enter(now, key, room, &shown, effects) {
                if place.is_none()
                    && self.peers.get(&key).is_some_and(|peer| peer.until().is_some())
                {
                    self.remove(key, None, effects);
                }
                return Err(error.into());
            }
        }
        Ok(MailboxId(key))
    }

    /// A message from a peer that asks.
    ///
    /// # Errors
    ///
    /// [`Undeliverable`].
    pub fn post(
        &mut self,
        now: Timestamp,
        from: MailboxId,
        message: &Outgoing<'_>,
        effects: &mut Vec<Effect>,
    ) -> Result<Delivery, Undeliverable> {
        let peer = self.peers.get_mut(&from.0).ok_or(Undeliverable::Nobody)?;
        peer.bucket.take(&self.limits, now, 1).map_err(Undeliverable::Excess)?;
        self.relay(now, from.0, message, effects)
    }

    /// Takes what lies in a mailbox of one kind, in the order of coming. What goes to a connection
    /// is in no mailbox.
    pub fn collect(&mut self, from: MailboxId, kind: Kind) -> Vec<Bytes> {
        match self.peers.get_mut(&from.0).map(|peer| &mut peer.link) {
            Some(Link::Mailbox { mail, .. }) => mail.take(kind),
            _ => Vec::new(),
        }
    }

    /// Whether who asks may act as a peer that is there.
    fn is_same(&self, key: PeerKey, proven: bool) -> bool {
        self.peers.get(&key).is_some_and(|peer| match peer.link {
            Link::Mailbox { .. } => peer.proven == proven,
            // Without proof only who holds the token is the same.
            Link::Away { .. } | Link::Socket(_) => {
                peer.proven == proven && (proven || peer.resumable.is_none())
            }
        })
    }

    fn new_mailbox(&mut self, now: Timestamp, name: &str, proven: bool) -> Result<PeerKey, Denied> {
        self.has_room()?;
        let until = now.after(self.limits.mailbox);
        let link = Link::Mailbox { until, mail: Box::new(Backlog::default()) };
        let key = self.insert(Peer::new(name, proven, link, &self.limits, now));
        self.deadlines.insert((until, key));
        Ok(key)
    }

    fn heard(&mut self, now: Timestamp, key: PeerKey) {
        let later = now.after(self.limits.mailbox);
        if let Some(Link::Mailbox { until, .. }) =
            self.peers.get_mut(&key).map(|peer| &mut peer.link)
        {
            self.deadlines.remove(&(*until, key));
            *until = later;
            self.deadlines.insert((later, key));
        }
    }
}
