//! The coordinator: reads records, lets the domain decide, writes what it decided.
//!
//! Several decisions, and several coordinators on one store, run at the same time. A commit that
//! finds other records than it was made from changes nothing, and the decision is made again, up to
//! [`ATTEMPTS`] times. Within a process, joins of one zone take turns, so that they do not make each
//! other try again; and whoever has to try again does so alone, so that a crowd comes through.

mod auth;
mod claims;
mod hosts;
mod in_force;
mod joins;
pub mod monitoring;
mod openings;
mod pages;
mod pulse;
mod readiness;
mod repeats;
mod routing;
mod sessions;
pub mod signaling;
mod upkeep;
mod zones;

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex as SyncMutex, RwLock};
use std::time::Duration;

use p2p_coordinator_api::service::{Health, ServiceInfo};
use p2p_coordinator_api::{Timestamp, TokenError, ZoneId};
use p2p_core::{PeerId, SecretKey};
use thiserror::Error;
use tokio::sync::{Mutex, MutexGuard};

use self::signaling::SignalingSettings;
use crate::domain::{Changes, Refusal, Terms};
use crate::monitoring::Tally;
use crate::security::grants::Revoked;
use crate::security::jwt::NameKey;
use crate::security::{Caller, Denied, SecuritySettings, TokenRefusal, Tokens};
use crate::store::{Committed, Store, StoreError};
use crate::world::{Clock, Randomness};
use claims::Claims;
pub use in_force::{InForce, PeerPlay};
use openings::Openings;
use pages::Pages;
use pulse::{Pulse, touched};
use readiness::Probe;

/// How often a decision is made again because the records had changed.
pub const ATTEMPTS: u32 = 64;

/// How many zones can be joined at once without taking turns.
const TURNS: usize = 64;

/// What a coordinator is told about itself.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Settings {
    /// What it is called. Default `p2p-coordinator`.
    pub name: String,
    /// Its version. Default: this crate's.
    pub version: String,
    /// The lengths of time that decisions depend on.
    pub terms: Terms,
    /// How long what a heartbeat says may wait to be written with others. Default 1 s.
    pub heartbeat_interval: Duration,
    /// How long nothing may happen in a session until it fails. Default 30 min.
    pub session_timeout: Duration,
    /// How long a session that all players have left is kept for others, until it ends. Default
    /// 10 min.
    pub session_deserted: Duration,
    /// How often sessions are looked at for that. Default 30 s.
    pub session_check: Duration,
    /// How long sessions are remembered that are over. Default 7 days.
    pub session_history: Duration,
    /// The most of them; those over for longest are forgotten first. Default 100 000.
    pub session_history_max: u32,
    /// Where players play by peers, until [`put_in_force`](Coordinator::put_in_force) changes it.
    pub peer_play: PeerPlay,
    /// How it tells who asks.
    pub security: SecuritySettings,
    /// How peers reach each other through it.
    pub signaling: SignalingSettings,
    /// Whether `/metrics` tells what is counted. Default yes.
    pub prometheus: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            name: "p2p-coordinator".into(),
            version: env!("CARGO_PKG_VERSION").into(),
            terms: Terms::default(),
            heartbeat_interval: Duration::from_secs(1),
            session_timeout: Duration::from_secs(30 * 60),
            session_deserted: Duration::from_secs(10 * 60),
            session_check: Duration::from_secs(30),
            session_history: Duration::from_secs(7 * 24 * 3600),
            session_history_max: 100_000,
            peer_play: PeerPlay::default(),
            security: SecuritySettings::default(),
            signaling: SignalingSettings::default(),
            prometheus: true,
        }
    }
}

/// A coordinator on a store. A handle: clones are the same coordinator, asked by the same caller.
pub struct Coordinator<S> {
    inner: Arc<Inner<S>>,
    caller: Caller,
    /// By which key the request is known that is being done, if it has one.
    request: Option<Arc<str>>,
}

struct Inner<S> {
    store: S,
    clock: Clock,
    random: Randomness,
    key: SecretKey,
    tokens: Tokens,
    names: NameKey,
    /// What was taken back, as far as is known here.
    revoked: SyncMutex<Revoked>,
    /// Held from writing or reading what was taken back until it is known here.
    revoking: Mutex<()>,
    in_force: RwLock<Arc<InForce>>,
    settings: Settings,
    started: Timestamp,
    turns: [Mutex<()>; TURNS],
    /// Who tries again.
    again: Mutex<()>,
    pulse: Pulse,
    pages: Pages,
    claims: Claims,
    openings: Openings,
    draining: AtomicBool,
    /// How many of the idle sessions the last rounds have looked at.
    looked_up_to: AtomicU32,
    probe: Probe,
    signaling: signaling::Switch,
    tally: Tally,
    /// Held while the store counts.
    counting: Mutex<()>,
}

impl<S> Clone for Coordinator<S> {
    fn clone(&self) -> Self {
        let (caller, request) = (self.caller.clone(), self.request.clone());
        Self { inner: self.inner.clone(), caller, request }
    }
}

impl<S: fmt::Debug> fmt::Debug for Coordinator<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Coordinator")
            .field("store", &self.inner.store)
            .field("issuer", &self.issuer())
            .finish_non_exhaustive()
    }
}

/// Why a coordinator did not do what it was asked.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ServiceError {
    /// The token that was to be exchanged is not good.
    #[error(transparent)]
    BadToken(#[from] TokenRefusal),
    /// Others changed the same records each time.
    #[error("too many others change the same records: try again")]
    Contended,
    /// Whoever asks may not do it.
    #[error(transparent)]
    Denied(#[from] Denied),
    /// The request's key is that of another request.
    #[error("The key was another request's: choose a new one for each")]
    KeyReused,
    /// It may not be done.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// No token can be made for these ids.
    #[error(transparent)]
    Token(#[from] TokenError),
}

type Result<T> = std::result::Result<T, ServiceError>;

impl<S> Coordinator<S> {
    /// The name under which it signs join tokens.
    pub fn issuer(&self) -> PeerId {
        self.inner.key.peer_id()
    }

    /// From now on it says that it is not ready, so that others send no more. Peers that are connected
    /// for signaling are told to come back, and their connections end.
    pub fn drain(&self) {
        self.inner.signaling.drain();
        self.inner.draining.store(true, Ordering::Relaxed);
    }
}

impl<S: Store> Coordinator<S> {
    /// A coordinator on `store`, which signs join tokens with `key`. Its handle is the program's own:
    /// it may do everything. See [`acting_as`](Coordinator::acting_as).
    pub fn new(
        store: S,
        key: SecretKey,
        clock: Clock,
        random: Randomness,
        settings: Settings,
    ) -> Self {
        let (peer_play, rates) = (settings.peer_play.clone(), settings.security.rates);
        Self {
            inner: Arc::new(Inner {
                store,
                started: clock.now(),
                clock,
                random,
                tokens: Tokens::new(settings.security.tokens.clone(), &key),
                names: NameKey::derived(&key),
                revoked: SyncMutex::default(),
                revoking: Mutex::new(()),
                key,
                signaling: signaling::Switch::new(&settings.signaling),
                in_force: RwLock::new(Arc::new(InForce { peer_play, rates })),
                settings,
                turns: std::array::from_fn(|_| Mutex::new(())),
                again: Mutex::new(()),
                pulse: Pulse::new(),
                pages: Pages::default(),
                claims: Claims::default(),
                openings: Openings::default(),
                draining: AtomicBool::new(false),
                looked_up_to: AtomicU32::new(0),
                probe: Probe::default(),
                tally: Tally::default(),
                counting: Mutex::new(()),
            }),
            caller: Caller::TRUSTED,
            request: None,
        }
    }

    /// The store below.
    pub fn store(&self) -> &S {
        &self.inner.store
    }

    /// The time by its clock.
    pub fn now(&self) -> Timestamp {
        self.inner.clock.now()
    }

    /// What it was told about itself.
    pub fn settings(&self) -> &Settings {
        &self.inner.settings
    }

    /// What it is, and in which zones peers may meet.
    ///
    /// # Errors
    ///
    /// [`ServiceError::Store`].
    pub async fn info(&self) -> Result<ServiceInfo> {
        let zones = self.zones_open_to_peers(0, None).await?;
        let enabled_zones: Vec<ZoneId> =
            zones.into_iter().map(|zone| zone.definition.zone_id).collect();
        let Settings { name, version, .. } = self.settings();
        Ok(ServiceInfo {
            service: name.clone(),
            version: version.clone(),
            status: "running".into(),
            p2p_enabled: self.in_force().peer_play.enabled,
            enabled_zones,
        })
    }

    /// That it lives, and whether its store answered the last time it was asked.
    pub fn health(&self) -> Health {
        let state = if self.store().is_connected() { "connected" } else { "unavailable" };
        let Settings { name, version, .. } = self.settings();
        Health {
            status: "healthy".into(),
            service: name.clone(),
            version: version.clone(),
            database: [(self.store().name().to_owned(), state.to_owned())].into(),
        }
    }

    /// Writes a decision; `None` if the records had changed, so that it is to be made again.
    async fn commit(&self, changes: Changes) -> Result<Option<Committed>> {
        if changes.is_empty() {
            return Ok(Some(Committed::default()));
        }
        let touched = touched(&changes);
        self.inner.pulse.forget(&touched);
        let committed = self.store().commit(changes).await;
        // Once more: what was read meanwhile may be from before.
        self.inner.pulse.forget(&touched);
        match committed {
            Ok(committed) => Ok(Some(committed)),
            Err(StoreError::Conflict) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Waits for this zone's turn. Two zones may share one: that costs time, nothing else.
    async fn turn(&self, zone: &ZoneId) -> MutexGuard<'_, ()> {
        let sum = zone
            .as_str()
            .bytes()
            .fold(0_usize, |sum, byte| sum.wrapping_mul(31).wrapping_add(byte.into()));
        self.inner.turns[sum % TURNS].lock().await
    }

    /// Before each attempt: from the second on it is made alone, but for those who try for the first
    /// time. Of many who change one host at once each would else lose to all the others in turn.
    async fn alone<'a>(&'a self, attempt: u32, held: &mut Option<MutexGuard<'a, ()>>) {
        if attempt > 0 && held.is_none() {
            *held = Some(self.inner.again.lock().await);
        }
    }
}
