//! What is going to happen, in order.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use super::Nanos;

/// Events by time, and by the order in which they were pushed among those of one time.
#[derive(Debug)]
pub(crate) struct EventQueue<E> {
    heap: BinaryHeap<Reverse<(Nanos, u64, u32)>>,
    /// The events themselves, so that the heap moves small entries only.
    slots: Vec<Option<E>>,
    free: Vec<u32>,
    pushed: u64,
}

impl<E> EventQueue<E> {
    pub(crate) const fn new() -> Self {
        Self { heap: BinaryHeap::new(), slots: Vec::new(), free: Vec::new(), pushed: 0 }
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
        self.heap.push(Reverse((at, self.pushed, slot)));
    }

    /// When the next event is.
    pub(crate) fn next_at(&self) -> Option<Nanos> {
        self.heap.peek().map(|Reverse((at, ..))| *at)
    }

    /// What is going to happen and when, in no order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (Nanos, &E)> {
        self.heap
            .iter()
            .filter_map(|Reverse((at, _, slot))| Some((*at, self.slots[*slot as usize].as_ref()?)))
    }

    /// The next event, if it is due at `now`.
    pub(crate) fn pop_due(&mut self, now: Nanos) -> Option<(Nanos, E)> {
        if self.next_at()? > now {
            return None;
        }
        let Reverse((at, _, slot)) = self.heap.pop()?;
        self.free.push(slot);
        let event = self.slots[slot as usize].take()?;
        Some((at, event))
    }
}

#[cfg(test)]
mod tests {
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
    }
}
