//! [`Connection`]: messages, datagrams and streams, on one link after another.

use std::fmt;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use bytes::Bytes;
use tokio::sync::OwnedSemaphorePermit;
use tokio::task::AbortHandle;

use crate::close::{CloseCause, CloseReason, ClosedBy};
use crate::config::ConnectionConfig;
use crate::config::live::LiveConfig;
use crate::datagram::{DatagramFallback, DatagramOptions};
use crate::engine::StreamKind;
use crate::engine::hello::Agreement;
use crate::engine::send_lane::LaneTerms;
use crate::error::{Limit, P2PError, ProtocolError, Result, StreamError};
use crate::identity::PeerId;
use crate::node::{KeepAlive, Registry};
use crate::observe::{Monitor, Subject};
use crate::path::{PathEvents, PathInfo, PathPolicy};
use crate::permit::SendPermit;
use crate::priority::Priority;
use crate::protocol::Capabilities;
use crate::provider::{ConnectionStats, LaneStats, Message, P2PConnection, PeerInfo};
use crate::reconnect::{
    Backoff, ConnectionState, FailoverPolicy, LaneProgress, Lost, LostReason, ReconnectPolicy,
    StateEvents,
};
use crate::stream::SendStream;
use crate::transport::{DatagramError, Link, LinkClosed};

mod arrivals;
mod datagram_streams;
mod datagrams;
mod inbox;
mod lasting_paths;
mod outbox;
mod parts;
mod paths;
mod place;
mod program_stream;
mod pump;
pub(crate) mod relink;
pub(crate) mod state;
mod turns;
mod watch;

use datagram_streams::DatagramStreams;
use datagrams::Datagrams;
use inbox::Inbox;
use outbox::{Outbox, PushError};
use place::Place;
pub use program_stream::{ProgramRecvStream, ProgramSendStream};
use pump::PumpError;
use relink::{Handover, Redial, Relinked};
use state::StateCell;
use watch::Watch;

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
    /// The listener's place that this connection takes.
    _place: Option<OwnedSemaphorePermit>,
    number: u64,
    registry: Arc<dyn Registry>,
    _keep_alive: KeepAlive,
}

/// What the handles and the task have in common.
pub(crate) struct Core<L: Link> {
    link: Mutex<Arc<L>>,
    /// How many links were lost: whoever waits for a next one knows by this that it has come.
    lost_links: AtomicU64,
    peer: PeerInfo,
    config: Arc<LiveConfig>,
    /// How to go on without a link, if both sides agreed to.
    reconnect: Option<Backoff>,
    inbox: Inbox<L::RecvStream>,
    outbox: Outbox<L::SendStream>,
    datagrams: Datagrams,
    datagram_streams: DatagramStreams<L::RecvStream>,
    path_policy: PathPolicy,
    state: Arc<StateCell>,
    handover: Handover<L>,
    watch: Arc<Watch>,
    /// Control frames that have come.
    control_heard: AtomicU64,
    /// Datagrams that former links did not send.
    lost_datagrams: AtomicU64,
    /// Attempts of this side to come back.
    attempts: AtomicU32,
    /// What the peer did that ended the connection.
    violation: OnceLock<String>,
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
    /// On the side that dialled: how to dial again.
    pub(crate) redial: Option<Box<dyn Redial<L>>>,
    pub(crate) place: Option<OwnedSemaphorePermit>,
    pub(crate) number: u64,
    pub(crate) registry: Arc<dyn Registry>,
    pub(crate) keep_alive: KeepAlive,
}

#[derive(Default)]
pub(crate) struct Counters {
    lanes: [LaneCounters; Priority::COUNT],
    datagrams_sent: AtomicU64,
    datagrams_received: AtomicU64,
    datagrams_dropped: AtomicU64,
}

#[derive(Default)]
struct LaneCounters {
    messages_sent: AtomicU64,
    messages_received: AtomicU64,
    message_bytes_sent: AtomicU64,
    message_bytes_received: AtomicU64,
}

impl Counters {
    fn on_sent(&self, priority: Priority, size: usize) {
        let lane = &self.lanes[priority.index()];
        add(&lane.messages_sent, 1);
        add(&lane.message_bytes_sent, size);
    }

    fn on_received(&self, message: &Message) {
        let lane = &self.lanes[message.priority.index()];
        add(&lane.messages_received, 1);
        add(&lane.message_bytes_received, message.payload.len());
    }

    /// What they have counted so far; the rest of the statistics is left empty.
    pub(crate) fn stats(&self) -> ConnectionStats {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let mut stats = ConnectionStats {
            datagrams_sent: read(&self.datagrams_sent),
            datagrams_received: read(&self.datagrams_received),
            datagrams_dropped: read(&self.datagrams_dropped),
            ..ConnectionStats::default()
        };
        for (lane, counters) in stats.lanes.iter_mut().zip(&self.lanes) {
            *lane = LaneStats {
                messages_sent: read(&counters.messages_sent),
                messages_received: read(&counters.messages_received),
                message_bytes_sent: read(&counters.message_bytes_sent),
                message_bytes_received: read(&counters.message_bytes_received),
            };
            stats.messages_sent += lane.messages_sent;
            stats.messages_received += lane.messages_received;
            stats.message_bytes_sent += lane.message_bytes_sent;
            stats.message_bytes_received += lane.message_bytes_received;
        }
        stats
    }
}

fn add(counter: &AtomicU64, amount: usize) {
    counter.fetch_add(amount as u64, Ordering::Relaxed);
}

impl<L: Link> Connection<L> {
    pub(crate) fn new(parts: Parts<'_, L>) -> Self {
        let Parts { linked, peer, agreement, config, redial, .. } = parts;
        let subject = Subject::new(parts.monitor, peer.id, parts.number);
        let Relinked { link, control, standing: _ } = linked;
        let both = |capability| agreement.capabilities.contains(capability);
        // A peer of version 1 counts a lane's first byte, which says what it is.
        let origin = u64::from(agreement.version < 2);
        let marked = both(Capabilities::COMPRESSION);
        let reconnect = match config.reconnect {
            ReconnectPolicy::Resume(backoff) if both(Capabilities::RESUME) => Some(backoff),
            _ => None,
        };
        let terms = LaneTerms {
            window: agreement.send_window,
            max_queued: config.send_queue.max(1),
            origin,
            packing: marked.then_some(config.compress_from.unwrap_or(usize::MAX)),
            keeps: reconnect.is_some(),
        };
        let floor = match config.failover {
            FailoverPolicy::Redial { after }
                if reconnect.is_some() && both(Capabilities::PROBES) =>
            {
                Some(after)
            }
            _ => None,
        };
        let watch = Arc::new(Watch::new(floor));
        let (window, max_message_size) = (agreement.receive_window, peer.max_message_size);
        let core = Arc::new(Core {
            link: Mutex::new(Arc::new(link)),
            lost_links: AtomicU64::new(0),
            peer,
            config: parts.live,
            reconnect,
            inbox: Inbox::new(window, max_message_size, origin, marked, watch.clone()),
            outbox: Outbox::new(terms, !both(Capabilities::LANES), watch.clone()),
            datagrams: Datagrams::new(config.datagram_queue, config.datagram_drop),
            datagram_streams: DatagramStreams::default(),
            path_policy: parts.path_policy,
            state: StateCell::new(subject),
            handover: Handover::default(),
            watch,
            control_heard: AtomicU64::new(0),
            lost_datagrams: AtomicU64::new(0),
            attempts: AtomicU32::new(0),
            violation: OnceLock::new(),
        });
        let pump = Box::pin(pump::run(core.clone(), control, redial));
        let pump = tokio::spawn(core.link().task(pump));
        Self {
            inner: Arc::new(Inner {
                core,
                counters: Arc::default(),
                pump: pump.abort_handle(),
                _place: parts.place,
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

impl<L: Link> Core<L> {
    /// The peer has come back: its link goes to the connection's task, unless that is over, or a
    /// later attempt came before: then the link comes back.
    pub(crate) fn hand_over(&self, attempt: u32, next: Relinked<L>) -> Option<Relinked<L>> {
        if self.state.end().is_some() {
            return Some(next);
        }
        self.handover.put(attempt, next)
    }

    fn link_slot(&self) -> MutexGuard<'_, Arc<L>> {
        self.link.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn link(&self) -> Arc<L> {
        self.link_slot().clone()
    }

    /// Whether the connection ends with a link that ended so.
    fn is_final(&self, closed: &LinkClosed) -> bool {
        if self.reconnect.is_none() {
            return true;
        }
        // Until the peer has let this side in, it may merely not have heard enough of it: then it says
        // that it took too long, or drops the link, which transports tell with code 0.
        let on_the_way = matches!(self.state.get(), ConnectionState::Reconnecting { .. });
        match closed {
            LinkClosed::Peer { code, .. }
                if on_the_way
                    && matches!(
                        CloseCause::from_wire(*code),
                        CloseCause::TimedOut | CloseCause::Application(0)
                    ) =>
            {
                false
            }
            LinkClosed::TimedOut | LinkClosed::Transport { .. } => false,
            LinkClosed::Local { code, .. } | LinkClosed::Peer { code, .. } => {
                CloseCause::from_wire(*code) != CloseCause::LinkReplaced
            }
        }
    }

    /// How to look for a next link, if both sides agreed to.
    fn backoff(&self) -> Option<Backoff> {
        self.reconnect.map(|agreed| self.config.backoff(agreed))
    }

    /// How the connection ended, if it has.
    fn end(&self) -> Option<CloseReason> {
        if self.reconnect.is_some() {
            return self.state.end();
        }
        self.link().close_reason().map(CloseReason::from)
    }

    /// Waits for the end of the connection.
    async fn closed(&self) -> CloseReason {
        if self.reconnect.is_some() {
            return self.state.over().await;
        }
        self.link().closed().await.into()
    }

    /// After something failed with a link, of which there were so many before: waits for the next
    /// link, or returns how the connection has ended.
    async fn next_link(&self, lost_before: u64) -> Result<(), CloseReason> {
        if self.reconnect.is_none() {
            return Err(self.link().closed().await.into());
        }
        self.state
            .wait(|state| {
                state.is_over()
                    || self.lost_links() > lost_before
                        && !matches!(state, ConnectionState::Reconnecting { .. })
            })
            .await;
        self.state.end().map_or(Ok(()), Err)
    }

    fn is_over(&self) -> bool {
        self.end().is_some()
    }

    fn lost_links(&self) -> u64 {
        self.lost_links.load(Ordering::Acquire)
    }

    /// What the end of the connection means to the program. Who has heard of the end sends no more,
    /// even if the task has not noticed it yet.
    fn ended(&self, reason: impl Into<CloseReason>) -> P2PError {
        self.outbox.end();
        if let Some(detail) = self.violation.get() {
            return ProtocolError::Violation { detail: detail.clone() }.into();
        }
        P2PError::from_refusal(self.peer.id, &self.peer.protocol, reason.into())
    }

    /// Why a message was not taken, for those who do not wait to hear how the connection ended.
    fn not_taken(&self, error: PushError) -> P2PError {
        let ending = || CloseReason::new(ClosedBy::Network, CloseCause::Transport, "");
        match error {
            PushError::Closing(reason) => self.ended(reason),
            PushError::Ended => self.ended(self.end().unwrap_or_else(ending)),
        }
    }

    /// Ends the connection from this side.
    pub(crate) fn close(&self, cause: CloseCause, message: &str) {
        let reason = CloseReason::new(ClosedBy::Local, cause, message);
        let link = self.link();
        // Before the state: who hears of the end finds the link closed.
        link.close(cause.to_wire(), &reason.message);
        if self.reconnect.is_some() && self.state.end().is_none() {
            self.state.set(ConnectionState::Closed(match link.close_reason() {
                Some(closed) if self.is_final(&closed) => closed.into(),
                _ => reason.clone(),
            }));
            // The task may have gone over to a next link in the meantime; if it does so from now on,
            // it finds the connection closed.
            self.link().close(cause.to_wire(), &reason.message);
        }
        self.outbox.end();
    }

    /// Ends the connection over something the peer must not do, unless it has ended before.
    fn violate(&self, detail: String) {
        if self.end().is_none() {
            let cause = CloseCause::ProtocolViolation;
            let reason = CloseReason::new(ClosedBy::Local, cause, detail);
            self.state.subject().violation(&reason.message);
            self.close(cause, &reason.message);
            self.violation.get_or_init(|| reason.message);
        }
    }

    /// Where this side's messages are, for those who hear that the connection is lost.
    fn lost(&self, reason: LostReason) -> ConnectionState {
        // Before the account: what it does not count is not taken.
        self.outbox.end();
        let lanes = self.outbox.progress().map(|lane| LaneProgress {
            acknowledged: lane.acknowledged,
            unknown: lane.written,
            never_sent: lane.given,
        });
        ConnectionState::Lost(Box::new(Lost { reason, lanes }))
    }

    /// The peer has let this side in: if that was on a next link, the connection goes on.
    fn admitted(&self) {
        if matches!(self.state.get(), ConnectionState::Reconnecting { .. }) {
            self.state.set(ConnectionState::Resumed);
        }
    }

    /// A control frame has come.
    fn hear(&self) {
        self.control_heard.fetch_add(1, Ordering::Relaxed);
        if self.inbox.take_watched() {
            self.watch.wake();
        }
    }

    /// A measure of how much has come: it only grows.
    fn heard(&self) -> u64 {
        self.control_heard.load(Ordering::Relaxed) + self.inbox.heard()
    }

    /// The number of the next attempt to come back: always greater than the last.
    fn next_attempt(&self) -> u32 {
        self.attempts.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// Datagrams that the links did not send.
    fn datagrams_not_sent(&self) -> u64 {
        self.lost_datagrams.load(Ordering::Relaxed) + self.link().datagrams_dropped()
    }

    /// The link is lost, another may follow.
    fn detach(&self) {
        self.outbox.detach();
        add(&self.lost_datagrams, self.datagram_streams.detach());
        self.inbox.detach();
        self.state.subject().link_lost(self.link().close_reason().map(CloseReason::from));
        self.lost_links.fetch_add(1, Ordering::Release);
    }

    /// There is a next link. `standing` is where the peer's receiving lanes stand, if it said so.
    fn attach(
        &self,
        link: L,
        standing: Option<[(u64, u64); Priority::COUNT]>,
    ) -> Result<(), PumpError> {
        let former = std::mem::replace(&mut *self.link_slot(), Arc::new(link));
        self.lost_datagrams.fetch_add(former.datagrams_dropped(), Ordering::Relaxed);
        for (priority, (end, taken)) in
            Priority::ALL.into_iter().zip(standing.into_iter().flatten())
        {
            self.outbox.on_read(priority, end)?;
            self.outbox.on_taken(priority, taken)?;
        }
        self.outbox.attach();
        Ok(())
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

    async fn send_with(&self, priority: Priority, message: Bytes) -> Result<()> {
        let core = &self.inner.core;
        let size = self.check_size(&message)?;
        match core.outbox.push(priority, message).await {
            Ok(()) => {}
            Err(PushError::Closing(reason)) => return Err(core.ended(reason)),
            Err(PushError::Ended) => return Err(core.ended(core.closed().await)),
        }
        self.inner.counters.on_sent(priority, size);
        Ok(())
    }

    fn try_send(&self, priority: Priority, message: Bytes) -> Result<()> {
        let core = &self.inner.core;
        let size = self.check_size(&message)?;
        match core.outbox.try_push(priority, &message) {
            Ok(true) => {
                self.inner.counters.on_sent(priority, size);
                Ok(())
            }
            Ok(false) => Err(P2PError::LimitExceeded {
                limit: Limit::SendQueue,
                max: core.outbox.max_queued() as u64,
                actual: (core.outbox.queued(priority) + size) as u64,
            }),
            Err(error) => Err(core.not_taken(error)),
        }
    }

    async fn reserve(&self, priority: Priority, size: usize) -> Result<SendPermit> {
        let core = &self.inner.core;
        self.check_length(size)?;
        match core.outbox.reserve(priority, size).await {
            Ok(()) => {}
            Err(PushError::Closing(reason)) => return Err(core.ended(reason)),
            Err(PushError::Ended) => return Err(core.ended(core.closed().await)),
        }
        let connection = self.clone();
        Ok(SendPermit::new(Place { connection, priority, size, used: false }))
    }

    fn queue_depth(&self, priority: Priority) -> usize {
        self.inner.core.outbox.queued(priority)
    }

    async fn recv_message(&self) -> Result<Message> {
        let Inner { core, counters, .. } = &*self.inner;
        loop {
            let links = core.lost_links();
            match core.inbox.recv().await {
                Ok(Some(message)) => {
                    counters.on_received(&message);
                    return Ok(message);
                }
                // The peer has said its last word on this link; how it ends says why.
                Ok(None) | Err(PumpError::Closed) => {
                    core.next_link(links).await.map_err(|reason| core.ended(reason))?;
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
        match core.link().send_datagram(datagram) {
            Ok(()) => {
                add(&counters.datagrams_sent, 1);
                Ok(())
            }
            Err(DatagramError::Closed(closed)) => match core.end() {
                // Between two links: lost, as datagrams may be.
                None if !core.is_final(&closed) => {
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

    async fn recv_datagram(&self) -> Result<Bytes> {
        let Inner { core, counters, .. } = &*self.inner;
        loop {
            let links = core.lost_links();
            match core.datagrams.recv(&*core.link()).await {
                Some(datagram) => {
                    add(&counters.datagrams_received, 1);
                    return Ok(datagram);
                }
                None => core.next_link(links).await.map_err(|reason| core.ended(reason))?,
            }
        }
    }

    fn max_datagram_size(&self) -> Option<usize> {
        let core = &self.inner.core;
        let both = core.peer.capabilities.contains(Capabilities::DATAGRAMS);
        if both { core.link().max_datagram_size() } else { None }
    }

    async fn open_stream(&self) -> Result<(Self::SendStream, Self::RecvStream)> {
        let core = &*self.inner.core;
        let resumes = core.reconnect.is_some();
        loop {
            let links = core.lost_links();
            let Ok((mut send, recv)) = core.link().open_bi().await else {
                core.next_link(links).await.map_err(|reason| core.ended(reason))?;
                continue;
            };
            let kind = Bytes::from_owner([StreamKind::Program.to_byte()]);
            match send.write_all(kind).await {
                Ok(()) => {
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
            let links = core.lost_links();
            match core.link().accept_bi().await {
                Ok((send, recv)) => {
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
        if self.is_connected() { self.inner.core.link().path() } else { PathInfo::NONE }
    }

    fn path_events(&self) -> PathEvents {
        lasting_paths::events(&self.inner.core)
    }

    fn stats(&self) -> ConnectionStats {
        let Inner { core, counters, .. } = &*self.inner;
        let counted = counters.stats();
        ConnectionStats {
            datagrams_dropped: counted.datagrams_dropped + core.datagrams_not_sent(),
            datagrams_unread: core.datagrams.dropped(),
            links: core.lost_links() + 1,
            rtt: self.path().rtt,
            ..counted
        }
    }

    async fn close(&self, code: u32, message: &str) {
        let core = &*self.inner.core;
        let close_timeout = core.config.get().close_timeout;
        let cause = CloseCause::Application(code);
        let reason = CloseReason::new(ClosedBy::Local, cause, message);
        if core.end().is_none() {
            core.outbox.close(reason.clone());
            // Whatever was not delivered by then is lost: that is what the bound means.
            let _ = tokio::time::timeout(close_timeout, core.outbox.delivered()).await;
            core.close(cause, &reason.message);
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
    fn check_size(&self, message: &Bytes) -> Result<usize> {
        self.check_length(message.len())
    }

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
