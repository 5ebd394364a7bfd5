//! Byte streams: for what is too large for a message.
//!
//! Both halves are QUIC's: ordered, reliable, with flow control, so that a slow reader holds its
//! writer back and nobody else. Chunks are slices of what the transport holds: no copy.

mod io;

use std::fmt::Debug;
use std::future::{Future, poll_fn};
use std::task::{Context, Poll, ready};

use bytes::{Bytes, BytesMut};

use crate::error::{Limit, P2PError, StreamError};

pub use io::StreamIo;

/// The most bytes that are asked for at once.
const MAX_CHUNK: usize = 64 * 1024;

/// The writing half of a stream.
///
/// Dropping it without [`finish`] resets the stream, so that an aborted writer never looks complete.
///
/// [`finish`]: SendStream::finish
pub trait SendStream: Debug + Send + Sync + 'static {
    /// Hands a part of `data`, from its front, to the transport; `data` keeps the rest. Ready at once
    /// with no data. Pending while there is no room: then the task is woken when there is, even if
    /// nothing of this call is kept. Pending means that nothing was written.
    ///
    /// # Errors
    ///
    /// [`StreamError`] if the stream or its connection has ended.
    fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        data: &mut Bytes,
    ) -> Poll<Result<(), StreamError>>;

    /// Hands pieces to the transport, in order, as far as there is room: each keeps its rest. Ready when
    /// any was written, or at once with no data. Otherwise as [`poll_write`](SendStream::poll_write).
    ///
    /// A transport that takes a lock for each write overrides this, to take one for all.
    ///
    /// # Errors
    ///
    /// As [`poll_write`](SendStream::poll_write).
    fn poll_write_chunks(
        &mut self,
        cx: &mut Context<'_>,
        pieces: &mut [Bytes],
    ) -> Poll<Result<(), StreamError>> {
        let mut written = false;
        for piece in pieces {
            while !piece.is_empty() {
                match self.poll_write(cx, piece) {
                    Poll::Ready(Ok(())) => written = true,
                    // The next call says why not, once what was written is known.
                    _ if written => return Poll::Ready(Ok(())),
                    end => return end,
                }
            }
        }
        Poll::Ready(Ok(()))
    }

    /// Hands a part of `data`, from its front, to the transport, waiting for room; `data` keeps the
    /// rest.
    ///
    /// # Errors
    ///
    /// As [`poll_write`](SendStream::poll_write).
    ///
    /// # Cancel safety
    ///
    /// If the future does not resolve, nothing was written.
    fn write(&mut self, data: &mut Bytes) -> impl Future<Output = Result<(), StreamError>> + Send {
        poll_fn(|cx| self.poll_write(cx, data))
    }

    /// Hands all of `data` to the transport.
    ///
    /// # Errors
    ///
    /// As [`write`](SendStream::write).
    ///
    /// # Cancel safety
    ///
    /// None: a part may have been written. Use [`write`](SendStream::write) where that matters.
    fn write_all(
        &mut self,
        mut data: Bytes,
    ) -> impl Future<Output = Result<(), StreamError>> + Send {
        poll_fn(move |cx| {
            while !data.is_empty() {
                ready!(self.poll_write(cx, &mut data))?;
            }
            Poll::Ready(Ok(()))
        })
    }

    /// Says that nothing follows. Does not wait; see [`finished`](SendStream::finished).
    ///
    /// # Errors
    ///
    /// [`StreamError::Finished`] if it has ended before.
    fn finish(&mut self) -> Result<(), StreamError>;

    /// After [`finish`](SendStream::finish): waits until the peer's transport has everything.
    ///
    /// # Errors
    ///
    /// [`StreamError::Stopped`] if the peer did not want all; [`StreamError::Closed`] if the
    /// connection ended first, so that nobody knows.
    ///
    /// # Cancel safety
    ///
    /// Safe.
    fn finished(&mut self) -> impl Future<Output = Result<(), StreamError>> + Send;

    /// Gives up: the reader gets [`StreamError::Reset`] with this code, of at most 62 bits, instead
    /// of the rest. Does nothing if the stream has ended.
    fn reset(&mut self, code: u64);

    /// Which of a connection's streams goes first when there is not room for all: the higher. 0 at
    /// first. Messages travel on such streams too, those of [`Control`](crate::Priority::Control) with
    /// 3, of [`Realtime`](crate::Priority::Realtime) with 2, of [`Normal`](crate::Priority::Normal)
    /// with 1, of [`Bulk`](crate::Priority::Bulk) with -1; 4 and 5 are the engine's few words to its
    /// peer, which should not wait. A hint, with no meaning to the peer.
    fn set_priority(&mut self, priority: i32);
}

/// The reading half of a stream. Dropping it tells the writer to stop.
pub trait RecvStream: Debug + Send + Sync + 'static {
    /// The next bytes, at least one and at most `max` (0 counts as 1), or `None` at the end. Chunks
    /// have nothing to do with the pieces in which the peer wrote. Pending while there are none: then
    /// the task is woken when there are, even if nothing of this call is kept.
    ///
    /// # Errors
    ///
    /// [`StreamError`] if the writer gave up or the connection ended before the last byte.
    fn poll_read_chunk(
        &mut self,
        cx: &mut Context<'_>,
        max: usize,
    ) -> Poll<Result<Option<Bytes>, StreamError>>;

    /// The next chunks, as many as have come and there are places for, from the first place on; how many
    /// they are, and 0 at the end. Otherwise as [`poll_read_chunk`](RecvStream::poll_read_chunk).
    ///
    /// A transport that takes a lock for each read overrides this, to take one for all. Chunks are of
    /// at most 64 KiB.
    ///
    /// # Errors
    ///
    /// As [`poll_read_chunk`](RecvStream::poll_read_chunk).
    fn poll_read_chunks(
        &mut self,
        cx: &mut Context<'_>,
        chunks: &mut [Bytes],
    ) -> Poll<Result<usize, StreamError>> {
        let Some(first) = chunks.first_mut() else { return Poll::Ready(Ok(0)) };
        let chunk = ready!(self.poll_read_chunk(cx, MAX_CHUNK))?;
        Poll::Ready(Ok(chunk.map_or(0, |chunk| {
            *first = chunk;
            1
        })))
    }

    /// The next bytes, waiting for them; `None` at the end.
    ///
    /// # Errors
    ///
    /// As [`poll_read_chunk`](RecvStream::poll_read_chunk).
    ///
    /// # Cancel safety
    ///
    /// Safe: dropping the future loses nothing.
    fn read_chunk(
        &mut self,
        max: usize,
    ) -> impl Future<Output = Result<Option<Bytes>, StreamError>> + Send {
        poll_fn(move |cx| self.poll_read_chunk(cx, max))
    }

    /// Everything up to the end of the stream, if it is at most `limit` bytes.
    ///
    /// # Errors
    ///
    /// [`P2PError::LimitExceeded`] if there is more; then the stream is stopped. Otherwise as
    /// [`read_chunk`](RecvStream::read_chunk).
    ///
    /// # Cancel safety
    ///
    /// None: what was read so far is lost.
    fn read_to_end(
        &mut self,
        limit: usize,
    ) -> impl Future<Output = Result<Bytes, P2PError>> + Send {
        async move {
            let mut whole = BytesMut::new();
            while let Some(chunk) = self.read_chunk(MAX_CHUNK).await? {
                let actual = whole.len() + chunk.len();
                if actual > limit {
                    self.stop(0);
                    return Err(P2PError::LimitExceeded {
                        limit: Limit::StreamContent,
                        max: limit as u64,
                        actual: actual as u64,
                    });
                }
                whole.extend_from_slice(&chunk);
            }
            Ok(whole.freeze())
        }
    }

    /// Tells the writer to stop, with a code of at most 62 bits, and throws away what was not read.
    fn stop(&mut self, code: u64);
}
