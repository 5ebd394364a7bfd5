//! Who has a place at a door that has no more, and asks for nothing, makes room for who comes.
//!
//! A connection waits while no whole request of it is there: between requests, in the middle of a TLS
//! handshake, of headers or of a body. When all places are taken, the one that has waited for longest
//! ends at once, so that many of them - half-open, or slow on purpose - keep nobody out.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, sleep};

/// All connections of a door. A handle.
#[derive(Clone, Debug)]
pub(super) struct Crowd {
    begun: Instant,
    seats: Arc<Mutex<Seats>>,
}

#[derive(Debug, Default)]
struct Seats {
    taken: u64,
    all: BTreeMap<u64, Arc<Seat>>,
}

#[derive(Debug)]
struct Seat {
    /// Since when it waits, in microseconds of the crowd; or one of the two below. A request changes
    /// nothing but this.
    since: AtomicU64,
    leave: Notify,
}

const BUSY: u64 = u64::MAX;
const LEAVING: u64 = u64::MAX - 1;

impl Crowd {
    pub(super) fn new() -> Self {
        Self { begun: Instant::now(), seats: Arc::default() }
    }

    /// A connection, which waits.
    pub(super) fn visitor(&self) -> Visitor {
        let seat = Arc::new(Seat { since: AtomicU64::new(self.now()), leave: Notify::new() });
        let mut seats = self.seats();
        seats.taken += 1;
        let number = seats.taken;
        seats.all.insert(number, seat.clone());
        Visitor { crowd: self.clone(), seat, number }
    }

    /// A place, as soon as there is one. Cancel safe.
    pub(super) async fn place(&self, places: &Arc<Semaphore>) -> OwnedSemaphorePermit {
        loop {
            if let Ok(place) = places.clone().try_acquire_owned() {
                return place;
            }
            self.make_room();
            tokio::select! {
                biased;
                Ok(place) = places.clone().acquire_owned() => return place,
                () = sleep(LOOK) => {}
            }
        }
    }

    /// Lets the connection leave that has waited for longest, if that is long enough.
    fn make_room(&self) {
        let seats = self.seats();
        let since = |seat: &Arc<Seat>| seat.since.load(Ordering::Relaxed);
        let Some(seat) = seats.all.values().min_by_key(|seat| since(seat)) else { return };
        let eldest = since(seat);
        let patience = u64::try_from(PATIENCE.as_micros()).unwrap_or(u64::MAX);
        if eldest.saturating_add(patience) > self.now() {
            return;
        }
        // Unless its request has come in this moment.
        let (relaxed, leaving) = (Ordering::Relaxed, LEAVING);
        if seat.since.compare_exchange(eldest, leaving, relaxed, relaxed).is_ok() {
            seat.leave.notify_one();
        }
    }

    fn now(&self) -> u64 {
        u64::try_from(self.begun.elapsed().as_micros()).unwrap_or(LEAVING - 1)
    }

    fn seats(&self) -> MutexGuard<'_, Seats> {
        // Each change of it is whole.
        self.seats.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How long everybody has for a request, though others want the place.
const PATIENCE: Duration = Duration::from_secs(1);

/// How often is looked, while all places are taken.
const LOOK: Duration = Duration::from_millis(5);

/// One connection.
#[derive(Debug)]
pub(super) struct Visitor {
    crowd: Crowd,
    seat: Arc<Seat>,
    number: u64,
}

impl Visitor {
    /// A whole request of it is there: from now on it stays.
    pub(super) fn stays(&self) {
        self.seat.since.store(BUSY, Ordering::Relaxed);
    }

    /// Its request is answered: it waits again.
    pub(super) fn waits(&self) {
        self.seat.since.store(self.crowd.now(), Ordering::Relaxed);
    }

    /// Waits until it is to leave. Cancel safe.
    pub(super) async fn leaves(&self) {
        loop {
            self.seat.leave.notified().await;
            // Otherwise its request came in the same moment.
            if self.seat.since.load(Ordering::Relaxed) == LEAVING {
                return;
            }
        }
    }
}

impl Drop for Visitor {
    fn drop(&mut self) {
        self.crowd.seats().all.remove(&self.number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_place_of_who_waits_for_longest_is_given_away_and_that_of_who_is_served_is_not() {
        let (crowd, places) = (Crowd::new(), Arc::new(Semaphore::new(3)));
        let mut held = Vec::new();
        for _ in 0..3 {
            held.push((crowd.visitor(), crowd.place(&places).await));
            sleep(Duration::from_millis(10)).await;
        }
        // The first is served; of the two others the second came first.
        held[0].0.stays();
        let (third, second) = (held.pop().expect("three"), held.pop().expect("two"));
        let (visitor, place) = second;
        let gone = tokio::spawn(async move {
            visitor.leaves().await;
            drop(place);
            Instant::now()
        });
        let begun = Instant::now();
        let _next = crowd.place(&places).await;
        assert!(begun.elapsed() <= PATIENCE, "after {:?}", begun.elapsed());
        assert!(gone.await.expect("no panic") <= Instant::now());
        assert_eq!(crowd.seats().all.len(), 2, "the first and the third are still there");
        drop((third, held));
        assert!(crowd.seats().all.is_empty());
    }
}
