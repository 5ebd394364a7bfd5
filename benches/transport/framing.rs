//! Messages on a stream, as one writes it by hand above a transport that has only streams.
//!
//! A length in four bytes, then the message; many of them in one write where many follow. Taking
//! them apart again copies nothing but what straddles two chunks: the peers are shown at their best.

use bytes::{Buf, Bytes, BytesMut};

const HEADER: usize = 4;
/// How much is collected for one write, where many messages follow.
pub(crate) const BATCH: usize = 16 * 1024;

/// Puts a message behind what is in `buffer`, ready to be written.
pub(crate) fn append(buffer: &mut Vec<u8>, message: &[u8]) {
    // No message of the bench is that long.
    let length = u32::try_from(message.len()).unwrap_or(u32::MAX);
    buffer.extend_from_slice(&length.to_be_bytes());
    buffer.extend_from_slice(message);
}

/// Cuts chunks into messages.
#[derive(Default)]
pub(crate) struct Frames {
    /// The beginning of a frame whose rest is in later chunks.
    begun: BytesMut,
    chunk: Bytes,
}

impl Frames {
    /// Takes the next chunk, after `next` has returned `None`.
    pub(crate) fn push(&mut self, chunk: Bytes) {
        self.chunk = chunk;
    }

    /// The next message, or `None` if the chunk does not hold the rest of one.
    pub(crate) fn next(&mut self) -> Option<Bytes> {
        if self.begun.is_empty() {
            if let Some(size) = size_of_first(&self.chunk).filter(|&size| size <= self.chunk.len())
            {
                let mut frame = self.chunk.split_to(size);
                frame.advance(HEADER);
                return Some(frame);
            }
        } else {
            self.continue_to(HEADER);
            let size = size_of_first(&self.begun)?;
            self.continue_to(size);
            if self.begun.len() == size {
                self.begun.advance(HEADER);
                return Some(self.begun.split().freeze());
            }
        }
        self.continue_to(usize::MAX);
        None
    }

    /// Moves bytes from the chunk until `begun` has `size` of them.
    fn continue_to(&mut self, size: usize) {
        let missing = size.saturating_sub(self.begun.len()).min(self.chunk.len());
        self.begun.extend_from_slice(&self.chunk.split_to(missing));
    }
}

/// How long the first frame in `bytes` is, header and all.
fn size_of_first(bytes: &[u8]) -> Option<usize> {
    let header = bytes.first_chunk::<HEADER>()?;
    Some(HEADER + u32::from_be_bytes(*header) as usize)
}
