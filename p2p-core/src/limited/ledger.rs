//! Who has used how much: a pure core. `now` is the time since it was made.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::Way;
use super::limits::{Limits, ScopeLimits, TrafficLimits};
use crate::error::{Limit, P2PError, Result};
use crate::identity::PeerId;
use crate::token_bucket::{RateLimit, TokenBucket};

#[derive(Debug)]
pub(super) struct Ledger {
    limits: Limits,
    total: Account,
    /// At most `max_peers`.
    peers: BTreeMap<PeerId, Account>,
    /// Those of them that have no connection, by when they were last heard of.
    quiet: BTreeSet<(Duration, PeerId)>,
}

/// What one peer, or all together, have used.
#[derive(Debug)]
struct Account {
    connections: usize,
    dials: Option<TokenBucket>,
    admissions: Option<TokenBucket>,
    sent: Traffic,
    received: Traffic,
    /// Since when it has had no connection.
    quiet: Duration,
}

#[derive(Debug)]
struct Traffic {
    messages: Option<TokenBucket>,
    bytes: Option<TokenBucket>,
}

/// A limit that applies, and how many are wanted of it.
struct Want<'a> {
    bucket: &'a mut Option<TokenBucket>,
    tokens: u64,
    limit: Limit,
    peer: Option<PeerId>,
}

impl Ledger {
    pub(super) fn new(limits: Limits, now: Duration) -> Self {
        let total = Account::new(&limits.total, now);
        Self { limits, total, peers: BTreeMap::new(), quiet: BTreeSet::new() }
    }

    pub(super) fn limits(&self) -> &Limits {
        &self.limits
    }

    pub(super) fn set_limits(&mut self, limits: Limits, now: Duration) {
        self.total.set_limits(&limits.total, now);
        for account in self.peers.values_mut() {
            account.set_limits(&limits.per_peer, now);
        }
        self.limits = limits;
        while self.peers.len() > self.limits.max_peers && self.forget_quietest() {}
    }

    /// This side is about to dial `peer`: takes a handshake and a place among the connections.
    pub(super) fn dial(&mut self, peer: PeerId, now: Duration) -> Result<()> {
        self.has_place(peer)?;
        let (total, account) = self.accounts(peer, now)?;
        take(
            [
                Want::new(&mut total.dials, 1, Limit::Dials, None),
                Want::new(&mut account.dials, 1, Limit::Dials, Some(peer)),
            ],
            now,
        )?;
        self.enter(peer, now)
    }

    /// `peer` asks to be let in: takes a handshake and a place among the connections.
    pub(super) fn admit(&mut self, peer: PeerId, now: Duration) -> Result<()> {
        self.accounts(peer, now)?;
        // Before the handshake is taken: the applicant may be judged again when there is a place.
        self.has_place(peer)?;
        let (total, account) = self.accounts(peer, now)?;
        take(
            [
                Want::new(&mut total.admissions, 1, Limit::Admissions, None),
                Want::new(&mut account.admissions, 1, Limit::Admissions, Some(peer)),
            ],
            now,
        )?;
        self.enter(peer, now)
    }

    /// Takes a place among the connections.
    fn enter(&mut self, peer: PeerId, now: Duration) -> Result<()> {
        self.has_place(peer)?;
        let (total, account) = self.accounts(peer, now)?;
        total.connections += 1;
        account.connections += 1;
        let quiet = account.quiet;
        self.quiet.remove(&(quiet, peer));
        Ok(())
    }

    /// Gives a place back.
    pub(super) fn leave(&mut self, peer: PeerId, now: Duration) {
        self.total.connections = self.total.connections.saturating_sub(1);
        let Some(account) = self.peers.get_mut(&peer) else { return };
        account.connections = account.connections.saturating_sub(1);
        if account.connections == 0 {
            account.quiet = now;
            self.quiet.insert((now, peer));
        }
    }

    /// This side is about to send a message of so many bytes.
    pub(super) fn send(&mut self, peer: PeerId, bytes: u64, now: Duration) -> Result<()> {
        let mut none = (None, None);
        let (messages, all) = match self.peers.get_mut(&peer) {
            Some(account) => (&mut account.sent.messages, &mut account.sent.bytes),
            None => (&mut none.0, &mut none.1),
        };
        let total = &mut self.total.sent;
        take(
            [
                Want::new(&mut total.messages, 1, Limit::SentMessages, None),
                Want::new(&mut total.bytes, bytes, Limit::SentBytes, None),
                Want::new(messages, 1, Limit::SentMessages, Some(peer)),
                Want::new(all, bytes, Limit::SentBytes, Some(peer)),
            ],
            now,
        )
    }

    /// How long until one more message may come.
    pub(super) fn wait(&mut self, peer: PeerId, now: Duration) -> Duration {
        let mut longest = Duration::ZERO;
        for account in [Some(&mut self.total), self.peers.get_mut(&peer)].into_iter().flatten() {
            let Traffic { messages, bytes } = &mut account.received;
            for bucket in [messages, bytes].into_iter().flatten() {
                longest = longest.max(bucket.wait(1, now));
            }
        }
        longest
    }

    /// Of what [`send`](Ledger::send) took, so many messages and bytes were not sent after all.
    pub(super) fn unsend(&mut self, peer: PeerId, sent: u64, bytes: u64, now: Duration) {
        for account in [Some(&mut self.total), self.peers.get_mut(&peer)].into_iter().flatten() {
            let Traffic { messages, bytes: all } = &mut account.sent;
            for (bucket, tokens) in [(messages, sent), (all, bytes)] {
                if let Some(bucket) = bucket {
                    bucket.put_back(tokens, now);
                }
            }
        }
    }

    /// How many of `wanted` bytes may go over a stream now, or how long to wait. Not until there are
    /// enough to be worth a packet, or all that are wanted.
    pub(super) fn portion(
        &mut self,
        peer: PeerId,
        way: Way,
        wanted: usize,
        now: Duration,
    ) -> Result<usize, Duration> {
        let (mut portion, mut longest) = (wanted, Duration::ZERO);
        for account in [Some(&mut self.total), self.peers.get_mut(&peer)].into_iter().flatten() {
            let Some(bucket) = &mut account.way(way).bytes else { continue };
            let worth_it = (wanted.min(WORTH_IT) as u64).min(bucket.limit().burst());
            longest = longest.max(bucket.wait(worth_it, now));
            portion = portion.min(usize::try_from(bucket.available(now)).unwrap_or(usize::MAX));
        }
        if longest.is_zero() { Ok(portion) } else { Err(longest) }
    }

    /// So much has gone.
    pub(super) fn charge(
        &mut self,
        peer: PeerId,
        way: Way,
        messages: u64,
        bytes: u64,
        now: Duration,
    ) {
        let account = self.peers.get_mut(&peer);
        for traffic in [Some(&mut self.total), account].into_iter().flatten() {
            let traffic = traffic.way(way);
            for (bucket, tokens) in [(&mut traffic.messages, messages), (&mut traffic.bytes, bytes)]
            {
                if let Some(bucket) = bucket {
                    bucket.charge(tokens, now);
                }
            }
        }
    }

    fn has_place(&self, peer: PeerId) -> Result<()> {
        let with_peer = self.peers.get(&peer).map_or(0, |account| account.connections);
        for (connections, max, peer) in [
            (self.total.connections, self.limits.total.connections, None),
            (with_peer, self.limits.per_peer.connections, Some(peer)),
        ] {
            if connections >= max {
                return Err(self.no_room(Limit::Connections, max, peer));
            }
        }
        Ok(())
    }

    fn no_room(&self, limit: Limit, max: usize, peer: Option<PeerId>) -> P2PError {
        let retry_after = self.limits.retry_after;
        P2PError::RateLimited { limit, peer, max: max as u64, per: None, retry_after }
    }

    /// The total's account and this peer's, which may take another's place.
    fn accounts(&mut self, peer: PeerId, now: Duration) -> Result<(&mut Account, &mut Account)> {
        if !self.peers.contains_key(&peer) {
            let max = self.limits.max_peers;
            if self.peers.len() >= max && !self.forget_quietest() {
                return Err(self.no_room(Limit::Peers, max, None));
            }
        }
        let account = self.peers.entry(peer);
        let account = account.or_insert_with(|| Account::new(&self.limits.per_peer, now));
        if account.connections == 0 {
            self.quiet.remove(&(account.quiet, peer));
            self.quiet.insert((now, peer));
            account.quiet = now;
        }
        Ok((&mut self.total, account))
    }

    /// Makes room for a peer, if one has no connection.
    fn forget_quietest(&mut self) -> bool {
        let quietest = self.quiet.pop_first();
        quietest.is_some_and(|(_, peer)| self.peers.remove(&peer).is_some())
    }
}

impl Account {
    fn new(limits: &ScopeLimits, now: Duration) -> Self {
        let bucket = |limit: Option<RateLimit>| limit.map(|limit| TokenBucket::new(limit, now));
        let traffic = |limits: &TrafficLimits| Traffic {
            messages: bucket(limits.messages),
            bytes: bucket(limits.bytes),
        };
        Self {
            connections: 0,
            dials: bucket(limits.dials),
            admissions: bucket(limits.admissions),
            sent: traffic(&limits.sent),
            received: traffic(&limits.received),
            quiet: now,
        }
    }

    fn set_limits(&mut self, limits: &ScopeLimits, now: Duration) {
        let ScopeLimits { connections: _, dials, admissions, sent, received } = limits;
        for (bucket, limit) in [
            (&mut self.dials, dials),
            (&mut self.admissions, admissions),
            (&mut self.sent.messages, &sent.messages),
            (&mut self.sent.bytes, &sent.bytes),
            (&mut self.received.messages, &received.messages),
            (&mut self.received.bytes, &received.bytes),
        ] {
            match (bucket.as_mut(), *limit) {
                (Some(bucket), Some(limit)) => bucket.set_limit(limit, now),
                (None, Some(limit)) => *bucket = Some(TokenBucket::new(limit, now)),
                (_, None) => *bucket = None,
            }
        }
    }

    fn way(&mut self, way: Way) -> &mut Traffic {
        match way {
            Way::Received => &mut self.received,
            Way::Sent => &mut self.sent,
        }
    }
}

impl<'a> Want<'a> {
    fn new(
        bucket: &'a mut Option<TokenBucket>,
        tokens: u64,
        limit: Limit,
        peer: Option<PeerId>,
    ) -> Self {
        Self { bucket, tokens, limit, peer }
    }
}

/// Takes all that is wanted, or nothing: then it names the limit that takes longest.
fn take<const N: usize>(mut wants: [Want<'_>; N], now: Duration) -> Result<()> {
    let mut longest = Duration::ZERO;
    let mut error = Ok(());
    for Want { bucket, tokens, limit, peer } in &mut wants {
        let Some(bucket) = bucket else { continue };
        let retry_after = bucket.wait(*tokens, now);
        if retry_after > longest {
            longest = retry_after;
            let rate = bucket.limit();
            error = Err(P2PError::RateLimited {
                limit: *limit,
                peer: *peer,
                max: rate.amount(),
                per: Some(rate.period()),
                retry_after,
            });
        }
    }
    error?;
    for Want { bucket, tokens, .. } in &mut wants {
        if let Some(bucket) = bucket {
            bucket.charge(*tokens, now);
        }
    }
    Ok(())
}

/// Bytes that fill the packets of most paths well: two or three of them.
const WORTH_IT: usize = 4096;

#[cfg(test)]
mod tests;
