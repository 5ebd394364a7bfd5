//! Turns among callers that may have to wait.

use std::ops::{Deref, DerefMut};
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::{Mutex, MutexGuard};

/// Who waits for something waits in the order of the calls, and only the first is to be woken.
///
/// Most connections have one sender and one receiver, which find what they want: as long as nobody
/// waits, a caller may try without taking a turn. The mutex alone would be a third of what a small
/// message costs.
#[derive(Debug, Default)]
pub(super) struct Turns<T> {
    waiting: AtomicUsize,
    turn: Mutex<T>,
}

/// A turn, and what belongs to whoever has it. It ends when this is dropped.
pub(super) struct Turn<'a, T> {
    value: MutexGuard<'a, T>,
    _waiting: Waiting<'a>,
}

struct Waiting<'a>(&'a AtomicUsize);

impl<T> Turns<T> {
    pub(super) fn new(value: T) -> Self {
        Self { waiting: AtomicUsize::new(0), turn: Mutex::new(value) }
    }

    /// Whether nobody waits or has a turn. It may change at any moment: only fairness depends on it.
    pub(super) fn is_free(&self) -> bool {
        self.waiting.load(Ordering::Relaxed) == 0
    }

    /// Waits for a turn, after all who do so already. Cancel safe.
    pub(super) async fn take(&self) -> Turn<'_, T> {
        self.waiting.fetch_add(1, Ordering::Relaxed);
        let waiting = Waiting(&self.waiting);
        Turn { value: self.turn.lock().await, _waiting: waiting }
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl<T> Deref for Turn<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.value
    }
}

impl<T> DerefMut for Turn<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        &mut self.value
    }
}
