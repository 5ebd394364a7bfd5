//! Who may come in: the judgement on join tokens, offline and without a clock of its own.

use std::collections::{BTreeMap, BTreeSet};

use p2p_coordinator_api::{
    HostId, JoinClaims, JoinToken, Nonce, SessionName, Timestamp, TokenError,
};
use p2p_core::PeerId;
use thiserror::Error;

/// Judges join tokens for one host. Nobody comes in twice by the same token, whatever the order of
/// calls and the times in them.
#[derive(Debug)]
pub struct Doorkeeper {
    issuer: PeerId,
    host: HostId,
    host_peer: PeerId,
    not_before: Timestamp,
    /// The latest moment it was told. It judges by no earlier one: a nonce that was forgotten
    /// because its token had expired must not become new by a clock that goes back.
    latest: Timestamp,
    max_remembered: usize,
    used: BTreeSet<Nonce>,
    /// The same, by when they need not be known any more.
    by_expiry: BTreeSet<(Timestamp, Nonce)>,
    epochs: BTreeMap<SessionName, Epoch>,
    admitted: u64,
}

#[derive(Debug)]
struct Epoch {
    newest: u64,
    /// When somebody was admitted last, counted in admissions.
    last_admitted: u64,
}

impl Doorkeeper {
    /// For the host `host` with the peer id `host_peer`, which honours tokens of `issuer` made
    /// after `not_before`. It remembers at most `max_remembered` tokens that were used and have
    /// not expired, and as many sessions.
    pub const fn new(
        issuer: PeerId,
        host: HostId,
        host_peer: PeerId,
        not_before: Timestamp,
        max_remembered: usize,
    ) -> Self {
        Self {
            issuer,
            host,
            host_peer,
            not_before,
            latest: not_before,
            max_remembered,
            used: BTreeSet::new(),
            by_expiry: BTreeSet::new(),
            epochs: BTreeMap::new(),
            admitted: 0,
        }
    }

    /// Honours tokens of `issuer` from now on, and of nobody else; of a new one those made
    /// after `not_before`. Says whether it is a new one: then all that is known of tokens, times
    /// included, was about the old one's and is forgotten. For the same, nothing changes.
    pub fn set_issuer(&mut self, issuer: PeerId, not_before: Timestamp) -> bool {
        let is_new = issuer != self.issuer;
        if is_new {
            let host = self.host.clone();
            *self = Self::new(issuer, host, self.host_peer, not_before, self.max_remembered);
        }
        is_new
    }

    /// The coordinator's clock was put back to `now`: tokens made from then on are honoured. Those
    /// that were used stay used.
    pub(crate) fn set_back(&mut self, now: Timestamp) {
        self.latest = self.latest.min(now);
        self.not_before = self.not_before.min(now);
    }

    /// Lets the peer `applicant` in, who showed `credential` at `now` by the coordinator's clock, or
    /// says why not. Only who is let in leaves a trace.
    ///
    /// # Errors
    ///
    /// [`TokenRefusal`].
    pub fn admit(
        &mut self,
        now: Timestamp,
        applicant: PeerId,
        credential: &[u8],
    ) -> Result<JoinClaims, TokenRefusal> {
        self.latest = self.latest.max(now);
        let claims = JoinToken::from_bytes(credential).verify(self.issuer)?;
        if claims.host != self.host || claims.host_peer != self.host_peer {
            return Err(TokenRefusal::OtherHost);
        }
        if claims.peer != applicant {
            return Err(TokenRefusal::OtherPeer);
        }
        // Not in the same moment either: the registration has voided what was given before it, and
        // two things that happen in one millisecond cannot be told apart.
        if claims.issued_at <= self.not_before {
            return Err(TokenRefusal::BeforeStart);
        }
        if claims.expires_at <= self.latest {
            return Err(TokenRefusal::Expired);
        }
        if self.epochs.get(&claims.session).is_some_and(|epoch| epoch.newest > claims.epoch) {
            return Err(TokenRefusal::Superseded);
        }
        if self.used.contains(&claims.nonce) {
            return Err(TokenRefusal::Used);
        }
        self.forget_expired();
        if self.used.len() >= self.max_remembered {
            return Err(TokenRefusal::TooManyRemembered { max: self.max_remembered });
        }
        self.remember(&claims);
        Ok(claims)
    }

    fn forget_expired(&mut self) {
        while let Some(&(expires, nonce)) = self.by_expiry.first() {
            if expires > self.latest {
                break;
            }
            self.by_expiry.pop_first();
            self.used.remove(&nonce);
        }
    }

    fn remember(&mut self, claims: &JoinClaims) {
        self.used.insert(claims.nonce);
        self.by_expiry.insert((claims.expires_at, claims.nonce));
        self.admitted += 1;
        let full = self.epochs.len() >= self.max_remembered;
        if full && !self.epochs.contains_key(&claims.session) {
            // What is lost is the refusal of a token that has not expired, of a session that has been
            // elsewhere since and that nobody has come to for longest.
            let oldest = self.epochs.iter().min_by_key(|(_, epoch)| epoch.last_admitted);
            if let Some(session) = oldest.map(|(session, _)| session.clone()) {
                self.epochs.remove(&session);
            }
        }
        let epoch = Epoch { newest: claims.epoch, last_admitted: self.admitted };
        self.epochs.insert(claims.session.clone(), epoch);
    }
}

/// Why a token does not open the door. The words go to the player.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum TokenRefusal {
    /// Made before the host started, which knows nothing of that time.
    #[error("the token was made before this host started: ask for a new one")]
    BeforeStart,
    /// Its time is over.
    #[error("the token has expired: ask for a new one")]
    Expired,
    /// Made for another host, by name or by peer id.
    #[error("the token is for another host")]
    OtherHost,
    /// Made for another peer than the one that shows it.
    #[error("the token was made for another peer")]
    OtherPeer,
    /// The session has been given to a host again since the token was made.
    #[error("the session has moved since the token was made: ask for a new one")]
    Superseded,
    /// Not a token of the coordinator.
    #[error(transparent)]
    Token(#[from] TokenError),
    /// So many tokens were used and have not expired that no more can be remembered; an unexpired
    /// one is never forgotten.
    #[error("the host remembers {max} used tokens and no more: try again when some have expired")]
    TooManyRemembered {
        /// The bound.
        max: usize,
    },
    /// Somebody has come in by it.
    #[error("the token has been used: ask for a new one")]
    Used,
}

#[cfg(test)]
mod tests;
