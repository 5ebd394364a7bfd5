//! Messages that are to be sent: credit, the queue, and the lane's stream.
//!
//! A message goes to the transport within its `send`, as long as the lane is not under load. Under
//! load it goes into the queue, and the connection's task writes out what has collected there. Only
//! that task is ever woken by the transport, so that a dropped `send` leaves nothing undone.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use bytes::{Buf, Bytes, BytesMut};

use super::turns::Turns;
use crate::close::CloseReason;
use crate::engine::StreamKind;
use crate::engine::credit::{CreditError, SendCredit};
use crate::engine::frame;
use crate::engine::packets::PacketBudget;
use crate::error::StreamError;
use crate::stream::SendStream;

/// Up to this size a message is copied behind its header, to be one piece; larger ones go
/// uncopied, as a piece of their own.
const COPY_UP_TO: usize = 4 * 1024;
/// Headers and small messages are laid out in blocks of this size.
const BLOCK: usize = 16 * 1024;
/// Bytes that may be queued before a `send` waits; the message that crosses it is queued.
const MAX_QUEUED: usize = 64 * 1024;

/// The messages of one direction, until the transport has them.
#[derive(Debug)]
pub(super) struct Outbox<S> {
    state: Mutex<State<S>>,
    /// Senders take turns, so that their order is that of their calls, and one waker is enough.
    turns: Turns<()>,
}

#[derive(Debug)]
struct State<S> {
    stream: Option<S>,
    /// Pieces to write, and behind them the frames that have not been cut off the block.
    queue: VecDeque<Bytes>,
    block: BytesMut,
    queued: usize,
    credit: SendCredit,
    packets: PacketBudget,
    /// This side closes: nothing is queued any more.
    closing: Option<CloseReason>,
    delivered: bool,
    ended: bool,
    failed: Option<StreamError>,
    sender: Option<Waker>,
    closer: Option<Waker>,
    /// The connection's task, when it waits.
    pump: Option<Waker>,
}

/// Why a message was not taken.
pub(super) enum PushError {
    /// This side is closing, for this reason.
    Closing(CloseReason),
    /// The link has ended, and says why.
    Ended,
}

impl<S: SendStream> Outbox<S> {
    /// For a peer that announced this window.
    pub(super) fn new(window: u64) -> Self {
        let state = State {
            stream: None,
            queue: VecDeque::from([Bytes::from_owner([StreamKind::Lane.to_byte()])]),
            block: BytesMut::new(),
            queued: 1,
            credit: SendCredit::new(window),
            packets: PacketBudget::default(),
            closing: None,
            delivered: false,
            ended: false,
            failed: None,
            sender: None,
            closer: None,
            pump: None,
        };
        Self { state: Mutex::new(state), turns: Turns::default() }
    }

    fn state(&self) -> MutexGuard<'_, State<S>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a message, when there is credit and room for it. If the future is dropped before, the
    /// message is not sent; after, it is.
    pub(super) async fn push(&self, message: Bytes) -> Result<(), PushError> {
        if self.turns.is_free() {
            if let Poll::Ready(result) = self.poll_push(None, &message) {
                return result;
            }
        }
        let _turn = self.turns.take().await;
        poll_fn(|cx| self.poll_push(Some(cx.waker()), &message)).await
    }

    fn poll_push(&self, waker: Option<&Waker>, message: &Bytes) -> Poll<Result<(), PushError>> {
        let mut state = self.state();
        if let Some(reason) = &state.closing {
            return Poll::Ready(Err(PushError::Closing(reason.clone())));
        }
        if state.ended || state.failed.is_some() {
            return Poll::Ready(Err(PushError::Ended));
        }
        if state.queued >= MAX_QUEUED || !state.credit.try_take(message.len()) {
            if let Some(waker) = waker {
                state.sender = Some(waker.clone());
            }
            return Poll::Pending;
        }
        state.append(message);
        let wake = state.write_soon();
        drop(state);
        wake.into_iter().for_each(Waker::wake);
        Poll::Ready(Ok(()))
    }

    /// The lane's stream is open.
    pub(super) fn set_stream(&self, stream: S) {
        self.state().stream = Some(stream);
    }

    /// Writes out what is queued, again and again, until this side closes and all is written: then it
    /// gives the stream back.
    pub(super) async fn drain(&self) -> Result<S, StreamError> {
        poll_fn(|cx| {
            let mut state = self.state();
            let written = state.write(cx);
            let sender = if state.queued < MAX_QUEUED { state.sender.take() } else { None };
            let result = match written {
                Err(error) => Poll::Ready(Err(error)),
                Ok(()) if state.closing.is_some() && state.queued == 0 => {
                    state.stream.take().map_or(Poll::Pending, |stream| Poll::Ready(Ok(stream)))
                }
                Ok(()) => Poll::Pending,
            };
            state.pump = Some(cx.waker().clone());
            drop(state);
            sender.into_iter().for_each(Waker::wake);
            result
        })
        .await
    }

    /// The peer's program has taken this much.
    pub(super) fn on_taken(&self, total: u64) -> Result<(), CreditError> {
        let (result, sender) = {
            let mut state = self.state();
            (state.credit.on_taken(total), state.sender.take())
        };
        sender.into_iter().for_each(Waker::wake);
        result
    }

    /// The peer's engine has read up to here. Called by the task that drains, which goes on to do so.
    pub(super) fn on_read(&self, offset: u64) -> Result<(), CreditError> {
        let (result, pump) = {
            let mut state = self.state();
            (state.packets.on_read(offset), state.pump.take())
        };
        pump.into_iter().for_each(Waker::wake);
        result
    }

    /// Takes no further messages, and lets the task finish the stream once it has written the rest.
    pub(super) fn close(&self, reason: CloseReason) {
        let (sender, pump) = {
            let mut state = self.state();
            state.closing.get_or_insert(reason);
            (state.sender.take(), state.pump.take())
        };
        sender.into_iter().chain(pump).for_each(Waker::wake);
    }

    /// Waits, after a close, until the peer's transport has everything, or never will.
    pub(super) async fn delivered(&self) {
        poll_fn(|cx| {
            let mut state = self.state();
            if state.delivered || state.ended {
                return Poll::Ready(());
            }
            state.closer = Some(cx.waker().clone());
            Poll::Pending
        })
        .await;
    }

    /// The peer's transport has everything.
    pub(super) fn set_delivered(&self) {
        let closer = {
            let mut state = self.state();
            state.delivered = true;
            state.closer.take()
        };
        closer.into_iter().for_each(Waker::wake);
    }

    /// The link has ended.
    pub(super) fn end(&self) {
        let (sender, closer) = {
            let mut state = self.state();
            state.ended = true;
            (state.sender.take(), state.closer.take())
        };
        sender.into_iter().chain(closer).for_each(Waker::wake);
    }
}

impl<S: SendStream> State<S> {
    fn append(&mut self, message: &Bytes) {
        if self.block.capacity() - self.block.len() < frame::MAX_HEADER + COPY_UP_TO {
            self.cut();
            self.block.reserve(BLOCK);
        }
        let before = self.block.len();
        frame::put_length(&mut self.block, message.len());
        self.queued += self.block.len() - before + message.len();
        if message.len() <= COPY_UP_TO {
            self.block.extend_from_slice(message);
        } else {
            self.cut();
            self.queue.push_back(message.clone());
        }
    }

    /// Puts the frames of the block into the queue.
    fn cut(&mut self) {
        if !self.block.is_empty() {
            self.queue.push_back(self.block.split().freeze());
        }
    }

    /// Writes at once if the lane is not under load; otherwise returns the task to wake for it. A
    /// task that does not wait will look by itself.
    fn write_soon(&mut self) -> Option<Waker> {
        let pump = self.pump.take()?;
        if self.packets.is_ample() && self.write(&mut Context::from_waker(&pump)).is_ok() {
            self.pump = Some(pump);
            return None;
        }
        Some(pump)
    }

    /// Writes what is queued, as far as the transport and the budget have room.
    fn write(&mut self, cx: &mut Context<'_>) -> Result<(), StreamError> {
        if let Some(error) = &self.failed {
            return Err(error.clone());
        }
        let Some(stream) = &mut self.stream else { return Ok(()) };
        loop {
            if self.queue.is_empty() && !self.block.is_empty() {
                self.queue.push_back(self.block.split().freeze());
            }
            let room = self.packets.room();
            let Some(piece) = self.queue.front_mut().filter(|_| room > 0) else { return Ok(()) };
            let before = piece.len();
            let polled = if before <= room {
                stream.poll_write(cx, piece)
            } else {
                let mut part = piece.slice(..room);
                let polled = stream.poll_write(cx, &mut part);
                piece.advance(room - part.len());
                polled
            };
            match polled {
                Poll::Ready(Ok(())) => {}
                Poll::Ready(Err(error)) => {
                    self.failed = Some(error.clone());
                    return Err(error);
                }
                Poll::Pending => return Ok(()),
            }
            let written = before - piece.len();
            if piece.is_empty() {
                self.queue.pop_front();
            }
            self.queued -= written;
            self.packets.on_written(written);
        }
    }
}
