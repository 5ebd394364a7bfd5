//! A host with a peer id speaks for itself: with the token of its registration, or as that peer.

use std::time::Duration;

use p2p_coordinator::door::{Closing, Limits, http as router, peer};
use p2p_coordinator::store::MemoryStore;
use p2p_coordinator_api::paths::PROTOCOL;
use p2p_core::{
    ConnectOptions, ConnectReady, ConnectionConfig, P2PConnection, P2PProvider, StreamIo,
};
use p2p_simulator::{Host, Simulation, SimulatorP2P};
use serde_json::{Value, json};

use super::{ADMIN, HOST, SERVICE, Shown, ask, asked, guarded, player, proven, text};
use crate::ask::{Answer, exchange};
use crate::fixture::{Service, beat, secured, with, zone};
use crate::join::peer_of;

/// Registers a host with the proof of the key of this number; its token.
async fn register(service: &Service, id: &str, number: u8) -> Shown {
    let body = proven(service, id, number).await;
    let reply = ask(service, "POST", "/hosts/register", Some(body), &Shown::Key(HOST)).await;
    Shown::Token(text(&reply.is(201)["p2p"]["access"]["token"]))
}

#[tokio::test(start_paused = true)]
async fn the_token_of_its_registration_is_a_hosts_voice_for_an_hour() {
    let service = Service::secured(guarded());
    let (mine, other) = (register(&service, "h", 1).await, register(&service, "other", 2).await);
    let heard = "/hosts/h/heartbeat";
    ask(&service, "POST", heard, Some(beat()), &mine).await.is(200);
    ask(&service, "POST", heard, Some(beat()), &other).await.is(403);
    ask(&service, "POST", heard, Some(beat()), &Shown::Key(HOST)).await.is(403);
    let owner = player(&service, "owner").await;
    ask(&service, "POST", heard, Some(beat()), &owner).await.is(403);
    // It opens nothing else.
    ask(&service, "POST", "/zones/", Some(zone("z")), &mine).await.is(403);

    tokio::time::advance(Duration::from_secs(3600)).await;
    ask(&service, "POST", heard, Some(beat()), &mine).await.is(401);
    let again = register(&service, "h", 1).await;
    let other = register(&service, "other", 2).await;
    ask(&service, "DELETE", "/hosts/h", None, &other).await.is(403);
    ask(&service, "DELETE", "/hosts/h", None, &again).await.is(204);
}

#[tokio::test]
async fn a_token_is_void_for_a_host_id_that_is_another_peers_now() {
    let service = Service::secured(guarded());
    let before = register(&service, "h", 1).await;
    ask(&service, "DELETE", "/hosts/h", None, &Shown::Key(ADMIN)).await.is(204);
    let after = register(&service, "h", 2).await;
    ask(&service, "POST", "/hosts/h/heartbeat", Some(beat()), &before).await.is(403);
    ask(&service, "POST", "/hosts/h/heartbeat", Some(beat()), &after).await.is(200);
}

#[tokio::test]
async fn a_host_leads_its_own_sessions_and_lets_players_out_of_them() {
    let service = Service::secured(guarded());
    let (mine, other) = (register(&service, "h", 1).await, register(&service, "other", 2).await);
    let game = Shown::Key(SERVICE);
    ask(&service, "POST", "/zones/", Some(zone("z")), &game).await.is(201);
    let join =
        json!({ "zone_id": "z", "player_id": "p", "peer_id": peer_of("p"), "avoid": ["other"] });
    let p = player(&service, "p").await;
    let joined = ask(&service, "POST", "/sessions/join", Some(join), &p).await.is(200);
    let name = text(&joined["session"]["session_id"]);
    let out = format!("/sessions/{name}/players/p");
    ask(&service, "DELETE", &out, None, &other).await.is(403);
    ask(&service, "DELETE", &out, None, &mine).await.is(200);
}

/// A peer that asks a coordinator's door in the simulation.
async fn ask_at_door(
    provider: &SimulatorP2P,
    door: &SimulatorP2P,
    method: &str,
    path: &str,
    body: Option<&Value>,
    shown: &Shown,
) -> Answer {
    let options = ConnectOptions::new(PROTOCOL.parse().expect("a name"));
    let options = options.with_ready(ConnectReady::Admitted);
    let connection = provider.connect(&door.local_addr(), options).await.expect("a connection");
    let (send, recv) = connection.open_stream().await.expect("a stream");
    let request = asked(method, path, body, shown);
    exchange(StreamIo::new(send, recv), request).await.expect("an answer")
}

fn provider(host: &Host) -> SimulatorP2P {
    host.provider(ConnectionConfig::default()).expect("a free host")
}

#[test]
fn at_the_door_for_peers_the_connection_is_the_identity() {
    Simulation::new(5)
        .run(async |network| {
            let door = provider(&network.host("coordinator"));
            let coordinator = secured(MemoryStore::new(), guarded());
            let listener = peer::open(&door, Limits::default()).await.expect("listening");
            let app = router::router(coordinator);
            tokio::spawn(peer::run(listener, app, Limits::default(), Closing::new()));
            let machine = network.host("host");
            let (host, other) = (provider(&machine), provider(&network.host("other")));

            let key = Shown::Key(HOST);
            let id = "h".parse().expect("an id");
            let issued =
                ask_at_door(&host, &door, "POST", "/hosts/challenge", None, &key).await.is(200);
            let challenge = serde_json::from_value(issued["challenge"].clone()).expect("one");
            let secret = machine.secret_key();
            let proof = p2p_coordinator_api::HostProof::new(
                &secret,
                &id,
                host.local_addr(),
                true,
                challenge,
            );
            let body = with(crate::fixture::host("h"), "p2p", json!(proof));
            ask_at_door(&host, &door, "POST", "/hosts/register", Some(&body), &key).await.is(201);

            let (heard, beat) = ("/hosts/h/heartbeat", beat());
            ask_at_door(&host, &door, "POST", heard, Some(&beat), &key).await.is(200);
            ask_at_door(&other, &door, "POST", heard, Some(&beat), &key).await.is(403);
            let nothing = Shown::Nothing;
            ask_at_door(&other, &door, "POST", heard, Some(&beat), &nothing).await.is(401);
            ask_at_door(&other, &door, "DELETE", "/hosts/h", None, &key).await.is(403);
            ask_at_door(&host, &door, "DELETE", "/hosts/h", None, &key).await.is(204);
        })
        .expect("it ends");
}
