//! What a node knows of one of its listeners.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::backlog::{Backlog, Entry};
use crate::connection::Connection;
use crate::error::{Limit, P2PError, Result};
use crate::options::{Admission, Applicant, Refusal};
use crate::pass::Pass;
use crate::path::PathPolicy;
use crate::transport::Link;

/// Where admitted connections of one protocol go.
pub(crate) struct Slot<L: Link> {
    pub(crate) admission: Arc<dyn Admission>,
    pub(crate) backlog: Arc<Backlog<Connection<L>>>,
    /// For connections that live.
    pub(crate) places: Arc<Semaphore>,
    pub(crate) max_connections: usize,
    pub(crate) path_policy: PathPolicy,
}

impl<L: Link> Slot<L> {
    /// A place for a connection that lives, and one to wait in until it is accepted, if there are both;
    /// or the bound that leaves none.
    pub(crate) fn place(&self) -> Result<(OwnedSemaphorePermit, Entry<Connection<L>>)> {
        let both = || {
            let full = |limit, max: usize| {
                let (max, actual) = (max as u64, max as u64 + 1);
                P2PError::LimitExceeded { limit, max, actual }
            };
            let place = self.places.clone().try_acquire_owned();
            let place = place.map_err(|_| full(Limit::Connections, self.max_connections))?;
            let entry = self.backlog.try_reserve();
            Ok((place, entry.ok_or_else(|| full(Limit::Backlog, self.backlog.capacity()))?))
        };
        both().or_else(|full| if self.make_room() { both() } else { Err(full) })
    }

    /// Asks the hook, once more if it has no place free and somebody can make room.
    pub(crate) async fn judge(&self, applicant: &Applicant) -> Result<Pass, Refusal> {
        match self.admission.judge(applicant).await {
            Err(Refusal::Full { .. }) if self.make_room() => self.admission.judge(applicant).await,
            judged => judged,
        }
    }

    /// Drops those who gave up before they were accepted: they stand in nobody's way. Whether there
    /// was one.
    fn make_room(&self) -> bool {
        self.backlog.shed(|waiting| waiting.inner.core.was_given_up())
    }
}

impl<L: Link> Clone for Slot<L> {
    fn clone(&self) -> Self {
        Self {
            admission: self.admission.clone(),
            backlog: self.backlog.clone(),
            places: self.places.clone(),
            max_connections: self.max_connections,
            path_policy: self.path_policy,
        }
    }
}
