//! What these tests write: hosts, told apart by their names.

use std::path::Path;

use p2p_coordinator::domain::{Change, Changes, HostRecord, Load};
use p2p_coordinator::store::sqlite::{Durability, SqliteStore};
use p2p_coordinator::store::{HostQuery, Store};
use p2p_coordinator_api::{HostStatus, Timestamp};
use rusqlite::Connection;

pub(crate) fn host(name: &str) -> HostRecord {
    let moment = Timestamp::from_millis(1_769_860_800_000);
    HostRecord {
        host_id: name.parse().unwrap(),
        player_id: "owner".parse().unwrap(),
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
        last_heard: moment,
        lease_until: moment,
        created_at: moment,
        updated_at: moment,
    }
}

/// A commit of new hosts.
pub(crate) fn insert(names: &[&str]) -> Changes {
    let hosts = names.iter().map(|name| Change::Insert(host(name))).collect();
    Changes { hosts, ..Changes::default() }
}

pub(crate) fn open(path: &Path) -> SqliteStore {
    SqliteStore::open(path, Durability::Process).unwrap()
}

/// Of all hosts.
pub(crate) async fn names(store: &SqliteStore) -> Vec<String> {
    let mut names = Vec::new();
    loop {
        let offset = u32::try_from(names.len()).unwrap();
        let mut page = HostQuery::default();
        page.offset = offset;
        let hosts = store.hosts(&page).await.unwrap();
        if hosts.is_empty() {
            return names;
        }
        names.extend(hosts.into_iter().map(|host| host.row.value.host_id.to_string()));
    }
}

/// As another process that writes to the file, until it is dropped.
pub(crate) fn hold(path: &Path) -> Connection {
    let connection = Connection::open(path).unwrap();
    connection.execute_batch("BEGIN IMMEDIATE").unwrap();
    connection
}
