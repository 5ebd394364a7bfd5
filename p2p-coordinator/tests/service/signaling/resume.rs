//! A peer that was away is the same when it comes back in time.

use std::time::Duration;

use serde_json::{Value, json};

use super::client::{Peer, Server};

async fn with_token(server: &Server, name: &str, session: &str) -> (Peer, String) {
    let path = format!("?peer_id={name}&resume=new&session_id={session}");
    let mut peer = server.dial(&path).await.expect("connected");
    let welcome = peer.hears().await;
    assert_eq!(
        (welcome["type"].as_str(), welcome["peer_id"].as_str()),
        (Some("welcome"), Some(name))
    );
    assert_eq!(peer.hears().await["type"], "session-joined");
    (peer, welcome["resume_token"].as_str().expect("a token").to_owned())
}

async fn back(server: &Server, name: &str, token: &str, seq: u64) -> Peer {
    let path = format!("?peer_id={name}&resume={token}&seq={seq}");
    server.dial(&path).await.expect("connected")
}

/// Says so until the peer is away.
async fn kept(from: &mut Peer, to: &str, sdp: &str) {
    from.say(json!({ "type": "offer", "to": to, "sdp": sdp, "id": 1 })).await;
    assert_eq!(from.hears().await["type"], "ack");
}

async fn away(server: &Server, left: u64) {
    while server.stats().await["active_connections"] != left {}
}

#[tokio::test]
async fn what_was_sent_meanwhile_is_there_in_order_and_nobody_was_told_of_the_absence() {
    let server = Server::open().await;
    let (mut a, token) = with_token(&server, "a", "s").await;
    let mut b = server.member("b", "s").await;
    let joined = a.hears().await;
    // Its first message was its own `session-joined`.
    assert_eq!((joined["type"].as_str(), joined["seq"].as_u64()), (Some("peer-joined"), Some(2)));
    a.breaks();
    away(&server, 1).await;
    b.say(json!({ "type": "offer", "to": "a", "sdp": 1, "id": 7 })).await;
    assert_eq!(b.hears().await, json!({ "type": "ack", "id": 7, "status": "kept" }));
    kept(&mut b, "a", "2").await;
    let mut a = back(&server, "a", &token, 2).await;
    let resumed = a.hears().await;
    assert_eq!(resumed["type"], "resumed");
    let (session, peers) = (&resumed["session_id"], &resumed["peers"]);
    assert_eq!((session, peers, &resumed["missed"]), (&json!("s"), &json!(["b"]), &json!(0)));
    let (first, second) = (a.hears().await, a.hears().await);
    assert_eq!((&first["sdp"], &first["seq"]), (&json!(1), &json!(3)));
    assert_eq!((&second["sdp"], &second["seq"]), (&json!("2"), &json!(4)));
    b.has_heard_nothing().await;
    a.say(json!({ "type": "answer", "to": "b", "sdp": "y" })).await;
    assert_eq!(b.hears().await["from"], "a");
}

#[tokio::test]
async fn what_was_lost_with_the_connection_comes_again_by_its_number() {
    let server = Server::open().await;
    let (a, token) = with_token(&server, "a", "s").await;
    let mut b = server.member("b", "s").await;
    // Sent into a connection from which nothing is read any more.
    kept(&mut b, "a", "x").await;
    let mut again = back(&server, "a", &token, 1).await;
    assert_eq!(again.hears().await["type"], "resumed");
    assert_eq!(again.hears().await["type"], "peer-joined");
    assert_eq!(again.hears().await["sdp"], "x");
    drop(a);
    again.has_heard_nothing().await;
}

#[tokio::test]
async fn after_the_grace_it_has_left_and_its_token_is_worth_nothing() {
    let server = Server::open_within(|limits| {
        limits.grace = Duration::from_millis(100);
        // Until it has left, the other asks again and again.
        limits.burst = 1 << 30;
    })
    .await;
    let (a, token) = with_token(&server, "a", "s").await;
    let mut b = server.member("b", "s").await;
    a.breaks();
    away(&server, 1).await;
    let left: Value = loop {
        server.coordinator.expire_peers();
        b.say(json!({ "type": "ping" })).await;
        let heard = b.hears().await;
        if heard["type"] != "pong" {
            break heard;
        }
    };
    assert_eq!(left, json!({ "type": "peer-left", "peer_id": "a" }));
    let mut late = back(&server, "a", &token, 0).await;
    let welcome = late.hears().await;
    assert_eq!(welcome["type"], "welcome");
    assert_ne!(welcome["resume_token"], token);
}

#[tokio::test]
async fn what_is_kept_has_a_bound_and_what_is_not_is_answered() {
    let server = Server::open_within(|limits| limits.backlog_messages = 3).await;
    let (a, token) = with_token(&server, "a", "s").await;
    let mut b = server.member("b", "s").await;
    a.breaks();
    away(&server, 1).await;
    // Two events are there already; they cannot be sent again, so they stay.
    kept(&mut b, "a", "x").await;
    b.say(json!({ "type": "offer", "to": "a", "sdp": "too much" })).await;
    b.is_told("Failed to deliver offer to a").await;
    let mut a = back(&server, "a", &token, 0).await;
    assert_eq!(a.hears().await["missed"], 0);
    for kind in ["session-joined", "peer-joined", "offer"] {
        assert_eq!(a.hears().await["type"], kind);
    }
    a.has_heard_nothing().await;
}

#[tokio::test]
async fn a_ping_says_what_has_arrived_and_makes_room() {
    let server = Server::open_within(|limits| limits.backlog_messages = 3).await;
    let (mut a, _) = with_token(&server, "a", "s").await;
    let mut b = server.member("b", "s").await;
    let seq = a.hears().await["seq"].clone();
    a.say(json!({ "type": "ping", "seq": seq, "id": "p" })).await;
    assert_eq!(a.hears().await["id"], "p");
    a.breaks();
    away(&server, 1).await;
    for sdp in ["1", "2", "3"] {
        kept(&mut b, "a", sdp).await;
    }
}
