//! Profiles in words, for reports and printed schedules.

use std::fmt;

use super::{BurstLoss, Latency, LinkProfile, QueueLimit, Reordering};

impl fmt::Display for Latency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fixed(latency) => write!(f, "{latency:?}"),
            Self::Normal { mean, deviation } => write!(f, "{mean:?} (deviation {deviation:?})"),
            Self::Uniform { min, max } => write!(f, "{min:?} to {max:?}"),
        }
    }
}

/// The latency, and all that is not as in [`LinkProfile::new`].
impl fmt::Display for LinkProfile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let usual = Self::new();
        write!(f, "{}", self.latency)?;
        if self.jitter != usual.jitter {
            write!(f, ", jitter {:?}", self.jitter)?;
        }
        if self.loss != usual.loss {
            write!(f, ", loss {}", self.loss)?;
        }
        if let Some(BurstLoss { to_bad, to_good, good_loss, bad_loss }) = self.burst_loss {
            write!(f, ", bursts {to_bad} / {to_good} with loss {good_loss} / {bad_loss}")?;
        }
        if let Some(Reordering { share, by }) = self.reordering {
            write!(f, ", reordering {share} by {by:?}")?;
        }
        if self.duplication != usual.duplication {
            write!(f, ", duplication {}", self.duplication)?;
        }
        if let Some(bits) = self.bandwidth {
            write!(f, ", {bits} bit/s")?;
        }
        if self.queue != usual.queue {
            match self.queue {
                QueueLimit::Bytes(bytes) => write!(f, ", queue {bytes} B")?,
                QueueLimit::Time(time) => write!(f, ", queue {time:?}")?,
            }
        }
        if self.mtu != usual.mtu {
            write!(f, ", mtu {}", self.mtu)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn what_is_unusual_is_said_and_nothing_else() {
        let ms = Duration::from_millis;
        assert_eq!(LinkProfile::new().to_string(), "1ms");
        let all = LinkProfile::new()
            .with_latency_model(Latency::Uniform { min: ms(1), max: ms(2) })
            .with_jitter(ms(3))
            .with_loss(0.01)
            .with_burst_loss(BurstLoss::new(0.1, 0.2))
            .with_reordering(0.3, ms(4))
            .with_duplication(0.4)
            .with_bandwidth(1000)
            .with_queue_bytes(5000)
            .with_mtu(1400);
        assert_eq!(
            all.to_string(),
            "1ms to 2ms, jitter 3ms, loss 0.01, bursts 0.1 / 0.2 with loss 0 / 1, reordering 0.3 by \
             4ms, duplication 0.4, 1000 bit/s, queue 5000 B, mtu 1400"
        );
    }
}
