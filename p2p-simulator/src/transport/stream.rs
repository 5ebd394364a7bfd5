//! The two halves of a simulated stream.

use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use p2p_core::{RecvStream, SendStream, StreamError};

use crate::engine::{ConnId, Side, StreamId};
use crate::shared::Shared;

/// Which stream, at which end.
#[derive(Debug)]
struct Place {
    shared: Arc<Shared>,
    conn: ConnId,
    side: Side,
    stream: StreamId,
}

/// The writing half of a simulated stream.
#[derive(Debug)]
pub struct SimSendStream(Place);

/// The reading half of a simulated stream.
#[derive(Debug)]
pub struct SimRecvStream(Place);

impl SimSendStream {
    pub(super) const fn new(
        shared: Arc<Shared>,
        conn: ConnId,
        side: Side,
        stream: StreamId,
    ) -> Self {
        Self(Place { shared, conn, side, stream })
    }
}

impl SendStream for SimSendStream {
    fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        data: &mut Bytes,
    ) -> Poll<Result<(), StreamError>> {
        let Place { shared, conn, side, stream } = &self.0;
        shared.with(|engine, now| engine.poll_write(now, *conn, *side, *stream, data, cx))
    }

    fn finish(&mut self) -> Result<(), StreamError> {
        let Place { shared, conn, side, stream } = &self.0;
        shared.with(|engine, now| engine.finish(now, *conn, *side, *stream))
    }

    async fn finished(&mut self) -> Result<(), StreamError> {
        let Place { shared, conn, side, stream } = &self.0;
        poll_fn(|cx| shared.with(|engine, _| engine.poll_finished(*conn, *side, *stream, cx))).await
    }

    fn reset(&mut self, code: u64) {
        let Place { shared, conn, side, stream } = &self.0;
        shared.with(|engine, now| engine.reset(now, *conn, *side, *stream, code));
    }

    /// Does nothing: the simulated sender has room for all its streams at once.
    fn set_priority(&mut self, _priority: i32) {}
}

impl Drop for SimSendStream {
    fn drop(&mut self) {
        let Place { shared, conn, side, stream } = &self.0;
        shared.with(|engine, now| engine.release_send(now, *conn, *side, *stream));
    }
}

impl SimRecvStream {
    pub(super) const fn new(
        shared: Arc<Shared>,
        conn: ConnId,
        side: Side,
        stream: StreamId,
    ) -> Self {
        Self(Place { shared, conn, side, stream })
    }
}

impl RecvStream for SimRecvStream {
    fn poll_read_chunk(
        &mut self,
        cx: &mut Context<'_>,
        max: usize,
    ) -> Poll<Result<Option<Bytes>, StreamError>> {
        let Place { shared, conn, side, stream } = &self.0;
        shared.with(|engine, now| engine.poll_read(now, *conn, *side, *stream, max, cx))
    }

    fn stop(&mut self, code: u64) {
        let Place { shared, conn, side, stream } = &self.0;
        shared.with(|engine, now| engine.stop(now, *conn, *side, *stream, code));
    }
}

impl Drop for SimRecvStream {
    fn drop(&mut self) {
        let Place { shared, conn, side, stream } = &self.0;
        shared.with(|engine, now| engine.release_recv(now, *conn, *side, *stream));
    }
}
