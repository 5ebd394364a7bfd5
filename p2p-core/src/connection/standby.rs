//! A connection's second link: how it comes to be there, and what goes over it.
//!
//! The side that dialled gets a name for its standby links from its transport and announces it on the
//! control stream, which is authenticated; so the name that the standby proves is what binds it to the
//! connection, and nothing secret is needed. What both links do for each other is decided in
//! [`engine::standby`](crate::engine::standby); either side may begin to rely on the standby, tells the
//! other over it, and the other follows.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::pin::pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use tokio::time::{Instant, sleep, timeout};

use super::Core;
use super::parts::Parts;
use super::pump::{self, PumpError};
use super::relink::{Handover, Redial, RedialError, Relinked};
use super::{arrivals, watch};
use crate::close::{CloseCause, CloseReason, ClosedBy};
use crate::engine::backoff;
use crate::engine::control::ControlFrame;
use crate::engine::standby::{Reliance, Way};
use crate::handshake::ControlReader;
use crate::identity::PeerId;
use crate::node::Registry;
use crate::reconnect::{Backoff, ConnectionState};
use crate::transport::{Link, LinkClosed};

/// Frames that may wait for a control stream; further answers are not given.
const MAX_FRAMES: usize = 16;
/// How long the peer has to say that it awaits the standby.
const AWAITED_WITHIN: Duration = Duration::from_secs(3);
/// A standby that lived so long was none that cannot be.
const SETTLED: Duration = Duration::from_secs(10);
/// How to try for a standby again.
const AGAIN: Backoff = Backoff {
    first: Duration::from_millis(500),
    max: Duration::from_secs(30),
    attempt: Duration::from_secs(5),
    give_up: Duration::MAX,
};

/// What the parts of a connection know of its standby.
pub(super) struct Spare<L: Link> {
    state: Mutex<State<L>>,
    /// On the side that accepts: where a standby comes from.
    handover: Handover<L>,
    /// Control frames that have come over it.
    heard: AtomicU64,
    registry: Arc<dyn Registry>,
    number: u64,
}

struct State<L: Link> {
    link: Option<Arc<L>>,
    /// Both sides know of it.
    ready: bool,
    own: Reliance,
    peer: Reliance,
    /// The peer awaits a standby.
    awaited: bool,
    seeker: Option<Waker>,
    /// What is to be said on the control streams, and who says it, by [`Way`].
    frames: [VecDeque<ControlFrame>; 2],
    speakers: [Option<Waker>; 2],
}

impl<L: Link> State<L> {
    fn reliance(&self) -> Reliance {
        if self.ready { self.own.max(self.peer) } else { Reliance::None }
    }
}

impl<L: Link> Spare<L> {
    pub(super) fn new(registry: Arc<dyn Registry>, number: u64) -> Self {
        let state = State {
            link: None,
            ready: false,
            own: Reliance::None,
            peer: Reliance::None,
            awaited: false,
            seeker: None,
            frames: [VecDeque::new(), VecDeque::new()],
            speakers: [None, None],
        };
        let (handover, heard) = (Handover::default(), AtomicU64::new(0));
        Self { state: Mutex::new(state), handover, heard, registry, number }
    }

    fn state(&self) -> MutexGuard<'_, State<L>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How far it is relied on; `None` if it is not there.
    pub(super) fn reliance(&self) -> Option<Reliance> {
        let state = self.state();
        state.ready.then(|| state.reliance())
    }

    pub(super) fn link(&self) -> Option<Arc<L>> {
        self.state().link.clone()
    }

    /// The link that stands for the main one, if it does.
    pub(super) fn in_charge(&self) -> Option<Arc<L>> {
        let state = self.state();
        if state.reliance() == Reliance::Switched { state.link.clone() } else { None }
    }

    /// A measure of how much has come over it, lanes apart.
    pub(super) fn heard(&self) -> u64 {
        self.heard.load(Ordering::Relaxed)
    }

    /// Has this said on the control stream of a link.
    pub(super) fn say(&self, way: Way, frame: ControlFrame) {
        let speaker = {
            let mut state = self.state();
            let frames = &mut state.frames[way as usize];
            if frames.len() < MAX_FRAMES {
                frames.push_back(frame);
            }
            state.speakers[way as usize].take()
        };
        speaker.into_iter().for_each(Waker::wake);
    }

    /// What is to be said next on the control stream of a link.
    pub(super) fn poll_frame(&self, way: Way, cx: &Context<'_>) -> Poll<ControlFrame> {
        let mut state = self.state();
        if let Some(frame) = state.frames[way as usize].pop_front() {
            return Poll::Ready(frame);
        }
        state.speakers[way as usize] = Some(cx.waker().clone());
        Poll::Pending
    }

    /// The main link is gone, and what was to be said on it.
    pub(super) fn forget_said(&self) {
        self.state().frames[Way::Main as usize].clear();
    }

    /// Leaves a link for the connection's task, as [`Core::hand_over`].
    pub(crate) fn hand_over(
        &self,
        attempt: u32,
        next: Box<Relinked<L>>,
    ) -> Option<Box<Relinked<L>>> {
        self.handover.put(attempt, next)
    }

    /// The dialler announces its standby.
    pub(super) fn on_announced(&self, id: PeerId) {
        if self.registry.expect_standby(self.number, id) {
            self.say(Way::Main, ControlFrame::Awaited);
        }
    }

    /// The peer awaits the standby.
    pub(super) fn on_awaited(&self) {
        let seeker = {
            let mut state = self.state();
            state.awaited = true;
            state.seeker.take()
        };
        seeker.into_iter().for_each(Waker::wake);
    }

    async fn awaited(&self) {
        poll_fn(|cx| {
            let mut state = self.state();
            if state.awaited {
                return Poll::Ready(());
            }
            state.seeker = Some(cx.waker().clone());
            Poll::Pending
        })
        .await;
    }

    /// Closes it with the connection.
    pub(super) fn close(&self, cause: CloseCause, message: &str) {
        let link = self.state().link.clone();
        if let Some(link) = link {
            link.close(cause.to_wire(), message);
        }
    }

    /// The connection has ended, and its task with it: nobody else closes what came since.
    pub(super) fn end(&self, cause: CloseCause, message: &str) {
        self.close(cause, message);
        if let Some(late) = self.handover.end() {
            late.link.close(CloseCause::NotResumable.to_wire(), "");
        }
    }
}

impl<L: Link> Core<L> {
    /// Relies on the standby so far, as this side has found.
    pub(super) fn rely(&self, own: Reliance) {
        let Some(spare) = &self.spare else { return };
        let before = {
            let mut state = spare.state();
            let before = state.reliance();
            state.own = own;
            before
        };
        if own > Reliance::None {
            // First what the peer may have missed: so it knows what need not go once more.
            self.inbox.report_on(Way::Standby);
        }
        spare.say(Way::Standby, ControlFrame::Rely(own));
        self.follow(before);
    }

    /// The peer relies on the standby so far.
    fn on_peer_relies(&self, peer: Reliance) {
        let Some(spare) = &self.spare else { return };
        let before = {
            let mut state = spare.state();
            let before = state.reliance();
            state.peer = peer;
            before
        };
        self.follow(before);
    }

    /// Lets everything go over the link that it is to go over.
    fn follow(&self, before: Reliance) {
        let Some(spare) = &self.spare else { return };
        let now = spare.state().reliance();
        let way = if now > Reliance::None { Way::Standby } else { Way::Main };
        self.inbox.report_on(way);
        self.outbox.go_over(way, now == Reliance::Switched);
        if now == before {
            return;
        }
        // Who follows the path wants to know, whatever the state is.
        self.state.touch();
        let subject = self.state.subject();
        if before == Reliance::Switched {
            // The main link is the main one again, whether messages still go twice or not.
            subject.healed();
        }
        match now {
            Reliance::None => {}
            Reliance::Hedged => subject.hedged(),
            Reliance::Switched => subject.switched(),
        }
        match (self.state.get(), now) {
            (
                ConnectionState::Connected | ConnectionState::Resumed | ConnectionState::Suspect,
                Reliance::Switched,
            ) => self.state.set(ConnectionState::OnStandby),
            (ConnectionState::OnStandby, Reliance::None | Reliance::Hedged) => {
                self.state.set(ConnectionState::Connected);
            }
            _ => {}
        }
    }

    /// There is a next main link, over which everything goes.
    pub(super) fn forsake_standby(&self) {
        let Some(spare) = &self.spare else { return };
        let before = {
            let mut state = spare.state();
            let before = state.reliance();
            (state.own, state.peer) = (Reliance::None, Reliance::None);
            before
        };
        if before == Reliance::Switched {
            self.state.subject().healed();
            self.state.touch();
        }
        self.inbox.report_on(Way::Main);
    }

    /// The standby is there, or is not any more.
    fn set_standby(&self, link: Option<Arc<L>>) {
        let Some(spare) = &self.spare else { return };
        let there = link.is_some();
        self.replacing(Way::Standby, || std::mem::replace(&mut spare.state().link, link));
        let before = {
            let mut state = spare.state();
            let before = state.reliance();
            state.ready = false;
            (state.own, state.peer) = (Reliance::None, Reliance::None);
            state.frames[Way::Standby as usize].clear();
            before
        };
        self.inbox.set_standby(there);
        if !there {
            self.watch.on_lost(Way::Standby);
            self.follow(before);
            self.outbox.forget_former();
        }
    }

    /// Both sides know of the standby.
    fn standby_is_ready(&self, link: &L) {
        let Some(spare) = &self.spare else { return };
        let first = !std::mem::replace(&mut spare.state().ready, true);
        if first {
            self.state.subject().standby_ready();
            self.watch.on_link(Way::Standby, link.path().rtt);
            // Whoever waits for what carries messages looks again.
            self.state.touch();
        }
    }
}

/// Sees to a standby until the connection has ended.
pub(super) async fn run<L: Link>(core: &Arc<Core<L>>, redial: Option<Arc<dyn Redial<L>>>) {
    let Some(spare) = &core.spare else { return };
    match redial {
        Some(redial) => keep_dialled(core, spare, &*redial).await,
        None => loop {
            let mut next = spare.handover.take().await;
            while let Some(replacing) = on_standby(core, spare, next, false).await {
                next = replacing;
            }
        },
    }
}

/// Keeps a standby there, from the side that dialled.
async fn keep_dialled<L: Link>(core: &Arc<Core<L>>, spare: &Spare<L>, redial: &dyn Redial<L>) {
    let (mut tries, mut attempt) = (0, 0);
    loop {
        tries += 1;
        sleep(backoff::delay(&AGAIN, tries, redial.random())).await;
        let Ok(id) = redial.standby_id().await else { continue };
        // Once for each link: an announcement is lost with the link that it went over.
        if !spare.state().awaited {
            spare.say(Way::Main, ControlFrame::Standby(id));
            if timeout(AWAITED_WITHIN, spare.awaited()).await.is_err() {
                continue;
            }
        }
        attempt += 1;
        match redial.stand_by(attempt, AGAIN.attempt, &|| core.last_word()).await {
            Ok(next) => {
                let began = Instant::now();
                on_standby(core, spare, Box::new(next), true).await;
                if began.elapsed() > SETTLED {
                    tries = 0;
                }
            }
            // Whoever awaited it does not any more.
            Err(RedialError::Never(_)) => spare.state().awaited = false,
            Err(RedialError::Later(_)) => {}
        }
    }
}

/// Runs until the standby has ended, or the peer has come with another.
async fn on_standby<L: Link>(
    core: &Arc<Core<L>>,
    spare: &Spare<L>,
    next: Box<Relinked<L>>,
    dialled: bool,
) -> Option<Box<Relinked<L>>> {
    let Relinked { link, mut control, standing: _ } = *next;
    let (control_out, control_in) = &mut *control;
    let link = Arc::new(link);
    core.set_standby(Some(link.clone()));
    if !dialled {
        spare.say(Way::Standby, ControlFrame::Admitted);
        core.standby_is_ready(&link);
    }
    let violated = |error| match error {
        PumpError::Closed => {}
        PumpError::Violation(detail) => core.violate(detail),
    };
    let mut listening = pin!(listen(core, spare, &*link, control_in));
    let mut opening = pin!(pump::open_lanes(core, &*link, Way::Standby));
    let mut sending = pin!(pump::transmit(core, Way::Standby));
    let mut reporting = pin!(pump::report(core, control_out, Way::Standby));
    let mut sorting = pin!(arrivals::sort(core, &*link, Way::Standby));
    let mut speaking = pin!(watch::speak(core, &*link, Way::Standby));
    let mut receiving = pin!(async {
        while let Ok(datagram) = link.recv_datagram().await {
            core.datagrams.push(datagram);
        }
    });
    let mut ended = pin!(link.closed());
    let mut replaced = pin!(spare.handover.take());
    let mut parts = Parts::<9>::new();
    let end = poll_fn(|cx| {
        parts.enter(cx);
        let _ = parts.poll(0, listening.as_mut()).map(violated);
        let _ = parts.poll(1, opening.as_mut()).map(violated);
        let _ = parts.poll(2, sending.as_mut()).map(violated);
        let _ = parts.poll(3, reporting.as_mut()).map(violated);
        let _ = parts.poll(4, sorting.as_mut()).map(violated);
        let _ = parts.poll(5, speaking.as_mut()).map(violated);
        let _ = parts.poll(6, receiving.as_mut());
        if let Poll::Ready(closed) = parts.poll(7, ended.as_mut()) {
            return Poll::Ready(Err(closed));
        }
        parts.poll(8, replaced.as_mut()).map(Ok)
    })
    .await;
    let relied_on = spare.reliance() > Some(Reliance::None);
    // Before its streams go: the peer is to see a close, not that they are not read any more.
    link.close(CloseCause::LinkReplaced.to_wire(), "");
    core.set_standby(None);
    match end {
        Ok(replacing) => Some(replacing),
        Err(closed) => {
            core.state.subject().standby_lost(&CloseReason::from(closed.clone()));
            if relied_on || core.is_between_links() {
                core.hear_end(closed);
            }
            None
        }
    }
}

impl<L: Link> Core<L> {
    /// The peer has closed the standby while nothing comes over the main link: if it said that the
    /// connection is over, that is the only way it could.
    fn hear_end(&self, closed: LinkClosed) {
        let LinkClosed::Peer { code, message } = &closed else { return };
        let cause = CloseCause::from_wire(*code);
        let says_so = match cause {
            // What transports say of a link that was dropped.
            CloseCause::Application(0) => !message.is_empty(),
            CloseCause::Application(_)
            | CloseCause::Dropped
            | CloseCause::PathPolicy
            | CloseCause::ProtocolViolation
            | CloseCause::Shutdown => true,
            _ => false,
        };
        if says_so && self.end().is_none() {
            let reason = CloseReason::new(ClosedBy::Peer, cause, message.clone());
            self.state.set(ConnectionState::Closed(reason));
            self.link().close(cause.to_wire(), "");
            self.outbox.end();
        }
    }

    fn is_between_links(&self) -> bool {
        matches!(self.state.get(), ConnectionState::Reconnecting { .. })
    }
}

/// Hears what the peer's engine says over the standby.
async fn listen<L: Link>(
    core: &Core<L>,
    spare: &Spare<L>,
    link: &L,
    control: &mut ControlReader<L::RecvStream>,
) -> PumpError {
    loop {
        let frame = match control.next().await {
            Ok(payload) => ControlFrame::decode(&payload),
            Err(error) => return error.into(),
        };
        spare.heard.fetch_add(1, Ordering::Relaxed);
        let heard = match frame {
            Some(ControlFrame::Taken(lane, total)) => core.outbox.on_taken(lane, total),
            Some(ControlFrame::Read(lane, offset)) => core.outbox.on_read(lane, offset),
            Some(ControlFrame::Admitted) => {
                core.standby_is_ready(link);
                Ok(())
            }
            Some(ControlFrame::Rely(reliance)) => {
                core.on_peer_relies(reliance);
                Ok(())
            }
            _ => Ok(()),
        };
        if let Err(error) = heard {
            return error.into();
        }
        core.watch.wake();
    }
}
