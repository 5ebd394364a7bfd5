//! What a whole network is like from the start, and the settings it is read from.

use std::time::Duration;

use super::LinkProfile;
use super::error::{ProfileError, check_share};

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

    /// Looks whether a network can be like this.
    ///
    /// # Errors
    ///
    /// [`ProfileError`], which names what cannot be.
    pub fn check(&self) -> Result<(), ProfileError> {
        check_share("connect_failures", self.connect_failures)?;
        self.link.check()
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
            self.link.latency = Duration::from_secs_f64(ms / 1000.0).into();
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
    use super::super::Latency;
    use super::*;

    fn read(name: &str, value: &str) -> Result<NetworkConfig, SettingError> {
        let (name, value) = (name.to_owned(), value.to_owned());
        NetworkConfig::new(1).with_settings(|asked| (asked == name).then(|| value.clone()))
    }

    #[test]
    fn settings_are_read() {
        let ms = |config: NetworkConfig| -> Latency { config.link.latency };
        assert_eq!(
            read("SIMULATOR_P2P_LATENCY_MS", "2.5").map(ms),
            Ok(Duration::from_micros(2500).into())
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
