//! How long packets are on their way.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::error::{ProfileError, check_time};

/// How long a packet is on its way, before jitter. Each packet draws for itself, so that packets
/// may overtake each other unless it is [`Fixed`](Latency::Fixed).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Latency {
    /// Always this long.
    Fixed(Duration),
    /// Normally distributed, truncated at zero: what would be negative is drawn again.
    Normal {
        /// The mean before the truncation.
        mean: Duration,
        /// The standard deviation before the truncation.
        deviation: Duration,
    },
    /// Evenly distributed, both ends included.
    Uniform {
        /// The shortest.
        min: Duration,
        /// The longest.
        max: Duration,
    },
}

impl Latency {
    pub(super) fn check(self) -> Result<(), ProfileError> {
        match self {
            Self::Fixed(latency) => check_time("latency", latency),
            Self::Normal { mean, deviation } => {
                check_time("latency", mean)?;
                check_time("the latency's deviation", deviation)
            }
            Self::Uniform { min, max } if min > max => {
                Err(ProfileError::LatencyReversed { min, max })
            }
            Self::Uniform { max, .. } => check_time("latency", max),
        }
    }
}

impl From<Duration> for Latency {
    fn from(latency: Duration) -> Self {
        Self::Fixed(latency)
    }
}
