//! The receiving end of a lane: chunks of one stream after another in, messages out, each once.

use std::collections::VecDeque;

use bytes::Bytes;
use thiserror::Error;

use super::credit::{CreditError, RecvCredit};
use super::frame::{FrameDecoder, FrameTooLarge};
use super::pack::{self, UnpackError};
use super::packets::ReadMeter;
use super::standby::Way;
use crate::priority::Priority;

/// The receiving end of a lane.
#[derive(Debug)]
pub(crate) struct RecvLane {
    queue: VecDeque<Bytes>,
    /// Where the last frame ends that has come.
    end: u64,
    max_message_size: usize,
    credit: RecvCredit,
    /// Of the last stream on each link.
    meters: [ReadMeter; 2],
}

/// A stream's part of a lane, from some frame on.
#[derive(Debug)]
pub(crate) struct Carried {
    decoder: FrameDecoder,
    way: Way,
}

/// What a peer must not do on a lane.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub(crate) enum LaneError {
    #[error(transparent)]
    Credit(#[from] CreditError),
    #[error(transparent)]
    Frame(#[from] FrameTooLarge),
    #[error(transparent)]
    Unpack(#[from] UnpackError),
    #[error("a second stream for the {lane} lane")]
    Again { lane: Priority },
    #[error("a lane's stream begins at offset {begins}, where {end} bytes have come")]
    Gap { begins: u64, end: u64 },
    #[error("a stream for the {lane} lane, which was not agreed")]
    NotAgreed { lane: Priority },
}

impl Carried {
    /// Whether the stream may end here: not in the middle of a frame.
    pub(crate) fn is_between_frames(&self) -> bool {
        self.decoder.is_between_frames()
    }
}

impl RecvLane {
    /// With the window that was announced to the peer; the first frame is at `origin`.
    pub(crate) fn new(window: u64, max_message_size: usize, origin: u64) -> Self {
        Self {
            queue: VecDeque::new(),
            end: origin,
            max_message_size,
            credit: RecvCredit::new(window),
            meters: [ReadMeter::starting_at(origin), ReadMeter::starting_at(origin)],
        }
    }

    /// A stream on this link begins to carry the lane at `offset`.
    pub(crate) fn carry(
        &mut self,
        way: Way,
        offset: u64,
        marked: bool,
    ) -> Result<Carried, LaneError> {
        if offset > self.end {
            return Err(LaneError::Gap { begins: offset, end: self.end });
        }
        self.meters[way as usize] = ReadMeter::starting_at(offset);
        let decoder = FrameDecoder::marked(self.max_message_size, marked, offset);
        Ok(Carried { decoder, way })
    }

    /// Takes a chunk apart, up to the first failure. Frames that have come before are skipped.
    #[inline]
    pub(crate) fn take_in(&mut self, carried: &mut Carried, chunk: Bytes) -> Result<(), LaneError> {
        let (decoder, meter) = (&mut carried.decoder, &mut self.meters[carried.way as usize]);
        meter.on_bytes(chunk.len());
        decoder.push(chunk);
        while let Some(frame) = decoder.next()? {
            meter.on_message();
            if decoder.offset() <= self.end {
                continue;
            }
            let message = if frame.mark {
                pack::unpack(frame.payload, self.max_message_size)?
            } else {
                frame.payload
            };
            self.credit.on_received(message.len())?;
            self.end = decoder.offset();
            self.queue.push_back(message);
        }
        Ok(())
    }

    /// Whether no message waits.
    pub(crate) fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// The program takes the next message.
    #[inline]
    pub(crate) fn pop(&mut self) -> Option<Bytes> {
        let message = self.queue.pop_front()?;
        self.credit.on_taken(message.len());
        Some(message)
    }

    /// Whether a report is due.
    #[inline]
    pub(crate) fn is_due(&self) -> bool {
        self.meters.iter().any(ReadMeter::is_due) || self.credit.is_due()
    }

    /// How far the engine has read, if it is time to say so, or at once.
    pub(crate) fn read_report(&mut self, at_once: bool) -> Option<u64> {
        let due = |meter: &ReadMeter| meter.is_due() || at_once && meter.has_news();
        self.meters.iter().any(due).then(|| self.read_now())
    }

    /// How far any stream was read. What came over one link need not come over the other.
    fn read_now(&mut self) -> u64 {
        let [main, standby] = &mut self.meters;
        main.report_now().max(standby.report_now())
    }

    /// How much the program has taken, if it is time to say so.
    pub(crate) fn taken_report(&mut self) -> Option<u64> {
        self.credit.report()
    }

    /// What to report, due or not: how far any stream was read, and how much the program has taken.
    pub(crate) fn report_all(&mut self) -> (u64, u64) {
        (self.read_now().max(self.end), self.credit.report_now())
    }

    /// For a peer that may have a new link: up to where frames have come, and how much the program has
    /// taken. It may never hear of it: what is due is due still.
    pub(crate) const fn standing(&self) -> (u64, u64) {
        (self.end, self.credit.taken())
    }
}
