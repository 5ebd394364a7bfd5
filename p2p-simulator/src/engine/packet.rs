//! What travels between the two ends of a connection, and how streams are numbered.

use bytes::Bytes;

use super::{Nanos, Route, Side};

/// Whether a stream goes one way or both.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Direction {
    Uni = 0,
    Bi = 1,
}

/// A stream's number: what QUIC makes of opener, direction and count (RFC 9000, section 2.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct StreamId(pub(super) u64);

impl StreamId {
    /// No stream's.
    pub(super) const NONE: Self = Self(u64::MAX);

    pub(super) const fn new(opener: Side, direction: Direction, count: u64) -> Self {
        Self(count << 2 | (direction as u64) << 1 | opener as u64)
    }

    pub(super) const fn opener(self) -> Side {
        if self.0 & 1 == 0 { Side::Dialler } else { Side::Acceptor }
    }

    pub(super) const fn direction(self) -> Direction {
        if self.0 & 2 == 0 { Direction::Uni } else { Direction::Bi }
    }

    pub(super) const fn count(self) -> u64 {
        self.0 >> 2
    }
}

/// What travels between the two ends of a connection.
#[derive(Clone, Debug)]
pub(crate) enum Packet {
    /// Somebody wants a connection.
    Dial,
    /// The acceptor has taken it up and proven who it is.
    Answer,
    /// The dialler has proven who it is.
    Confirm,
    Data {
        stream: StreamId,
        /// Counts the packets of this half of the stream.
        number: u64,
        bytes: Bytes,
        fin: bool,
    },
    Reset {
        stream: StreamId,
        code: u64,
    },
    Stop {
        stream: StreamId,
        code: u64,
    },
    /// The reader has room for this many bytes more.
    Window {
        stream: StreamId,
        bytes: u64,
    },
    /// The reader's transport has all of the stream.
    Received {
        stream: StreamId,
    },
    /// One more stream may be opened.
    StreamEnded {
        direction: Direction,
    },
    Datagram(Bytes),
    Close {
        code: u64,
        message: String,
    },
}

/// A packet on its way. It is moved as a whole.
#[derive(Clone, Debug)]
pub(crate) struct Flight {
    pub(crate) route: Route,
    /// Which packet it is, counted over all that were sent.
    pub(crate) order: u64,
    /// When it set out, or would have.
    pub(crate) sent_at: Nanos,
    pub(crate) packet: Packet,
}

/// What a packet's loss means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Delivery {
    /// It is sent again until it arrives.
    Reliable,
    /// It is sent again while there is a way, but nobody waits for a repair.
    Farewell,
    /// It is gone.
    Once,
}

impl Packet {
    pub(super) const fn delivery(&self) -> Delivery {
        match self {
            Self::Datagram(_) => Delivery::Once,
            Self::Close { .. } => Delivery::Farewell,
            _ => Delivery::Reliable,
        }
    }

    pub(super) const fn kind(&self) -> u8 {
        match self {
            Self::Dial => 1,
            Self::Answer => 2,
            Self::Confirm => 3,
            Self::Data { .. } => 4,
            Self::Reset { .. } => 5,
            Self::Stop { .. } => 6,
            Self::Window { .. } => 7,
            Self::Received { .. } => 8,
            Self::StreamEnded { .. } => 9,
            Self::Datagram(_) => 10,
            Self::Close { .. } => 11,
        }
    }

    /// The stream it belongs to.
    pub(super) const fn stream(&self) -> Option<StreamId> {
        match self {
            Self::Data { stream, .. }
            | Self::Reset { stream, .. }
            | Self::Stop { stream, .. }
            | Self::Window { stream, .. }
            | Self::Received { stream } => Some(*stream),
            _ => None,
        }
    }

    /// What it says besides stream and payload.
    pub(super) const fn value(&self) -> u64 {
        match self {
            Self::Data { fin, .. } => *fin as u64,
            Self::Reset { code, .. } | Self::Stop { code, .. } | Self::Close { code, .. } => *code,
            Self::Window { bytes, .. } => *bytes,
            Self::StreamEnded { direction } => *direction as u64,
            _ => 0,
        }
    }

    pub(super) fn payload(&self) -> &[u8] {
        match self {
            Self::Data { bytes, .. } | Self::Datagram(bytes) => bytes,
            Self::Close { message, .. } => message.as_bytes(),
            _ => &[],
        }
    }
}
