//! What is wrong with a model that cannot be.

use std::time::Duration;

/// A link or network that cannot be like that.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ProfileError {
    /// A bandwidth of zero lets nothing pass: cut the link instead.
    #[error("the bandwidth is 0 bit/s, which lets nothing pass: cut the link for that")]
    NoBandwidth,
    /// A latency that may be longer at least than at most.
    #[error("the latency is to be at least {min:?} and at most {max:?}, which is shorter")]
    LatencyReversed {
        /// The shortest.
        min: Duration,
        /// The longest.
        max: Duration,
    },
    /// A time so long that no network has it.
    #[error("{name} is {value:?}: it must be an hour at most")]
    TooLong {
        /// Which property.
        name: &'static str,
        /// What it is.
        value: Duration,
    },
    /// A share or probability that is negative, above 1, or no number.
    #[error("{name} is {value}: it must be from 0 to 1")]
    NoShare {
        /// Which property.
        name: &'static str,
        /// What it is, in digits.
        value: String,
    },
    /// Packets too small to carry anything.
    #[error("the mtu is {value} bytes: it must be {min} at least")]
    MtuTooSmall {
        /// What it is.
        value: usize,
        /// The least it may be.
        min: usize,
    },
}

pub(super) fn check_share(name: &'static str, value: f64) -> Result<(), ProfileError> {
    // A NaN is in no range.
    if (0.0..=1.0).contains(&value) {
        return Ok(());
    }
    Err(ProfileError::NoShare { name, value: value.to_string() })
}

/// An hour keeps every sum of times far from the end of what 64 bits of nanoseconds hold.
pub(super) fn check_time(name: &'static str, value: Duration) -> Result<(), ProfileError> {
    if value.as_secs() <= 3600 { Ok(()) } else { Err(ProfileError::TooLong { name, value }) }
}
