//! One run of several that are compared: checkpoints all along, and a window of the events themselves.
//!
//! Memory is bounded however long the run: when there are too many checkpoints, every other one goes
//! and their distance doubles, at the same events in every run.

use std::collections::VecDeque;
use std::ops::Range;

use xxhash_rust::xxh3::Xxh3Default;

use super::{Happening, TraceEvent};

/// The distance of the first checkpoints, in events.
const FIRST_DISTANCE: u64 = 256;
/// At 16 bytes each: 64 KiB.
const MAX_CHECKPOINTS: usize = 4096;
/// The events that a first look keeps: enough that most programs of tests need no second.
const FIRST_WINDOW: usize = 1 << 15;
/// The events before a window's range that a report may want to show.
pub(crate) const CONTEXT: u64 = 24;

#[derive(Clone)]
pub(crate) struct Watch {
    hash: Xxh3Default,
    pub(crate) count: u64,
    distance: u64,
    /// The hash after each `distance` events.
    checkpoints: Vec<u128>,
    /// The window: which events are kept.
    from: u64,
    keep: usize,
    /// The hash of all before the window, once it was reached.
    before: Option<u128>,
    kept: Vec<TraceEvent>,
    last: VecDeque<TraceEvent>,
    tail: usize,
}

/// What a comparison of two runs shows.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Same,
    /// The first difference is this event.
    At(u64),
    /// It is among these.
    Within(Range<u64>),
}

impl Watch {
    pub(crate) fn first_look() -> Self {
        Self::new(0, FIRST_WINDOW, 0)
    }

    /// A look at this range and what is right before it.
    pub(crate) fn look_at(range: &Range<u64>) -> Self {
        let from = range.start.saturating_sub(CONTEXT);
        let keep = usize::try_from(range.end - from).unwrap_or(usize::MAX);
        Self::new(from, keep.saturating_add(1), 0)
    }

    /// Keeps the last events instead.
    pub(crate) fn tail(events: usize) -> Self {
        Self::new(0, 0, events)
    }

    fn new(from: u64, keep: usize, tail: usize) -> Self {
        Self {
            hash: Xxh3Default::new(),
            count: 0,
            distance: FIRST_DISTANCE,
            checkpoints: Vec::new(),
            from,
            keep,
            before: None,
            kept: Vec::new(),
            last: VecDeque::new(),
            tail,
        }
    }

    pub(super) fn happened(&mut self, what: &Happening<'_>, canonical: &[u8]) {
        if self.count == self.from {
            self.before = Some(self.hash.digest128());
        }
        if self.tail > 0 {
            if self.last.len() == self.tail {
                self.last.pop_front();
            }
            self.last.push_back(what.event());
        }
        if self.count >= self.from && self.kept.len() < self.keep {
            self.kept.push(what.event());
        }
        self.hash.update(canonical);
        self.hash.update(what.payload);
        self.count += 1;
        if self.count % self.distance == 0 {
            self.checkpoints.push(self.hash.digest128());
            if self.checkpoints.len() == MAX_CHECKPOINTS {
                self.checkpoints = self.checkpoints.iter().copied().skip(1).step_by(2).collect();
                self.distance *= 2;
            }
        }
    }

    /// Whether it is there to be compared, and not only for its last events.
    pub(super) const fn compares(&self) -> bool {
        self.tail == 0
    }

    pub(crate) fn into_last(self) -> Vec<TraceEvent> {
        self.last.into()
    }

    /// The event of this number, if it was kept.
    pub(crate) fn event_at(&self, number: u64) -> Option<TraceEvent> {
        let place = number.checked_sub(self.from)?;
        self.kept.get(usize::try_from(place).ok()?).copied()
    }

    pub(crate) fn compare(&self, other: &Self) -> Verdict {
        if self.count == other.count && self.hash.digest128() == other.hash.digest128() {
            return Verdict::Same;
        }
        // Both reached the same window with the same past: a difference in it is the first.
        if self.before.is_some() && self.before == other.before && self.from == other.from {
            let seen = self.kept.len().max(other.kept.len());
            if let Some(place) = (0..seen).find(|&i| self.kept.get(i) != other.kept.get(i)) {
                return Verdict::At(self.from + place as u64);
            }
        }
        // Their distances are powers of two apart.
        let distance = self.distance.max(other.distance);
        let common = self.thinned(distance).zip(other.thinned(distance));
        let equal = common.take_while(|(a, b)| a == b).count() as u64;
        let start = equal * distance;
        let end = (start + distance).min(self.count.max(other.count));
        Verdict::Within(start..end)
    }

    fn thinned(&self, distance: u64) -> impl Iterator<Item = u128> + '_ {
        let step = usize::try_from(distance / self.distance).unwrap_or(usize::MAX);
        self.checkpoints.iter().copied().skip(step - 1).step_by(step)
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Trace, TraceKind};
    use super::*;

    /// A run of `count` events, of which number `odd` is another.
    fn run(watch: Watch, count: u64, odd: Option<u64>) -> Watch {
        let mut trace = Trace::new(0);
        trace.set_watch(watch);
        for number in 0..count {
            let kind = if odd == Some(number) { TraceKind::Lost } else { TraceKind::Sent };
            trace.mark(number, kind, 0, 1);
        }
        trace.take_watch().expect("it was set")
    }

    #[test]
    fn equal_runs_are_the_same() {
        let [a, b] = [(); 2].map(|()| run(Watch::first_look(), 1000, None));
        assert_eq!(a.compare(&b), Verdict::Same);
    }

    #[test]
    fn a_difference_in_the_first_window_is_found_at_once() {
        let a = run(Watch::first_look(), 1000, None);
        assert_eq!(a.compare(&run(Watch::first_look(), 1000, Some(700))), Verdict::At(700));
        // One run is only longer.
        assert_eq!(a.compare(&run(Watch::first_look(), 1001, None)), Verdict::At(1000));
    }

    #[test]
    fn a_late_difference_is_found_by_a_second_look_in_bounded_memory() {
        // So many that the distance has doubled: 4096 * 256 is 1 048 576.
        let (count, odd) = (1_200_000, Some(1_111_111));
        let a = run(Watch::first_look(), count, None);
        let b = run(Watch::first_look(), count, odd);
        assert!(a.checkpoints.len() < MAX_CHECKPOINTS && a.kept.len() == FIRST_WINDOW);
        let Verdict::Within(range) = a.compare(&b) else { panic!("{:?}", a.compare(&b)) };
        assert!(range.contains(&1_111_111) && range.end - range.start <= 512, "{range:?}");
        let a = run(Watch::look_at(&range), count, None);
        let b = run(Watch::look_at(&range), count, odd);
        assert_eq!(a.compare(&b), Verdict::At(1_111_111));
        assert_eq!(b.event_at(1_111_111).map(|event| event.kind), Some(TraceKind::Lost));
    }
}
