//! Who is at the host: a list, without clock or connections.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use bytes::Bytes;
use p2p_coordinator_api::host::MAX_PRESENT;
use p2p_coordinator_api::{JoinClaims, Nonce, SessionName};
use tokio::time::Instant;

/// How long somebody who was let in may take to arrive: the rest of the handshake, and the wait for
/// the program to take the guests before.
const ARRIVAL: Duration = Duration::from_secs(10);

/// Guests, from admission on. A heartbeat between admission and arrival must name them, or the
/// coordinator gives their place away.
#[derive(Debug)]
pub(crate) struct Guests {
    /// By what they showed, which is theirs alone, and what their connection still shows.
    expected: BTreeMap<Bytes, Expected>,
    here: BTreeMap<u64, JoinClaims>,
    sessions: BTreeMap<SessionName, Activation>,
    next: u64,
    max_expected: usize,
}

#[derive(Debug)]
struct Expected {
    claims: JoinClaims,
    until: Instant,
}

/// What the coordinator knows of a session's beginning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Activation {
    /// It was told, or does not want to be.
    Done,
    UnderWay,
    Wanted,
}

/// A guest who has arrived.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Arrival {
    pub(crate) number: u64,
    pub(crate) claims: JoinClaims,
    /// Guests who are not any more: the same player's.
    pub(crate) replaced: Vec<u64>,
}

impl Guests {
    pub(crate) const fn new(max_expected: usize) -> Self {
        Self {
            expected: BTreeMap::new(),
            here: BTreeMap::new(),
            sessions: BTreeMap::new(),
            next: 0,
            max_expected,
        }
    }

    /// Somebody was let in and will arrive.
    pub(crate) fn expect(&mut self, now: Instant, credential: Bytes, claims: JoinClaims) {
        self.forget_late(now);
        if self.expected.len() >= self.max_expected {
            let first = self.expected.iter().min_by_key(|(_, expected)| expected.until);
            if let Some(credential) = first.map(|(credential, _)| credential.clone()) {
                self.expected.remove(&credential);
            }
        }
        self.expected.insert(credential, Expected { claims, until: now + ARRIVAL });
    }

    /// Whoever showed `credential` has arrived; `None` if that is nobody, or was too late.
    pub(crate) fn arrive(&mut self, now: Instant, credential: &Bytes) -> Option<Arrival> {
        self.forget_late(now);
        let Expected { claims, .. } = self.expected.remove(credential)?;
        let same = self.here.iter().filter(|(_, there)| there.player == claims.player);
        let replaced: Vec<_> = same.map(|(number, _)| *number).collect();
        for number in &replaced {
            self.leave(*number);
        }
        let number = self.next;
        self.next += 1;
        self.sessions.entry(claims.session.clone()).or_insert(Activation::Wanted);
        self.here.insert(number, claims.clone());
        Some(Arrival { number, claims, replaced })
    }

    /// A guest has left; `None` if it was none any more.
    pub(crate) fn leave(&mut self, number: u64) -> Option<JoinClaims> {
        let claims = self.here.remove(&number)?;
        if !self.here.values().any(|there| there.session == claims.session) {
            self.sessions.remove(&claims.session);
        }
        Some(claims)
    }

    fn forget_late(&mut self, now: Instant) {
        self.expected.retain(|_, expected| expected.until > now);
    }

    /// The tokens of all who are here or on their way.
    pub(crate) fn present(&mut self, now: Instant) -> Vec<Nonce> {
        self.forget_late(now);
        self.all().map(|claims| claims.nonce).take(MAX_PRESENT).collect()
    }

    /// How many zones they play in.
    pub(crate) fn zones(&self) -> usize {
        self.all().map(|claims| &claims.zone).collect::<BTreeSet<_>>().len()
    }

    /// How many have arrived.
    pub(crate) fn count(&self) -> usize {
        self.here.len()
    }

    fn all(&self) -> impl Iterator<Item = &JoinClaims> {
        let expected = self.expected.values().map(|expected| &expected.claims);
        self.here.values().chain(expected)
    }

    /// Sessions that have guests and of whose beginning the coordinator is now to be told.
    pub(crate) fn take_begun(&mut self) -> Vec<SessionName> {
        let wanted = self.sessions.iter_mut().filter(|(_, state)| **state == Activation::Wanted);
        wanted
            .map(|(session, state)| {
                *state = Activation::UnderWay;
                session.clone()
            })
            .collect()
    }

    /// The coordinator was told, or is to be told again another time.
    pub(crate) fn told(&mut self, session: &SessionName, again: bool) {
        if let Some(state) = self.sessions.get_mut(session) {
            *state = if again { Activation::Wanted } else { Activation::Done };
        }
    }
}

#[cfg(test)]
mod tests;
