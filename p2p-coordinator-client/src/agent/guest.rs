//! [`Guest`]: a player at the host.

use std::sync::Arc;

use p2p_coordinator_api::{JoinClaims, PlayerId, SessionName, ZoneId};

use super::hall::Shared;

/// A player whom the coordinator sent, and the connection to it.
///
/// Hold it as long as the player may stay: dropping it closes the connection, other handles of which
/// there may be, with [`LET_GO`](crate::HostAgent::LET_GO). The coordinator is told when the
/// connection ends, whoever ends it.
#[derive(Debug)]
#[must_use = "dropping it closes the guest's connection"]
#[non_exhaustive]
pub struct Guest<C> {
    /// The connection. Not to be moved out: clone it, and keep the guest.
    pub connection: C,
    /// Who it is.
    pub player: PlayerId,
    /// The session in which it has a place.
    pub session: SessionName,
    /// The zone that is played there.
    pub zone: ZoneId,
    number: u64,
    shared: Arc<Shared>,
}

impl<C> Guest<C> {
    pub(super) fn new(connection: C, number: u64, claims: JoinClaims, shared: Arc<Shared>) -> Self {
        let JoinClaims { player, session, zone, .. } = claims;
        Self { connection, player, session, zone, number, shared }
    }
}

impl<C> Drop for Guest<C> {
    fn drop(&mut self) {
        self.shared.let_go(self.number);
    }
}
