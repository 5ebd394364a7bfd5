//! Both ends of a lane against the plainest model: a list of messages. Links break at any byte.

use std::collections::VecDeque;
use std::future::Future;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use proptest::prelude::*;

use super::recv_lane::{Carried, RecvLane};
use super::send_lane::{LaneTerms, SendLane};
use super::standby::Way;
use crate::error::StreamError;
use crate::stream::SendStream;

const MAX_MESSAGE: usize = 20_000;

/// A stream that takes so many bytes at a time.
#[derive(Debug, Default)]
struct Wire {
    sent: VecDeque<u8>,
    room: usize,
}

impl SendStream for Wire {
    fn poll_write(
        &mut self,
        _cx: &mut Context<'_>,
        data: &mut Bytes,
    ) -> Poll<Result<(), StreamError>> {
        let part = data.split_to(self.room.min(data.len()));
        self.room -= part.len();
        self.sent.extend(&part);
        if part.is_empty() && !data.is_empty() { Poll::Pending } else { Poll::Ready(Ok(())) }
    }

    fn finish(&mut self) -> Result<(), StreamError> {
        Ok(())
    }

    fn finished(&mut self) -> impl Future<Output = Result<(), StreamError>> + Send {
        std::future::ready(Ok(()))
    }

    fn reset(&mut self, _code: u64) {}

    fn set_priority(&mut self, _priority: i32) {}
}

#[derive(Clone, Debug, bolero::TypeGenerator)]
pub(crate) enum Step {
    Send { size: usize, kind: u8 },
    Write { room: usize },
    Deliver { bytes: usize },
    Take { messages: usize },
    Report,
    Break { told: bool },
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (prop_oneof![0usize..200, 0usize..MAX_MESSAGE], 0u8..3)
            .prop_map(|(size, kind)| Step::Send { size, kind }),
        4 => (0usize..100_000).prop_map(|room| Step::Write { room }),
        4 => (0usize..100_000).prop_map(|bytes| Step::Deliver { bytes }),
        2 => (0usize..50).prop_map(|messages| Step::Take { messages }),
        2 => Just(Step::Report),
        1 => any::<bool>().prop_map(|told| Step::Break { told }),
    ]
}

/// The number of the message, and then bytes that pack well, badly, or both.
fn message(number: u64, size: usize, kind: u8) -> Bytes {
    let noise = |i: usize| ((i as u64 + number).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 56) as u8;
    let body = (0..size).map(|i| if kind == 0 || kind == 1 && i % 7 > 0 { 0 } else { noise(i) });
    number.to_be_bytes().into_iter().chain(body).collect()
}

struct Pair {
    send: SendLane,
    recv: RecvLane,
    wire: Wire,
    carried: Carried,
    marked: bool,
    sent: VecDeque<Bytes>,
    taken: u64,
}

impl Pair {
    fn new(window: u64, packing: Option<usize>) -> Self {
        let terms = LaneTerms { window, max_queued: 100_000, origin: 0, packing, keeps: true };
        let mut recv = RecvLane::new(window, MAX_MESSAGE, 0);
        let marked = packing.is_some();
        let carried = recv.carry(Way::Main, 0, marked).expect("the start");
        let (send, wire) = (SendLane::new(terms), Wire::default());
        Self { send, recv, wire, carried, marked, sent: VecDeque::new(), taken: 0 }
    }

    fn write(&mut self, room: usize) {
        self.wire.room = room;
        let mut cx = Context::from_waker(Waker::noop());
        self.send.write(&mut self.wire, &mut cx).expect("a wire does not fail");
    }

    fn deliver(&mut self, bytes: usize) {
        let bytes = bytes.min(self.wire.sent.len());
        let chunk: Bytes = self.wire.sent.drain(..bytes).collect();
        self.recv.take_in(&mut self.carried, chunk).expect("an honest sender");
    }

    fn take(&mut self) -> Option<()> {
        let got = self.recv.pop()?;
        assert_eq!(Some(got), self.sent.pop_front(), "message {}", self.taken);
        self.taken += 1;
        Some(())
    }

    fn report(&mut self) {
        while let Some(offset) = self.recv.read_report(false) {
            self.send.on_read(offset).expect("honest");
        }
        if let Some(total) = self.recv.taken_report() {
            self.send.on_taken(total).expect("honest");
        }
    }

    /// The link is lost with all that was on it; the next one begins, before or after the sender
    /// has heard where the receiver stands.
    fn break_link(&mut self, told: bool) {
        self.wire = Wire::default();
        let (end, taken) = self.recv.standing();
        let tell = |send: &mut SendLane| {
            send.on_read(end).expect("honest");
            send.on_taken(taken).expect("honest");
        };
        if told {
            tell(&mut self.send);
        }
        self.send.rewind();
        self.carried =
            self.recv.carry(Way::Main, self.send.next_offset(), self.marked).expect("no gap");
        if !told {
            tell(&mut self.send);
        }
    }
}

/// Plays these steps, and checks after each that the account is true; then lets all arrive.
pub(crate) fn play<'a>(
    steps: impl IntoIterator<Item = &'a Step>,
    window: u64,
    packing: Option<usize>,
) {
    let mut pair = Pair::new(window, packing);
    let mut given = 0;
    for step in steps {
        match *step {
            Step::Send { size, kind } => {
                let message = message(given, size % (MAX_MESSAGE - 8), kind);
                if pair.send.try_push(&message) {
                    pair.sent.push_back(message);
                    given += 1;
                }
            }
            Step::Write { room } => pair.write(room),
            Step::Deliver { bytes } => pair.deliver(bytes),
            Step::Take { messages } => {
                for _ in 0..messages {
                    if pair.take().is_none() {
                        break;
                    }
                }
            }
            Step::Report => pair.report(),
            Step::Break { told } => pair.break_link(told),
        }
        let progress = pair.send.progress();
        assert_eq!(progress.given, given);
        assert!(progress.acknowledged <= progress.written && progress.written <= given);
        assert!(pair.taken <= progress.written, "{} taken of {progress:?}", pair.taken);
    }
    for _ in 0..10_000 {
        pair.write(50_000);
        pair.deliver(usize::MAX);
        while pair.take().is_some() {}
        pair.report();
        // What goes once more after a break may be all that is left to send.
        if pair.sent.is_empty() && pair.send.queued() == 0 {
            break;
        }
    }
    assert_eq!((pair.taken, pair.sent.len()), (given, 0));
    assert!(pair.send.try_push(&Bytes::from(vec![1; 300_000])), "stuck");
}

proptest! {
    /// Whatever is sent, however the links break: each message comes once and in order, the account
    /// is true, and nothing gets stuck.
    #[test]
    fn a_lane_loses_nothing_and_doubles_nothing_over_any_number_of_links(
        steps in prop::collection::vec(step(), 1..120),
        window in 0u64..300_000,
        packing in prop_oneof![Just(None), Just(Some(usize::MAX)), Just(Some(100))],
    ) {
        play(&steps, window, packing);
    }

    #[test]
    fn any_chunks_are_taken_in_or_refused_but_never_panic(
        chunks in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..200), 0..20),
        marked: bool,
    ) {
        let mut recv = RecvLane::new(1 << 14, 1000, 0);
        let mut carried = recv.carry(Way::Main, 0, marked).expect("the start");
        for chunk in chunks {
            if recv.take_in(&mut carried, chunk.into()).is_err() {
                break;
            }
        }
        while let Some(message) = recv.pop() {
            prop_assert!(message.len() <= 1000);
        }
    }
}

#[test]
fn a_stream_that_leaves_a_gap_is_refused() {
    let mut recv = RecvLane::new(1 << 14, 1000, 5);
    assert!(recv.carry(Way::Main, 5, false).is_ok());
    assert!(recv.carry(Way::Main, 6, false).is_err());
}
