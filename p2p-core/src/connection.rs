//! [`Connection`]: messages, datagrams and streams on a link.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::{Mutex, OwnedSemaphorePermit};

use crate::close::{CloseCause, CloseReason, ClosedBy};
use crate::engine::StreamKind;
use crate::error::{Limit, P2PError, ProtocolError, Result, StreamError};
use crate::handshake::ControlReader;
use crate::identity::PeerId;
use crate::node::{KeepAlive, Registry};
use crate::path::{PathEvents, PathInfo};
use crate::protocol::Capabilities;
use crate::provider::{ConnectionStats, P2PConnection, PeerInfo};
use crate::stream::SendStream;
use crate::transport::{DatagramError, Link, LinkClosed};

mod lane;
mod program_stream;

use lane::{RecvLane, SendLane};
pub use program_stream::ProgramRecvStream;

/// The [`P2PConnection`] of a [`Node`](crate::Node), on any transport's link.
pub struct Connection<L: Link> {
    pub(crate) inner: Arc<Inner<L>>,
}

pub(crate) struct Inner<L: Link> {
    pub(crate) link: L,
    peer: PeerInfo,
    send: Mutex<SendLane<L::SendStream>>,
    recv: Mutex<RecvLane<L::RecvStream>>,
    counters: Counters,
    close_timeout: Duration,
    /// Held open: what the engines say to each other after the hello.
    _control: (L::SendStream, ControlReader<L::RecvStream>),
    /// The listener's place that this connection takes.
    _place: Option<OwnedSemaphorePermit>,
    number: u64,
    registry: Arc<dyn Registry>,
    _keep_alive: KeepAlive,
}

/// What a handshake leaves.
pub(crate) struct Parts<L: Link> {
    pub(crate) link: L,
    pub(crate) peer: PeerInfo,
    pub(crate) control: (L::SendStream, ControlReader<L::RecvStream>),
    pub(crate) close_timeout: Duration,
    pub(crate) place: Option<OwnedSemaphorePermit>,
    pub(crate) number: u64,
    pub(crate) registry: Arc<dyn Registry>,
    pub(crate) keep_alive: KeepAlive,
}

#[derive(Default)]
struct Counters {
    messages_sent: AtomicU64,
    messages_received: AtomicU64,
    message_bytes_sent: AtomicU64,
    message_bytes_received: AtomicU64,
    datagrams_sent: AtomicU64,
    datagrams_received: AtomicU64,
}

fn add(counter: &AtomicU64, amount: usize) {
    counter.fetch_add(amount as u64, Ordering::Relaxed);
}

impl<L: Link> Connection<L> {
    pub(crate) fn new(parts: Parts<L>) -> Self {
        Self {
            inner: Arc::new(Inner {
                send: Mutex::new(SendLane::new()),
                recv: Mutex::new(RecvLane::new(parts.peer.max_message_size)),
                link: parts.link,
                peer: parts.peer,
                counters: Counters::default(),
                close_timeout: parts.close_timeout,
                _control: parts.control,
                _place: parts.place,
                number: parts.number,
                registry: parts.registry,
                _keep_alive: parts.keep_alive,
            }),
        }
    }

    /// The link below.
    pub fn link(&self) -> &L {
        &self.inner.link
    }
}

impl<L: Link> Inner<L> {
    /// What the end of the link means to the program.
    fn ended(&self, reason: impl Into<CloseReason>) -> P2PError {
        P2PError::from_refusal(self.peer.id, &self.peer.protocol, reason.into())
    }

    /// Ends the connection over something the peer must not do.
    fn violated(&self, detail: String) -> P2PError {
        let cause = CloseCause::ProtocolViolation;
        let reason = CloseReason::new(ClosedBy::Local, cause, detail);
        self.link.close(cause.to_wire(), &reason.message);
        match self.link.close_reason() {
            // It had ended before.
            Some(closed) if CloseReason::from(closed.clone()).cause != cause => self.ended(closed),
            _ => ProtocolError::Violation { detail: reason.message }.into(),
        }
    }

    fn lane_failed(&self, error: StreamError) -> P2PError {
        match error {
            StreamError::Closed(reason) => self.ended(reason),
            error => self.violated(format!("the lane's stream: {error}")),
        }
    }
}

impl<L: Link> P2PConnection for Connection<L> {
    type SendStream = L::SendStream;
    type RecvStream = ProgramRecvStream<L::RecvStream>;

    fn peer_id(&self) -> PeerId {
        self.inner.peer.id
    }

    fn peer(&self) -> &PeerInfo {
        &self.inner.peer
    }

    async fn send(&self, message: Bytes) -> Result<()> {
        let inner = &*self.inner;
        let (size, max) = (message.len(), inner.peer.max_message_size);
        if size > max {
            let (max, actual) = (max as u64, size as u64);
            return Err(P2PError::LimitExceeded { limit: Limit::Message, max, actual });
        }
        let mut lane = inner.send.lock().await;
        lane.send(&inner.link, message).await.map_err(|error| inner.lane_failed(error))?;
        add(&inner.counters.messages_sent, 1);
        add(&inner.counters.message_bytes_sent, size);
        Ok(())
    }

    async fn recv(&self) -> Result<Bytes> {
        let inner = &*self.inner;
        let mut lane = inner.recv.lock().await;
        match lane.recv(&inner.link).await {
            Ok(Some(message)) => {
                add(&inner.counters.messages_received, 1);
                add(&inner.counters.message_bytes_received, message.len());
                Ok(message)
            }
            // The peer has said its last word; how the link ends says why.
            Ok(None) => Err(inner.ended(inner.link.closed().await)),
            Err(lane::RecvError::Stream(error)) => Err(inner.lane_failed(error)),
            Err(lane::RecvError::Violation(detail)) => Err(inner.violated(detail)),
        }
    }

    fn send_datagram(&self, datagram: Bytes) -> Result<()> {
        let unsupported = || ProtocolError::Unsupported { capability: "datagrams" }.into();
        if !self.inner.peer.capabilities.contains(Capabilities::DATAGRAMS) {
            return Err(unsupported());
        }
        let size = datagram.len();
        match self.inner.link.send_datagram(datagram) {
            Ok(()) => {
                add(&self.inner.counters.datagrams_sent, 1);
                Ok(())
            }
            Err(DatagramError::Closed(closed)) => Err(self.inner.ended(closed)),
            Err(DatagramError::TooLarge { max }) => Err(P2PError::LimitExceeded {
                limit: Limit::Datagram,
                max: max as u64,
                actual: size as u64,
            }),
            Err(DatagramError::Unsupported) => Err(unsupported()),
        }
    }

    async fn recv_datagram(&self) -> Result<Bytes> {
        let datagram = self.inner.link.recv_datagram().await;
        let datagram = datagram.map_err(|closed| self.inner.ended(closed))?;
        add(&self.inner.counters.datagrams_received, 1);
        Ok(datagram)
    }

    fn max_datagram_size(&self) -> Option<usize> {
        let both = self.inner.peer.capabilities.contains(Capabilities::DATAGRAMS);
        if both { self.inner.link.max_datagram_size() } else { None }
    }

    async fn open_stream(&self) -> Result<(Self::SendStream, Self::RecvStream)> {
        let inner = &*self.inner;
        let opened = inner.link.open_bi().await.map_err(|closed| inner.ended(closed));
        let (mut send, recv) = opened?;
        let kind = Bytes::from_owner([StreamKind::Program.to_byte()]);
        send.write_all(kind).await.map_err(|error| match error {
            StreamError::Closed(reason) => inner.ended(reason),
            error => error.into(),
        })?;
        Ok((send, ProgramRecvStream::opened(recv)))
    }

    async fn accept_stream(&self) -> Result<(Self::SendStream, Self::RecvStream)> {
        let accepted = self.inner.link.accept_bi().await;
        let (send, recv) = accepted.map_err(|closed| self.inner.ended(closed))?;
        Ok((send, ProgramRecvStream::accepted(recv)))
    }

    fn is_connected(&self) -> bool {
        self.inner.link.close_reason().is_none()
    }

    fn path(&self) -> PathInfo {
        if self.is_connected() { self.inner.link.path() } else { PathInfo::NONE }
    }

    fn path_events(&self) -> PathEvents {
        self.inner.link.path_events()
    }

    fn stats(&self) -> ConnectionStats {
        let counters = &self.inner.counters;
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        ConnectionStats {
            messages_sent: read(&counters.messages_sent),
            messages_received: read(&counters.messages_received),
            message_bytes_sent: read(&counters.message_bytes_sent),
            message_bytes_received: read(&counters.message_bytes_received),
            datagrams_sent: read(&counters.datagrams_sent),
            datagrams_received: read(&counters.datagrams_received),
            rtt: self.path().rtt,
        }
    }

    async fn close(&self, code: u32, message: &str) {
        let inner = &*self.inner;
        let cause = CloseCause::Application(code);
        let reason = CloseReason::new(ClosedBy::Local, cause, message);
        if inner.link.close_reason().is_none() {
            let delivered = async {
                let mut lane = inner.send.lock().await;
                lane.finish(reason.clone()).await
            };
            // Whatever was not delivered by then is lost: that is what the bound means.
            let _ = tokio::time::timeout(inner.close_timeout, delivered).await;
            inner.link.close(cause.to_wire(), &reason.message);
        }
        inner.link.closed().await;
    }

    async fn closed(&self) -> CloseReason {
        self.inner.link.closed().await.into()
    }
}

impl<L: Link> Drop for Inner<L> {
    fn drop(&mut self) {
        // Before the streams go: the peer is to see a close, not resets.
        self.link.close(CloseCause::Dropped.to_wire(), "");
        self.registry.forget(self.number);
    }
}

impl<L: Link> Clone for Connection<L> {
    fn clone(&self) -> Self {
        Self { inner: self.inner.clone() }
    }
}

impl<L: Link> fmt::Debug for Connection<L> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let closed: Option<LinkClosed> = self.inner.link.close_reason();
        f.debug_struct("Connection")
            .field("peer", &self.inner.peer.id)
            .field("protocol", &self.inner.peer.protocol)
            .field("closed", &closed)
            .finish_non_exhaustive()
    }
}
