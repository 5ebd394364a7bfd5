//! The halves of a stream in memory.

use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use p2p_core::{RecvStream, SendStream, StreamError};

use super::link::{Shared, State};

/// What a stream's reader can be behind.
const WINDOW: usize = 256 * 1024;

/// One direction of a stream.
#[derive(Debug, Default)]
pub(super) struct Pipe {
    chunks: VecDeque<Bytes>,
    size: usize,
    finished: bool,
    /// It was finished when nothing passed any more.
    lost: bool,
    read_to_end: bool,
    reset: Option<u64>,
    stopped: Option<u64>,
}

impl Pipe {
    pub(super) fn has_ended(&self) -> bool {
        self.read_to_end || self.reset.is_some() || self.stopped.is_some()
    }
}

/// One end of one direction of a stream.
pub(crate) struct Half {
    pub(super) shared: Arc<Shared>,
    pub(super) end: usize,
    pub(super) pipe: usize,
}

impl fmt::Debug for Half {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Half({})", self.pipe)
    }
}

/// The writing half of a stream.
#[derive(Debug)]
pub(crate) struct SendHalf(pub(super) Half);

impl SendHalf {
    /// Why nothing can be written, if so.
    fn ended(&self, state: &State) -> Option<StreamError> {
        let pipe = &state.pipes[self.0.pipe];
        if pipe.finished || pipe.reset.is_some() {
            return Some(StreamError::Finished);
        }
        // Nothing is said about a stream once its link has ended.
        let closed = state.closed[self.0.end].clone().map(StreamError::from);
        closed.or(pipe.stopped.map(|code| StreamError::Stopped { code }))
    }
}

impl SendStream for SendHalf {
    fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        data: &mut Bytes,
    ) -> Poll<Result<(), StreamError>> {
        if data.is_empty() {
            return Poll::Ready(Ok(()));
        }
        self.0.shared.poll(cx, |state| {
            if let Some(error) = self.ended(state) {
                return Some(Err(error));
            }
            let pipe = &mut state.pipes[self.0.pipe];
            let room = data.len().min(WINDOW - pipe.size);
            (room > 0).then(|| {
                pipe.size += room;
                pipe.chunks.push_back(data.split_to(room));
                Ok(())
            })
        })
    }

    fn finish(&mut self) -> Result<(), StreamError> {
        self.0.shared.change(|state| match self.ended(state) {
            Some(error) => Err(error),
            None => {
                let lost = state.cut;
                let pipe = &mut state.pipes[self.0.pipe];
                (pipe.finished, pipe.lost) = (true, lost);
                Ok(())
            }
        })
    }

    async fn finished(&mut self) -> Result<(), StreamError> {
        let wait = self.0.shared.wait(|state| match self.ended(state)? {
            StreamError::Finished if state.pipes[self.0.pipe].lost => {
                state.closed[self.0.end].clone().map(|closed| Err(closed.into()))
            }
            // Written is arrived.
            StreamError::Finished => Some(Ok(())),
            error => Some(Err(error)),
        });
        wait.await
    }

    fn reset(&mut self, code: u64) {
        self.0.shared.change(|state| {
            if self.ended(state).is_none() {
                state.pipes[self.0.pipe].reset = Some(code);
            }
        });
    }

    fn set_priority(&mut self, _priority: i32) {}
}

impl Drop for SendHalf {
    fn drop(&mut self) {
        self.reset(0);
    }
}

/// The reading half of a stream.
#[derive(Debug)]
pub(crate) struct RecvHalf(pub(super) Half);

impl RecvStream for RecvHalf {
    fn poll_read_chunk(
        &mut self,
        cx: &mut Context<'_>,
        max: usize,
    ) -> Poll<Result<Option<Bytes>, StreamError>> {
        self.0.shared.poll(cx, |state| {
            let pipe = &mut state.pipes[self.0.pipe];
            if let Some(code) = pipe.reset {
                return Some(Err(StreamError::Reset { code }));
            }
            if let Some(chunk) = pipe.chunks.front_mut() {
                let taken = chunk.split_to(max.max(1).min(chunk.len()));
                if chunk.is_empty() {
                    pipe.chunks.pop_front();
                }
                pipe.size -= taken.len();
                return Some(Ok(Some(taken)));
            }
            if pipe.finished {
                pipe.read_to_end = true;
                return Some(Ok(None));
            }
            state.closed[self.0.end].clone().map(|closed| Err(closed.into()))
        })
    }

    fn stop(&mut self, code: u64) {
        self.0.shared.change(|state| {
            let pipe = &mut state.pipes[self.0.pipe];
            if !pipe.has_ended() {
                pipe.stopped = Some(code);
                pipe.chunks.clear();
            }
        });
    }
}

impl Drop for RecvHalf {
    fn drop(&mut self) {
        self.stop(0);
    }
}
