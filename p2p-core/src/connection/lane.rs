//! A lane: the messages of one direction, on one long-lived stream.
//!
//! Sending is done by the caller, at once: nothing waits when the lane is idle. Receiving is done by
//! the connection's task ([`pump`](super::pump)).

use std::collections::VecDeque;

use bytes::{Buf, Bytes, BytesMut};

use super::inbox::Credit;
use super::pump::PumpError;
use crate::close::CloseReason;
use crate::engine::StreamKind;
use crate::engine::frame::{self, FrameDecoder, FrameTooLarge};
use crate::error::StreamError;
use crate::stream::{RecvStream, SendStream};
use crate::transport::Link;

/// Up to this size a message is copied behind its header, to be one piece; larger ones go
/// uncopied, as a piece of their own.
const COPY_UP_TO: usize = 4 * 1024;
/// Headers and small messages are laid out in blocks of this size.
const BLOCK: usize = 16 * 1024;
/// How much is asked of the transport at once.
const READ_UP_TO: usize = 64 * 1024;

/// The sending end of a lane.
#[derive(Debug)]
pub(super) struct SendLane<S> {
    stream: Option<S>,
    /// What is left of a message whose `send` was dropped half-way: it goes before all else, so
    /// that the peer never sees a part of a message. At most a header and a payload.
    rest: VecDeque<Bytes>,
    block: BytesMut,
    closed: Option<CloseReason>,
    finished: bool,
}

impl<S: SendStream> SendLane<S> {
    pub(super) fn new() -> Self {
        Self {
            stream: None,
            rest: VecDeque::new(),
            block: BytesMut::new(),
            closed: None,
            finished: false,
        }
    }

    /// Sends one message, when there is credit for it. If the future is dropped, the message was not
    /// sent at all, or its rest goes out before the next.
    pub(super) async fn send<L>(
        &mut self,
        link: &L,
        credit: &Credit,
        message: Bytes,
    ) -> Result<(), StreamError>
    where
        L: Link<SendStream = S>,
    {
        if let Some(reason) = &self.closed {
            return Err(StreamError::Closed(reason.clone()));
        }
        if self.stream.is_none() {
            self.stream = Some(link.open_uni().await?);
            self.rest.push_back(Bytes::from_owner([StreamKind::Lane.to_byte()]));
        }
        self.flush().await?;
        credit.take(message.len()).await;
        // No waiting between the credit and here: it is not lost with a dropped future.
        if self.block.capacity() < frame::MAX_HEADER + COPY_UP_TO {
            self.block.reserve(BLOCK);
        }
        frame::put_length(&mut self.block, message.len());
        if message.len() <= COPY_UP_TO {
            self.block.extend_from_slice(&message);
            self.rest.push_back(self.block.split().freeze());
        } else {
            self.rest.push_back(self.block.split().freeze());
            self.rest.push_back(message);
        }
        self.flush().await
    }

    async fn flush(&mut self) -> Result<(), StreamError> {
        let Some(stream) = &mut self.stream else { return Ok(()) };
        while let Some(piece) = self.rest.front_mut() {
            stream.write(piece).await?;
            if piece.is_empty() {
                self.rest.pop_front();
            }
        }
        Ok(())
    }

    /// Sends what is left, says that nothing follows, and waits until the peer's transport has it.
    /// If the future is dropped, nothing more can be sent; the rest goes out when it is called again.
    pub(super) async fn finish(&mut self, reason: CloseReason) -> Result<(), StreamError> {
        self.closed.get_or_insert(reason);
        self.flush().await?;
        let Some(stream) = &mut self.stream else { return Ok(()) };
        if !self.finished {
            stream.finish()?;
            self.finished = true;
        }
        stream.finished().await
    }
}

/// The receiving end of a lane.
#[derive(Debug)]
pub(super) struct RecvLane<R> {
    /// The stream, and whether its kind has been read.
    stream: Option<(R, bool)>,
    decoder: FrameDecoder,
}

impl<R: RecvStream> RecvLane<R> {
    pub(super) const fn new(max_message_size: usize) -> Self {
        Self { stream: None, decoder: FrameDecoder::new(max_message_size) }
    }

    /// The next message of those that [`fill`](Self::fill) brought, or `None` when it has to bring
    /// more.
    pub(super) fn next(&mut self) -> Result<Option<Bytes>, FrameTooLarge> {
        self.decoder.next()
    }

    /// Waits for more of the stream; `false` is its end. Cancel safe.
    pub(super) async fn fill<L>(&mut self, link: &L) -> Result<bool, PumpError>
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
                    return Ok(true);
                }
                None if !*kind_read => self.stream = None,
                None if self.decoder.is_between_frames() => return Ok(false),
                None => return Err(PumpError::Violation("the lane ended inside a message".into())),
            }
        }
    }
}
