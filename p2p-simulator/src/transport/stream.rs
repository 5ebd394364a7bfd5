//! The two halves of a simulated stream.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use p2p_core::{RecvStream, SendStream, StreamError};

use crate::engine::{Engine, Nanos, StreamAt};
use crate::host::task::note_stray;
use crate::shared::Shared;

/// The most bytes of a chunk, where several are read.
const MAX_CHUNK: usize = 64 * 1024;

/// Which stream, at which end.
#[derive(Debug)]
pub(super) struct Place {
    pub(super) shared: Arc<Shared>,
    pub(super) host: u32,
    /// The link that it sends over, or did when this was made: a hint.
    pub(super) link: u32,
    pub(super) at: StreamAt,
}

impl Place {
    /// Uses the stream, which a task that is not the host's should not.
    fn with<R>(&self, f: impl FnOnce(&mut Engine, Nanos, StreamAt) -> R) -> R {
        note_stray(&self.shared, self.host);
        self.shared.with(|engine, now| f(engine, now, self.at))
    }
}

/// The writing half of a simulated stream.
#[derive(Debug)]
pub struct SimSendStream(Place);

/// The reading half of a simulated stream.
#[derive(Debug)]
pub struct SimRecvStream {
    place: Place,
    /// What was taken from the network and not yet read: whoever reads several chunks asks it once.
    /// Made when there are several for the first time.
    #[allow(clippy::box_collection)] // There may be very many streams, and few have them.
    ready: Option<Box<VecDeque<Bytes>>>,
    /// Bytes read of that since the network was last asked.
    taken: u32,
}

impl SimSendStream {
    pub(super) const fn new(place: Place) -> Self {
        Self(place)
    }
}

impl SendStream for SimSendStream {
    fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        data: &mut Bytes,
    ) -> Poll<Result<(), StreamError>> {
        let link = self.0.link;
        self.0.with(|engine, now, at| {
            engine.net.fetch(link);
            engine.poll_write(now, at, data, cx)
        })
    }

    fn finish(&mut self) -> Result<(), StreamError> {
        self.0.with(|engine, now, at| engine.finish(now, at))
    }

    async fn finished(&mut self) -> Result<(), StreamError> {
        let place = &self.0;
        poll_fn(|cx| place.with(|engine, _, at| engine.poll_finished(at, cx))).await
    }

    fn reset(&mut self, code: u64) {
        self.0.with(|engine, now, at| engine.reset(now, at, code));
    }

    /// Does nothing: the simulated sender has room for all its streams at once.
    fn set_priority(&mut self, _priority: i32) {}
}

impl Drop for SimSendStream {
    fn drop(&mut self) {
        let Place { shared, at, .. } = &self.0;
        shared.release(|engine, now| engine.release_send(now, *at));
    }
}

impl SimRecvStream {
    pub(super) const fn new(place: Place) -> Self {
        Self { place, ready: None, taken: 0 }
    }

    fn take_ready(&mut self, max: usize) -> Option<Bytes> {
        let ready = self.ready.as_mut()?;
        let first = ready.front_mut()?;
        let bytes =
            if first.len() > max { first.split_to(max.max(1)) } else { ready.pop_front()? };
        self.taken += bytes.len() as u32;
        Some(bytes)
    }
}

impl RecvStream for SimRecvStream {
    fn poll_read_chunk(
        &mut self,
        cx: &mut Context<'_>,
        max: usize,
    ) -> Poll<Result<Option<Bytes>, StreamError>> {
        if let Some(bytes) = self.take_ready(max) {
            note_stray(&self.place.shared, self.place.host);
            return Poll::Ready(Ok(Some(bytes)));
        }
        let Self { place, ready, taken } = self;
        let taken = std::mem::take(taken);
        place.with(|engine, now, at| engine.poll_read(now, at, max, taken, ready, cx))
    }

    fn poll_read_chunks(
        &mut self,
        cx: &mut Context<'_>,
        chunks: &mut [Bytes],
    ) -> Poll<Result<usize, StreamError>> {
        let Some((first, others)) = chunks.split_first_mut() else { return Poll::Ready(Ok(0)) };
        let Some(chunk) = ready!(self.poll_read_chunk(cx, MAX_CHUNK))? else {
            return Poll::Ready(Ok(0));
        };
        *first = chunk;
        let mut read = 1;
        for place in others {
            let Some(chunk) = self.take_ready(MAX_CHUNK) else { break };
            *place = chunk;
            read += 1;
        }
        Poll::Ready(Ok(read))
    }

    fn stop(&mut self, code: u64) {
        self.ready = None;
        self.place.with(|engine, now, at| engine.stop(now, at, code));
    }
}

impl Drop for SimRecvStream {
    fn drop(&mut self) {
        let Place { shared, at, .. } = &self.place;
        shared.release(|engine, now| engine.release_recv(now, *at));
    }
}
