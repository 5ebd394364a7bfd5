//! Our own client, over TCP and, in a simulation, over the streams of peers.

use std::time::Duration;

use p2p_coordinator::domain::signaling::Reach;
use p2p_coordinator::door::{Closing, Limits, http as router, peer};
use p2p_coordinator::service::signaling::Identity;
use p2p_coordinator::service::{Coordinator, Settings};
use p2p_coordinator::store::MemoryStore;
use p2p_coordinator::world::{Clock, Randomness};
use p2p_coordinator_client::signaling::{
    Delivery, SignalError, SignalEvent, Signaling, SignalingConfig,
};
use p2p_coordinator_client::{Client, ClientConfig, CoordinatorAddr};
use p2p_core::{ConnectionConfig, P2PProvider};
use p2p_simulator::{Host, Network, NetworkConfig, Simulation, SimulatorP2P};
use serde_json::json;

use super::client::Server;
use crate::fixture::{EPOCH, key};

fn at(provider: SimulatorP2P, coordinator: CoordinatorAddr) -> Client<SimulatorP2P> {
    Client::new(provider, coordinator, ClientConfig::default()).expect("a client")
}

fn provider(host: &Host) -> SimulatorP2P {
    host.provider(ConnectionConfig::default()).expect("a host")
}

async fn joins(peer: &mut Signaling, session: &str) -> Vec<String> {
    peer.join(session).await.expect("joined");
    match peer.next().await {
        Some(SignalEvent::SessionJoined { peers, .. }) => peers,
        other => panic!("not joined: {other:?}"),
    }
}

#[tokio::test]
async fn peers_find_each_other_and_calls_have_outcomes() {
    let server = Server::guarded().await;
    let session = server.session("plaza", &["alice", "bob"]).await;
    let network = Network::live(&NetworkConfig::new(1));
    let coordinator: CoordinatorAddr = server.http_url().parse().expect("a URL");
    let client = at(provider(&network.host("machine")), coordinator);
    let peer = |name: &str, seed| {
        let config = SignalingConfig::default().with_token(server.token(name)).with_seed(seed);
        client.signaling(name.parse().expect("an id"), config)
    };
    let (mut alice, mut bob) = (peer("alice", 1), peer("bob", 2));
    assert!(joins(&mut alice, &session).await.is_empty());
    assert_eq!(joins(&mut bob, &session).await, ["alice"]);
    assert_eq!(alice.next().await, Some(SignalEvent::PeerJoined { peer: "bob".into() }));
    assert_eq!(alice.offer("bob", "v=0").await, Ok(Delivery::Delivered));
    let offer = SignalEvent::Offer { from: "alice".into(), sdp: "v=0".into() };
    assert_eq!(bob.next().await, Some(offer));
    let candidate = json!({ "candidate": "candidate:1", "sdpMid": "0" });
    assert_eq!(bob.ice("alice", candidate.clone()).await, Ok(Delivery::Delivered));
    let heard = SignalEvent::IceCandidate { from: "bob".into(), candidate };
    assert_eq!(alice.next().await, Some(heard));
    let nobody = alice.answer("carol", "v=0").await;
    assert_eq!(nobody, Err(SignalError::Refused("Failed to deliver answer to carol".into())));
    let stranger = alice.join("session-0000000000000000").await;
    assert!(matches!(stranger, Err(SignalError::Refused(_))), "{stranger:?}");
    let mut mallory = client.signaling(
        "alice".parse().expect("an id"),
        SignalingConfig::default().with_token(server.token("mallory")),
    );
    assert!(matches!(mallory.next().await, Some(SignalEvent::Problem { .. })));
    assert!(matches!(mallory.next().await, Some(SignalEvent::Ended { .. })));
    assert_eq!(mallory.next().await, None);
}

/// Two peers on streams of a simulated network, of whom one is cut off for a while.
async fn story(network: Network) -> Vec<String> {
    let mut settings = Settings::default();
    settings.signaling.identity = Identity::Claimed;
    settings.signaling.reach = Reach::Room;
    let coordinator = Coordinator::new(
        MemoryStore::new(),
        key(),
        Clock::starting_at(EPOCH),
        Randomness::new([5; 32]),
        settings,
    );
    let zone = "plaza".parse().expect("an id");
    let host = serde_json::from_value(crate::fixture::host("h")).expect("a host");
    coordinator.register_host(host).await.expect("registered");
    let zone = p2p_coordinator_api::DefineZone::new(zone);
    coordinator.define_zone(zone).await.expect("a zone");
    let request = serde_json::from_value(
        json!({ "host_id": "h", "zone_id": "plaza", "player_ids": ["alice", "bob"] }),
    );
    let session = coordinator.create_session(&request.expect("a request")).await.expect("made");
    let session: String = session.session_id.into();

    let here = network.host("coordinator");
    let door = provider(&here);
    let listener = peer::open(&door, Limits::default()).await.expect("listening");
    let router = router::router(coordinator);
    tokio::spawn(peer::run(listener, router, Limits::default(), Closing::new()));
    let addr = CoordinatorAddr::Peer(door.local_addr());
    let mut config = SignalingConfig::default();
    (config.ping, config.timeout) = (Duration::from_secs(2), Duration::from_secs(2));
    let signaling = |host: &Host, name: &str, seed| {
        let client = at(provider(host), addr.clone());
        client.signaling(name.parse().expect("an id"), config.clone().with_seed(seed))
    };
    let away = network.host("alice");
    let mut alice = signaling(&away, "alice", 1);
    let mut bob = signaling(&network.host("bob"), "bob", 2);
    joins(&mut alice, &session).await;
    joins(&mut bob, &session).await;
    let mut heard = vec![format!("{:?}", alice.next().await)];
    network.partition([&away], [&here]);
    // Alice notices after a ping without an answer; what is sent meanwhile is kept.
    heard.push(format!("{:?}", alice.next().await));
    heard.push(format!("{:?}", bob.offer("alice", "while you were away").await));
    network.repair([&away], [&here]);
    loop {
        let event = alice.next().await.expect("it goes on");
        heard.push(format!("{event:?}"));
        if let SignalEvent::Offer { .. } = event {
            return heard;
        }
    }
}

#[test]
fn over_the_streams_of_peers_a_cut_is_survived_and_repeats_to_the_byte() {
    let run = || {
        let run = Simulation::new(7).run(story).expect("a run");
        (run.output, run.trace_hash)
    };
    let (heard, hash) = run();
    assert!(heard[1].starts_with("Some(Disconnected"), "{heard:?}");
    assert!(heard[2].starts_with("Ok("), "{heard:?}");
    assert!(heard.iter().any(|event| event.starts_with("Resumed { missed: 0")), "{heard:?}");
    assert_eq!(run(), (heard, hash));
}
