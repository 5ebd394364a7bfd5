//! What is counted over sessions: kept beside hosts and zones with each commit, so that nobody has to
//! look at all sessions to know it.

use std::collections::{BTreeMap, BTreeSet};

use p2p_coordinator_api::SessionStatus;

use crate::domain::{RowId, SessionRecord};

/// What a session counts for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Weight {
    pub(crate) host: RowId,
    pub(crate) zone: RowId,
    pub(crate) status: SessionStatus,
    pub(crate) players: i64,
    pub(crate) served: i64,
}

impl Weight {
    pub(crate) fn of(session: &SessionRecord) -> Self {
        Self {
            host: session.host,
            zone: session.zone,
            status: session.status,
            players: i64::try_from(session.seats.len()).unwrap_or(i64::MAX),
            served: i64::try_from(session.served).unwrap_or(i64::MAX),
        }
    }

    /// What of it a host carries: in a zone, so many players.
    const fn carried(self) -> Option<(RowId, RowId, i64)> {
        if self.status.is_live() { Some((self.host, self.zone, self.players)) } else { None }
    }
}

/// What changes with sessions that change.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    /// Hosts that carry something else.
    pub(crate) hosts: BTreeSet<RowId>,
    /// By zone, how many more sessions, active ones, and players served there are.
    pub(crate) zones: BTreeMap<RowId, [i64; 3]>,
}

impl Tally {
    /// A session as it was, and as it is. One that is deleted is forgotten, and was nevertheless.
    pub(crate) fn note(&mut self, before: Option<Weight>, after: Option<Weight>) {
        let carried = [before, after].map(|weight| weight.and_then(Weight::carried));
        if carried[0] != carried[1] {
            self.hosts.extend(carried.into_iter().flatten().map(|(host, ..)| host));
        }
        let active = |weight: Weight| i64::from(weight.status == SessionStatus::Active);
        if let Some(after) = after {
            let counts = self.zones.entry(after.zone).or_default();
            counts[0] += i64::from(before.is_none());
            counts[1] += active(after);
            counts[2] = counts[2].saturating_add(after.served);
        }
        if let Some(before) = before {
            let counts = self.zones.entry(before.zone).or_default();
            counts[1] -= active(before);
            if after.is_some() {
                counts[2] = counts[2].saturating_sub(before.served);
            }
        }
        self.zones.retain(|_, counts| *counts != [0; 3]);
    }
}
