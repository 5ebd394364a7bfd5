//! Hosts that are peers, and players who join them: challenge, proof, token, lease.

mod lease;
mod players;
mod proof;

use p2p_coordinator_api::{Challenge, HostId, HostProof, JoinClaims, JoinToken};
use p2p_core::{PeerAddr, SecretKey};
use serde_json::{Value, json};

use crate::ask::Answer;
use crate::fixture::{Service, host, with};

/// A key of its own for each number.
pub(crate) fn key(number: u8) -> SecretKey {
    SecretKey::from_bytes(&[number; 32])
}

pub(crate) async fn challenge(service: &Service) -> Challenge {
    let issued = service.post_nothing("/hosts/challenge").await.is(200);
    serde_json::from_value(issued["challenge"].clone()).expect("a challenge")
}

/// A registration with the proof of the key of this number.
pub(crate) async fn proven(service: &Service, id: &str, number: u8, fresh: bool) -> Value {
    let (key, name) = (key(number), id.parse::<HostId>().expect("an id"));
    let addr = PeerAddr::new(key.peer_id());
    let proof = HostProof::new(&key, &name, addr, fresh, challenge(service).await);
    with(host(id), "p2p", serde_json::to_value(proof).expect("JSON"))
}

pub(crate) async fn register(service: &Service, id: &str, number: u8, fresh: bool) -> Answer {
    let body = proven(service, id, number, fresh).await;
    service.post("/hosts/register", body).await
}

/// A peer host and a zone for so many.
pub(crate) async fn ready(service: &Service, places: u32) {
    register(service, "h", 1, true).await.is(201);
    service.zone("z", places).await;
}

pub(crate) async fn join_with(service: &Service, player: &str, avoid: &[&str]) -> Answer {
    let body = json!({
        "zone_id": "z", "player_id": player, "peer_id": peer_of(player), "avoid": avoid,
    });
    service.post("/sessions/join", body).await
}

pub(crate) async fn join(service: &Service, player: &str) -> Answer {
    join_with(service, player, &[]).await
}

/// Each player has a key of its own.
pub(crate) fn peer_of(player: &str) -> String {
    let number = player.bytes().fold(100_u8, u8::wrapping_add);
    key(number).peer_id().to_string()
}

pub(crate) fn claims(service: &Service, joined: &Value) -> JoinClaims {
    let token: JoinToken = serde_json::from_value(joined["token"].clone()).expect("a token");
    token.verify(service.issuer()).expect("the coordinator signed it")
}

pub(crate) fn seated(session: &Value) -> String {
    let players = session["connected_players"].as_array().expect("a list");
    players.iter().map(|player| player.as_str().expect("text")).collect()
}
