//! P2P switched off while peers are connected.

use std::time::Duration;

use p2p_coordinator::security::Role;
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

/// Closes or opens a zone, as an operator does.
async fn rule(server: &Server, method: &str, path: &str) {
    let operator = server.token_for("operator", Role::Admin, None, Duration::from_secs(600));
    server.ask(method, path, Some(&operator), None).await.is(200);
}

#[tokio::test]
async fn members_of_a_zone_that_is_closed_are_told_at_once_and_so_is_who_joins_then() {
    let server = Server::guarded().await;
    let tended = server.coordinator.clone();
    let tending = tokio::spawn(async move { tended.tend_peers().await });
    let plaza = server.session("plaza", &["alice", "bob"]).await;
    let forest = server.session("forest", &["carol"]).await;
    let mut alice = server.member("alice", &plaza).await;
    let mut carol = server.member("carol", &forest).await;
    let routing_of = async |session: &str| {
        let at = format!("/sessions/{session}");
        server.ask("GET", &at, Some(&server.token("alice")), None).await.is(200)["routing"].clone()
    };
    let off = json!({
        "type": "routing", "routing": "server", "session_id": plaza,
        "message": "P2P is switched off: go on over the game's server",
    });
    let ways = [
        ("POST", "/zones/plaza/disable-p2p", "/zones/plaza/enable-p2p"),
        (
            "PATCH",
            "/zones/plaza/status?new_status=maintenance",
            "/zones/plaza/status?new_status=enabled",
        ),
    ];
    for (method, close, open) in ways {
        rule(&server, method, close).await;
        assert_eq!(alice.hears().await, off);
        assert_eq!(routing_of(&plaza).await, "server");
        assert_eq!(routing_of(&forest).await, json!(null));
        // Once more is nothing new.
        rule(&server, method, close).await;
        server.coordinator.review_rooms().await.expect("looked");
        alice.has_heard_nothing().await;
        let mut bob = server.member("bob", &plaza).await;
        assert_eq!(bob.hears().await, off);
        assert_eq!(alice.hears().await["type"], "peer-joined");
        rule(&server, method, open).await;
        assert_eq!(alice.hears().await["routing"], "peers");
        assert_eq!(bob.hears().await["routing"], "peers");
        assert_eq!(routing_of(&plaza).await, json!(null));
        bob.leaves().await;
        assert_eq!(alice.hears().await["type"], "peer-left");
    }
    carol.has_heard_nothing().await;
    tending.abort();
}

#[tokio::test]
async fn the_first_member_of_a_room_is_told_that_its_zone_is_closed() {
    let server = Server::guarded().await;
    let plaza = server.session("plaza", &["alice"]).await;
    rule(&server, "POST", "/zones/plaza/disable-p2p").await;
    let mut alice = server.member("alice", &plaza).await;
    assert_eq!(alice.hears().await["routing"], "server");
}

#[tokio::test]
async fn where_any_text_is_a_room_those_of_sessions_are_told_of_their_zones() {
    let server = Server::open().await;
    let plaza = server.session("plaza", &["alice"]).await;
    let (mut alice, mut bob) =
        (server.member("alice", &plaza).await, server.member("bob", "any").await);
    rule(&server, "POST", "/zones/plaza/disable-p2p").await;
    server.coordinator.review_rooms().await.expect("looked");
    assert_eq!(alice.hears().await["session_id"], plaza);
    bob.has_heard_nothing().await;
}

#[tokio::test]
async fn nobody_is_added_to_a_session_of_a_closed_zone() {
    let server = Server::guarded().await;
    let plaza = server.session("plaza", &["alice"]).await;
    rule(&server, "POST", "/zones/plaza/disable-p2p").await;
    let operator = server.token_for("operator", Role::Admin, None, Duration::from_secs(600));
    let add = async |player: &str| {
        let body = Some(json!({ "player_id": player }));
        server.ask("POST", &format!("/sessions/{plaza}/players"), Some(&operator), body).await
    };
    let refused = add("bob").await;
    assert_eq!((refused.status, refused.header("x-refusal-reason")), (400, Some("zone_closed")));
    add("alice").await.is(200);
}
