//! Reading pieces of known lengths.

use std::future::pending;

use bytes::{Bytes, BytesMut};

use crate::error::StreamError;
use crate::stream::RecvStream;

/// A stream, and what was read of it and not asked for yet.
#[derive(Debug)]
pub(super) struct Reader<R> {
    recv: R,
    rest: Bytes,
}

/// The most bytes read at once.
const CHUNK: usize = 64 * 1024;

impl<R: RecvStream> Reader<R> {
    pub(super) const fn new(recv: R) -> Self {
        Self { recv, rest: Bytes::new() }
    }

    /// The next `length` bytes, or `None` if the stream ends before. Memory is taken as they come.
    pub(super) async fn take(&mut self, length: usize) -> Result<Option<Bytes>, StreamError> {
        if self.rest.is_empty() && length > 0 {
            let Some(chunk) = self.recv.read_chunk(CHUNK).await? else { return Ok(None) };
            self.rest = chunk;
        }
        if self.rest.len() >= length {
            return Ok(Some(self.rest.split_to(length)));
        }
        let mut whole = BytesMut::from(&self.rest[..]);
        self.rest = Bytes::new();
        while whole.len() < length {
            let Some(mut chunk) = self.recv.read_chunk(CHUNK).await? else { return Ok(None) };
            let wanted = chunk.split_to(chunk.len().min(length - whole.len()));
            whole.extend_from_slice(&wanted);
            self.rest = chunk;
        }
        Ok(Some(whole.freeze()))
    }

    /// The next bytes as an array.
    pub(super) async fn take_array<const N: usize>(
        &mut self,
    ) -> Result<Option<[u8; N]>, StreamError> {
        let bytes = self.take(N).await?;
        Ok(bytes.and_then(|bytes| <[u8; N]>::try_from(&bytes[..]).ok()))
    }

    /// Whether nothing follows. Waits until that is known.
    pub(super) async fn is_at_end(&mut self) -> Result<bool, StreamError> {
        Ok(self.rest.is_empty() && self.recv.read_chunk(1).await?.is_none())
    }

    /// Waits until the writer gives up, or sends what does not belong here; for ever if it just ends.
    pub(super) async fn given_up(&mut self) {
        if let Ok(true) = self.is_at_end().await {
            pending().await
        }
    }
}
