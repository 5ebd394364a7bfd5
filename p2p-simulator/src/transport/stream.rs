//! The two halves of a simulated stream.

use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use p2p_core::{RecvStream, SendStream, StreamError};

use crate::engine::{ConnId, Engine, Nanos, Side, StreamId};
use crate::host::task::note_stray;
use crate::shared::Shared;

/// Which stream, at which end.
#[derive(Debug)]
pub(super) struct Place {
    pub(super) shared: Arc<Shared>,
    pub(super) host: u32,
    pub(super) conn: ConnId,
    pub(super) side: Side,
    pub(super) stream: StreamId,
}

impl Place {
    /// Uses the stream, which a task that is not the host's should not.
    fn with<R>(&self, f: impl FnOnce(&mut Engine, Nanos, ConnId, Side, StreamId) -> R) -> R {
        note_stray(&self.shared, self.host);
        self.shared.with(|engine, now| f(engine, now, self.conn, self.side, self.stream))
    }
}

/// The writing half of a simulated stream.
#[derive(Debug)]
pub struct SimSendStream(Place);

/// The reading half of a simulated stream.
#[derive(Debug)]
pub struct SimRecvStream(Place);

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
        self.0.with(|engine, now, conn, side, stream| {
            engine.poll_write(now, conn, side, stream, data, cx)
        })
    }

    fn finish(&mut self) -> Result<(), StreamError> {
        self.0.with(|engine, now, conn, side, stream| engine.finish(now, conn, side, stream))
    }

    async fn finished(&mut self) -> Result<(), StreamError> {
        let place = &self.0;
        poll_fn(|cx| {
            place.with(|engine, _, conn, side, stream| engine.poll_finished(conn, side, stream, cx))
        })
        .await
    }

    fn reset(&mut self, code: u64) {
        self.0.with(|engine, now, conn, side, stream| engine.reset(now, conn, side, stream, code));
    }

    /// Does nothing: the simulated sender has room for all its streams at once.
    fn set_priority(&mut self, _priority: i32) {}
}

impl Drop for SimSendStream {
    fn drop(&mut self) {
        let Place { shared, conn, side, stream, .. } = &self.0;
        shared.with(|engine, now| engine.release_send(now, *conn, *side, *stream));
    }
}

impl SimRecvStream {
    pub(super) const fn new(place: Place) -> Self {
        Self(place)
    }
}

impl RecvStream for SimRecvStream {
    fn poll_read_chunk(
        &mut self,
        cx: &mut Context<'_>,
        max: usize,
    ) -> Poll<Result<Option<Bytes>, StreamError>> {
        self.0.with(|engine, now, conn, side, stream| {
            engine.poll_read(now, conn, side, stream, max, cx)
        })
    }

    fn stop(&mut self, code: u64) {
        self.0.with(|engine, now, conn, side, stream| engine.stop(now, conn, side, stream, code));
    }
}

impl Drop for SimRecvStream {
    fn drop(&mut self) {
        let Place { shared, conn, side, stream, .. } = &self.0;
        shared.with(|engine, now| engine.release_recv(now, *conn, *side, *stream));
    }
}
