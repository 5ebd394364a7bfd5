//! Lists of hosts as they were answered, kept for as long as they are true.
//!
//! Lists are asked for much more often than something changes that is in them. Each is kept with the
//! stamp of the records that it was made from; with another stamp all are forgotten.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use bytes::Bytes;
use p2p_coordinator_api::{HostStatus, Timestamp};

use crate::domain::HostView;
use crate::store::{HostQuery, Stamp};

/// The most lists that are kept, and the most bytes of one.
const MAX_PAGES: usize = 64;
const MAX_BYTES: usize = 512 << 10;

#[derive(Debug, Default)]
pub(super) struct Pages(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    stamp: Option<Stamp>,
    pages: BTreeMap<Key, Page>,
}

/// What is asked for, but for the moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Key {
    status: Option<HostStatus>,
    min_score: Option<u64>,
    is_available: bool,
    offset: u32,
    limit: Option<u32>,
}

impl Key {
    /// `None` if lists of this kind are not kept.
    fn of(query: &HostQuery) -> Option<Self> {
        // Lost hosts are looked for by ourselves.
        query.lost_at.is_none().then(|| Self {
            status: query.status,
            min_score: query.min_score.map(f64::to_bits),
            is_available: query.available_at.is_some(),
            offset: query.offset,
            limit: query.limit,
        })
    }
}

#[derive(Clone, Debug)]
struct Page {
    json: Bytes,
    /// It is not true any more from then on, whatever is written.
    until: Timestamp,
}

impl Pages {
    /// What is known for these records.
    pub(super) fn find(&self, stamp: &Stamp, query: &HostQuery) -> Option<Bytes> {
        let state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if state.stamp.as_ref() != Some(stamp) {
            return None;
        }
        let page = state.pages.get(&Key::of(query)?)?;
        let is_true = query.available_at.is_none_or(|now| now < page.until);
        is_true.then(|| page.json.clone())
    }

    /// Keeps a list that was read after the records had this stamp.
    pub(super) fn keep(&self, stamp: Stamp, query: &HostQuery, until: Timestamp, json: &Bytes) {
        let Some(key) = Key::of(query).filter(|_| json.len() <= MAX_BYTES) else { return };
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if state.stamp.as_ref() != Some(&stamp) || state.pages.len() >= MAX_PAGES {
            state.pages.clear();
        }
        state.stamp = Some(stamp);
        state.pages.insert(key, Page { json: json.clone(), until });
    }
}

/// How long a list of these hosts stays what it is if nothing is written: until the lease of one ends
/// that is there because it is available. Of a later page, nobody knows of those before it.
pub(super) fn true_until(query: &HostQuery, hosts: &[HostView]) -> Timestamp {
    match query.available_at {
        None => Timestamp::MAX,
        Some(now) if query.offset > 0 => now,
        Some(_) => {
            let leases = hosts.iter().map(|host| host.row.value.lease_until);
            leases.min().unwrap_or(Timestamp::MAX)
        }
    }
}
