//! Hosts on which this process is about to place somebody.
//!
//! Two changes of one host cannot both be made from the same reading: one is made again. So of many
//! who want a new session at the same moment, each takes the best host that no other is about to take.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use p2p_coordinator_api::HostId;

use crate::domain::{HostView, RowId};

#[derive(Debug, Default)]
pub(super) struct Claims(Mutex<BTreeMap<RowId, HostId>>);

/// Ends when it is dropped.
#[derive(Debug)]
pub(super) struct Claim<'a> {
    claims: &'a Claims,
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

    /// Claims the host that `choose` chooses, given those that it must not choose.
    pub(super) fn claim(
        &self,
        choose: impl FnOnce(&[HostId]) -> Option<HostView>,
    ) -> Option<(HostView, Claim<'_>)> {
        let mut hosts = self.hosts();
        let claimed: Vec<_> = hosts.values().cloned().collect();
        let host = choose(&claimed)?;
        let id = host.row.id;
        hosts.insert(id, host.row.value.host_id.clone());
        Some((host, Claim { claims: self, host: id }))
    }
}

impl Drop for Claim<'_> {
    fn drop(&mut self) {
        self.claims.hosts().remove(&self.host);
    }
}
