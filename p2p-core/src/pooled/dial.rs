//! A connection on its way, and all who wait for it.

use std::fmt;
use std::sync::{Arc, OnceLock, Weak};

use tokio::sync::Semaphore;
use tokio::task::AbortHandle;

use super::connection::{Lease, PooledConnection};
use super::reaper::Pool;
use super::slots::Key;
use crate::address::PeerAddr;
use crate::error::{P2PError, Result};
use crate::options::ConnectOptions;
use crate::provider::{P2PConnection, P2PProvider};

/// Held by those who wait, and nobody else: when the last gives up, the attempt ends.
pub(super) struct Dial<C: P2PConnection> {
    pool: Weak<Pool<C>>,
    key: Key,
    number: u64,
    /// Closed when the outcome is there; nobody ever gets a permit. A semaphore wakes in order, so
    /// that simulated runs repeat.
    over: Semaphore,
    outcome: OnceLock<Result<PooledConnection<C>, Arc<P2PError>>>,
    task: OnceLock<AbortHandle>,
}

impl<C: P2PConnection> Dial<C> {
    /// Starts to dial, in a task of its own.
    pub(super) fn start<P: P2PProvider<Connection = C>>(
        (provider, peer, options): (P, PeerAddr, ConnectOptions),
        pool: &Arc<Pool<C>>,
        key: Key,
        number: u64,
    ) -> Arc<Self> {
        let dial = Arc::new(Self {
            pool: Arc::downgrade(pool),
            key,
            number,
            over: Semaphore::new(0),
            outcome: OnceLock::new(),
            task: OnceLock::new(),
        });
        let waiting = Over(Arc::downgrade(&dial));
        let task = tokio::spawn(async move {
            let outcome = provider.connect(&peer, options).await;
            if let Some(dial) = waiting.0.upgrade() {
                dial.end(outcome);
            }
        });
        dial.task.get_or_init(|| task.abort_handle());
        dial
    }

    fn end(&self, outcome: Result<C>) {
        let Some(pool) = self.pool.upgrade() else { return };
        let outcome = match outcome {
            Ok(connection) => {
                // In use before it is in the pool, so that nobody takes its place.
                let (key, number) = (self.key.clone(), self.number);
                let lease = Arc::new(Lease::new(connection.clone(), &pool, key, number));
                pool.slots().open(&self.key, number, connection, &lease);
                Ok(PooledConnection::shared(lease))
            }
            Err(error) => {
                pool.slots().gave_up(&self.key, self.number);
                Err(Arc::new(error))
            }
        };
        // It ends once.
        let _ = self.outcome.set(outcome);
    }

    /// Waits for the outcome. Cancel safe.
    pub(super) async fn outcome(&self) -> Result<PooledConnection<C>> {
        let _ = self.over.acquire().await;
        match self.outcome.get() {
            Some(Ok(connection)) => Ok(connection.clone()),
            Some(Err(error)) => Err(error.share()),
            None => Err(P2PError::ConnectionFailed {
                peer: self.key.peer,
                reason: "the attempt was broken off".into(),
                source: None,
            }),
        }
    }
}

impl<C: P2PConnection> Drop for Dial<C> {
    fn drop(&mut self) {
        if let Some(task) = self.task.get() {
            task.abort();
        }
        if let Some(pool) = self.pool.upgrade() {
            pool.slots().gave_up(&self.key, self.number);
        }
    }
}

impl<C: P2PConnection> fmt::Debug for Dial<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Dial").field("key", &self.key).finish_non_exhaustive()
    }
}

/// Wakes those who wait, however the task ends.
struct Over<C: P2PConnection>(Weak<Dial<C>>);

impl<C: P2PConnection> Drop for Over<C> {
    fn drop(&mut self) {
        if let Some(dial) = self.0.upgrade() {
            dial.over.close();
        }
    }
}
