//! Heartbeats are kept for a moment and written together: what is seen of that, and what is not.

use std::time::Duration;

use p2p_coordinator::service::{Coordinator, ServiceError};
use p2p_coordinator::store::{HostQuery, MemoryStore, PlacementQuery, Store};
use p2p_coordinator_api::{CreateSession, DefineZone, Heartbeat, HostId, HostProof, RegisterHost};
use p2p_core::{PeerAddr, SecretKey};
use tokio::task::{JoinHandle, yield_now};
use tokio::time::advance;

use crate::fixture::{coordinator, host};

type Memory = Coordinator<MemoryStore>;

/// A coordinator that writes heartbeats from time to time.
async fn running(store: &MemoryStore, seed: u8) -> (Memory, JoinHandle<()>) {
    let coordinator = coordinator(store.clone(), seed);
    let writing = coordinator.clone();
    let task = tokio::spawn(async move { writing.write_heartbeats().await });
    yield_now().await;
    (coordinator, task)
}

fn plain(id: &str) -> RegisterHost {
    serde_json::from_value(host(id)).expect("a registration")
}

async fn register_peer(coordinator: &Memory, id: &str) {
    let secret = SecretKey::from_bytes(&[9; 32]);
    let host: HostId = id.parse().expect("an id");
    let challenge = coordinator.challenge().challenge;
    let addr = PeerAddr::new(secret.peer_id());
    let p2p = Some(HostProof::new(&secret, &host, addr, true, challenge));
    let request = RegisterHost { p2p, ..plain(id) };
    coordinator.register_host(request).await.expect("registered");
}

fn beat(current_players: u32) -> Heartbeat {
    Heartbeat { current_players, ..Heartbeat::default() }
}

/// How often the host was written.
async fn version(store: &MemoryStore, id: &HostId) -> u64 {
    store.host(id).await.expect("memory").expect("the host").row.version
}

#[tokio::test(start_paused = true)]
async fn heartbeats_of_an_interval_are_written_once_and_the_last_counts() {
    let store = MemoryStore::new();
    let (coordinator, _task) = running(&store, 1).await;
    coordinator.register_host(plain("h")).await.expect("registered");
    let id: HostId = "h".parse().expect("an id");
    let before = version(&store, &id).await;
    for players in 0..100 {
        let reply = coordinator.heartbeat(&id, &beat(players % 40)).await.expect("heard");
        assert_eq!(reply.host.current_players, players % 40);
        advance(Duration::from_millis(5)).await;
    }
    assert_eq!(version(&store, &id).await, before, "nothing is written yet");
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(version(&store, &id).await, before + 1);
    let kept = store.host(&id).await.expect("memory").expect("the host").row.value;
    assert_eq!((kept.reported.players, kept.last_heard > kept.created_at), (99 % 40, true));
    tokio::time::sleep(Duration::from_secs(9)).await;
    assert_eq!(version(&store, &id).await, before + 1, "nothing new, nothing written");
}

#[tokio::test(start_paused = true)]
async fn a_peer_hears_that_it_was_heard_when_that_is_written() {
    let store = MemoryStore::new();
    let (coordinator, _task) = running(&store, 1).await;
    register_peer(&coordinator, "h").await;
    let id: HostId = "h".parse().expect("an id");
    for round in 1..=3 {
        advance(Duration::from_millis(10)).await;
        let (before, now) = (version(&store, &id).await, coordinator.now());
        coordinator.heartbeat(&id, &beat(round)).await.expect("heard");
        assert_eq!(version(&store, &id).await, before + 1);
        let kept = store.host(&id).await.expect("memory").expect("the host").row.value;
        assert_eq!(kept.lease_until, now.after(Duration::from_secs(15)));
    }
}

#[tokio::test(start_paused = true)]
async fn within_a_process_nothing_is_seen_late() {
    let store = MemoryStore::new();
    let (coordinator, _task) = running(&store, 1).await;
    for id in ["a", "b"] {
        coordinator.register_host(plain(id)).await.expect("registered");
    }
    coordinator.define_zone(DefineZone::new("z".parse().expect("an id"))).await.expect("a zone");
    let (a, b): (HostId, HostId) = ("a".parse().expect("an id"), "b".parse().expect("an id"));
    coordinator.heartbeat(&a, &beat(50)).await.expect("heard");
    assert_eq!(coordinator.host(&a).await.expect("read").current_players, 50);
    let listed = coordinator.available_hosts(HostQuery::default()).await.expect("a list");
    assert_eq!(listed.iter().map(|host| host.host_id.as_str()).collect::<Vec<_>>(), ["b"]);
    coordinator.heartbeat(&b, &beat(50)).await.expect("heard");
    let request = CreateSession {
        host_id: None,
        zone_id: "z".parse().expect("an id"),
        player_ids: Vec::new(),
    };
    let refused = coordinator.create_session(&request).await;
    assert!(matches!(refused, Err(ServiceError::Refused(_))), "{refused:?}");
    coordinator.heartbeat(&a, &beat(0)).await.expect("heard");
    let player_ids = vec!["p".parse().expect("an id")];
    let named = CreateSession { host_id: Some(a.clone()), player_ids, ..request };
    coordinator.create_session(&named).await.expect("there is room again");
    let reply = coordinator.heartbeat(&a, &beat(0)).await.expect("heard");
    assert_eq!(reply.host.current_players, 1, "what was placed since is known");
    coordinator.remove_host(&a).await.expect("removed");
    let gone = coordinator.heartbeat(&a, &beat(0)).await;
    assert!(matches!(gone, Err(ServiceError::Refused(_))), "{gone:?}");
}

#[tokio::test(start_paused = true)]
async fn another_coordinator_sees_it_within_the_interval() {
    let store = MemoryStore::new();
    let (one, _task) = running(&store, 1).await;
    let (other, _other) = running(&store, 2).await;
    one.register_host(plain("h")).await.expect("registered");
    let id: HostId = "h".parse().expect("an id");
    for players in 1..5 {
        one.heartbeat(&id, &beat(players)).await.expect("heard");
        tokio::time::sleep(Duration::from_millis(1001)).await;
        assert_eq!(other.host(&id).await.expect("read").current_players, players);
    }
    let query = PlacementQuery::new("nowhere".parse().expect("an id"), one.now());
    assert_eq!(store.placement(&query).await.expect("memory"), None);
}

#[tokio::test(start_paused = true)]
async fn a_host_that_is_heard_is_not_lost_and_what_is_left_is_written_at_the_end() {
    let store = MemoryStore::new();
    let (coordinator, task) = running(&store, 1).await;
    coordinator.register_host(plain("h")).await.expect("registered");
    let id: HostId = "h".parse().expect("an id");
    tokio::time::sleep(Duration::from_millis(299_900)).await;
    coordinator.heartbeat(&id, &beat(1)).await.expect("heard");
    advance(Duration::from_millis(200)).await;
    // Its lease as it was written is over.
    assert_eq!(coordinator.sweep().await.expect("a sweep"), 0);
    coordinator.heartbeat(&id, &beat(2)).await.expect("heard");
    task.abort();
    coordinator.settle().await.expect("written");
    let kept = store.host(&id).await.expect("memory").expect("the host").row.value;
    assert_eq!(kept.reported.players, 2);
    // Nobody writes from time to time any more: each is written before it is answered.
    assert!(task.await.is_err());
    coordinator.heartbeat(&id, &beat(3)).await.expect("heard");
    let kept = store.host(&id).await.expect("memory").expect("the host").row.value;
    assert_eq!(kept.reported.players, 3);
}

#[tokio::test(start_paused = true)]
async fn a_host_that_another_coordinator_removed_is_unknown_after_the_next_writing() {
    let store = MemoryStore::new();
    let (one, _task) = running(&store, 1).await;
    let (other, _other) = running(&store, 2).await;
    one.register_host(plain("h")).await.expect("registered");
    let id: HostId = "h".parse().expect("an id");
    one.heartbeat(&id, &beat(1)).await.expect("heard");
    other.remove_host(&id).await.expect("removed");
    one.heartbeat(&id, &beat(2)).await.expect("as it was known");
    one.settle().await.expect("written");
    let gone = one.heartbeat(&id, &beat(3)).await;
    assert!(matches!(gone, Err(ServiceError::Refused(_))), "{gone:?}");
}
