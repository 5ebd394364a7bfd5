//! The protocol between two engines, without I/O: bytes in, values out, and back.
//!
//! On a link, each side opens unidirectional streams, and the first byte of each says what it is
//! ([`StreamKind`]). The first stream of each side is its *control* stream and begins with its
//! [`Hello`](hello::Hello); then come [`control`] frames. Messages travel on *lanes*, one for each
//! priority: a lane is a sequence of length-delimited [`frame`]s, some of them [`pack`]ed, which a
//! stream carries from some offset on ([`send_lane`], [`recv_lane`]), as many as the other side has
//! [`credit`] and room for [`packets`]. When a link is lost, a stream of the next one goes on where
//! the receiving lane stands: so a lane loses nothing and doubles nothing. [`backoff`] says when to
//! try for a next link, [`liveness`] when to stop trusting the present one, [`standby`] when another is
//! to be used beside it, both by [`probes`], and [`path_rule`] when its path
//! is none that is allowed. Bidirectional streams are
//! the program's own, after one byte that makes them visible to the peer.

pub(crate) mod backoff;
pub(crate) mod control;
pub(crate) mod credit;
pub(crate) mod frame;
pub(crate) mod hello;
pub(crate) mod liveness;
pub(crate) mod pack;
pub(crate) mod packets;
pub(crate) mod path_rule;
pub(crate) mod probes;
pub(crate) mod recv_lane;
pub(crate) mod send_lane;
pub(crate) mod standby;

#[cfg(test)]
pub(crate) mod lane_tests;

use crate::priority::Priority;

/// What a stream is for: its first byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum StreamKind {
    /// Hello, then what the engines say to each other.
    Control,
    /// Messages of one priority.
    Lane(Priority),
    /// The program's own.
    Program,
    /// A question whether the other side is there: a number follows.
    Probe,
    /// The answer: the question's number.
    ProbeAnswer,
    /// A datagram that is too large for the path.
    Datagram,
}

impl StreamKind {
    pub(crate) const fn to_byte(self) -> u8 {
        match self {
            Self::Control => 0x00,
            Self::Lane(priority) => 0x10 + priority.to_byte(),
            Self::Program => 0x20,
            Self::Probe => 0x30,
            Self::ProbeAnswer => 0x31,
            Self::Datagram => 0x40,
        }
    }

    /// `None` is a kind of a later version: such a stream is stopped and otherwise ignored.
    pub(crate) fn from_byte(byte: u8) -> Option<Self> {
        match byte {
            0x00 => Some(Self::Control),
            0x10..=0x1f => Priority::from_byte(byte - 0x10).map(Self::Lane),
            0x20 => Some(Self::Program),
            0x30 => Some(Self::Probe),
            0x31 => Some(Self::ProbeAnswer),
            0x40 => Some(Self::Datagram),
            _ => None,
        }
    }
}
