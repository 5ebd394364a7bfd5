//! What a host is and how it listens.

use std::time::Duration;

use p2p_coordinator_api::host::MAX_PRESENT;
use p2p_coordinator_api::{HostId, HostProof, PlayerId, RegisterHost};
use p2p_core::{PeerAddr, ProtocolName};

/// What a host tells the coordinator about itself, and how it listens.
///
/// ```
/// use p2p_coordinator_client::HostConfig;
///
/// let config = HostConfig::new("h1".parse()?, "alice".parse()?, "game/1".parse()?)
///     .with_hardware(8, 3600, 16 * 1024)
///     .with_network_speed_mbps(500);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct HostConfig {
    /// The host's name.
    pub host_id: HostId,
    /// Whose it is.
    pub player_id: PlayerId,
    /// What its owner is called. Default: the host's name.
    pub player_name: String,
    /// What is spoken with players.
    pub protocol: ProtocolName,
    /// Where it is in its own network; the provider's first direct address if not set, and
    /// `0.0.0.0` with port 1 if that has none. Peers do not use it: they are told the provider's
    /// whole address.
    pub ip_address: Option<(String, u16)>,
    /// Where it is, seen from outside. Default: not told.
    pub public_ip: Option<String>,
    /// Processor cores. Default 4.
    pub cpu_cores: u32,
    /// Their clock, in MHz. Default 2400.
    pub cpu_frequency_mhz: u32,
    /// Memory, in MiB. Default 8192.
    pub memory_mb: u32,
    /// Its line, in Mbit/s. Default 1000.
    pub network_speed_mbps: u32,
    /// The most players that the coordinator sends. Default: the coordinator's.
    pub max_players: Option<u32>,
    /// The most zones that the coordinator puts there. Default: the coordinator's.
    pub max_zones: Option<u32>,
    /// Guests that may wait to be accepted; further ones are refused as busy. Default 64.
    pub backlog: usize,
    /// Connections of guests that may live at once; further ones are refused as busy. More than
    /// `max_players`, because who comes back may come before the connection lost is known to be.
    /// Default 256, at most 10,000, because heartbeats name all guests.
    pub max_connections: usize,
    /// Tokens that were used and have not expired, of which the host knows; when there are so many,
    /// nobody comes in until some expire. Default 16,384.
    pub max_remembered: usize,
    /// How long [`start`](crate::HostAgent::start) tries to register. Default 30 s.
    pub start_timeout: Duration,
}

impl HostConfig {
    /// A host `host_id` of `player_id`, speaking `protocol` with players.
    pub fn new(host_id: HostId, player_id: PlayerId, protocol: ProtocolName) -> Self {
        Self {
            player_name: host_id.to_string(),
            host_id,
            player_id,
            protocol,
            ip_address: None,
            public_ip: None,
            cpu_cores: 4,
            cpu_frequency_mhz: 2400,
            memory_mb: 8192,
            network_speed_mbps: 1000,
            max_players: None,
            max_zones: None,
            backlog: 64,
            max_connections: 256,
            max_remembered: 16 * 1024,
            start_timeout: Duration::from_secs(30),
        }
    }

    /// Sets what its owner is called.
    #[must_use]
    pub fn with_player_name(mut self, name: impl Into<String>) -> Self {
        self.player_name = name.into();
        self
    }

    /// Sets where it is in its own network.
    #[must_use]
    pub fn with_ip_address(mut self, address: impl Into<String>, port: u16) -> Self {
        self.ip_address = Some((address.into(), port));
        self
    }

    /// Sets where it is, seen from outside.
    #[must_use]
    pub fn with_public_ip(mut self, address: impl Into<String>) -> Self {
        self.public_ip = Some(address.into());
        self
    }

    /// Sets its processor cores, their clock in MHz, and its memory in MiB.
    #[must_use]
    pub const fn with_hardware(mut self, cores: u32, frequency_mhz: u32, memory_mb: u32) -> Self {
        self.cpu_cores = cores;
        self.cpu_frequency_mhz = frequency_mhz;
        self.memory_mb = memory_mb;
        self
    }

    /// Sets its line, in Mbit/s.
    #[must_use]
    pub const fn with_network_speed_mbps(mut self, mbps: u32) -> Self {
        self.network_speed_mbps = mbps;
        self
    }

    /// Sets the most players that the coordinator sends.
    #[must_use]
    pub const fn with_max_players(mut self, players: u32) -> Self {
        self.max_players = Some(players);
        self
    }

    /// Sets the most zones that the coordinator puts there.
    #[must_use]
    pub const fn with_max_zones(mut self, zones: u32) -> Self {
        self.max_zones = Some(zones);
        self
    }

    /// Sets how many guests may wait to be accepted; at least one.
    #[must_use]
    pub fn with_backlog(mut self, guests: usize) -> Self {
        self.backlog = guests.max(1);
        self
    }

    /// Sets how many connections of guests may live at once; at most 10,000.
    #[must_use]
    pub fn with_max_connections(mut self, connections: usize) -> Self {
        self.max_connections = connections.min(MAX_PRESENT);
        self
    }

    /// Sets of how many used tokens the host knows.
    #[must_use]
    pub const fn with_max_remembered(mut self, tokens: usize) -> Self {
        self.max_remembered = tokens;
        self
    }

    /// Sets how long to try to register.
    #[must_use]
    pub const fn with_start_timeout(mut self, timeout: Duration) -> Self {
        self.start_timeout = timeout;
        self
    }

    /// What the coordinator is told of a host at `addr`.
    pub(crate) fn registration(&self, addr: &PeerAddr, proof: HostProof) -> RegisterHost {
        let (ip_address, port) = self.ip_address.clone().unwrap_or_else(|| {
            addr.addresses()
                .next()
                .map_or_else(|| ("0.0.0.0".into(), 1), |at| (at.ip().to_string(), at.port()))
        });
        RegisterHost {
            host_id: self.host_id.clone(),
            player_id: self.player_id.clone(),
            player_name: self.player_name.clone(),
            ip_address,
            // The contract has no port 0.
            port: port.max(1),
            public_ip: self.public_ip.clone(),
            cpu_cores: self.cpu_cores,
            cpu_frequency_mhz: self.cpu_frequency_mhz,
            memory_mb: self.memory_mb,
            network_speed_mbps: self.network_speed_mbps,
            ice_servers: None,
            max_players: self.max_players,
            max_zones: self.max_zones,
            p2p: Some(proof),
        }
    }
}
