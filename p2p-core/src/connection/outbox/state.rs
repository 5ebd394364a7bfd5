//! What an outbox knows of its lanes, under its lock.
//!
//! Load is, besides a lane's [budget](crate::engine::packets), [`OWN_WRITES`] messages in a row without
//! the task having had its turn: a sender that does not wait for anything. Each write costs several
//! times what a message costs that goes with others, and wakes the transport's driver. A turn in which
//! nothing had collected shows that there was no load; then the next comes [`CALM`] times later, for each
//! costs a message that is waited for some microseconds.

use std::task::{Context, Waker};

use super::PushError;
use crate::close::CloseReason;
use crate::engine::send_lane::{LaneTerms, SendLane};
use crate::engine::standby::Way;
use crate::error::StreamError;
use crate::priority::Priority;
use crate::stream::SendStream;

/// So many messages, or so many bytes, have writes of their own before the connection's task is to have
/// a turn: the last of them wakes it, and further ones collect until then.
const OWN_WRITES: u32 = 16;
const OWN_BYTES: usize = 8 * 1024;
const CALM: u8 = 16;

/// In this order, so that what each message needs lies together: with thousands of connections, each line
/// of memory that a message touches costs as much as all that is done for it.
#[derive(Debug)]
#[repr(C)]
pub(super) struct State<S> {
    /// Made when they are first wanted: most connections use one.
    pub(super) lanes: [Option<Box<Lane<S>>>; Priority::COUNT],
    /// The link that the lanes go over.
    pub(super) way: Way,
    /// There is one.
    pub(super) attached: bool,
    /// The standby stands for the main link.
    pub(super) switched: bool,
    /// Somebody wants to know when more are given.
    pub(super) watched: bool,
    pub(super) delivered: bool,
    pub(super) ended: bool,
    /// 1, or [`CALM`] if nothing had collected when the last turn was due.
    calm: u8,
    /// Messages that were written within their `send` since the task had its turn, and their bytes.
    own_writes: u32,
    own_bytes: usize,
    /// Messages given.
    pub(super) given: u64,
    /// This side closes: nothing is queued any more.
    pub(super) closing: Option<Box<CloseReason>>,
    pub(super) failed: Option<Box<StreamError>>,
    /// The parts of the connection's task that write, when they wait, by [`Way`].
    pub(super) writers: [Option<Waker>; 2],
    /// How often the link that the lanes go over has changed.
    pub(super) turn: u64,
    /// The parts that open streams, when they wait.
    pub(super) openers: [Option<Waker>; 2],
}

#[derive(Debug)]
#[repr(C)]
pub(super) struct Lane<S> {
    pub(super) stream: Option<S>,
    pub(super) out: SendLane,
    pub(super) sender: Option<Waker>,
    /// Something is to be written, and there is no stream yet.
    pub(super) wanted: bool,
    /// The stream on the other link, for what is on its way there.
    pub(super) former: Option<S>,
}

impl<S: SendStream> State<S> {
    pub(super) fn new() -> Self {
        Self {
            lanes: [const { None }; Priority::COUNT],
            way: Way::Main,
            attached: true,
            switched: false,
            watched: false,
            delivered: false,
            ended: false,
            calm: 1,
            own_writes: 0,
            own_bytes: 0,
            given: 0,
            closing: None,
            failed: None,
            writers: [None, None],
            turn: 0,
            openers: [None, None],
        }
    }

    /// The lane, which is made if it was not there.
    pub(super) fn lane(&mut self, lane: usize, terms: LaneTerms) -> &mut Lane<S> {
        self.lanes[lane].get_or_insert_with(|| {
            let out = SendLane::new(terms);
            Box::new(Lane { out, stream: None, former: None, wanted: false, sender: None })
        })
    }

    /// The lanes that were made, the most urgent first.
    pub(super) fn made(&self) -> impl Iterator<Item = &Lane<S>> {
        self.lanes.iter().flatten().map(Box::as_ref)
    }

    pub(super) fn made_mut(&mut self) -> impl Iterator<Item = &mut Lane<S>> {
        self.lanes.iter_mut().flatten().map(Box::as_mut)
    }

    pub(super) fn take_writer(&mut self) -> Option<Waker> {
        self.writers[self.way as usize].take()
    }

    /// Lets the lanes go over this link. What is on its way on the other may still arrive: its streams
    /// live on until the next turn. Returns those of the turn before, and whom to wake.
    pub(super) fn turn_to(&mut self, way: Way) -> (Vec<S>, [Option<Waker>; 2]) {
        self.way = way;
        self.turn += 1;
        self.attached = true;
        self.failed = None;
        let mut gone = Vec::new();
        for lane in self.lanes.iter_mut().flatten() {
            gone.extend(std::mem::replace(&mut lane.former, lane.stream.take()));
            lane.out.rewind();
            lane.wanted |= lane.out.queued() > 0;
        }
        (gone, [self.take_writer(), self.openers[way as usize].take()])
    }

    /// Why no message is taken, if so.
    pub(super) fn takes_no_more(&self) -> Option<PushError> {
        match &self.closing {
            Some(reason) => Some(PushError::Closing(CloseReason::clone(reason))),
            None => self.ended.then_some(PushError::Ended),
        }
    }

    pub(super) fn take_senders(&mut self) -> Vec<Waker> {
        self.made_mut().filter_map(|lane| lane.sender.take()).collect()
    }

    /// Writes at once if the lane is not under load; otherwise returns the task to wake for it. A
    /// task that does not wait will look by itself.
    #[inline]
    pub(super) fn write_soon(&mut self, lane: usize) -> Option<Waker> {
        let Lane { out, stream, wanted, .. } = self.lanes[lane].as_deref_mut()?;
        let Some(stream) = stream else {
            *wanted = true;
            return if self.attached { self.openers[self.way as usize].take() } else { None };
        };
        let writer = self.writers[self.way as usize].take()?;
        if self.failed.is_none() && out.is_ample() {
            self.own_writes += 1;
            self.own_bytes += out.queued();
            match out.write(stream, &mut Context::from_waker(&writer)) {
                Ok(()) if !self.is_turn_due() => {
                    self.writers[self.way as usize] = Some(writer);
                    return None;
                }
                Ok(()) => {}
                Err(error) => self.failed = Some(Box::new(error)),
            }
        }
        Some(writer)
    }

    /// Writes what is queued, the most urgent first, as far as the transport and the budgets have
    /// room.
    pub(super) fn write(&mut self, cx: &mut Context<'_>) -> Result<(), StreamError> {
        if let Some(error) = &self.failed {
            return Err(StreamError::clone(error));
        }
        for Lane { out, stream, .. } in self.lanes.iter_mut().flatten().map(Box::as_mut) {
            let Some(stream) = stream else { continue };
            if let Err(error) = out.write(stream, cx) {
                self.failed = Some(Box::new(error.clone()));
                return Err(error);
            }
        }
        Ok(())
    }

    /// The connection's task has its turn.
    pub(super) fn begin_turn(&mut self) {
        if !self.is_written() {
            self.calm = 1;
        } else if self.is_turn_due() {
            self.calm = CALM;
        }
        (self.own_writes, self.own_bytes) = (0, 0);
    }

    /// Whether so much was written within `send`s that the task is to have its turn.
    fn is_turn_due(&self) -> bool {
        self.own_writes >= OWN_WRITES * u32::from(self.calm)
            || self.own_bytes >= OWN_BYTES * usize::from(self.calm)
    }

    pub(super) fn is_written(&self) -> bool {
        self.made().all(|lane| lane.out.queued() == 0)
    }
}
