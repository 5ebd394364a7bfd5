//! Streams that break a promise.

use std::task::{Context, Poll, ready};

use bytes::Bytes;
use p2p_core::{RecvStream, SendStream, StreamError};

use super::Fault;

#[derive(Debug)]
pub(super) struct BrokenSendStream<S> {
    pub(super) inner: S,
    pub(super) fault: Fault,
}

impl<S: SendStream> SendStream for BrokenSendStream<S> {
    fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        data: &mut Bytes,
    ) -> Poll<Result<(), StreamError>> {
        self.inner.poll_write(cx, data)
    }

    fn finish(&mut self) -> Result<(), StreamError> {
        self.inner.finish()
    }

    async fn finished(&mut self) -> Result<(), StreamError> {
        match self.fault {
            Fault::FinishesUnheard => Ok(()),
            _ => self.inner.finished().await,
        }
    }

    fn reset(&mut self, code: u64) {
        self.inner.reset(if self.fault == Fault::LosesCodes { 0 } else { code });
    }

    fn set_priority(&mut self, priority: i32) {
        self.inner.set_priority(priority);
    }
}

#[derive(Debug)]
pub(super) struct BrokenRecvStream<R> {
    pub(super) inner: R,
    pub(super) fault: Fault,
}

impl<R: RecvStream> RecvStream for BrokenRecvStream<R> {
    fn poll_read_chunk(
        &mut self,
        cx: &mut Context<'_>,
        max: usize,
    ) -> Poll<Result<Option<Bytes>, StreamError>> {
        Poll::Ready(match (ready!(self.inner.poll_read_chunk(cx, max)), self.fault) {
            (Err(StreamError::Reset { .. }), Fault::LooksComplete) => Ok(None),
            (
                Err(StreamError::Closed(_) | StreamError::LinkReplaced),
                Fault::OutlivesItsConnection,
            ) => Ok(None),
            (read, _) => read,
        })
    }

    fn stop(&mut self, code: u64) {
        self.inner.stop(if self.fault == Fault::LosesCodes { 0 } else { code });
    }
}
