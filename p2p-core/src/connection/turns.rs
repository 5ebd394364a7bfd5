//! Turns among callers that may have to wait.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

use tokio::sync::Notify;

/// Who waits for something waits in the order of the calls, and only the first is to be woken.
///
/// Most connections have one sender and one receiver: as long as nobody waits, a caller may try without
/// taking a turn, and a turn costs two atomic operations. A mutex of tokio's alone would be a third of
/// what a small message costs.
#[derive(Debug, Default)]
pub(super) struct Turns<T> {
    /// Who has a turn, or waits for one.
    callers: AtomicUsize,
    taken: AtomicBool,
    /// Made when somebody waits for the first time: most connections have one sender and one receiver.
    line: OnceLock<Box<Line>>,
    /// What belongs to whoever has a turn, so that it is hardly ever waited for.
    value: Mutex<T>,
}

/// Those who wait.
#[derive(Debug, Default)]
struct Line {
    /// The first of them holds it, and hears when the turn ends.
    first: tokio::sync::Mutex<()>,
    ended: Notify,
}

/// A turn. It ends when this is dropped.
#[derive(Debug)]
pub(super) struct Turn<'a, T> {
    turns: &'a Turns<T>,
    _caller: Caller<'a>,
}

#[derive(Debug)]
struct Caller<'a>(&'a AtomicUsize);

impl<T> Turns<T> {
    pub(super) fn new(value: T) -> Self {
        Self {
            callers: AtomicUsize::new(0),
            taken: AtomicBool::new(false),
            line: OnceLock::new(),
            value: Mutex::new(value),
        }
    }

    /// Whether nobody waits or has a turn. It may change at any moment: who does something without a
    /// turn does it beside somebody who has one.
    pub(super) fn is_free(&self) -> bool {
        self.callers.load(Ordering::Relaxed) == 0
    }

    /// What belongs to whoever has a turn. Who has none must not keep it for long.
    pub(super) fn value(&self) -> MutexGuard<'_, T> {
        self.value.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for a turn, after all who do so already. Cancel safe.
    pub(super) async fn take(&self) -> Turn<'_, T> {
        let first = self.callers.fetch_add(1, Ordering::SeqCst) == 0;
        let caller = Caller(&self.callers);
        if !(first && self.try_take()) {
            // In a box: each send and receive would have room for it, and be moved with it.
            Box::pin(self.wait()).await;
        }
        Turn { turns: self, _caller: caller }
    }

    async fn wait(&self) {
        let line = self.line();
        let _first = line.first.lock().await;
        while !self.try_take() {
            // A turn that ends before this line waits leaves a permit.
            line.ended.notified().await;
        }
    }

    fn line(&self) -> &Line {
        self.line.get_or_init(Box::default)
    }

    fn try_take(&self) -> bool {
        !self.taken.swap(true, Ordering::SeqCst)
    }
}

impl<T> Turn<'_, T> {
    /// Hardly anybody else asks for it: this does not wait for long.
    pub(super) fn value(&self) -> MutexGuard<'_, T> {
        self.turns.value()
    }
}

impl<T> Drop for Turn<'_, T> {
    fn drop(&mut self) {
        // In this order: a caller who comes in between finds the turn free, or is seen here.
        self.turns.taken.swap(false, Ordering::SeqCst);
        if self.turns.callers.load(Ordering::SeqCst) > 1 {
            self.turns.line().ended.notify_one();
        }
    }
}

impl Drop for Caller<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[tokio::test]
    async fn one_has_a_turn_at_a_time_and_all_get_theirs() {
        let turns = Arc::new(Turns::new(0_u32));
        let tasks: Vec<_> = (0..8)
            .map(|_| {
                let turns = turns.clone();
                tokio::spawn(async move {
                    for _ in 0..2_000 {
                        let turn = turns.take().await;
                        let before = *turn.value();
                        tokio::task::yield_now().await;
                        *turn.value() = before + 1;
                    }
                })
            })
            .collect();
        for task in tasks {
            task.await.expect("no panic");
        }
        assert_eq!(*turns.take().await.value(), 16_000);
        assert!(turns.is_free());
    }

    #[tokio::test]
    async fn who_gives_up_waiting_leaves_the_turn_to_the_next() {
        let turns = Arc::new(Turns::<()>::default());
        let first = turns.take().await;
        let mut given_up = Box::pin(turns.take());
        let mut next = Box::pin(turns.take());
        assert!(look(given_up.as_mut()).is_none());
        assert!(look(next.as_mut()).is_none());
        drop(first);
        drop(given_up);
        drop(next.await);
        assert!(turns.is_free());
    }

    fn look<F: Future>(future: std::pin::Pin<&mut F>) -> Option<F::Output> {
        use std::task::{Context, Poll, Waker};
        match future.poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(output) => Some(output),
            Poll::Pending => None,
        }
    }
}
