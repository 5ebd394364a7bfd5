//! Which connections a pool has, who uses them, and which one has to go: without any I/O.

use std::collections::BTreeMap;
use std::sync::{Arc, Weak};

use bytes::Bytes;
use tokio::time::Instant;

use super::connection::{Lease, PooledConnection};
use super::dial::Dial;
use super::reaper::Pool;
use super::{PoolConfig, shut_down};
use crate::error::{Limit, P2PError, Result};
use crate::identity::PeerId;
use crate::path::PathPolicy;
use crate::protocol::ProtocolName;
use crate::provider::P2PConnection;

/// What may share a connection. The credential is in it because what one caller may do by its
/// credential, another one may not; and a connection that one may not use for its path may be all
/// right for another.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Key {
    pub(super) peer: PeerId,
    pub(super) protocol: ProtocolName,
    pub(super) credential: Bytes,
    pub(super) path_policy: PathPolicy,
}

#[derive(Debug)]
pub(super) struct Slots<C: P2PConnection> {
    config: PoolConfig,
    /// At most `max_connections`.
    slots: BTreeMap<Key, Slot<C>>,
    /// Tells a slot from an earlier one of the same key.
    next: u64,
    shut_down: bool,
}

#[derive(Debug)]
enum Slot<C: P2PConnection> {
    /// On its way, as long as somebody waits for it.
    Dialling(u64, Weak<Dial<C>>),
    Open(Open<C>),
}

#[derive(Debug)]
struct Open<C: P2PConnection> {
    number: u64,
    connection: C,
    /// Held by all who use it.
    lease: Weak<Lease<C>>,
    /// When the last of them went, once that was told.
    idle_since: Option<Instant>,
}

impl<C: P2PConnection> Open<C> {
    fn is_idle(&self) -> bool {
        self.lease.strong_count() == 0
    }
}

/// What somebody gets who asks.
pub(super) enum Taken<C: P2PConnection> {
    Joined(Arc<Dial<C>>),
    Open(PooledConnection<C>),
    Started(Arc<Dial<C>>),
}

impl<C: P2PConnection> Slots<C> {
    pub(super) fn new(config: PoolConfig) -> Self {
        Self { config, slots: BTreeMap::new(), next: 0, shut_down: false }
    }

    pub(super) fn config(&self) -> &PoolConfig {
        &self.config
    }

    pub(super) fn len(&self) -> usize {
        self.slots.len()
    }

    /// A connection, or a dial, for `key`: the present one, or what `start` makes. Connections that go
    /// for it are put into `dropped`, for the caller to see off when it has unlocked this.
    pub(super) fn take(
        &mut self,
        key: &Key,
        pool: &Arc<Pool<C>>,
        now: Instant,
        dropped: &mut Vec<C>,
        start: impl FnOnce(u64) -> Arc<Dial<C>>,
    ) -> Result<Taken<C>> {
        if self.shut_down {
            return Err(shut_down());
        }
        match self.slots.get_mut(key) {
            Some(Slot::Open(open)) if open.connection.is_connected() => {
                let lease = open.lease.upgrade().unwrap_or_else(|| {
                    let lease = Arc::new(Lease::new(
                        open.connection.clone(),
                        pool,
                        key.clone(),
                        open.number,
                    ));
                    (open.lease, open.idle_since) = (Arc::downgrade(&lease), None);
                    lease
                });
                return Ok(Taken::Open(PooledConnection::shared(lease)));
            }
            Some(Slot::Dialling(_, dial)) => {
                if let Some(dial) = dial.upgrade() {
                    return Ok(Taken::Joined(dial));
                }
            }
            Some(Slot::Open(_)) | None => {}
        }
        dropped.extend(self.remove(key));
        self.make_room(now, dropped)?;
        let number = self.next;
        self.next += 1;
        let dial = start(number);
        self.slots.insert(key.clone(), Slot::Dialling(number, Arc::downgrade(&dial)));
        Ok(Taken::Started(dial))
    }

    /// The dial with this number has come to a connection. It is in the pool from now on, unless that
    /// was shut down.
    pub(super) fn open(&mut self, key: &Key, number: u64, connection: C, lease: &Arc<Lease<C>>) {
        if let Some(slot @ Slot::Dialling(..)) = self.slots.get_mut(key) {
            if slot.number() == number {
                let lease = Arc::downgrade(lease);
                *slot = Slot::Open(Open { number, connection, lease, idle_since: None });
            }
        }
    }

    /// Nobody waits for the dial with this number any more, or it has failed.
    pub(super) fn gave_up(&mut self, key: &Key, number: u64) {
        if let Some(slot @ Slot::Dialling(..)) = self.slots.get(key) {
            if slot.number() == number {
                self.slots.remove(key);
            }
        }
    }

    /// The last user of a connection has gone.
    pub(super) fn returned(&mut self, key: &Key, number: u64, now: Instant) {
        if let Some(Slot::Open(open)) = self.slots.get_mut(key) {
            // Unless another has come in the meantime.
            if open.number == number && open.is_idle() {
                open.idle_since = Some(now);
            }
        }
    }

    /// Removes what has been idle for too long or has ended without a user, and says when to look
    /// again.
    pub(super) fn expire(&mut self, now: Instant) -> (Vec<C>, Option<Instant>) {
        let (mut over, mut next) = (Vec::new(), None::<Instant>);
        for (key, slot) in &self.slots {
            let Slot::Open(open) = slot else { continue };
            let Some(since) = open.idle_since.filter(|_| open.is_idle()) else { continue };
            let end = since + self.config.idle_timeout;
            if end <= now || !open.connection.is_connected() {
                over.push(key.clone());
            } else {
                next = Some(next.map_or(end, |next| next.min(end)));
            }
        }
        (over.iter().filter_map(|key| self.remove(key)).collect(), next)
    }

    /// Takes all connections; none comes in from now on.
    pub(super) fn shut_down(&mut self) -> Vec<C> {
        self.shut_down = true;
        let keys: Vec<_> = self.slots.keys().cloned().collect();
        keys.iter().filter_map(|key| self.remove(key)).collect()
    }

    fn remove(&mut self, key: &Key) -> Option<C> {
        match self.slots.remove(key)? {
            Slot::Dialling(..) => None,
            Slot::Open(open) => Some(open.connection),
        }
    }

    /// Makes room for one more: what has ended first, and then the one that has been idle for longest.
    fn make_room(&mut self, now: Instant, dropped: &mut Vec<C>) -> Result<()> {
        let max = self.config.max_connections;
        if self.slots.len() < max {
            return Ok(());
        }
        let ended = self.slots.iter().filter(|(_, slot)| slot.has_ended());
        let ended: Vec<_> = ended.map(|(key, _)| key.clone()).collect();
        dropped.extend(ended.iter().filter_map(|key| self.remove(key)));
        if self.slots.len() < max {
            return Ok(());
        }
        let idle = self.slots.iter().filter_map(|(key, slot)| match slot {
            Slot::Open(open) if open.is_idle() => Some((open.idle_since.unwrap_or(now), key)),
            _ => None,
        });
        let Some(key) = idle.min().map(|(_, key)| key.clone()) else {
            let actual = self.slots.len() as u64 + 1;
            let (limit, max) = (Limit::PooledConnections, max as u64);
            return Err(P2PError::LimitExceeded { limit, max, actual });
        };
        dropped.extend(self.remove(&key));
        Ok(())
    }
}

impl<C: P2PConnection> Slot<C> {
    const fn number(&self) -> u64 {
        match self {
            Self::Dialling(number, _) => *number,
            Self::Open(open) => open.number,
        }
    }

    fn has_ended(&self) -> bool {
        match self {
            Self::Dialling(_, dial) => dial.strong_count() == 0,
            Self::Open(open) => !open.connection.is_connected(),
        }
    }
}
