//! Where a connection has its link.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// The present link, or the last one.
#[derive(Debug)]
pub(super) enum Slot<L> {
    /// Of a connection that ends with its link: read without a lock.
    Only(Arc<L>),
    /// Others may follow, and so many were there before.
    Present(Mutex<Arc<L>>, AtomicU64),
}

impl<L> Slot<L> {
    pub(super) fn new(link: L, lasts: bool) -> Self {
        let link = Arc::new(link);
        if lasts { Self::Present(Mutex::new(link), AtomicU64::new(0)) } else { Self::Only(link) }
    }

    pub(super) fn get(&self) -> Arc<L> {
        self.with(Arc::clone)
    }

    /// Does something with the link that takes no time, for less than what a clone costs.
    pub(super) fn with<T>(&self, act: impl FnOnce(&Arc<L>) -> T) -> T {
        match self {
            Self::Only(link) => act(link),
            Self::Present(link, _) => act(&link.lock().unwrap_or_else(PoisonError::into_inner)),
        }
    }

    /// How many links were here before the present one. Who asks for the link after that gets this one
    /// or a later one.
    pub(super) fn former(&self) -> u64 {
        match self {
            Self::Only(_) => 0,
            Self::Present(_, former) => former.load(Ordering::Acquire),
        }
    }

    /// Puts the next link in the place of the former, which comes back; an only one has no next.
    pub(super) fn replace(&self, next: L) -> Arc<L> {
        let next = Arc::new(next);
        match self {
            Self::Only(_) => next,
            Self::Present(link, former) => {
                let mut link = link.lock().unwrap_or_else(PoisonError::into_inner);
                let last = std::mem::replace(&mut *link, next);
                former.fetch_add(1, Ordering::Release);
                last
            }
        }
    }
}
