//! What waits for one connection to take it.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use bytes::Bytes;

use crate::domain::signaling::{Ending, Limits};

/// Texts for a connection, in order, and perhaps its end. An empty one holds no memory of its own.
#[derive(Debug)]
pub struct Outbox {
    max_messages: usize,
    max_bytes: usize,
    queue: Mutex<Queue>,
}

#[derive(Debug, Default)]
struct Queue {
    texts: VecDeque<Bytes>,
    bytes: usize,
    last: Last,
    waker: Option<Waker>,
}

#[derive(Clone, Copy, Debug, Default)]
enum Last {
    /// More may come.
    #[default]
    Open,
    /// The connection is to be closed with this code and reason.
    Close(u16, &'static str),
    /// That has been taken.
    Closed,
}

/// What was taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Taken {
    /// The next text.
    Text(Bytes),
    /// The connection is to be closed with this code and reason.
    Close(u16, &'static str),
    /// Nothing is there.
    Nothing,
}

impl Outbox {
    pub(super) fn new(limits: &Limits) -> Self {
        let (max_messages, max_bytes) = (limits.queue_messages, limits.queue_bytes);
        Self { max_messages, max_bytes, queue: Mutex::default() }
    }

    /// Adds a text. Whether there was room; if the connection is being closed, nobody waits for it.
    pub(super) fn push(&self, text: Bytes) -> bool {
        let mut queue = self.queue();
        if !matches!(queue.last, Last::Open) {
            return true;
        }
        let is_full =
            queue.texts.len() >= self.max_messages || queue.bytes + text.len() > self.max_bytes;
        if is_full && !queue.texts.is_empty() {
            return false;
        }
        queue.bytes += text.len();
        queue.texts.push_back(text);
        wake(queue);
        true
    }

    pub(super) fn end(&self, ending: Ending) {
        let (code, reason) = ending.words();
        if ending == Ending::TooSlow {
            // What it has not taken so far, it would not take now.
            let mut queue = self.queue();
            queue.texts = VecDeque::new();
            queue.bytes = 0;
        }
        self.close(code, reason);
    }

    /// After what is there, the end.
    pub(super) fn close(&self, code: u16, reason: &'static str) {
        let mut queue = self.queue();
        if matches!(queue.last, Last::Open) {
            queue.last = Last::Close(code, reason);
        }
        wake(queue);
    }

    /// Ready when there is something to take. One task waits.
    pub fn poll_ready(&self, cx: &mut Context<'_>) -> Poll<()> {
        let mut queue = self.queue();
        if !queue.texts.is_empty() || matches!(queue.last, Last::Close(..)) {
            return Poll::Ready(());
        }
        if !queue.waker.as_ref().is_some_and(|waker| waker.will_wake(cx.waker())) {
            queue.waker = Some(cx.waker().clone());
        }
        Poll::Pending
    }

    /// Takes the next.
    pub fn take(&self) -> Taken {
        let mut queue = self.queue();
        if let Some(text) = queue.texts.pop_front() {
            queue.bytes -= text.len();
            if queue.texts.is_empty() && queue.texts.capacity() > SPARE {
                queue.texts = VecDeque::new();
            }
            return Taken::Text(text);
        }
        match queue.last {
            Last::Close(code, reason) => {
                queue.last = Last::Closed;
                Taken::Close(code, reason)
            }
            Last::Open | Last::Closed => Taken::Nothing,
        }
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How many places an empty queue keeps.
const SPARE: usize = 8;

fn wake(mut queue: MutexGuard<'_, Queue>) {
    let waker = queue.waker.take();
    drop(queue);
    if let Some(waker) = waker {
        waker.wake();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outbox(messages: usize, bytes: usize) -> Outbox {
        let mut limits = Limits::default();
        (limits.queue_messages, limits.queue_bytes) = (messages, bytes);
        Outbox::new(&limits)
    }

    #[test]
    fn it_takes_so_many_texts_and_bytes_and_always_one() {
        let few = outbox(2, 100);
        assert!(few.push("a".into()) && few.push("b".into()) && !few.push("c".into()));
        let small = outbox(10, 3);
        assert!(small.push("large".into()) && !small.push("a".into()));
        assert_eq!(small.take(), Taken::Text("large".into()));
        assert!(small.push("abc".into()));
    }

    #[test]
    fn the_end_comes_after_what_was_there_unless_it_was_too_slow_for_it() {
        let replaced = outbox(2, 100);
        replaced.push("a".into());
        replaced.end(Ending::Replaced);
        assert!(replaced.push("nobody waits for this".into()));
        assert_eq!(replaced.take(), Taken::Text("a".into()));
        assert!(matches!(replaced.take(), Taken::Close(4001, _)));
        assert_eq!(replaced.take(), Taken::Nothing);
        let slow = outbox(2, 100);
        slow.push("a".into());
        slow.end(Ending::TooSlow);
        assert!(matches!(slow.take(), Taken::Close(1013, _)));
    }
}
