//! Messages that have arrived, and the lanes on which further ones come.
//!
//! Whoever receives reads the lanes itself. A task in between would be one more to wake for every
//! message: on loopback that doubled the round trip whenever it ended up on another thread. While
//! nobody receives, what comes stays in the transport; the peer's count of
//! [`packets`](crate::engine::packets) keeps that within what the transport bears.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker, ready};

use bytes::Bytes;

use super::counters::Counters;
use super::pump::PumpError;
use super::turns::Turns;
use super::watch::Watch;
use crate::engine::control::ControlFrame;
use crate::engine::recv_lane::{Carried, LaneError, RecvLane};
use crate::engine::standby::Way;
use crate::error::StreamError;
use crate::priority::Priority;
use crate::provider::Message;
use crate::stream::RecvStream;

/// How many chunks are asked of the transport at once: each is the content of a packet, or less.
pub(crate) const READ_CHUNKS: usize = 8;
const LANES: usize = Priority::COUNT;
/// Places for streams that are read: for each lane the last one on each link, by [`Way`]. Only within a
/// link is it known which came last.
const PLACES: usize = 2 * LANES;

/// Received messages.
#[derive(Debug)]
pub(super) struct Inbox<R> {
    state: Mutex<State<R>>,
    /// Whose turn it is reads.
    readers: Turns<Readers<R>>,
    new_lane: NewLane,
    /// Whether lengths carry a mark.
    marked: bool,
    /// Whether a lane's stream may be replaced while its link lives: where there may be a standby.
    replaceable: bool,
    watch: Arc<Watch>,
    counters: Arc<Counters>,
}

/// In this order, so that what each message needs lies together, as in the outbox.
#[derive(Debug)]
#[repr(C)]
struct State<R> {
    /// Made when the first stream of each comes: most connections use one.
    lanes: [Option<Box<RecvLane>>; LANES],
    /// Lanes that have a message; those that a stream has ever carried; and places for which a stream
    /// has arrived: so that a look at all of them is one at none of them.
    waiting: PlaceSet,
    used: PlaceSet,
    new: PlaceSet,
    /// Somebody wants to know when more bytes come.
    watched: bool,
    /// No further streams come on the main link.
    complete: bool,
    /// There is a standby, on which streams may come.
    standby: bool,
    /// The link on which the peer hears how far was read.
    report_on: Way,
    /// The peer is to hear at once how far was read.
    report_at_once: bool,
    receiver: Option<Waker>,
    /// Which links are the present ones, by [`Way`], counted from 0: what an earlier one brings is
    /// too late.
    links: [u64; 2],
    /// Bytes that have come, by [`Way`].
    heard: [u64; 2],
    /// By [`Way`].
    reporters: [Option<Waker>; 2],
    /// The lanes that have had their stream on the main link.
    carried: [bool; LANES],
    /// Streams that nobody reads yet.
    arrived: [Option<Box<Source<R>>>; PLACES],
    /// What the peer is to hear before anything else.
    reports: VecDeque<ControlFrame>,
}

/// What a lane begins with.
#[derive(Clone, Copy, Debug)]
struct NewLane {
    window: u64,
    max_message_size: usize,
    origin: u64,
}

/// The streams that are read, by [`Priority::index`].
#[derive(Debug)]
struct Readers<R> {
    lanes: [Option<Box<Source<R>>>; PLACES],
    /// Which of them are there.
    reading: PlaceSet,
    links: [u64; 2],
    failed: bool,
}

/// A stream that carries a lane from some offset on.
#[derive(Debug)]
#[repr(C)]
struct Source<R> {
    stream: R,
    carried: Carried,
    way: Way,
    /// What came with the stream's first bytes.
    first: Option<Bytes>,
}

impl<R: RecvStream> Inbox<R> {
    /// With the window that was announced to the peer for each lane, the largest message agreed, and
    /// the offset of the first frame.
    pub(super) fn new(
        window: u64,
        max_message_size: usize,
        origin: u64,
        marked: bool,
        replaceable: bool,
        watch: Arc<Watch>,
        counters: Arc<Counters>,
    ) -> Self {
        let state = State {
            lanes: [const { None }; LANES],
            waiting: PlaceSet::default(),
            used: PlaceSet::default(),
            new: PlaceSet::default(),
            arrived: Default::default(),
            links: [0; 2],
            carried: [false; LANES],
            complete: false,
            standby: false,
            receiver: None,
            reporters: [None, None],
            report_on: Way::Main,
            report_at_once: false,
            reports: VecDeque::new(),
            heard: [0; 2],
            watched: false,
        };
        let readers = Readers {
            lanes: Default::default(),
            reading: PlaceSet::default(),
            links: [0; 2],
            failed: false,
        };
        let new_lane = NewLane { window, max_message_size, origin };
        let (state, readers) = (Mutex::new(state), Turns::new(readers));
        Self { state, readers, new_lane, marked, replaceable, watch, counters }
    }

    fn state(&self) -> MutexGuard<'_, State<R>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A stream carries a lane from `offset` on; `first` came with what said so.
    pub(super) fn add(
        &self,
        way: Way,
        lane: Priority,
        offset: u64,
        stream: R,
        first: Bytes,
    ) -> Result<(), LaneError> {
        let receiver = {
            let mut state = self.state();
            let again = std::mem::replace(&mut state.carried[lane.index()], true);
            if again && !self.replaceable {
                return Err(LaneError::Again { lane });
            }
            let carried =
                state.lane(lane.index(), self.new_lane).carry(way, offset, self.marked)?;
            // Without a byte, it would only keep a receive buffer alive.
            let first = (!first.is_empty()).then_some(first);
            let place = way as usize * LANES + lane.index();
            state.arrived[place] = Some(Box::new(Source { stream, way, carried, first }));
            state.new.insert(place);
            state.used.insert(lane.index());
            state.receiver.take()
        };
        receiver.into_iter().for_each(Waker::wake);
        Ok(())
    }

    /// Whether no lane has come: a peer that has a connection opens one at once.
    pub(super) fn is_untouched(&self) -> bool {
        self.state().used.is_empty()
    }

    /// No further streams come: those that are there are all.
    pub(super) fn complete(&self) {
        let receiver = {
            let mut state = self.state();
            state.complete = true;
            state.receiver.take()
        };
        receiver.into_iter().for_each(Waker::wake);
    }

    /// The connection has ended.
    pub(super) fn end(&self) {
        self.state().standby = false;
        self.complete();
    }

    /// The link is lost: what it still holds comes again on the next one.
    pub(super) fn detach(&self) {
        let receiver = {
            let mut state = self.state();
            state.links[Way::Main as usize] += 1;
            state.carried = [false; LANES];
            state.complete = false;
            state.reporters[Way::Main as usize] = None;
            state.receiver.take()
        };
        self.let_go(Way::Main);
        receiver.into_iter().for_each(Waker::wake);
    }

    /// There is a standby now, or not any more.
    pub(super) fn set_standby(&self, there: bool) {
        let receiver = {
            let mut state = self.state();
            state.standby = there;
            state.links[Way::Standby as usize] += 1;
            state.reporters[Way::Standby as usize] = None;
            state.receiver.take()
        };
        self.let_go(Way::Standby);
        receiver.into_iter().for_each(Waker::wake);
    }

    /// Drops the streams of a link that is not there any more: each may keep alive all that the transport
    /// holds for it, and nobody may receive for long.
    fn let_go(&self, way: Way) {
        let mut readers = self.readers.value();
        let mut state = self.state();
        let arrived = state.forsake(way);
        readers.take_over(&mut state);
        drop((state, readers));
        drop(arrived);
    }

    /// The peer hears on this link from now on how far was read, and at once what it may have missed.
    pub(super) fn report_on(&self, way: Way) {
        let reporter = {
            let mut state = self.state();
            if state.report_on == way {
                return;
            }
            state.report_on = way;
            state.reports.clear();
            for priority in Priority::ALL {
                if let Some(lane) = &mut state.lanes[priority.index()] {
                    let (read, taken) = lane.report_all();
                    state.reports.push_back(ControlFrame::Read(priority, read));
                    state.reports.push_back(ControlFrame::Taken(priority, taken));
                }
            }
            state.reporters[way as usize].take()
        };
        reporter.into_iter().for_each(Waker::wake);
    }

    /// Where the lanes stand, for the peer to go on from.
    pub(super) fn standing(&self) -> [(u64, u64); LANES] {
        let origin = self.new_lane.origin;
        let standing = |lane: &Option<Box<RecvLane>>| {
            lane.as_ref().map_or((origin, 0), |lane| lane.standing())
        };
        self.state().lanes.each_ref().map(standing)
    }

    /// The next message, if it is there, nobody waits for one, and no other lane could have a more
    /// urgent one: then it takes no turn.
    #[inline]
    pub(super) fn try_recv(&self) -> Option<Message> {
        if !self.readers.is_free() {
            return None;
        }
        self.state().pop_alone(&self.counters)
    }

    /// The next message of the highest priority, or `None` after the last. After a violation, the
    /// messages before it can still be received. Cancel safe.
    pub(super) async fn recv(&self) -> Result<Option<Message>, PumpError> {
        let turn = self.readers.take().await;
        poll_fn(|cx| self.poll_recv(&mut turn.value(), cx)).await
    }

    fn poll_recv(
        &self,
        readers: &mut Readers<R>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Option<Message>, PumpError>> {
        loop {
            let waiting = {
                let mut state = self.state();
                readers.take_over(&mut state);
                state.waiting.first()
            };
            // Lanes above the one that has a message may have one as well.
            let mut brought = false;
            let wanted = |place: &usize| waiting.is_none_or(|lane| place % LANES < lane);
            for place in readers.reading.iter().filter(wanted) {
                match self.poll_place(readers, place, cx) {
                    Poll::Ready(Ok(())) => brought = true,
                    Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                    Poll::Pending => {}
                }
            }
            let mut state = self.state();
            if let Some(message) = state.pop(&self.counters) {
                return Poll::Ready(Ok(Some(message)));
            }
            // Who takes no turn may have taken the message because of which lanes were not read.
            let skipped = waiting.is_some();
            if brought || skipped || readers.links != state.links || !state.new.is_empty() {
                continue;
            }
            let complete = state.complete && !state.standby;
            if readers.failed || complete && readers.reading.is_empty() {
                return Poll::Ready(Ok(None));
            }
            state.receiver = Some(cx.waker().clone());
            return Poll::Pending;
        }
    }

    /// Reads a stream once. Ready when that brought anything, be it the stream's end.
    fn poll_place(
        &self,
        readers: &mut Readers<R>,
        place: usize,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), PumpError>> {
        let Some(source) = readers.lanes[place].as_mut().filter(|_| !readers.failed) else {
            return Poll::Pending;
        };
        let (lane, way) = (place % LANES, source.way as usize);
        let mut chunks = [const { Bytes::new() }; READ_CHUNKS];
        let read = match source.first.take() {
            Some(first) => {
                chunks[0] = first;
                Ok(1)
            }
            None => ready!(source.stream.poll_read_chunks(cx, &mut chunks)),
        };
        let mut wake = false;
        let failure = match read {
            Ok(read @ 1..) => {
                let mut state = self.state();
                state.heard[way] += chunks.iter().map(|chunk| chunk.len() as u64).sum::<u64>();
                wake = std::mem::take(&mut state.watched);
                // What a former link brings now was counted as not arrived.
                // So was what a stream brings that another has replaced.
                if state.links[way] == readers.links[way] && !state.new.contains(place) {
                    let to = state.lane(lane, self.new_lane);
                    let taken = chunks
                        .into_iter()
                        .take(read)
                        .try_for_each(|chunk| to.take_in(&mut source.carried, chunk));
                    if !to.is_empty() {
                        state.waiting.insert(lane);
                    }
                    state.wake_reporter_when_due(lane);
                    taken.err().map(PumpError::from)
                } else {
                    None
                }
            }
            Ok(0) => {
                let whole = self.replaceable || source.carried.is_between_frames();
                readers.end(place);
                (!whole).then(|| PumpError::Violation("a lane ended inside a message".into()))
            }
            // The link has ended, and the lane with it.
            Err(StreamError::Closed(_)) => {
                readers.end(place);
                None
            }
            // Another stream goes on with the lane, or will.
            Err(StreamError::Reset { .. }) if self.replaceable => {
                readers.end(place);
                None
            }
            Err(error) => Some(error.into()),
        };
        if wake {
            self.watch.wake();
        }
        Poll::Ready(match failure {
            Some(error) => {
                readers.failed = true;
                Err(error)
            }
            None => Ok(()),
        })
    }

    /// Wakes the watch when more comes.
    pub(super) fn watch(&self) {
        self.state().watched = true;
    }

    /// Whether the watch is to be woken.
    pub(super) fn take_watched(&self) -> bool {
        std::mem::take(&mut self.state().watched)
    }

    /// Bytes that have come on all lanes over a link.
    pub(super) fn heard(&self, way: Way) -> u64 {
        self.state().heard[way as usize]
    }

    /// Has what was read reported at once, due or not.
    pub(super) fn report_at_once(&self) {
        let reporter = {
            let mut state = self.state();
            state.report_at_once = true;
            state.take_reporter()
        };
        reporter.into_iter().for_each(Waker::wake);
    }

    /// Waits until the peer is to hear on this link how much was read or taken.
    pub(super) async fn report(&self, way: Way) -> ControlFrame {
        poll_fn(|cx| {
            let mut state = self.state();
            if state.report_on != way {
                state.reporters[way as usize] = Some(cx.waker().clone());
                return Poll::Pending;
            }
            if let Some(report) = state.reports.pop_front() {
                return Poll::Ready(report);
            }
            let at_once = state.report_at_once;
            for priority in Priority::ALL {
                let Some(lane) = &mut state.lanes[priority.index()] else { continue };
                if let Some(offset) = lane.read_report(at_once) {
                    return Poll::Ready(ControlFrame::Read(priority, offset));
                }
                if let Some(total) = lane.taken_report() {
                    return Poll::Ready(ControlFrame::Taken(priority, total));
                }
            }
            state.report_at_once = false;
            state.reporters[way as usize] = Some(cx.waker().clone());
            Poll::Pending
        })
        .await
    }
}

impl<R> Readers<R> {
    /// Takes the streams that have arrived in the meantime, and lets go of those of a former link.
    fn take_over(&mut self, state: &mut State<R>) {
        if self.links != state.links {
            for place in self.reading.iter() {
                let gone = |source: &Source<R>| {
                    self.links[source.way as usize] != state.links[source.way as usize]
                };
                if self.lanes[place].as_deref().is_some_and(gone) {
                    self.end(place);
                }
            }
            self.links = state.links;
        }
        for place in std::mem::take(&mut state.new).iter() {
            if let Some(source) = state.arrived[place].take() {
                self.lanes[place] = Some(source);
                self.reading.insert(place);
            }
        }
    }

    /// A lane's stream has ended.
    fn end(&mut self, place: usize) {
        self.lanes[place] = None;
        self.reading.remove(place);
    }
}

/// A set of lanes, or of places.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct PlaceSet(u8);

impl PlaceSet {
    const fn insert(&mut self, lane: usize) {
        self.0 |= 1 << lane;
    }

    const fn remove(&mut self, lane: usize) {
        self.0 &= !(1 << lane);
    }

    const fn is_empty(self) -> bool {
        self.0 == 0
    }

    const fn contains(self, lane: usize) -> bool {
        self.0 & 1 << lane != 0
    }

    /// Those of a higher priority than `lane`.
    const fn below(self, lane: usize) -> Self {
        Self(self.0 & ((1 << lane) - 1))
    }

    const fn first(self) -> Option<usize> {
        if self.is_empty() { None } else { Some(self.0.trailing_zeros() as usize) }
    }

    fn iter(self) -> impl Iterator<Item = usize> {
        let mut left = self;
        std::iter::from_fn(move || {
            let lane = left.first()?;
            left.remove(lane);
            Some(lane)
        })
    }
}

impl<R> State<R> {
    /// The lane, which is made if it was not there.
    fn lane(&mut self, lane: usize, begins: NewLane) -> &mut RecvLane {
        let NewLane { window, max_message_size, origin } = begins;
        let new = || Box::new(RecvLane::new(window, max_message_size, origin));
        self.lanes[lane].get_or_insert_with(new)
    }

    /// Takes the streams away that came on this link and that nobody reads yet.
    fn forsake(&mut self, way: Way) -> [Option<Box<Source<R>>>; LANES] {
        std::array::from_fn(|lane| {
            let place = way as usize * LANES + lane;
            self.new.remove(place);
            self.arrived[place].take()
        })
    }

    fn take_reporter(&mut self) -> Option<Waker> {
        self.reporters[self.report_on as usize].take()
    }

    /// The next message, if no other lane could have a more urgent one.
    #[inline]
    fn pop_alone(&mut self, counters: &Counters) -> Option<Message> {
        let lane = self.waiting.first()?;
        let alone = self.used.below(lane).is_empty() && self.new.is_empty();
        if alone { self.pop_from(lane, counters) } else { None }
    }

    fn pop(&mut self, counters: &Counters) -> Option<Message> {
        let lane = self.waiting.first()?;
        self.pop_from(lane, counters)
    }

    #[inline]
    fn pop_from(&mut self, lane: usize, counters: &Counters) -> Option<Message> {
        let from = self.lanes[lane].as_mut()?;
        let payload = from.pop()?;
        counters.on_received(Priority::ALL[lane], payload.len());
        if from.is_empty() {
            self.waiting.remove(lane);
        }
        self.wake_reporter_when_due(lane);
        Some(Message { priority: Priority::ALL[lane], payload })
    }

    fn wake_reporter_when_due(&mut self, lane: usize) {
        if self.lanes[lane].as_ref().is_some_and(|lane| lane.is_due()) {
            self.take_reporter().into_iter().for_each(Waker::wake);
        }
    }
}
