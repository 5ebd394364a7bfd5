//! What goes over a connection.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;

use bytes::Bytes;

use super::perhaps::Perhaps;
use super::place::{LimitedPlace, Paid};
use super::stream::{LimitedRecvStream, LimitedSendStream};
use super::{Party, Way};
use crate::close::CloseReason;
use crate::datagram::{DatagramFallback, DatagramOptions};
use crate::error::{Limit, P2PError, Result};
use crate::identity::PeerId;
use crate::path::{PathEvents, PathInfo};
use crate::permit::SendPermit;
use crate::priority::Priority;
use crate::provider::{ConnectionStats, Message, P2PConnection, PeerInfo};
use crate::race::{First, first};
use crate::reconnect::{ConnectionState, StateEvents};

/// A connection of a [`Limited`](crate::Limited) provider.
#[derive(Clone, Debug)]
pub struct LimitedConnection<C> {
    inner: C,
    party: Arc<Party>,
}

impl<C: P2PConnection> LimitedConnection<C> {
    pub(super) fn new(inner: C, party: Party) -> Self {
        Self { inner, party: Arc::new(party) }
    }

    /// The connection within.
    pub const fn inner(&self) -> &C {
        &self.inner
    }

    /// Takes what a message or datagram costs, unless it is refused below anyway; says which.
    fn take(&self, bytes: usize, max: usize) -> Result<bool> {
        let Party { shared, peer, .. } = &*self.party;
        if !shared.counted.is(Way::Sent) || bytes > max || !self.inner.is_connected() {
            return Ok(false);
        }
        shared.ledger().send(*peer, bytes as u64, shared.now())?;
        Ok(true)
    }

    #[inline]
    fn is_counted(&self, way: Way) -> bool {
        self.party.shared.counted.is(way)
    }

    /// Waits until there is room to receive something, or the connection has ended.
    async fn room(&self) {
        let Party { shared, peer, .. } = &*self.party;
        while shared.counted.is(Way::Received) {
            // Before looking, so that no change is missed in between.
            let mut changed = pin!(shared.changed.notified());
            changed.as_mut().enable();
            let wait = shared.ledger().wait(*peer, shared.now());
            if wait.is_zero() {
                return;
            }
            let room = first(changed, tokio::time::sleep(wait));
            if let First::One(_) = first(self.inner.closed(), room).await {
                return;
            }
        }
    }

    /// Something was received.
    fn charge(&self, bytes: &Bytes) {
        let Party { shared, peer, .. } = &*self.party;
        if !shared.counted.is(Way::Received) {
            return;
        }
        shared.ledger().charge(*peer, Way::Received, 1, bytes.len() as u64, shared.now());
    }

    fn streams(
        &self,
        (send, recv): (C::SendStream, C::RecvStream),
    ) -> (LimitedSendStream<C::SendStream>, LimitedRecvStream<C::RecvStream>) {
        let Party { shared, peer, .. } = &*self.party;
        let send = LimitedSendStream::new(send, shared.clone(), *peer);
        (send, LimitedRecvStream::new(recv, shared.clone(), *peer))
    }
}

impl<C: P2PConnection> P2PConnection for LimitedConnection<C> {
    type SendStream = LimitedSendStream<C::SendStream>;
    type RecvStream = LimitedRecvStream<C::RecvStream>;

    fn peer_id(&self) -> PeerId {
        self.inner.peer_id()
    }

    fn peer(&self) -> &PeerInfo {
        self.inner.peer()
    }

    #[inline]
    fn send_with(
        &self,
        priority: Priority,
        message: Bytes,
    ) -> impl Future<Output = Result<()>> + Send {
        if !self.is_counted(Way::Sent) {
            return Perhaps::Free { future: self.inner.send_with(priority, message) };
        }
        Perhaps::limited(async move {
            self.take(message.len(), self.peer().max_message_size)?;
            self.inner.send_with(priority, message).await
        })
    }

    fn try_send(&self, priority: Priority, message: Bytes) -> Result<()> {
        let bytes = message.len();
        let paid = self.take(bytes, self.peer().max_message_size)?;
        let sent = self.inner.try_send(priority, message);
        let full = matches!(
            &sent,
            Err(P2PError::LimitExceeded { limit: Limit::SendQueue | Limit::ReceiveWindow, .. })
        );
        if paid && full {
            let Party { shared, peer, .. } = &*self.party;
            shared.ledger().unsend(*peer, 1, bytes as u64, shared.now());
        }
        sent
    }

    async fn reserve(&self, priority: Priority, size: usize) -> Result<SendPermit> {
        let mut paid = Paid::none();
        if self.take(size, self.peer().max_message_size)? {
            paid = Paid::new(&self.party, size);
        }
        let inner = self.inner.reserve(priority, size).await?;
        Ok(SendPermit::new(LimitedPlace { inner, paid }))
    }

    fn queue_depth(&self, priority: Priority) -> usize {
        self.inner.queue_depth(priority)
    }

    #[inline]
    fn recv_message(&self) -> impl Future<Output = Result<Message>> + Send {
        if !self.is_counted(Way::Received) {
            return Perhaps::Free { future: self.inner.recv_message() };
        }
        Perhaps::limited(async move {
            self.room().await;
            let message = self.inner.recv_message().await?;
            self.charge(&message.payload);
            Ok(message)
        })
    }

    fn send_datagram_with(&self, datagram: Bytes, options: DatagramOptions) -> Result<()> {
        let (size, mut paid) = (datagram.len(), false);
        // Without a size, the peer takes none, and the connection within says so.
        if let Some(max) = self.max_datagram_size() {
            let max = match options.fallback {
                DatagramFallback::Fail => max,
                DatagramFallback::Stream => max.max(DatagramOptions::MAX_ON_STREAM),
            };
            paid = self.take(size, max)?;
        }
        let sent = self.inner.send_datagram_with(datagram, options);
        if paid && sent.is_err() {
            let Party { shared, peer, .. } = &*self.party;
            shared.ledger().unsend(*peer, 1, size as u64, shared.now());
        }
        sent
    }

    async fn recv_datagram(&self) -> Result<Bytes> {
        self.room().await;
        let datagram = self.inner.recv_datagram().await?;
        self.charge(&datagram);
        Ok(datagram)
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

    async fn close(&self, code: u32, message: &str) {
        self.inner.close(code, message).await;
    }

    async fn closed(&self) -> CloseReason {
        self.inner.closed().await
    }
}
