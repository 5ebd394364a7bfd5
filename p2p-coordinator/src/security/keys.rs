//! API keys: what programs show that have no login of a player.
//!
//! Only digests are kept. Keys are drawn at random, so SHA-256 is enough where passwords would want a
//! slow hash; who configures a guessable one is refused in production.

use std::fmt;

use data_encoding::HEXLOWER;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use thiserror::Error;

use super::Role;

/// A key, as its digest, and what its bearer may do.
#[derive(Clone, PartialEq, Eq)]
pub struct ApiKey {
    digest: [u8; 32],
    role: Role,
}

impl ApiKey {
    /// The key of this text.
    pub fn new(role: Role, key: &str) -> Self {
        Self { digest: Sha256::digest(key.as_bytes()).into(), role }
    }

    /// The key whose SHA-256 this is, in hexadecimal digits.
    ///
    /// # Errors
    ///
    /// [`NotADigest`].
    pub fn from_digest(role: Role, digest: &str) -> Result<Self, NotADigest> {
        let bytes = HEXLOWER.decode(digest.to_ascii_lowercase().as_bytes());
        let digest = bytes.ok().and_then(|bytes| bytes.try_into().ok()).ok_or(NotADigest)?;
        Ok(Self { digest, role })
    }

    /// What its bearer is.
    pub const fn role(&self) -> Role {
        self.role
    }

    /// What it is called in logs: the beginning of its digest.
    pub fn name(&self) -> String {
        HEXLOWER.encode(&self.digest[..4])
    }
}

impl fmt::Debug for ApiKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ApiKey({} {})", self.role, self.name())
    }
}

/// All that are known.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ApiKeys(Vec<ApiKey>);

impl ApiKeys {
    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The key that was shown. Takes as long whichever it is, and if it is none.
    pub fn find(&self, shown: &[u8]) -> Option<&ApiKey> {
        let digest: [u8; 32] = Sha256::digest(shown).into();
        let mut found = None;
        for key in &self.0 {
            if bool::from(key.digest.ct_eq(&digest)) {
                found = Some(key);
            }
        }
        found
    }
}

impl FromIterator<ApiKey> for ApiKeys {
    fn from_iter<I: IntoIterator<Item = ApiKey>>(keys: I) -> Self {
        Self(keys.into_iter().collect())
    }
}

/// Text that is no digest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("a key's SHA-256 has 64 hexadecimal digits")]
pub struct NotADigest;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_found_by_what_it_is_and_by_nothing_near_it() {
        // The digest of `two`, as `printf two | sha256sum` prints it.
        let digest = "3fc4ccfe745870e2c0d99f71f30ff0656c8dedd41cc1d7d3d376b0dbe685e2f3";
        let keys: ApiKeys = [
            ApiKey::new(Role::Player, "one"),
            ApiKey::from_digest(Role::Admin, &digest.to_uppercase()).unwrap(),
        ]
        .into_iter()
        .collect();
        assert_eq!(keys.find(b"one").map(ApiKey::role), Some(Role::Player));
        assert_eq!(keys.find(b"two").map(ApiKey::role), Some(Role::Admin));
        for wrong in ["", "On", "one ", "onee", digest] {
            assert_eq!(keys.find(wrong.as_bytes()), None, "{wrong}");
        }
        assert_eq!(ApiKey::from_digest(Role::Admin, "abc"), Err(NotADigest));
        assert!(!format!("{keys:?}").contains("one"), "keys are not printed");
    }
}
