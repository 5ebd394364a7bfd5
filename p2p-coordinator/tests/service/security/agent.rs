//! The client's host agent and players with tokens, where keys are asked for, at both doors.

use std::time::Duration;

use p2p_coordinator::door::{Closing, Limits, http as router, peer};
use p2p_coordinator::store::MemoryStore;
use p2p_coordinator_client::api::auth::{RefreshRequest, TokenRequest};
use p2p_coordinator_client::{
    ApiKey, Client, ClientConfig, CoordinatorAddr, HostAgent, HostConfig, HostError, JoinOptions,
};
use p2p_core::{ConnectionConfig, P2PConnection, P2PProvider, ProtocolName};
use p2p_iroh::{IrohConfig, IrohP2P};
use p2p_simulator::{LinkProfile, Simulation};
use serde_json::json;
use tokio::time::sleep;

use super::{ADMIN, HOST, SERVICE, Shown, ask, guarded};
use crate::fixture::{Service, secured, zone};

fn game() -> ProtocolName {
    "game/1".parse().expect("a name")
}

fn host_config() -> HostConfig {
    HostConfig::new("h".parse().expect("an id"), "owner".parse().expect("an id"), game())
}

fn keyed(key: &str) -> ClientConfig {
    ClientConfig::default().with_api_key(ApiKey::new(key))
}

/// A client that asks as this player, with a token that the game's server got.
async fn player<P: P2PProvider>(server: &Client<P>, provider: P, name: &str) -> Client<P> {
    let player_id = name.parse().expect("an id");
    let request = TokenRequest { player_id, user_id: None, api_key: None };
    let tokens = server.log_in(&request).await.expect("tokens");
    let coordinator = server.coordinator().clone();
    let client = Client::new(provider, coordinator, ClientConfig::default()).expect("a client");
    client.with_access_token(&tokens.access_token).expect("a token")
}

#[test]
fn an_agent_stays_known_for_many_lives_of_its_token_and_says_goodbye() {
    let link = LinkProfile::new().with_latency(Duration::from_millis(20));
    Simulation::new(11)
        .with_link(link)
        .run(async |network| {
            let start = |name: &str| {
                network.host(name).provider(ConnectionConfig::default()).expect("a free host")
            };
            let door = start("coordinator");
            let mut security = guarded();
            security.tokens.access_lifetime = Duration::from_secs(20);
            let coordinator = secured(MemoryStore::new(), security);
            let listener = peer::open(&door, Limits::default()).await.expect("listening");
            let app = router::router(coordinator.clone());
            tokio::spawn(peer::run(listener, app, Limits::default(), Closing::new()));
            let addr = CoordinatorAddr::Peer(door.local_addr());
            coordinator
                .define_zone(serde_json::from_value(whole_zone()).expect("a zone"))
                .await
                .expect("a zone");

            let machine = network.host("host");
            let node = machine.provider(ConnectionConfig::default()).expect("a free host");
            let client = Client::new(node.clone(), addr.clone(), keyed(HOST)).expect("a client");
            let agent =
                HostAgent::start(client, node.clone(), machine.secret_key(), host_config()).await;
            let agent = agent.expect("a host");
            // Fifteen lives of a token, and twenty of its lease.
            for _ in 0..30 {
                sleep(Duration::from_secs(10)).await;
                assert!(agent.state().registered, "{:?}", agent.state());
            }

            let server = Client::new(start("game"), addr.clone(), keyed(SERVICE)).expect("one");
            let alice = player(&server, start("alice"), "alice").await;
            let zone = "z".parse().expect("an id");
            let (hers, his) = ("alice".parse().expect("an id"), "bob".parse().expect("an id"));
            let refused = alice.join(&zone, &his, JoinOptions::new(game())).await;
            assert!(refused.is_err(), "in another's name");
            let joined = alice.join(&zone, &hers, JoinOptions::new(game())).await;
            let joined = joined.expect("a place");
            let guest = agent.accept().await.expect("a guest");
            let session = joined.session.session_id.clone();
            joined.connection.close(0, "bye").await;
            guest.connection.closed().await;
            sleep(Duration::from_secs(1)).await;
            let left = server.session(&session).await.expect("the session");
            assert!(left.connected_players.is_empty(), "its host said that she left: {left:?}");

            agent.shutdown().await;
            assert!(server.host(&"h".parse().expect("an id")).await.is_err());
        })
        .expect("it ends");
}

fn whole_zone() -> serde_json::Value {
    let mut zone = zone("z");
    for (name, value) in [
        ("max_players", json!(10)),
        ("recommended_players", json!(5)),
        ("p2p_enabled", json!(true)),
        ("p2p_priority", json!(1)),
        ("fallback_enabled", json!(true)),
        ("min_host_quality_score", json!(1.0)),
        ("min_bandwidth_mbps", json!(1)),
        ("max_latency_ms", json!(1000)),
    ] {
        zone[name] = value;
    }
    zone
}

async fn node() -> (IrohP2P, p2p_core::SecretKey) {
    let secret = p2p_iroh::generate_secret_key();
    let loopback = ([127, 0, 0, 1], 0).into();
    let config = IrohConfig::default().with_secret_key(secret.clone());
    (config.with_bind_address(loopback).bind().await.expect("a node"), secret)
}

#[tokio::test]
async fn over_http_an_agent_speaks_with_the_token_of_its_registration() {
    let service = Service::secured_over_tcp(guarded()).await;
    let coordinator: CoordinatorAddr =
        format!("http://{}", service.address()).parse().expect("an address");
    let (node, secret) = node().await;
    let config = || ClientConfig::default();
    let keyless = Client::new(node.clone(), coordinator.clone(), config()).expect("a client");
    let refused = HostAgent::start(keyless.clone(), node.clone(), secret.clone(), host_config());
    assert!(matches!(refused.await, Err(HostError::Refused { .. })));

    let client = Client::new(node.clone(), coordinator.clone(), keyed(HOST)).expect("a client");
    let agent = HostAgent::start(client.clone(), node.clone(), secret, host_config()).await;
    let agent = agent.expect("a host");
    // The key alone is not enough to speak for it.
    let removed = client.remove_host(&"h".parse().expect("an id")).await;
    assert!(removed.is_err(), "by the key of any host");
    let admin = Shown::Key(ADMIN);
    let there = ask(&service, "GET", "/hosts/h", None, &admin).await.is(200);
    assert_eq!(there["status"], "online");
    agent.shutdown().await;
    ask(&service, "GET", "/hosts/h", None, &admin).await.says(404, "Host not found: h");

    let server = Client::new(node.clone(), coordinator, keyed(SERVICE)).expect("a client");
    let player_id = "alice".parse().expect("an id");
    let request = TokenRequest { player_id, user_id: None, api_key: None };
    let first = server.log_in(&request).await.expect("tokens");
    let refresh = |token: Option<String>| RefreshRequest { refresh_token: token.expect("one") };
    let second = keyless.refresh(&refresh(first.refresh_token)).await.expect("tokens");
    let last = refresh(second.refresh_token);
    keyless.log_out(&last).await.expect("logged out");
    assert!(keyless.refresh(&last).await.is_err());
    node.shutdown().await;
}
