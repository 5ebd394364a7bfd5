//! Datagrams that links took and dropped before they left. Links keep these numbers themselves, each
//! from its own beginning; here they become one that only grows, and outlives them.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::Core;
use super::counters::add;
use crate::engine::standby::Way;
use crate::transport::Link;

/// How many of each present link are counted already, by [`Way`].
#[derive(Debug, Default)]
pub(super) struct CountedDrops(Mutex<[u64; 2]>);

impl CountedDrops {
    fn lock(&self) -> MutexGuard<'_, [u64; 2]> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<L: Link> Core<L> {
    /// Counts what the links have dropped since this was last called.
    pub(crate) fn count_drops(&self) {
        let mut counted = self.drops_counted.lock();
        self.count_drops_of(&self.link(), &mut counted[Way::Main as usize]);
        if let Some(standby) = self.spare.as_ref().and_then(|spare| spare.link()) {
            self.count_drops_of(&standby, &mut counted[Way::Standby as usize]);
        }
    }

    /// Puts another link, or none, in the place of the former, which `replace` returns: what that one
    /// dropped stays counted.
    pub(super) fn replacing(&self, way: Way, replace: impl FnOnce() -> Option<Arc<L>>) {
        let mut counted = self.drops_counted.lock();
        let counted = &mut counted[way as usize];
        if let Some(former) = replace() {
            self.count_drops_of(&former, counted);
        }
        *counted = 0;
    }

    fn count_drops_of(&self, link: &L, counted: &mut u64) {
        let new = link.datagrams_dropped().saturating_sub(*counted);
        *counted += new;
        add(&self.counters.datagrams_dropped, usize::try_from(new).unwrap_or(usize::MAX));
    }
}
