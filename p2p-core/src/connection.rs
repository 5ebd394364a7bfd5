//! [`Connection`]: messages, datagrams and streams on a link.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::OwnedSemaphorePermit;
use tokio::task::AbortHandle;

use crate::close::{CloseCause, CloseReason, ClosedBy};
use crate::engine::StreamKind;
use crate::engine::hello::Agreement;
use crate::error::{Limit, P2PError, ProtocolError, Result, StreamError};
use crate::handshake::ControlReader;
use crate::identity::PeerId;
use crate::node::{KeepAlive, Registry};
use crate::path::{PathEvents, PathInfo};
use crate::protocol::Capabilities;
use crate::provider::{ConnectionStats, P2PConnection, PeerInfo};
use crate::stream::SendStream;
use crate::transport::{DatagramError, Link, LinkClosed};

mod inbox;
mod lane;
mod outbox;
mod parts;
mod program_stream;
mod pump;
mod turns;

use inbox::Inbox;
use outbox::{Outbox, PushError};
pub use program_stream::ProgramRecvStream;
use pump::PumpError;

/// The [`P2PConnection`] of a [`Node`](crate::Node), on any transport's link.
///
/// It runs one task, which sends what is left to send and speaks with the peer's engine; messages are
/// read by whoever receives them. The task ends with the connection.
pub struct Connection<L: Link> {
    pub(crate) inner: Arc<Inner<L>>,
}

/// What the handles hold, and nobody else: when it goes, the connection ends.
pub(crate) struct Inner<L: Link> {
    pub(crate) core: Arc<Core<L>>,
    counters: Counters,
    close_timeout: Duration,
    pump: AbortHandle,
    /// The listener's place that this connection takes.
    _place: Option<OwnedSemaphorePermit>,
    number: u64,
    registry: Arc<dyn Registry>,
    _keep_alive: KeepAlive,
}

/// What the handles and the task have in common.
pub(crate) struct Core<L: Link> {
    pub(crate) link: L,
    peer: PeerInfo,
    inbox: Inbox<L::RecvStream>,
    outbox: Outbox<L::SendStream>,
    /// What the peer did that ended the connection.
    violation: OnceLock<String>,
}

/// What a handshake leaves.
pub(crate) struct Parts<L: Link> {
    pub(crate) link: L,
    pub(crate) peer: PeerInfo,
    pub(crate) agreement: Agreement,
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
        let max_message_size = parts.peer.max_message_size;
        let core = Arc::new(Core {
            link: parts.link,
            peer: parts.peer,
            inbox: Inbox::new(parts.agreement.receive_window, max_message_size),
            outbox: Outbox::new(parts.agreement.send_window),
            violation: OnceLock::new(),
        });
        let (control_out, control_in) = parts.control;
        let pump = Box::pin(pump::run(core.clone(), control_out, control_in));
        let pump = tokio::spawn(core.link.task(pump));
        Self {
            inner: Arc::new(Inner {
                core,
                counters: Counters::default(),
                close_timeout: parts.close_timeout,
                pump: pump.abort_handle(),
                _place: parts.place,
                number: parts.number,
                registry: parts.registry,
                _keep_alive: parts.keep_alive,
            }),
        }
    }

    /// The link below.
    pub fn link(&self) -> &L {
        &self.inner.core.link
    }
}

impl<L: Link> Core<L> {
    /// What the end of the link means to the program. Who has heard of the end sends no more, even
    /// if the task has not noticed it yet.
    fn ended(&self, reason: impl Into<CloseReason>) -> P2PError {
        self.outbox.end();
        if let Some(detail) = self.violation.get() {
            return ProtocolError::Violation { detail: detail.clone() }.into();
        }
        P2PError::from_refusal(self.peer.id, &self.peer.protocol, reason.into())
    }

    /// Closes the link from this side.
    pub(crate) fn close(&self, cause: CloseCause, message: &str) {
        self.link.close(cause.to_wire(), message);
        self.outbox.end();
    }

    /// Ends the connection over something the peer must not do, unless it has ended before.
    fn violate(&self, detail: String) {
        if self.link.close_reason().is_none() {
            let cause = CloseCause::ProtocolViolation;
            let reason = CloseReason::new(ClosedBy::Local, cause, detail);
            self.close(cause, &reason.message);
            self.violation.get_or_init(|| reason.message);
        }
    }
}

impl<L: Link> P2PConnection for Connection<L> {
    type SendStream = L::SendStream;
    type RecvStream = ProgramRecvStream<L::RecvStream>;

    fn peer_id(&self) -> PeerId {
        self.inner.core.peer.id
    }

    fn peer(&self) -> &PeerInfo {
        &self.inner.core.peer
    }

    async fn send(&self, message: Bytes) -> Result<()> {
        let Inner { core, counters, .. } = &*self.inner;
        let (size, max) = (message.len(), core.peer.max_message_size);
        if size > max {
            let (max, actual) = (max as u64, size as u64);
            return Err(P2PError::LimitExceeded { limit: Limit::Message, max, actual });
        }
        match core.outbox.push(message).await {
            Ok(()) => {}
            Err(PushError::Closing(reason)) => return Err(core.ended(reason)),
            Err(PushError::Ended) => return Err(core.ended(core.link.closed().await)),
        }
        add(&counters.messages_sent, 1);
        add(&counters.message_bytes_sent, size);
        Ok(())
    }

    async fn recv(&self) -> Result<Bytes> {
        let Inner { core, counters, .. } = &*self.inner;
        loop {
            match core.inbox.recv(&core.link).await {
                Ok(Some(message)) => {
                    add(&counters.messages_received, 1);
                    add(&counters.message_bytes_received, message.len());
                    return Ok(message);
                }
                // The peer has said its last word; how the link ends says why.
                Ok(None) | Err(PumpError::Closed) => {
                    return Err(core.ended(core.link.closed().await));
                }
                // And on, for the messages before it.
                Err(PumpError::Violation(detail)) => core.violate(detail),
            }
        }
    }

    fn send_datagram(&self, datagram: Bytes) -> Result<()> {
        let unsupported = || ProtocolError::Unsupported { capability: "datagrams" }.into();
        if !self.inner.core.peer.capabilities.contains(Capabilities::DATAGRAMS) {
            return Err(unsupported());
        }
        let size = datagram.len();
        match self.inner.core.link.send_datagram(datagram) {
            Ok(()) => {
                add(&self.inner.counters.datagrams_sent, 1);
                Ok(())
            }
            Err(DatagramError::Closed(closed)) => Err(self.inner.core.ended(closed)),
            Err(DatagramError::TooLarge { max }) => Err(P2PError::LimitExceeded {
                limit: Limit::Datagram,
                max: max as u64,
                actual: size as u64,
            }),
            Err(DatagramError::Unsupported) => Err(unsupported()),
        }
    }

    async fn recv_datagram(&self) -> Result<Bytes> {
        let datagram = self.inner.core.link.recv_datagram().await;
        let datagram = datagram.map_err(|closed| self.inner.core.ended(closed))?;
        add(&self.inner.counters.datagrams_received, 1);
        Ok(datagram)
    }

    fn max_datagram_size(&self) -> Option<usize> {
        let both = self.inner.core.peer.capabilities.contains(Capabilities::DATAGRAMS);
        if both { self.inner.core.link.max_datagram_size() } else { None }
    }

    async fn open_stream(&self) -> Result<(Self::SendStream, Self::RecvStream)> {
        let core = &*self.inner.core;
        let opened = core.link.open_bi().await.map_err(|closed| core.ended(closed));
        let (mut send, recv) = opened?;
        let kind = Bytes::from_owner([StreamKind::Program.to_byte()]);
        send.write_all(kind).await.map_err(|error| match error {
            StreamError::Closed(reason) => core.ended(reason),
            error => error.into(),
        })?;
        Ok((send, ProgramRecvStream::opened(recv)))
    }

    async fn accept_stream(&self) -> Result<(Self::SendStream, Self::RecvStream)> {
        let accepted = self.inner.core.link.accept_bi().await;
        let (send, recv) = accepted.map_err(|closed| self.inner.core.ended(closed))?;
        Ok((send, ProgramRecvStream::accepted(recv)))
    }

    fn is_connected(&self) -> bool {
        let connected = self.inner.core.link.close_reason().is_none();
        if !connected {
            self.inner.core.outbox.end();
        }
        connected
    }

    fn path(&self) -> PathInfo {
        if self.is_connected() { self.inner.core.link.path() } else { PathInfo::NONE }
    }

    fn path_events(&self) -> PathEvents {
        self.inner.core.link.path_events()
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
        let Inner { core, close_timeout, .. } = &*self.inner;
        let cause = CloseCause::Application(code);
        let reason = CloseReason::new(ClosedBy::Local, cause, message);
        if core.link.close_reason().is_none() {
            core.outbox.close(reason.clone());
            // Whatever was not delivered by then is lost: that is what the bound means.
            let _ = tokio::time::timeout(*close_timeout, core.outbox.delivered()).await;
            core.close(cause, &reason.message);
        }
        core.link.closed().await;
    }

    async fn closed(&self) -> CloseReason {
        let closed = self.inner.core.link.closed().await;
        self.inner.core.outbox.end();
        closed.into()
    }
}

impl<L: Link> Drop for Inner<L> {
    fn drop(&mut self) {
        // Before the streams go: the peer is to see a close, not resets.
        self.core.close(CloseCause::Dropped, "");
        self.pump.abort();
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
        let closed: Option<LinkClosed> = self.inner.core.link.close_reason();
        f.debug_struct("Connection")
            .field("peer", &self.inner.core.peer.id)
            .field("protocol", &self.inner.core.peer.protocol)
            .field("closed", &closed)
            .finish_non_exhaustive()
    }
}
