//! The halves of a link's streams.

use std::fmt;
use std::future::Future;
use std::pin::pin;
use std::slice;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use iroh::endpoint::{ReadError, RecvStream as QuicRecv, SendStream as QuicSend};
use iroh::endpoint::{StoppedError, WriteError};
use p2p_core::{RecvStream, SendStream, StreamError};

use crate::ending::{Ending, code_from};

/// The writing half of a stream. Dropping it unfinished resets the stream.
pub struct IrohSendStream {
    stream: QuicSend,
    ending: Arc<Ending>,
    state: State,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Open,
    Finished,
    Reset,
}

impl IrohSendStream {
    pub(crate) const fn new(stream: QuicSend, ending: Arc<Ending>) -> Self {
        Self { stream, ending, state: State::Open }
    }
}

impl SendStream for IrohSendStream {
    fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        data: &mut Bytes,
    ) -> Poll<Result<(), StreamError>> {
        self.poll_write_chunks(cx, slice::from_mut(data))
    }

    fn poll_write_chunks(
        &mut self,
        cx: &mut Context<'_>,
        mut pieces: &mut [Bytes],
    ) -> Poll<Result<(), StreamError>> {
        if self.state != State::Open {
            return Poll::Ready(Err(StreamError::Finished));
        }
        if pieces.iter().all(Bytes::is_empty) {
            return Poll::Ready(Ok(()));
        }
        // What was written is taken off the front; nothing is copied. The future has no state of its
        // own: whom to wake is kept by the connection, also when it is dropped here.
        let written = ready!(pin!(self.stream.write_many_chunks(&mut pieces)).poll(cx));
        Poll::Ready(match written {
            Ok(_) => Ok(()),
            Err(WriteError::Stopped(code)) => Err(StreamError::Stopped { code: code.into_inner() }),
            Err(WriteError::ConnectionLost(error)) => Err(self.ending.tell(&error).into()),
            // 0-RTT from the dialling side is never used.
            Err(WriteError::ClosedStream | WriteError::ZeroRttRejected) => {
                Err(StreamError::Finished)
            }
        })
    }

    fn finish(&mut self) -> Result<(), StreamError> {
        if self.state != State::Open {
            return Err(StreamError::Finished);
        }
        self.state = State::Finished;
        self.stream.finish().map_err(|_| StreamError::Finished)
    }

    async fn finished(&mut self) -> Result<(), StreamError> {
        if self.state == State::Reset {
            return Err(StreamError::Finished);
        }
        match self.stream.stopped().await {
            Ok(None) => Ok(()),
            Ok(Some(code)) => Err(StreamError::Stopped { code: code.into_inner() }),
            Err(StoppedError::ConnectionLost(error)) => Err(self.ending.tell(&error).into()),
            Err(StoppedError::ZeroRttRejected) => Err(StreamError::Finished),
        }
    }

    fn reset(&mut self, code: u64) {
        if self.state == State::Open {
            self.state = State::Reset;
            // It fails only on a stream that has ended, which is what was wanted.
            let _ = self.stream.reset(code_from(code));
        }
    }

    fn set_priority(&mut self, priority: i32) {
        // A stream that has ended has no priority.
        let _ = self.stream.set_priority(priority);
    }
}

impl Drop for IrohSendStream {
    fn drop(&mut self) {
        // QUIC's own handle would finish the stream, and an aborted writer would look complete.
        self.reset(0);
    }
}

impl fmt::Debug for IrohSendStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IrohSendStream")
            .field("id", &self.stream.id())
            .field("state", &self.state)
            .finish_non_exhaustive()
    }
}

/// The reading half of a stream. Dropping it before its end tells the writer to stop.
pub struct IrohRecvStream {
    stream: QuicRecv,
    ending: Arc<Ending>,
    /// How reading failed for good. QUIC's handle tells it once and then reports a clean end.
    /// In a box: few streams fail, and each has room for it.
    failed: Option<Box<StreamError>>,
}

impl IrohRecvStream {
    pub(crate) const fn new(stream: QuicRecv, ending: Arc<Ending>) -> Self {
        Self { stream, ending, failed: None }
    }

    /// Reading has failed for good.
    fn fail(&mut self, error: ReadError) -> StreamError {
        let error = match error {
            ReadError::Reset(code) => StreamError::Reset { code: code.into_inner() },
            ReadError::ConnectionLost(error) => self.ending.tell(&error).into(),
            // 0-RTT from the dialling side is never used.
            ReadError::ClosedStream | ReadError::ZeroRttRejected => StreamError::Finished,
        };
        self.failed = Some(Box::new(error.clone()));
        error
    }
}

impl RecvStream for IrohRecvStream {
    fn poll_read_chunk(
        &mut self,
        cx: &mut Context<'_>,
        max: usize,
    ) -> Poll<Result<Option<Bytes>, StreamError>> {
        if let Some(error) = &self.failed {
            return Poll::Ready(Err((**error).clone()));
        }
        // As with writing: the future has no state of its own.
        let read = ready!(pin!(self.stream.read_chunk(max.max(1))).poll(cx));
        Poll::Ready(read.map_err(|error| self.fail(error)))
    }

    fn poll_read_chunks(
        &mut self,
        cx: &mut Context<'_>,
        chunks: &mut [Bytes],
    ) -> Poll<Result<usize, StreamError>> {
        if let Some(error) = &self.failed {
            return Poll::Ready(Err((**error).clone()));
        }
        let read = ready!(pin!(self.stream.read_many_chunks(chunks)).poll(cx));
        Poll::Ready(read.map(Option::unwrap_or_default).map_err(|error| self.fail(error)))
    }

    fn stop(&mut self, code: u64) {
        // It fails if there is nothing left to stop: then what is left to say stays the same.
        if self.stream.stop(code_from(code)).is_ok() {
            self.failed.get_or_insert_with(|| Box::new(StreamError::Finished));
        }
    }
}

impl fmt::Debug for IrohRecvStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IrohRecvStream")
            .field("id", &self.stream.id())
            .field("failed", &self.failed)
            .finish_non_exhaustive()
    }
}
