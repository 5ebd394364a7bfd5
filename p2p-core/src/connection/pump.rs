//! The one task of a connection. On a link it writes out what is left in the outbox, hears the peer's
//! control frames, reports what was read and taken, and sorts the streams that come. When the link is
//! lost, and both sides agreed to that, it sees to a next one. Messages are read by those who
//! [receive](super::inbox) them.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;

use bytes::{BufMut, Bytes, BytesMut};
use tokio::time::{Instant, sleep, timeout};

use super::Core;
use super::arrivals;
use super::parts::Parts;
use super::paths;
use super::relink::{Control, Redial, RedialError, Relinked};
use super::standby;
use super::watch;
use super::{datagram_streams, datagrams};
use crate::close::{CloseCause, CloseReason, ClosedBy};
use crate::engine::control::ControlFrame;
use crate::engine::credit::CreditError;
use crate::engine::recv_lane::LaneError;
use crate::engine::standby::Way;
use crate::engine::{StreamKind, backoff};
use crate::error::StreamError;
use crate::handshake::{ControlReader, HandshakeError};
use crate::priority::Priority;
use crate::race::{First, first};
use crate::reconnect::{Backoff, ConnectionState, LostReason};
use crate::stream::SendStream;
use crate::transport::{EngineTask, Link, LinkClosed};

/// Why the peer's streams cannot be read any further.
pub(super) enum PumpError {
    /// The link has ended, and says why.
    Closed,
    /// The peer did what it must not.
    Violation(String),
}

impl From<StreamError> for PumpError {
    fn from(error: StreamError) -> Self {
        match error {
            StreamError::Closed(_) => Self::Closed,
            error => Self::Violation(format!("an engine's stream: {error}")),
        }
    }
}

impl From<CreditError> for PumpError {
    fn from(error: CreditError) -> Self {
        Self::Violation(error.to_string())
    }
}

impl From<LaneError> for PumpError {
    fn from(error: LaneError) -> Self {
        Self::Violation(error.to_string())
    }
}

impl From<HandshakeError> for PumpError {
    fn from(error: HandshakeError) -> Self {
        match error {
            HandshakeError::Link(_) => Self::Closed,
            HandshakeError::Protocol(error) => Self::Violation(error.to_string()),
            HandshakeError::Stream(error) => error.into(),
        }
    }
}

/// What runs until the connection has ended.
pub(super) fn task<L: Link>(
    core: Arc<Core<L>>,
    control: Control<L>,
    redial: Option<Arc<dyn Redial<L>>>,
) -> EngineTask {
    // Apart: most connections keep no standby, and need no room for it.
    if core.spare.is_some() {
        Box::pin(run_with_standby(core, control, redial))
    } else {
        Box::pin(run_main(core, control, redial))
    }
}

/// The same with a second link beside the main one.
async fn run_with_standby<L: Link>(
    core: Arc<Core<L>>,
    control: Control<L>,
    redial: Option<Arc<dyn Redial<L>>>,
) {
    core.watch.on_link(Way::Main, core.link().path().rtt);
    let mut main = pin!(run_main(core.clone(), control, redial.clone()));
    let mut watching = pin!(watch::watch_both(&core));
    let mut standby = pin!(standby::run(&core, redial));
    let mut parts = Parts::<3>::new();
    poll_fn(|cx| {
        parts.enter(cx);
        if parts.poll(0, main.as_mut()).is_ready() {
            return Poll::Ready(());
        }
        let _ = parts.poll(1, standby.as_mut());
        let _ = parts.poll(2, watching.as_mut());
        Poll::Pending
    })
    .await;
    if let Some(spare) = &core.spare {
        let (cause, message) = core.last_word().unwrap_or((CloseCause::Dropped, String::new()));
        spare.end(cause, &message);
    }
}

async fn run_main<L: Link>(
    core: Arc<Core<L>>,
    control: Control<L>,
    redial: Option<Arc<dyn Redial<L>>>,
) {
    let mut seeker = Seeker { redial, attempts: 0, since: None, last: String::new() };
    let mut control = control;
    let end = loop {
        let handed = match on_link(&core, control, seeker.redial.is_some()).await {
            Ended::Closed(closed) if core.is_final(&closed) => break of_final(&core, closed),
            Ended::Closed(closed) if seeker.redial.is_none() && core.end_unused(&closed) => {
                break core.lost(LostReason::GaveUp { attempts: 0, last: String::new() });
            }
            Ended::Closed(_) => None,
            Ended::Replaced(next) => Some(next),
        };
        let Some(backoff) = core.backoff() else { break core.state.get() };
        core.detach();
        // A link on which the peer let this side in ends the search; the next one is another.
        let goes_on = matches!(core.state.get(), ConnectionState::Reconnecting { .. });
        if !goes_on || seeker.since.is_none() {
            seeker = Seeker { attempts: 0, since: Some(Instant::now()), ..seeker };
        }
        let next = match handed {
            Some(next) => Ok(next),
            None => seeker.seek(&core, &backoff).await,
        };
        match next {
            Ok(next) => {
                let Relinked { link, control: next, standing } = *next;
                if let Err(PumpError::Violation(detail)) = core.attach(link, standing) {
                    core.violate(detail);
                }
                if core.state.get().is_over() {
                    let end = core.state.get();
                    let closed = match &end {
                        ConnectionState::Closed(reason) => (reason.cause, &*reason.message),
                        _ => (CloseCause::Dropped, ""),
                    };
                    core.link().close(closed.0.to_wire(), closed.1);
                    break end;
                }
                control = next;
                if seeker.redial.is_none() {
                    // The side that dialled waits until it hears that it was let in.
                    core.state.set(ConnectionState::Resumed);
                }
            }
            Err(reason) => break core.lost(reason),
        }
    };
    core.state.set(end);
    if let Some(late) = core.handover.end() {
        late.link.close(core.too_late().to_wire(), "");
    }
    core.outbox.end();
    // Whoever waits for messages waits in vain.
    core.inbox.end();
}

/// How a connection is that ended with its link.
fn of_final<L: Link>(core: &Core<L>, closed: LinkClosed) -> ConnectionState {
    let reason = CloseReason::from(closed);
    if reason.cause == CloseCause::NotResumable && reason.by == ClosedBy::Peer {
        return core.lost(LostReason::PeerRestarted);
    }
    ConnectionState::Closed(reason)
}

/// Looks for a next link.
struct Seeker<L: Link> {
    /// On the side that dialled.
    redial: Option<Arc<dyn Redial<L>>>,
    /// How many were made since there was a link; the peer takes only ever greater numbers.
    attempts: u32,
    since: Option<Instant>,
    last: String,
}

impl<L: Link> Seeker<L> {
    async fn seek(
        &mut self,
        core: &Core<L>,
        backoff: &Backoff,
    ) -> Result<Box<Relinked<L>>, LostReason> {
        loop {
            let since = self.since.unwrap_or_else(Instant::now);
            let left = backoff.give_up.saturating_sub(since.elapsed());
            let search = first(core.state.over(), self.search(core, backoff));
            match timeout(left, search).await {
                Ok(First::Other(found)) => return found,
                // Somebody closed the connection, which changes its state no more.
                Ok(First::One(_)) => return Err(LostReason::PeerRestarted),
                // It has one link that carries everything.
                Err(_) if core.has_standby() => self.since = Some(Instant::now()),
                Err(_) => {
                    let attempts = if self.redial.is_some() { self.attempts } else { 0 };
                    let last = std::mem::take(&mut self.last);
                    return Err(LostReason::GaveUp { attempts, last });
                }
            }
        }
    }

    async fn search(
        &mut self,
        core: &Core<L>,
        backoff: &Backoff,
    ) -> Result<Box<Relinked<L>>, LostReason> {
        let Some(redial) = &self.redial else {
            let next = backoff.give_up;
            core.state.set(ConnectionState::Reconnecting { attempt: 0, next });
            return Ok(core.handover.take().await);
        };
        loop {
            self.attempts += 1;
            let next = backoff::delay(backoff, self.attempts, redial.random());
            core.state.set(ConnectionState::Reconnecting { attempt: self.attempts, next });
            sleep(next).await;
            let number = core.next_attempt();
            let standing = core.inbox.standing();
            // Whose messages have come has let this side in, whether that was heard or not; from another
            // process, as many would be taken for those that have come.
            let or_new = !core.was_admitted() && standing == <[_; Priority::COUNT]>::default();
            match redial
                .redial(number, standing, or_new, backoff.attempt, &|| core.last_word())
                .await
            {
                Ok(next) => return Ok(Box::new(next)),
                Err(RedialError::Never(reason)) => return Err(reason),
                Err(RedialError::Later(words)) => self.last = words,
            }
        }
    }
}

/// How the time on a link ends.
enum Ended<L: Link> {
    Closed(LinkClosed),
    /// The peer has come back on another before this side missed it.
    Replaced(Box<Relinked<L>>),
}

/// Runs until the link has ended.
async fn on_link<L: Link>(core: &Core<L>, mut control: Control<L>, redials: bool) -> Ended<L> {
    let (control_out, control_in) = &mut *control;
    let link = core.link();
    let violated = |error| match error {
        PumpError::Closed => {}
        PumpError::Violation(detail) => core.violate(detail),
    };
    let mut listening = pin!(listen(core, control_in));
    let mut sending = pin!(transmit(core, Way::Main));
    let mut opening = pin!(open_lanes(core, &*link, Way::Main));
    let mut reporting = pin!(report(core, control_out, Way::Main));
    let mut sorting = pin!(arrivals::sort(core, &*link, Way::Main));
    let mut replaced = pin!(core.handover.take());
    let mut ended = pin!(link.closed());
    let mut speaking = pin!(watch::speak(core, &*link, Way::Main));
    let mut watching = pin!(watch::watch(core, &*link, redials));
    let mut judging = pin!(paths::judge(core, &*link));
    let mut collecting = pin!(datagrams::collect(core, &*link));
    let mut streaming = pin!(datagram_streams::send(core, &*link));
    let mut receiving = pin!(datagram_streams::receive(core));
    let mut parts = Parts::<13>::new();
    let mut closed = None;
    // In this order, so that simulated runs repeat; what the first finds out concerns the next ones.
    let ended = poll_fn(|cx| {
        parts.enter(cx);
        let _ = parts.poll(0, listening.as_mut()).map(violated);
        let _ = parts.poll(1, opening.as_mut()).map(violated);
        let _ = parts.poll(2, sending.as_mut()).map(violated);
        let _ = parts.poll(3, reporting.as_mut()).map(violated);
        let sorted = parts.poll(4, sorting.as_mut()).map(violated).is_ready();
        let _ = parts.poll(7, speaking.as_mut()).map(violated);
        let _ = parts.poll(8, watching.as_mut()).map(violated);
        let _ = parts.poll(9, judging.as_mut());
        let _ = parts.poll(10, collecting.as_mut());
        let _ = parts.poll(11, streaming.as_mut()).map(violated);
        let _ = parts.poll(12, receiving.as_mut());
        if let Poll::Ready(next) = parts.poll(5, replaced.as_mut()) {
            return Poll::Ready(Ended::Replaced(next));
        }
        if let Poll::Ready(reason) = parts.poll(6, ended.as_mut()) {
            closed = Some(reason);
        }
        // What had arrived before the end is sorted first: it can still be received.
        if closed.is_some() && !sorted && parts.is_going(4) {
            return Poll::Pending;
        }
        closed.take().map_or(Poll::Pending, |reason| Poll::Ready(Ended::Closed(reason)))
    })
    .await;
    if let Ended::Replaced(_) = ended {
        link.close(CloseCause::LinkReplaced.to_wire(), "");
    }
    ended
}

/// Hears what the peer's engine says.
async fn listen<L: Link>(core: &Core<L>, control: &mut ControlReader<L::RecvStream>) -> PumpError {
    loop {
        let frame = match control.next().await {
            Ok(payload) => ControlFrame::decode(&payload),
            Err(error) => return error.into(),
        };
        core.hear();
        let heard = match frame {
            Some(ControlFrame::Taken(lane, total)) => core.outbox.on_taken(lane, total),
            Some(ControlFrame::Read(lane, offset)) => core.outbox.on_read(lane, offset),
            Some(ControlFrame::Admitted) => {
                core.admitted();
                Ok(())
            }
            Some(frame) => {
                core.hear_of_standby(frame);
                Ok(())
            }
            None => Ok(()),
        };
        if let Err(error) = heard {
            return error.into();
        }
    }
}

/// Opens a stream for each lane that wants one.
pub(super) async fn open_lanes<L: Link>(core: &Core<L>, link: &L, way: Way) -> PumpError {
    loop {
        let lane = core.outbox.wants_stream(way).await;
        // In a box, as are others that run seldom: it would be a part of every connection's task.
        let opened = Box::pin(async {
            let Ok(stream) = link.open_uni().await else { return Err(PumpError::Closed) };
            let preamble = |offset| preamble(lane, offset, core.peer.version);
            Ok(core.outbox.set_stream(way, lane, stream, preamble).await?)
        });
        if let Err(error) = opened.await {
            return error;
        }
    }
}

/// What a lane's stream begins with: what it is, and since version 2 where it goes on.
fn preamble(lane: Priority, offset: u64, version: u16) -> Bytes {
    let mut out = BytesMut::with_capacity(9);
    out.put_u8(StreamKind::Lane(lane).to_byte());
    if version >= 2 {
        out.put_u64(offset);
    }
    out.freeze()
}

/// Writes out what sends left in the outbox, and the end of it when this side closes.
pub(super) async fn transmit<L: Link>(core: &Core<L>, way: Way) -> PumpError {
    let finish = async |streams| {
        for mut stream in streams {
            let stream: &mut L::SendStream = &mut stream;
            stream.finish()?;
            stream.finished().await?;
        }
        Ok::<_, StreamError>(())
    };
    loop {
        let finished = match core.outbox.drain(way).await {
            Ok(streams) => Box::pin(finish(streams)).await,
            Err(error) => Err(error),
        };
        match finished {
            Ok(()) => {
                core.outbox.set_delivered();
                return std::future::pending().await;
            }
            // The lanes have gone on over other streams, or will, and the peer needs these no more.
            Err(StreamError::Stopped { .. }) if core.spare.is_some() => {
                core.outbox.fresh_streams(way).await;
            }
            Err(error) => return error.into(),
        }
    }
}

/// Tells the peer's engine how much was read and taken.
pub(super) async fn report<L: Link>(
    core: &Core<L>,
    control: &mut L::SendStream,
    way: Way,
) -> PumpError {
    if way == Way::Main && core.former_links() > 0 {
        if let Err(error) = Box::pin(announce(core, control)).await {
            return error.into();
        }
    }
    loop {
        let frame = match &core.spare {
            None => core.inbox.report(way).await,
            Some(spare) => {
                let mut reporting = pin!(core.inbox.report(way));
                poll_fn(|cx| match reporting.as_mut().poll(cx) {
                    Poll::Ready(frame) => Poll::Ready(frame),
                    Poll::Pending => spare.poll_frame(way, cx),
                })
                .await
            }
        };
        if let Err(error) = control.write_all(frame.encode()).await {
            return error.into();
        }
    }
}

/// On a next link: that it is accepted, and where the lanes stand.
async fn announce<L: Link>(core: &Core<L>, control: &mut L::SendStream) -> Result<(), StreamError> {
    let mut out = BytesMut::new();
    out.extend_from_slice(&ControlFrame::Admitted.encode());
    for (lane, (end, taken)) in Priority::ALL.into_iter().zip(core.inbox.standing()) {
        out.extend_from_slice(&ControlFrame::Read(lane, end).encode());
        out.extend_from_slice(&ControlFrame::Taken(lane, taken).encode());
    }
    control.write_all(out.freeze()).await
}
