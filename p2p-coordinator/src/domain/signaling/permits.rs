//! Until when connections may last: as long as the tokens that let them in.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use p2p_coordinator_api::{Nonce, Timestamp};

use super::ConnectionId;

/// What lets a connection be there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Permit {
    /// The login that its token comes from.
    pub family: Nonce,
    /// When it ends.
    pub expires_at: Timestamp,
}

/// The permits of all connections that have shown a token.
#[derive(Debug)]
pub(super) struct Permits {
    /// How long before the end it is told.
    warning: Duration,
    /// With the time of the warning.
    known: BTreeMap<ConnectionId, (Permit, Timestamp)>,
    /// When there is something to do about a connection, and whether that is its end.
    due: BTreeSet<(Timestamp, ConnectionId, Due)>,
}

/// What there is to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Due {
    /// To tell that the token is about to end.
    Warning,
    /// To end the connection.
    End,
}

impl Permits {
    pub(super) const fn new(warning: Duration) -> Self {
        Self { warning, known: BTreeMap::new(), due: BTreeSet::new() }
    }

    /// A connection has shown a token. It is told of its end a fourth of the token's life before that,
    /// or the warning's time if that is less.
    pub(super) fn grant(&mut self, now: Timestamp, connection: ConnectionId, permit: Permit) {
        self.forget(connection);
        let warning = self.warning.min(permit.expires_at.since(now) / 4);
        let told_at = permit.expires_at.before(warning);
        self.known.insert(connection, (permit, told_at));
        self.due.insert((told_at, connection, Due::Warning));
        self.due.insert((permit.expires_at, connection, Due::End));
    }

    pub(super) fn forget(&mut self, connection: ConnectionId) {
        if let Some((permit, told_at)) = self.known.remove(&connection) {
            self.due.remove(&(told_at, connection, Due::Warning));
            self.due.remove(&(permit.expires_at, connection, Due::End));
        }
    }

    /// The next that is due, and the permit that it is about.
    pub(super) fn next(&mut self, now: Timestamp) -> Option<(ConnectionId, Due, Permit)> {
        let &(at, connection, due) = self.due.first()?;
        if at > now {
            return None;
        }
        self.due.pop_first();
        let (permit, _) = self.known.get(&connection)?;
        Some((connection, due, *permit))
    }

    /// Connections whose login has been taken back.
    pub(super) fn of(&self, is_void: impl Fn(&Nonce) -> bool) -> Vec<ConnectionId> {
        let void = self.known.iter().filter(|(_, (permit, _))| is_void(&permit.family));
        void.map(|(connection, _)| *connection).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: Timestamp = Timestamp::from_millis(1_000_000);
    const A: ConnectionId = ConnectionId(1);
    const B: ConnectionId = ConnectionId(2);

    fn permit(family: u8, seconds: u64) -> Permit {
        let expires_at = START.after(Duration::from_secs(seconds));
        Permit { family: Nonce([family; 16]), expires_at }
    }

    fn at(seconds: u64) -> Timestamp {
        START.after(Duration::from_secs(seconds))
    }

    /// What is due at a moment.
    fn due(permits: &mut Permits, seconds: u64) -> Vec<(ConnectionId, Due)> {
        let next = || permits.next(at(seconds)).map(|(connection, due, _)| (connection, due));
        std::iter::from_fn(next).collect()
    }

    #[test]
    fn each_is_warned_once_and_ended_at_its_end_and_a_newer_token_moves_both() {
        let mut permits = Permits::new(Duration::from_secs(60));
        permits.grant(START, A, permit(1, 1000));
        // A short one is warned after three quarters of it.
        permits.grant(START, B, permit(2, 100));
        assert_eq!(due(&mut permits, 74), []);
        assert_eq!(due(&mut permits, 75), [(B, Due::Warning)]);
        assert_eq!(due(&mut permits, 99), []);
        permits.grant(at(99), B, permit(2, 2000));
        assert_eq!(due(&mut permits, 939), []);
        assert_eq!(due(&mut permits, 1000), [(A, Due::Warning), (A, Due::End)]);
        assert_eq!(due(&mut permits, 3000), [(B, Due::Warning), (B, Due::End)]);
    }

    #[test]
    fn of_those_that_are_gone_nothing_is_kept() {
        let mut permits = Permits::new(Duration::from_secs(60));
        permits.grant(START, A, permit(1, 100));
        permits.grant(START, B, permit(2, 100));
        assert_eq!(permits.of(|family| *family == Nonce([2; 16])), [B]);
        permits.forget(A);
        permits.forget(A);
        assert_eq!(due(&mut permits, 1000), [(B, Due::Warning), (B, Due::End)]);
        permits.forget(B);
        assert!(permits.known.is_empty() && permits.due.is_empty());
    }
}
