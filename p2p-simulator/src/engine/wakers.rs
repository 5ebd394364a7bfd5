//! Who waits for something.

use std::collections::BTreeMap;
use std::task::{Context, Waker};

/// The tasks that wait for one thing, in the order in which they came. Each holds a ticket and gives
/// it back when it waits no longer, so that nothing is left of a dropped future.
#[derive(Debug, Default)]
pub(crate) struct WakerSet {
    waiting: BTreeMap<u64, Waker>,
    issued: u64,
}

impl WakerSet {
    /// Waits, under the ticket that `ticket` holds, or a new one.
    pub(crate) fn wait(&mut self, ticket: &mut Option<u64>, cx: &Context<'_>) {
        let number = *ticket.get_or_insert_with(|| {
            self.issued += 1;
            self.issued
        });
        match self.waiting.get_mut(&number) {
            Some(waker) => waker.clone_from(cx.waker()),
            None => {
                self.waiting.insert(number, cx.waker().clone());
            }
        }
    }

    /// Whether nobody waits.
    pub(crate) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Waits no longer.
    pub(crate) fn leave(&mut self, ticket: u64) {
        self.waiting.remove(&ticket);
    }

    /// Hands all who wait to `wakers`. They keep their tickets, for their next wait.
    pub(crate) fn wake_all(&mut self, wakers: &mut Vec<Waker>) {
        wakers.extend(std::mem::take(&mut self.waiting).into_values());
    }
}
