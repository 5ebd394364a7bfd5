//! What the agent's task, the admission hook and the handles have in common.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use p2p_coordinator_api::{HostNews, Nonce, Routing, SessionName, TokenError};
use p2p_core::{Admission, Applicant, Denied, PeerId};
use tokio::sync::Notify;
use tokio::time::Instant;

use super::clock::Clock;
use super::config::HostConfig;
use super::guests::Guests;
use super::register::Registered;
use crate::doorkeeper::{Doorkeeper, TokenRefusal};

/// Behind one lock, which nobody holds across an `await`.
#[derive(Debug)]
pub(crate) struct Shared {
    hall: Mutex<Hall>,
    /// Guests were let go.
    pub(super) changed: Notify,
}

#[derive(Debug)]
pub(crate) struct Hall {
    doorkeeper: Doorkeeper,
    clock: Clock,
    /// Whether somebody showed a token that the issuer known here did not sign: a forger, or a
    /// coordinator with a new key, of which no heartbeat tells.
    pub(super) doubts_issuer: bool,
    pub(super) guests: Guests,
    /// Whose [`Guest`](super::Guest) was dropped. At most as many as there are guests.
    let_go: Vec<u64>,
    /// Whether the coordinator's last word was that it knows the host.
    known: bool,
    /// When it last said so.
    heard: Instant,
    lease: Duration,
    max_players: Option<u32>,
    last_error: Option<String>,
    routing: Routing,
    server_routed: Vec<SessionName>,
}

impl Hall {
    pub(super) fn new(config: &HostConfig, peer: PeerId, registered: &Registered) -> Self {
        let Registered { terms, at, .. } = registered;
        let host = config.host_id.clone();
        let max = config.max_remembered;
        Self {
            doorkeeper: Doorkeeper::new(terms.issuer, host, peer, terms.now, max),
            clock: Clock::new(terms.now, *at),
            doubts_issuer: false,
            guests: Guests::new(config.max_connections.max(1)),
            let_go: Vec::new(),
            known: true,
            heard: *at,
            lease: Duration::from_millis(terms.lease_ms),
            max_players: config.max_players,
            last_error: None,
            routing: Routing::Peers,
            server_routed: Vec::new(),
        }
    }

    /// The host was registered again. Tokens made before by the same issuer stay valid: this process
    /// knows which of them were used.
    pub(super) fn registered(&mut self, registered: &Registered) {
        let Registered { terms, at, .. } = registered;
        if self.doorkeeper.set_issuer(terms.issuer, terms.now) {
            self.clock = Clock::new(terms.now, *at);
        } else {
            self.clock.synchronise(terms.now, *at);
        }
        self.doubts_issuer = false;
        self.lease = Duration::from_millis(terms.lease_ms);
        self.heard(*at);
    }

    /// The coordinator told what has changed for the host. Whose connections are to be closed.
    pub(super) fn learn(&mut self, news: &HostNews, at: Instant) -> Vec<u64> {
        if self.clock.follow(news.now, at) {
            self.doorkeeper.set_back(news.now);
        }
        let gone: Vec<Nonce> = news.gone.iter().filter_map(|nonce| nonce.parse().ok()).collect();
        self.guests.evict(&gone)
    }

    /// The coordinator told over what players reach each other, at all and in these sessions.
    pub(super) fn route(&mut self, routing: Routing, server_routed: &[SessionName]) {
        self.routing = routing;
        self.server_routed = server_routed.to_vec();
    }

    /// The coordinator said that it knows the host.
    pub(super) fn heard(&mut self, at: Instant) {
        (self.known, self.heard, self.last_error) = (true, at, None);
    }

    /// It did not.
    pub(super) fn failed(&mut self, error: String, unknown: bool) {
        self.known = self.known && !unknown;
        self.last_error = Some(error);
    }

    pub(super) fn state(&self, now: Instant) -> AgentState {
        let registered = self.known && now.saturating_duration_since(self.heard) < self.lease;
        let (last_error, guests) = (self.last_error.clone(), self.guests.count());
        let (routing, server_routed) = (self.routing, self.server_routed.clone());
        AgentState { registered, last_error, guests, routing, server_routed }
    }
}

impl Shared {
    pub(super) fn new(hall: Hall) -> Self {
        Self { hall: Mutex::new(hall), changed: Notify::new() }
    }

    pub(super) fn hall(&self) -> MutexGuard<'_, Hall> {
        self.hall.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn let_go(&self, number: u64) {
        self.hall().let_go.push(number);
        self.changed.notify_one();
    }

    pub(super) fn take_let_go(&self) -> Vec<u64> {
        std::mem::take(&mut self.hall().let_go)
    }
}

/// The admission hook.
pub(super) struct HallDoor(pub(super) Arc<Shared>);

#[async_trait]
impl Admission for HallDoor {
    async fn admit(&self, applicant: &Applicant) -> Result<(), Denied> {
        let now = Instant::now();
        let hall = &mut *self.0.hall();
        let time = hall.clock.now(now);
        match hall.doorkeeper.admit(time, applicant.peer, &applicant.credential) {
            Ok(claims) => {
                // The coordinator has given a place again that somebody here still takes up.
                if hall.guests.crowded(now, &claims, hall.max_players) {
                    return Err(Denied("no place is free at this moment: join again".into()));
                }
                hall.guests.expect(now, applicant.credential.clone(), claims);
                Ok(())
            }
            Err(refusal) => {
                hall.doubts_issuer |= refusal == TokenRefusal::Token(TokenError::Forged);
                Err(Denied(refusal.to_string()))
            }
        }
    }
}

/// How it stands between a host and the coordinator.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct AgentState {
    /// Whether the coordinator, as far as the agent knows, counts the host as alive: it said so
    /// within the lease.
    pub registered: bool,
    /// What went wrong with the coordinator since it last said so.
    pub last_error: Option<String>,
    /// Guests who have arrived and not left.
    pub guests: usize,
    /// Over what players reach each other, by the coordinator's last word: while P2P is switched off,
    /// it sends no more guests, and the game is to go on over its server.
    pub routing: Routing,
    /// The sessions here for which that holds, of all or of some zones.
    pub server_routed: Vec<SessionName>,
}
