//! A program's own streams: the transport's, less the first byte, which says what the stream is for.

use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};

use crate::close::{CloseCause, ClosedBy};
use crate::engine::StreamKind;
use crate::error::StreamError;
use crate::stream::{RecvStream, SendStream};

/// What the end of a link means to a stream on it: of a connection that resumes, the link is not the
/// connection.
fn of_link(resumes: bool, error: StreamError) -> StreamError {
    match error {
        StreamError::Closed(reason)
            if resumes
                && (reason.by == ClosedBy::Network || reason.cause == CloseCause::LinkReplaced) =>
        {
            StreamError::LinkReplaced
        }
        error => error,
    }
}

/// The writing half of a program's stream.
#[derive(Debug)]
pub struct ProgramSendStream<S> {
    stream: S,
    resumes: bool,
}

impl<S> ProgramSendStream<S> {
    pub(super) const fn new(stream: S, resumes: bool) -> Self {
        Self { stream, resumes }
    }
}

impl<S: SendStream> SendStream for ProgramSendStream<S> {
    fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        data: &mut Bytes,
    ) -> Poll<Result<(), StreamError>> {
        self.stream.poll_write(cx, data).map_err(|error| of_link(self.resumes, error))
    }

    fn finish(&mut self) -> Result<(), StreamError> {
        self.stream.finish().map_err(|error| of_link(self.resumes, error))
    }

    async fn finished(&mut self) -> Result<(), StreamError> {
        self.stream.finished().await.map_err(|error| of_link(self.resumes, error))
    }

    fn reset(&mut self, code: u64) {
        self.stream.reset(code);
    }

    fn set_priority(&mut self, priority: i32) {
        self.stream.set_priority(priority);
    }
}

/// The reading half of a program's stream.
#[derive(Debug)]
pub struct ProgramRecvStream<R> {
    stream: R,
    kind_read: bool,
    resumes: bool,
}

impl<R> ProgramRecvStream<R> {
    /// Of a stream that this side opened: only the opener writes the kind.
    pub(super) const fn opened(stream: R, resumes: bool) -> Self {
        Self { stream, kind_read: true, resumes }
    }

    /// Of a stream that the peer opened. The first byte is taken off by the first read, so that
    /// accepting does not wait for it.
    pub(super) const fn accepted(stream: R, resumes: bool) -> Self {
        Self { stream, kind_read: false, resumes }
    }
}

impl<R: RecvStream> ProgramRecvStream<R> {
    fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        max: usize,
    ) -> Poll<Result<Option<Bytes>, StreamError>> {
        if !self.kind_read {
            let Some(mut chunk) = ready!(self.stream.poll_read_chunk(cx, max.max(1)))? else {
                return Poll::Ready(Ok(None));
            };
            self.kind_read = true;
            if StreamKind::from_byte(chunk.get_u8()) != Some(StreamKind::Program) {
                // A kind of a later version, which a peer only opens if we announce that we know it.
                self.stream.stop(0);
                return Poll::Ready(Err(StreamError::Finished));
            }
            if !chunk.is_empty() {
                return Poll::Ready(Ok(Some(chunk)));
            }
        }
        self.stream.poll_read_chunk(cx, max.max(1))
    }
}

impl<R: RecvStream> RecvStream for ProgramRecvStream<R> {
    fn poll_read_chunk(
        &mut self,
        cx: &mut Context<'_>,
        max: usize,
    ) -> Poll<Result<Option<Bytes>, StreamError>> {
        self.poll_read(cx, max).map_err(|error| of_link(self.resumes, error))
    }

    fn stop(&mut self, code: u64) {
        self.stream.stop(code);
    }
}
