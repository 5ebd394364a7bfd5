//! [`Limited`]: a provider that does only so much.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::address::PeerAddr;
use crate::config::ConnectionConfig;
use crate::error::{ConfigError, Result};
use crate::identity::PeerId;
use crate::observe::Health;
use crate::options::{ConnectOptions, ListenOptions};
use crate::provider::P2PProvider;

mod connection;

mod ledger;
mod limits;
mod listener;
mod perhaps;
mod place;
mod stream;

pub use connection::LimitedConnection;
pub use limits::{Limits, ScopeLimits, TrafficLimits};
pub use listener::LimitedListener;
pub use stream::{LimitedRecvStream, LimitedSendStream};

use ledger::Ledger;

/// A [`P2PProvider`] within [`Limits`]: on connections, handshakes, messages and bytes, with each peer
/// and in total.
///
/// - What this side asks for and may not have is [`RateLimited`](crate::P2PError::RateLimited), with the limit, its value
///   and when to try again: `connect`, `send` and `send_datagram`. Nothing was done then.
/// - What peers ask for: over the limit, an applicant is refused before the listener's own admission
///   hook is asked: it has its place among the connections from then on, though nobody may accept it
///   for long, and gives it back when that hook refuses it or no connection comes of it. It sees [`RefusedForNow`](crate::P2PError::RefusedForNow) with the limit in the words,
///   and when to try again; a peer of an earlier version sees a connection that failed.
/// - What peers send is never lost: `recv` and `recv_datagram` wait until there is room, the transport
///   below fills up, and then the peer waits. (Datagrams wait in the node's `datagram_queue`, which drops
///   some when it is full, as always.) They count when they have been received, so that one large
///   message may go over the limit; the next waits for it. Several callers who wait at once may each
///   receive one message before the debt shows; in time it is paid. A connection that has ended is no
///   longer held up: what is left of it is bounded.
/// - Bytes on streams count like others; writing and reading wait, both for as long as the limits say,
///   even when the connection ends in the meantime.
///
/// A message larger than the limit's burst passes when the bucket is full: see [`TokenBucket`].
///
/// Limits can be [changed](Limited::set_limits) at any time. They are this handle's and its clones'; a
/// connection counts from its dial, or from when its applicant is judged, until its last handle is
/// dropped.
///
/// [`TokenBucket`]: crate::TokenBucket
///
/// ```
/// use p2p_core::{ConfigError, Limited, Limits, P2PProvider, RateLimit, ScopeLimits, TrafficLimits};
///
/// fn polite<P: P2PProvider>(provider: P) -> Result<Limited<P>, ConfigError> {
///     let traffic = TrafficLimits::default()
///         .with_messages(RateLimit::per_second(1_000)?)
///         .with_bytes(RateLimit::per_second(1 << 20)?);
///     let peer = ScopeLimits::default()
///         .with_connections(4)
///         .with_admissions(RateLimit::per_second(2)?.with_burst(10)?)
///         .with_received(traffic);
///     Limited::new(provider, Limits::default().with_per_peer(peer))
/// }
/// ```
#[derive(Clone, Debug)]
pub struct Limited<P> {
    inner: P,
    shared: Arc<Shared>,
}

impl<P: P2PProvider> Limited<P> {
    /// Puts `provider` within `limits`.
    ///
    /// # Errors
    ///
    /// [`ConfigError`] if one of the limits cannot be meant.
    pub fn new(provider: P, limits: Limits) -> Result<Self, ConfigError> {
        limits.check()?;
        Ok(Self { inner: provider, shared: Arc::new(Shared::new(limits)) })
    }

    /// The limits in force.
    pub fn limits(&self) -> Limits {
        self.shared.ledger().limits().clone()
    }

    /// Changes the limits, all at once: for this handle, its clones, and all their connections. What
    /// has been used up stays used up. Connections over a lower limit live on. Whoever waits for the
    /// old limits looks at the new ones.
    ///
    /// # Errors
    ///
    /// [`ConfigError`] if one of the limits cannot be meant; then the old ones stay in force.
    pub fn set_limits(&self, limits: Limits) -> Result<(), ConfigError> {
        limits.check()?;
        let now = self.shared.now();
        {
            let mut ledger = self.shared.ledger();
            self.shared.counted.set(&limits);
            ledger.set_limits(limits, now);
        }
        self.shared.changed.notify_waiters();
        Ok(())
    }

    /// The provider within.
    pub const fn inner(&self) -> &P {
        &self.inner
    }
}

#[async_trait]
impl<P: P2PProvider> P2PProvider for Limited<P> {
    type Connection = LimitedConnection<P::Connection>;
    type Listener = LimitedListener<P::Listener>;

    fn local_peer_id(&self) -> PeerId {
        self.inner.local_peer_id()
    }

    fn local_addr(&self) -> PeerAddr {
        self.inner.local_addr()
    }

    fn random(&self) -> u64 {
        self.inner.random()
    }

    async fn connect(&self, peer: &PeerAddr, options: ConnectOptions) -> Result<Self::Connection> {
        let place = self.shared.dial(peer.id())?;
        let inner = self.inner.connect(peer, options).await?;
        let party = Party { shared: self.shared.clone(), peer: peer.id(), _place: Some(place) };
        Ok(LimitedConnection::new(inner, party))
    }

    async fn listen(&self, options: ListenOptions) -> Result<Self::Listener> {
        LimitedListener::listen(&self.inner, options, self.shared.clone()).await
    }

    fn config(&self) -> Arc<ConnectionConfig> {
        self.inner.config()
    }

    fn reconfigure(
        &self,
        change: &mut dyn FnMut(&mut ConnectionConfig),
    ) -> Result<Arc<ConnectionConfig>, ConfigError> {
        self.inner.reconfigure(change)
    }

    fn health(&self) -> Health {
        self.inner.health()
    }

    #[cfg(feature = "metrics")]
    fn metrics(&self) -> Option<crate::observe::Metrics> {
        self.inner.metrics()
    }

    async fn shutdown(&self) {
        self.inner.shutdown().await;
    }
}

/// What a provider's handles, listeners, connections and streams have in common.
#[derive(Debug)]
struct Shared {
    ledger: Mutex<Ledger>,
    counted: Counted,
    /// When the limits were.
    changed: Arc<Notify>,
    start: Instant,
}

impl Shared {
    fn new(limits: Limits) -> Self {
        let counted = Counted::default();
        counted.set(&limits);
        let ledger = Mutex::new(Ledger::new(limits, Duration::ZERO));
        Self { ledger, counted, changed: Arc::default(), start: Instant::now() }
    }

    fn now(&self) -> Duration {
        self.start.elapsed()
    }

    fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn dial(self: &Arc<Self>, peer: PeerId) -> Result<Place> {
        self.ledger().dial(peer, self.now())?;
        Ok(Place { shared: self.clone(), peer })
    }

    fn admit(self: &Arc<Self>, peer: PeerId) -> Result<Place> {
        self.ledger().admit(peer, self.now())?;
        Ok(Place { shared: self.clone(), peer })
    }
}

/// Which ways traffic is limited at all, so that without such a limit nothing is paid for one.
#[derive(Debug, Default)]
struct Counted {
    received: AtomicBool,
    sent: AtomicBool,
}

impl Counted {
    fn set(&self, limits: &Limits) {
        self.received.store(limits.limit_traffic(Way::Received), Ordering::Relaxed);
        self.sent.store(limits.limit_traffic(Way::Sent), Ordering::Relaxed);
    }

    fn is(&self, way: Way) -> bool {
        match way {
            Way::Received => self.received.load(Ordering::Relaxed),
            Way::Sent => self.sent.load(Ordering::Relaxed),
        }
    }
}

/// A connection's place among all. It ends when this is dropped.
#[derive(Debug)]
struct Place {
    shared: Arc<Shared>,
    peer: PeerId,
}

impl Drop for Place {
    fn drop(&mut self) {
        let now = self.shared.now();
        self.shared.ledger().leave(self.peer, now);
    }
}

/// With whom a connection is, and within which limits.
#[derive(Debug)]
struct Party {
    shared: Arc<Shared>,
    peer: PeerId,
    /// Of one that this side dialled. That of an accepted one is with the connection within: it was
    /// taken before there was one.
    _place: Option<Place>,
}

/// Which way something goes.
#[derive(Clone, Copy, Debug)]
enum Way {
    Received,
    Sent,
}
