//! [`IrohLink`]: one QUIC connection.

use std::fmt;
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use iroh::endpoint::{Connection, ConnectionError, SendDatagramError};
use p2p_core::transport::{DatagramError, Link, LinkClosed};
use p2p_core::{CloseCause, PathEvents, PathInfo, PeerId};

use crate::address;
use crate::ending::Ending;
use crate::path;
use crate::stream::{IrohRecvStream, IrohSendStream};

/// A QUIC connection to a proven peer.
pub struct IrohLink {
    connection: Connection,
    peer: PeerId,
    ending: Arc<Ending>,
    /// The transport drops the oldest of those that wait, and only what leaves is counted there.
    datagrams_given: AtomicU64,
    datagrams_dropped: AtomicU64,
    /// The room for datagrams when none wait.
    idle_datagram_space: usize,
}

impl IrohLink {
    /// Takes a connection whose handshake is done, unless its peer has a key that proves nothing.
    pub(crate) fn new(connection: Connection, ending: Arc<Ending>) -> Result<Self, LinkClosed> {
        let Some(peer) = address::id_from_iroh(&connection.remote_id()) else {
            ending.close(&connection, CloseCause::ProtocolViolation.to_wire(), "weak key");
            return Err(ending.tell(&ConnectionError::LocallyClosed));
        };
        let idle_datagram_space = connection.datagram_send_buffer_space();
        Ok(Self {
            connection,
            peer,
            ending,
            datagrams_given: AtomicU64::new(0),
            datagrams_dropped: AtomicU64::new(0),
            idle_datagram_space,
        })
    }

    fn send_stream(&self, stream: iroh::endpoint::SendStream) -> IrohSendStream {
        IrohSendStream::new(stream, self.ending.clone())
    }

    fn recv_stream(&self, stream: iroh::endpoint::RecvStream) -> IrohRecvStream {
        IrohRecvStream::new(stream, self.ending.clone())
    }

    fn tell(&self, error: ConnectionError) -> LinkClosed {
        self.ending.tell(&error)
    }
}

impl Link for IrohLink {
    type SendStream = IrohSendStream;
    type RecvStream = IrohRecvStream;

    fn peer_id(&self) -> PeerId {
        self.peer
    }

    async fn open_uni(&self) -> Result<IrohSendStream, LinkClosed> {
        let opened = self.connection.open_uni().await;
        opened.map(|send| self.send_stream(send)).map_err(|error| self.tell(error))
    }

    async fn accept_uni(&self) -> Result<IrohRecvStream, LinkClosed> {
        let accepted = self.connection.accept_uni().await;
        accepted.map(|recv| self.recv_stream(recv)).map_err(|error| self.tell(error))
    }

    async fn open_bi(&self) -> Result<(IrohSendStream, IrohRecvStream), LinkClosed> {
        let (send, recv) = self.connection.open_bi().await.map_err(|error| self.tell(error))?;
        Ok((self.send_stream(send), self.recv_stream(recv)))
    }

    async fn accept_bi(&self) -> Result<(IrohSendStream, IrohRecvStream), LinkClosed> {
        let (send, recv) = self.connection.accept_bi().await.map_err(|error| self.tell(error))?;
        Ok((self.send_stream(send), self.recv_stream(recv)))
    }

    fn send_datagram(&self, datagram: Bytes) -> Result<(), DatagramError> {
        let sent = self.connection.send_datagram(datagram).map_err(|error| match error {
            SendDatagramError::ConnectionLost(error) => DatagramError::Closed(self.tell(error)),
            SendDatagramError::TooLarge => match self.max_datagram_size() {
                Some(max) => DatagramError::TooLarge { max },
                None => DatagramError::Unsupported,
            },
            SendDatagramError::Disabled | SendDatagramError::UnsupportedByPeer => {
                DatagramError::Unsupported
            }
        });
        if sent.is_ok() {
            self.datagrams_given.fetch_add(1, Ordering::Relaxed);
        }
        sent
    }

    async fn recv_datagram(&self) -> Result<Bytes, LinkClosed> {
        self.connection.read_datagram().await.map_err(|error| self.tell(error))
    }

    fn try_recv_datagrams(&self, places: &mut [Bytes]) -> usize {
        let reading = pin!(self.connection.read_many_datagrams(places));
        match reading.poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(Ok(come)) => come,
            Poll::Ready(Err(_)) | Poll::Pending => 0,
        }
    }

    fn datagrams_dropped(&self) -> u64 {
        // Read before what has left, so that what leaves in between is not counted.
        let given = self.datagrams_given.load(Ordering::Relaxed);
        let full_space = self.idle_datagram_space;
        // What waits when the link has ended waits for ever.
        let all_gone = || self.connection.datagram_send_buffer_space() == full_space;
        if self.connection.close_reason().is_some() || all_gone() {
            let left = self.connection.stats().frame_tx.datagram;
            let dropped = given.saturating_sub(left);
            self.datagrams_dropped.fetch_max(dropped, Ordering::Relaxed);
        }
        // While some wait, nobody knows which of them will go.
        self.datagrams_dropped.load(Ordering::Relaxed)
    }

    fn max_datagram_size(&self) -> Option<usize> {
        self.connection.max_datagram_size()
    }

    fn path(&self) -> PathInfo {
        path::selected(&self.connection)
    }

    fn path_events(&self) -> PathEvents {
        path::events(&self.connection)
    }

    fn close(&self, code: u64, message: &str) {
        self.ending.close(&self.connection, code, message);
    }

    fn close_reason(&self) -> Option<LinkClosed> {
        self.connection.close_reason().map(|error| self.tell(error))
    }

    async fn closed(&self) -> LinkClosed {
        let error = self.connection.closed().await;
        self.tell(error)
    }
}

impl Drop for IrohLink {
    fn drop(&mut self) {
        // Streams hold the connection too; it is the link that decides.
        self.close(CloseCause::Dropped.to_wire(), "");
    }
}

impl fmt::Debug for IrohLink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IrohLink")
            .field("peer", &self.peer)
            .field("path", &self.path())
            .field("closed", &self.close_reason())
            .finish_non_exhaustive()
    }
}
