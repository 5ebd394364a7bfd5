//! Who is in which room, and who is told.

use std::collections::BTreeMap;

use p2p_coordinator_api::ids::MAX_CHARS;
use p2p_coordinator_api::{Routing, Timestamp};
use thiserror::Error;

use super::frames;
use super::hub::Hub;
use super::peer::{Peer, Place};
use super::{ConnectionId, Effect, Excess, PeerKey};

/// A room, as long as somebody is in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct RoomKey(u64);

#[derive(Debug, Default)]
pub(super) struct Rooms {
    names: BTreeMap<Box<str>, RoomKey>,
    rooms: BTreeMap<RoomKey, Room>,
    last: u64,
}

#[derive(Debug)]
struct Room {
    name: Box<str>,
    /// In the order of coming.
    members: Vec<PeerKey>,
    /// What its members were told last.
    routing: Routing,
}

/// Why a peer cannot join a room.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum JoinError {
    /// It has joined too often.
    #[error("too many joins")]
    Excess(Excess),
    /// The room has as many members as it may.
    #[error("Session is full: it has all the {max} peers it takes")]
    Full {
        /// How many.
        max: usize,
    },
    /// The connection has ended.
    #[error("the connection has ended")]
    Gone,
    /// The name is too long, or has control characters.
    #[error(
        "session_id has to be at most {MAX_CHARS} characters, none of them a control character"
    )]
    Name,
}

impl Rooms {
    pub(super) fn count(&self) -> usize {
        self.rooms.len()
    }

    pub(super) fn find(&self, name: &str) -> Option<RoomKey> {
        self.names.get(name).copied()
    }

    pub(super) fn members(&self, room: RoomKey) -> &[PeerKey] {
        self.rooms.get(&room).map_or(&[], |room| &room.members)
    }

    fn routing(&self, room: RoomKey) -> Routing {
        self.rooms.get(&room).map_or(Routing::Peers, |room| room.routing)
    }

    fn enter(&mut self, name: &str, peer: PeerKey) -> RoomKey {
        let key = self.find(name).unwrap_or_else(|| {
            self.last += 1;
            let key = RoomKey(self.last);
            self.names.insert(name.into(), key);
            self.rooms.insert(
                key,
                Room { name: name.into(), members: Vec::new(), routing: Routing::Peers },
            );
            key
        });
        if let Some(room) = self.rooms.get_mut(&key) {
            room.members.push(peer);
        }
        key
    }

    fn exit(&mut self, room: RoomKey, peer: PeerKey) {
        let Some(found) = self.rooms.get_mut(&room) else { return };
        found.members.retain(|member| *member != peer);
        if found.members.is_empty() {
            self.names.remove(&found.name);
            self.rooms.remove(&room);
        }
    }
}

impl Hub {
    /// A peer comes into a room, and leaves the one it was in. It is told who is there, and then they
    /// are told. `shown` is what it called the room, as JSON.
    ///
    /// # Errors
    ///
    /// [`JoinError`].
    pub fn join(
        &mut self,
        now: Timestamp,
        connection: ConnectionId,
        room: &str,
        shown: &str,
        effects: &mut Vec<Effect>,
    ) -> Result<(), JoinError> {
        let key = *self.connections.get(&connection).ok_or(JoinError::Gone)?;
        self.enter(now, key, room, shown, effects)?;
        Ok(())
    }

    pub(super) fn enter(
        &mut self,
        now: Timestamp,
        key: PeerKey,
        room: &str,
        shown: &str,
        effects: &mut Vec<Effect>,
    ) -> Result<(), JoinError> {
        super::hub::check_name(room).map_err(|_| JoinError::Name)?;
        let target = self.rooms.find(room);
        let present = target.map_or(0, |target| self.rooms.members(target).len());
        let peer = self.peers.get_mut(&key).ok_or(JoinError::Gone)?;
        // All who are there are told.
        peer.bucket.take(&self.limits, now, present).map_err(JoinError::Excess)?;
        let is_new = target.is_none() || peer.room() != target;
        if is_new && present >= self.limits.members {
            return Err(JoinError::Full { max: self.limits.members });
        }
        if is_new {
            self.leave_room(key, effects);
            let room = self.rooms.enter(room, key);
            if let Some(peer) = self.peers.get_mut(&key) {
                peer.place = Some(Place { room, shown: shown.into() });
            }
        }
        let joined = frames::session_joined(shown, &self.others(key));
        self.notify(key, &joined, effects);
        if is_new {
            let json = self.peers.get(&key).map(|peer| peer.json.clone()).unwrap_or_default();
            let news = frames::peer_joined(&json);
            for member in self.members_besides(key) {
                self.notify(member, &news, effects);
            }
        }
        let told = self.rooms.find(room).map_or(Routing::Peers, |room| self.rooms.routing(room));
        if !told.is_peers() {
            self.notify(key, &frames::routing(told, shown), effects);
        }
        Ok(())
    }

    /// Over what the members of a room reach each other: if that is new, they are told.
    pub fn route(&mut self, room: &str, routing: Routing, effects: &mut Vec<Effect>) {
        let Some(key) = self.rooms.find(room) else { return };
        let Some(found) = self.rooms.rooms.get_mut(&key) else { return };
        if std::mem::replace(&mut found.routing, routing) == routing {
            return;
        }
        for member in found.members.clone() {
            let place = self.peers.get(&member).and_then(|peer| peer.place.as_ref());
            let Some(shown) = place.map(|place| place.shown.clone()) else { continue };
            self.notify(member, &frames::routing(routing, &shown), effects);
        }
    }

    /// The same for peers who are connected and in no room.
    pub fn route_others(&mut self, routing: Routing, effects: &mut Vec<Effect>) {
        if std::mem::replace(&mut self.routing, routing) == routing {
            return;
        }
        let connected: Vec<PeerKey> = self.connections.values().copied().collect();
        for key in connected {
            if self.peers.get(&key).is_some_and(|peer| peer.place.is_none()) {
                self.notify(key, &frames::routing(routing, "null"), effects);
            }
        }
    }

    /// A peer leaves its room: the others are told, and then it is. Without a room nothing happens.
    pub fn leave(&mut self, connection: ConnectionId, effects: &mut Vec<Effect>) {
        let Some(&key) = self.connections.get(&connection) else { return };
        if let Some(place) = self.leave_room(key, effects) {
            self.notify(key, &frames::session_left(&place.shown), effects);
        }
    }

    /// The name of the peer at a connection.
    pub fn name_of(&self, connection: ConnectionId) -> Option<&str> {
        Some(&self.peers.get(self.connections.get(&connection)?)?.name)
    }

    /// The name of the room in which the peer at a connection is.
    pub fn room_of(&self, connection: ConnectionId) -> Option<&str> {
        let peer = self.peers.get(self.connections.get(&connection)?)?;
        self.rooms.rooms.get(&peer.room()?).map(|room| &*room.name)
    }

    /// The names of all rooms after this one, in their order: at most so many.
    pub fn rooms_after(&self, name: &str, most: usize) -> Vec<String> {
        let after = (std::ops::Bound::Excluded(name), std::ops::Bound::Unbounded);
        self.rooms
            .names
            .range::<str, _>(after)
            .take(most)
            .map(|(name, _)| (**name).into())
            .collect()
    }

    /// Sends out of a room who is no member (any more) by what `is_member` says, and tells them.
    pub fn keep(
        &mut self,
        room: &str,
        is_member: impl Fn(&str) -> bool,
        effects: &mut Vec<Effect>,
    ) {
        let Some(room) = self.rooms.find(room) else { return };
        let strangers: Vec<PeerKey> = {
            let stranger =
                |key: &&PeerKey| self.peers.get(key).is_some_and(|peer| !is_member(&peer.name));
            self.rooms.members(room).iter().filter(stranger).copied().collect()
        };
        for key in strangers {
            if let Some(place) = self.leave_room(key, effects) {
                self.notify(key, &frames::session_lost(&place.shown), effects);
            }
        }
    }

    pub(super) fn leave_room(&mut self, key: PeerKey, effects: &mut Vec<Effect>) -> Option<Place> {
        let others = self.members_besides(key);
        let peer = self.peers.get_mut(&key)?;
        let place = peer.place.take()?;
        let news = frames::peer_left(&peer.json);
        self.rooms.exit(place.room, key);
        for member in others {
            self.notify(member, &news, effects);
        }
        Some(place)
    }

    /// The names of the others in a peer's room, as JSON.
    pub(super) fn others(&self, key: PeerKey) -> String {
        let names: Vec<&str> = self
            .members_besides(key)
            .iter()
            .filter_map(|member| self.peers.get(member).map(|peer| &*peer.json))
            .collect();
        names.join(",")
    }

    fn members_besides(&self, key: PeerKey) -> Vec<PeerKey> {
        let Some(room) = self.peers.get(&key).and_then(Peer::room) else { return Vec::new() };
        self.rooms.members(room).iter().filter(|member| **member != key).copied().collect()
    }
}
