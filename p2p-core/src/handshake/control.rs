//! The peer's control stream.

use bytes::{Buf, Bytes};

use super::error::HandshakeError;
use crate::engine::StreamKind;
use crate::engine::frame::FrameDecoder;
use crate::engine::hello::MAX_HELLO;
use crate::error::ProtocolError;
use crate::stream::RecvStream;

/// The peer's control stream, cut into frames.
#[derive(Debug)]
pub(crate) struct ControlReader<R> {
    stream: R,
    decoder: FrameDecoder,
    kind_read: bool,
}

impl<R: RecvStream> ControlReader<R> {
    pub(super) fn new(stream: R) -> Self {
        Self { stream, decoder: FrameDecoder::new(MAX_HELLO), kind_read: false }
    }

    /// The next frame. Cancel safe.
    pub(crate) async fn next(&mut self) -> Result<Bytes, HandshakeError> {
        let violation = |detail: &str| ProtocolError::Violation { detail: detail.to_owned() };
        loop {
            match self.decoder.next() {
                Ok(Some(frame)) => return Ok(frame.payload),
                Ok(None) => {}
                Err(error) => return Err(violation(&format!("control stream: {error}")).into()),
            }
            let Some(mut chunk) = self.stream.read_chunk(MAX_HELLO).await? else {
                return Err(violation("the control stream ended").into());
            };
            if !self.kind_read {
                if StreamKind::from_byte(chunk.get_u8()) != Some(StreamKind::Control) {
                    return Err(violation("the first stream is not the control stream").into());
                }
                self.kind_read = true;
            }
            self.decoder.push(chunk);
        }
    }
}
