//! Secrets: not printed, and not what somebody could guess.

use std::collections::BTreeSet;
use std::fmt;

use serde::{Deserialize, Serialize, Serializer};

/// Text that is not printed.
#[derive(Clone, Default, Deserialize, PartialEq, Eq)]
#[serde(transparent)]
pub(crate) struct Secret(String);

impl Secret {
    pub(super) fn text(&self) -> &str {
        &self.0
    }
}

impl From<String> for Secret {
    fn from(text: String) -> Self {
        Self(text)
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(hidden)")
    }
}

impl Serialize for Secret {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&format!("(set, {} characters)", self.0.chars().count()))
    }
}

/// The least characters of a secret.
pub(super) const LEAST: usize = 32;

/// Words of secrets in guides and examples.
const EXAMPLES: [&str; 15] = [
    "change-me",
    "change_me",
    "changeme",
    "change-in",
    "change_in",
    "change-this",
    "change_this",
    "default",
    "example",
    "insecure",
    "password",
    "placeholder",
    "secret-key",
    "your-",
    "your_",
];

/// Why somebody could guess it.
pub(super) fn weakness(secret: &str) -> Option<&'static str> {
    let lower = secret.to_ascii_lowercase();
    if EXAMPLES.iter().any(|example| lower.contains(example)) {
        Some("be an example's")
    } else if secret.chars().count() < LEAST {
        Some("have less than 32 characters")
    } else if secret.chars().collect::<BTreeSet<_>>().len() < 8 {
        Some("be a few characters again and again")
    } else {
        None
    }
}
