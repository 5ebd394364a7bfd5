//! The two halves of a stream: what is written, and what is read.

use std::collections::{BTreeMap, VecDeque};
use std::task::Waker;

use bytes::Bytes;

use super::STREAM_WINDOW;

#[derive(Debug)]
pub(in crate::engine) struct SendHalf {
    /// Bytes that the reader has room for.
    pub(in crate::engine) room: u64,
    /// How many packets were sent.
    pub(in crate::engine) sent: u64,
    pub(in crate::engine) finished: bool,
    /// The reader's transport has all.
    pub(in crate::engine) received: bool,
    pub(in crate::engine) reset: bool,
    pub(in crate::engine) stopped: Option<u64>,
    pub(in crate::engine) waker: Option<Waker>,
}

#[derive(Debug, Default)]
pub(in crate::engine) struct RecvHalf {
    pub(in crate::engine) chunks: Chunks,
    /// The number of the packet that comes next.
    next: u64,
    /// Later ones that are there already: their bytes, and whether they are the last.
    #[allow(clippy::box_collection)] // A third of the room in what there is very much of.
    early: Option<Box<BTreeMap<u64, (Bytes, bool)>>>,
    /// Bytes read since the writer was last told of room: less than a window.
    pub(in crate::engine) read: u32,
    pub(in crate::engine) finished: bool,
    /// The writer was told that all has come.
    pub(in crate::engine) confirmed: bool,
    pub(in crate::engine) stopped: bool,
    /// The writer gave up.
    pub(in crate::engine) is_reset: bool,
    /// The code it gave, where it did.
    pub(in crate::engine) reset: u64,
    pub(in crate::engine) waker: Option<Waker>,
}

/// What has arrived and was not read. Most readers take each chunk as it comes: one needs no list.
#[derive(Debug, Default)]
pub(in crate::engine) enum Chunks {
    #[default]
    None,
    One(Bytes),
    #[allow(clippy::box_collection)] // So that one takes no more room than it needs.
    Many(Box<VecDeque<Bytes>>),
}

impl Chunks {
    pub(in crate::engine) fn is_empty(&self) -> bool {
        match self {
            Self::None => true,
            Self::One(_) => false,
            Self::Many(chunks) => chunks.is_empty(),
        }
    }

    fn push(&mut self, bytes: Bytes) {
        match self {
            Self::None => *self = Self::One(bytes),
            Self::One(first) => {
                let first = std::mem::take(first);
                *self = Self::Many(Box::new(VecDeque::from([first, bytes])));
            }
            Self::Many(chunks) => chunks.push_back(bytes),
        }
    }

    /// Takes at most so many bytes from the first.
    pub(in crate::engine) fn take(&mut self, max: usize) -> Option<Bytes> {
        let first = match self {
            Self::None => return None,
            Self::One(first) => first,
            Self::Many(chunks) => chunks.front_mut()?,
        };
        if first.len() > max {
            return Some(first.split_to(max.max(1)));
        }
        match self {
            Self::None => None,
            Self::One(first) => {
                let first = std::mem::take(first);
                *self = Self::None;
                Some(first)
            }
            // The list stays: who had several at once mostly has again.
            Self::Many(chunks) => chunks.pop_front(),
        }
    }

    pub(in crate::engine) fn iter(&self) -> impl Iterator<Item = &Bytes> {
        let (one, many) = match self {
            Self::None => (None, None),
            Self::One(first) => (Some(first), None),
            Self::Many(chunks) => (None, Some(chunks.iter())),
        };
        one.into_iter().chain(many.into_iter().flatten())
    }
}

impl SendHalf {
    pub(super) const fn new() -> Self {
        Self {
            room: STREAM_WINDOW,
            sent: 0,
            finished: false,
            received: false,
            reset: false,
            stopped: None,
            waker: None,
        }
    }

    pub(in crate::engine) const fn is_over(&self) -> bool {
        self.received || self.reset || self.stopped.is_some()
    }
}

impl RecvHalf {
    /// Takes a packet in. Returns whether the reader has something new.
    pub(in crate::engine) fn take(&mut self, number: u64, bytes: Bytes, fin: bool) -> bool {
        if self.stopped || self.is_reset {
            return false;
        }
        if number != self.next {
            self.early.get_or_insert_default().insert(number, (bytes, fin));
            return false;
        }
        self.append(bytes, fin);
        while let Some((bytes, fin)) = self.take_early() {
            self.append(bytes, fin);
        }
        true
    }

    /// The next packet, if it has come already.
    fn take_early(&mut self) -> Option<(Bytes, bool)> {
        let early = self.early.as_mut()?;
        let next = early.remove(&self.next);
        if early.is_empty() {
            self.early = None;
        }
        next
    }

    fn append(&mut self, bytes: Bytes, fin: bool) {
        self.next += 1;
        if !bytes.is_empty() {
            self.chunks.push(bytes);
        }
        self.finished |= fin;
    }

    pub(in crate::engine) fn give_up(&mut self) {
        self.chunks = Chunks::None;
        self.early = None;
    }

    pub(in crate::engine) fn is_over(&self) -> bool {
        self.stopped || self.is_reset || (self.finished && self.chunks.is_empty())
    }
}
