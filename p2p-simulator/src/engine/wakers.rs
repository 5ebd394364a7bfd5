//! Who waits for something.

use std::task::{Context, Waker};

/// The tasks that wait for one thing, in the order in which they came. Each holds a ticket and gives
/// it back when it waits no longer, so that nothing is left of a dropped future.
#[derive(Debug)]
pub(crate) struct WakerSet<K = ()> {
    /// By ticket.
    waiting: Vec<Waiter<K>>,
    issued: u64,
}

/// Who waits at one place for several things has one set for all, with a kind for each.
#[derive(Debug)]
struct Waiter<K> {
    ticket: u64,
    kind: K,
    waker: Waker,
}

impl<K> Default for WakerSet<K> {
    fn default() -> Self {
        Self { waiting: Vec::new(), issued: 0 }
    }
}

impl<K: Copy + PartialEq> WakerSet<K> {
    /// Waits for something, under the ticket that `ticket` holds, or a new one.
    pub(crate) fn wait_for(&mut self, kind: K, ticket: &mut Option<u64>, cx: &Context<'_>) {
        let ticket = *ticket.get_or_insert_with(|| {
            self.issued += 1;
            self.issued
        });
        match self.waiting.binary_search_by_key(&ticket, |waiter| waiter.ticket) {
            Ok(place) => self.waiting[place].waker.clone_from(cx.waker()),
            Err(place) => {
                if self.waiting.capacity() == 0 {
                    // Mostly there is one at a time.
                    self.waiting.reserve_exact(1);
                }
                let waker = cx.waker().clone();
                self.waiting.insert(place, Waiter { ticket, kind, waker });
            }
        }
    }

    /// Whether somebody waits for this.
    pub(crate) fn is_waited_for(&self, kind: K) -> bool {
        self.waiting.iter().any(|waiter| waiter.kind == kind)
    }

    /// Waits no longer.
    pub(crate) fn leave(&mut self, ticket: u64) {
        if let Ok(place) = self.waiting.binary_search_by_key(&ticket, |waiter| waiter.ticket) {
            self.waiting.remove(place);
        }
        if self.waiting.is_empty() {
            // Nobody may ever wait again.
            self.waiting = Vec::new();
        }
    }

    /// Hands all who wait for this to `wakers`. They keep their tickets, for their next wait.
    pub(crate) fn wake(&mut self, kind: K, wakers: &mut Vec<Waker>) {
        if let [waiter] = &self.waiting[..] {
            if waiter.kind == kind {
                wakers.extend(self.waiting.pop().map(|waiter| waiter.waker));
            }
            return;
        }
        if self.waiting.iter().all(|waiter| waiter.kind == kind) {
            return self.wake_all(wakers);
        }
        for waiter in std::mem::take(&mut self.waiting) {
            if waiter.kind == kind {
                wakers.push(waiter.waker);
            } else {
                self.waiting.push(waiter);
            }
        }
    }

    /// Hands all to `wakers`, whatever they wait for.
    pub(crate) fn wake_all(&mut self, wakers: &mut Vec<Waker>) {
        wakers.extend(self.waiting.drain(..).map(|waiter| waiter.waker));
    }
}

impl WakerSet {
    /// Waits, under the ticket that `ticket` holds, or a new one.
    pub(crate) fn wait(&mut self, ticket: &mut Option<u64>, cx: &Context<'_>) {
        self.wait_for((), ticket, cx);
    }

    /// Whether nobody waits.
    pub(crate) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }
}
