//! What is going to happen, in order: a calendar.
//!
//! Time is cut into *days* of 2^16 ns (66 us) and *months* of 1024 days (67 ms). The events of the
//! present day are sorted; those of the other days of this month lie unsorted in a place for each
//! day; those of later months lie unsorted in a place for each month. Whoever looks up an event touches its
//! day only, so that the cost does not grow with what is pending, as it would with one binary heap.
//!
//! Entries have 24 bytes; the events themselves lie in slots and are not moved. Events of one time
//! that are pushed one after the other, such as the packets of one burst, share an entry: each slot
//! holds the number of the next.

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
    slots: Vec<Slot<E>>,
    /// The first of the free slots, which are a chain too.
    free: u32,
    pushed: u64,
    /// The slot of what was pushed last, while it is there, and its time.
    last: u32,
    last_at: Nanos,
}

#[derive(Debug)]
struct Slot<E> {
    event: Option<E>,
    /// The slot of the next event with the same entry, or the next free slot.
    next: u32,
}

/// No slot.
const NONE: u32 = u32::MAX;

/// When, in which order among those of that time, and in which slot. Compared in this order; the
/// number is no other's.
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
            free: NONE,
            pushed: 0,
            last: NONE,
            last_at: 0,
        }
    }

    #[inline]
    pub(crate) fn push(&mut self, at: Nanos, event: E) {
        let slot = self.put_into_slot(event);
        self.len += 1;
        let last = std::mem::replace(&mut self.last, slot);
        if last != NONE && self.last_at == at {
            self.slots[last as usize].next = slot;
            return;
        }
        self.last_at = at;
        self.pushed += 1;
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

    #[inline]
    fn put_into_slot(&mut self, event: E) -> u32 {
        let slot = self.free;
        if slot == NONE {
            self.slots.push(Slot { event: Some(event), next: NONE });
            return (self.slots.len() - 1) as u32;
        }
        let place = &mut self.slots[slot as usize];
        self.free = std::mem::replace(&mut place.next, NONE);
        place.event = Some(event);
        slot
    }

    /// When the next event is.
    pub(crate) fn next_at(&self) -> Option<Nanos> {
        (self.len > 0).then_some(self.next)
    }

    /// What is going to happen and when, in no order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (Nanos, &E)> {
        let buckets = self.days.iter().chain(self.months.values());
        let entries = self.sorted.iter().chain(self.late.iter().map(|Reverse(late)| late));
        entries.chain(buckets.flat_map(|bucket| &bucket.entries)).flat_map(|entry| {
            let chain = std::iter::successors(self.slots.get(entry.slot as usize), |slot| {
                self.slots.get(slot.next as usize)
            });
            chain.filter_map(|slot| Some((entry.at, slot.event.as_ref()?)))
        })
    }

    /// The next event, if it is due at `now`.
    #[inline]
    pub(crate) fn pop_due(&mut self, now: Nanos) -> Option<(Nanos, E)> {
        if self.len == 0 || self.next > now {
            return None;
        }
        if self.sorted.is_empty() && self.late.is_empty() {
            self.turn_page();
        }
        let late = match (self.sorted.last(), self.late.peek()) {
            (Some(sorted), Some(Reverse(late))) => late < sorted,
            (sorted, _) => sorted.is_none(),
        };
        let Entry { at, slot, .. } =
            if late { self.late.peek()?.0 } else { *self.sorted.last()? };
        let place = &mut self.slots[slot as usize];
        let event = place.event.take()?;
        let next = std::mem::replace(&mut place.next, self.free);
        self.free = slot;
        self.len -= 1;
        if next != NONE {
            // The entry stays for the rest of its events.
            if late {
                self.late.peek_mut()?.0.slot = next;
            } else {
                self.sorted.last_mut()?.slot = next;
            }
            return Some((at, event));
        }
        if late {
            self.late.pop();
        } else {
            self.sorted.pop();
        }
        if self.last == slot {
            self.last = NONE;
        }
        self.next = self.find_next();
        Some((at, event))
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
    fn all_that_is_pending_can_be_looked_at() {
        let mut queue = EventQueue::new();
        for (at, number) in [(5, 1), (5, 2), (9, 3), (5, 4), (5, 5), (1 << 40, 6)] {
            queue.push(at, number);
        }
        assert_eq!(queue.pop_due(5), Some((5, 1)));
        let mut pending: Vec<_> = queue.iter().map(|(at, &number)| (at, number)).collect();
        pending.sort_unstable();
        assert_eq!(pending, [(5, 2), (5, 4), (5, 5), (9, 3), (1 << 40, 6)]);
    }

    #[test]
    fn an_entry_has_24_bytes() {
        assert_eq!(size_of::<Entry>(), 24);
    }

    /// Delays that fall into the same instant, day, month, a later month, and the end of time.
    fn delay() -> impl Strategy<Value = Nanos> {
        prop_oneof![
            3 => Just(0),
            1 => 0..3u64,
            1 => 0..100u64,
            1 => 0..1_000_000u64,
            1 => 0..200_000_000u64,
            1 => 0..100_000_000_000u64,
            1 => Just(Nanos::MAX),
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
                    // An event may lead to another of the same time.
                    if number % 3 == 0 {
                        queue.push(at, pushed);
                        heap.push(Reverse((at, pushed)));
                        pushed += 1;
                    }
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
