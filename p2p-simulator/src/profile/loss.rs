//! Losses that come in bursts, and other things that befall single packets.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::error::{ProfileError, check_share, check_time};

/// Losses in bursts, after Gilbert and Elliott: a link is in a good or a bad state. Before each
/// packet it may change; then the packet is lost with the share of the state.
///
/// In the long run the link is bad for `to_bad / (to_bad + to_good)` of all packets, and a bad spell
/// lasts `1 / to_good` packets on average.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct BurstLoss {
    /// The probability of turning from good to bad before a packet: *p*.
    pub to_bad: f64,
    /// The probability of turning from bad to good before a packet: *r*.
    pub to_good: f64,
    /// How many packets are lost while the link is good, from 0 to 1.
    pub good_loss: f64,
    /// How many packets are lost while the link is bad, from 0 to 1.
    pub bad_loss: f64,
}

impl BurstLoss {
    /// Loses nothing while good and everything while bad (Gilbert's model).
    pub const fn new(to_bad: f64, to_good: f64) -> Self {
        Self { to_bad, to_good, good_loss: 0.0, bad_loss: 1.0 }
    }

    /// Sets how many packets are lost in each state (Elliott's model).
    #[must_use]
    pub const fn with_losses(mut self, good: f64, bad: f64) -> Self {
        self.good_loss = good;
        self.bad_loss = bad;
        self
    }

    pub(super) fn check(&self) -> Result<(), ProfileError> {
        check_share("the bursts' to_bad", self.to_bad)?;
        check_share("the bursts' to_good", self.to_good)?;
        check_share("the bursts' good_loss", self.good_loss)?;
        check_share("the bursts' bad_loss", self.bad_loss)
    }
}

/// Packets that are held back, so that later ones overtake them.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Reordering {
    /// How many packets are held back, from 0 to 1.
    pub share: f64,
    /// For how long.
    pub by: Duration,
}

impl Reordering {
    /// Holds this share of all packets back for so long.
    pub const fn new(share: f64, by: Duration) -> Self {
        Self { share, by }
    }

    pub(super) fn check(&self) -> Result<(), ProfileError> {
        check_share("the reordered share", self.share)?;
        check_time("the time a packet is held back", self.by)
    }
}

/// How much may wait where a bandwidth bounds what passes. What would not fit is dropped (tail drop).
/// A packet that finds nothing before it always fits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum QueueLimit {
    /// Bytes on the wire, the packet's own included.
    Bytes(u64),
    /// How long it takes to send what waits, the packet itself included.
    Time(Duration),
}
