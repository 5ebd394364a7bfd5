//! What closes idle connections.

use std::fmt;
use std::future::pending;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use tokio::sync::Notify;
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::{Instant, sleep_until};

use super::PoolConfig;
use super::slots::Slots;
use crate::provider::P2PConnection;
use crate::race::first;

/// A pool's state, and its one task. It lives as long as the pool's handles.
pub(super) struct Pool<C: P2PConnection> {
    slots: Mutex<Slots<C>>,
    leaving: Mutex<Leaving<C>>,
    /// That there is something to do for the task.
    wake: Arc<Notify>,
    task: AbortHandle,
}

/// What has to be closed politely.
#[derive(Debug)]
struct Leaving<C> {
    waiting: Vec<C>,
    /// That the task is seeing off.
    closing: usize,
    /// That the task has no time to wake up at, so that one that becomes idle must wake it.
    sleeps: bool,
}

impl<C: P2PConnection> Pool<C> {
    pub(super) fn start(config: PoolConfig) -> Arc<Self> {
        let wake = Arc::new(Notify::new());
        Arc::new_cyclic(|pool| {
            let task = tokio::spawn(reap(pool.clone(), wake.clone())).abort_handle();
            let leaving = Leaving { waiting: Vec::new(), closing: 0, sleeps: true };
            let slots = Mutex::new(Slots::new(config));
            Self { slots, leaving: Mutex::new(leaving), wake, task }
        })
    }

    pub(super) fn slots(&self) -> MutexGuard<'_, Slots<C>> {
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn leaving(&self) -> MutexGuard<'_, Leaving<C>> {
        self.leaving.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Closes connections that have left the pool; drops them if too many are closing already.
    pub(super) fn dispose(&self, mut connections: Vec<C>) {
        connections.retain(P2PConnection::is_connected);
        if connections.is_empty() {
            return;
        }
        let max = self.slots().config().max_connections;
        let mut leaving = self.leaving();
        let room = max.saturating_sub(leaving.waiting.len() + leaving.closing);
        let rest = connections.split_off(room.min(connections.len()));
        leaving.waiting.append(&mut connections);
        drop(leaving);
        self.wake.notify_one();
        drop(rest);
    }

    /// A connection may have become idle. The time at which it will have been so for too long is not
    /// before that of any other.
    pub(super) fn idle(&self) {
        let mut leaving = self.leaving();
        if leaving.sleeps {
            leaving.sleeps = false;
            self.wake.notify_one();
        }
    }
}

impl<C: P2PConnection> Drop for Pool<C> {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl<C: P2PConnection> fmt::Debug for Pool<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pool").field("connections", &self.slots().len()).finish_non_exhaustive()
    }
}

/// Sees off what has been idle for too long, and what had to make room.
async fn reap<C: P2PConnection>(pool: Weak<Pool<C>>, wake: Arc<Notify>) {
    let mut closing = JoinSet::new();
    loop {
        let next = {
            let Some(pool) = pool.upgrade() else { return };
            while closing.try_join_next().is_some() {}
            pool.leaving().closing = closing.len();
            pool.leaving().sleeps = true;
            let (expired, next) = pool.slots().expire(Instant::now());
            pool.leaving().sleeps &= next.is_none();
            pool.dispose(expired);
            let code = pool.slots().config().close_code;
            let mut leaving = pool.leaving();
            for connection in std::mem::take(&mut leaving.waiting) {
                closing.spawn(async move { connection.close(code, "idle").await });
            }
            leaving.closing = closing.len();
            next
        };
        let idle_for_too_long = async {
            match next {
                Some(next) => sleep_until(next).await,
                None => pending().await,
            }
        };
        let closed = async {
            match closing.join_next().await {
                Some(_) => {}
                None => pending().await,
            }
        };
        first(wake.notified(), first(closed, idle_for_too_long)).await;
    }
}
