//! Requests that are sent again, because their answer was lost: known by a key that the client chose.
//!
//! Who sends a request with the key of an earlier one gets that one's answer, and nothing is done
//! twice. What is kept is bounded by number, bytes and time; who would exceed it makes the eldest be
//! forgotten. It is this process's memory: what has to hold over its end as well, the service makes
//! follow from the key itself.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use p2p_coordinator_api::Timestamp;

/// How much is kept of requests that may be sent again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct RepeatLimits {
    /// For how long an answer is kept. Default 10 minutes.
    pub window: Duration,
    /// The most answers. Default 8192.
    pub max_answers: usize,
    /// Their most bytes together. Default 16 MiB.
    pub max_bytes: usize,
}

impl Default for RepeatLimits {
    fn default() -> Self {
        Self { window: Duration::from_secs(600), max_answers: 8192, max_bytes: 16 << 20 }
    }
}

/// A digest: of who asks and with which key, or of what is asked.
pub type Digest = [u8; 32];

/// What is known of a request with this key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Known<A> {
    /// It was answered with this.
    Answered(A),
    /// The key was another request's.
    Other,
    /// Nothing: it is to be done, and is noted as being done.
    New,
    /// It is being done; or so many others are that it has to wait.
    Running,
}

/// The most requests that are being done at once, whoever waits for their answers.
const MAX_RUNNING: usize = 1024;

/// Requests that are being done, and answers of those that were.
#[derive(Clone, Debug)]
pub struct Repeats<A> {
    limits: RepeatLimits,
    entries: BTreeMap<Digest, Entry<A>>,
    /// Those of `entries` that were answered, in the order of their answers, whatever a clock says.
    by_age: VecDeque<(Timestamp, Digest)>,
    bytes: usize,
}

#[derive(Clone, Debug)]
struct Entry<A> {
    request: Digest,
    /// With its bytes.
    answer: Option<(usize, A)>,
}

impl<A: Clone> Repeats<A> {
    /// Nothing is known.
    pub const fn new(limits: RepeatLimits) -> Self {
        Self { limits, entries: BTreeMap::new(), by_age: VecDeque::new(), bytes: 0 }
    }

    /// A request has come. If it is new, [`done`](Self::done) or [`abandoned`](Self::abandoned) has to
    /// follow.
    pub fn begin(&mut self, now: Timestamp, key: Digest, request: Digest) -> Known<A> {
        self.expire(now);
        match self.entries.get(&key) {
            Some(entry) if entry.request != request => Known::Other,
            Some(Entry { answer: Some((_, answer)), .. }) => Known::Answered(answer.clone()),
            Some(_) => Known::Running,
            // Each ends soon, whoever waits for it: the next attempt finds room.
            None if self.entries.len() - self.by_age.len() >= MAX_RUNNING => Known::Running,
            None => {
                self.entries.insert(key, Entry { request, answer: None });
                Known::New
            }
        }
    }

    /// It was answered for good, in so many bytes.
    pub fn done(&mut self, now: Timestamp, key: Digest, answer: A, bytes: usize) {
        if bytes > self.limits.max_bytes || self.limits.max_answers == 0 {
            return self.abandoned(&key);
        }
        let Some(entry) = self.entries.get_mut(&key) else { return };
        if entry.answer.is_some() {
            return;
        }
        entry.answer = Some((bytes, answer));
        self.by_age.push_back((now, key));
        self.bytes += bytes;
        while self.by_age.len() > self.limits.max_answers || self.bytes > self.limits.max_bytes {
            self.forget_eldest();
        }
    }

    /// It was not answered for good: who sends it again has it done again.
    pub fn abandoned(&mut self, key: &Digest) {
        if self.entries.get(key).is_some_and(|entry| entry.answer.is_none()) {
            self.entries.remove(key);
        }
    }

    /// How many answers are kept.
    pub fn len(&self) -> usize {
        self.by_age.len()
    }

    /// Whether none are.
    pub fn is_empty(&self) -> bool {
        self.by_age.is_empty()
    }

    fn expire(&mut self, now: Timestamp) {
        let before = now.before(self.limits.window);
        while self.by_age.front().is_some_and(|(at, _)| *at <= before) {
            self.forget_eldest();
        }
    }

    fn forget_eldest(&mut self) {
        let Some((_, key)) = self.by_age.pop_front() else { return };
        if let Some(Entry { answer: Some((bytes, _)), .. }) = self.entries.remove(&key) {
            self.bytes -= bytes;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: Timestamp = Timestamp::from_millis(1_000_000_000);
    const ONE: Digest = [1; 32];
    const OTHER: Digest = [2; 32];

    fn repeats(max_answers: usize, max_bytes: usize) -> Repeats<u32> {
        Repeats::new(RepeatLimits { window: Duration::from_secs(60), max_answers, max_bytes })
    }

    #[test]
    fn who_asks_again_is_answered_again_until_the_window_ends() {
        let mut repeats = repeats(10, 1000);
        assert_eq!(repeats.begin(START, ONE, OTHER), Known::New);
        assert_eq!(repeats.begin(START, ONE, OTHER), Known::Running);
        repeats.done(START, ONE, 7, 10);
        let late = START.after(Duration::from_millis(59_999));
        assert_eq!(repeats.begin(late, ONE, OTHER), Known::Answered(7));
        assert_eq!(repeats.begin(late, ONE, ONE), Known::Other);
        assert_eq!(repeats.begin(START.after(Duration::from_secs(60)), ONE, ONE), Known::New);
    }

    #[test]
    fn what_was_not_answered_for_good_is_done_again() {
        let mut repeats = repeats(10, 1000);
        repeats.begin(START, ONE, OTHER);
        repeats.abandoned(&ONE);
        assert_eq!(repeats.begin(START, ONE, OTHER), Known::New);
        repeats.done(START, ONE, 7, 10);
        repeats.abandoned(&ONE);
        assert_eq!(repeats.begin(START, ONE, OTHER), Known::Answered(7));
        // An answer that would push out all others is not kept.
        repeats.begin(START, OTHER, ONE);
        repeats.done(START, OTHER, 8, 1001);
        assert_eq!(repeats.begin(START, OTHER, ONE), Known::New);
        assert_eq!(repeats.len(), 1);
    }

    #[test]
    fn a_clock_that_is_put_back_makes_new_answers_no_older_than_old_ones() {
        let mut repeats = repeats(2, 1000);
        let hours = Duration::from_secs(5 * 3600);
        for (number, now) in [(1, START), (2, START), (3, START.before(hours))] {
            assert_eq!(repeats.begin(now, [number; 32], ONE), Known::New);
            repeats.done(now, [number; 32], number.into(), 10);
        }
        let now = START.before(hours);
        assert_eq!(repeats.begin(now, [3; 32], ONE), Known::Answered(3), "not pushed out by them");
        assert_eq!(repeats.begin(now, [1; 32], ONE), Known::New, "the eldest was");
        assert_eq!(repeats.begin(START.after(hours), [3; 32], ONE), Known::New);
        assert!(repeats.is_empty());
    }

    #[test]
    fn neither_number_nor_bytes_grow_past_their_bounds_and_the_eldest_goes_first() {
        let mut repeats = repeats(100, 1000);
        for number in 0..500_u16 {
            let now = START.after(Duration::from_millis(number.into()));
            let mut key = [0; 32];
            key[..2].copy_from_slice(&number.to_be_bytes());
            assert_eq!(repeats.begin(now, key, ONE), Known::New);
            repeats.done(now, key, number.into(), 20);
            assert!(repeats.bytes <= 1000 && repeats.len() <= 50);
            assert_eq!(repeats.entries.len(), repeats.len());
            assert_eq!(repeats.begin(now, key, ONE), Known::Answered(number.into()));
        }
        assert_eq!(repeats.len(), 50);
        assert_eq!(repeats.begin(START, [0; 32], ONE), Known::New, "the first was forgotten");
    }
}
