//! The rules, shown on random lives: no store, no runtime, no clock.

mod host;
mod lease;
mod life;
mod placement;
mod session;

use std::sync::LazyLock;
use std::time::Duration;

use p2p_coordinator_api::{DefineZone, HostStatus, SessionName, Timestamp, ZoneStatus};
use p2p_core::{PeerAddr, PeerId, SecretKey};

use super::{HostRecord, Load, Row, RowId, SessionRecord, ZoneRecord};

/// When these tests begin.
const START: Timestamp = Timestamp::from_millis(1_769_860_800_000);

/// Until when the hosts of these tests hold their leases, unless a test says otherwise.
const LEASE: Timestamp = Timestamp::from_millis(START.as_millis() + 15_000);

fn moment(millis: u64) -> Timestamp {
    START.after(Duration::from_millis(millis))
}

/// Made once: a key takes longer than all the rest of a random case.
fn peer(number: u8) -> PeerId {
    static PEERS: LazyLock<[PeerId; 3]> =
        LazyLock::new(|| [0, 1, 2].map(|byte| SecretKey::from_bytes(&[byte; 32]).peer_id()));
    PEERS[usize::from(number)]
}

/// As strong as a score can tell, fresh and online, and no peer.
fn host(id: RowId) -> Row<HostRecord> {
    let value = HostRecord {
        host_id: format!("host-{id}").parse().unwrap(),
        player_id: "owner".parse().unwrap(),
        player_name: "Owner".into(),
        ip_address: "192.0.2.1".into(),
        port: 6900,
        public_ip: None,
        cpu_cores: 4,
        cpu_frequency_mhz: 3000,
        memory_mb: 8192,
        network_speed_mbps: 100,
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
        last_heard: START,
        lease_until: LEASE,
        created_at: START,
        updated_at: START,
    };
    Row { id, version: 1, value }
}

fn peer_host(id: RowId, owner: PeerId) -> Row<HostRecord> {
    let mut host = host(id);
    host.value.peer = Some(PeerAddr::new(owner));
    host
}

fn zone(id: RowId, max_players: u32) -> Row<ZoneRecord> {
    let definition =
        DefineZone { max_players, ..DefineZone::new(format!("zone-{id}").parse().unwrap()) };
    let value = ZoneRecord {
        definition,
        status: ZoneStatus::Enabled,
        created_at: START,
        updated_at: START,
    };
    Row { id, version: 1, value }
}

fn session(id: RowId, host: &Row<HostRecord>, zone: &Row<ZoneRecord>) -> Row<SessionRecord> {
    let name = SessionName::from_bits(id.unsigned_abs());
    Row { id, version: 1, value: SessionRecord::open(name, host, zone, START) }
}
