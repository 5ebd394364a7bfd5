//! [`Connection`]: messages, datagrams and streams, on one link after another.

use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use tokio::task::AbortHandle;

use crate::close::{CloseCause, CloseReason, ClosedBy};
use crate::config::ConnectionConfig;
use crate::config::live::LiveConfig;
use crate::datagram::{DatagramFallback, DatagramOptions};
use crate::engine::StreamKind;
use crate::engine::hello::Agreement;
use crate::error::{Limit, P2PError, ProtocolError, Result, StreamError};
use crate::identity::PeerId;
use crate::listener::Seat;
use crate::node::{KeepAlive, Registry};
use crate::observe::{Monitor, Subject};
use crate::path::{PathEvents, PathInfo, PathPolicy};
use crate::permit::SendPermit;
use crate::priority::Priority;
use crate::protocol::Capabilities;
use crate::provider::{ConnectionStats, Message, P2PConnection, PeerInfo};
use crate::reconnect::{ConnectionState, StateEvents};
use crate::stream::SendStream;
use crate::transport::{DatagramError, Link};

mod arrivals;
mod core;
mod counters;
mod datagram_streams;
mod datagrams;
mod drops;
mod inbox;
mod lasting_paths;
mod outbox;
mod parts;
mod paths;
mod place;
mod program_stream;
mod pump;
pub(crate) mod relink;
mod slot;
mod standby;
pub(crate) mod state;
mod turns;
mod watch;

pub(crate) use arrivals::{MAX_UNKNOWN, READ_UP_TO};
pub(crate) use core::Core;
use core::{CoreTerms, Side};
pub(crate) use counters::Counters;
use counters::add;
pub(crate) use datagrams::{BUFFER, MAX_BUFFERS};
pub(crate) use inbox::READ_CHUNKS;
use place::Place;
pub use program_stream::{ProgramRecvStream, ProgramSendStream};
use pump::PumpError;
use relink::{Redial, Relinked};

/// The [`P2PConnection`] of a [`Node`](crate::Node), on any transport's links.
///
/// It runs one task, which sends what is left to send and speaks with the peer's engine; messages are
/// read by whoever receives them. The task ends with the connection.
pub struct Connection<L: Link> {
    pub(crate) inner: Arc<Inner<L>>,
}

/// What the handles hold, and nobody else: when it goes, the connection ends.
pub(crate) struct Inner<L: Link> {
    pub(crate) core: Arc<Core<L>>,
    counters: Arc<Counters>,
    pump: AbortHandle,
    /// What an accepted one takes up.
    _seat: Option<Seat>,
    number: u64,
    registry: Arc<dyn Registry>,
    _keep_alive: KeepAlive,
}

/// What a handshake leaves.
pub(crate) struct Parts<'a, L: Link> {
    pub(crate) linked: Relinked<L>,
    pub(crate) peer: PeerInfo,
    pub(crate) agreement: Agreement,
    /// What was told to the peer.
    pub(crate) config: &'a ConnectionConfig,
    pub(crate) live: Arc<LiveConfig>,
    pub(crate) monitor: Arc<Monitor>,
    pub(crate) path_policy: PathPolicy,
    /// Whether the dialler knows that it was let in.
    pub(crate) admitted: bool,
    /// On the side that dialled: how to dial again.
    pub(crate) redial: Option<Arc<dyn Redial<L>>>,
    pub(crate) seat: Option<Seat>,
    pub(crate) number: u64,
    pub(crate) registry: Arc<dyn Registry>,
    pub(crate) keep_alive: KeepAlive,
}

impl<L: Link> Connection<L> {
    pub(crate) fn new(parts: Parts<'_, L>) -> Self {
        let Parts { linked, peer, agreement, config, redial, .. } = parts;
        let Relinked { link, control, standing: _ } = linked;
        let subject = Subject::new(parts.monitor, peer.id, parts.number);
        let counters = Arc::<Counters>::default();
        let terms = CoreTerms {
            agreement,
            config,
            live: parts.live,
            path_policy: parts.path_policy,
            admitted: parts.admitted,
            side: match &redial {
                Some(redial) => Side::Dialler { has_standby: redial.has_standby() },
                None => Side::Acceptor,
            },
            registry: parts.registry.clone(),
            number: parts.number,
            counters: counters.clone(),
        };
        let core = Arc::new(Core::new(link, peer, terms, subject));
        let pump = pump::task(core.clone(), control, redial);
        let pump = tokio::spawn(core.link().task(pump));
        Self {
            inner: Arc::new(Inner {
                core,
                counters,
                pump: pump.abort_handle(),
                _seat: parts.seat,
                number: parts.number,
                registry: parts.registry,
                _keep_alive: parts.keep_alive,
            }),
        }
    }

    /// The link below, the present or the last one.
    pub fn link(&self) -> Arc<L> {
        self.inner.core.link()
    }
}

impl<L: Link> Inner<L> {
    pub(crate) const fn number(&self) -> u64 {
        self.number
    }

    /// What the connection counts, for those who ask after its end too.
    #[cfg(feature = "metrics")]
    pub(crate) fn counters(&self) -> Arc<Counters> {
        self.counters.clone()
    }
}

impl<L: Link> P2PConnection for Connection<L> {
    type SendStream = ProgramSendStream<L::SendStream>;
    type RecvStream = ProgramRecvStream<L::RecvStream>;

    fn peer_id(&self) -> PeerId {
        self.inner.core.peer.id
    }

    fn peer(&self) -> &PeerInfo {
        &self.inner.core.peer
    }

    #[expect(clippy::manual_async_fn, reason = "an `async fn` would move the message once more")]
    #[inline]
    fn send_with(
        &self,
        priority: Priority,
        message: Bytes,
    ) -> impl Future<Output = Result<()>> + Send {
        async move {
            let core = &self.inner.core;
            self.check_size(&message)?;
            // Most sends need not wait: what waiting needs is in boxes, or it would be moved with all.
            let error = match core.outbox.try_push(priority, &message) {
                Ok(true) => return Ok(()),
                Ok(false) => match Box::pin(core.outbox.push(priority, &message)).await {
                    Ok(()) => return Ok(()),
                    Err(error) => error,
                },
                Err(error) => error,
            };
            Err(Box::pin(core.refused(error)).await)
        }
    }

    fn try_send(&self, priority: Priority, message: Bytes) -> Result<()> {
        let core = &self.inner.core;
        let size = self.check_size(&message)?;
        match core.outbox.try_push(priority, &message) {
            Ok(true) => Ok(()),
            Ok(false) => {
                let (limit, max, actual) = core.outbox.bound_on(priority, size);
                Err(P2PError::LimitExceeded { limit, max, actual })
            }
            Err(error) => Err(core.not_taken(error)),
        }
    }

    async fn reserve(&self, priority: Priority, size: usize) -> Result<SendPermit> {
        let core = &self.inner.core;
        self.check_length(size)?;
        if let Err(error) = core.outbox.reserve(priority, size).await {
            return Err(core.refused(error).await);
        }
        let connection = self.clone();
        Ok(SendPermit::new(Place { connection, priority, size, used: false }))
    }

    fn queue_depth(&self, priority: Priority) -> usize {
        self.inner.core.outbox.queued(priority)
    }

    #[inline]
    async fn recv_message(&self) -> Result<Message> {
        let core = &self.inner.core;
        if let Some(message) = core.inbox.try_recv() {
            return Ok(message);
        }
        loop {
            let links = core.former_links();
            match core.inbox.recv().await {
                Ok(Some(message)) => return Ok(message),
                // The peer has said its last word on this link; how it ends says why.
                Ok(None) | Err(PumpError::Closed) => {
                    core.next_carrier(links).await.map_err(|reason| core.ended(reason))?;
                }
                // And on, for the messages before it.
                Err(PumpError::Violation(detail)) => core.violate(detail),
            }
        }
    }

    fn send_datagram_with(&self, datagram: Bytes, options: DatagramOptions) -> Result<()> {
        let unsupported = || ProtocolError::Unsupported { capability: "datagrams" }.into();
        let Inner { core, counters, .. } = &*self.inner;
        if !core.peer.capabilities.contains(Capabilities::DATAGRAMS) {
            return Err(unsupported());
        }
        let size = datagram.len();
        let spare = (options.fallback == DatagramFallback::Stream).then(|| datagram.clone());
        match core.with_link_in_use(|link| link.send_datagram(datagram)) {
            Ok(()) => {
                add(&counters.datagrams_sent, 1);
                Ok(())
            }
            Err(DatagramError::Closed(closed)) => match core.end() {
                // Between two links: lost, as datagrams may be.
                None if core.reconnect.is_some() => {
                    add(&counters.datagrams_dropped, 1);
                    Ok(())
                }
                end => Err(core.ended(end.unwrap_or_else(|| closed.into()))),
            },
            Err(DatagramError::TooLarge { max }) => match spare {
                Some(datagram) => self.send_on_stream(datagram),
                None => Err(too_large(Limit::Datagram, max, size)),
            },
            Err(DatagramError::Unsupported) => Err(unsupported()),
        }
    }

    #[inline]
    async fn recv_datagram(&self) -> Result<Bytes> {
        let core = &self.inner.core;
        if let Some(datagram) = core.datagrams.try_recv() {
            return Ok(datagram);
        }
        loop {
            let links = core.former_links();
            match core.datagrams.recv(&*core.link()).await {
                Some(datagram) => return Ok(datagram),
                None => core.next_datagram(links).await.map_err(|reason| core.ended(reason))?,
            }
        }
    }

    fn max_datagram_size(&self) -> Option<usize> {
        let core = &self.inner.core;
        let both = core.peer.capabilities.contains(Capabilities::DATAGRAMS);
        if both { core.with_link_in_use(L::max_datagram_size) } else { None }
    }

    async fn open_stream(&self) -> Result<(Self::SendStream, Self::RecvStream)> {
        let core = &*self.inner.core;
        let resumes = core.reconnect.is_some();
        loop {
            let links = core.former_links();
            let Ok((mut send, recv)) = core.link().open_bi().await else {
                core.next_link(links).await.map_err(|reason| core.ended(reason))?;
                continue;
            };
            let kind = Bytes::from_owner([StreamKind::Program.to_byte()]);
            match send.write_all(kind).await {
                Ok(()) => {
                    core.has_streams.store(true, Ordering::Relaxed);
                    let send = ProgramSendStream::new(send, resumes);
                    return Ok((send, ProgramRecvStream::opened(recv, resumes)));
                }
                Err(StreamError::Closed(_)) => {
                    core.next_link(links).await.map_err(|reason| core.ended(reason))?;
                }
                Err(error) => return Err(error.into()),
            }
        }
    }

    async fn accept_stream(&self) -> Result<(Self::SendStream, Self::RecvStream)> {
        let core = &*self.inner.core;
        let resumes = core.reconnect.is_some();
        loop {
            let links = core.former_links();
            match core.link().accept_bi().await {
                Ok((send, recv)) => {
                    core.has_streams.store(true, Ordering::Relaxed);
                    let send = ProgramSendStream::new(send, resumes);
                    return Ok((send, ProgramRecvStream::accepted(recv, resumes)));
                }
                Err(_) => core.next_link(links).await.map_err(|reason| core.ended(reason))?,
            }
        }
    }

    fn is_connected(&self) -> bool {
        let connected = self.inner.core.end().is_none();
        if !connected {
            self.inner.core.outbox.end();
        }
        connected
    }

    fn state(&self) -> ConnectionState {
        let core = &self.inner.core;
        match core.end() {
            Some(reason) if core.reconnect.is_none() => ConnectionState::Closed(reason),
            _ => core.state.get(),
        }
    }

    fn state_events(&self) -> StateEvents {
        self.inner.core.state.events()
    }

    fn renew_link(&self) {
        let core = &self.inner.core;
        if core.reconnect.is_some() {
            core.link().close(CloseCause::LinkReplaced.to_wire(), "");
        }
    }

    fn path(&self) -> PathInfo {
        if self.is_connected() { self.inner.core.link_in_use().path() } else { PathInfo::NONE }
    }

    fn path_events(&self) -> PathEvents {
        lasting_paths::events(&self.inner.core)
    }

    fn stats(&self) -> ConnectionStats {
        let Inner { core, counters, .. } = &*self.inner;
        core.count_drops();
        ConnectionStats {
            links: core.former_links() + 1,
            rtt: self.path().rtt,
            standby: core.standby_state(),
            ..counters.stats()
        }
    }

    async fn close(&self, code: u32, message: &str) {
        let core = &*self.inner.core;
        let close_timeout = core.config.get().close_timeout;
        let reason = CloseReason::new(ClosedBy::Local, CloseCause::Application(code), message);
        if core.end().is_none() {
            let reason = core.outbox.close(reason);
            // Whatever was not delivered by then is lost: that is what the bound means.
            let _ = tokio::time::timeout(close_timeout, core.outbox.delivered()).await;
            core.close(reason.cause, &reason.message);
        }
        core.closed().await;
    }

    async fn closed(&self) -> CloseReason {
        let closed = self.inner.core.closed().await;
        self.inner.core.outbox.end();
        closed
    }
}

impl<L: Link> Connection<L> {
    #[inline]
    fn check_size(&self, message: &Bytes) -> Result<usize> {
        self.check_length(message.len())
    }

    #[inline]
    fn check_length(&self, size: usize) -> Result<usize> {
        let max = self.inner.core.peer.max_message_size;
        if size > max {
            return Err(too_large(Limit::Message, max, size));
        }
        Ok(size)
    }

    /// Sends a datagram that is too large for the path.
    fn send_on_stream(&self, datagram: Bytes) -> Result<()> {
        const MAX: usize = DatagramOptions::MAX_ON_STREAM;
        const WAITING: usize = DatagramOptions::MAX_WAITING;
        let Inner { core, counters, .. } = &*self.inner;
        let size = datagram.len();
        if !core.peer.capabilities.contains(Capabilities::DATAGRAM_STREAMS) {
            return Err(ProtocolError::Unsupported { capability: "datagrams on streams" }.into());
        }
        if size > MAX {
            return Err(too_large(Limit::Datagram, MAX, size));
        }
        if !core.datagram_streams.try_push(datagram) {
            return Err(too_large(Limit::DatagramStreams, WAITING, WAITING + 1));
        }
        add(&counters.datagrams_sent, 1);
        Ok(())
    }
}

fn too_large(limit: Limit, max: usize, actual: usize) -> P2PError {
    P2PError::LimitExceeded { limit, max: max as u64, actual: actual as u64 }
}

impl<L: Link> Drop for Inner<L> {
    fn drop(&mut self) {
        // Before the streams go: the peer is to see a close, not resets.
        self.core.close(CloseCause::Dropped, "");
        if let Some(reason) = self.core.end() {
            // The task may not live to say it.
            self.core.state.set(ConnectionState::Closed(reason));
        }
        self.pump.abort();
        // For the node, which keeps what was counted.
        self.core.count_drops();
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
        f.debug_struct("Connection")
            .field("peer", &self.inner.core.peer.id)
            .field("protocol", &self.inner.core.peer.protocol)
            .field("state", &self.state())
            .finish_non_exhaustive()
    }
}
