//! [`P2pConfig`]: what a game's client is told by the file `p2p_config.json` of the integration guides.
//!
//! Each key that the guides document works, or is refused with a reason ([`P2pConfig::refused`]): none
//! is passed over in silence. `keys` is the list of them.

mod keys;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::Duration;

use p2p_coordinator_api::{Routing, ZoneId};
use p2p_core::{P2PConnection, P2PProvider, ProtocolName};
use serde_json::Value;
use thiserror::Error;

use crate::addr::CoordinatorAddr;
use crate::agent::HostConfig;
use crate::client::{ApiKey, Client, ClientConfig};
use crate::error::{RequestError, sentence};
use crate::join::{JoinError, JoinOptions, Joined};
use keys::{KEYS, Taken};

/// The most bytes of the file.
pub const MAX_P2P_CONFIG: usize = 64 << 10;

/// What a game's client is told by `p2p_config.json`.
///
/// ```
/// use p2p_coordinator_client::{P2pConfig, PacketType};
/// use p2p_coordinator_client::api::Routing;
///
/// let config = P2pConfig::from_json(
///     r#"{
///         "coordinator": { "rest_api_url": "http://localhost:8001/api/v1", "timeout_ms": 3000 },
///         "p2p": { "packet_types": { "chat": false } }
///     }"#,
/// )?;
/// assert_eq!(config.coordinator.to_string(), "http://localhost:8001");
/// assert_eq!(config.packet_types.routing(PacketType::Movement), Routing::Peers);
/// assert_eq!(config.packet_types.routing(PacketType::Chat), Routing::Server);
/// # Ok::<(), p2p_coordinator_client::P2pConfigError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct P2pConfig {
    /// Where the coordinator is. Has to be given.
    pub coordinator: CoordinatorAddr,
    /// How long one attempt at a request may take. Default 5 s.
    pub request_timeout: Duration,
    /// How often a request is sent at most. Default 3.
    pub max_attempts: u32,
    /// The key to show. Default: none.
    pub api_key: Option<ApiKey>,
    /// An access token to show. Default: none.
    pub access_token: Option<AccessToken>,
    /// For what speaks WebRTC, over the coordinator's signaling.
    pub ice_servers: IceServers,
    /// The most peers at once, for a host. Default 50.
    pub max_peers: usize,
    /// How long it may take until a connection is there. Default 10 s.
    pub connection_timeout: Duration,
    /// Whether to play by peers at all. Default yes.
    pub enabled: bool,
    /// Only in these zones. Default: in all that the coordinator opens.
    pub zones: Option<BTreeSet<ZoneId>>,
    /// Whether the game goes on over its server where there is no way by peers; if not, that is an
    /// error. Default yes.
    pub fallback_to_server: bool,
    /// What goes by peers.
    pub packet_types: PacketTypes,
    /// Whether to carry other players' sessions. Default yes, for a program that does.
    pub hosting: bool,
    /// The most players that a host carries. Default: the coordinator's.
    pub max_players: Option<u32>,
    /// The most zones that a host carries. Default: the coordinator's.
    pub max_zones: Option<u32>,
    /// How much the program is to log. Default [`LogLevel::Info`].
    pub log_level: LogLevel,
    /// Whether it is to log to standard error. Default yes.
    pub console_output: bool,
    refused: Vec<RefusedKey>,
}

/// An access token. Not printed.
#[derive(Clone, PartialEq, Eq)]
pub struct AccessToken(String);

impl AccessToken {
    /// As it is shown.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for AccessToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AccessToken")
    }
}

/// Servers that help WebRTC to find a way, as URLs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct IceServers {
    /// `stun:` or `stuns:`.
    pub stun: Vec<String>,
    /// `turn:` or `turns:`.
    pub turn: Vec<String>,
}

/// What is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum PacketType {
    /// What is said.
    Chat,
    /// What is shown with the face.
    Emotes,
    /// What is owned.
    Items,
    /// Where players are.
    Movement,
    /// What players can do to each other.
    Skills,
}

/// What goes by peers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct PacketTypes {
    /// Default yes.
    pub chat: bool,
    /// Default yes.
    pub emotes: bool,
    /// Default yes.
    pub movement: bool,
}

impl PacketTypes {
    /// Over what packets of this type go: skills and items always over the server, which decides them.
    pub const fn routing(self, kind: PacketType) -> Routing {
        let by_peers = match kind {
            PacketType::Chat => self.chat,
            PacketType::Emotes => self.emotes,
            PacketType::Movement => self.movement,
            PacketType::Items | PacketType::Skills => false,
        };
        if by_peers { Routing::Peers } else { Routing::Server }
    }
}

/// How much is logged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum LogLevel {
    /// Nothing.
    Off,
    /// What went wrong.
    Error,
    /// And what may.
    Warn,
    /// And what happens.
    Info,
    /// And how.
    Debug,
    /// And all of it.
    Trace,
}

impl LogLevel {
    /// As it is called.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Error => "error",
            Self::Warn => "warn",
            Self::Info => "info",
            Self::Debug => "debug",
            Self::Trace => "trace",
        }
    }
}

/// A key that was given and has no effect.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct RefusedKey {
    /// Which, with its section: `security.algorithm`.
    pub key: String,
    /// Why.
    pub reason: &'static str,
}

impl fmt::Display for RefusedKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} has no effect: {}", self.key, self.reason)
    }
}

/// Why a configuration cannot be used: all that is wrong with it.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("p2p_config.json cannot be used: {}", problems.join("; "))]
#[non_exhaustive]
pub struct P2pConfigError {
    /// A sentence for each.
    pub problems: Vec<String>,
}

/// Over what a game goes on.
#[derive(Debug)]
pub enum Route<C: P2PConnection> {
    /// Over a connection to a peer.
    Peer(Box<Joined<C>>),
    /// Over its server.
    Server {
        /// Why, for people.
        reason: String,
    },
}

impl P2pConfig {
    /// What the text of the file says.
    ///
    /// # Errors
    ///
    /// [`P2pConfigError`].
    pub fn from_json(text: &str) -> Result<Self, P2pConfigError> {
        Self::load(Some(text), |_| None)
    }

    /// What the text of the file says, if there is one, and what `lookup` says instead, which is asked
    /// for each key by its name, `coordinator.timeout_ms`. Values there are JSON; what is none is text.
    ///
    /// # Errors
    ///
    /// [`P2pConfigError`].
    pub fn load(
        text: Option<&str>,
        lookup: impl Fn(&str) -> Option<String>,
    ) -> Result<Self, P2pConfigError> {
        let (mut values, mut problems) = (BTreeMap::new(), Vec::new());
        if let Some(text) = text {
            match whole(text) {
                Ok(value) => flatten(String::new(), value, &mut values),
                Err(problem) => problems.push(problem),
            }
        }
        for (key, _) in KEYS {
            if let Some(text) = lookup(key) {
                let value = serde_json::from_str(&text).unwrap_or(Value::String(text));
                values.insert((*key).to_owned(), value);
            }
        }
        let mut config = Self::default();
        let mut given = Given::default();
        for (key, value) in values {
            let Some((_, take)) = KEYS.iter().find(|(known, _)| *known == key) else {
                let reason = "there is no such key in the guides";
                config.refused.push(RefusedKey { key, reason });
                continue;
            };
            match take(&mut config, &mut given, &value) {
                Ok(Taken::Works) => {}
                Ok(Taken::Refused(reason)) => config.refused.push(RefusedKey { key, reason }),
                Err(what) => problems.push(format!("{key} {what}")),
            }
        }
        given.check(&mut config, &mut problems);
        if problems.is_empty() { Ok(config) } else { Err(P2pConfigError { problems }) }
    }

    /// Keys that were given and have no effect, with the reasons: to be told to whoever gave them.
    pub fn refused(&self) -> &[RefusedKey] {
        &self.refused
    }

    /// Why players do not meet by peers in this zone, if they do not.
    pub fn closed(&self, zone: &ZoneId) -> Option<&'static str> {
        if !self.enabled {
            Some("P2P is switched off in p2p_config.json")
        } else if self.zones.as_ref().is_some_and(|zones| !zones.contains(zone)) {
            Some("p2p_config.json does not name this zone")
        } else {
            None
        }
    }

    /// A client of the coordinator, which shows the key and the token.
    ///
    /// # Errors
    ///
    /// As [`Client::new`].
    pub fn client<P: P2PProvider>(&self, provider: P) -> Result<Client<P>, RequestError> {
        let mut config = ClientConfig::default()
            .with_request_timeout(self.request_timeout)
            .with_max_attempts(self.max_attempts);
        config.api_key.clone_from(&self.api_key);
        let client = Client::new(provider, self.coordinator.clone(), config)?;
        match &self.access_token {
            Some(token) => client.with_access_token(token.as_str()),
            None => Ok(client),
        }
    }

    /// How to join, speaking `protocol`.
    pub fn join_options(&self, protocol: ProtocolName) -> JoinOptions {
        JoinOptions::new(protocol).with_timeout(self.connection_timeout)
    }

    /// A host within these bounds.
    #[must_use]
    pub fn apply_to_host(&self, mut host: HostConfig) -> HostConfig {
        host.max_players = self.max_players.or(host.max_players);
        host.max_zones = self.max_zones.or(host.max_zones);
        host.with_max_connections(self.max_peers)
    }

    /// Over what the game goes on after a join.
    ///
    /// # Errors
    ///
    /// The join's, if it is not to go on over its server.
    pub fn route<C: P2PConnection>(
        &self,
        joined: Result<Joined<C>, JoinError>,
    ) -> Result<Route<C>, JoinError> {
        match joined {
            Ok(joined) => Ok(Route::Peer(Box::new(joined))),
            Err(error) if self.fallback_to_server => Ok(Route::Server { reason: sentence(&error) }),
            Err(error) => Err(error),
        }
    }
}

impl Default for P2pConfig {
    /// With a coordinator on this machine, as the guides have it.
    fn default() -> Self {
        Self {
            coordinator: CoordinatorAddr::Url("http://localhost:8001".into()),
            request_timeout: Duration::from_secs(5),
            max_attempts: 3,
            api_key: None,
            access_token: None,
            ice_servers: IceServers::default(),
            max_peers: 50,
            connection_timeout: Duration::from_secs(10),
            enabled: true,
            zones: None,
            fallback_to_server: true,
            packet_types: PacketTypes { chat: true, emotes: true, movement: true },
            hosting: true,
            max_players: None,
            max_zones: None,
            log_level: LogLevel::Info,
            console_output: true,
            refused: Vec::new(),
        }
    }
}

/// What is looked at when all is there.
#[derive(Debug, Default)]
struct Given {
    rest_api_url: Option<String>,
    websocket_url: Option<String>,
}

impl Given {
    fn check(self, config: &mut P2pConfig, problems: &mut Vec<String>) {
        let Some(rest) = self.rest_api_url else {
            problems.push("coordinator.rest_api_url has to be given".into());
            return;
        };
        let plain = rest.trim_end_matches('/');
        let Some(base) = plain.strip_suffix("/api/v1").or_else(|| plain.strip_suffix("/api"))
        else {
            problems.push("coordinator.rest_api_url has to end with /api/v1".into());
            return;
        };
        match base.parse() {
            Ok(addr @ CoordinatorAddr::Url(_)) => config.coordinator = addr,
            _ => {
                problems.push(format!(
                    "coordinator.rest_api_url has to be http://host:port/api/v1 or \
                     https://host/api/v1, not '{rest}'"
                ));
                return;
            }
        }
        let signaling =
            format!("ws{}/api/v1/signaling/ws", base.strip_prefix("http").unwrap_or(""));
        let given = self.websocket_url.unwrap_or_else(|| signaling.clone());
        if given.trim_end_matches('/') != signaling {
            problems.push(format!(
                "coordinator.websocket_url has to be {signaling}: signaling is where \
                 coordinator.rest_api_url is"
            ));
        }
    }
}

fn whole(text: &str) -> Result<Value, String> {
    if text.len() > MAX_P2P_CONFIG {
        return Err(format!("it has more than {MAX_P2P_CONFIG} bytes"));
    }
    match serde_json::from_str(text.trim_start_matches('\u{feff}')) {
        Ok(value @ Value::Object(_)) => Ok(value),
        Ok(_) => Err("it has to be a JSON object".into()),
        Err(error) => Err(format!("it is no JSON ({error}); comments are none either")),
    }
}

/// Names values by the way to them.
fn flatten(path: String, value: Value, values: &mut BTreeMap<String, Value>) {
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                let path = if path.is_empty() { name } else { format!("{path}.{name}") };
                flatten(path, value, values);
            }
        }
        value => {
            values.insert(path, value);
        }
    }
}

#[cfg(test)]
mod tests;
