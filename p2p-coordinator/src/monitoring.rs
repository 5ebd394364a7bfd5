//! What a process counts of its own work, and how Prometheus is told.
//!
//! Counters begin at zero with the process and only grow; they are read one by one, not at one
//! moment. All sets of labels are fixed when the process starts: nobody who asks makes them grow.
//!
//! - `text`: the text format;
//! - `traffic`: requests, by route.

mod text;
mod traffic;

use std::sync::atomic::{AtomicU64, Ordering};

pub(crate) use text::{Kind, Text};
pub(crate) use traffic::{Asked, Traffic};

/// A number that grows.
#[derive(Debug, Default)]
pub(crate) struct Counter(AtomicU64);

impl Counter {
    pub(crate) fn add_one(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    fn add(&self, more: u64) {
        self.0.fetch_add(more, Ordering::Relaxed);
    }

    pub(crate) fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// What is counted of the service's work.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    /// Heartbeats that were answered before they were written.
    pub(crate) absorbed: Counter,
    /// Heartbeats that were written first.
    pub(crate) written: Counter,
    /// Requests without a key or a token that is good.
    pub(crate) strangers: Counter,
    /// Peers who came for signaling without a token that is good.
    pub(crate) strange_peers: Counter,
    /// Requests that were too many.
    pub(crate) rate_limited: Counter,
    /// What could not be done because the store was away.
    pub(crate) store_unavailable: Counter,
    /// What could not be done because the store failed.
    pub(crate) store_failed: Counter,
    /// Peers who were let in for signaling.
    pub(crate) peers: Counter,
    /// What they said.
    pub(crate) messages: Counter,
}

impl Tally {
    pub(crate) fn write(&self, text: &mut Text) {
        let counter = Kind::Counter;
        let name = "p2p_heartbeats_total";
        text.family(name, counter, "Heartbeats, by whether they were answered before written");
        text.sample(name, &[("how", "absorbed")], self.absorbed.get());
        text.sample(name, &[("how", "written")], self.written.get());
        let name = "p2p_logins_refused_total";
        text.family(name, counter, "Who came without a good key or token, by the door");
        text.sample(name, &[("door", "http")], self.strangers.get());
        text.sample(name, &[("door", "signaling")], self.strange_peers.get());
        let name = "p2p_rate_limited_total";
        text.family(name, counter, "Requests answered with 429");
        text.sample(name, &[], self.rate_limited.get());
        let name = "p2p_store_errors_total";
        text.family(name, counter, "What the store did not do");
        text.sample(name, &[("kind", "failed")], self.store_failed.get());
        text.sample(name, &[("kind", "unavailable")], self.store_unavailable.get());
        let name = "p2p_signaling_connects_total";
        text.family(name, counter, "Peers let in for signaling");
        text.sample(name, &[], self.peers.get());
        let name = "p2p_signaling_messages_total";
        text.family(name, counter, "Messages that peers sent over their connections");
        text.sample(name, &[], self.messages.get());
    }
}
