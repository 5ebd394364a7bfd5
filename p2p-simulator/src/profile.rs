//! What a link is like, and what the whole network is like from the start.

use std::time::Duration;

/// The properties of a link in one direction.
///
/// ```
/// use std::time::Duration;
/// use p2p_simulator::LinkProfile;
///
/// let lossy = LinkProfile::new()
///     .with_latency(Duration::from_millis(40))
///     .with_jitter(Duration::from_millis(3))
///     .with_loss(0.01)
///     .with_bandwidth(100_000_000);
/// ```
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct LinkProfile {
    /// How long a packet is on its way, at least. Default 1 ms.
    pub latency: Duration,
    /// How much longer it may be, evenly distributed. Packets may overtake each other by it.
    /// Default none.
    pub jitter: Duration,
    /// How many of all packets are lost, from 0 to 1. Default none.
    pub loss: f64,
    /// Bits per second; 0 is no bound. Default 0.
    pub bandwidth: u64,
    /// With a bandwidth: how long a packet may wait to be sent; a datagram that would wait longer
    /// is dropped. Default 200 ms.
    pub queue: Duration,
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
            latency: Duration::from_millis(1),
            jitter: Duration::ZERO,
            loss: 0.0,
            bandwidth: 0,
            queue: Duration::from_millis(200),
            mtu: 1200,
        }
    }

    /// Sets how long a packet is on its way, at least.
    #[must_use]
    pub const fn with_latency(mut self, latency: Duration) -> Self {
        self.latency = latency;
        self
    }

    /// Sets how much longer it may be.
    #[must_use]
    pub const fn with_jitter(mut self, jitter: Duration) -> Self {
        self.jitter = jitter;
        self
    }

    /// Sets how many of all packets are lost; anything outside 0 to 1 is brought there.
    #[must_use]
    pub const fn with_loss(mut self, loss: f64) -> Self {
        self.loss = if loss.is_nan() { 0.0 } else { loss.clamp(0.0, 1.0) };
        self
    }

    /// Sets how many bits per second fit; 0 is no bound.
    #[must_use]
    pub const fn with_bandwidth(mut self, bits_per_second: u64) -> Self {
        self.bandwidth = bits_per_second;
        self
    }

    /// Sets how long a datagram may wait to be sent.
    #[must_use]
    pub const fn with_queue(mut self, queue: Duration) -> Self {
        self.queue = queue;
        self
    }

    /// Sets the bytes of payload in a packet; at least [`LinkProfile::MIN_MTU`].
    #[must_use]
    pub fn with_mtu(mut self, bytes: usize) -> Self {
        self.mtu = bytes.max(Self::MIN_MTU);
        self
    }
}

impl Default for LinkProfile {
    fn default() -> Self {
        Self::new()
    }
}

/// What a network is like from the start.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct NetworkConfig {
    /// What all randomness follows from.
    pub seed: u64,
    /// Every link that nothing else is said about, in both directions.
    pub link: LinkProfile,
    /// How many of all attempts to connect fail, from 0 to 1.
    pub connect_failures: f64,
}

impl NetworkConfig {
    /// A faultless network of one-millisecond links.
    pub const fn new(seed: u64) -> Self {
        Self { seed, link: LinkProfile::new(), connect_failures: 0.0 }
    }

    /// Reads `SIMULATOR_P2P_SEED`, `SIMULATOR_P2P_LATENCY_MS`, `SIMULATOR_P2P_PACKET_LOSS` and
    /// `SIMULATOR_P2P_FAILURE_RATE` through `lookup`, on top of `self`.
    ///
    /// # Errors
    ///
    /// [`SettingError`], which names the variable and what it may be.
    pub fn with_settings(
        mut self,
        lookup: impl Fn(&str) -> Option<String>,
    ) -> Result<Self, SettingError> {
        let latency = "SIMULATOR_P2P_LATENCY_MS";
        self.seed = setting(&lookup, "SIMULATOR_P2P_SEED", "a whole number from 0 to 2^64 - 1")?
            .unwrap_or(self.seed);
        if let Some(ms) = setting::<f64>(&lookup, latency, "milliseconds from 0 to 60000")? {
            if !(0.0..=60_000.0).contains(&ms) {
                let value = ms.to_string();
                return Err(SettingError {
                    name: latency,
                    value,
                    expected: "milliseconds from 0 to 60000",
                });
            }
            self.link.latency = Duration::from_secs_f64(ms / 1000.0);
        }
        if let Some(share) = share(&lookup, "SIMULATOR_P2P_PACKET_LOSS")? {
            self.link.loss = share;
        }
        if let Some(share) = share(&lookup, "SIMULATOR_P2P_FAILURE_RATE")? {
            self.connect_failures = share;
        }
        Ok(self)
    }
}

impl Default for NetworkConfig {
    /// With a seed of 0.
    fn default() -> Self {
        Self::new(0)
    }
}

fn setting<T: std::str::FromStr>(
    lookup: impl Fn(&str) -> Option<String>,
    name: &'static str,
    expected: &'static str,
) -> Result<Option<T>, SettingError> {
    match lookup(name) {
        None => Ok(None),
        Some(value) => match value.trim().parse() {
            Ok(parsed) => Ok(Some(parsed)),
            Err(_) => Err(SettingError { name, value, expected }),
        },
    }
}

fn share(
    lookup: impl Fn(&str) -> Option<String>,
    name: &'static str,
) -> Result<Option<f64>, SettingError> {
    let expected = "a share from 0 to 1";
    match setting::<f64>(lookup, name, expected)? {
        Some(share) if !(0.0..=1.0).contains(&share) => {
            Err(SettingError { name, value: share.to_string(), expected })
        }
        share => Ok(share),
    }
}

/// A setting whose value makes no sense.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{name} is '{value}': it must be {expected}")]
pub struct SettingError {
    /// The variable.
    pub name: &'static str,
    /// What it holds.
    pub value: String,
    /// What it may hold.
    pub expected: &'static str,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(name: &str, value: &str) -> Result<NetworkConfig, SettingError> {
        let (name, value) = (name.to_owned(), value.to_owned());
        NetworkConfig::new(1).with_settings(|asked| (asked == name).then(|| value.clone()))
    }

    #[test]
    fn settings_are_read() {
        let ms = |config: NetworkConfig| config.link.latency;
        assert_eq!(
            read("SIMULATOR_P2P_LATENCY_MS", "2.5").map(ms),
            Ok(Duration::from_micros(2500))
        );
        assert_eq!(read("SIMULATOR_P2P_SEED", " 77 ").map(|config| config.seed), Ok(77));
        assert_eq!(
            read("SIMULATOR_P2P_PACKET_LOSS", "0.1").map(|config| config.link.loss),
            Ok(0.1)
        );
        assert_eq!(
            read("SIMULATOR_P2P_FAILURE_RATE", "1").map(|config| config.connect_failures),
            Ok(1.0)
        );
        assert_eq!(NetworkConfig::new(1).with_settings(|_| None), Ok(NetworkConfig::new(1)));
    }

    #[test]
    fn a_wrong_setting_is_named() {
        for (name, value) in [
            ("SIMULATOR_P2P_SEED", "-1"),
            ("SIMULATOR_P2P_LATENCY_MS", "fast"),
            ("SIMULATOR_P2P_LATENCY_MS", "-1"),
            ("SIMULATOR_P2P_PACKET_LOSS", "2"),
            ("SIMULATOR_P2P_FAILURE_RATE", "NaN"),
        ] {
            let error = read(name, value).expect_err("a wrong setting").to_string();
            assert!(error.contains(name) && error.contains(value), "{error}");
        }
    }
}
