//! P2P switched off while peers are connected.

use p2p_coordinator::service::{InForce, PeerPlay};
use serde_json::json;

use super::client::Server;

fn only(zones: &[&str]) -> InForce {
    let zones = zones.iter().map(|zone| zone.parse().expect("an id")).collect();
    InForce { peer_play: PeerPlay { enabled: true, zones: Some(zones) }, ..InForce::default() }
}

fn off() -> InForce {
    InForce { peer_play: PeerPlay { enabled: false, zones: None }, ..InForce::default() }
}

#[tokio::test]
async fn members_of_closed_zones_are_told_once_and_so_is_who_comes_later() {
    let server = Server::guarded().await;
    let plaza = server.session("plaza", &["alice", "bob"]).await;
    let forest = server.session("forest", &["carol"]).await;
    let mut alice = server.member("alice", &plaza).await;
    let mut carol = server.member("carol", &forest).await;
    let change = async |in_force| {
        server.coordinator.put_in_force(in_force);
        for _ in 0..2 {
            server.coordinator.review_rooms().await.expect("looked");
        }
    };
    change(only(&["forest"])).await;
    let off_there = json!({
        "type": "routing", "routing": "server", "session_id": plaza,
        "message": "P2P is switched off: go on over the game's server",
    });
    assert_eq!(alice.hears().await, off_there);
    alice.has_heard_nothing().await;
    carol.has_heard_nothing().await;
    let mut bob = server.member("bob", &plaza).await;
    assert_eq!(bob.hears().await, off_there);
    assert_eq!(alice.hears().await["type"], "peer-joined");
    change(only(&["forest", "plaza"])).await;
    assert_eq!(alice.hears().await["routing"], "peers");
    assert_eq!(bob.hears().await["routing"], "peers");
}

#[tokio::test]
async fn switched_off_for_all_everybody_who_is_connected_is_told() {
    let server = Server::open().await;
    let (mut alice, mut bob) = (server.peer("alice").await, server.member("bob", "any").await);
    alice.has_heard_nothing().await;
    server.coordinator.put_in_force(off());
    server.coordinator.review_rooms().await.expect("looked");
    let told = alice.hears().await;
    assert_eq!((&told["routing"], &told["session_id"]), (&json!("server"), &json!(null)));
    assert_eq!(bob.hears().await["session_id"], "any");
    let mut later = server.peer("later").await;
    assert_eq!(later.hears().await["routing"], "server");
}
