//! Names that clients choose, or the coordinator: text that is valid if it exists.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// The most characters of an id, and of any other short text: the width of the contract's columns.
pub const MAX_CHARS: usize = 255;

/// Why text is no id.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum IdError {
    /// It has a control character, which no URL, log or database should meet.
    #[error("an id has no control characters")]
    Control,
    /// There is none.
    #[error("an id has at least one character")]
    Empty,
    /// More than [`MAX_CHARS`].
    #[error("an id has at most {MAX_CHARS} characters, not {actual}")]
    TooLong {
        /// How many there were.
        actual: usize,
    },
}

fn check(text: &str) -> Result<(), IdError> {
    if text.is_empty() {
        return Err(IdError::Empty);
    }
    if text.chars().any(char::is_control) {
        return Err(IdError::Control);
    }
    match text.chars().count() {
        actual if actual > MAX_CHARS => Err(IdError::TooLong { actual }),
        _ => Ok(()),
    }
}

macro_rules! id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        #[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
        #[cfg_attr(feature = "openapi", schema(min_length = 1, max_length = 255))]
        pub struct $name(String);

        impl $name {
            /// Takes text of 1 to [`MAX_CHARS`] characters, none of them a control character.
            ///
            /// # Errors
            ///
            /// [`IdError`].
            pub fn new(text: impl Into<String>) -> Result<Self, IdError> {
                let text = text.into();
                check(&text)?;
                Ok(Self(text))
            }

            /// The text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(&self.0, f)
            }
        }

        impl FromStr for $name {
            type Err = IdError;

            fn from_str(text: &str) -> Result<Self, IdError> {
                Self::new(text)
            }
        }

        impl TryFrom<String> for $name {
            type Error = IdError;

            fn try_from(text: String) -> Result<Self, IdError> {
                Self::new(text)
            }
        }

        impl From<$name> for String {
            fn from(id: $name) -> Self {
                id.0
            }
        }
    };
}

id! {
    /// A host's name, chosen by who runs it.
    HostId
}
id! {
    /// A player's name, chosen by the game.
    PlayerId
}
id! {
    /// A session's name: `session-` and 16 hexadecimal digits, drawn by the coordinator.
    SessionName
}
id! {
    /// A zone's name, chosen by the game.
    ZoneId
}

impl SessionName {
    const PREFIX: &str = "session-";

    /// The name that these random bits give.
    pub fn from_bits(bits: u64) -> Self {
        Self(format!("{}{bits:016x}", Self::PREFIX))
    }

    /// Whether text has the form of a session's name, as opposed to its number.
    pub fn is_one(text: &str) -> bool {
        text.strip_prefix(Self::PREFIX).is_some_and(|digits| {
            digits.len() == 16 && digits.bytes().all(|digit| digit.is_ascii_hexdigit())
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_short_printable_text() {
        assert_eq!(HostId::new(""), Err(IdError::Empty));
        assert_eq!(HostId::new("a\0b"), Err(IdError::Control));
        assert_eq!(HostId::new("é".repeat(256)), Err(IdError::TooLong { actual: 256 }));
        assert_eq!(HostId::new("é".repeat(255)).unwrap().as_str().chars().count(), 255);
    }

    #[test]
    fn a_sessions_name_is_told_from_its_number() {
        let name = SessionName::from_bits(0xab);
        assert_eq!(name.as_str(), "session-00000000000000ab");
        assert!(SessionName::is_one(name.as_str()));
        assert!(!SessionName::is_one("17") && !SessionName::is_one("session-7"));
    }
}
