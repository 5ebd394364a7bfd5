//! Records to write: plain ones, and odd ones by a generator that always draws the same.

use std::net::{Ipv6Addr, SocketAddr};
use std::time::Duration;

use p2p_coordinator_api::{
    DefineZone, HostId, HostStatus, Nonce, PlayerId, SessionName, SessionStatus, Timestamp, ZoneId,
    ZoneStatus,
};
use p2p_core::{PeerAddr, PeerId, SecretKey};
use serde_json::json;

use super::Outcome;
use crate::domain::session::{Hold, Seat, SessionMetrics};
use crate::domain::{HostRecord, Load, Row, SessionRecord, ZoneRecord};

/// When checks happen.
pub(super) const NOW: Timestamp = Timestamp::from_millis(1_769_860_800_000);

/// Until when sample hosts hold their leases.
pub(super) const LEASE: Timestamp = later(15_000);

pub(super) const fn later(millis: u64) -> Timestamp {
    Timestamp::from_millis(NOW.as_millis() + millis)
}

pub(super) fn peer(byte: u8) -> PeerId {
    SecretKey::from_bytes(&[byte; 32]).peer_id()
}

pub(super) fn player(name: &str) -> Outcome<PlayerId> {
    Ok(PlayerId::new(name)?)
}

/// Online, empty, fit for sample zones, and no peer.
pub(super) fn host(name: &str) -> Outcome<HostRecord> {
    Ok(HostRecord {
        host_id: HostId::new(name)?,
        player_id: player("owner")?,
        player_name: "Owner".into(),
        ip_address: "192.0.2.1".into(),
        port: 6900,
        public_ip: None,
        cpu_cores: 8,
        cpu_frequency_mhz: 3000,
        memory_mb: 16_384,
        network_speed_mbps: 1000,
        ice_servers: None,
        peer: None,
        latency_ms: 0.0,
        packet_loss_percent: 0.0,
        bandwidth_usage_mbps: 0.0,
        reported: Load::default(),
        status: HostStatus::Online,
        max_players: 50,
        max_zones: 5,
        quality_score: 100.0,
        last_heard: NOW,
        lease_until: LEASE,
        created_at: NOW,
        updated_at: NOW,
    })
}

/// Open to all hosts of some quality; five players in a session.
pub(super) fn zone(name: &str) -> Outcome<ZoneRecord> {
    let definition = DefineZone { max_players: 5, ..DefineZone::new(ZoneId::new(name)?) };
    Ok(ZoneRecord { definition, status: ZoneStatus::Enabled, created_at: NOW, updated_at: NOW })
}

/// Pending and without players, unless some are named.
pub(super) fn session(
    number: u64,
    host: &Row<HostRecord>,
    zone: &Row<ZoneRecord>,
    players: &[&str],
) -> Outcome<SessionRecord> {
    let mut session = SessionRecord::open(SessionName::from_bits(number), host, zone, NOW);
    for name in players {
        session.add(player(name)?, NOW)?;
    }
    Ok(session)
}

/// Draws numbers: SplitMix64, by Steele, Lea and Flood (2014).
pub(super) struct Draw(u64);

impl Draw {
    pub(super) const fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(super) const fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    const fn number(&mut self) -> u32 {
        // The high half, and often one of the ends.
        match self.bits() % 8 {
            0 => 0,
            1 => u32::MAX,
            _ => (self.bits() >> 32) as u32,
        }
    }

    const fn flag(&mut self) -> bool {
        self.bits().is_multiple_of(2)
    }

    /// Any number that is one: of all magnitudes, with all its digits.
    fn float(&mut self) -> f64 {
        let float = f64::from_bits(self.bits()).abs();
        if float.is_finite() { float } else { f64::MAX }
    }

    fn moment(&mut self) -> Timestamp {
        Timestamp::from_millis(self.bits() % (Timestamp::MAX.as_millis() + 1))
    }

    fn maybe<T>(&mut self, value: impl FnOnce(&mut Self) -> T) -> Option<T> {
        self.flag().then(|| value(self))
    }

    fn one_of<T: Copy>(&mut self, values: &[T], otherwise: T) -> T {
        let place = self.bits() % (values.len().max(1) as u64);
        values.get(place as usize).copied().unwrap_or(otherwise)
    }

    /// Up to 40 characters, odd ones among them; some that no id may have.
    fn words(&mut self) -> String {
        let count = self.bits() % 40;
        let odd = ['\'', '"', '%', '_', '\\', ';', '\0', '\n', 'é', '中', '🦀', '\u{202e}', ' '];
        (0..count).map(|_| if self.flag() { self.one_of(&odd, ' ') } else { 'a' }).collect()
    }

    /// Different from all others of this check by its number.
    fn name(&mut self, number: u64) -> String {
        let odd: String = self.words().chars().filter(|char| !char.is_control()).collect();
        format!("{odd}-{number}")
    }

    fn peer_addr(&mut self) -> PeerAddr {
        let mut addr = PeerAddr::new(peer((self.bits() % 3) as u8));
        for _ in 0..self.bits() % 4 {
            let (ip, port) = (u128::from(self.bits()) << 64 | u128::from(self.bits()), self.bits());
            addr = addr.with_address(SocketAddr::from((Ipv6Addr::from_bits(ip), port as u16)));
        }
        if let Some(Ok(relay)) = self.maybe(|_| "https://relay.example:8443".parse()) {
            addr = addr.with_relay(relay);
        }
        addr
    }

    pub(super) fn host(&mut self, number: u64) -> Outcome<HostRecord> {
        Ok(HostRecord {
            host_id: HostId::new(self.name(number))?,
            player_id: player(&self.name(number))?,
            player_name: self.words(),
            ip_address: self.words(),
            port: self.bits() as u16,
            public_ip: self.maybe(Self::words),
            cpu_cores: self.number(),
            cpu_frequency_mhz: self.number(),
            memory_mb: self.number(),
            network_speed_mbps: self.number(),
            ice_servers: self.maybe(|odd| json!({ "urls": odd.words() }).to_string()),
            peer: self.maybe(Self::peer_addr),
            latency_ms: self.float(),
            packet_loss_percent: self.float(),
            bandwidth_usage_mbps: self.float(),
            reported: Load { players: self.number(), zones: self.number() },
            status: self.one_of(&HostStatus::ALL, HostStatus::Busy),
            max_players: self.number(),
            max_zones: self.number(),
            quality_score: self.float(),
            last_heard: self.moment(),
            lease_until: self.moment(),
            created_at: self.moment(),
            updated_at: self.moment(),
        })
    }

    pub(super) fn zone(&mut self, number: u64) -> Outcome<ZoneRecord> {
        Ok(ZoneRecord {
            definition: DefineZone {
                zone_id: ZoneId::new(self.name(number))?,
                zone_name: self.words(),
                zone_display_name: self.words(),
                map_name: self.words(),
                max_players: self.number(),
                recommended_players: self.number(),
                p2p_enabled: self.flag(),
                p2p_priority: self.number(),
                fallback_enabled: self.flag(),
                min_host_quality_score: self.float(),
                min_bandwidth_mbps: self.number(),
                max_latency_ms: self.number(),
                description: self.maybe(Self::words),
            },
            status: self.one_of(&ZoneStatus::ALL, ZoneStatus::Disabled),
            created_at: self.moment(),
            updated_at: self.moment(),
        })
    }

    pub(super) fn session(
        &mut self,
        number: u64,
        host: &Row<HostRecord>,
        zone: &Row<ZoneRecord>,
    ) -> Outcome<SessionRecord> {
        let mut seats = Vec::new();
        for place in 0..self.bits() % 5 {
            let player = player(&self.name(number * 10 + place))?;
            seats.push(Seat { player, hold: self.maybe(Self::hold) });
        }
        Ok(SessionRecord {
            name: SessionName::from_bits(number),
            host: host.id,
            host_id: host.value.host_id.clone(),
            zone: zone.id,
            zone_id: zone.value.definition.zone_id.clone(),
            seats,
            max_players: self.number(),
            // As many as can be counted in a year, a million times a second.
            ends_empty: self.bits().is_multiple_of(2),
            served: self.bits() >> 19,
            status: self.one_of(&SessionStatus::ALL, SessionStatus::Paused),
            epoch: self.bits(),
            metrics: SessionMetrics {
                latency_ms: self.maybe(Self::float),
                packet_loss_percent: self.maybe(Self::float),
                bandwidth_usage_mbps: self.maybe(Self::float),
            },
            started_at: self.maybe(Self::moment),
            ended_at: self.maybe(Self::moment),
            created_at: self.moment(),
            updated_at: self.moment(),
        })
    }

    fn hold(&mut self) -> Hold {
        let mut nonces = Vec::new();
        for _ in 0..1 + self.bits() % 4 {
            let bits = u128::from(self.bits()) << 64 | u128::from(self.bits());
            nonces.push(Nonce(bits.to_be_bytes()));
        }
        let moment = self.moment().after(Duration::from_millis(1));
        let (present, reserved_until) = (self.maybe(|_| Nonce([1; 16])), self.maybe(|_| moment));
        Hold { nonces, present, reserved_until }
    }
}
