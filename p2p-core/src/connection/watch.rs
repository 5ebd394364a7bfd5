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
use crate::engine::liveness::{Liveness, Verdict};
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
    liveness: Option<Liveness>,
    /// Probes and answers to send.
    out: VecDeque<(StreamKind, u64)>,
    sender: Option<Waker>,
    /// Something came that the watching part wants to know.
    news: bool,
    watcher: Option<Waker>,
}

impl Watch {
    /// Watches with this shortest silence that counts as death, or only answers.
    pub(super) fn new(floor: Option<Duration>) -> Self {
        let liveness = floor.map(Liveness::new);
        Self(Mutex::new(State { liveness, ..State::default() }))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The peer asks, or answers.
    pub(super) fn on_stream(&self, kind: StreamKind, number: u64) {
        let wake = {
            let mut state = self.state();
            if kind == StreamKind::Probe {
                if state.out.len() < MAX_WAITING {
                    state.out.push_back((StreamKind::ProbeAnswer, number));
                }
                state.sender.take()
            } else {
                if let Some(liveness) = &mut state.liveness {
                    liveness.on_answer(number, Instant::now());
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

    fn ask(&self, number: u64) {
        let sender = {
            let mut state = self.state();
            if state.out.len() < MAX_WAITING {
                state.out.push_back((StreamKind::Probe, number));
            }
            state.sender.take()
        };
        sender.into_iter().for_each(Waker::wake);
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
pub(super) async fn speak<L: Link>(core: &Core<L>, link: &L) -> PumpError {
    core.watch.state().out.clear();
    loop {
        let (kind, number) = poll_fn(|cx| {
            let mut state = core.watch.state();
            if let Some(next) = state.out.pop_front() {
                return Poll::Ready(next);
            }
            state.sender = Some(cx.waker().clone());
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
    let rtt = link.path().rtt;
    {
        let mut state = core.watch.state();
        let Some(liveness) = &mut state.liveness else { return PumpError::Closed };
        liveness.on_link(rtt);
    }
    loop {
        let (sent, heard) = (core.outbox.given(), core.heard());
        let now = Instant::now();
        let (verdict, suspect) = {
            let mut state = core.watch.state();
            let Some(liveness) = &mut state.liveness else { return PumpError::Closed };
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
            Verdict::Probe(number) => core.watch.ask(number),
            Verdict::Wait(None) => {
                // Only an idle link wakes the watch by what it does.
                core.outbox.watch();
                core.inbox.watch();
                if (core.outbox.given(), core.heard()) == (sent, heard) {
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
                if let Some(liveness) = &mut core.watch.state().liveness {
                    liveness.ask_again(now);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_waits_to_be_sent_is_bounded() {
        let watch = Watch::new(None);
        for number in 0..1000 {
            watch.ask(number);
            watch.on_stream(StreamKind::Probe, number);
        }
        assert_eq!(watch.state().out.len(), MAX_WAITING);
    }
}
