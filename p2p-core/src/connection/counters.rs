//! What went over a connection.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::priority::Priority;
use crate::provider::{ConnectionStats, LaneStats};

#[derive(Debug, Default)]
pub(crate) struct Counters {
    lanes: [LaneCounters; Priority::COUNT],
    pub(super) datagrams_sent: AtomicU64,
    datagrams_received: AtomicU64,
    pub(super) datagrams_dropped: AtomicU64,
    datagrams_unread: AtomicU64,
    pub(super) messages_hedged: AtomicU64,
    pub(super) messages_on_standby: AtomicU64,
}

#[derive(Debug, Default)]
struct LaneCounters {
    messages_sent: AtomicU64,
    messages_received: AtomicU64,
    message_bytes_sent: AtomicU64,
    message_bytes_received: AtomicU64,
}

impl Counters {
    /// Called by one thread at a time: under the outbox's lock.
    #[inline]
    pub(super) fn on_sent(&self, priority: Priority, size: usize) {
        let lane = &self.lanes[priority.index()];
        count(&lane.messages_sent, 1);
        count(&lane.message_bytes_sent, size);
    }

    /// Called by one thread at a time: under the inbox's lock.
    #[inline]
    pub(super) fn on_received(&self, priority: Priority, size: usize) {
        let lane = &self.lanes[priority.index()];
        count(&lane.messages_received, 1);
        count(&lane.message_bytes_received, size);
    }

    /// Called by one thread at a time: under the lock of the datagrams.
    pub(super) fn on_datagram_received(&self) {
        count(&self.datagrams_received, 1);
    }

    /// Called by one thread at a time: under the lock of the datagrams.
    pub(super) fn on_datagrams_unread(&self, datagrams: usize) {
        count(&self.datagrams_unread, datagrams);
    }

    /// Whether nothing was sent or received.
    pub(super) fn is_unused(&self) -> bool {
        let ConnectionStats {
            messages_sent,
            messages_received,
            datagrams_sent,
            datagrams_received,
            ..
        } = self.stats();
        messages_sent + messages_received + datagrams_sent + datagrams_received == 0
    }

    /// What they have counted so far; the rest of the statistics is left empty.
    pub(crate) fn stats(&self) -> ConnectionStats {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let mut stats = ConnectionStats {
            datagrams_sent: read(&self.datagrams_sent),
            datagrams_received: read(&self.datagrams_received),
            datagrams_dropped: read(&self.datagrams_dropped),
            datagrams_unread: read(&self.datagrams_unread),
            messages_hedged: read(&self.messages_hedged),
            messages_on_standby: read(&self.messages_on_standby),
            ..ConnectionStats::default()
        };
        for (lane, counters) in stats.lanes.iter_mut().zip(&self.lanes) {
            *lane = LaneStats {
                messages_sent: read(&counters.messages_sent),
                messages_received: read(&counters.messages_received),
                message_bytes_sent: read(&counters.message_bytes_sent),
                message_bytes_received: read(&counters.message_bytes_received),
            };
            stats.messages_sent += lane.messages_sent;
            stats.messages_received += lane.messages_received;
            stats.message_bytes_sent += lane.message_bytes_sent;
            stats.message_bytes_received += lane.message_bytes_received;
        }
        stats
    }
}

/// For counters that one thread writes at a time: in a fraction of the time that [`add`] takes.
fn count(counter: &AtomicU64, amount: usize) {
    counter.store(counter.load(Ordering::Relaxed) + amount as u64, Ordering::Relaxed);
}

pub(super) fn add(counter: &AtomicU64, amount: usize) {
    counter.fetch_add(amount as u64, Ordering::Relaxed);
}
