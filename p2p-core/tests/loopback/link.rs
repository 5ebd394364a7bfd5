//! A link in memory: all that its two ends share is in one [`State`] behind one lock, and whoever
//! waits looks again after each change: slow with many streams, and short.

use std::collections::VecDeque;
use std::fmt;
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use bytes::Bytes;
use futures_core::Stream;
use p2p_core::transport::{DatagramError, Incoming, Link, LinkClosed};
use p2p_core::{PathEvents, PathInfo, PeerId};
use tokio::sync::Notify;

use super::stream::{Half, Pipe, RecvHalf, SendHalf};

const MAX_DATAGRAM: usize = 1200;
const MAX_DATAGRAMS: usize = 100;

/// What both ends of a link see.
#[derive(Debug, Default)]
pub(crate) struct Shared {
    pub(super) state: Mutex<State>,
    pub(super) changed: Notify,
    pub(super) idle_timeout: Duration,
    pub(super) max_streams: usize,
    pub(super) stands_by: bool,
}

#[derive(Debug, Default)]
pub(crate) struct State {
    /// Which way the data takes; the first is the one at the beginning.
    pub(super) paths: Vec<PathInfo>,
    /// Nothing passes any more, closes included.
    pub(super) cut: bool,
    /// Each end's view.
    pub(super) closed: [Option<LinkClosed>; 2],
    /// All directions of all streams.
    pub(super) pipes: Vec<Pipe>,
    /// Streams in both directions: who opened it, the opener's pipe, the other's.
    both_ways: Vec<(usize, [usize; 2])>,
    /// For each end, what the other one opened or sent, and this one has not taken.
    uni: [VecDeque<usize>; 2],
    bi: [VecDeque<[usize; 2]>; 2],
    datagrams: [VecDeque<Bytes>; 2],
    /// Who wants to write, and polls.
    writers: Vec<Waker>,
}

impl State {
    fn pipe(&mut self) -> usize {
        self.pipes.push(Pipe::default());
        self.pipes.len() - 1
    }

    fn streams_open(&self, opener: usize) -> usize {
        let open = |&&(by, pipes): &&(usize, [usize; 2])| {
            by == opener && pipes.iter().any(|&pipe| !self.pipes[pipe].has_ended())
        };
        self.both_ways.iter().filter(open).count()
    }
}

impl Shared {
    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no panic")
    }

    /// Changes something, and lets everybody look again.
    pub(super) fn change<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        let value = change(&mut self.state());
        self.has_changed();
        value
    }

    fn has_changed(&self) {
        self.changed.notify_waiters();
        let writers = std::mem::take(&mut self.state().writers);
        writers.into_iter().for_each(Waker::wake);
    }

    /// Looks whether there is a value, and lets the task look again after the next change if not.
    pub(super) fn poll<T>(
        &self,
        cx: &Context<'_>,
        look: impl FnOnce(&mut State) -> Option<T>,
    ) -> Poll<T> {
        let mut state = self.state();
        if let Some(value) = look(&mut state) {
            drop(state);
            self.has_changed();
            return Poll::Ready(value);
        }
        if !state.writers.iter().any(|waker| waker.will_wake(cx.waker())) {
            state.writers.push(cx.waker().clone());
        }
        Poll::Pending
    }

    /// Looks until there is a value.
    pub(super) async fn wait<T>(&self, mut look: impl FnMut(&mut State) -> Option<T>) -> T {
        let mut changed = pin!(self.changed.notified());
        loop {
            // Before looking, so that no change is missed in between.
            changed.as_mut().enable();
            let found = look(&mut self.state());
            if let Some(value) = found {
                self.has_changed();
                return value;
            }
            changed.as_mut().await;
            changed.set(self.changed.notified());
        }
    }
}

/// One end of a link.
pub(crate) struct End {
    pub(super) shared: Arc<Shared>,
    pub(super) end: usize,
    pub(super) peer: PeerId,
}

impl End {
    fn half(&self, pipe: usize) -> Half {
        Half { shared: self.shared.clone(), end: self.end, pipe }
    }

    /// Waits for a value or the end of the link.
    async fn wait<T>(
        &self,
        mut look: impl FnMut(&mut State) -> Option<T>,
    ) -> Result<T, LinkClosed> {
        let wait = self.shared.wait(|state| match look(state) {
            Some(value) => Some(Ok(value)),
            None => state.closed[self.end].clone().map(Err),
        });
        wait.await
    }
}

impl Incoming for End {
    type Link = Self;

    async fn open_early(&mut self) -> Result<SendHalf, LinkClosed> {
        let stream = self.open_uni().await;
        // The peer may have a turn before anything is written.
        tokio::task::yield_now().await;
        stream
    }

    async fn authenticated(self) -> Result<Self, LinkClosed> {
        Ok(self)
    }
}

impl Link for End {
    type SendStream = SendHalf;
    type RecvStream = RecvHalf;

    fn peer_id(&self) -> PeerId {
        self.peer
    }

    async fn open_uni(&self) -> Result<SendHalf, LinkClosed> {
        let opened = self.wait(|state| {
            let open = state.closed[self.end].is_none();
            open.then(|| {
                let pipe = state.pipe();
                state.uni[1 - self.end].push_back(pipe);
                pipe
            })
        });
        Ok(SendHalf(self.half(opened.await?)))
    }

    async fn accept_uni(&self) -> Result<RecvHalf, LinkClosed> {
        let pipe = self.wait(|state| state.uni[self.end].pop_front()).await?;
        Ok(RecvHalf(self.half(pipe)))
    }

    async fn open_bi(&self) -> Result<(SendHalf, RecvHalf), LinkClosed> {
        let max = self.shared.max_streams;
        let opened = self.wait(|state| {
            let open = state.closed[self.end].is_none() && state.streams_open(self.end) < max;
            open.then(|| {
                let [there, back] = [state.pipe(), state.pipe()];
                state.both_ways.push((self.end, [there, back]));
                state.bi[1 - self.end].push_back([back, there]);
                [there, back]
            })
        });
        let [send, recv] = opened.await?.map(|pipe| self.half(pipe));
        Ok((SendHalf(send), RecvHalf(recv)))
    }

    async fn accept_bi(&self) -> Result<(SendHalf, RecvHalf), LinkClosed> {
        let pipes = self.wait(|state| match state.closed[self.end] {
            // Opened, but not used: there is nothing to read, and nobody to write to.
            Some(_) => None,
            None => state.bi[self.end].pop_front(),
        });
        let [send, recv] = pipes.await?.map(|pipe| self.half(pipe));
        Ok((SendHalf(send), RecvHalf(recv)))
    }

    fn send_datagram(&self, datagram: Bytes) -> Result<(), DatagramError> {
        if datagram.len() > MAX_DATAGRAM {
            return Err(DatagramError::TooLarge { max: MAX_DATAGRAM });
        }
        self.shared.change(|state| match state.closed[self.end].clone() {
            Some(closed) => Err(DatagramError::Closed(closed)),
            None => {
                let queue = &mut state.datagrams[1 - self.end];
                if queue.len() == MAX_DATAGRAMS {
                    queue.pop_front();
                }
                queue.push_back(datagram);
                Ok(())
            }
        })
    }

    async fn recv_datagram(&self) -> Result<Bytes, LinkClosed> {
        self.wait(|state| state.datagrams[self.end].pop_front()).await
    }

    fn max_datagram_size(&self) -> Option<usize> {
        Some(MAX_DATAGRAM)
    }

    fn path(&self) -> PathInfo {
        let paths = &self.shared.state().paths;
        paths.last().cloned().unwrap_or_else(direct_path)
    }

    fn path_events(&self) -> PathEvents {
        let (shared, end) = (self.shared.clone(), self.end);
        PathEvents::new(Paths { shared, end, last: None })
    }

    fn close(&self, code: u64, message: &str) {
        let message = message.to_owned();
        self.shared.change(|state| {
            if state.closed[self.end].is_none() {
                let local = LinkClosed::Local { code, message: message.clone() };
                state.closed[self.end] = Some(local);
                if !state.cut {
                    let peer = LinkClosed::Peer { code, message };
                    state.closed[1 - self.end].get_or_insert(peer);
                }
            }
        });
    }

    fn close_reason(&self) -> Option<LinkClosed> {
        self.shared.state().closed[self.end].clone()
    }

    async fn closed(&self) -> LinkClosed {
        self.shared.wait(|state| state.closed[self.end].clone()).await
    }
}

impl Drop for End {
    fn drop(&mut self) {
        self.close(0, "");
    }
}

impl fmt::Debug for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("End").field("peer", &self.peer).finish_non_exhaustive()
    }
}

pub(crate) fn direct_path() -> PathInfo {
    PathInfo::direct(([127, 0, 0, 1], 1).into(), Some(Duration::ZERO))
}

/// The path and its changes, until the link ends.
struct Paths {
    shared: Arc<Shared>,
    end: usize,
    last: Option<PathInfo>,
}

impl Stream for Paths {
    type Item = PathInfo;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<PathInfo>> {
        let (shared, end, last) = (self.shared.clone(), self.end, self.last.clone());
        let next = ready!(shared.poll(cx, |state| {
            let now = state.paths.last().cloned().unwrap_or_else(direct_path);
            match state.closed[end] {
                Some(_) => Some(None),
                None if last.as_ref() == Some(&now) => None,
                None => Some(Some(now)),
            }
        }));
        self.last.clone_from(&next);
        Poll::Ready(next)
    }
}
