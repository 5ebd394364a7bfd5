//! Handles of a shared connection.

use std::fmt;
use std::future::Future;
use std::sync::{Arc, Weak};
use std::task::{Context, Poll};

use bytes::Bytes;
use tokio::time::Instant;

use super::reaper::Pool;
use super::slots::Key;
use crate::close::CloseReason;
use crate::datagram::DatagramOptions;
use crate::error::{Result, StreamError};
use crate::identity::PeerId;
use crate::path::{PathEvents, PathInfo};
use crate::permit::{ReservedPlace, SendPermit};
use crate::priority::Priority;
use crate::provider::{ConnectionStats, Message, P2PConnection, PeerInfo};
use crate::reconnect::{ConnectionState, StateEvents};
use crate::stream::{RecvStream, SendStream};

/// That a connection is in use. All handles and streams of it hold the same one.
pub(super) struct Lease<C: P2PConnection> {
    /// Streams alone would not keep it open, when the pool has gone.
    connection: C,
    pool: Weak<Pool<C>>,
    key: Key,
    number: u64,
}

impl<C: P2PConnection> Lease<C> {
    pub(super) fn new(connection: C, pool: &Arc<Pool<C>>, key: Key, number: u64) -> Self {
        Self { connection, pool: Arc::downgrade(pool), key, number }
    }
}

impl<C: P2PConnection> Drop for Lease<C> {
    fn drop(&mut self) {
        if let Some(pool) = self.pool.upgrade() {
            pool.slots().returned(&self.key, self.number, Instant::now());
            pool.idle();
        }
    }
}

impl<C: P2PConnection> fmt::Debug for Lease<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lease").field("number", &self.number).finish_non_exhaustive()
    }
}

/// A connection of a [`Pooled`](crate::Pooled) provider: one of several handles, or accepted.
#[derive(Clone, Debug)]
pub struct PooledConnection<C: P2PConnection> {
    inner: C,
    /// None if it was accepted: those are not in the pool.
    lease: Option<Arc<Lease<C>>>,
}

impl<C: P2PConnection> PooledConnection<C> {
    pub(super) fn shared(lease: Arc<Lease<C>>) -> Self {
        Self { inner: lease.connection.clone(), lease: Some(lease) }
    }

    pub(super) const fn accepted(inner: C) -> Self {
        Self { inner, lease: None }
    }

    /// The connection within. Clones of it are not counted as users.
    pub const fn inner(&self) -> &C {
        &self.inner
    }

    fn streams(
        &self,
        (send, recv): (C::SendStream, C::RecvStream),
    ) -> (PooledSendStream<C>, PooledRecvStream<C>) {
        (
            PooledSendStream { inner: send, _lease: self.lease.clone() },
            PooledRecvStream { inner: recv, _lease: self.lease.clone() },
        )
    }
}

impl<C: P2PConnection> P2PConnection for PooledConnection<C> {
    type SendStream = PooledSendStream<C>;
    type RecvStream = PooledRecvStream<C>;

    fn peer_id(&self) -> PeerId {
        self.inner.peer_id()
    }

    fn peer(&self) -> &PeerInfo {
        self.inner.peer()
    }

    fn send_with(
        &self,
        priority: Priority,
        message: Bytes,
    ) -> impl Future<Output = Result<()>> + Send {
        self.inner.send_with(priority, message)
    }

    fn try_send(&self, priority: Priority, message: Bytes) -> Result<()> {
        self.inner.try_send(priority, message)
    }

    async fn reserve(&self, priority: Priority, size: usize) -> Result<SendPermit> {
        let inner = self.inner.reserve(priority, size).await?;
        Ok(SendPermit::new(PooledPlace { inner, lease: self.lease.clone() }))
    }

    fn queue_depth(&self, priority: Priority) -> usize {
        self.inner.queue_depth(priority)
    }

    fn recv_message(&self) -> impl Future<Output = Result<Message>> + Send {
        self.inner.recv_message()
    }

    fn send_datagram_with(&self, datagram: Bytes, options: DatagramOptions) -> Result<()> {
        self.inner.send_datagram_with(datagram, options)
    }

    fn recv_datagram(&self) -> impl Future<Output = Result<Bytes>> + Send {
        self.inner.recv_datagram()
    }

    fn max_datagram_size(&self) -> Option<usize> {
        self.inner.max_datagram_size()
    }

    async fn open_stream(&self) -> Result<(Self::SendStream, Self::RecvStream)> {
        Ok(self.streams(self.inner.open_stream().await?))
    }

    async fn accept_stream(&self) -> Result<(Self::SendStream, Self::RecvStream)> {
        Ok(self.streams(self.inner.accept_stream().await?))
    }

    fn is_connected(&self) -> bool {
        self.inner.is_connected()
    }

    fn state(&self) -> ConnectionState {
        self.inner.state()
    }

    fn state_events(&self) -> StateEvents {
        self.inner.state_events()
    }

    fn renew_link(&self) {
        self.inner.renew_link();
    }

    fn path(&self) -> PathInfo {
        self.inner.path()
    }

    fn path_events(&self) -> PathEvents {
        self.inner.path_events()
    }

    fn stats(&self) -> ConnectionStats {
        self.inner.stats()
    }

    fn close(&self, code: u32, message: &str) -> impl Future<Output = ()> + Send {
        self.inner.close(code, message)
    }

    fn closed(&self) -> impl Future<Output = CloseReason> + Send {
        self.inner.closed()
    }
}

/// A reserved place; its holder uses the connection.
#[derive(Debug)]
struct PooledPlace<C: P2PConnection> {
    inner: SendPermit,
    lease: Option<Arc<Lease<C>>>,
}

impl<C: P2PConnection> ReservedPlace for PooledPlace<C> {
    fn priority(&self) -> Priority {
        self.inner.priority()
    }

    fn size(&self) -> usize {
        self.inner.size()
    }

    fn send(self: Box<Self>, message: Bytes) -> Result<()> {
        let Self { inner, lease } = *self;
        let sent = inner.send(message);
        drop(lease);
        sent
    }
}

/// The writing half of a stream of a [`Pooled`](crate::Pooled) provider.
#[derive(Debug)]
pub struct PooledSendStream<C: P2PConnection> {
    inner: C::SendStream,
    _lease: Option<Arc<Lease<C>>>,
}

impl<C: P2PConnection> SendStream for PooledSendStream<C> {
    fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        data: &mut Bytes,
    ) -> Poll<Result<(), StreamError>> {
        self.inner.poll_write(cx, data)
    }

    fn finish(&mut self) -> Result<(), StreamError> {
        self.inner.finish()
    }

    fn finished(&mut self) -> impl Future<Output = Result<(), StreamError>> + Send {
        self.inner.finished()
    }

    fn reset(&mut self, code: u64) {
        self.inner.reset(code);
    }

    fn set_priority(&mut self, priority: i32) {
        self.inner.set_priority(priority);
    }
}

/// The reading half of a stream of a [`Pooled`](crate::Pooled) provider.
#[derive(Debug)]
pub struct PooledRecvStream<C: P2PConnection> {
    inner: C::RecvStream,
    _lease: Option<Arc<Lease<C>>>,
}

impl<C: P2PConnection> RecvStream for PooledRecvStream<C> {
    fn poll_read_chunk(
        &mut self,
        cx: &mut Context<'_>,
        max: usize,
    ) -> Poll<Result<Option<Bytes>, StreamError>> {
        self.inner.poll_read_chunk(cx, max)
    }

    fn stop(&mut self, code: u64) {
        self.inner.stop(code);
    }
}
