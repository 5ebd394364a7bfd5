//! Streams: ordered, reliable, with flow control.
//!
//! The packets of a stream are counted, and the receiving end keeps those that come early until the
//! one before has come. So a lost packet holds up its own stream, and no other (head-of-line blocking
//! as in QUIC). What is kept is bounded by the window: a writer is never further ahead of the reader.

use std::collections::{BTreeMap, VecDeque};
use std::task::Waker;

use bytes::Bytes;

use super::{Direction, StreamId};

/// Bytes that a stream's writer may be ahead of its reader.
pub(super) const STREAM_WINDOW: u64 = 1 << 20;

/// An end's streams, by number. Most ends have a few, and new ones come last or nearly so.
#[derive(Debug, Default)]
pub(super) struct Streams(Vec<Stream>);

/// So few take no more room than they need.
const FEW: usize = 4;

impl Streams {
    fn find(&self, id: StreamId) -> Result<usize, usize> {
        self.0.binary_search_by_key(&id, |stream| stream.id)
    }

    pub(super) fn get(&self, id: StreamId) -> Option<&Stream> {
        self.find(id).ok().map(|place| &self.0[place])
    }

    pub(super) fn get_mut(&mut self, id: StreamId) -> Option<&mut Stream> {
        self.find(id).ok().map(|place| &mut self.0[place])
    }

    pub(super) fn send_mut(&mut self, id: StreamId) -> Option<&mut SendHalf> {
        self.get_mut(id)?.send_mut()
    }

    pub(super) fn recv_mut(&mut self, id: StreamId) -> Option<&mut RecvHalf> {
        self.get_mut(id)?.recv_mut()
    }

    pub(super) fn insert(&mut self, stream: Stream) {
        if let Err(place) = self.find(stream.id) {
            if self.0.len() < FEW {
                self.0.reserve_exact(1);
            }
            self.0.insert(place, stream);
        }
    }

    pub(super) fn remove(&mut self, id: StreamId) {
        if let Ok(place) = self.find(id) {
            self.0.remove(place);
        }
    }

    pub(super) fn iter(&self) -> std::slice::Iter<'_, Stream> {
        self.0.iter()
    }

    pub(super) fn iter_mut(&mut self) -> std::slice::IterMut<'_, Stream> {
        self.0.iter_mut()
    }
}

/// One end's halves of a stream.
#[derive(Debug)]
pub(super) struct Stream {
    pub(super) id: StreamId,
    halves: Halves,
    /// How many of the halves are in somebody's hands, or will be when they are accepted.
    pub(super) held: u8,
    /// Both halves of a stream of the other side are over, and it may open another.
    pub(super) given_back: bool,
}

/// Most streams go one way, and have one.
#[derive(Debug)]
enum Halves {
    Send(SendHalf),
    Recv(RecvHalf),
    Both(Box<(SendHalf, RecvHalf)>),
}

#[derive(Debug)]
pub(super) struct SendHalf {
    /// Bytes that the reader has room for.
    pub(super) room: u64,
    /// How many packets were sent.
    pub(super) sent: u64,
    pub(super) finished: bool,
    /// The reader's transport has all.
    pub(super) received: bool,
    pub(super) reset: bool,
    pub(super) stopped: Option<u64>,
    pub(super) waker: Option<Waker>,
}

#[derive(Debug, Default)]
pub(super) struct RecvHalf {
    pub(super) chunks: VecDeque<Bytes>,
    /// The number of the packet that comes next.
    next: u64,
    /// Later ones that are there already: their bytes, and whether they are the last.
    #[allow(clippy::box_collection)] // A third of the room in what there is very much of.
    early: Option<Box<BTreeMap<u64, (Bytes, bool)>>>,
    /// Bytes read since the writer was last told of room.
    pub(super) read: u64,
    pub(super) finished: bool,
    /// The writer was told that all has come.
    pub(super) confirmed: bool,
    pub(super) reset: Option<u64>,
    pub(super) stopped: bool,
    pub(super) waker: Option<Waker>,
}

impl SendHalf {
    const fn new() -> Self {
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

    pub(super) const fn is_over(&self) -> bool {
        self.received || self.reset || self.stopped.is_some()
    }
}

impl RecvHalf {
    /// Takes a packet in. Returns whether the reader has something new.
    pub(super) fn take(&mut self, number: u64, bytes: Bytes, fin: bool) -> bool {
        if self.stopped || self.reset.is_some() {
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
            if self.chunks.capacity() == 0 {
                // Most readers take each chunk as it comes.
                self.chunks.reserve_exact(1);
            }
            self.chunks.push_back(bytes);
        }
        self.finished |= fin;
    }

    pub(super) fn give_up(&mut self) {
        self.chunks.clear();
        self.early = None;
    }

    pub(super) fn is_over(&self) -> bool {
        self.stopped || self.reset.is_some() || (self.finished && self.chunks.is_empty())
    }
}

impl Stream {
    pub(super) fn opened(id: StreamId) -> Self {
        Self::new(id, Halves::Send(SendHalf::new()))
    }

    pub(super) fn accepted(id: StreamId) -> Self {
        Self::new(id, Halves::Recv(RecvHalf::default()))
    }

    fn new(id: StreamId, one_way: Halves) -> Self {
        let direction = id.direction();
        let halves = match direction {
            Direction::Uni => one_way,
            Direction::Bi => Halves::Both(Box::new((SendHalf::new(), RecvHalf::default()))),
        };
        Self { id, halves, held: 1 + direction as u8, given_back: false }
    }

    pub(super) fn send(&self) -> Option<&SendHalf> {
        match &self.halves {
            Halves::Send(send) => Some(send),
            Halves::Recv(_) => None,
            Halves::Both(both) => Some(&both.0),
        }
    }

    fn recv(&self) -> Option<&RecvHalf> {
        match &self.halves {
            Halves::Send(_) => None,
            Halves::Recv(recv) => Some(recv),
            Halves::Both(both) => Some(&both.1),
        }
    }

    pub(super) fn send_mut(&mut self) -> Option<&mut SendHalf> {
        match &mut self.halves {
            Halves::Send(send) => Some(send),
            Halves::Recv(_) => None,
            Halves::Both(both) => Some(&mut both.0),
        }
    }

    pub(super) fn recv_mut(&mut self) -> Option<&mut RecvHalf> {
        match &mut self.halves {
            Halves::Send(_) => None,
            Halves::Recv(recv) => Some(recv),
            Halves::Both(both) => Some(&mut both.1),
        }
    }

    pub(super) fn is_over(&self) -> bool {
        self.send().is_none_or(SendHalf::is_over) && self.recv().is_none_or(RecvHalf::is_over)
    }

    /// What somebody waits for here, in words; `unread` is what the other side has not read.
    pub(super) fn waits(&self, unread: usize) -> Option<String> {
        let number = self.id.0;
        if self.recv().is_some_and(|half| half.waker.is_some()) {
            return Some(format!("data on stream {number}"));
        }
        let send = self.send().filter(|half| half.waker.is_some())?;
        Some(if send.finished {
            format!("the peer to have all of stream {number}")
        } else {
            format!("room to write on stream {number}: the peer has {unread} bytes unread")
        })
    }

    /// Bytes that have arrived and that nobody has read.
    pub(super) fn unread(&self) -> usize {
        self.recv().map_or(0, |half| half.chunks.iter().map(Bytes::len).sum())
    }

    pub(super) fn wake_all(&mut self, wakers: &mut Vec<Waker>) {
        wakers.extend(self.send_mut().and_then(|half| half.waker.take()));
        wakers.extend(self.recv_mut().and_then(|half| half.waker.take()));
    }
}
