//! Turns among callers that may have to wait.

use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::{Mutex, MutexGuard};

/// Who waits for something waits in the order of the calls, and only the first is to be woken.
///
/// Most connections have one sender and one receiver, which find what they want: as long as nobody
/// waits, a caller may try without taking a turn. The mutex alone would be a third of what a small
/// message costs.
#[derive(Debug, Default)]
pub(super) struct Turns {
    waiting: AtomicUsize,
    turn: Mutex<()>,
}

/// A turn. It ends when this is dropped.
pub(super) struct Turn<'a> {
    turn: Option<MutexGuard<'a, ()>>,
    waiting: &'a AtomicUsize,
}

impl Turns {
    /// Whether nobody waits or has a turn. It may change at any moment: only fairness depends on it.
    pub(super) fn is_free(&self) -> bool {
        self.waiting.load(Ordering::Relaxed) == 0
    }

    /// Waits for a turn, after all who do so already. Cancel safe.
    pub(super) async fn take(&self) -> Turn<'_> {
        self.waiting.fetch_add(1, Ordering::Relaxed);
        let mut turn = Turn { turn: None, waiting: &self.waiting };
        turn.turn = Some(self.turn.lock().await);
        turn
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        // The next in turn, if any, still counts as waiting.
        self.turn = None;
        self.waiting.fetch_sub(1, Ordering::Relaxed);
    }
}
