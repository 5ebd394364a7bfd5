//! Lists of hosts are kept as they were answered, and are true nevertheless.

use std::time::Duration;

use p2p_coordinator::service::Coordinator;
use p2p_coordinator::store::{HostQuery, MemoryStore};
use p2p_coordinator_api::{CreateSession, DefineZone, Heartbeat, Host, HostId, HostStatus};
use tokio::time::advance;

use crate::fixture::{coordinator, host};

type Memory = Coordinator<MemoryStore>;

async fn register(coordinator: &Memory, id: &str) {
    let request = serde_json::from_value(host(id)).expect("a registration");
    coordinator.register_host(request).await.expect("registered");
}

/// The names and loads in a list, which is asked for twice: the second time it may be the one that
/// was kept.
async fn listed(coordinator: &Memory, query: &HostQuery) -> Vec<(String, u32)> {
    let first = coordinator.hosts_json(query).await.expect("a list");
    let second = coordinator.hosts_json(query).await.expect("a list");
    assert_eq!(first, second);
    let hosts: Vec<Host> = serde_json::from_slice(&first).expect("hosts");
    assert_eq!(hosts, coordinator.hosts(query).await.expect("hosts"));
    hosts.into_iter().map(|host| (host.host_id.to_string(), host.current_players)).collect()
}

#[tokio::test(start_paused = true)]
async fn a_list_shows_each_change_at_once_whoever_made_it() {
    let store = MemoryStore::new();
    let (one, other) = (coordinator(store.clone(), 1), coordinator(store, 2));
    let all = HostQuery::default();
    assert_eq!(listed(&one, &all).await, []);
    register(&one, "a").await;
    assert_eq!(listed(&one, &all).await, [("a".into(), 0)]);
    register(&other, "b").await;
    assert_eq!(listed(&one, &all).await, [("a".into(), 0), ("b".into(), 0)]);
    let a: HostId = "a".parse().expect("an id");
    let beat = Heartbeat { current_players: 7, ..Heartbeat::default() };
    one.heartbeat(&a, &beat).await.expect("heard");
    assert_eq!(listed(&one, &all).await, [("b".into(), 0), ("a".into(), 7)]);
    other.define_zone(DefineZone::new("z".parse().expect("an id"))).await.expect("a zone");
    let request = CreateSession {
        host_id: Some("b".parse().expect("an id")),
        zone_id: "z".parse().expect("an id"),
        player_ids: vec!["p".parse().expect("an id")],
    };
    other.create_session(&request).await.expect("a session");
    assert_eq!(listed(&one, &all).await, [("b".into(), 1), ("a".into(), 7)]);
    other.remove_host(&a).await.expect("removed");
    assert_eq!(listed(&one, &all).await, [("b".into(), 1)]);
}

#[tokio::test(start_paused = true)]
async fn each_query_has_a_list_of_its_own() {
    let coordinator = coordinator(MemoryStore::new(), 1);
    for id in ["a", "b", "c"] {
        register(&coordinator, id).await;
    }
    let mut page = HostQuery::default();
    (page.offset, page.limit) = (1, Some(1));
    assert_eq!(listed(&coordinator, &page).await, [("b".into(), 0)]);
    page.offset = 2;
    assert_eq!(listed(&coordinator, &page).await, [("c".into(), 0)]);
    let mut offline = HostQuery::default();
    offline.status = Some(HostStatus::Offline);
    assert_eq!(listed(&coordinator, &offline).await, []);
    let mut better = HostQuery::default();
    better.min_score = Some(100.1);
    assert_eq!(listed(&coordinator, &better).await, []);
    assert_eq!(listed(&coordinator, &HostQuery::default()).await.len(), 3);
}

#[tokio::test(start_paused = true)]
async fn hosts_leave_the_list_of_available_ones_with_their_lease_though_nothing_is_written() {
    let coordinator = coordinator(MemoryStore::new(), 1);
    register(&coordinator, "first").await;
    advance(Duration::from_secs(100)).await;
    register(&coordinator, "second").await;
    let names = async || {
        let json = coordinator.available_hosts_json(HostQuery::default()).await.expect("a list");
        let hosts: Vec<Host> = serde_json::from_slice(&json).expect("hosts");
        hosts.into_iter().map(|host| host.host_id.to_string()).collect::<Vec<_>>()
    };
    let lease = coordinator.settings().terms.host_timeout;
    advance(lease - Duration::from_secs(100) - Duration::from_millis(1)).await;
    assert_eq!(names().await, ["first", "second"]);
    advance(Duration::from_millis(1)).await;
    assert_eq!(names().await, ["second"]);
    assert_eq!(names().await, ["second"]);
    advance(Duration::from_secs(100)).await;
    assert_eq!(names().await, Vec::<String>::new());
}
