//! What is going to happen, in order: a calendar.
//!
//! Time is cut into *days* of 2^16 ns (66 us) and *months* of 1024 days (67 ms). The events of the
//! present day are sorted; those of the other days of this month lie unsorted in a place for each
//! day; those of later months lie unsorted in a place for each month. Whoever looks up an event touches its
//! day only, so that the cost does not grow with what is pending, as it would with one binary heap.
//!
//! Entries have 24 bytes; the events themselves lie in slots and are not moved.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};

use super::Nanos;

const DAY_BITS: u32 = 16;
const MONTH_BITS: u32 = 10;
const DAYS: usize = 1 << MONTH_BITS;

/// Events by time, and by the order in which they were pushed among those of one time.
#[derive(Debug)]
pub(crate) struct EventQueue<E> {
    /// The last day whose events are in `sorted` and `late`.
    today: u64,
    /// What was there when the day began, the next at the end.
    sorted: Vec<Entry>,
    /// What came later for today or a day before.
    late: BinaryHeap<Reverse<Entry>>,
    /// The other days of this month. Made when first needed.
    days: Vec<Bucket>,
    /// A bit for each day that has events.
    busy: [u64; DAYS / 64],
    months: BTreeMap<u64, Bucket>,
    /// Room for the entries of a month to come.
    spare: Vec<Entry>,
    /// When the next event is; `Nanos::MAX` with an empty queue as well.
    next: Nanos,
    len: usize,
    slots: Vec<Option<E>>,
    free: Vec<u32>,
    pushed: u64,
}

/// When, in which order among those of that time, and in which slot. Compared in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Entry {
    at: Nanos,
    number: u64,
    slot: u32,
}

#[derive(Debug)]
struct Bucket {
    next: Nanos,
    entries: Vec<Entry>,
}

impl Bucket {
    const EMPTY: Self = Self { next: Nanos::MAX, entries: Vec::new() };

    fn push(&mut self, entry: Entry) {
        self.next = self.next.min(entry.at);
        self.entries.push(entry);
    }
}

const fn day(at: Nanos) -> u64 {
    at >> DAY_BITS
}

const fn month(day: u64) -> u64 {
    day >> MONTH_BITS
}

impl<E> EventQueue<E> {
    pub(crate) const fn new() -> Self {
        Self {
            today: 0,
            sorted: Vec::new(),
            late: BinaryHeap::new(),
            days: Vec::new(),
            busy: [0; DAYS / 64],
            months: BTreeMap::new(),
            spare: Vec::new(),
            next: Nanos::MAX,
            len: 0,
            slots: Vec::new(),
            free: Vec::new(),
            pushed: 0,
        }
    }

    pub(crate) fn push(&mut self, at: Nanos, event: E) {
        let slot = match self.free.pop() {
            Some(slot) => {
                self.slots[slot as usize] = Some(event);
                slot
            }
            None => {
                self.slots.push(Some(event));
                (self.slots.len() - 1) as u32
            }
        };
        self.pushed += 1;
        self.len += 1;
        self.next = self.next.min(at);
        let entry = Entry { at, number: self.pushed, slot };
        let day = day(at);
        if day <= self.today {
            self.late.push(Reverse(entry));
        } else if month(day) == month(self.today) {
            self.put_into_day(day, entry);
        } else {
            let spare = &mut self.spare;
            let new = || Bucket { next: Nanos::MAX, entries: std::mem::take(spare) };
            self.months.entry(month(day)).or_insert_with(new).push(entry);
        }
    }

    /// When the next event is.
    pub(crate) fn next_at(&self) -> Option<Nanos> {
        (self.len > 0).then_some(self.next)
    }

    /// What is going to happen and when, in no order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (Nanos, &E)> {
        let buckets = self.days.iter().chain(self.months.values());
        let entries = self.sorted.iter().chain(self.late.iter().map(|Reverse(late)| late));
        entries
            .chain(buckets.flat_map(|bucket| &bucket.entries))
            .filter_map(|entry| Some((entry.at, self.slots[entry.slot as usize].as_ref()?)))
    }

    /// The next event, if it is due at `now`.
    pub(crate) fn pop_due(&mut self, now: Nanos) -> Option<(Nanos, E)> {
        if self.len == 0 || self.next > now {
            return None;
        }
        if self.sorted.is_empty() && self.late.is_empty() {
            self.turn_page();
        }
        let entry = match (self.sorted.last(), self.late.peek()) {
            (Some(sorted), Some(Reverse(late))) if late < sorted => self.late.pop()?.0,
            (None, _) => self.late.pop()?.0,
            (Some(_), _) => self.sorted.pop()?,
        };
        self.len -= 1;
        self.next = self.find_next();
        self.free.push(entry.slot);
        Some((entry.at, self.slots[entry.slot as usize].take()?))
    }

    fn find_next(&self) -> Nanos {
        match (self.sorted.last(), self.late.peek()) {
            (Some(sorted), Some(Reverse(late))) => sorted.at.min(late.at),
            (Some(sorted), None) => sorted.at,
            (None, Some(Reverse(late))) => late.at,
            (None, None) => match self.next_busy() {
                Some(index) => self.days[index].next,
                None => self.months.values().next().map_or(Nanos::MAX, |month| month.next),
            },
        }
    }

    /// Goes on to the next day that has events.
    fn turn_page(&mut self) {
        let month_of_today = month(self.today);
        if let Some(index) = self.next_busy() {
            self.today = month_of_today << MONTH_BITS | index as u64;
            self.sort_day(index);
            return;
        }
        let Some((_, mut bucket)) = self.months.pop_first() else { return };
        let first = day(bucket.next);
        self.today = first;
        if let [_] = bucket.entries[..] {
            // So that silence interrupted by single events costs little.
            self.sorted.append(&mut bucket.entries);
        } else {
            for entry in bucket.entries.drain(..) {
                self.put_into_day(day(entry.at), entry);
            }
            self.sort_day(first as usize % DAYS);
        }
        self.spare = bucket.entries;
    }

    fn put_into_day(&mut self, day: u64, entry: Entry) {
        if self.days.is_empty() {
            self.days.resize_with(DAYS, || Bucket::EMPTY);
        }
        let index = day as usize % DAYS;
        self.days[index].push(entry);
        self.busy[index / 64] |= 1 << (index % 64);
    }

    fn sort_day(&mut self, index: usize) {
        let bucket = &mut self.days[index];
        bucket.next = Nanos::MAX;
        // The empty list that goes back has the room of the day before: no allocation.
        std::mem::swap(&mut self.sorted, &mut bucket.entries);
        self.busy[index / 64] &= !(1 << (index % 64));
        self.sorted.sort_unstable_by_key(|&entry| Reverse(entry));
    }

    /// The first day of this month that has events. Those before today have none.
    fn next_busy(&self) -> Option<usize> {
        let word = self.busy.iter().position(|&word| word != 0)?;
        Some(word * 64 + self.busy[word].trailing_zeros() as usize)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn events_come_by_time_then_by_the_order_of_pushing() {
        let mut queue = EventQueue::new();
        for (at, name) in [(5, "c"), (1, "a"), (5, "d"), (2, "b")] {
            queue.push(at, name);
        }
        assert_eq!(queue.next_at(), Some(1));
        let order: Vec<_> = std::iter::from_fn(|| queue.pop_due(5)).collect();
        assert_eq!(order, [(1, "a"), (2, "b"), (5, "c"), (5, "d")]);
    }

    #[test]
    fn what_is_not_due_stays() {
        let mut queue = EventQueue::new();
        queue.push(10, ());
        assert_eq!(queue.pop_due(9), None);
        assert_eq!(queue.pop_due(10), Some((10, ())));
        assert_eq!((queue.pop_due(10), queue.next_at()), (None, None));
    }

    #[test]
    fn an_entry_has_24_bytes() {
        assert_eq!(size_of::<Entry>(), 24);
    }

    /// Delays that fall into the same instant, day, month, a later month, and the end of time.
    fn delay() -> impl Strategy<Value = Nanos> {
        prop_oneof![
            Just(0),
            0..100u64,
            0..1_000_000u64,
            0..200_000_000u64,
            0..100_000_000_000u64,
            Just(Nanos::MAX),
        ]
    }

    proptest! {
        /// Each step pushes some events and then lets some time pass.
        #[test]
        fn the_calendar_does_as_a_heap_does(
            steps in prop::collection::vec(
                (prop::collection::vec(delay(), 0..100), 0..300_000_000u64),
                1..40,
            ),
        ) {
            let (mut queue, mut heap) = (EventQueue::new(), BinaryHeap::new());
            let (mut now, mut pushed) = (0u64, 0u64);
            for (delays, passes) in steps {
                for delay in delays {
                    let at = now.saturating_add(delay);
                    queue.push(at, pushed);
                    heap.push(Reverse((at, pushed)));
                    pushed += 1;
                }
                now += passes;
                while let Some(&Reverse((at, number))) = heap.peek() {
                    prop_assert_eq!(queue.next_at(), Some(at));
                    if at > now {
                        break;
                    }
                    heap.pop();
                    prop_assert_eq!(queue.pop_due(now), Some((at, number)));
                }
                prop_assert_eq!(queue.pop_due(now), None);
            }
            let rest: Vec<_> = std::iter::from_fn(|| queue.pop_due(Nanos::MAX)).collect();
            let expected: Vec<_> =
                std::iter::from_fn(|| heap.pop()).map(|Reverse(event)| event).collect();
            prop_assert_eq!(rest, expected);
        }
    }
}
