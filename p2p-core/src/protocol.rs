//! The name of what two peers speak over a connection.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use thiserror::Error;

/// What an application speaks, and in which version: `chat/2`. One endpoint serves many.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ProtocolName(Arc<str>);

impl ProtocolName {
    /// The most bytes in a name.
    pub const MAX_LENGTH: usize = 64;

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for ProtocolName {
    type Err = ProtocolNameError;

    fn from_str(name: &str) -> Result<Self, ProtocolNameError> {
        if name.is_empty() || name.len() > Self::MAX_LENGTH {
            return Err(ProtocolNameError::Length { max: Self::MAX_LENGTH, actual: name.len() });
        }
        if !name.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(ProtocolNameError::Character);
        }
        Ok(Self(name.into()))
    }
}

impl TryFrom<&str> for ProtocolName {
    type Error = ProtocolNameError;

    fn try_from(name: &str) -> Result<Self, ProtocolNameError> {
        name.parse()
    }
}

impl fmt::Display for ProtocolName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "'{}'", self.0)
    }
}

impl fmt::Debug for ProtocolName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ProtocolName({})", self.0)
    }
}

/// Why a text is no [`ProtocolName`].
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ProtocolNameError {
    /// A space, a control character, or a character outside ASCII.
    #[error("a protocol name is made of visible ASCII characters")]
    Character,
    /// Empty or too long.
    #[error("a protocol name has 1 to {max} bytes, not {actual}")]
    Length {
        /// The bound.
        max: usize,
        /// The length of the text.
        actual: usize,
    },
}

/// What a side can do beyond the minimum. Both send theirs; what both have is in force; bits that
/// one side does not know are ignored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Capabilities(u64);

impl Capabilities {
    /// Unreliable datagrams.
    pub const DATAGRAMS: Self = Self(1);
    /// A lane of messages for each [`Priority`](crate::Priority); without, all go on one.
    pub const LANES: Self = Self(1 << 1);
    /// Messages packed with LZ4.
    pub const COMPRESSION: Self = Self(1 << 2);
    /// Connections that outlive their links.
    pub const RESUME: Self = Self(1 << 3);
    /// Questions whether the other side is there, beside the transport's own.
    pub const PROBES: Self = Self(1 << 4);
    /// Datagrams on streams, where they are too large for the path.
    pub const DATAGRAM_STREAMS: Self = Self(1 << 5);
    /// A second link that stands by for the first, where connections outlive their links.
    pub const STANDBY: Self = Self(1 << 6);
    /// Everything this version can do.
    pub const ALL: Self = Self(0b111_1111);

    /// From the bits of a hello.
    pub const fn from_bits(bits: u64) -> Self {
        Self(bits)
    }

    /// The bits for a hello.
    pub const fn bits(self) -> u64 {
        self.0
    }

    /// What both have.
    #[must_use]
    pub const fn intersection(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// What this has and the other has not.
    #[must_use]
    pub const fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// Whether all of `other` is in this.
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_short_and_visible() {
        assert!("echo/1".parse::<ProtocolName>().is_ok());
        assert_eq!("a b".parse::<ProtocolName>(), Err(ProtocolNameError::Character));
        assert!("".parse::<ProtocolName>().is_err());
        assert!("x".repeat(65).parse::<ProtocolName>().is_err());
    }
}
