//! Streams: ordered, reliable, with flow control.
//!
//! The packets of a stream are counted, and the receiving end keeps those that come early until the
//! one before has come. So a lost packet holds up its own stream, and no other (head-of-line blocking
//! as in QUIC). What is kept is bounded by the window: a writer is never further ahead of the reader.
//!
//! The ends of all streams lie in one place, and whoever uses one knows where: handles, and packets on
//! their way. In a network of thousands of hosts nothing that is needed is in a cache; what can be
//! fetched at once, without a look at something else before, costs the time of one fetch.

use std::task::Waker;

use bytes::Bytes;

use super::chunks::Chunks;
use super::{ConnId, Direction, Side, StreamId};
pub(super) use halves::{RecvHalf, SendHalf};

mod halves;

/// Bytes that a stream's writer may be ahead of its reader.
pub(super) const STREAM_WINDOW: u64 = 1 << 20;

/// Nowhere, or not known.
pub(super) const NOWHERE: u32 = u32::MAX;

/// One end of a stream, and where it lies.
#[derive(Clone, Copy, Debug)]
pub(crate) struct StreamAt {
    pub(crate) conn: ConnId,
    pub(crate) side: Side,
    pub(crate) stream: StreamId,
    pub(super) slot: u32,
}

/// The ends of all streams, in reusable slots. Those of one end of a connection are a chain, the newest
/// first.
#[derive(Debug)]
pub(super) struct Streams {
    slots: Chunks<Stream>,
    /// The first of the free slots, which are a chain too.
    free: u32,
}

impl Default for Streams {
    fn default() -> Self {
        Self { slots: Chunks::default(), free: NOWHERE }
    }
}

impl Streams {
    /// Whether this is there still, and not another stream in its slot.
    pub(super) fn get(&self, at: StreamAt) -> Option<&Stream> {
        self.slots.get(at.slot as usize).filter(|stream| stream.is(at))
    }

    pub(super) fn get_mut(&mut self, at: StreamAt) -> Option<&mut Stream> {
        self.slots.get_mut(at.slot as usize).filter(|stream| stream.is(at))
    }

    pub(super) fn send_mut(&mut self, at: StreamAt) -> Option<&mut SendHalf> {
        self.get_mut(at)?.send_mut()
    }

    pub(super) fn recv_mut(&mut self, at: StreamAt) -> Option<&mut RecvHalf> {
        self.get_mut(at)?.recv_mut()
    }

    /// Puts a stream at the head of a chain.
    pub(super) fn insert(&mut self, first: &mut u32, mut stream: Stream) -> u32 {
        let slot = self.free;
        stream.next = std::mem::replace(first, slot);
        match self.slots.get_mut(slot as usize) {
            Some(place) => {
                self.free = place.next;
                *place = stream;
            }
            None => *first = self.slots.push(stream) as u32,
        }
        *first
    }

    /// Takes a stream out of its chain.
    pub(super) fn remove(&mut self, first: &mut u32, slot: u32) {
        let next = self.next(slot);
        if *first == slot {
            *first = next;
        } else {
            let before = self.chain(*first).find(|&before| self.next(before) == slot);
            if let Some(before) = before.and_then(|before| self.at_mut(before)) {
                before.next = next;
            }
        }
        self.free(slot);
    }

    /// Forgets a whole chain.
    pub(super) fn remove_all(&mut self, first: &mut u32) {
        let mut slot = std::mem::replace(first, NOWHERE);
        while slot != NOWHERE {
            let next = self.next(slot);
            self.free(slot);
            slot = next;
        }
    }

    fn free(&mut self, slot: u32) {
        let next = self.free;
        if let Some(place) = self.at_mut(slot) {
            *place = Stream::free(next);
            self.free = slot;
        }
    }

    fn next(&self, slot: u32) -> u32 {
        self.at(slot).map_or(NOWHERE, |stream| stream.next)
    }

    /// The slots of a chain.
    pub(super) fn chain(&self, first: u32) -> impl Iterator<Item = u32> {
        let valid = |slot: u32| Some(slot).filter(|slot| *slot != NOWHERE);
        std::iter::successors(valid(first), move |&slot| valid(self.next(slot)))
    }

    /// Where the stream of this number is in a chain.
    pub(super) fn find(&self, first: u32, stream: StreamId) -> Option<u32> {
        self.chain(first).find(|&slot| self.at(slot).is_some_and(|known| known.id == stream))
    }

    /// The slots of a chain, in the order of the streams' numbers.
    pub(super) fn in_order(&self, first: u32) -> Vec<u32> {
        let mut slots: Vec<_> = self.chain(first).collect();
        slots.sort_unstable_by_key(|&slot| self.at(slot).map(|stream| stream.id));
        slots
    }

    pub(super) fn at(&self, slot: u32) -> Option<&Stream> {
        self.slots.get(slot as usize)
    }

    pub(super) fn at_mut(&mut self, slot: u32) -> Option<&mut Stream> {
        self.slots.get_mut(slot as usize)
    }
}

/// One end of a stream: its halves there. Two lines of a cache, of which no other has a part.
#[derive(Debug)]
#[repr(align(64))]
pub(super) struct Stream {
    conn: ConnId,
    pub(super) id: StreamId,
    side: Side,
    /// The connection's end is over.
    pub(super) closed: bool,
    /// How many of the halves are in somebody's hands, or will be when they are accepted.
    pub(super) held: u8,
    /// Both halves of a stream of the other side are over, and it may open another.
    pub(super) given_back: bool,
    /// The link to the other side, and the one back.
    pub(super) links: [u32; 2],
    /// The slot of the other end, as far as is known.
    pub(super) peer: u32,
    next: u32,
    halves: Halves,
}

/// Most streams go one way, and have one.
#[derive(Debug)]
enum Halves {
    None,
    Send(SendHalf),
    Recv(RecvHalf),
    Both(Box<(SendHalf, RecvHalf)>),
}

impl Stream {
    pub(super) fn opened(conn: ConnId, side: Side, id: StreamId, links: [u32; 2]) -> Self {
        Self::new(conn, side, id, links, || Halves::Send(SendHalf::new()))
    }

    pub(super) fn accepted(conn: ConnId, side: Side, id: StreamId, links: [u32; 2]) -> Self {
        Self::new(conn, side, id, links, || Halves::Recv(RecvHalf::default()))
    }

    fn new(
        conn: ConnId,
        side: Side,
        id: StreamId,
        links: [u32; 2],
        one_way: impl FnOnce() -> Halves,
    ) -> Self {
        let direction = id.direction();
        let halves = match direction {
            Direction::Uni => one_way(),
            Direction::Bi => Halves::Both(Box::new((SendHalf::new(), RecvHalf::default()))),
        };
        Self {
            conn,
            id,
            side,
            closed: false,
            held: 1 + direction as u8,
            given_back: false,
            links,
            peer: NOWHERE,
            next: NOWHERE,
            halves,
        }
    }

    /// What a free slot has.
    const fn free(next: u32) -> Self {
        Self {
            conn: ConnId::NONE,
            id: StreamId::NONE,
            side: Side::Dialler,
            closed: true,
            held: 0,
            given_back: true,
            links: [0; 2],
            peer: NOWHERE,
            next,
            halves: Halves::None,
        }
    }

    fn is(&self, at: StreamAt) -> bool {
        self.id == at.stream && self.conn == at.conn && self.side == at.side
    }

    pub(super) const fn send(&self) -> Option<&SendHalf> {
        match &self.halves {
            Halves::Send(send) => Some(send),
            Halves::None | Halves::Recv(_) => None,
            Halves::Both(both) => Some(&both.0),
        }
    }

    const fn recv(&self) -> Option<&RecvHalf> {
        match &self.halves {
            Halves::None | Halves::Send(_) => None,
            Halves::Recv(recv) => Some(recv),
            Halves::Both(both) => Some(&both.1),
        }
    }

    pub(super) const fn send_mut(&mut self) -> Option<&mut SendHalf> {
        match &mut self.halves {
            Halves::Send(send) => Some(send),
            Halves::None | Halves::Recv(_) => None,
            Halves::Both(both) => Some(&mut both.0),
        }
    }

    pub(super) const fn recv_mut(&mut self) -> Option<&mut RecvHalf> {
        match &mut self.halves {
            Halves::None | Halves::Send(_) => None,
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_end_of_a_stream_takes_two_lines_of_a_cache() {
        assert_eq!(size_of::<Stream>(), 128);
    }

    #[test]
    fn slots_are_used_again_and_chains_stay_apart() {
        let mut streams = Streams::default();
        let conn = ConnId { slot: 1, generation: 0 };
        let stream = |count| {
            let id = StreamId::new(Side::Dialler, Direction::Uni, count);
            Stream::opened(conn, Side::Dialler, id, [0, 1])
        };
        let (mut one, mut other) = (NOWHERE, NOWHERE);
        let slots: Vec<_> = (0..3).map(|count| streams.insert(&mut one, stream(count))).collect();
        streams.insert(&mut other, stream(9));
        streams.remove(&mut one, slots[1]);
        let left = |streams: &Streams, first| {
            let slots = streams.in_order(first).into_iter();
            slots.filter_map(|slot| Some(streams.at(slot)?.id.count())).collect::<Vec<_>>()
        };
        assert_eq!((left(&streams, one), left(&streams, other)), (vec![0, 2], vec![9]));
        assert_eq!(streams.insert(&mut other, stream(7)), slots[1], "the free slot is used again");
        streams.remove_all(&mut one);
        assert_eq!((left(&streams, one), left(&streams, other)), (vec![], vec![7, 9]));
        let gone = StreamAt {
            conn,
            side: Side::Dialler,
            stream: StreamId::new(Side::Dialler, Direction::Uni, 0),
            slot: slots[0],
        };
        assert!(streams.get(gone).is_none(), "who knows an old place finds nothing there");
    }
}
