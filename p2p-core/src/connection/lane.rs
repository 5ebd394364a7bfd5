//! The receiving end of a lane: the messages of one direction, on one long-lived stream.

use bytes::{Buf, Bytes};

use super::pump::PumpError;
use crate::engine::StreamKind;
use crate::engine::frame::{FrameDecoder, FrameTooLarge};
use crate::stream::RecvStream;
use crate::transport::Link;

/// How much is asked of the transport at once.
const READ_UP_TO: usize = 64 * 1024;

/// The receiving end of a lane.
#[derive(Debug)]
pub(super) struct RecvLane<R> {
    /// The stream, and whether its kind has been read.
    stream: Option<(R, bool)>,
    decoder: FrameDecoder,
    /// Nothing follows, or nothing that could be read.
    ended: bool,
}

impl<R: RecvStream> RecvLane<R> {
    pub(super) const fn new(max_message_size: usize) -> Self {
        Self { stream: None, decoder: FrameDecoder::new(max_message_size), ended: false }
    }

    /// The next message of those that [`fill`](Self::fill) brought, or `None` when it has to bring
    /// more.
    pub(super) fn next(&mut self) -> Result<Option<Bytes>, FrameTooLarge> {
        self.decoder.next().inspect_err(|_| self.end())
    }

    /// Reads no further.
    pub(super) const fn end(&mut self) {
        self.ended = true;
    }

    /// Waits for more of the stream and returns its length; `None` is the end, also after an error.
    /// Cancel safe.
    pub(super) async fn fill<L>(&mut self, link: &L) -> Result<Option<usize>, PumpError>
    where
        L: Link<RecvStream = R>,
    {
        if self.ended {
            return Ok(None);
        }
        let filled = self.read(link).await;
        self.ended = !matches!(filled, Ok(Some(_)));
        filled
    }

    async fn read<L>(&mut self, link: &L) -> Result<Option<usize>, PumpError>
    where
        L: Link<RecvStream = R>,
    {
        loop {
            let (stream, kind_read) = match &mut self.stream {
                Some(stream) => stream,
                none => {
                    let accepted = link.accept_uni().await.map_err(|_| PumpError::Closed)?;
                    none.insert((accepted, false))
                }
            };
            match stream.read_chunk(READ_UP_TO).await? {
                Some(mut chunk) => {
                    let bytes = chunk.len();
                    if !*kind_read {
                        if StreamKind::from_byte(chunk.get_u8()) != Some(StreamKind::Lane) {
                            // A kind of a later version. Nothing is lost: we did not announce that
                            // we know it.
                            stream.stop(0);
                            self.stream = None;
                            continue;
                        }
                        *kind_read = true;
                    }
                    self.decoder.push(chunk);
                    return Ok(Some(bytes));
                }
                None if !*kind_read => self.stream = None,
                None if self.decoder.is_between_frames() => return Ok(None),
                None => return Err(PumpError::Violation("the lane ended inside a message".into())),
            }
        }
    }
}
