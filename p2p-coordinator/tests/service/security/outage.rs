//! A coordinator that is away for an hour: nobody who plays notices.

use std::time::Duration;

use p2p_coordinator::door::{Closing, Limits, http as router, peer};
use p2p_coordinator::service::{Coordinator, InForce, PeerPlay, Settings};
use p2p_coordinator::store::MemoryStore;
use p2p_coordinator::world::{Clock, Randomness};
use p2p_coordinator_client::api::auth::TokenRequest;
use p2p_coordinator_client::api::{Routing, Timestamp};
use p2p_coordinator_client::{
    ApiKey, Client, ClientConfig, CoordinatorAddr, HostAgent, HostConfig, JoinOptions, RequestError,
};
use p2p_core::{ConnectionConfig, P2PConnection, P2PProvider, ProtocolName};
use p2p_simulator::{LinkProfile, Network, Simulation, SimulatorP2P};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};

use super::{HOST, SERVICE, guarded};
use crate::fixture::{EPOCH, key};

const MINUTE: Duration = Duration::from_secs(60);

fn game() -> ProtocolName {
    "game/1".parse().expect("a name")
}

/// A coordinator's process, started when the wall clock shows this: it ends when this is dropped. Its
/// records are elsewhere.
pub(crate) async fn process(
    store: &MemoryStore,
    door: &SimulatorP2P,
    wall: Timestamp,
) -> (JoinSet<()>, Coordinator<MemoryStore>) {
    let mut settings = Settings::default();
    settings.security = guarded();
    settings.security.tokens.access_lifetime = 20 * MINUTE;
    let seed = [u8::try_from(wall.as_millis() / 1000 % 251).unwrap_or(0); 32];
    let (clock, random) = (Clock::starting_at(wall), Randomness::new(seed));
    let coordinator = Coordinator::new(store.clone(), key(), clock, random, settings);
    let listener = peer::open(door, Limits::default()).await.expect("listening");
    let mut tasks = JoinSet::new();
    let (app, kept) = (router::router(coordinator.clone()), coordinator.clone());
    tasks.spawn(async move {
        peer::run(listener, app, Limits::default(), Closing::new()).await;
    });
    tasks.spawn(async move { kept.upkeep().await });
    (tasks, coordinator)
}

async fn story(network: Network) -> u32 {
    let (began, store) = (Instant::now(), MemoryStore::new());
    let machine = network.host("coordinator");
    let door = machine.provider(ConnectionConfig::default()).expect("a free host");
    let addr = CoordinatorAddr::Peer(door.local_addr());
    let (first, coordinator) = process(&store, &door, EPOCH.after(began.elapsed())).await;
    coordinator
        .define_zone(p2p_coordinator_api::DefineZone::new("z".parse().expect("an id")))
        .await
        .expect("a zone");

    let start =
        |name: &str| network.host(name).provider(ConnectionConfig::default()).expect("a free host");
    let client = |node: SimulatorP2P, key: Option<&str>| {
        let mut config = ClientConfig::default();
        config.api_key = key.map(ApiKey::new);
        Client::new(node, addr.clone(), config).expect("a client")
    };
    let house = network.host("host");
    let node = house.provider(ConnectionConfig::default()).expect("a free host");
    let config =
        HostConfig::new("h".parse().expect("an id"), "owner".parse().expect("an id"), game());
    let agent = HostAgent::start(
        client(node.clone(), Some(HOST)),
        node.clone(),
        house.secret_key(),
        config,
    )
    .await
    .expect("a host");
    let server = client(start("game"), Some(SERVICE));
    let log_in = async |name: &str| {
        let player_id = name.parse().expect("an id");
        let request = TokenRequest { player_id, user_id: None, api_key: None };
        let tokens = server.log_in(&request).await.expect("tokens");
        client(start(name), None).with_tokens(tokens)
    };
    let plain = |name: &str| name.parse().expect("an id");
    // Of a login that the game's server has made: nothing to log in anew with.
    let alice = log_in("alice").await;
    let zone = "z".parse().expect("an id");
    let joined = alice.join(&zone, &plain("alice"), JoinOptions::new(game())).await;
    let joined = joined.expect("a place");
    let guest = agent.accept().await.expect("a guest");
    let mut rounds = 0;
    let mut plays_for = async |time: Duration| {
        let until = Instant::now() + time;
        while Instant::now() < until {
            joined.connection.send("ping".into()).await.expect("sent");
            assert_eq!(guest.connection.recv().await.expect("heard"), "ping");
            rounds += 1;
            sleep(Duration::from_secs(10)).await;
        }
        rounds
    };
    plays_for(MINUTE).await;
    let session = server.session(&joined.session.session_id).await.expect("the session");

    // The process ends; nobody says goodbye.
    drop(first);
    drop(coordinator);
    door.shutdown().await;
    plays_for(60 * MINUTE).await;
    assert!(!agent.state().registered, "the lease is over");
    assert_eq!(agent.state().guests, 1, "and nobody was sent away");
    let refused = timeout(MINUTE, alice.zones()).await.expect("it is told");
    let is_away =
        matches!(refused, Err(RequestError::TimedOut { .. } | RequestError::Unreachable { .. }));
    assert!(is_away, "not that the login is over: {refused:?}");

    let door = machine.provider(ConnectionConfig::default()).expect("a free host");
    let (_second, coordinator) = process(&store, &door, EPOCH.after(began.elapsed())).await;
    plays_for(MINUTE).await;
    assert!(agent.state().registered, "{:?}", agent.state());
    // Her token has ended long ago, and is renewed now.
    alice.zones().await.expect("answered");
    let now = server.session(&session.session_id).await.expect("the session");
    assert_eq!(now.connected_players, session.connected_players, "her place is hers");
    assert!(now.status.is_live(), "{now:?}");
    let bob = log_in("bob").await;
    let his = bob.join(&zone, &plain("bob"), JoinOptions::new(game())).await.expect("a place");
    assert_eq!(his.session.session_id, session.session_id, "they play together");
    let sat = agent.accept().await.expect("a guest");
    his.connection.send("hello".into()).await.expect("sent");
    assert_eq!(sat.connection.recv().await.expect("heard"), "hello");
    let rounds = plays_for(10 * MINUTE).await;
    assert_eq!(coordinator.sweep().await.expect("looked"), 0);

    // Its zone closed, the host hears it from its next heartbeat, and that it is open again.
    for (open, closed) in [(false, vec![session.session_id.clone()]), (true, Vec::new())] {
        coordinator.open_zone_to_peers(&zone, open).await.expect("changed");
        plays_for(MINUTE).await;
        let state = agent.state();
        assert_eq!((state.routing, &state.server_routed), (Routing::Peers, &closed));
    }

    // Switched off, the host hears it from its next heartbeat; who plays is not cut off.
    let peer_play = PeerPlay { enabled: false, zones: None };
    coordinator.put_in_force(InForce { peer_play, ..InForce::default() });
    plays_for(MINUTE).await;
    let state = agent.state();
    assert!(state.registered && state.routing == Routing::Server, "{state:?}");
    assert_eq!(state.server_routed, [session.session_id]);
    rounds
}

#[test]
fn an_hour_without_a_coordinator_hurts_nobody_who_plays() {
    let link = LinkProfile::new().with_latency(Duration::from_millis(20));
    let run = Simulation::new(17).with_link(link).run(story).expect("it ends");
    // Every ten seconds, for 72 minutes.
    assert!(run.output >= 72 * 6 - 10, "{}", run.output);
}
