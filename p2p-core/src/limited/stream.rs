//! What goes over streams.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};

use super::{Shared, Way};
use crate::error::StreamError;
use crate::identity::PeerId;
use crate::race::first;
use crate::stream::{RecvStream, SendStream};

/// The writing half of a stream of a [`Limited`](crate::Limited) provider.
#[derive(Debug)]
pub struct LimitedSendStream<S> {
    inner: S,
    gate: Gate,
}

impl<S: SendStream> LimitedSendStream<S> {
    pub(super) fn new(inner: S, shared: Arc<Shared>, peer: PeerId) -> Self {
        Self { inner, gate: Gate::new(shared, peer, Way::Sent) }
    }
}

impl<S: SendStream> SendStream for LimitedSendStream<S> {
    fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        data: &mut Bytes,
    ) -> Poll<Result<(), StreamError>> {
        if data.is_empty() {
            return self.inner.poll_write(cx, data);
        }
        let portion = ready!(self.gate.poll_portion(cx, data.len()));
        let mut part = data.slice(..portion);
        ready!(self.inner.poll_write(cx, &mut part))?;
        let written = portion - part.len();
        data.advance(written);
        self.gate.charge(written);
        Poll::Ready(Ok(()))
    }

    fn finish(&mut self) -> Result<(), StreamError> {
        self.inner.finish()
    }

    fn finished(&mut self) -> impl Future<Output = Result<(), StreamError>> + Send {
        self.inner.finished()
    }

    fn reset(&mut self, code: u64) {
        self.inner.reset(code);
    }

    fn set_priority(&mut self, priority: i32) {
        self.inner.set_priority(priority);
    }
}

/// The reading half of a stream of a [`Limited`](crate::Limited) provider.
#[derive(Debug)]
pub struct LimitedRecvStream<R> {
    inner: R,
    gate: Gate,
}

impl<R: RecvStream> LimitedRecvStream<R> {
    pub(super) fn new(inner: R, shared: Arc<Shared>, peer: PeerId) -> Self {
        Self { inner, gate: Gate::new(shared, peer, Way::Received) }
    }
}

impl<R: RecvStream> RecvStream for LimitedRecvStream<R> {
    fn poll_read_chunk(
        &mut self,
        cx: &mut Context<'_>,
        max: usize,
    ) -> Poll<Result<Option<Bytes>, StreamError>> {
        let portion = ready!(self.gate.poll_portion(cx, max.max(1)));
        let chunk = ready!(self.inner.poll_read_chunk(cx, portion))?;
        self.gate.charge(chunk.as_ref().map_or(0, Bytes::len));
        Poll::Ready(Ok(chunk))
    }

    fn stop(&mut self, code: u64) {
        self.inner.stop(code);
    }
}

/// Where a stream waits until there is room. It holds nothing of the connection, which it would keep
/// open.
struct Gate {
    shared: Arc<Shared>,
    peer: PeerId,
    way: Way,
    waiting: Option<Pin<Box<dyn Future<Output = ()> + Send + Sync>>>,
}

impl Gate {
    fn new(shared: Arc<Shared>, peer: PeerId, way: Way) -> Self {
        Self { shared, peer, way, waiting: None }
    }

    /// How many of `wanted` bytes may go, when some may.
    fn poll_portion(&mut self, cx: &mut Context<'_>, wanted: usize) -> Poll<usize> {
        while self.waiting.is_some() || self.shared.counted.is(self.way) {
            if let Some(waiting) = &mut self.waiting {
                ready!(waiting.as_mut().poll(cx));
                self.waiting = None;
            }
            // Before looking, so that no change is missed in between.
            let changed = self.shared.changed.clone().notified_owned();
            let now = self.shared.now();
            let portion = self.shared.ledger().portion(self.peer, self.way, wanted, now);
            let wait = match portion {
                Ok(portion) => return Poll::Ready(portion),
                Err(wait) => wait,
            };
            self.waiting = Some(Box::pin(async move {
                first(changed, tokio::time::sleep(wait)).await;
            }));
        }
        Poll::Ready(wanted)
    }

    fn charge(&self, bytes: usize) {
        let Self { shared, peer, way, .. } = self;
        if !shared.counted.is(*way) {
            return;
        }
        shared.ledger().charge(*peer, *way, 0, bytes as u64, shared.now());
    }
}

impl fmt::Debug for Gate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Gate")
            .field("peer", &self.peer)
            .field("way", &self.way)
            .finish_non_exhaustive()
    }
}
