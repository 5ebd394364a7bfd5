//! Wall clocks that jump. A process reads its own once, at the start, and counts from there; so a
//! jump shows where one process reads what another has written, and in the domain, which is told.

use std::time::Duration;

use p2p_coordinator::domain::SKEW;
use p2p_coordinator::service::{Coordinator, Settings};
use p2p_coordinator::store::{HostQuery, MemoryStore, SessionKey, SessionQuery, ZoneQuery};
use p2p_coordinator::world::{Clock, Randomness};
use p2p_coordinator_api::{
    CreateSession, DefineZone, Heartbeat, HostStatus, JoinRequest, PlayerId, RegisterHost,
    SessionStatus, Timestamp,
};
use p2p_coordinator_client::api::auth::TokenRequest;
use p2p_coordinator_client::{
    ApiKey, Client, ClientConfig, CoordinatorAddr, HostAgent, HostConfig, JoinOptions,
};
use p2p_core::{ConnectionConfig, P2PConnection, P2PProvider, ProtocolName};
use p2p_simulator::{LinkProfile, Network, Simulation, SimulatorP2P};
use tokio::time::sleep;

use crate::fixture::{EPOCH, host, key};
use crate::security::outage::process;
use crate::security::{HOST, SERVICE};

const MINUTE: Duration = Duration::from_secs(60);
const HOURS: Duration = Duration::from_secs(5 * 3600);

fn game() -> ProtocolName {
    "game/1".parse().expect("a name")
}

fn player(name: &str) -> PlayerId {
    name.parse().expect("an id")
}

/// The coordinator is started again when its wall clock shows `wall`. What lives goes on, what is dead
/// ends when it would have ended.
async fn restarted_at(network: Network, wall: Timestamp) {
    let store = MemoryStore::new();
    let machine = network.host("coordinator");
    let door = machine.provider(ConnectionConfig::default()).expect("a free host");
    let addr = CoordinatorAddr::Peer(door.local_addr());
    let (first, coordinator) = process(&store, &door, EPOCH).await;
    let zone = "z".parse().expect("an id");
    coordinator.define_zone(DefineZone::new("z".parse().expect("an id"))).await.expect("a zone");
    let client = |node: SimulatorP2P, key: Option<&str>| {
        let mut config = ClientConfig::default();
        config.api_key = key.map(ApiKey::new);
        Client::new(node, addr.clone(), config).expect("a client")
    };
    let house = network.host("host");
    let node = house.provider(ConnectionConfig::default()).expect("a free host");
    let config = HostConfig::new("h".parse().expect("an id"), player("owner"), game());
    let known = client(node.clone(), Some(HOST));
    let agent = HostAgent::start(known, node, house.secret_key(), config).await.expect("a host");
    let start =
        |name: &str| network.host(name).provider(ConnectionConfig::default()).expect("a free host");
    let server = client(start("game"), Some(SERVICE));
    let log_in = async |name: &str| {
        let request = TokenRequest { player_id: player(name), user_id: None, api_key: None };
        client(start(name), None).with_tokens(server.log_in(&request).await.expect("tokens"))
    };
    let alice = log_in("alice").await;
    let joined = alice.join(&zone, &player("alice"), JoinOptions::new(game())).await;
    let joined = joined.expect("a place");
    let guest = agent.accept().await.expect("a guest");
    let plays_for = async |time: Duration| {
        for _ in 0..time.as_secs() / 10 {
            joined.connection.send("ping".into()).await.expect("sent");
            assert_eq!(guest.connection.recv().await.expect("heard"), "ping");
            sleep(Duration::from_secs(10)).await;
        }
    };
    // A host that is about to die, a session that nobody comes to, and a player who does not.
    let dead: RegisterHost = serde_json::from_value(host("dead")).expect("a host");
    let dead = coordinator.register_host(dead).await.expect("registered").host.host_id;
    let empty = CreateSession {
        host_id: Some("h".parse().expect("an id")),
        zone_id: zone.clone(),
        player_ids: Vec::new(),
    };
    let empty = SessionKey::Number(coordinator.create_session(&empty).await.expect("made").id);
    let late = JoinRequest {
        zone_id: zone.clone(),
        player_id: player("late"),
        peer_id: network.host("late").secret_key().peer_id(),
        avoid: Vec::new(),
    };
    coordinator.join(&late).await.expect("a place");
    let key = SessionKey::Name(joined.session.session_id.clone());

    drop(first);
    drop(coordinator);
    door.shutdown().await;
    let door = machine.provider(ConnectionConfig::default()).expect("a free host");
    let (_second, coordinator) = process(&store, &door, wall).await;
    plays_for(MINUTE).await;
    assert!(agent.state().registered, "{:?}", agent.state());
    alice.zones().await.expect("her login lasts");
    let bob = log_in("bob").await;
    let his = bob.join(&zone, &player("bob"), JoinOptions::new(game())).await.expect("a place");
    let sat = agent.accept().await.expect("a guest");
    his.connection.send("hello".into()).await.expect("sent");
    assert_eq!(sat.connection.recv().await.expect("heard"), "hello");
    plays_for(MINUTE).await;
    let players = coordinator.session(&key).await.expect("the session").connected_players;
    assert_eq!(players, [player("alice"), player("bob")], "who never came has no place");
    plays_for(8 * MINUTE).await;
    let status = |host: p2p_coordinator_api::Host| host.status;
    assert_eq!(coordinator.host(&dead).await.map(status).expect("known"), HostStatus::Offline);
    plays_for(19 * MINUTE).await;
    let state = async |key: &SessionKey| coordinator.session(key).await.expect("known").status;
    assert_eq!(state(&empty).await, SessionStatus::Pending, "its time is not over");
    plays_for(4 * MINUTE).await;
    assert_eq!(
        state(&empty).await,
        SessionStatus::Failed,
        "nothing happened in it for half an hour"
    );
    assert_eq!(state(&key).await, SessionStatus::Active);
    assert!(agent.state().registered && agent.state().guests == 2, "{:?}", agent.state());
}

fn check(wall: Timestamp) {
    let link = LinkProfile::new().with_latency(Duration::from_millis(20));
    let story = move |network| restarted_at(network, wall);
    Simulation::new(5).with_link(link).run(story).expect("it ends");
}

#[test]
fn a_clock_that_was_put_back_by_hours_keeps_nothing_dead_alive_and_loses_nobody() {
    check(EPOCH.before(HOURS));
}

#[test]
fn a_clock_that_was_put_forward_by_hours_loses_nobody() {
    check(EPOCH.after(HOURS));
}

#[test]
fn a_clock_that_has_lost_the_time_altogether_loses_nobody() {
    check(Timestamp::from_millis(0));
}

/// Of two coordinators on one store the clocks are not the same: as long as that is little, what one
/// has heard is not older to the other.
#[tokio::test(start_paused = true)]
async fn clocks_that_differ_by_less_than_the_skew_do_not_unsettle_hosts() {
    let store = MemoryStore::new();
    let at = |wall| {
        let (clock, random) = (Clock::starting_at(wall), Randomness::new([1; 32]));
        Coordinator::new(store.clone(), key(), clock, random, Settings::default())
    };
    let (ahead, behind) = (at(EPOCH.after(SKEW / 2)), at(EPOCH));
    let h: RegisterHost = serde_json::from_value(host("h")).expect("a host");
    let id = ahead.register_host(h).await.expect("registered").host.host_id;
    let load = |current_players| Heartbeat { current_players, ..Heartbeat::default() };
    ahead.heartbeat(&id, &load(3)).await.expect("heard");
    behind.heartbeat(&id, &load(2)).await.expect("heard");
    let known = behind.host(&id).await.expect("known");
    assert_eq!((known.status, known.current_players), (HostStatus::Online, 3), "the later counts");
    assert_eq!(ahead.sweep().await.expect("swept") + behind.sweep().await.expect("swept"), 0);
}

#[tokio::test(start_paused = true)]
async fn at_no_moment_does_anything_panic() {
    for wall in [Timestamp::from_millis(0), Timestamp::from_millis(1), EPOCH, Timestamp::MAX] {
        let (clock, random) = (Clock::starting_at(wall), Randomness::new([1; 32]));
        let coordinator =
            Coordinator::new(MemoryStore::new(), key(), clock, random, Settings::default());
        let upkeep = coordinator.clone();
        let upkeep = tokio::spawn(async move { upkeep.upkeep().await });
        for _ in 0..3 {
            let h: RegisterHost = serde_json::from_value(host("h")).expect("a host");
            let id = coordinator.register_host(h).await.expect("registered").host.host_id;
            coordinator.heartbeat(&id, &Heartbeat::default()).await.expect("heard");
            let zone = DefineZone::new("z".parse().expect("an id"));
            coordinator.define_zone(zone).await.expect("a zone");
            let request = CreateSession {
                host_id: None,
                zone_id: "z".parse().expect("an id"),
                player_ids: vec![player("a")],
            };
            // At the last moment there is nothing after it: every lease is over.
            let made = coordinator.create_session(&request).await;
            assert_eq!(made.is_ok(), wall != Timestamp::MAX, "{made:?}");
            let tokens = coordinator.log_in(player("a"), None).await.expect("tokens");
            let refreshed = coordinator.refresh(&tokens.refresh_token.unwrap_or_default()).await;
            assert_eq!(refreshed.is_ok(), wall != Timestamp::MAX, "{refreshed:?}");
            coordinator.hosts(&HostQuery::default()).await.expect("listed");
            coordinator.zones(&ZoneQuery::default()).await.expect("listed");
            coordinator.sessions(&SessionQuery::default()).await.expect("listed");
            coordinator.clean_up(Duration::ZERO).await.expect("cleaned");
            sleep(HOURS).await;
        }
        upkeep.abort();
        assert!(upkeep.await.expect_err("aborted").is_cancelled(), "it did not panic");
    }
}
