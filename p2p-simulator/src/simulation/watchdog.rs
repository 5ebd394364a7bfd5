//! Real time: one thread for all runs of the process looks whether one takes too long.
//!
//! The run itself could only look when all its tasks wait, and a run that never ends may never come
//! to that. The thread touches no simulation before its time is over.

use std::collections::BTreeMap;
use std::sync::{Arc, Condvar, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

/// How long after its limit a run may take to notice; then something blocks the thread itself.
const GRACE: Duration = Duration::from_secs(10);

type OnExpiry = dyn Fn() + Send + Sync;

#[derive(Clone)]
struct Entry {
    deadline: Instant,
    seed: u64,
    told: bool,
    on_expiry: Arc<OnExpiry>,
}

#[derive(Default)]
struct Entries {
    runs: BTreeMap<u64, Entry>,
    issued: u64,
    /// Until when the thread sleeps; `None` while it has nothing to wait for.
    sleeps_until: Option<Instant>,
}

#[derive(Default)]
struct Watchdog {
    entries: Mutex<Entries>,
    sooner: Condvar,
}

/// Guards a run against taking too much real time, until dropped.
#[must_use = "dropped, it guards nothing"]
pub(super) struct Guarded(Option<u64>);

/// Calls `on_expiry` from another thread when `limit` is over.
#[allow(clippy::disallowed_methods)] // Real time is the point, and nothing of the run sees it.
pub(super) fn guard(
    limit: Duration,
    seed: u64,
    on_expiry: impl Fn() + Send + Sync + 'static,
) -> Guarded {
    let Some(deadline) = Instant::now().checked_add(limit) else { return Guarded(None) };
    let watchdog = watchdog();
    let mut entries = watchdog.entries.lock().unwrap_or_else(PoisonError::into_inner);
    entries.issued += 1;
    let number = entries.issued;
    let entry = Entry { deadline, seed, told: false, on_expiry: Arc::new(on_expiry) };
    entries.runs.insert(number, entry);
    if entries.sleeps_until.is_none_or(|until| deadline < until) {
        watchdog.sooner.notify_one();
    }
    Guarded(Some(number))
}

impl Drop for Guarded {
    fn drop(&mut self) {
        if let Some(number) = self.0 {
            let mut entries = watchdog().entries.lock().unwrap_or_else(PoisonError::into_inner);
            entries.runs.remove(&number);
        }
    }
}

#[allow(clippy::disallowed_methods)] // See the head of the file.
fn watchdog() -> &'static Watchdog {
    static WATCHDOG: OnceLock<&'static Watchdog> = OnceLock::new();
    WATCHDOG.get_or_init(|| {
        let watchdog: &'static Watchdog = Box::leak(Box::default());
        // Without it there is no real limit, and nothing else is missing.
        let _ = std::thread::Builder::new()
            .name("p2p-simulator-watchdog".to_owned())
            .spawn(move || watchdog.watch());
        watchdog
    })
}

impl Watchdog {
    #[allow(clippy::disallowed_methods)] // See the head of the file.
    fn watch(&self) {
        let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            let now = Instant::now();
            let mut expired = Vec::new();
            for entry in entries.runs.values_mut().filter(|entry| entry.deadline <= now) {
                expired.push(entry.clone());
                // Half a century: it has been told twice.
                let again = if entry.told { GRACE * 157_788_000 } else { GRACE };
                (entry.told, entry.deadline) = (true, now + again);
            }
            let next = entries.runs.values().map(|entry| entry.deadline).min();
            entries.sleeps_until = next;
            if !expired.is_empty() {
                drop(entries);
                expired.iter().for_each(Entry::expire);
                entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
                continue;
            }
            entries = match next {
                Some(next) => {
                    let wait = self.sooner.wait_timeout(entries, next - now);
                    wait.unwrap_or_else(PoisonError::into_inner).0
                }
                None => self.sooner.wait(entries).unwrap_or_else(PoisonError::into_inner),
            };
        }
    }
}

impl Entry {
    fn expire(&self) {
        if self.told {
            eprintln!(
                "p2p-simulator: seed {}: the run is over its real time limit and does not let go \
                 of its thread: it blocks, or loops without an .await, and cannot be stopped",
                self.seed
            );
        }
        (self.on_expiry)();
    }
}
