//! Signaling: connections of peers, and what they say, put through the hub.
//!
//! One lock holds the hub and the outboxes, so that what the hub decides reaches the outboxes in the
//! order of deciding. Under it nothing waits: a text is written once, and put where it waits for its
//! connection. Only joins look into the store, before they take the lock.

mod admission;
mod incoming;
mod line;
mod outbox;
mod rest;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use p2p_coordinator_api::websocket::SERVICE_RESTART;
use p2p_coordinator_api::{Nonce, Timestamp};
use serde::Serialize;
use thiserror::Error;
use tokio::sync::{Mutex as AsyncMutex, Notify};
use tokio::time::{Instant, MissedTickBehavior, interval};

pub use admission::{Caller, Identity};
pub use line::Line;
pub use outbox::{Outbox, Taken};
pub use rest::{Letter, PostError};

use super::{Coordinator, Result};
use crate::domain::signaling::{
    Arrival, ConnectionId, Denied, Effect, Hub, Limits, Reach, Resume, ResumeToken,
};
use crate::store::Store;

/// How signaling is done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct SignalingSettings {
    /// Bounds.
    pub limits: Limits,
    /// Whom messages reach, and which rooms there are: those of the sessions in the store, with their
    /// members; or any, as in the service before this one. Default: the sessions'.
    pub reach: Reach,
    /// Whether peers have to show who they are. Default: they have to.
    pub identity: Identity,
}

/// The answer at `/signaling/stats`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct SignalingStats {
    /// Peers that are connected.
    pub active_connections: usize,
    /// Sessions in which somebody is.
    pub active_sessions: usize,
}

/// Somebody who connects.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Knock<'a> {
    /// As whom.
    pub peer: &'a str,
    /// The access token.
    pub token: Option<&'a str>,
    /// For who wants to be able to come back: what the peer was given when it came first, or any
    /// other text.
    pub resume: Option<&'a str>,
    /// The number of the last message it has.
    pub received: Option<u64>,
}

impl<'a> Knock<'a> {
    /// Of a peer without a token, who does not come back.
    pub const fn new(peer: &'a str) -> Self {
        Self { peer, token: None, resume: None, received: None }
    }
}

/// Why nobody is let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ConnectError {
    /// It cannot come.
    #[error(transparent)]
    Denied(#[from] Denied),
    /// The coordinator is about to end.
    #[error("The coordinator restarts: connect again")]
    Draining,
    /// The token is that of another.
    #[error("peer_id has to be that of the token's player")]
    Foreign,
    /// There is no token, or it does not hold.
    #[error("Invalid or expired authentication token")]
    Token,
}

/// The hub, and the queues of its connections.
#[derive(Debug)]
pub(super) struct Switch {
    state: Mutex<State>,
    /// Somebody in a room is to be told something.
    look: Notify,
    /// Held while rooms are looked at: what was read before is not told after what was read later.
    looking: AsyncMutex<()>,
}

#[derive(Debug)]
struct State {
    hub: Hub,
    outboxes: BTreeMap<ConnectionId, Arc<Outbox>>,
    effects: Vec<Effect>,
    draining: bool,
}

impl Switch {
    pub(super) fn new(settings: &SignalingSettings) -> Self {
        let state = State {
            hub: Hub::new(settings.limits, settings.reach),
            outboxes: BTreeMap::new(),
            effects: Vec::new(),
            draining: false,
        };
        Self { state: Mutex::new(state), look: Notify::new(), looking: AsyncMutex::new(()) }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Has rooms looked at before it is time.
    pub(super) fn look_soon(&self) {
        self.look.notify_one();
    }

    /// Tells all connections to come back, and ends them.
    pub(super) fn drain(&self) {
        let mut state = self.lock();
        state.draining = true;
        for outbox in state.outboxes.values() {
            outbox.push(RECONNECT.into());
            outbox.close(SERVICE_RESTART, "The coordinator restarts: connect again");
        }
    }
}

const RECONNECT: &str = r#"{"type":"reconnect","message":"The coordinator restarts: connect again","retry_after_ms":1000}"#;

/// What came of the last effect of a decision: of a message, the one by which it is delivered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Applied {
    /// It was done.
    Done,
    /// There was no room for the text. Whether its peer gets it when it comes back.
    Overflow { kept: bool },
}

impl State {
    /// Lets the hub decide, and does what it decided.
    fn decide<T>(
        &mut self,
        now: Timestamp,
        decide: impl FnOnce(&mut Hub, &mut Vec<Effect>) -> T,
    ) -> (T, Applied) {
        let mut effects = std::mem::take(&mut self.effects);
        self.hub.expire(now, &mut effects);
        let decided = decide(&mut self.hub, &mut effects);
        let applied = self.apply(now, &mut effects);
        self.effects = effects;
        (decided, applied)
    }

    fn apply(&mut self, now: Timestamp, effects: &mut Vec<Effect>) -> Applied {
        let mut applied = Applied::Done;
        let decided = effects.len();
        let mut at = 0;
        // What has no room may give more to do.
        while let Some(effect) = effects.get(at) {
            at += 1;
            match effect {
                Effect::Deliver { to, text } => {
                    let to = *to;
                    let taken =
                        self.outboxes.get(&to).is_none_or(|outbox| outbox.push(text.clone()));
                    if !taken {
                        let kept = self.hub.overflowed(now, to, effects);
                        if at == decided {
                            applied = Applied::Overflow { kept };
                        }
                    }
                }
                Effect::Close { connection, ending } => {
                    if let Some(outbox) = self.outboxes.remove(connection) {
                        outbox.end(*ending);
                    }
                }
            }
        }
        effects.clear();
        if effects.capacity() > SPARE {
            *effects = Vec::new();
        }
        applied
    }
}

/// How many effects there is room for between decisions.
const SPARE: usize = 1024;

impl<S: Store> Coordinator<S> {
    /// Lets a peer in, who then says things on the [`Line`].
    ///
    /// # Errors
    ///
    /// [`ConnectError`].
    pub fn connect(&self, knock: &Knock<'_>) -> std::result::Result<Line<S>, ConnectError> {
        let caller = self.caller(knock.peer, knock.token).inspect_err(|_| {
            self.tally().strange_peers.add_one();
        })?;
        let resume = knock.resume.map(|shown| Resume {
            shown: shown.parse().ok(),
            received: knock.received,
            fresh: ResumeToken::from_bytes(self.inner.random.bytes()),
        });
        let arrival = Arrival { peer: knock.peer, proven: caller.is_proven(), resume };
        let outbox = Arc::new(Outbox::new(&self.settings().signaling.limits));
        let now = self.now();
        let mut state = self.inner.signaling.lock();
        if state.draining {
            return Err(ConnectError::Draining);
        }
        // The outbox has to be there when the first effects are done.
        let mut effects = std::mem::take(&mut state.effects);
        state.hub.expire(now, &mut effects);
        let connected = state.hub.connect(now, &arrival, &mut effects);
        if let Ok(connection) = connected {
            state.outboxes.insert(connection, outbox.clone());
            if let Caller::Proven(claims) = &caller {
                state.hub.permit(now, connection, line::permit(claims));
            }
        }
        state.apply(now, &mut effects);
        state.effects = effects;
        drop(state);
        let connection = connected?;
        self.tally().peers.add_one();
        Ok(Line::new(self.clone(), caller, connection, outbox))
    }

    /// How many are connected.
    pub fn signaling_stats(&self) -> SignalingStats {
        let (active_connections, active_sessions) = self.inner.signaling.lock().hub.counts();
        SignalingStats { active_connections, active_sessions }
    }

    /// Ends the connections of logins that were taken back.
    pub(super) fn revoke_peers(&self, is_void: impl Fn(&Nonce) -> bool) {
        let now = self.now();
        self.inner.signaling.lock().decide(now, |hub, effects| hub.revoke(is_void, effects));
    }

    /// Forgets peers who stayed away too long and ends connections whose tokens have, every second,
    /// for as long as it is polled; [reviews the rooms](Self::review_rooms) every five, and as soon as a
    /// zone was opened or closed here.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future ends it; nobody is told anything by half.
    pub async fn tend_peers(&self) {
        let mut clock = interval(TICK);
        clock.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut due = Instant::now();
        loop {
            tokio::select! {
                biased;
                () = self.inner.signaling.look.notified() => due = Instant::now(),
                _ = clock.tick() => {}
            }
            self.expire_peers();
            if Instant::now() < due {
                continue;
            }
            due = Instant::now() + REVIEW;
            if let Err(error) = self.review_rooms().await {
                due = Instant::now();
                self.note(&error);
                tracing::error!(%error, "cannot look who is still in which session; trying again");
            }
        }
    }

    /// Forgets peers who stayed away too long, and ends connections whose tokens have.
    pub fn expire_peers(&self) {
        let now = self.now();
        self.inner.signaling.lock().decide(now, |_, _| ());
    }

    /// Sends out of the sessions' rooms who has no place in them any more, and tells all who are
    /// connected if P2P was switched off or on for them, at all or in the session's zone.
    ///
    /// # Errors
    ///
    /// [`ServiceError::Store`](super::ServiceError::Store).
    pub async fn review_rooms(&self) -> Result<()> {
        let switch = &self.inner.signaling;
        let _alone = switch.looking.lock().await;
        let at_all = self.in_force().peer_play.routing_at_all();
        switch.lock().decide(self.now(), |hub, effects| hub.route_others(at_all, effects));
        let any_room = self.settings().signaling.reach == Reach::Anyone;
        let (mut last, mut routes) = (String::new(), self.routes());
        loop {
            let rooms = switch.lock().hub.rooms_after(&last, PAGE);
            let Some(name) = rooms.last() else { return Ok(()) };
            last.clone_from(name);
            for room in rooms {
                if any_room {
                    let routing = match self.zone_of(&room).await? {
                        Some(zone) => routes.of(&zone).await?,
                        None => at_all,
                    };
                    switch.lock().decide(self.now(), |hub, effects| {
                        hub.route(&room, routing, effects);
                    });
                    continue;
                }
                let members = self.members(&room).await?;
                let routing = match &members {
                    Some(members) => Some(routes.of(members.zone()).await?),
                    None => None,
                };
                let is_member = |peer: &str| members.as_ref().is_some_and(|all| all.has(peer));
                switch.lock().decide(self.now(), |hub, effects| {
                    hub.keep(&room, is_member, effects);
                    if let Some(routing) = routing {
                        hub.route(&room, routing, effects);
                    }
                });
            }
        }
    }
}

/// How often it is looked who stayed away too long.
const TICK: Duration = Duration::from_secs(1);

/// How long somebody who has lost the place in a session may stay in its room.
const REVIEW: Duration = Duration::from_secs(5);

/// How many rooms are looked at in one go.
const PAGE: usize = 256;
