//! Datagrams that are too large for the path: each on a stream of its own.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker, ready};

use bytes::{Bytes, BytesMut};

use super::Core;
use super::pump::PumpError;
use crate::datagram::DatagramOptions;
use crate::engine::StreamKind;
use crate::priority::Priority;
use crate::stream::{RecvStream, SendStream};
use crate::transport::Link;

/// How many may be on their way to this side at once; further ones are dropped.
const MAX_ARRIVING: usize = DatagramOptions::MAX_WAITING;
const READ_UP_TO: usize = 64 * 1024;

#[derive(Debug)]
pub(super) struct DatagramStreams<R>(Mutex<State<R>>);

#[derive(Debug)]
struct State<R> {
    /// To be sent.
    out: VecDeque<Bytes>,
    sender: Option<Waker>,
    /// Streams that have come and are not read yet.
    arrived: Vec<Arriving<R>>,
    /// How many are there, those that are read included: all of this happens in one task.
    open: usize,
    reader: Option<Waker>,
}

/// A datagram of which a part has come.
#[derive(Debug)]
struct Arriving<R> {
    stream: R,
    content: BytesMut,
}

impl<R> Default for DatagramStreams<R> {
    fn default() -> Self {
        let (out, arrived) = (VecDeque::new(), Vec::new());
        Self(Mutex::new(State { out, sender: None, arrived, open: 0, reader: None }))
    }
}

impl<R: RecvStream> DatagramStreams<R> {
    fn state(&self) -> MutexGuard<'_, State<R>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a datagram to be sent, if not too many wait.
    pub(super) fn try_push(&self, datagram: Bytes) -> bool {
        let sender = {
            let mut state = self.state();
            if state.out.len() == DatagramOptions::MAX_WAITING {
                return false;
            }
            state.out.push_back(datagram);
            state.sender.take()
        };
        sender.into_iter().for_each(Waker::wake);
        true
    }

    /// The peer has begun one; `first` came with what said so. `false` if there are too many.
    pub(super) fn add(&self, stream: R, first: &[u8]) -> bool {
        let reader = {
            let mut state = self.state();
            if state.open == MAX_ARRIVING {
                return false;
            }
            state.open += 1;
            state.arrived.push(Arriving { stream, content: BytesMut::from(first) });
            state.reader.take()
        };
        reader.into_iter().for_each(Waker::wake);
        true
    }

    /// The link is lost, and all that was on its way. Returns how many were not sent.
    pub(super) fn detach(&self) -> usize {
        let (arrived, out) = {
            let mut state = self.state();
            state.open = 0;
            (std::mem::take(&mut state.arrived), std::mem::take(&mut state.out))
        };
        drop(arrived);
        out.len()
    }
}

impl<R: RecvStream> Arriving<R> {
    /// The datagram when it is whole, `None` if it never will be.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Bytes>> {
        while self.content.len() <= DatagramOptions::MAX_ON_STREAM {
            match ready!(self.stream.poll_read_chunk(cx, READ_UP_TO)) {
                Ok(Some(chunk)) => self.content.extend_from_slice(&chunk),
                Ok(None) => return Poll::Ready(Some(self.content.split().freeze())),
                Err(_) => return Poll::Ready(None),
            }
        }
        self.stream.stop(0);
        Poll::Ready(None)
    }
}

/// Sends them, one after the other.
pub(super) async fn send<L: Link>(core: &Core<L>, link: &L) -> PumpError {
    loop {
        let datagram = poll_fn(|cx| {
            let mut state = core.datagram_streams.state();
            if let Some(next) = state.out.pop_front() {
                return Poll::Ready(next);
            }
            state.sender = Some(cx.waker().clone());
            Poll::Pending
        })
        .await;
        // In a box, because it runs seldom.
        if !Box::pin(send_one(link, datagram)).await {
            return PumpError::Closed;
        }
    }
}

/// Sends one, and tells whether the link has not ended.
async fn send_one<L: Link>(link: &L, datagram: Bytes) -> bool {
    let Ok(mut stream) = link.open_uni().await else { return false };
    stream.set_priority(Priority::Realtime.of_stream());
    let kind = Bytes::from_owner([StreamKind::Datagram.to_byte()]);
    // The peer stops those that are too many for it.
    if stream.write_all(kind).await.is_ok() && stream.write_all(datagram).await.is_ok() {
        let _ = stream.finish();
    }
    true
}

/// Reads them, all at once.
pub(super) async fn receive<L: Link>(core: &Core<L>) {
    let mut arriving = Vec::new();
    poll_fn(|cx| {
        {
            let mut state = core.datagram_streams.state();
            arriving.append(&mut state.arrived);
            state.reader = Some(cx.waker().clone());
        }
        arriving.retain_mut(|one: &mut Arriving<L::RecvStream>| match one.poll(cx) {
            Poll::Pending => true,
            Poll::Ready(whole) => {
                match whole {
                    Some(datagram) => core.datagrams.push(datagram),
                    None => core.datagrams.drop_one(),
                }
                false
            }
        });
        core.datagram_streams.state().open = arriving.len();
        Poll::<()>::Pending
    })
    .await;
}
