//! Who comes, goes, takes over and comes back.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::str::FromStr;

use p2p_coordinator_api::ids::MAX_CHARS;
use p2p_coordinator_api::{Nonce, Routing, Timestamp};

use super::backlog::Backlog;
use super::frames::{self, Draft, Resumed, Stamp};
use super::peer::{Link, Peer, Resumable};
use super::permits::{Due, Permit, Permits};
use super::rooms::Rooms;
use super::{ConnectionId, Effect, Ending, Excess, Limits, PeerKey, Reach};

/// All peers of a coordinator, and where they meet.
#[derive(Debug)]
pub struct Hub {
    pub(super) limits: Limits,
    pub(super) reach: Reach,
    pub(super) peers: BTreeMap<PeerKey, Peer>,
    pub(super) names: BTreeMap<Box<str>, PeerKey>,
    pub(super) connections: BTreeMap<ConnectionId, PeerKey>,
    pub(super) rooms: Rooms,
    /// When to look after peers that have no connection. A peer that was heard since has a later one.
    pub(super) deadlines: BTreeSet<(Timestamp, PeerKey)>,
    pub(super) stamp: Stamp,
    pub(super) permits: Permits,
    /// What those who are in no room were told last.
    pub(super) routing: Routing,
    last_connection: u64,
    last_peer: u64,
}

/// Somebody who connects.
#[derive(Clone, Copy, Debug)]
pub struct Arrival<'a> {
    /// As whom.
    pub peer: &'a str,
    /// Whether a credential says that it may use the name. Otherwise it only says so.
    pub proven: bool,
    /// For who wants to be able to come back.
    pub resume: Option<Resume>,
}

/// Coming back.
#[derive(Clone, Copy, Debug)]
pub struct Resume {
    /// What the peer was given when it came first.
    pub shown: Option<ResumeToken>,
    /// The number of the last message it has.
    pub received: Option<u64>,
    /// What it is given if it is new: unguessable.
    pub fresh: ResumeToken,
}

/// What only the peer knows that was here. Prints as 32 hexadecimal digits.
#[derive(Clone, Copy)]
pub struct ResumeToken([u8; 16]);

impl ResumeToken {
    /// The token that these random bytes give.
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }
}

impl PartialEq for ResumeToken {
    /// In the same time, wherever they differ.
    fn eq(&self, other: &Self) -> bool {
        self.0.iter().zip(&other.0).fold(0, |sum, (a, b)| sum | (a ^ b)) == 0
    }
}

impl Eq for ResumeToken {}

impl fmt::Display for ResumeToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for ResumeToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ResumeToken")
    }
}

impl FromStr for ResumeToken {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let mut bytes = [0; 16];
        if text.len() != 32 || !text.is_ascii() {
            return Err(());
        }
        for (at, byte) in bytes.iter_mut().enumerate() {
            *byte = u8::from_str_radix(&text[2 * at..2 * at + 2], 16).map_err(|_| ())?;
        }
        Ok(Self(bytes))
    }
}

/// Why somebody cannot come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Denied {
    /// As many peers as there may be.
    #[error("The coordinator has all the {max} peers it takes: try again later")]
    Full {
        /// How many.
        max: usize,
    },
    /// The name is too long, or has control characters.
    #[error("peer_id has to be at most {MAX_CHARS} characters, none of them a control character")]
    Name,
    /// Another holds the name and has proven it, which this one has not.
    #[error("peer_id is in use")]
    Taken,
}

impl Hub {
    /// Nobody is there.
    pub fn new(limits: Limits, reach: Reach) -> Self {
        Self {
            limits,
            reach,
            peers: BTreeMap::new(),
            names: BTreeMap::new(),
            connections: BTreeMap::new(),
            rooms: Rooms::default(),
            deadlines: BTreeSet::new(),
            stamp: Stamp::new(),
            permits: Permits::new(limits.token_warning),
            routing: Routing::Peers,
            last_connection: 0,
            last_peer: 0,
        }
    }

    /// Its bounds.
    pub const fn limits(&self) -> &Limits {
        &self.limits
    }

    /// Whom messages reach.
    pub const fn reach(&self) -> Reach {
        self.reach
    }

    /// How many peers are connected, and how many rooms have somebody in them.
    pub fn counts(&self) -> (usize, usize) {
        (self.connections.len(), self.rooms.count())
    }

    /// Somebody connects. Who shows the token of the peer of that name goes on as that peer: in its
    /// room, with the messages it has not received. Otherwise it is a new peer, and an earlier one of
    /// the name leaves.
    ///
    /// # Errors
    ///
    /// [`Denied`].
    pub fn connect(
        &mut self,
        now: Timestamp,
        arrival: &Arrival<'_>,
        effects: &mut Vec<Effect>,
    ) -> Result<ConnectionId, Denied> {
        check_name(arrival.peer)?;
        if let Some(&key) = self.names.get(arrival.peer) {
            if let Some(resume) = arrival.resume.filter(|resume| self.is_shown(key, resume)) {
                return Ok(self.resume(key, resume.received, effects));
            }
            if !self.may_replace(key, arrival.proven) {
                return Err(Denied::Taken);
            }
            self.remove(key, Some(Ending::Replaced), effects);
        }
        self.has_room()?;
        let connection = self.new_connection();
        let link = Link::Socket(connection);
        let mut peer = Peer::new(arrival.peer, arrival.proven, link, &self.limits, now);
        if let Some(resume) = arrival.resume {
            let token = resume.fresh;
            peer.resumable = Some(Box::new(Resumable { token, backlog: Backlog::default() }));
            let text = frames::welcome(&peer.json, &token);
            effects.push(Effect::Deliver { to: connection, text });
        }
        let key = self.insert(peer);
        self.connections.insert(connection, key);
        if !self.routing.is_peers() {
            self.notify(key, &frames::routing(self.routing, "null"), effects);
        }
        Ok(connection)
    }

    /// A connection has shown a token: it may last as long as that.
    pub fn permit(&mut self, now: Timestamp, connection: ConnectionId, permit: Permit) {
        if self.connections.contains_key(&connection) {
            self.permits.grant(now, connection, permit);
        }
    }

    /// A connection has shown a newer token, and is told until when that is good.
    pub fn renew(
        &mut self,
        now: Timestamp,
        connection: ConnectionId,
        permit: Permit,
        id: Option<&str>,
        effects: &mut Vec<Effect>,
    ) {
        self.permit(now, connection, permit);
        let text = frames::authenticated(now, permit.expires_at, id);
        effects.push(Effect::Deliver { to: connection, text });
    }

    /// Ends the connections of logins that were taken back: their peers go for good.
    pub fn revoke(&mut self, is_void: impl Fn(&Nonce) -> bool, effects: &mut Vec<Effect>) {
        for connection in self.permits.of(is_void) {
            let Some(&key) = self.connections.get(&connection) else { continue };
            let text = frames::token_ended("token_revoked");
            effects.push(Effect::Deliver { to: connection, text });
            self.remove(key, Some(Ending::TokenRevoked), effects);
        }
    }

    /// Warns connections whose tokens are about to end, and ends those whose tokens have.
    fn review_permits(&mut self, now: Timestamp, effects: &mut Vec<Effect>) {
        while let Some((connection, due, permit)) = self.permits.next(now) {
            match due {
                Due::Warning => {
                    let text = frames::token_expiring(now, permit.expires_at);
                    effects.push(Effect::Deliver { to: connection, text });
                }
                Due::End => {
                    let text = frames::token_ended("token_expired");
                    effects.push(Effect::Deliver { to: connection, text });
                    effects.push(Effect::Close { connection, ending: Ending::TokenExpired });
                    // With a newer token it may come back as the same.
                    self.disconnected(now, connection, effects);
                }
            }
        }
    }

    /// A connection has ended. Of one that was replaced nobody is left to hear.
    pub fn disconnected(
        &mut self,
        now: Timestamp,
        connection: ConnectionId,
        effects: &mut Vec<Effect>,
    ) {
        self.permits.forget(connection);
        let Some(key) = self.connections.remove(&connection) else { return };
        let Some(peer) = self.peers.get_mut(&key) else { return };
        if peer.resumable.is_none() {
            return self.remove(key, None, effects);
        }
        let until = now.after(self.limits.grace);
        peer.link = Link::Away { until };
        self.deadlines.insert((until, key));
    }

    /// There was no room for a text to a connection, which is ended. Whether the peer has the text when
    /// it comes back.
    pub fn overflowed(
        &mut self,
        now: Timestamp,
        connection: ConnectionId,
        effects: &mut Vec<Effect>,
    ) -> bool {
        let Some(key) = self.connections.get(&connection) else { return false };
        let comes_back = self.peers.get(key).is_some_and(|peer| peer.resumable.is_some());
        effects.push(Effect::Close { connection, ending: Ending::TooSlow });
        self.disconnected(now, connection, effects);
        comes_back
    }

    /// Forgets who stayed away too long, and looks which tokens end.
    pub fn expire(&mut self, now: Timestamp, effects: &mut Vec<Effect>) {
        self.review_permits(now, effects);
        while let Some(&(deadline, key)) = self.deadlines.first() {
            if deadline > now {
                return;
            }
            self.deadlines.pop_first();
            match self.peers.get(&key).and_then(Peer::until) {
                Some(until) if until <= now => self.remove(key, None, effects),
                // It was heard since.
                Some(until) => {
                    self.deadlines.insert((until, key));
                }
                None => {}
            }
        }
    }

    /// A message has come over a connection, which pays for it. `id` is what it is to be answered by.
    ///
    /// # Errors
    ///
    /// [`Excess`] if it is too many: it has been answered. The connection is ended if that is final.
    pub fn charge(
        &mut self,
        now: Timestamp,
        connection: ConnectionId,
        id: Option<&str>,
        effects: &mut Vec<Effect>,
    ) -> Result<(), Excess> {
        let Some(key) = self.connections.get(&connection) else { return Ok(()) };
        let Some(peer) = self.peers.get_mut(key) else { return Ok(()) };
        let Err(excess) = peer.bucket.take(&self.limits, now, 1) else { return Ok(()) };
        let text = frames::excess(&excess, now, id);
        effects.push(Effect::Deliver { to: connection, text });
        if excess.is_final {
            effects.push(Effect::Close { connection, ending: Ending::Excess });
            // It may not come back with its token either: its bucket would be full again.
            if let Some(key) = self.connections.get(&connection) {
                self.remove(*key, None, effects);
            }
        }
        Err(excess)
    }

    /// The peer at a connection has all messages up to this number.
    pub fn received(&mut self, connection: ConnectionId, number: u64) {
        let peer = self.connections.get(&connection).and_then(|key| self.peers.get_mut(key));
        if let Some(resumable) = peer.and_then(|peer| peer.resumable.as_mut()) {
            resumable.backlog.received(number);
        }
    }

    pub(super) fn has_room(&self) -> Result<(), Denied> {
        match self.peers.len() < self.limits.peers {
            true => Ok(()),
            false => Err(Denied::Full { max: self.limits.peers }),
        }
    }

    pub(super) fn insert(&mut self, peer: Peer) -> PeerKey {
        self.last_peer += 1;
        let key = PeerKey(self.last_peer);
        self.names.insert(peer.name.clone(), key);
        self.peers.insert(key, peer);
        key
    }

    /// Whether who comes under the name of a peer may send it away: who can prove the name may; who
    /// cannot, only if nobody has proven it and nobody has a token for it.
    pub(super) fn may_replace(&self, key: PeerKey, proven: bool) -> bool {
        let peer = self.peers.get(&key);
        proven || peer.is_none_or(|peer| !peer.proven && peer.resumable.is_none())
    }

    /// A peer goes for good.
    pub(super) fn remove(
        &mut self,
        key: PeerKey,
        ending: Option<Ending>,
        effects: &mut Vec<Effect>,
    ) {
        self.leave_room(key, effects);
        let Some(peer) = self.peers.remove(&key) else { return };
        self.names.remove(&peer.name);
        if let Some(until) = peer.until() {
            self.deadlines.remove(&(until, key));
        }
        if let Some(connection) = peer.connection() {
            self.permits.forget(connection);
            self.connections.remove(&connection);
            if let Some(ending) = ending {
                effects.push(Effect::Close { connection, ending });
            }
        }
    }

    /// Sends or keeps what is no message of a peer.
    pub(super) fn notify(&mut self, key: PeerKey, draft: &Draft, effects: &mut Vec<Effect>) {
        let Some(peer) = self.peers.get_mut(&key) else { return };
        let text = match &mut peer.resumable {
            None => draft.plain(),
            Some(resumable) => {
                let backlog = &mut resumable.backlog;
                let is_away = !matches!(peer.link, Link::Socket(_));
                if is_away && !backlog.has_room(&self.limits, draft.len()) {
                    // What peers sent is worth more. That something is missing, the number tells.
                    return backlog.skip();
                }
                let text = draft.numbered(backlog.next());
                backlog.push(&self.limits, None, text.clone());
                text
            }
        };
        if let Link::Socket(to) = peer.link {
            effects.push(Effect::Deliver { to, text });
        }
    }

    fn is_shown(&self, key: PeerKey, resume: &Resume) -> bool {
        let peer = self.peers.get(&key);
        let known = peer.and_then(|peer| peer.resumable.as_ref());
        known.is_some_and(|known| resume.shown == Some(known.token))
    }

    fn resume(
        &mut self,
        key: PeerKey,
        received: Option<u64>,
        effects: &mut Vec<Effect>,
    ) -> ConnectionId {
        let connection = self.new_connection();
        self.connections.insert(connection, key);
        let peers = self.others(key);
        let Some(peer) = self.peers.get_mut(&key) else { return connection };
        match std::mem::replace(&mut peer.link, Link::Socket(connection)) {
            Link::Socket(old) => {
                self.permits.forget(old);
                self.connections.remove(&old);
                effects.push(Effect::Close { connection: old, ending: Ending::Replaced });
            }
            Link::Away { until } | Link::Mailbox { until, .. } => {
                self.deadlines.remove(&(until, key));
            }
        }
        let Some(resumable) = &mut peer.resumable else { return connection };
        let backlog = &mut resumable.backlog;
        // It cannot have more than there was.
        let received = received.unwrap_or(0).min(backlog.last());
        backlog.received(received);
        let text = frames::resumed(&Resumed {
            peer: &peer.json,
            token: &resumable.token,
            session: peer.place.as_ref().map_or("null", |place| &place.shown),
            peers: &peers,
            missed: backlog.missed_since(received),
            seq: backlog.last(),
        });
        effects.push(Effect::Deliver { to: connection, text });
        for entry in backlog.after(received) {
            effects.push(Effect::Deliver { to: connection, text: entry.text.clone() });
        }
        connection
    }

    const fn new_connection(&mut self) -> ConnectionId {
        self.last_connection += 1;
        ConnectionId(self.last_connection)
    }
}

pub(super) fn check_name(name: &str) -> Result<(), Denied> {
    // No name is a name as well, to clients of the contract.
    let bytes = name.len() > 4 * MAX_CHARS;
    if bytes || name.chars().count() > MAX_CHARS || name.chars().any(char::is_control) {
        return Err(Denied::Name);
    }
    Ok(())
}
