//! Hosts on which this process is about to place somebody.
//!
//! Two changes of one host cannot both be made from the same reading: one is made again. So of many
//! who want a new session at the same moment, each takes the best host that no other is about to take.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use p2p_coordinator_api::HostId;

use crate::domain::{HostView, RowId};

#[derive(Clone, Debug, Default)]
pub(super) struct Claims(Arc<Mutex<BTreeMap<RowId, HostId>>>);

/// Ends when it is dropped.
#[derive(Debug)]
pub(super) struct Claim {
    claims: Claims,
    host: RowId,
}

impl Claims {
    fn hosts(&self) -> MutexGuard<'_, BTreeMap<RowId, HostId>> {
        // Each change of it is whole.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Which are claimed: no more than there are requests at once.
    pub(super) fn claimed(&self) -> Vec<HostId> {
        self.hosts().values().cloned().collect()
    }

    /// Claims a host that nobody has claimed.
    pub(super) fn claim(&self, host: &HostView) -> Claim {
        let id = host.row.id;
        self.hosts().insert(id, host.row.value.host_id.clone());
        Claim { claims: self.clone(), host: id }
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        self.claims.hosts().remove(&self.host);
    }
}
