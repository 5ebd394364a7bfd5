//! A transport in memory: what one end writes, the other can read at once.
//!
//! All that two ends of a link share is in one [`State`] behind one lock, and whoever waits looks
//! again after each change: slow with many streams, and short.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::future::{Future, pending};
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, MutexGuard, Weak};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use futures_core::Stream;
use p2p_core::transport::{DatagramError, Incoming, Link, LinkClosed, Transport};
use p2p_core::{
    ConnectionConfig, P2PError, PathEvents, PathInfo, PeerAddr, PeerId, RecvStream, SendStream,
    StreamError,
};
use tokio::sync::{Notify, mpsc};

/// What a stream's reader can be behind.
const WINDOW: usize = 256 * 1024;
const MAX_DATAGRAM: usize = 1200;
const MAX_DATAGRAMS: usize = 100;

/// Who is there.
#[derive(Debug, Default)]
pub(crate) struct Network {
    /// `None`: was there, and does not answer any more.
    peers: Mutex<BTreeMap<PeerId, Option<mpsc::UnboundedSender<End>>>>,
    links: Mutex<Vec<([PeerId; 2], Weak<Shared>)>>,
}

impl Network {
    pub(crate) fn join(self: &Arc<Self>, id: PeerId, config: &ConnectionConfig) -> Loopback {
        let (sender, inbound) = mpsc::unbounded_channel();
        self.peers.lock().expect("no panic").insert(id, Some(sender));
        let (network, config) = (self.clone(), config.clone());
        Loopback { id, network, config, inbound: inbound.into() }
    }

    /// Lets nothing of this peer through any more. The other ends notice after the idle timeout.
    pub(crate) fn vanish(&self, peer: PeerId) {
        self.peers.lock().expect("no panic").insert(peer, None);
        for (ends, shared) in &*self.links.lock().expect("no panic") {
            let Some(shared) = shared.upgrade().filter(|_| ends.contains(&peer)) else { continue };
            shared.state().cut = true;
            tokio::spawn(async move {
                tokio::time::sleep(shared.idle_timeout).await;
                for end in 0..2 {
                    shared.state().closed[end].get_or_insert(LinkClosed::TimedOut);
                }
                shared.changed.notify_waiters();
            });
        }
    }
}

/// An endpoint.
#[derive(Debug)]
pub(crate) struct Loopback {
    id: PeerId,
    network: Arc<Network>,
    config: ConnectionConfig,
    inbound: tokio::sync::Mutex<mpsc::UnboundedReceiver<End>>,
}

impl Transport for Loopback {
    type Link = End;
    type Incoming = End;

    fn local_peer_id(&self) -> PeerId {
        self.id
    }

    fn local_addr(&self) -> PeerAddr {
        self.id.into()
    }

    async fn dial(&self, peer: &PeerAddr) -> Result<End, P2PError> {
        let peer = peer.id();
        let door = self.network.peers.lock().expect("no panic").get(&peer).cloned();
        let door = door.ok_or(P2PError::PeerNotFound { peer })?;
        let shared = Arc::new(Shared {
            idle_timeout: self.config.idle_timeout,
            max_streams: self.config.max_streams as usize,
            ..Shared::default()
        });
        self.network
            .links
            .lock()
            .expect("no panic")
            .push(([self.id, peer], Arc::downgrade(&shared)));
        let theirs = End { shared: shared.clone(), end: 1, peer: self.id };
        match door.and_then(|door| door.send(theirs).ok()) {
            Some(()) => Ok(End { shared, end: 0, peer }),
            // Nobody answers: the engine knows how long to wait.
            None => pending().await,
        }
    }

    async fn accept(&self) -> Option<End> {
        self.inbound.lock().await.recv().await
    }

    async fn close(&self) {
        // The only sender, so that `accept` ends.
        self.network.peers.lock().expect("no panic").insert(self.id, None);
    }
}

/// What both ends of a link see.
#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    changed: Notify,
    idle_timeout: Duration,
    max_streams: usize,
}

#[derive(Debug, Default)]
struct State {
    /// Nothing passes any more, closes included.
    cut: bool,
    /// Each end's view.
    closed: [Option<LinkClosed>; 2],
    /// All directions of all streams.
    pipes: Vec<Pipe>,
    /// Streams in both directions: who opened it, the opener's pipe, the other's.
    both_ways: Vec<(usize, [usize; 2])>,
    /// For each end, what the other one opened or sent, and this one has not taken.
    uni: [VecDeque<usize>; 2],
    bi: [VecDeque<[usize; 2]>; 2],
    datagrams: [VecDeque<Bytes>; 2],
}

/// One direction of a stream.
#[derive(Debug, Default)]
struct Pipe {
    chunks: VecDeque<Bytes>,
    size: usize,
    finished: bool,
    read_to_end: bool,
    reset: Option<u64>,
    stopped: Option<u64>,
}

impl Pipe {
    fn has_ended(&self) -> bool {
        self.read_to_end || self.reset.is_some() || self.stopped.is_some()
    }
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
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no panic")
    }

    /// Changes something, and lets everybody look again.
    fn change<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        let value = change(&mut self.state());
        self.changed.notify_waiters();
        value
    }

    /// Looks until there is a value.
    async fn wait<T>(&self, mut look: impl FnMut(&mut State) -> Option<T>) -> T {
        let mut changed = pin!(self.changed.notified());
        loop {
            // Before looking, so that no change is missed in between.
            changed.as_mut().enable();
            let found = look(&mut self.state());
            if let Some(value) = found {
                self.changed.notify_waiters();
                return value;
            }
            changed.as_mut().await;
            changed.set(self.changed.notified());
        }
    }
}

/// One end of a link.
pub(crate) struct End {
    shared: Arc<Shared>,
    end: usize,
    peer: PeerId,
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
        self.open_uni().await
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
        PathInfo::direct(([127, 0, 0, 1], 1).into(), Some(Duration::ZERO))
    }

    fn path_events(&self) -> PathEvents {
        let (shared, end) = (self.shared.clone(), self.end);
        let present = self.close_reason().is_none().then(|| self.path());
        let ended = async move {
            shared.wait(|state| state.closed[end].clone()).await;
        };
        PathEvents::new(OnePath { present, ended: Box::pin(ended) })
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

/// The one path there is, until the link ends.
struct OnePath {
    present: Option<PathInfo>,
    ended: Pin<Box<dyn Future<Output = ()> + Send>>,
}

impl Stream for OnePath {
    type Item = PathInfo;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<PathInfo>> {
        if self.present.is_none() {
            ready!(self.ended.as_mut().poll(cx));
        }
        Poll::Ready(self.present.take())
    }
}

/// One end of one direction of a stream.
struct Half {
    shared: Arc<Shared>,
    end: usize,
    pipe: usize,
}

impl fmt::Debug for Half {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Half({})", self.pipe)
    }
}

/// The writing half of a stream.
#[derive(Debug)]
pub(crate) struct SendHalf(Half);

impl SendHalf {
    /// Why nothing can be written, if so.
    fn ended(&self, state: &State) -> Option<StreamError> {
        let pipe = &state.pipes[self.0.pipe];
        match (pipe.finished || pipe.reset.is_some(), pipe.stopped) {
            (true, _) => Some(StreamError::Finished),
            (_, Some(code)) => Some(StreamError::Stopped { code }),
            _ => state.closed[self.0.end].clone().map(StreamError::from),
        }
    }
}

impl SendStream for SendHalf {
    async fn write(&mut self, data: &mut Bytes) -> Result<(), StreamError> {
        if data.is_empty() {
            return Ok(());
        }
        let wait = self.0.shared.wait(|state| {
            if let Some(error) = self.ended(state) {
                return Some(Err(error));
            }
            let pipe = &mut state.pipes[self.0.pipe];
            let room = data.len().min(WINDOW - pipe.size);
            (room > 0).then(|| {
                pipe.size += room;
                pipe.chunks.push_back(data.split_to(room));
                Ok(())
            })
        });
        wait.await
    }

    fn finish(&mut self) -> Result<(), StreamError> {
        self.0.shared.change(|state| match self.ended(state) {
            Some(error) => Err(error),
            None => {
                state.pipes[self.0.pipe].finished = true;
                Ok(())
            }
        })
    }

    async fn finished(&mut self) -> Result<(), StreamError> {
        let wait = self.0.shared.wait(|state| match self.ended(state)? {
            // Written is arrived.
            StreamError::Finished => Some(Ok(())),
            error => Some(Err(error)),
        });
        wait.await
    }

    fn reset(&mut self, code: u64) {
        self.0.shared.change(|state| {
            if self.ended(state).is_none() {
                state.pipes[self.0.pipe].reset = Some(code);
            }
        });
    }

    fn set_priority(&mut self, _priority: i32) {}
}

impl Drop for SendHalf {
    fn drop(&mut self) {
        self.reset(0);
    }
}

/// The reading half of a stream.
#[derive(Debug)]
pub(crate) struct RecvHalf(Half);

impl RecvStream for RecvHalf {
    async fn read_chunk(&mut self, max: usize) -> Result<Option<Bytes>, StreamError> {
        let wait = self.0.shared.wait(|state| {
            let pipe = &mut state.pipes[self.0.pipe];
            if let Some(code) = pipe.reset {
                return Some(Err(StreamError::Reset { code }));
            }
            if let Some(chunk) = pipe.chunks.front_mut() {
                let taken = chunk.split_to(max.max(1).min(chunk.len()));
                if chunk.is_empty() {
                    pipe.chunks.pop_front();
                }
                pipe.size -= taken.len();
                return Some(Ok(Some(taken)));
            }
            if pipe.finished {
                pipe.read_to_end = true;
                return Some(Ok(None));
            }
            state.closed[self.0.end].clone().map(|closed| Err(closed.into()))
        });
        wait.await
    }

    fn stop(&mut self, code: u64) {
        self.0.shared.change(|state| {
            let pipe = &mut state.pipes[self.0.pipe];
            if !pipe.has_ended() {
                pipe.stopped = Some(code);
                pipe.chunks.clear();
            }
        });
    }
}

impl Drop for RecvHalf {
    fn drop(&mut self) {
        self.stop(0);
    }
}
