//! The watch over a link, and the questions and answers that it needs.

use std::collections::VecDeque;
use std::future::{Future, pending, poll_fn};
use std::pin::pin;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Poll, Waker};
use std::time::Duration;

use bytes::{BufMut, BytesMut};
use tokio::time::{Instant, sleep_until};

use super::Core;
use super::pump::PumpError;
use crate::close::CloseCause;
use crate::engine::StreamKind;
use crate::engine::control::ControlFrame;
use crate::engine::liveness::{Liveness, Verdict};
use crate::engine::standby::{Reliance, Seen, Standby, Step, Way};
use crate::reconnect::ConnectionState;
use crate::stream::SendStream;
use crate::transport::Link;

/// Probes and answers that may wait to be sent, while the peer allows no more streams; further ones
/// are not sent.
const MAX_WAITING: usize = 16;

/// What the parts of a connection's task know about the life of its link.
#[derive(Debug, Default)]
pub(super) struct Watch(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    /// If this side watches.
    judge: Judge,
    /// What is to be sent on each link, by [`Way`].
    speech: [Speech; 2],
    /// Something came that the watching part wants to know.
    news: bool,
    watcher: Option<Waker>,
}

/// Who decides about links.
#[derive(Debug, Default)]
pub(super) enum Judge {
    /// Nobody: this side only answers.
    #[default]
    Nobody,
    /// Of one link at a time.
    Liveness(Box<Liveness>),
    /// Of two.
    Standby(Box<Standby>),
}

/// Probes and answers to send.
#[derive(Debug, Default)]
struct Speech {
    out: VecDeque<(StreamKind, u64)>,
    sender: Option<Waker>,
}

impl Speech {
    fn say(&mut self, kind: StreamKind, number: u64) -> Option<Waker> {
        if self.out.len() < MAX_WAITING {
            self.out.push_back((kind, number));
        }
        self.sender.take()
    }
}

impl State {
    const fn liveness(&mut self) -> Option<&mut Liveness> {
        match &mut self.judge {
            Judge::Liveness(liveness) => Some(liveness),
            Judge::Nobody | Judge::Standby(_) => None,
        }
    }

    fn standby(&mut self) -> Option<&mut Standby> {
        match &mut self.judge {
            Judge::Standby(standby) => Some(standby),
            Judge::Nobody | Judge::Liveness(_) => None,
        }
    }
}

impl Watch {
    pub(super) fn new(judge: Judge) -> Self {
        Self(Mutex::new(State { judge, ..State::default() }))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The peer asks, or answers.
    pub(super) fn on_stream(&self, way: Way, kind: StreamKind, number: u64) {
        let wake = {
            let mut state = self.state();
            if kind == StreamKind::Probe {
                state.speech[way as usize].say(StreamKind::ProbeAnswer, number)
            } else {
                match &mut state.judge {
                    Judge::Nobody => {}
                    Judge::Liveness(liveness) => liveness.on_answer(number, Instant::now()),
                    Judge::Standby(standby) => standby.on_answer(way, number, Instant::now()),
                }
                state.news = true;
                state.watcher.take()
            }
        };
        wake.into_iter().for_each(Waker::wake);
    }

    /// Something was sent or heard while the watching part waited for that.
    pub(super) fn wake(&self) {
        let watcher = {
            let mut state = self.state();
            state.news = true;
            state.watcher.take()
        };
        watcher.into_iter().for_each(Waker::wake);
    }

    fn ask(&self, way: Way, number: u64) {
        let sender = self.state().speech[way as usize].say(StreamKind::Probe, number);
        sender.into_iter().for_each(Waker::wake);
    }

    /// There is a link; where a standby is kept, that matters.
    pub(super) fn on_link(&self, way: Way, rtt: Option<Duration>) {
        if let Some(standby) = self.state().standby() {
            standby.on_link(way, rtt);
        }
        self.wake();
    }

    /// A link is gone.
    pub(super) fn on_lost(&self, way: Way) {
        if let Some(standby) = self.state().standby() {
            standby.on_lost(way);
        }
        self.wake();
    }

    /// A question on the control stream was answered.
    pub(super) fn on_pong(&self, number: u64) {
        if let Some(standby) = self.state().standby() {
            standby.on_pong(number);
        }
        self.wake();
    }

    /// The main link has another path.
    fn on_path(&self, rtt: Option<Duration>) {
        match &mut self.state().judge {
            Judge::Nobody => {}
            Judge::Liveness(liveness) => liveness.on_path(rtt),
            Judge::Standby(standby) => standby.on_path(rtt),
        }
    }

    /// Waits for news, or for the time.
    async fn news(&self, until: Option<Instant>) {
        let mut until = pin!(async {
            match until {
                Some(until) => sleep_until(until).await,
                None => pending().await,
            }
        });
        poll_fn(|cx| {
            {
                let mut state = self.state();
                if std::mem::take(&mut state.news) {
                    return Poll::Ready(());
                }
                state.watcher = Some(cx.waker().clone());
            }
            until.as_mut().poll(cx)
        })
        .await;
    }
}

/// Sends probes and answers, each on a stream of its own.
pub(super) async fn speak<L: Link>(core: &Core<L>, link: &L, way: Way) -> PumpError {
    core.watch.state().speech[way as usize].out.clear();
    loop {
        let (kind, number) = poll_fn(|cx| {
            let speech = &mut core.watch.state().speech[way as usize];
            if let Some(next) = speech.out.pop_front() {
                return Poll::Ready(next);
            }
            speech.sender = Some(cx.waker().clone());
            Poll::Pending
        })
        .await;
        // In a box, because it runs seldom.
        if !Box::pin(say(link, kind, number)).await {
            return PumpError::Closed;
        }
    }
}

/// Sends one, and tells whether the link has not ended.
async fn say<L: Link>(link: &L, kind: StreamKind, number: u64) -> bool {
    let Ok(mut stream) = link.open_uni().await else { return false };
    stream.set_priority(PRIORITY);
    let mut bytes = BytesMut::with_capacity(9);
    bytes.put_u8(kind.to_byte());
    bytes.put_u64(number);
    // The peer may have stopped the stream: then it knows nothing of such things.
    if stream.write_all(bytes.freeze()).await.is_ok() {
        let _ = stream.finish();
    }
    true
}

/// Before everything else: they are few, and they measure the way, not the queue.
const PRIORITY: i32 = 5;

/// Watches the link, if this side does, and gives it up when it is dead.
pub(super) async fn watch<L: Link>(core: &Core<L>, link: &L, redials: bool) -> PumpError {
    if matches!(core.watch.state().judge, Judge::Nobody) {
        return PumpError::Closed;
    }
    // In a box: most connections have nobody who watches, and need no room for it.
    Box::pin(watch_link(core, link, redials)).await
}

async fn watch_link<L: Link>(core: &Core<L>, link: &L, redials: bool) -> PumpError {
    let mut paths = link.path_events();
    let mut following = pin!(async {
        // The first is the path as it is.
        paths.next().await;
        while let Some(path) = paths.next().await {
            core.watch.on_path(path.rtt);
            core.watch.wake();
        }
    });
    let mut watching = pin!(watch_one(core, link, redials));
    let mut follows = true;
    poll_fn(|cx| {
        follows = follows && following.as_mut().poll(cx).is_pending();
        watching.as_mut().poll(cx)
    })
    .await
}

async fn watch_one<L: Link>(core: &Core<L>, link: &L, redials: bool) -> PumpError {
    let rtt = link.path().rtt;
    let begun = core.watch.state().liveness().map(|liveness| liveness.on_link(rtt));
    if begun.is_none() {
        // Another part watches both links.
        return pending().await;
    }
    loop {
        let (sent, heard) = (core.outbox.given(), core.heard(Way::Main));
        let now = Instant::now();
        let (verdict, suspect) = {
            let mut state = core.watch.state();
            let Some(liveness) = state.liveness() else { return PumpError::Closed };
            (liveness.look(now, sent, heard), liveness.is_suspect(now))
        };
        match (core.state.get(), suspect) {
            (ConnectionState::Connected | ConnectionState::Resumed, true) => {
                core.state.set(ConnectionState::Suspect);
            }
            (ConnectionState::Suspect, false) => core.state.set(ConnectionState::Connected),
            _ => {}
        }
        match verdict {
            Verdict::Probe(number) => core.watch.ask(Way::Main, number),
            Verdict::Wait(None) => {
                // Only an idle link wakes the watch by what it does.
                core.outbox.watch();
                core.inbox.watch();
                if (core.outbox.given(), core.heard(Way::Main)) == (sent, heard) {
                    core.watch.news(None).await;
                }
            }
            Verdict::Wait(until) => core.watch.news(until).await,
            Verdict::Dead(silent) if redials => {
                core.state.subject().failover(silent);
                link.close(CloseCause::LinkReplaced.to_wire(), "silent");
                return PumpError::Closed;
            }
            // The other side dials; until it does, go on asking.
            Verdict::Dead(_) => {
                if let Some(liveness) = core.watch.state().liveness() {
                    liveness.ask_again(now);
                }
            }
        }
    }
}

/// Watches both links of a connection that keeps a standby, if this side does.
pub(super) async fn watch_both<L: Link>(core: &Core<L>) {
    loop {
        let look = || Seen {
            sent: core.outbox.given(),
            main: core.heard(Way::Main),
            standby: core.heard(Way::Standby),
        };
        let (now, seen) = (Instant::now(), look());
        let (step, suspect) = {
            let mut state = core.watch.state();
            let Some(standby) = state.standby() else { return };
            let step = standby.look(now, seen);
            (step, standby.is_suspect(now))
        };
        match (core.state.get(), suspect) {
            (ConnectionState::Connected | ConnectionState::Resumed, true) => {
                core.state.set(ConnectionState::Suspect);
            }
            (ConnectionState::Suspect, false) => core.state.set(ConnectionState::Connected),
            _ => {}
        }
        match step {
            Step::Probe(way, number) => {
                core.watch.ask(way, number);
                // Both sides hear on this occasion what has arrived, so that little need go twice.
                core.inbox.report_at_once();
            }
            Step::Ping(number) => {
                if let Some(spare) = &core.spare {
                    spare.say(Way::Main, ControlFrame::Ping(number));
                }
            }
            Step::Rely(reliance) => core.rely(reliance),
            Step::Redial(silent) => {
                core.state.subject().failover(silent);
                core.link().close(CloseCause::LinkReplaced.to_wire(), "silent");
            }
            Step::Wait(until) => {
                let relied_on = core.spare.as_ref().and_then(|spare| spare.reliance());
                if until.is_none() || relied_on > Some(Reliance::None) {
                    core.outbox.watch();
                    core.inbox.watch();
                    if look() != seen {
                        continue;
                    }
                }
                core.watch.news(until).await;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_waits_to_be_sent_is_bounded() {
        let watch = Watch::new(Judge::Nobody);
        for number in 0..1000 {
            watch.ask(Way::Main, number);
            watch.on_stream(Way::Main, StreamKind::Probe, number);
        }
        assert_eq!(watch.state().speech[Way::Main as usize].out.len(), MAX_WAITING);
    }
}
