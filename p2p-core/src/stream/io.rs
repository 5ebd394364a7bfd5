//! A stream as tokio's I/O traits have it.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::{RecvStream, SendStream};
use crate::error::StreamError;

/// Both halves of a stream as one [`AsyncRead`] and [`AsyncWrite`], for libraries that speak over
/// those: HTTP, TLS, codecs.
///
/// What is written is copied once, because the traits lend their bytes; halves without this adapter
/// take them over instead. Shutting down finishes the stream and does not wait for the peer; dropping
/// it without resets it. Errors keep the [`StreamError`] as their source.
#[derive(Debug)]
pub struct StreamIo<S, R> {
    send: S,
    recv: R,
    /// Read, and not asked for yet.
    read: Bytes,
    /// Handed over, and not all taken by the transport yet.
    written: Bytes,
}

impl<S: SendStream, R: RecvStream> StreamIo<S, R> {
    /// Of two halves.
    pub const fn new(send: S, recv: R) -> Self {
        Self { send, recv, read: Bytes::new(), written: Bytes::new() }
    }

    fn poll_written(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.written.is_empty() {
            ready!(self.send.poll_write(cx, &mut self.written)).map_err(io_error)?;
        }
        Poll::Ready(Ok(()))
    }
}

/// The halves are never pinned: their polls take them by reference.
impl<S, R> Unpin for StreamIo<S, R> {}

/// The most bytes read or copied at once.
const CHUNK: usize = 64 * 1024;

impl<S: SendStream, R: RecvStream> AsyncRead for StreamIo<S, R> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.read.is_empty() {
            let max = buffer.remaining().clamp(1, CHUNK);
            match ready!(self.recv.poll_read_chunk(cx, max)).map_err(io_error)? {
                Some(chunk) => self.read = chunk,
                None => return Poll::Ready(Ok(())),
            }
        }
        let length = self.read.len().min(buffer.remaining());
        buffer.put_slice(&self.read[..length]);
        self.read.advance(length);
        Poll::Ready(Ok(()))
    }
}

impl<S: SendStream, R: RecvStream> AsyncWrite for StreamIo<S, R> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        data: &[u8],
    ) -> Poll<io::Result<usize>> {
        // The last piece first: at most one is kept, which bounds what a slow peer makes us hold.
        ready!(self.poll_written(cx))?;
        let length = data.len().min(CHUNK);
        self.written = Bytes::copy_from_slice(&data[..length]);
        match self.poll_written(cx) {
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            // Taken over: the rest goes with the next call, or with a flush.
            Poll::Ready(Ok(())) | Poll::Pending => Poll::Ready(Ok(length)),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_written(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_written(cx))?;
        match self.send.finish() {
            // A second time is no error.
            Ok(()) | Err(StreamError::Finished) => Poll::Ready(Ok(())),
            Err(error) => Poll::Ready(Err(io_error(error))),
        }
    }
}

fn io_error(error: StreamError) -> io::Error {
    let kind = match error {
        StreamError::Closed(_) | StreamError::LinkReplaced => io::ErrorKind::ConnectionAborted,
        StreamError::Finished => io::ErrorKind::NotConnected,
        StreamError::Reset { .. } => io::ErrorKind::ConnectionReset,
        StreamError::Stopped { .. } => io::ErrorKind::BrokenPipe,
    };
    io::Error::new(kind, error)
}
