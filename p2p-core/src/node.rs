//! [`Node`]: a provider made of any transport.

use std::any::Any;
use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::Poll;

use async_trait::async_trait;
use tokio::sync::Semaphore;
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::Instant;

use crate::address::PeerAddr;
use crate::close::{CloseCause, CloseReason, ClosedBy};
use crate::config::ConnectionConfig;
use crate::config::live::LiveConfig;
use crate::connection::{Connection, Core, Inner};
use crate::error::{ConfigError, Limit, P2PError, ProtocolError, Result};
use crate::handshake;
use crate::handshake::unfinished::{Unfinished, Whose};
use crate::identity::PeerId;
use crate::listener::Listener;
use crate::listener::backlog::Backlog;
use crate::listener::slot::Slot;
use crate::observe::{Direction, Health, Monitor, Survey};
use crate::options::{ConnectOptions, ListenOptions};
use crate::priority::Priority;
use crate::protocol::ProtocolName;
use crate::provider::{P2PConnection, P2PProvider};
use crate::transport::{Incoming, Link, Transport};

/// A [`P2PProvider`] on a transport: hello, admission, messages and limits are the same on each.
///
/// It runs one task, which accepts inbound links and judges each in a task of its own, up to
/// [`ConnectionConfig::max_handshakes`] at once. They end with [`shutdown`](P2PProvider::shutdown)
/// or with the last handle.
pub struct Node<T: Transport> {
    pub(crate) shared: Arc<Shared<T>>,
    pub(crate) owner: Arc<Owner>,
}

/// What the node's handles and its tasks have in common.
pub(crate) struct Shared<T: Transport> {
    pub(crate) transport: T,
    pub(crate) config: Arc<LiveConfig>,
    pub(crate) monitor: Arc<Monitor>,
    known: BTreeMap<PeerId, PeerAddr>,
    state: Mutex<State<T::Link>>,
    /// Closed by the shutdown; nobody ever gets a permit. A semaphore wakes in order, so that
    /// simulated runs repeat.
    ended: Semaphore,
    /// For inbound links that are not connections yet.
    handshakes: Arc<Semaphore>,
    max_handshakes: u32,
    /// The same, by whose they are.
    pub(crate) unfinished: Arc<Unfinished>,
}

struct State<L: Link> {
    shut_down: bool,
    /// Not after the shutdown, nor after the transport has ended by itself.
    listens: bool,
    listeners: BTreeMap<ProtocolName, Slot<L>>,
    connections: BTreeMap<u64, Remembered<L>>,
    next_connection: u64,
    /// The number by which this node's latest outbound connection is known to its peer.
    next_claim: u64,
    /// Accepted connections whose peers may come back, by the peer and its number for them.
    claims: BTreeMap<(PeerId, u64), u64>,
    /// Those to which a link may come that stands by, by the name that it is going to prove and the
    /// dialler's number: at most one for each connection.
    standbys: BTreeMap<(PeerId, u64), u64>,
    /// Of accepted connections that ended before they were used, the latest [`MAX_UNUSED`]: a peer that
    /// comes back to one of them is let in anew.
    unused: VecDeque<(PeerId, u64)>,
}

/// How many accepted connections that were never used are remembered, each by 40 bytes.
const MAX_UNUSED: usize = 1024;

/// A connection that lives.
struct Remembered<L: Link> {
    inner: Weak<Inner<L>>,
    #[cfg(feature = "metrics")]
    counters: Arc<crate::connection::Counters>,
    /// Its entry among the claims.
    claim: Option<(PeerId, u64)>,
    /// Its entry among the standbys.
    standby: Option<(PeerId, u64)>,
}

/// Ends the accepting task when nobody holds the node, a listener or a connection any more.
#[derive(Debug)]
pub(crate) struct Owner(AbortHandle);

impl Drop for Owner {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl<T: Transport> Node<T> {
    /// Makes a node of `transport` and starts to accept. `known` are peers whose addresses are known
    /// from the start: connecting to one of them by name alone works. `config` has been
    /// [validated](ConnectionConfig::validate).
    ///
    /// # Panics
    ///
    /// Outside of a tokio runtime.
    pub fn new(
        transport: T,
        config: ConnectionConfig,
        known: impl IntoIterator<Item = PeerAddr>,
    ) -> Self {
        let max_handshakes = config.max_handshakes.clamp(1, Semaphore::MAX_PERMITS);
        let max_handshakes = u32::try_from(max_handshakes).unwrap_or(u32::MAX);
        let next_claim = transport.random();
        let monitor = Arc::new(Monitor::new(transport.local_peer_id()));
        let shared = Arc::new(Shared {
            transport,
            config: Arc::new(LiveConfig::new(config)),
            monitor,
            known: known.into_iter().map(|addr| (addr.id(), addr)).collect(),
            state: Mutex::new(State {
                shut_down: false,
                listens: true,
                listeners: BTreeMap::new(),
                connections: BTreeMap::new(),
                next_connection: 0,
                // So that no number of a former process comes again.
                next_claim,
                claims: BTreeMap::new(),
                standbys: BTreeMap::new(),
                unused: VecDeque::new(),
            }),
            ended: Semaphore::new(0),
            handshakes: Arc::new(Semaphore::new(max_handshakes as usize)),
            max_handshakes,
            unfinished: Arc::default(),
        });
        let owner = Arc::new_cyclic(|owner| {
            let accepting = Box::pin(accept_links(shared.clone(), owner.clone()));
            Owner(tokio::spawn(shared.transport.task(accepting)).abort_handle())
        });
        Self { shared, owner }
    }

    /// The transport below.
    pub fn transport(&self) -> &T {
        &self.shared.transport
    }

    /// Connects, and says nothing about it.
    async fn dial(&self, peer: &PeerAddr, options: ConnectOptions) -> Result<Connection<T::Link>> {
        if self.shared.state().shut_down {
            return Err(shut_down());
        }
        if peer.id() == self.local_peer_id() {
            return Err(P2PError::ConnectionFailed {
                peer: peer.id(),
                reason: "that is this peer itself".into(),
                source: None,
            });
        }
        options.check()?;
        let known = if peer.is_id_only() { self.shared.known.get(&peer.id()) } else { None };
        let after = options.timeout.unwrap_or(self.shared.config.get().connect_timeout);
        let attempt =
            handshake::outbound(&self.shared, &self.owner, known.unwrap_or(peer), options);
        let bounded = tokio::time::timeout(after, attempt);
        match self.shared.unless_shut_down(bounded).await {
            Some(Ok(outcome)) => outcome,
            Some(Err(_)) => {
                let what = format!("no answer from peer {}", peer.id().fmt_short());
                Err(P2PError::Timeout { what, after })
            }
            None => Err(shut_down()),
        }
    }
}

async fn accept_links<T: Transport>(shared: Arc<Shared<T>>, owner: Weak<Owner>) {
    let mut handshakes = JoinSet::new();
    let next = async || {
        // This semaphore is never closed; the loop ends with the shutdown, or with the transport.
        let permit = shared.handshakes.clone().acquire_owned().await.ok()?;
        Some((permit, shared.transport.accept().await?))
    };
    while let Some(Some((permit, incoming))) = shared.unless_shut_down(next()).await {
        while handshakes.try_join_next().is_some() {}
        let counted = match incoming.origin() {
            Some(origin) => {
                let max = shared.config.get().max_handshakes_per_address;
                match shared.unfinished.count(Whose::From(origin), max) {
                    Ok(counted) => Some(counted),
                    Err(full) => {
                        shared.monitor.refused(None, CloseCause::Busy, &full.to_string());
                        // Which refuses it.
                        drop(incoming);
                        continue;
                    }
                }
            }
            None => None,
        };
        let (of, owner) = (shared.clone(), owner.clone());
        handshakes.spawn(shared.transport.task(Box::pin(async move {
            handshake::inbound(&of, &owner, incoming).await;
            drop((counted, permit));
        })));
    }
    while handshakes.join_next().await.is_some() {}
    // Nobody comes any more, though nobody shut the node down: its listeners say so.
    shared.stop_listening();
}

impl<T: Transport> Shared<T> {
    fn state(&self) -> MutexGuard<'_, State<T::Link>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn stop_listening(&self) {
        let listeners = {
            let mut state = self.state();
            state.listens = false;
            std::mem::take(&mut state.listeners)
        };
        for slot in listeners.values() {
            slot.backlog.close();
        }
    }

    /// The names in service, for the hello.
    pub(crate) fn protocols(&self) -> Vec<ProtocolName> {
        self.state().listeners.keys().cloned().collect()
    }

    /// Where connections of this protocol go.
    pub(crate) fn slot(&self, protocol: &ProtocolName) -> Option<Slot<T::Link>> {
        self.state().listeners.get(protocol).cloned()
    }

    /// Ends a listener, unless another took its name in the meantime.
    pub(crate) fn remove_listener(
        &self,
        protocol: &ProtocolName,
        backlog: &Arc<Backlog<Connection<T::Link>>>,
    ) {
        let mut state = self.state();
        if state.listeners.get(protocol).is_some_and(|slot| Arc::ptr_eq(&slot.backlog, backlog)) {
            state.listeners.remove(protocol);
        }
    }

    /// What `future` comes to, or `None` if the shutdown comes first.
    pub(crate) async fn unless_shut_down<V>(&self, future: impl Future<Output = V>) -> Option<V> {
        let (mut future, mut ended) = (pin!(future), pin!(self.ended.acquire()));
        // The shutdown first: it is also why a future fails whose transport it has closed.
        poll_fn(|cx| match ended.as_mut().poll(cx) {
            Poll::Ready(_) => Poll::Ready(None),
            Poll::Pending => future.as_mut().poll(cx).map(Some),
        })
        .await
    }

    /// Remembers a connection until it is forgotten, so that `shutdown` reaches it. With a claim, its
    /// peer may come back to it by that name and number.
    pub(crate) fn remember(
        &self,
        claim: Option<(PeerId, u64)>,
        connection: impl FnOnce(u64) -> Connection<T::Link>,
    ) -> Result<Connection<T::Link>> {
        let mut state = self.state();
        if state.shut_down {
            return Err(shut_down());
        }
        let number = state.next_connection;
        state.next_connection += 1;
        let connection = connection(number);
        let inner = Arc::downgrade(&connection.inner);
        let remembered = Remembered {
            inner,
            #[cfg(feature = "metrics")]
            counters: connection.inner.counters(),
            claim,
            standby: None,
        };
        state.connections.insert(number, remembered);
        if let Some(claim) = claim {
            state.claims.insert(claim, number);
            state.unused.retain(|unused| *unused != claim);
        }
        Ok(connection)
    }

    /// A number for an outbound connection, never used before.
    pub(crate) fn next_claim(&self) -> u64 {
        let mut state = self.state();
        state.next_claim = state.next_claim.wrapping_add(1);
        state.next_claim
    }

    /// The connection that a peer comes back to.
    pub(crate) fn claimed(&self, peer: PeerId, claim: u64) -> Option<Arc<Core<T::Link>>> {
        self.core_in(|state| state.claims.get(&(peer, claim)).copied())
    }

    /// Whether the connection that a peer comes back to ended before it was used.
    pub(crate) fn was_unused(&self, peer: PeerId, claim: u64) -> bool {
        self.state().unused.contains(&(peer, claim))
    }

    /// The connection that awaits a link to stand by, which has proven to be `peer`.
    pub(crate) fn awaited_standby(&self, peer: PeerId, claim: u64) -> Option<Arc<Core<T::Link>>> {
        self.core_in(|state| state.standbys.get(&(peer, claim)).copied())
    }

    fn core_in(
        &self,
        find: impl FnOnce(&State<T::Link>) -> Option<u64>,
    ) -> Option<Arc<Core<T::Link>>> {
        let state = self.state();
        let number = find(&state)?;
        let inner = state.connections.get(&number)?.inner.upgrade()?;
        let core = inner.core.clone();
        drop(state);
        // Outside of the lock: it may have been the last handle.
        drop(inner);
        Some(core)
    }
}

/// What a connection needs of its node when it ends.
pub(crate) trait Registry: Send + Sync {
    /// The connection with this number is gone.
    fn forget(&self, number: u64);

    /// The connection with this number has ended with its link, and nothing had gone over it: should its
    /// peer come back to it, it is let in anew.
    fn end_unused(&self, number: u64);

    /// A link of this peer may come to stand by for the connection. Whether it is an accepted one whose
    /// peer may come back.
    fn expect_standby(&self, number: u64, peer: PeerId) -> bool;
}

impl<T: Transport> Registry for Shared<T> {
    fn forget(&self, number: u64) {
        let mut state = self.state();
        let Some(forgotten) = state.connections.remove(&number) else { return };
        // With the lock held, so that nobody who sums up misses them or counts them twice.
        #[cfg(feature = "metrics")]
        self.monitor.keep(&forgotten.counters.stats());
        let claim = forgotten.claim;
        if let Some(claim) = claim.filter(|claim| state.claims.get(claim) == Some(&number)) {
            state.claims.remove(&claim);
        }
        let mine = |standby: &_| state.standbys.get(standby) == Some(&number);
        if let Some(standby) = forgotten.standby.filter(mine) {
            state.standbys.remove(&standby);
        }
    }

    fn end_unused(&self, number: u64) {
        let mut state = self.state();
        let State { connections, claims, unused, .. } = &mut *state;
        let claim = connections.get_mut(&number).and_then(|remembered| remembered.claim.take());
        let Some(claim) = claim.filter(|claim| claims.get(claim) == Some(&number)) else { return };
        claims.remove(&claim);
        if unused.len() == MAX_UNUSED {
            unused.pop_front();
        }
        unused.push_back(claim);
    }

    fn expect_standby(&self, number: u64, peer: PeerId) -> bool {
        let mut state = self.state();
        let State { connections, standbys, .. } = &mut *state;
        let Some(remembered) = connections.get_mut(&number) else { return false };
        let Some((_, claim)) = remembered.claim else { return false };
        let standby = (peer, claim);
        // Another connection's stays: what is announced is not proven yet.
        if *standbys.entry(standby).or_insert(number) != number {
            return false;
        }
        let former = remembered.standby.replace(standby).filter(|former| *former != standby);
        if let Some(former) = former {
            standbys.remove(&former);
        }
        true
    }
}

impl<T: Transport> Shared<T> {
    /// Looks at all connections.
    pub(crate) fn survey(&self) -> Survey {
        let mut survey = Survey::default();
        let connections: Vec<_> = {
            let state = self.state();
            survey.listeners = state.listeners.len();
            survey.shut_down = state.shut_down;
            survey.accepts = state.listens && !state.shut_down;
            state.connections.values().filter_map(|one| one.inner.upgrade()).collect()
        };
        // Outside of the lock: one of these may be the last handle by now.
        for inner in connections {
            let connection = Connection { inner };
            connection.inner.core.count_drops();
            let queued = Priority::ALL.map(|lane| connection.queue_depth(lane));
            let standby = connection.inner.core.standby_state();
            survey.add(&connection.state(), &connection.path(), standby, queued);
        }
        #[cfg(feature = "metrics")]
        {
            let state = self.state();
            survey.traffic = self.monitor.kept();
            for remembered in state.connections.values() {
                survey.traffic.add(&remembered.counters.stats());
            }
        }
        survey
    }
}

#[cfg(feature = "metrics")]
impl<T: Transport> crate::observe::Surveyed for Shared<T> {
    fn survey(&self) -> Survey {
        Self::survey(self)
    }
}

fn shut_down() -> P2PError {
    P2PError::Closed(CloseReason::new(ClosedBy::Local, CloseCause::Shutdown, ""))
}

#[async_trait]
impl<T: Transport> P2PProvider for Node<T> {
    type Connection = Connection<T::Link>;
    type Listener = Listener<T>;

    fn local_peer_id(&self) -> PeerId {
        self.shared.transport.local_peer_id()
    }

    fn local_addr(&self) -> PeerAddr {
        self.shared.transport.local_addr()
    }

    fn random(&self) -> u64 {
        self.shared.transport.random()
    }

    async fn connect(&self, peer: &PeerAddr, options: ConnectOptions) -> Result<Self::Connection> {
        let (id, monitor, began) = (peer.id(), &self.shared.monitor, Instant::now());
        monitor.dial(id, &options.protocol);
        let outcome = self.dial(peer, options).await;
        match &outcome {
            Ok(connection) => {
                let (number, path) = (connection.inner.number(), connection.path().kind);
                monitor.established(Direction::Dialled, id, number, path, began.elapsed());
            }
            Err(error) => monitor.dial_failed(id, error),
        }
        outcome
    }

    async fn listen(&self, options: ListenOptions) -> Result<Self::Listener> {
        for (setting, value) in
            [("backlog", options.backlog), ("max_connections", options.max_connections)]
        {
            if value == 0 {
                return Err(ConfigError::zero(setting).into());
            }
        }
        let backlog = Arc::new(Backlog::new(options.backlog));
        let max_connections = options.max_connections.min(Semaphore::MAX_PERMITS);
        let places = Arc::new(Semaphore::new(max_connections));
        let slot = Slot {
            admission: options.admission,
            backlog: backlog.clone(),
            places,
            max_connections,
            path_policy: options.path_policy,
        };
        let mut state = self.shared.state();
        if state.shut_down || !state.listens {
            return Err(shut_down());
        }
        if state.listeners.contains_key(&options.protocol) {
            return Err(ProtocolError::InUse { name: options.protocol }.into());
        }
        let max = self.shared.config.get().max_listeners.min(ConnectionConfig::MAX_LISTENERS);
        if state.listeners.len() >= max {
            return Err(P2PError::LimitExceeded {
                limit: Limit::Listeners,
                max: max as u64,
                actual: state.listeners.len() as u64 + 1,
            });
        }
        state.listeners.insert(options.protocol.clone(), slot);
        drop(state);
        Ok(Listener::new(self.clone(), options.protocol, backlog))
    }

    fn config(&self) -> Arc<ConnectionConfig> {
        self.shared.config.get()
    }

    fn reconfigure(
        &self,
        change: &mut dyn FnMut(&mut ConnectionConfig),
    ) -> Result<Arc<ConnectionConfig>, ConfigError> {
        self.shared.config.change(change)
    }

    fn health(&self) -> Health {
        self.shared.survey().health(self.shared.monitor.last_error())
    }

    #[cfg(feature = "metrics")]
    fn metrics(&self) -> Option<crate::observe::Metrics> {
        let node: Arc<dyn crate::observe::Surveyed> = self.shared.clone();
        Some(crate::observe::Metrics::new(self.shared.monitor.clone(), Arc::downgrade(&node)))
    }

    async fn shutdown(&self) {
        let connections: Vec<_> = {
            let mut state = self.shared.state();
            state.shut_down = true;
            // They stay in there until their last handle goes, for what they have counted.
            state.connections.values().filter_map(|one| one.inner.upgrade()).collect()
        };
        for connection in connections {
            connection.core.close(CloseCause::Shutdown, "");
        }
        self.shared.stop_listening();
        self.shared.ended.close();
        // Applicants are told before the transport goes: each handshake ends at once now.
        let _ = self.shared.handshakes.acquire_many(self.shared.max_handshakes).await;
        self.shared.transport.close().await;
        self.owner.0.abort();
    }
}

impl<T: Transport> Clone for Node<T> {
    fn clone(&self) -> Self {
        Self { shared: self.shared.clone(), owner: self.owner.clone() }
    }
}

impl<T: Transport> fmt::Debug for Node<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Node").field(&self.shared.transport).finish()
    }
}

/// What keeps a node's endpoint alive, whatever its transport.
pub(crate) type KeepAlive = Arc<dyn Any + Send + Sync>;
