//! Which messages go first.

use std::fmt;

/// How urgent a message is. Each priority is a lane of its own: order holds within a lane, and a lane
/// that is full or stalled does not hold up another. When there is not room for all, the higher lane
/// goes first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Priority {
    /// Large and not urgent: maps, replays, backups.
    Bulk,
    /// Most messages.
    #[default]
    Normal,
    /// Worth little when late: movement, voice.
    Realtime,
    /// Few and decisive: what steers the others.
    Control,
}

impl Priority {
    /// How many there are.
    pub const COUNT: usize = 4;
    /// All of them, the most urgent first.
    pub const ALL: [Self; Self::COUNT] = [Self::Control, Self::Realtime, Self::Normal, Self::Bulk];

    /// Its place in [`ALL`](Self::ALL).
    pub const fn index(self) -> usize {
        match self {
            Self::Control => 0,
            Self::Realtime => 1,
            Self::Normal => 2,
            Self::Bulk => 3,
        }
    }

    /// The number that stands for it on the wire: that of version 1's only lane is 0.
    pub(crate) const fn to_byte(self) -> u8 {
        match self {
            Self::Normal => 0,
            Self::Control => 1,
            Self::Realtime => 2,
            Self::Bulk => 3,
        }
    }

    pub(crate) const fn from_byte(byte: u8) -> Option<Self> {
        match byte {
            0 => Some(Self::Normal),
            1 => Some(Self::Control),
            2 => Some(Self::Realtime),
            3 => Some(Self::Bulk),
            _ => None,
        }
    }

    /// What the transport is told about the lane's stream; programs' streams have 0 at first.
    pub(crate) const fn of_stream(self) -> i32 {
        match self {
            Self::Control => 3,
            Self::Realtime => 2,
            Self::Normal => 1,
            Self::Bulk => -1,
        }
    }
}

impl fmt::Display for Priority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Bulk => "bulk",
            Self::Normal => "normal",
            Self::Realtime => "realtime",
            Self::Control => "control",
        })
    }
}
