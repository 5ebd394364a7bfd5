//! The protocol between two engines, without I/O: bytes in, values out, and back.
//!
//! On a link, each side opens unidirectional streams, and the first byte of each says what it is
//! ([`StreamKind`]). The first stream of each side is its *control* stream and begins with its
//! [`Hello`](hello::Hello); then come [`control`] frames. Messages travel on a *lane*, a stream of
//! length-delimited frames ([`frame`]), as many as the other side has [`credit`] and
//! room for [`packets`]. Bidirectional streams are the program's own, after one byte that makes them visible
//! to the peer.

pub(crate) mod control;
pub(crate) mod credit;
pub(crate) mod frame;
pub(crate) mod hello;
pub(crate) mod packets;

/// What a stream is for: its first byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum StreamKind {
    /// Hello, then what the engines say to each other.
    Control,
    /// Messages. Others of 0x10..=0x1f are for further lanes.
    Lane,
    /// The program's own.
    Program,
}

impl StreamKind {
    pub(crate) const fn to_byte(self) -> u8 {
        match self {
            Self::Control => 0x00,
            Self::Lane => 0x10,
            Self::Program => 0x20,
        }
    }

    /// `None` is a kind of a later version: such a stream is stopped and otherwise ignored.
    pub(crate) const fn from_byte(byte: u8) -> Option<Self> {
        match byte {
            0x00 => Some(Self::Control),
            0x10 => Some(Self::Lane),
            0x20 => Some(Self::Program),
            _ => None,
        }
    }
}
