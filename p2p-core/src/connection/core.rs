//! What the handles of a connection and its task have in common.

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use super::counters::{Counters, add};
use super::datagram_streams::DatagramStreams;
use super::datagrams::Datagrams;
use super::drops::CountedDrops;
use super::inbox::Inbox;
use super::outbox::{Outbox, PushError};
use super::pump::PumpError;
use super::relink::{Handover, Relinked};
use super::slot::Slot;
use super::standby::Spare;
use super::state::StateCell;
use super::watch::{Judge, Watch};
use crate::close::{CloseCause, CloseReason, ClosedBy};
use crate::config::ConnectionConfig;
use crate::config::live::LiveConfig;
use crate::engine::control::ControlFrame;
use crate::engine::hello::Agreement;
use crate::engine::liveness::Liveness;
use crate::engine::send_lane::LaneTerms;
use crate::engine::standby::{Reliance, Standby, Terms, Way};
use crate::error::{P2PError, ProtocolError, Result};
use crate::node::Registry;
use crate::observe::Subject;
use crate::path::PathPolicy;
use crate::priority::Priority;
use crate::protocol::Capabilities;
use crate::provider::PeerInfo;
use crate::race::{First, first};
use crate::reconnect::{
    Backoff, ConnectionState, FailoverPolicy, LaneProgress, Lost, LostReason, ReconnectPolicy,
    StandbyState,
};
use crate::transport::{Link, LinkClosed};

/// What the handles and the task have in common.
pub(crate) struct Core<L: Link> {
    link: Slot<L>,
    pub(super) peer: PeerInfo,
    pub(super) config: Arc<LiveConfig>,
    /// How to go on without a link, if both sides agreed to.
    pub(super) reconnect: Option<Backoff>,
    pub(super) inbox: Inbox<L::RecvStream>,
    pub(super) outbox: Outbox<L::SendStream>,
    pub(super) datagrams: Datagrams,
    pub(super) datagram_streams: DatagramStreams<L::RecvStream>,
    pub(super) path_policy: PathPolicy,
    pub(super) state: Arc<StateCell>,
    pub(super) handover: Handover<L>,
    pub(super) watch: Arc<Watch>,
    /// Where both sides may keep a second link.
    pub(super) spare: Option<Box<Spare<L>>>,
    /// The program has opened or taken a stream.
    pub(super) has_streams: AtomicBool,
    ended_unused: AtomicBool,
    registry: Arc<dyn Registry>,
    number: u64,
    pub(super) counters: Arc<Counters>,
    /// This side asked for one.
    wants_standby: bool,
    /// Control frames that have come.
    pub(super) control_heard: AtomicU64,
    pub(super) drops_counted: CountedDrops,
    /// This side knows that it was let in.
    pub(super) admitted: AtomicBool,
    /// Attempts of this side to come back.
    pub(super) attempts: AtomicU32,
    /// What the peer did that ended the connection.
    pub(super) violation: OnceLock<String>,
}

/// What was agreed and configured.
pub(super) struct CoreTerms<'a> {
    pub(super) agreement: Agreement,
    /// What was told to the peer.
    pub(super) config: &'a ConnectionConfig,
    pub(super) live: Arc<LiveConfig>,
    pub(super) path_policy: PathPolicy,
    pub(super) admitted: bool,
    pub(super) side: Side,
    pub(super) registry: Arc<dyn Registry>,
    pub(super) number: u64,
    pub(super) counters: Arc<Counters>,
}

/// Which side of a connection this is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    /// It accepted.
    Acceptor,
    /// It dialled, and its transport has links that stand by, or has not.
    Dialler { has_standby: bool },
}

impl<L: Link> Core<L> {
    pub(super) fn new(link: L, peer: PeerInfo, terms: CoreTerms<'_>, subject: Subject) -> Self {
        let CoreTerms { agreement, config, live, path_policy, admitted, .. } = terms;
        let (side, registry, number) = (terms.side, terms.registry, terms.number);
        let counters = terms.counters;
        let both = |capability| agreement.capabilities.contains(capability);
        // A peer of version 1 counts a lane's first byte, which says what it is.
        let origin = u64::from(agreement.version < 2);
        let marked = both(Capabilities::COMPRESSION);
        let reconnect = match config.reconnect {
            ReconnectPolicy::Resume(backoff) if both(Capabilities::RESUME) => Some(backoff),
            _ => None,
        };
        // Without resuming there is nothing that a second link could go on with.
        let may_stand_by = reconnect.is_some()
            && both(Capabilities::STANDBY)
            && both(Capabilities::PROBES)
            && !matches!(path_policy, PathPolicy::RequireDirect { .. });
        let asked = matches!(config.failover, FailoverPolicy::Standby(_));
        let keeps_standby = match side {
            Side::Acceptor => may_stand_by,
            Side::Dialler { has_standby } => may_stand_by && has_standby && asked,
        };
        let terms = LaneTerms {
            window: agreement.send_window,
            max_queued: config.send_queue.max(1),
            origin,
            packing: marked.then_some(config.compress_from.unwrap_or(usize::MAX)),
            keeps: reconnect.is_some(),
        };
        let judge = match config.failover {
            _ if reconnect.is_none() || !both(Capabilities::PROBES) => Judge::Nobody,
            FailoverPolicy::Off => Judge::Nobody,
            FailoverPolicy::Redial { after } => Judge::Liveness(Box::new(Liveness::new(after))),
            FailoverPolicy::Standby(options) if keeps_standby => {
                Judge::Standby(Box::new(Standby::new(Terms {
                    hedge_after: options.hedge_after,
                    heal_after: options.heal_after,
                    redial_after: options.redial_after,
                    redials: side != Side::Acceptor,
                })))
            }
            FailoverPolicy::Standby(options) => {
                Judge::Liveness(Box::new(Liveness::new(options.redial_after)))
            }
        };
        if asked && !keeps_standby {
            subject.standby_unavailable();
        }
        let watch = Arc::new(Watch::new(judge));
        let replaceable = reconnect.is_some() && both(Capabilities::STANDBY);
        let (window, max_message_size) = (agreement.receive_window, peer.max_message_size);
        Self {
            link: Slot::new(link, reconnect.is_some()),
            peer,
            config: live,
            reconnect,
            inbox: Inbox::new(
                window,
                max_message_size,
                origin,
                marked,
                replaceable,
                watch.clone(),
                counters.clone(),
            ),
            outbox: Outbox::new(terms, !both(Capabilities::LANES), watch.clone(), counters.clone()),
            datagrams: Datagrams::new(
                config.datagram_queue,
                config.datagram_drop,
                counters.clone(),
            ),
            datagram_streams: DatagramStreams::default(),
            path_policy,
            state: StateCell::new(subject),
            handover: Handover::default(),
            watch,
            spare: keeps_standby.then(|| Box::new(Spare::new(registry.clone(), number))),
            has_streams: AtomicBool::new(false),
            ended_unused: AtomicBool::new(false),
            registry,
            number,
            counters,
            wants_standby: asked,
            control_heard: AtomicU64::new(0),
            drops_counted: CountedDrops::default(),
            attempts: AtomicU32::new(0),
            admitted: AtomicBool::new(admitted),
            violation: OnceLock::new(),
        }
    }

    /// The peer has come back: its link goes to the connection's task, unless that is over, or a
    /// later attempt came before: then the link comes back.
    pub(crate) fn hand_over(
        &self,
        attempt: u32,
        next: Box<Relinked<L>>,
    ) -> Option<Box<Relinked<L>>> {
        if self.state.end().is_some() {
            return Some(next);
        }
        self.handover.put(attempt, next)
    }

    pub(crate) fn link(&self) -> Arc<L> {
        self.link.get()
    }

    /// Does something with the present link that takes no time, for less than what a clone costs.
    pub(super) fn with_link<T>(&self, act: impl FnOnce(&L) -> T) -> T {
        self.link.with(|link| act(link))
    }

    /// Whether the connection ends with a link that ended so.
    pub(super) fn is_final(&self, closed: &LinkClosed) -> bool {
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
    pub(super) fn backoff(&self) -> Option<Backoff> {
        self.reconnect.map(|agreed| self.config.backoff(agreed))
    }

    /// How the connection ended, if it has.
    pub(super) fn end(&self) -> Option<CloseReason> {
        if self.reconnect.is_some() {
            return self.state.end();
        }
        self.with_link(L::close_reason).map(CloseReason::from)
    }

    /// How the connection has ended, if it has, in the words that a peer is to hear.
    pub(super) fn last_word(&self) -> Option<(CloseCause, String)> {
        self.end().map(|reason| (reason.cause, reason.message))
    }

    /// Waits for the end of the connection.
    pub(super) async fn closed(&self) -> CloseReason {
        if self.reconnect.is_some() {
            return self.state.over().await;
        }
        self.link().closed().await.into()
    }

    /// After something failed with a link, before which there were so many: waits until the peer is
    /// heard on a next link, or returns how the connection has ended.
    pub(super) async fn next_link(&self, former: u64) -> Result<(), CloseReason> {
        // In a box: each receive would have room for it, and be moved with it.
        Box::pin(self.wait_for_link(former)).await
    }

    async fn wait_for_link(&self, former: u64) -> Result<(), CloseReason> {
        if self.reconnect.is_none() {
            return Err(self.link().closed().await.into());
        }
        self.state
            .wait(|state| {
                state.is_over()
                    || self.former_links() > former
                        && !matches!(state, ConnectionState::Reconnecting { .. })
            })
            .await;
        self.state.end().map_or(Ok(()), Err)
    }

    /// The same for messages: or until there is a standby, which carries them as well.
    pub(super) async fn next_carrier(&self, former: u64) -> Result<(), CloseReason> {
        if self.spare.is_none() {
            return self.next_link(former).await;
        }
        self.next_link_or(former, self.state.wait(|_| self.has_standby())).await
    }

    /// The same for datagrams: or until one has come over a standby.
    pub(super) async fn next_datagram(&self, former: u64) -> Result<(), CloseReason> {
        self.next_link_or(former, self.datagrams.come()).await
    }

    async fn next_link_or(
        &self,
        former: u64,
        other: impl Future<Output = ()> + Send,
    ) -> Result<(), CloseReason> {
        match Box::pin(first(self.wait_for_link(former), other)).await {
            First::One(result) => result,
            First::Other(()) => Ok(()),
        }
    }

    /// The same, but does not wait until the peer is heard; `false` if the connection has ended.
    pub(super) async fn has_next_link(&self, former: u64) -> bool {
        self.state.wait(|state| state.is_over() || self.former_links() > former).await;
        !self.is_over()
    }

    pub(super) fn is_over(&self) -> bool {
        self.end().is_some()
    }

    /// Whether the connection is over and the peer never had it: it gave up dialling before it heard
    /// that it was let in.
    pub(crate) fn was_given_up(&self) -> bool {
        self.is_over() && self.inbox.is_untouched()
    }

    /// Ends a connection that the network has taken the link from before anything went over it, if that
    /// is so. There is nothing to go on with, and its dialler may have given up unheard: if not, it is
    /// let in anew.
    pub(super) fn end_unused(&self, closed: &LinkClosed) -> bool {
        let by_network = matches!(closed, LinkClosed::TimedOut | LinkClosed::Transport { .. });
        let unused = by_network
            && self.former_links() == 0
            && !self.has_standby()
            && self.inbox.is_untouched()
            && !self.has_streams.load(Ordering::Relaxed)
            && self.counters.is_unused();
        if unused {
            self.ended_unused.store(true, Ordering::Relaxed);
            self.registry.end_unused(self.number);
        }
        unused
    }

    /// What a link is told that comes when the connection is over.
    pub(crate) fn too_late(&self) -> CloseCause {
        // The next attempt is let in anew.
        let again = self.ended_unused.load(Ordering::Relaxed);
        if again { CloseCause::LinkReplaced } else { CloseCause::NotResumable }
    }

    /// How many links the connection had before the present one, or the last. Asked for before the link
    /// is used: whoever waits for a next one knows by this that it has come.
    pub(super) fn former_links(&self) -> u64 {
        self.link.former()
    }

    /// What the end of the connection means to the program. Who has heard of the end sends no more,
    /// even if the task has not noticed it yet.
    pub(super) fn ended(&self, reason: impl Into<CloseReason>) -> P2PError {
        self.outbox.end();
        self.told(reason)
    }

    /// The same, while this side's close still waits for what was sent before.
    fn told(&self, reason: impl Into<CloseReason>) -> P2PError {
        if let Some(detail) = self.violation.get() {
            return ProtocolError::Violation { detail: detail.clone() }.into();
        }
        P2PError::from_refusal(self.peer.id, &self.peer.protocol, reason.into())
    }

    /// Why a message was not taken, once it is known how the connection ended.
    pub(super) async fn refused(&self, error: PushError) -> P2PError {
        match error {
            PushError::Closing(reason) => self.told(reason),
            PushError::Ended => self.ended(self.closed().await),
        }
    }

    /// Why a message was not taken, for those who do not wait to hear how the connection ended.
    pub(super) fn not_taken(&self, error: PushError) -> P2PError {
        let ending = || CloseReason::new(ClosedBy::Network, CloseCause::Transport, "");
        match error {
            PushError::Closing(reason) => self.told(reason),
            PushError::Ended => self.ended(self.end().unwrap_or_else(ending)),
        }
    }

    /// Ends the connection from this side.
    pub(crate) fn close(&self, cause: CloseCause, message: &str) {
        let reason = CloseReason::new(ClosedBy::Local, cause, message);
        let link = self.link();
        // Before the state: who hears of the end finds the link closed.
        link.close(cause.to_wire(), &reason.message);
        if let Some(spare) = &self.spare {
            spare.close(cause, &reason.message);
        }
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
    pub(super) fn violate(&self, detail: String) {
        if self.end().is_none() {
            let cause = CloseCause::ProtocolViolation;
            let reason = CloseReason::new(ClosedBy::Local, cause, detail);
            self.state.subject().violation(&reason.message);
            // First: who hears of the end asks for it.
            let detail = self.violation.get_or_init(|| reason.message.clone());
            self.close(cause, detail);
        }
    }

    /// Where this side's messages are, for those who hear that the connection is lost.
    pub(super) fn lost(&self, reason: LostReason) -> ConnectionState {
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
    pub(super) fn admitted(&self) {
        self.admitted.store(true, Ordering::Relaxed);
        if matches!(self.state.get(), ConnectionState::Reconnecting { .. }) {
            self.state.set(ConnectionState::Resumed);
        }
    }

    pub(super) fn was_admitted(&self) -> bool {
        self.admitted.load(Ordering::Relaxed)
    }

    /// A control frame has come.
    pub(super) fn hear(&self) {
        self.control_heard.fetch_add(1, Ordering::Relaxed);
        if self.inbox.take_watched() {
            self.watch.wake();
        }
    }

    /// A measure of how much has come: it only grows.
    pub(super) fn heard(&self, way: Way) -> u64 {
        let control = match way {
            Way::Main => self.control_heard.load(Ordering::Relaxed),
            Way::Standby => self.spare.as_ref().map_or(0, |spare| spare.heard()),
        };
        control + self.inbox.heard(way)
    }

    /// The main link's control stream says something about the standby.
    pub(super) fn hear_of_standby(&self, frame: ControlFrame) {
        let Some(spare) = &self.spare else { return };
        match frame {
            ControlFrame::Standby(id) => spare.on_announced(id),
            ControlFrame::Awaited => spare.on_awaited(),
            ControlFrame::Ping(number) => spare.say(Way::Main, ControlFrame::Pong(number)),
            ControlFrame::Pong(number) => self.watch.on_pong(number),
            _ => {}
        }
    }

    /// A peer has come with a link that stands by: it goes to the connection's task, or comes back.
    pub(crate) fn hand_over_standby(
        &self,
        attempt: u32,
        next: Box<Relinked<L>>,
    ) -> Option<Box<Relinked<L>>> {
        match &self.spare {
            Some(spare) if self.state.end().is_none() => spare.hand_over(attempt, next),
            _ => Some(next),
        }
    }

    /// Whether there is a standby.
    pub(super) fn has_standby(&self) -> bool {
        self.spare.as_ref().is_some_and(|spare| spare.reliance().is_some())
    }

    /// How the standby is doing.
    pub(crate) fn standby_state(&self) -> StandbyState {
        match &self.spare {
            None if self.wants_standby => StandbyState::Unavailable,
            None => StandbyState::Off,
            Some(spare) => match spare.reliance() {
                Some(Reliance::None) => StandbyState::Ready,
                Some(Reliance::Hedged) => StandbyState::Hedging,
                Some(Reliance::Switched) => StandbyState::Active,
                None if self.wants_standby => StandbyState::Pending,
                None => StandbyState::Off,
            },
        }
    }

    /// The link that carries the data: the standby if it stands for the other.
    pub(super) fn link_in_use(&self) -> Arc<L> {
        self.standby_in_charge().unwrap_or_else(|| self.link())
    }

    /// As [`with_link`](Self::with_link), with that one.
    pub(super) fn with_link_in_use<T>(&self, act: impl FnOnce(&L) -> T) -> T {
        match self.standby_in_charge() {
            Some(standby) => act(&standby),
            None => self.with_link(act),
        }
    }

    /// The standby, if it stands for the other link.
    pub(super) fn standby_in_charge(&self) -> Option<Arc<L>> {
        self.spare.as_ref().and_then(|spare| spare.in_charge())
    }

    /// The number of the next attempt to come back: always greater than the last.
    pub(super) fn next_attempt(&self) -> u32 {
        self.attempts.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// The link is lost, another may follow.
    pub(super) fn detach(&self) {
        self.outbox.detach();
        add(&self.counters.datagrams_dropped, self.datagram_streams.detach());
        self.inbox.detach();
        if let Some(spare) = &self.spare {
            spare.forget_said();
            self.watch.on_lost(Way::Main);
        }
        self.state.subject().link_lost(self.link().close_reason().map(CloseReason::from));
    }

    /// There is a next link. `standing` is where the peer's receiving lanes stand, if it said so.
    pub(super) fn attach(
        &self,
        link: L,
        standing: Option<[(u64, u64); Priority::COUNT]>,
    ) -> Result<(), PumpError> {
        self.replacing(Way::Main, || Some(self.link.replace(link)));
        for (priority, (end, taken)) in
            Priority::ALL.into_iter().zip(standing.into_iter().flatten())
        {
            self.outbox.on_read(priority, end)?;
            self.outbox.on_taken(priority, taken)?;
        }
        self.outbox.attach();
        // Whoever waits for a link looks again; the state may not change with it.
        self.state.touch();
        if self.spare.is_some() {
            self.forsake_standby();
            self.watch.on_link(Way::Main, self.link().path().rtt);
        }
        Ok(())
    }
}
