//! What a link is like, and what the whole network is like from the start.

use std::time::Duration;

use serde::{Deserialize, Serialize};

pub use config::{NetworkConfig, SettingError};
pub use error::ProfileError;
pub use latency::Latency;
pub use loss::{BurstLoss, QueueLimit, Reordering};
pub use presets::Preset;

use error::{check_share, check_time};

mod config;
mod error;
mod latency;
mod loss;
mod presets;
mod words;

/// The properties of a link in one direction.
///
/// ```
/// use std::time::Duration;
/// use p2p_simulator::{BurstLoss, LinkProfile};
///
/// let lossy = LinkProfile::new()
///     .with_latency(Duration::from_millis(40))
///     .with_jitter(Duration::from_millis(3))
///     .with_loss(0.01)
///     .with_burst_loss(BurstLoss::new(0.001, 0.2))
///     .with_bandwidth(100_000_000);
/// assert_eq!(lossy.check(), Ok(()));
/// // What cannot be is said where the profile is used, or before:
/// assert!(LinkProfile::new().with_loss(1.5).check().is_err());
/// ```
///
/// Setters and deserialisation take what they are given. A value that cannot be is found by
/// [`check`](LinkProfile::check), which whatever takes a profile into use calls first.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct LinkProfile {
    /// How long a packet is on its way, at least. Default 1 ms, fixed.
    pub latency: Latency,
    /// How much longer it may be, evenly distributed. Packets may overtake each other by it.
    /// Default none.
    pub jitter: Duration,
    /// How many of all packets are lost, each by itself, from 0 to 1. Default none.
    pub loss: f64,
    /// Losses in bursts, besides those. Default none.
    pub burst_loss: Option<BurstLoss>,
    /// Packets that are held back, besides the jitter. Default none.
    pub reordering: Option<Reordering>,
    /// How many datagrams arrive twice, from 0 to 1. The copy has a latency of its own and takes no
    /// bandwidth. Default none.
    pub duplication: f64,
    /// Bits per second; `None` is no bound. Default none.
    pub bandwidth: Option<u64>,
    /// With a bandwidth: how much may wait to be sent. Default 200 ms.
    pub queue: QueueLimit,
    /// Bytes of payload in a packet, and so in a datagram. Default 1200, what QUIC always may send
    /// (RFC 9000, section 14).
    pub mtu: usize,
}

impl LinkProfile {
    /// The smallest MTU: below it, a hello of datagrams could not be told from noise.
    pub const MIN_MTU: usize = 64;

    /// A link of one millisecond, with no other fault.
    pub const fn new() -> Self {
        Self {
            latency: Latency::Fixed(Duration::from_millis(1)),
            jitter: Duration::ZERO,
            loss: 0.0,
            burst_loss: None,
            reordering: None,
            duplication: 0.0,
            bandwidth: None,
            queue: QueueLimit::Time(Duration::from_millis(200)),
            mtu: 1200,
        }
    }

    /// Sets how long a packet is on its way: always this long, but for jitter.
    #[must_use]
    pub const fn with_latency(mut self, latency: Duration) -> Self {
        self.latency = Latency::Fixed(latency);
        self
    }

    /// Sets how the time that a packet is on its way is distributed.
    #[must_use]
    pub const fn with_latency_model(mut self, latency: Latency) -> Self {
        self.latency = latency;
        self
    }

    /// Sets how much longer it may be.
    #[must_use]
    pub const fn with_jitter(mut self, jitter: Duration) -> Self {
        self.jitter = jitter;
        self
    }

    /// Sets how many of all packets are lost, each by itself: from 0 to 1.
    #[must_use]
    pub const fn with_loss(mut self, loss: f64) -> Self {
        self.loss = loss;
        self
    }

    /// Sets losses that come in bursts.
    #[must_use]
    pub const fn with_burst_loss(mut self, bursts: BurstLoss) -> Self {
        self.burst_loss = Some(bursts);
        self
    }

    /// Sets how many packets are held back, and for how long. A datagram is overtaken then; a stream
    /// waits for its packet.
    #[must_use]
    pub const fn with_reordering(mut self, share: f64, by: Duration) -> Self {
        self.reordering = Some(Reordering::new(share, by));
        self
    }

    /// Sets how many datagrams arrive twice: from 0 to 1. Streams never see a packet twice.
    #[must_use]
    pub const fn with_duplication(mut self, share: f64) -> Self {
        self.duplication = share;
        self
    }

    /// Sets how many bits per second fit: at least 1.
    #[must_use]
    pub const fn with_bandwidth(mut self, bits_per_second: u64) -> Self {
        self.bandwidth = Some(bits_per_second);
        self
    }

    /// Sets how long a packet may wait to be sent.
    #[must_use]
    pub const fn with_queue(mut self, queue: Duration) -> Self {
        self.queue = QueueLimit::Time(queue);
        self
    }

    /// Sets how many bytes may wait to be sent.
    #[must_use]
    pub const fn with_queue_bytes(mut self, bytes: u64) -> Self {
        self.queue = QueueLimit::Bytes(bytes);
        self
    }

    /// Sets the bytes of payload in a packet; at least [`LinkProfile::MIN_MTU`].
    #[must_use]
    pub const fn with_mtu(mut self, bytes: usize) -> Self {
        self.mtu = if bytes < Self::MIN_MTU { Self::MIN_MTU } else { bytes };
        self
    }

    /// Looks whether a link can be like this.
    ///
    /// # Errors
    ///
    /// [`ProfileError`], which names what cannot be: shares that are negative, above 1 or no number;
    /// a bandwidth of zero; a latency whose ends are reversed; times of more than an hour; an MTU
    /// below [`LinkProfile::MIN_MTU`].
    pub fn check(&self) -> Result<(), ProfileError> {
        self.latency.check()?;
        check_time("jitter", self.jitter)?;
        check_share("loss", self.loss)?;
        self.burst_loss.map_or(Ok(()), |bursts| bursts.check())?;
        self.reordering.map_or(Ok(()), |reordering| reordering.check())?;
        check_share("duplication", self.duplication)?;
        if self.bandwidth == Some(0) {
            return Err(ProfileError::NoBandwidth);
        }
        if let QueueLimit::Time(queue) = self.queue {
            check_time("queue", queue)?;
        }
        let min = Self::MIN_MTU;
        if self.mtu < min {
            return Err(ProfileError::MtuTooSmall { value: self.mtu, min });
        }
        Ok(())
    }
}

impl Default for LinkProfile {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_is_named() {
        let new = LinkProfile::new;
        let ms = Duration::from_millis;
        let reversed = Latency::Uniform { min: ms(2), max: ms(1) };
        for (profile, named) in [
            (new().with_loss(-0.1), "loss is -0.1"),
            (new().with_loss(f64::NAN), "loss is NaN"),
            (new().with_loss(1.01), "loss is 1.01"),
            (new().with_duplication(2.0), "duplication is 2"),
            (new().with_reordering(-1.0, ms(1)), "reordered share is -1"),
            (new().with_burst_loss(BurstLoss::new(f64::INFINITY, 0.1)), "to_bad is inf"),
            (new().with_burst_loss(BurstLoss::new(0.1, -0.5)), "to_good is -0.5"),
            (new().with_bandwidth(0), "bandwidth is 0"),
            (new().with_latency(Duration::MAX), "latency is"),
            (new().with_latency_model(reversed), "at least 2ms and at most 1ms"),
        ] {
            let error = profile.check().expect_err("cannot be").to_string();
            assert!(error.contains(named), "{error}");
        }
        assert_eq!(new().check(), Ok(()));
        assert_eq!(new().with_loss(1.0).with_duplication(1.0).check(), Ok(()));
    }
}
