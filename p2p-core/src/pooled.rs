//! [`Pooled`]: one connection to each peer, shared.

use std::sync::Arc;

use async_trait::async_trait;
use tokio::time::Instant;

use crate::address::PeerAddr;
use crate::close::{CloseCause, CloseReason, ClosedBy};
use crate::config::ConnectionConfig;
use crate::error::{ConfigError, P2PError, Result};
use crate::identity::PeerId;
use crate::observe::Health;
use crate::options::{ConnectOptions, ConnectReady, ListenOptions};
use crate::provider::P2PProvider;

mod config;
mod connection;
mod dial;
mod listener;
mod reaper;
mod slots;

pub use config::PoolConfig;
pub use connection::{PooledConnection, PooledRecvStream, PooledSendStream};
pub use listener::PooledListener;

use dial::Dial;
use reaper::Pool;
use slots::{Key, Taken};

/// A [`P2PProvider`] whose `connect` shares: as long as there is a connection to a peer for the same
/// protocol, and with the same credential, everybody gets handles of that one. It is dialled when it is
/// first asked for, by all who ask at the same time together; when it has ended, the next who asks dials
/// again.
///
/// What differs from a provider that does not share:
///
/// - Dropping the last handle does not close the connection: it is idle then, and is closed after
///   [`PoolConfig::idle_timeout`], or earlier if its place is needed. Streams that were opened or
///   accepted on it count as handles: who holds one is using the connection.
/// - [`close`](crate::P2PConnection::close) ends it for everybody who shares it.
/// - Messages, datagrams and the peer's streams go to whoever receives first. So a pool suits programs
///   in which each conversation has a stream of its own, such as [`calls`](crate::calls).
/// - `connect` returns when the peer has admitted the connection, whatever
///   [`ConnectOptions::ready`] says: nobody is to share one that is refused a moment later.
/// - A connection that has ended is given too, until this side hears of its end.
/// - Shared errors keep their cause one level lower.
///
/// Connections in use are never closed to make room: when all of the places are taken by those,
/// `connect` fails with [`LimitExceeded`](P2PError::LimitExceeded) and
/// [`Limit::PooledConnections`](crate::Limit::PooledConnections). A `timeout` in the options bounds this
/// caller's waiting; the dial goes on for the others, and ends when nobody waits for it.
///
/// Listening is not pooled: accepted connections are as those of the provider within.
///
/// One task closes idle connections. It ends with the last handle of the pool; idle connections are then
/// dropped, and those in use live until their last handle is dropped.
///
/// ```
/// use p2p_core::{ConnectOptions, P2PConnection, P2PProvider, PeerAddr, Pooled, Result, SendStream};
///
/// async fn notify<P: P2PProvider>(pool: &Pooled<P>, peer: &PeerAddr) -> Result<()> {
///     // Dialled the first time only.
///     let options = ConnectOptions::new("notices/1".parse().expect("a name"));
///     let (mut send, _) = pool.connect(peer, options).await?.open_stream().await?;
///     send.write_all("a notice".into()).await?;
///     send.finish()?;
///     Ok(send.finished().await?)
/// }
/// ```
#[derive(Clone, Debug)]
pub struct Pooled<P: P2PProvider> {
    inner: P,
    pool: Arc<Pool<P::Connection>>,
}

impl<P: P2PProvider> Pooled<P> {
    /// Makes a pool of the connections that `provider` makes.
    ///
    /// # Errors
    ///
    /// [`ConfigError`] if a value of the configuration cannot be meant.
    ///
    /// # Panics
    ///
    /// Outside of a tokio runtime.
    pub fn new(provider: P, config: PoolConfig) -> Result<Self, ConfigError> {
        config.check()?;
        Ok(Self { inner: provider, pool: Pool::start(config) })
    }

    /// The provider within.
    pub const fn inner(&self) -> &P {
        &self.inner
    }

    /// Connections in the pool, in use or not, and those being dialled.
    pub fn connections(&self) -> usize {
        self.pool.slots().len()
    }

    /// A handle of the connection that there is, of the one that is on its way, or of a new one.
    async fn obtain(
        &self,
        peer: &PeerAddr,
        options: &ConnectOptions,
    ) -> Result<PooledConnection<P::Connection>> {
        let key = Key {
            peer: peer.id(),
            protocol: options.protocol.clone(),
            credential: options.credential.clone(),
            path_policy: options.path_policy,
        };
        loop {
            let mut dropped = Vec::new();
            let start = |number| {
                let dialling = (self.inner.clone(), peer.clone(), options.clone());
                Dial::start(dialling, &self.pool, key.clone(), number)
            };
            let taken =
                self.pool.slots().take(&key, &self.pool, Instant::now(), &mut dropped, start);
            self.pool.dispose(dropped);
            let (dial, is_ours) = match taken? {
                Taken::Open(connection) => return Ok(connection),
                Taken::Joined(dial) => (dial, false),
                Taken::Started(dial) => (dial, true),
            };
            match dial.outcome().await {
                // Whoever started it had less patience than we have.
                Err(P2PError::Timeout { .. }) if !is_ours => {}
                outcome => return outcome,
            }
        }
    }
}

#[async_trait]
impl<P: P2PProvider> P2PProvider for Pooled<P> {
    type Connection = PooledConnection<P::Connection>;
    type Listener = PooledListener<P::Listener>;

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
        let options = options.with_ready(ConnectReady::Admitted);
        let Some(after) = options.timeout else { return self.obtain(peer, &options).await };
        let bounded = tokio::time::timeout(after, self.obtain(peer, &options));
        bounded.await.unwrap_or_else(|_| {
            let what = format!("no answer from peer {}", peer.id().fmt_short());
            Err(P2PError::Timeout { what, after })
        })
    }

    async fn listen(&self, options: ListenOptions) -> Result<Self::Listener> {
        Ok(PooledListener::new(self.inner.listen(options).await?))
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
        let rest = self.pool.slots().shut_down();
        self.inner.shutdown().await;
        // Dials have ended by now, and connections with the cause that the shutdown gives them.
        drop(rest);
    }
}

fn shut_down() -> P2PError {
    P2PError::Closed(CloseReason::new(ClosedBy::Local, CloseCause::Shutdown, ""))
}
