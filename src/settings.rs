//! What the environment, or a configuration file, says about the backend.

use std::fmt;
use std::str::FromStr;

use p2p_core::{ConnectionConfig, PeerAddr, RelayUrl, SecretKey};

/// Which backend, and how to set it up.
///
/// | variable | what | default |
/// |---|---|---|
/// | `P2P_IMPLEMENTATION` | `iroh` or `simulator` | `iroh` |
/// | `P2P_LISTEN_PORT` | UDP port, 0 for any | 0 |
/// | `P2P_BOOTSTRAP_PEERS` | tickets of peers that can be reached by name alone, between commas | none |
/// | `P2P_RELAY_SERVERS` | URLs of relays, between commas | none |
///
/// With the simulator also `SIMULATOR_P2P_SEED`, `SIMULATOR_P2P_LATENCY_MS`,
/// `SIMULATOR_P2P_PACKET_LOSS` and `SIMULATOR_P2P_FAILURE_RATE`; it has no use for port, peers and
/// relays.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Settings {
    /// The backend.
    pub implementation: Implementation,
    /// UDP port; 0 is any.
    pub listen_port: u16,
    /// Peers that can be reached by name alone.
    pub bootstrap_peers: Vec<PeerAddr>,
    /// Relays to be reachable over.
    pub relay_servers: Vec<RelayUrl>,
    /// Timers and bounds; no variable sets them.
    pub connection: ConnectionConfig,
    /// The identity of the first provider; a new one if not set. No variable sets it: secrets do not
    /// belong into the environment.
    pub secret_key: Option<SecretKey>,
    /// The simulated network.
    #[cfg(feature = "simulator")]
    pub network: p2p_simulator::NetworkConfig,
}

impl Settings {
    /// Reads the settings through `lookup`, which answers for a variable's name.
    ///
    /// # Errors
    ///
    /// [`SettingsError`], which names the variable, what it holds and what it may hold.
    pub fn from_lookup(lookup: impl Fn(&str) -> Option<String>) -> Result<Self, SettingsError> {
        let mut settings = Self::default();
        if let Some(implementation) = one(&lookup, "P2P_IMPLEMENTATION")? {
            settings.implementation = implementation;
        }
        if let Some(port) = lookup("P2P_LISTEN_PORT").filter(|value| !value.trim().is_empty()) {
            settings.listen_port = port.trim().parse().map_err(|_| SettingsError {
                name: "P2P_LISTEN_PORT",
                value: port,
                expected: "it must be a port from 0 to 65535".to_owned(),
            })?;
        }
        settings.bootstrap_peers = many(&lookup, "P2P_BOOTSTRAP_PEERS")?;
        settings.relay_servers = many(&lookup, "P2P_RELAY_SERVERS")?;
        #[cfg(feature = "simulator")]
        {
            let network = settings.network.with_settings(&lookup);
            settings.network = network.map_err(|error| SettingsError {
                name: error.name,
                value: error.value,
                expected: format!("it must be {}", error.expected),
            })?;
        }
        Ok(settings)
    }

    /// Reads the settings from the process's environment.
    ///
    /// # Errors
    ///
    /// As [`from_lookup`](Settings::from_lookup).
    pub fn from_env() -> Result<Self, SettingsError> {
        Self::from_lookup(|name| std::env::var(name).ok())
    }
}

fn one<T>(
    lookup: impl Fn(&str) -> Option<String>,
    name: &'static str,
) -> Result<Option<T>, SettingsError>
where
    T: FromStr<Err: fmt::Display>,
{
    match lookup(name).filter(|value| !value.trim().is_empty()) {
        None => Ok(None),
        Some(value) => match value.trim().parse() {
            Ok(parsed) => Ok(Some(parsed)),
            Err(error) => Err(SettingsError { name, expected: format!("{error}"), value }),
        },
    }
}

fn many<T>(
    lookup: impl Fn(&str) -> Option<String>,
    name: &'static str,
) -> Result<Vec<T>, SettingsError>
where
    T: FromStr<Err: fmt::Display>,
{
    let value = lookup(name).unwrap_or_default();
    let parts = value.split(',').map(str::trim).filter(|part| !part.is_empty());
    let parsed = parts.map(|part| {
        part.parse().map_err(|error: T::Err| SettingsError {
            name,
            value: part.to_owned(),
            expected: error.to_string(),
        })
    });
    parsed.collect()
}

/// The backends that can be chosen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Implementation {
    /// Real connections over QUIC.
    #[default]
    Iroh,
    /// A simulated network inside this process, in wall-clock time.
    Simulator,
}

impl FromStr for Implementation {
    type Err = &'static str;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        match name {
            "iroh" => Ok(Self::Iroh),
            "simulator" => Ok(Self::Simulator),
            _ => Err("it must be 'iroh' or 'simulator'"),
        }
    }
}

impl fmt::Display for Implementation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Iroh => "iroh",
            Self::Simulator => "simulator",
        })
    }
}

/// A setting whose value makes no sense.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{name} is '{value}': {expected}")]
pub struct SettingsError {
    /// The variable.
    pub name: &'static str,
    /// What it holds.
    pub value: String,
    /// What is wrong with it, or what it may hold.
    pub expected: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(name: &'static str, value: &'static str) -> Result<Settings, SettingsError> {
        Settings::from_lookup(|asked| (asked == name).then(|| value.to_owned()))
    }

    #[test]
    fn without_variables_there_are_defaults() {
        let settings = Settings::from_lookup(|_| None).expect("defaults");
        assert_eq!(settings.implementation, Implementation::Iroh);
        assert_eq!(settings.listen_port, 0);
        assert!(settings.bootstrap_peers.is_empty() && settings.relay_servers.is_empty());
    }

    #[test]
    fn lists_are_read_between_commas() {
        let id = SecretKey::from_bytes(&[1; 32]).peer_id();
        let ticket = PeerAddr::new(id).with_address(([192, 0, 2, 1], 7).into());
        let settings = Settings::from_lookup(|name| match name {
            "P2P_BOOTSTRAP_PEERS" => Some(format!("{ticket}, {ticket},")),
            "P2P_RELAY_SERVERS" => Some("https://a.example,http://b.example:1".into()),
            _ => None,
        })
        .expect("readable");
        assert_eq!(settings.bootstrap_peers, [ticket.clone(), ticket]);
        assert_eq!(settings.relay_servers.len(), 2);
    }

    #[test]
    fn a_wrong_value_is_named_with_its_variable() {
        for (name, value, hint) in [
            ("P2P_IMPLEMENTATION", "quic", "'iroh' or 'simulator'"),
            ("P2P_LISTEN_PORT", "70000", "0 to 65535"),
            ("P2P_BOOTSTRAP_PEERS", "p2pxyz", "damaged"),
            ("P2P_RELAY_SERVERS", "relay.example", "https://"),
        ] {
            let error = read(name, value).expect_err("a wrong value").to_string();
            assert!(error.contains(name) && error.contains(value), "{error}");
            assert!(error.contains(hint), "{error}");
        }
    }
}
