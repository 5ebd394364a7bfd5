//! Whether the coordinator can do its work now, writing included.
//!
//! Anybody may ask, as often as they like: the store is asked at most once in [`AGE`], by one at a
//! time, and also if those who asked have gone before it answered.

use std::sync::atomic::Ordering;
use std::time::Duration;

use p2p_coordinator_api::service::Readiness;
use tokio::sync::Mutex;
use tokio::time::{Instant, sleep_until};

use super::Coordinator;
use crate::store::Store;

/// How long an answer of the store counts, and the shortest time between two questions.
const AGE: Duration = Duration::from_secs(1);

/// What the store was last asked, and what it said.
#[derive(Debug, Default)]
pub(super) struct Probe(Mutex<Last>);

#[derive(Debug, Default)]
struct Last {
    asked: Option<Instant>,
    answered: Option<(Instant, bool)>,
}

impl<S: Store> Coordinator<S> {
    /// Whether it can do its work now: as a sentence for each thing that is needed. What the store
    /// said counts for a second.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses nothing; who asks within a second after that waits for the rest of it.
    pub async fn readiness(&self) -> Readiness {
        let store = if self.can_write().await { "ok" } else { "unavailable" };
        let status = if self.inner.draining.load(Ordering::Relaxed) {
            "draining"
        } else if store == "ok" {
            "ready"
        } else {
            "unavailable"
        };
        Readiness {
            status: status.into(),
            checks: [(self.store().name().to_owned(), store.to_owned())].into(),
        }
    }

    async fn can_write(&self) -> bool {
        let mut last = self.inner.probe.0.lock().await;
        if let Some((_, said)) = last.answered.filter(|(at, _)| at.elapsed() < AGE) {
            return said;
        }
        if let Some(asked) = last.asked {
            // Whoever asked may have gone, and the store is still at it.
            sleep_until(asked + AGE).await;
        }
        last.asked = Some(Instant::now());
        let checked = self.store().check().await;
        let said = checked.is_ok();
        last.answered = Some((Instant::now(), said));
        if let Err(error) = checked {
            tracing::error!(error = &error as &dyn std::error::Error, "the store is not ready");
            self.note(&error.into());
        }
        said
    }
}
