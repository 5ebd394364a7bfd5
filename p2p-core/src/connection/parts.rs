//! Several futures in one task, each polled only when it was woken itself.
//!
//! A connection's task waits for four things. Each look at one of them takes a lock of the transport,
//! which its driver wants too; looking at all four whenever one has happened is what this saves.

use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Wake, Waker};

/// Which parts were woken, and the task they are parts of.
#[derive(Debug)]
struct Woken {
    parts: AtomicU16,
    task: Mutex<Option<Waker>>,
}

#[derive(Debug)]
struct PartWaker {
    woken: Arc<Woken>,
    bit: u16,
}

impl Wake for PartWaker {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.woken.parts.fetch_or(self.bit, Ordering::AcqRel);
        let task = self.woken.task.lock().unwrap_or_else(PoisonError::into_inner);
        task.iter().for_each(Waker::wake_by_ref);
    }
}

/// The parts of one task, up to sixteen. All of them count as woken at first.
#[derive(Debug)]
pub(super) struct Parts<const N: usize> {
    woken: Arc<Woken>,
    /// Of the parts that were polled and are not done.
    wakers: [Option<Waker>; N],
    going: [bool; N],
}

impl<const N: usize> Parts<N> {
    pub(super) fn new() -> Self {
        let woken = Arc::new(Woken { parts: AtomicU16::new(u16::MAX), task: Mutex::new(None) });
        Self { woken, wakers: [const { None }; N], going: [true; N] }
    }

    /// To be called first at each poll of the task: wakes go to it from now on.
    pub(super) fn enter(&self, cx: &Context<'_>) {
        let mut task = self.woken.task.lock().unwrap_or_else(PoisonError::into_inner);
        match &mut *task {
            Some(waker) => waker.clone_from(cx.waker()),
            none => *none = Some(cx.waker().clone()),
        }
    }

    /// Whether a part is not done.
    pub(super) const fn is_going(&self, part: usize) -> bool {
        self.going[part]
    }

    /// Polls a part that was woken and is not done.
    pub(super) fn poll<F: Future>(&mut self, part: usize, future: Pin<&mut F>) -> Poll<F::Output> {
        let bit = 1 << part;
        let woken = self.woken.parts.fetch_and(!bit, Ordering::AcqRel) & bit != 0;
        if !woken || !self.going[part] {
            return Poll::Pending;
        }
        let waker = self.wakers[part].get_or_insert_with(|| {
            Waker::from(Arc::new(PartWaker { woken: self.woken.clone(), bit }))
        });
        let result = future.poll(&mut Context::from_waker(waker));
        if result.is_ready() {
            self.going[part] = false;
            self.wakers[part] = None;
        }
        result
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::pin::pin;

    use super::*;

    #[test]
    fn only_the_woken_part_is_polled_and_none_after_its_end() {
        let mut parts = Parts::<2>::new();
        let (mut looks, mut left) = ([0; 2], 2);
        let mut first = None;
        let [looks_a, looks_b] = &mut looks;
        let mut a = pin!(poll_fn(|cx| {
            *looks_a += 1;
            first = Some(cx.waker().clone());
            left -= 1;
            if left == 0 { Poll::Ready(()) } else { Poll::Pending }
        }));
        let mut b = pin!(poll_fn(|_| {
            *looks_b += 1;
            Poll::<()>::Pending
        }));
        let mut poll_all = || {
            parts.enter(&Context::from_waker(Waker::noop()));
            let _ = parts.poll(0, a.as_mut());
            let _ = parts.poll(1, b.as_mut());
            let waker = parts.wakers[0].clone();
            waker.into_iter().for_each(Waker::wake);
        };
        (0..5).for_each(|_| poll_all());
        assert_eq!(looks, [2, 1]);
    }
}
