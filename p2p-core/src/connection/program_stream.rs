//! The reading half of a program's stream.

use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};

use crate::engine::StreamKind;
use crate::error::StreamError;
use crate::stream::RecvStream;

/// The reading half of a stream that a program opened: the transport's, less the first byte, which
/// says what the stream is for.
#[derive(Debug)]
pub struct ProgramRecvStream<R> {
    stream: R,
    kind_read: bool,
}

impl<R> ProgramRecvStream<R> {
    /// Of a stream that this side opened: only the opener writes the kind.
    pub(super) const fn opened(stream: R) -> Self {
        Self { stream, kind_read: true }
    }

    /// Of a stream that the peer opened. The first byte is taken off by the first read, so that
    /// accepting does not wait for it.
    pub(super) const fn accepted(stream: R) -> Self {
        Self { stream, kind_read: false }
    }
}

impl<R: RecvStream> RecvStream for ProgramRecvStream<R> {
    fn poll_read_chunk(
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

    fn stop(&mut self, code: u64) {
        self.stream.stop(code);
    }
}
