//! The sending end of a lane: frames in, and the bytes of one stream after another out.
//!
//! A lane is one endless sequence of frames, and every byte of it has an offset. A stream carries it
//! from some frame on. Where the connection can outlive its link, what was written is kept until the
//! peer's engine has read it; then a next stream goes on from the first frame that is still kept, and
//! the peer skips what it has.

use std::array::from_fn;
use std::collections::VecDeque;
use std::task::{Context, Poll};

use bytes::{Buf, Bytes, BytesMut};

use super::credit::{CreditError, SendCredit};
use super::frame;
use super::pack::Packer;
use super::packets::PacketBudget;
use crate::error::{Limit, StreamError};
use crate::stream::SendStream;

/// Up to this size a message is copied behind its header, to be one piece; larger ones go
/// uncopied, as a piece of their own.
const COPY_UP_TO: usize = 4 * 1024;
/// Headers and small messages that collect are laid out in blocks, which grow with what has collected,
/// from this size to that.
const MIN_BLOCK: usize = 1024;
const MAX_BLOCK: usize = 16 * 1024;
/// How many pieces are handed to a stream at once.
const AT_ONCE: usize = 8;

/// The sending end of a lane.
#[derive(Debug)]
pub(crate) struct SendLane {
    /// Pieces to write, and behind them the frames that have not been cut off the block.
    queue: VecDeque<Bytes>,
    block: BytesMut,
    /// Bytes in both, and how many there may be before a `send` waits.
    queued: usize,
    max_queued: usize,
    /// What is kept for messages that are not given yet.
    reserved: usize,
    credit: SendCredit,
    packets: PacketBudget,
    packer: Option<Box<Packer>>,
    /// Whether lengths carry a mark.
    marked: bool,
    /// Where the last frame given ends.
    end: u64,
    /// How far any stream was written.
    reached: u64,
    messages: u64,
    kept: Option<Box<Kept>>,
}

/// What may have to be written once more.
#[derive(Debug)]
struct Kept {
    pieces: VecDeque<Bytes>,
    /// Those that are being written.
    in_hand: Vec<Bytes>,
    /// Where the first piece begins: a frame's first byte.
    start: u64,
    /// Where the frames end that the peer is not known to have.
    ends: VecDeque<u64>,
    acknowledged: u64,
}

/// What both sides agreed about a lane.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LaneTerms {
    /// The receiver's window.
    pub(crate) window: u64,
    /// Bytes that may be queued at the sender.
    pub(crate) max_queued: usize,
    /// The offset of the first frame.
    pub(crate) origin: u64,
    /// Whether packed messages are understood, and from which size on they are packed here.
    pub(crate) packing: Option<usize>,
    /// Whether the lane outlives its link.
    pub(crate) keeps: bool,
}

/// How far a lane's messages came, each counted from 1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Progress {
    pub(crate) acknowledged: u64,
    pub(crate) written: u64,
    pub(crate) given: u64,
}

impl SendLane {
    pub(crate) fn new(terms: LaneTerms) -> Self {
        let LaneTerms { window, max_queued, origin, packing, keeps } = terms;
        let kept = || {
            Box::new(Kept {
                pieces: VecDeque::new(),
                in_hand: Vec::new(),
                start: origin,
                ends: VecDeque::new(),
                acknowledged: 0,
            })
        };
        Self {
            queue: VecDeque::new(),
            block: BytesMut::new(),
            queued: 0,
            max_queued,
            reserved: 0,
            credit: SendCredit::new(window),
            packets: PacketBudget::starting_at(origin),
            packer: packing
                .filter(|&threshold| threshold < usize::MAX)
                .map(Packer::new)
                .map(Box::new),
            marked: packing.is_some(),
            end: origin,
            reached: origin,
            messages: 0,
            kept: keeps.then(kept),
        }
    }

    /// Takes a message, if there is credit and room for it.
    #[inline]
    pub(crate) fn try_push(&mut self, message: &Bytes) -> bool {
        let fits = self.has_room() && self.credit.try_take(message.len());
        if fits {
            self.append(message);
        }
        fits
    }

    /// Keeps credit and room for a message of this size, if there is both.
    pub(crate) fn try_reserve(&mut self, size: usize) -> bool {
        let fits = self.has_room() && self.credit.try_take(size);
        if fits {
            self.reserved += size + frame::MAX_HEADER;
        }
        fits
    }

    /// Takes a message for which a place of this size was kept.
    pub(crate) fn push_reserved(&mut self, size: usize, message: &Bytes) {
        self.reserved -= size + frame::MAX_HEADER;
        self.credit.exchange(size, Some(message.len()));
        self.append(message);
    }

    /// Gives a place back.
    pub(crate) fn give_back(&mut self, size: usize) {
        self.reserved -= size + frame::MAX_HEADER;
        self.credit.exchange(size, None);
    }

    /// Whether there is room in the queue; credit depends on the message.
    pub(crate) const fn has_room(&self) -> bool {
        self.queued + self.reserved < self.max_queued
    }

    /// Why a message of this size has to wait: a bound, its value, and what it would have taken.
    pub(crate) fn bound_on(&self, size: usize) -> (Limit, u64, u64) {
        if self.has_room() && !self.credit.fits(size) {
            let (actual, window) = self.credit.with(size);
            return (Limit::ReceiveWindow, window, actual);
        }
        // Who waits for room already comes first.
        let actual = (self.queued + self.reserved + size).max(self.max_queued + 1);
        (Limit::SendQueue, self.max_queued as u64, actual as u64)
    }

    /// Bytes that were given and that no stream has carried yet.
    pub(crate) const fn queued(&self) -> usize {
        self.queued
    }

    /// Whether each message may have its own write.
    pub(crate) const fn is_ample(&self) -> bool {
        self.packets.is_ample()
    }

    /// Where the next stream begins.
    pub(crate) const fn next_offset(&self) -> u64 {
        self.packets.written()
    }

    #[inline]
    fn append(&mut self, message: &Bytes) {
        let packed = self.packer.as_mut().and_then(|packer| packer.pack(message));
        let payload = packed.as_ref().unwrap_or(message);
        let length = payload.len();
        let length = if self.marked { length << 1 | usize::from(packed.is_some()) } else { length };
        let copied = if payload.len() <= COPY_UP_TO { &payload[..] } else { &[] };
        let header = if self.queued == 0 && self.kept.is_none() {
            // It is going to be written at once and forgotten: no block is begun for those that follow.
            let mut alone = Vec::with_capacity(frame::header_of(length) + copied.len());
            let header = frame::put_length(&mut alone, length);
            alone.extend_from_slice(copied);
            self.queue.push_back(alone.into());
            header
        } else {
            let need = frame::MAX_HEADER + copied.len();
            if self.block.capacity() - self.block.len() < need {
                self.cut();
                let size = self.queued.clamp(MIN_BLOCK, MAX_BLOCK).max(need);
                self.block.reserve(size);
                // Another core has read this memory last. Had each message to fetch its part of it, it would
                // wait for that, with the lane locked; many fetches at once take little longer than one.
                self.block.resize(size, 0);
                self.block.clear();
            }
            let header = frame::put_length(&mut self.block, length);
            self.block.extend_from_slice(copied);
            header
        };
        if payload.len() > COPY_UP_TO {
            self.cut();
            self.queue.push_back(payload.clone());
        }
        let size = header + payload.len();
        self.queued += size;
        self.end += size as u64;
        self.messages += 1;
        if let Some(kept) = &mut self.kept {
            kept.ends.push_back(self.end);
        }
    }

    /// Puts the frames of the block into the queue.
    fn cut(&mut self) {
        if !self.block.is_empty() {
            self.queue.push_back(self.block.split().freeze());
        }
    }

    /// Writes what is queued, as far as the stream and the budget have room.
    pub(crate) fn write<S: SendStream>(
        &mut self,
        stream: &mut S,
        cx: &mut Context<'_>,
    ) -> Result<(), StreamError> {
        while self.queued > 0 {
            let count = self.count_within(self.packets.room());
            if count == 0 {
                return Ok(());
            }
            let pieces = &mut self.queue.make_contiguous()[..count];
            let lengths: [_; AT_ONCE] = from_fn(|i| pieces.get(i).map_or(0, Bytes::len));
            if let Some(kept) = &mut self.kept {
                kept.in_hand.clear();
                kept.in_hand.extend_from_slice(pieces);
            }
            match stream.poll_write_chunks(cx, pieces) {
                Poll::Ready(written) => written?,
                Poll::Pending => return Ok(()),
            }
            for (i, length) in lengths.into_iter().enumerate().take(count) {
                let rest = self.queue.front().map_or(0, Bytes::len);
                if rest == 0 {
                    self.queue.pop_front();
                }
                self.on_written(i, length - rest);
                if rest > 0 {
                    break;
                }
            }
        }
        // An idle lane holds no large block.
        if self.block.capacity() > MIN_BLOCK {
            self.block = BytesMut::new();
        }
        Ok(())
    }

    /// How many pieces to write at once: as much as there is room for. The last is cut where that ends.
    fn count_within(&mut self, mut room: usize) -> usize {
        if room == 0 {
            return 0;
        }
        self.cut();
        let most = self.queue.len().min(AT_ONCE);
        for count in 0..most {
            let piece = &mut self.queue[count];
            if room < piece.len() {
                if room == 0 {
                    return count;
                }
                let rest = piece.split_off(room);
                self.queue.insert(count + 1, rest);
                return count + 1;
            }
            room = PacketBudget::room_after(room, piece.len());
        }
        most
    }

    /// So many bytes of this piece, of those that were in hand, were written.
    fn on_written(&mut self, piece: usize, bytes: usize) {
        if bytes == 0 {
            return;
        }
        self.queued -= bytes;
        let offset = self.packets.written();
        self.packets.on_written(bytes);
        self.reached = self.reached.max(self.packets.written());
        if let Some(kept) = &mut self.kept {
            let mut piece = std::mem::take(&mut kept.in_hand[piece]);
            piece.truncate(bytes);
            kept.keep(offset, piece);
        }
    }

    /// The peer's program has taken this much.
    pub(crate) fn on_taken(&mut self, total: u64) -> Result<(), CreditError> {
        self.credit.on_taken(total)
    }

    /// The peer's engine has read up to here.
    pub(crate) fn on_read(&mut self, offset: u64) -> Result<(), CreditError> {
        if offset > self.reached {
            return Err(CreditError::ReadBeyondSent);
        }
        self.packets.on_read(offset);
        if let Some(kept) = &mut self.kept {
            kept.forget(offset);
        }
        Ok(())
    }

    /// The stream is gone: the next one goes on from the first frame that the peer is not known to
    /// have. Without keeping, nothing is left to go on with.
    pub(crate) fn rewind(&mut self) {
        let Some(kept) = &mut self.kept else { return };
        let written = self.packets.written();
        // What the peer has of a former stream need not go once more.
        let mut skip = kept.start.saturating_sub(written) as usize;
        while skip > 0 {
            if self.queue.is_empty() {
                self.cut();
            }
            let Some(piece) = self.queue.front_mut() else { break };
            let part = skip.min(piece.len());
            piece.advance(part);
            if piece.is_empty() {
                self.queue.pop_front();
            }
            (skip, self.queued) = (skip - part, self.queued - part);
        }
        let Some(kept) = &mut self.kept else { return };
        while let Some(piece) = kept.pieces.pop_back() {
            self.queued += piece.len();
            self.queue.push_front(piece);
        }
        self.packets = PacketBudget::starting_at(kept.start);
    }

    /// Messages that the peer is not known to have.
    pub(crate) fn unacknowledged(&self) -> usize {
        self.kept.as_ref().map_or(0, |kept| kept.ends.len())
    }

    /// How far the messages came.
    pub(crate) fn progress(&self) -> Progress {
        let Some(kept) = &self.kept else {
            return Progress { acknowledged: 0, written: self.messages, given: self.messages };
        };
        // The first frame that ends past what was reached may have been begun.
        let whole = kept.ends.partition_point(|&end| end <= self.reached);
        let begins = if whole == 0 { kept.start } else { kept.ends[whole - 1] };
        let begun = usize::from(whole < kept.ends.len() && begins < self.reached);
        Progress {
            acknowledged: kept.acknowledged,
            written: kept.acknowledged + (whole + begun) as u64,
            given: self.messages,
        }
    }
}

impl Kept {
    /// Keeps what was written at `offset`, unless the peer has it.
    fn keep(&mut self, offset: u64, mut piece: Bytes) {
        let known = self.start.saturating_sub(offset) as usize;
        if known < piece.len() {
            piece.advance(known);
            self.pieces.push_back(piece);
        }
    }

    /// The peer has everything up to here; what it has of a frame in part does not count.
    fn forget(&mut self, offset: u64) {
        let start = self.start;
        while let Some(&end) = self.ends.front().filter(|&&end| end <= offset) {
            self.start = end;
            self.acknowledged += 1;
            self.ends.pop_front();
        }
        let mut rest = (self.start - start) as usize;
        while let Some(piece) = self.pieces.front_mut().filter(|_| rest > 0) {
            let part = rest.min(piece.len());
            piece.advance(part);
            if piece.is_empty() {
                self.pieces.pop_front();
            }
            rest -= part;
        }
    }
}
