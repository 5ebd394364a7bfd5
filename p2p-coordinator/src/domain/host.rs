//! Who can carry sessions, how good it is, and for how long it counts as alive.

use std::time::Duration;

use p2p_coordinator_api::{
    Heartbeat, Host, HostId, HostStatus, PlayerId, RegisterHost, Timestamp, ZoneId,
};
use p2p_core::{PeerAddr, PeerId};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Refusal, Row, Terms, is_ahead};

/// A host as it is stored.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct HostRecord {
    /// Its name.
    pub host_id: HostId,
    /// Whose it is.
    pub player_id: PlayerId,
    /// What its owner is called.
    pub player_name: String,
    /// Where it is, in its own network.
    pub ip_address: String,
    /// The port there.
    pub port: u16,
    /// Where it is, seen from outside.
    pub public_ip: Option<String>,
    /// Processor cores.
    pub cpu_cores: u32,
    /// Their clock, in MHz.
    pub cpu_frequency_mhz: u32,
    /// Memory, in MiB.
    pub memory_mb: u32,
    /// Its line, in Mbit/s.
    pub network_speed_mbps: u32,
    /// Its ICE servers, as a JSON object.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ice_servers: Option<String>,
    /// Where players connect to it as a peer; the peer id in it is proven.
    #[serde(with = "p2p_coordinator_api::text::optional")]
    pub peer: Option<PeerAddr>,
    /// Measured by it, in milliseconds.
    pub latency_ms: f64,
    /// Measured by it, from 0 to 100.
    pub packet_loss_percent: f64,
    /// Measured by it, in Mbit/s.
    pub bandwidth_usage_mbps: f64,
    /// What it said it carries.
    pub reported: Load,
    /// Whether it can be given sessions.
    pub status: HostStatus,
    /// The most players it carries.
    pub max_players: u32,
    /// The most zones it serves.
    pub max_zones: u32,
    /// Its score by what it reported; lists are ordered by it.
    pub quality_score: f64,
    /// When it was last heard.
    pub last_heard: Timestamp,
    /// Until when it holds its sessions without being heard again. One lease for all of them.
    pub lease_until: Timestamp,
    /// When it first registered.
    pub created_at: Timestamp,
    /// When it last changed.
    pub updated_at: Timestamp,
}

/// A sign of life, as it was heard.
#[derive(Clone, Debug, PartialEq)]
pub struct Beat {
    /// Of which host.
    pub host: HostId,
    /// What it measured.
    pub measured: Heartbeat,
    /// When.
    pub heard: Timestamp,
}

/// How much a host carries.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Load {
    /// Players.
    pub players: u32,
    /// Different zones.
    pub zones: u32,
}

/// A host, and what was placed on it: counted over its live sessions by the store.
#[derive(Clone, Debug, PartialEq)]
pub struct HostView {
    /// The record.
    pub row: Row<HostRecord>,
    /// What the coordinator placed there.
    pub placed: Load,
}

/// A host's score, from 0 to 100 with two decimals, by the contract's formula: latency (30), loss
/// (20), room (25), cores (10), memory (10), line (5). What was not measured counts as best.
pub fn quality_score(host: &HostRecord, players: u32) -> f64 {
    let room = match host.max_players {
        0 => 0.0,
        max => 1.0 - f64::from(players) / f64::from(max),
    };
    let score = (30.0 - host.latency_ms / 10.0).max(0.0)
        + (20.0 - 2.0 * host.packet_loss_percent).max(0.0)
        + 25.0 * room
        + (10.0 * f64::from(host.cpu_cores) / 4.0).min(10.0)
        + (10.0 * f64::from(host.memory_mb) / 8192.0).min(10.0)
        + (5.0 * f64::from(host.network_speed_mbps) / 100.0).min(5.0);
    rounded(score.clamp(0.0, 100.0))
}

/// To two decimals, by the number's exact value, as the contract's service rounds.
fn rounded(score: f64) -> f64 {
    let hundredths = score * 100.0;
    // The product may be off by its last digits: that matters near the middle only.
    if (hundredths.fract() - 0.5).abs() > 1e-6 {
        return hundredths.round() / 100.0;
    }
    format!("{score:.2}").parse().unwrap_or(score)
}

/// What a host is after it registered: new, or updated in place with its load kept.
///
/// # Errors
///
/// [`Refusal::HostTaken`] if it is registered with a peer id, and this is not the owner of that.
pub fn register(
    known: Option<&HostRecord>,
    request: RegisterHost,
    terms: &Terms,
    now: Timestamp,
) -> Result<HostRecord, Refusal> {
    let fresh = request.p2p.as_ref().is_some_and(|proof| proof.fresh);
    let peer = request.p2p.map(|proof| proof.addr);
    let owner = known.and_then(HostRecord::peer_id);
    if owner.is_some() && owner != peer.as_ref().map(PeerAddr::id) {
        return Err(Refusal::HostTaken { host: request.host_id });
    }
    let (max_players, max_zones) =
        known.map_or((terms.max_players, 5), |known| (known.max_players, known.max_zones));
    // What a process that is no more had measured says nothing.
    let measured = known.filter(|_| !fresh);
    let mut host = HostRecord {
        host_id: request.host_id,
        player_id: request.player_id,
        player_name: request.player_name,
        ip_address: request.ip_address,
        port: request.port,
        public_ip: request.public_ip,
        cpu_cores: request.cpu_cores,
        cpu_frequency_mhz: request.cpu_frequency_mhz,
        memory_mb: request.memory_mb,
        network_speed_mbps: request.network_speed_mbps,
        ice_servers: request.ice_servers.map(|servers| Value::Object(servers).to_string()),
        peer,
        latency_ms: measured.map_or(0.0, |known| known.latency_ms),
        packet_loss_percent: measured.map_or(0.0, |known| known.packet_loss_percent),
        bandwidth_usage_mbps: measured.map_or(0.0, |known| known.bandwidth_usage_mbps),
        reported: measured.map(|known| known.reported).unwrap_or_default(),
        status: HostStatus::Online,
        max_players: request.max_players.unwrap_or(max_players),
        max_zones: request.max_zones.unwrap_or(max_zones),
        quality_score: 0.0,
        last_heard: now,
        lease_until: now,
        created_at: known.map_or(now, |known| known.created_at),
        updated_at: now,
    };
    host.heard(terms, now);
    Ok(host)
}

impl HostRecord {
    /// The peer id it has proven.
    pub fn peer_id(&self) -> Option<PeerId> {
        self.peer.as_ref().map(PeerAddr::id)
    }

    /// Takes a sign of life that was kept for a while. Whether it was news: one that is older than the
    /// last is none, unless that is of a clock that has been put back since.
    pub fn hear(&mut self, beat: &Beat, terms: &Terms) -> bool {
        let news = beat.heard >= self.last_heard || is_ahead(self.last_heard, beat.heard);
        if news {
            self.heartbeat(&beat.measured, terms, beat.heard);
        }
        news
    }

    /// Takes a sign of life: the lease begins anew, and a host that was lost is back.
    pub fn heartbeat(&mut self, beat: &Heartbeat, terms: &Terms, now: Timestamp) {
        self.latency_ms = beat.latency_ms;
        self.packet_loss_percent = beat.packet_loss_percent;
        self.bandwidth_usage_mbps = beat.bandwidth_usage_mbps;
        self.reported = Load { players: beat.current_players, zones: beat.current_zones };
        if self.status == HostStatus::Offline {
            self.status = HostStatus::Online;
        }
        self.heard(terms, now);
    }

    fn heard(&mut self, terms: &Terms, now: Timestamp) {
        let lease = self.lease(terms);
        self.quality_score = quality_score(self, self.reported.players);
        self.last_heard = now;
        self.lease_until = now.after(lease);
        self.updated_at = now;
    }

    /// How long it counts as alive after it was heard.
    pub const fn lease(&self, terms: &Terms) -> Duration {
        if self.peer.is_some() { terms.lease } else { terms.host_timeout }
    }

    /// Marks a host as lost whose lease is over. Whether it was.
    pub fn expire(&mut self, now: Timestamp) -> bool {
        let lost = self.status != HostStatus::Offline && self.lease_until <= now;
        if lost {
            self.status = HostStatus::Offline;
            self.updated_at = now;
        }
        lost
    }

    /// If the lease is of a clock that has been put back since, it begins anew. Whether it is.
    pub fn rein_in(&mut self, terms: &Terms, now: Timestamp) -> bool {
        let until = now.after(self.lease(terms));
        let ahead = is_ahead(self.lease_until, until);
        if ahead {
            (self.last_heard, self.lease_until, self.updated_at) = (now, until, now);
        }
        ahead
    }

    /// Whether it takes sessions and its lease holds.
    pub fn is_online(&self, now: Timestamp) -> bool {
        self.status == HostStatus::Online && now < self.lease_until
    }
}

impl HostView {
    /// What it carries: what it reported, or what was placed there if that is more.
    pub fn load(&self) -> Load {
        let reported = self.row.value.reported;
        Load {
            players: reported.players.max(self.placed.players),
            zones: reported.zones.max(self.placed.zones),
        }
    }

    /// Its score with all it carries.
    pub fn score(&self) -> f64 {
        quality_score(&self.row.value, self.load().players)
    }

    /// By what lists are ordered: the score that it reported, less what was placed there beyond that.
    /// But for rounding it is the [`score`](Self::score).
    pub fn rank(&self) -> f64 {
        let host = &self.row.value;
        let more = self.placed.players.saturating_sub(host.reported.players);
        if host.max_players == 0 {
            return host.quality_score;
        }
        host.quality_score - 25.0 * f64::from(more) / f64::from(host.max_players)
    }

    /// Whether it can be given a session of any zone.
    pub fn is_available(&self, now: Timestamp) -> bool {
        let (host, load) = (&self.row.value, self.load());
        host.is_online(now) && load.players < host.max_players && load.zones < host.max_zones
    }

    /// Whether it is online and has room for so many more players.
    ///
    /// # Errors
    ///
    /// [`Refusal::HostOffline`] or [`Refusal::HostFull`].
    pub fn can_take(&self, players: u32, now: Timestamp) -> Result<(), Refusal> {
        let host = &self.row.value;
        if !host.is_online(now) {
            return Err(Refusal::HostOffline { host: host.host_id.clone() });
        }
        if self.load().players.saturating_add(players) > host.max_players {
            return Err(Refusal::HostFull {
                host: host.host_id.clone(),
                max: host.max_players,
                what: "players",
            });
        }
        Ok(())
    }

    /// Whether it has room for a zone, of which it may serve one or more already.
    ///
    /// # Errors
    ///
    /// [`Refusal::HostFull`].
    pub fn can_serve(&self, zone: &ZoneId, served: &[ZoneId]) -> Result<(), Refusal> {
        let host = &self.row.value;
        if served.contains(zone) || self.load().zones < host.max_zones {
            return Ok(());
        }
        Err(Refusal::HostFull { host: host.host_id.clone(), max: host.max_zones, what: "zones" })
    }

    /// As clients see it.
    pub fn to_api(&self) -> Host {
        self.clone().into_api()
    }

    /// The same, at its end.
    pub fn into_api(self) -> Host {
        let (load, quality_score) = (self.load(), self.score());
        let host = self.row.value;
        Host {
            id: self.row.id,
            peer_id: host.peer_id(),
            quality_score,
            host_id: host.host_id,
            player_id: host.player_id,
            player_name: host.player_name,
            ip_address: host.ip_address,
            port: host.port,
            public_ip: host.public_ip,
            cpu_cores: host.cpu_cores,
            cpu_frequency_mhz: host.cpu_frequency_mhz,
            memory_mb: host.memory_mb,
            network_speed_mbps: host.network_speed_mbps,
            latency_ms: host.latency_ms,
            packet_loss_percent: host.packet_loss_percent,
            bandwidth_usage_mbps: host.bandwidth_usage_mbps,
            status: host.status,
            max_players: host.max_players,
            current_players: load.players,
            max_zones: host.max_zones,
            current_zones: load.zones,
        }
    }
}
