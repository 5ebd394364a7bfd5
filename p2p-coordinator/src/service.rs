//! The coordinator: reads records, lets the domain decide, writes what it decided.
//!
//! Several decisions, and several coordinators on one store, run at the same time. A commit that
//! finds other records than it was made from changes nothing, and the decision is made again, up to
//! [`ATTEMPTS`] times. Within a process, joins of one zone take turns, so that they do not make each
//! other try again; and whoever has to try again does so alone, so that a crowd comes through.

mod auth;
mod hosts;
mod joins;
mod sessions;
pub mod signaling;
mod zones;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use p2p_coordinator_api::service::{Health, Readiness, ServiceInfo};
use p2p_coordinator_api::{Timestamp, TokenError, ZoneId, ZoneStatus};
use p2p_core::{PeerId, SecretKey};
use thiserror::Error;
use tokio::sync::{Mutex, MutexGuard};

use self::signaling::SignalingSettings;
use crate::domain::{Changes, Refusal, Terms};
use crate::security::{SecuritySettings, Tokens};
use crate::store::{Committed, Store, StoreError, ZoneQuery};
use crate::world::{Clock, Randomness};

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
    /// How it tells who asks.
    pub security: SecuritySettings,
    /// How peers reach each other through it.
    pub signaling: SignalingSettings,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            name: "p2p-coordinator".into(),
            version: env!("CARGO_PKG_VERSION").into(),
            terms: Terms::default(),
            security: SecuritySettings::default(),
            signaling: SignalingSettings::default(),
        }
    }
}

/// A coordinator on a store. A handle: clones are the same coordinator.
pub struct Coordinator<S> {
    inner: Arc<Inner<S>>,
}

struct Inner<S> {
    store: S,
    clock: Clock,
    random: Randomness,
    key: SecretKey,
    tokens: Tokens,
    settings: Settings,
    started: Timestamp,
    turns: [Mutex<()>; TURNS],
    /// Who tries again.
    again: Mutex<()>,
    draining: AtomicBool,
    signaling: signaling::Switch,
}

impl<S> Clone for Coordinator<S> {
    fn clone(&self) -> Self {
        Self { inner: self.inner.clone() }
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
    /// Others changed the same records each time.
    #[error("too many others change the same records: try again")]
    Contended,
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
    /// A coordinator on `store`, which signs join tokens with `key`.
    pub fn new(
        store: S,
        key: SecretKey,
        clock: Clock,
        random: Randomness,
        settings: Settings,
    ) -> Self {
        Self {
            inner: Arc::new(Inner {
                store,
                started: clock.now(),
                clock,
                random,
                tokens: Tokens::new(settings.security.tokens.clone(), &key),
                key,
                signaling: signaling::Switch::new(&settings.signaling),
                settings,
                turns: std::array::from_fn(|_| Mutex::new(())),
                again: Mutex::new(()),
                draining: AtomicBool::new(false),
            }),
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
        let query = ZoneQuery {
            status: Some(ZoneStatus::Enabled),
            p2p_enabled: Some(true),
            ..ZoneQuery::default()
        };
        let zones = self.store().zones(&query).await?;
        let enabled_zones: Vec<ZoneId> =
            zones.into_iter().map(|(row, _)| row.value.definition.zone_id).collect();
        let Settings { name, version, .. } = self.settings().clone();
        Ok(ServiceInfo {
            service: name,
            version,
            status: "running".into(),
            p2p_enabled: true,
            enabled_zones,
        })
    }

    /// That it lives, and whether its store answers.
    pub async fn health(&self) -> Health {
        let look = ZoneQuery { limit: Some(1), ..ZoneQuery::default() };
        let state = match self.store().zones(&look).await {
            Ok(_) => "connected",
            Err(_) => "unavailable",
        };
        let Settings { name, version, .. } = self.settings().clone();
        Health {
            status: "healthy".into(),
            service: name,
            version,
            database: [(self.store().name().to_owned(), state.to_owned())].into(),
        }
    }

    /// Whether it can do its work now: as a sentence for each thing that is needed.
    pub async fn readiness(&self) -> Readiness {
        let store = match self.store().check().await {
            Ok(()) => "ok".to_owned(),
            Err(error) => {
                tracing::error!(error = &error as &dyn std::error::Error, "the store is not ready");
                "unavailable".to_owned()
            }
        };
        let status = if self.inner.draining.load(Ordering::Relaxed) {
            "draining"
        } else if store == "ok" {
            "ready"
        } else {
            "unavailable"
        };
        Readiness {
            status: status.into(),
            checks: [(self.store().name().to_owned(), store)].into(),
        }
    }

    /// Writes a decision; `None` if the records had changed, so that it is to be made again.
    async fn commit(&self, changes: Changes) -> Result<Option<Committed>> {
        if changes.is_empty() {
            return Ok(Some(Committed::default()));
        }
        match self.store().commit(changes).await {
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
