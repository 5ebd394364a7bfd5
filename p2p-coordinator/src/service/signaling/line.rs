//! One peer's connection, from its side of the coordinator.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use p2p_coordinator_api::Routing;
use serde_json::Value;
use serde_json::value::RawValue;

use super::admission::{Caller, Refused};
use super::incoming::{self, Incoming, Unreadable};
use super::outbox::Outbox;
use super::{Applied, Coordinator};
use crate::domain::signaling::{
    ConnectionId, Delivery, Effect, Hub, JoinError, Kind, Outgoing, Permit, Undeliverable,
};
use crate::security::Claims;
use crate::store::Store;

/// A connection of a peer: what it says goes in, and what it is to be sent is in its [`Outbox`].
/// Dropping it says that the connection has ended.
pub struct Line<S: Store> {
    coordinator: Coordinator<S>,
    caller: Caller,
    connection: ConnectionId,
    outbox: Arc<Outbox>,
}

impl<S: Store> fmt::Debug for Line<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Line").field("connection", &self.connection).finish_non_exhaustive()
    }
}

impl<S: Store> Drop for Line<S> {
    fn drop(&mut self) {
        let now = self.coordinator.now();
        let mut state = self.coordinator.inner.signaling.lock();
        state.outboxes.remove(&self.connection);
        state.decide(now, |hub, effects| hub.disconnected(now, self.connection, effects));
    }
}

/// The most bytes of an id that an answer carries.
const MAX_ID: usize = 128;

/// How deep what peers send each other may be nested: parsers of others have their bounds.
const MAX_DEPTH: usize = 100;

impl<S: Store> Line<S> {
    pub(super) const fn new(
        coordinator: Coordinator<S>,
        caller: Caller,
        connection: ConnectionId,
        outbox: Arc<Outbox>,
    ) -> Self {
        Self { coordinator, caller, connection, outbox }
    }

    /// What is to be sent.
    pub fn outbox(&self) -> &Outbox {
        &self.outbox
    }

    /// The peer has said something. Answers are in the outbox when this ends. Messages of one peer
    /// have to come one after the other.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future of a `join` leaves open whether it was done.
    pub async fn say(&self, text: &str) {
        self.coordinator.tally().messages.add_one();
        let said = match incoming::parse(text) {
            Ok(said) => said,
            Err(unreadable) => {
                let what = match unreadable {
                    Unreadable::NotAnObject => "A message has to be a JSON object",
                    Unreadable::NotJson => "Invalid JSON",
                };
                return self.complain(what, None);
            }
        };
        let id = match said.id.map(RawValue::get) {
            Some(id) if !is_id(id) => {
                let what = format!("id has to be text or a number, of at most {MAX_ID} bytes");
                return self.complain(&what, None);
            }
            id => id,
        };
        match said.kind.and_then(incoming::text).as_deref() {
            Some("offer") => self.relay(Kind::Offer, &said, id),
            Some("answer") => self.relay(Kind::Answer, &said, id),
            Some("ice-candidate") => self.relay(Kind::IceCandidate, &said, id),
            Some("join") => self.join(said.session_id, id).await,
            Some("leave") => self.charged(id, |hub, line, effects| hub.leave(line, effects)),
            Some("ping") => self.ping(&said, id),
            Some("authenticate") => self.authenticate(&said, id),
            Some(other) => self.complain(&format!("Unknown message type: {other}"), id),
            None => {
                let kind = said.kind.map_or("None", |kind| match kind.get() {
                    "null" => "None",
                    "true" => "True",
                    "false" => "False",
                    other => other,
                });
                self.complain(&format!("Unknown message type: {kind}"), id);
            }
        }
    }

    /// The peer has sent bytes where text is due.
    pub fn say_bytes(&self) {
        self.complain("A message has to be text", None);
    }

    /// Brings the peer into a session's room. `session` is what it calls it, as JSON.
    pub async fn join(&self, session: Option<&RawValue>, id: Option<&str>) {
        let name = incoming::given(session).and_then(incoming::text);
        let (Some(shown), Some(name)) = (session, name) else {
            return self.complain("session_id required", id);
        };
        if !self.charged(id, |_, _, _| true) {
            return;
        }
        self.enter(&name, shown.get(), id).await;
    }

    /// The same for a session that is not named in JSON.
    pub async fn join_named(&self, session: &str) {
        self.enter(session, &Value::from(session).to_string(), None).await;
    }

    async fn enter(&self, name: &str, shown: &str, id: Option<&str>) {
        let peer = self.peer();
        let (room, routing) = match self.meant(&peer, name).await {
            Ok(meant) => meant,
            Err(Refused::Stranger) => {
                return self.tell(&format!("Not a member of session {name}"), id);
            }
            Err(Refused::Unknown(error)) => {
                tracing::error!(%error, "cannot look up a session");
                self.coordinator.note(&error);
                return self.tell("The session cannot be looked up now: try again", id);
            }
        };
        let now = self.coordinator.now();
        let mut state = self.coordinator.inner.signaling.lock();
        let (joined, _) = state.decide(now, |hub, effects| {
            hub.join(now, self.connection, &room, shown, effects)?;
            if let Some(routing) = routing {
                hub.route(&room, routing, effects);
            }
            Ok(())
        });
        drop(state);
        match joined {
            Ok(()) => {
                if let Some(id) = id {
                    self.push(ack(id));
                }
            }
            Err(JoinError::Gone) => {}
            Err(JoinError::Excess(_)) => self.tell("Too many joins: try again later", id),
            Err(error) => self.tell(&error.to_string(), id),
        }
    }

    /// The room that the peer means, and over what its members reach each other: if the store cannot
    /// say that now, the next review of the rooms tells it.
    async fn meant(&self, peer: &str, name: &str) -> Result<(String, Option<Routing>), Refused> {
        let room = self.coordinator.room(&self.caller, peer, name).await?;
        let routing = match &room.zone {
            Some(zone) => self.coordinator.routing(zone).await.ok(),
            None => Some(self.coordinator.in_force().peer_play.routing_at_all()),
        };
        Ok((room.name, routing))
    }

    fn peer(&self) -> String {
        let state = self.coordinator.inner.signaling.lock();
        state.hub.name_of(self.connection).unwrap_or_default().to_owned()
    }

    fn relay(&self, kind: Kind, said: &Incoming<'_>, id: Option<&str>) {
        let payload = match kind {
            Kind::Answer | Kind::Offer => said.sdp,
            Kind::IceCandidate => said.candidate,
        };
        let to = incoming::given(said.to).and_then(incoming::text);
        let (Some(to), Some(payload)) = (to, incoming::given(payload)) else {
            return self.complain(&format!("to and {} required", kind.field()), id);
        };
        if incoming::depth(payload) > MAX_DEPTH {
            let what = format!("{} has to be nested at most {MAX_DEPTH} deep", kind.field());
            return self.complain(&what, id);
        }
        let message = Outgoing { kind, to: &to, payload: payload.get() };
        let now = self.coordinator.now();
        let mut state = self.coordinator.inner.signaling.lock();
        let (sent, applied) = state.decide(now, |hub, effects| {
            if hub.charge(now, self.connection, id, effects).is_err() {
                return None;
            }
            Some(hub.send(now, self.connection, &message, effects))
        });
        let outcome = match (sent, applied) {
            (None, _) => return,
            (Some(Ok(_)), Applied::Overflow { kept: true }) => Ok(Delivery::Kept),
            (Some(Ok(_)), Applied::Overflow { kept: false }) => Err(Undeliverable::Full),
            (Some(sent), _) => sent,
        };
        if outcome.is_ok() && id.is_none() {
            return;
        }
        state.decide(now, |hub, effects| {
            hub.answer(self.connection, &message, id, outcome, effects);
        });
    }

    fn ping(&self, said: &Incoming<'_>, id: Option<&str>) {
        let seq = said.seq.and_then(|seq| seq.get().parse().ok());
        let now = self.coordinator.now();
        let is_taken = self.charged(id, |hub, connection, _| {
            if let Some(seq) = seq {
                hub.received(connection, seq);
            }
            true
        });
        if is_taken {
            let id = id.map(|id| format!(r#","id":{id}"#)).unwrap_or_default();
            self.push(format!(r#"{{"type":"pong","timestamp":"{now}"{id}}}"#).into());
        }
    }

    /// The peer shows a newer token: the connection may last as long as that. One that is not good, or
    /// another's, changes nothing.
    fn authenticate(&self, said: &Incoming<'_>, id: Option<&str>) {
        let Some(token) = incoming::given(said.token).and_then(incoming::text) else {
            return self.complain("token required", id);
        };
        let Caller::Proven(known) = &self.caller else {
            return self.complain("No token is asked for here", id);
        };
        let shown = match self.coordinator.caller(&self.peer(), Some(&token)) {
            Ok(Caller::Proven(shown)) => shown,
            Ok(Caller::Claimed) => return,
            Err(error) => return self.complain(&error.to_string(), id),
        };
        let same =
            (shown.role, &shown.player, &shown.host) == (known.role, &known.player, &known.host);
        if !same {
            return self.complain("The token is that of another", id);
        }
        let now = self.coordinator.now();
        self.charged(id, |hub, connection, effects| {
            hub.renew(now, connection, permit(&shown), id, effects);
        });
    }

    /// Does something that costs a message, unless that is too many.
    fn charged<T: Default>(
        &self,
        id: Option<&str>,
        decide: impl FnOnce(&mut Hub, ConnectionId, &mut Vec<Effect>) -> T,
    ) -> T {
        let now = self.coordinator.now();
        let mut state = self.coordinator.inner.signaling.lock();
        let (done, _) = state.decide(now, |hub, effects| {
            if hub.charge(now, self.connection, id, effects).is_err() {
                return T::default();
            }
            decide(hub, self.connection, effects)
        });
        done
    }

    /// Tells what is wrong with a message, which has to be paid for.
    fn complain(&self, what: &str, id: Option<&str>) {
        if self.charged(id, |_, _, _| true) {
            self.tell(what, id);
        }
    }

    fn tell(&self, what: &str, id: Option<&str>) {
        self.push(error(what, id));
    }

    fn push(&self, text: Bytes) {
        let now = self.coordinator.now();
        let mut state = self.coordinator.inner.signaling.lock();
        state.decide(now, |_, effects| {
            effects.push(Effect::Deliver { to: self.connection, text });
        });
    }
}

/// As long as these claims hold.
pub(super) const fn permit(claims: &Claims) -> Permit {
    Permit { family: claims.family, expires_at: claims.expires_at }
}

fn is_id(id: &str) -> bool {
    id.len() <= MAX_ID && matches!(id.as_bytes().first(), Some(b'"' | b'-' | b'0'..=b'9'))
}

fn ack(id: &str) -> Bytes {
    format!(r#"{{"type":"ack","id":{id},"status":"delivered"}}"#).into()
}

/// An error as the contract has it; with the message's id if it had one.
pub(crate) fn error(what: &str, id: Option<&str>) -> Bytes {
    let what = Value::from(what);
    let id = id.map(|id| format!(r#","id":{id}"#)).unwrap_or_default();
    format!(r#"{{"type":"error","message":{what}{id}}}"#).into()
}
