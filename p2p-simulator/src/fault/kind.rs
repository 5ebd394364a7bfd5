//! The sorts of faults, and their names.

use std::fmt;

use serde::{Deserialize, Serialize};

/// What sort of fault one is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum FaultKind {
    /// Less bandwidth.
    Bandwidth,
    /// A wrong clock.
    Clock,
    /// Attempts to connect fail.
    ConnectFailures,
    /// A crash.
    Crash,
    /// Worse links.
    Degrade,
    /// Packets wait.
    Hold,
    /// A cut in one direction.
    OneWay,
    /// A cut in both directions.
    Partition,
    /// A host stands still.
    Pause,
    /// Links of another profile.
    Profile,
    /// A NAT that forgets its host.
    Rebind,
    /// A cut of direct ways only.
    UdpCut,
}

impl fmt::Display for FaultKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Bandwidth => "bandwidth",
            Self::Clock => "clock",
            Self::ConnectFailures => "connect failures",
            Self::Crash => "crash",
            Self::Degrade => "degrade",
            Self::Hold => "hold",
            Self::OneWay => "one-way cut",
            Self::Partition => "partition",
            Self::Pause => "pause",
            Self::Profile => "profile",
            Self::Rebind => "rebind",
            Self::UdpCut => "UDP cut",
        })
    }
}
