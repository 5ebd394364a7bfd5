//! Who is at the host: a list, without clock or connections.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use bytes::Bytes;
use p2p_coordinator_api::host::MAX_PRESENT;
use p2p_coordinator_api::{JoinClaims, Nonce};
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
    /// Who are guests no more, and whose connections have not ended yet. At most as many as there
    /// are connections.
    closing: BTreeMap<u64, JoinClaims>,
    next: u64,
    max_expected: usize,
}

#[derive(Debug)]
struct Expected {
    claims: JoinClaims,
    until: Instant,
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
            closing: BTreeMap::new(),
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
        self.turn_out(&replaced);
        let number = self.next;
        self.next += 1;
        self.here.insert(number, claims.clone());
        Some(Arrival { number, claims, replaced })
    }

    /// A connection has ended: whose, if it was a guest's until then.
    pub(crate) fn leave(&mut self, number: u64) -> Option<JoinClaims> {
        self.closing.remove(&number);
        self.here.remove(&number)
    }

    fn turn_out(&mut self, numbers: &[u64]) {
        for number in numbers {
            if let Some(claims) = self.here.remove(number) {
                self.closing.insert(*number, claims);
            }
        }
    }

    /// Why somebody with these claims, who is not here yet, finds no room; at most `max_players` are
    /// wanted in all sessions together. The same player's other connection does not count: it goes.
    pub(crate) fn crowded(
        &mut self,
        now: Instant,
        claims: &JoinClaims,
        max_players: Option<u32>,
    ) -> bool {
        self.forget_late(now);
        let others: BTreeSet<_> = self
            .all()
            .chain(self.closing.values())
            .filter(|there| there.player != claims.player)
            .map(|there| (&there.session, &there.player))
            .collect();
        let here = others.iter().filter(|(session, _)| **session == claims.session).count();
        let is_full = |count: usize, max: u32| count >= usize::try_from(max).unwrap_or(usize::MAX);
        is_full(here, claims.places) || max_players.is_some_and(|max| is_full(others.len(), max))
    }

    /// Whose places are gone, by their tokens. Those who have arrived.
    pub(crate) fn evict(&mut self, gone: &[Nonce]) -> Vec<u64> {
        self.expected.retain(|_, expected| !gone.contains(&expected.claims.nonce));
        let evicted = self.here.iter().filter(|(_, claims)| gone.contains(&claims.nonce));
        let evicted: Vec<_> = evicted.map(|(number, _)| *number).collect();
        self.turn_out(&evicted);
        evicted
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
}

#[cfg(test)]
mod tests;
