//! Logins: which refresh token of each is good, and which of them were taken back.
//!
//! Each use of a refresh token makes another and ends the one that was shown. One that is shown twice
//! was stolen, from its owner or by its owner: nobody can tell who of the two asks, so the whole
//! login ends (RFC 9700, section 4.14.2).

use std::collections::BTreeSet;

use p2p_coordinator_api::{Nonce, PlayerId, Timestamp};
use serde::{Deserialize, Serialize};

use super::Role;

/// A login as it is stored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GrantRecord {
    /// Its name: the `sid` of all its tokens.
    pub family: Nonce,
    /// Who logged in.
    pub player: PlayerId,
    /// As what.
    pub role: Role,
    /// What the game calls its user.
    pub user: Option<String>,
    /// The one refresh token of it that is good (its `jti`).
    pub current: Nonce,
    /// Whether it was taken back.
    pub revoked: bool,
    /// When it is nothing any more: its refresh token has ended, or, once it was taken back, its
    /// last access token.
    pub expires_at: Timestamp,
}

impl GrantRecord {
    /// Ends the refresh token that was shown, and makes `next` the one that is good. Whether the one
    /// that was shown was good.
    pub fn rotate(&mut self, shown: Nonce, next: Nonce, expires_at: Timestamp) -> bool {
        let good = !self.revoked && self.current == shown;
        if good {
            self.current = next;
            self.expires_at = expires_at;
        }
        good
    }

    /// Takes it back. It is remembered until none of its access tokens could be good.
    pub fn revoke(&mut self, until: Timestamp) {
        if !self.revoked {
            self.revoked = true;
            self.expires_at = until;
        }
    }
}

/// Logins that were taken back, of which access tokens may still be on their way.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Revoked(BTreeSet<Nonce>);

impl Revoked {
    /// Whether a token of this login is void.
    pub fn contains(&self, family: &Nonce) -> bool {
        self.0.contains(family)
    }

    /// One more.
    pub fn insert(&mut self, family: Nonce) {
        self.0.insert(family);
    }
}

impl FromIterator<Nonce> for Revoked {
    fn from_iter<I: IntoIterator<Item = Nonce>>(families: I) -> Self {
        Self(families.into_iter().collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LATER: Timestamp = Timestamp::from_millis(5_000);

    fn grant() -> GrantRecord {
        GrantRecord {
            family: Nonce([1; 16]),
            player: "alice".parse().unwrap(),
            role: Role::Player,
            user: None,
            current: Nonce([2; 16]),
            revoked: false,
            expires_at: Timestamp::from_millis(1_000),
        }
    }

    #[test]
    fn a_refresh_token_is_good_once() {
        let mut grant = grant();
        assert!(grant.rotate(Nonce([2; 16]), Nonce([3; 16]), LATER));
        let rotated = grant.clone();
        assert!(!grant.rotate(Nonce([2; 16]), Nonce([4; 16]), LATER), "it was used");
        assert_eq!(grant, rotated, "who is refused changes nothing");
        assert!(grant.rotate(Nonce([3; 16]), Nonce([4; 16]), LATER));
    }

    #[test]
    fn what_was_taken_back_stays_so() {
        let mut grant = grant();
        grant.revoke(LATER);
        assert!(!grant.rotate(Nonce([2; 16]), Nonce([3; 16]), Timestamp::MAX));
        grant.revoke(Timestamp::MAX);
        assert_eq!((grant.revoked, grant.expires_at), (true, LATER));
    }
}
