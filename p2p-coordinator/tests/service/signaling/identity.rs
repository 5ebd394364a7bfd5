//! Who is who, and who takes over.

use std::time::Duration;

use p2p_coordinator::domain::signaling::Reach;
use p2p_coordinator::security::Role;
use serde_json::json;

use super::client::Server;

const TOKEN: &str = "Invalid or expired authentication token";

#[tokio::test]
async fn without_a_token_that_holds_nobody_is_let_in() {
    let server = Server::guarded().await;
    let old = server.token_for("a", Role::Player, None, Duration::ZERO);
    let other = Server::with(|settings| settings.security.tokens.issuer = "another".into()).await;
    let foreign = other.token("a");
    for token in ["", "rubbish", &old, &foreign, &"x".repeat(10_000)] {
        let mut peer =
            server.dial(&format!("?peer_id=a&token={token}")).await.expect("a handshake");
        peer.is_told(TOKEN).await;
        assert_eq!(peer.is_closed().await, (1008, "Invalid authentication token".into()));
    }
    let mut silent = server.dial("?peer_id=a").await.expect("a handshake");
    silent.is_told(TOKEN).await;
    assert_eq!(silent.is_closed().await.0, 1008);
    assert_eq!(server.stats().await["active_connections"], 0);
}

#[tokio::test]
async fn where_nobody_has_to_show_a_token_one_that_is_shown_has_to_hold() {
    let server = Server::open().await;
    let mut wrong = server.dial("?peer_id=a&token=rubbish").await.expect("a handshake");
    wrong.is_told(TOKEN).await;
    assert_eq!(wrong.is_closed().await, (1008, "Invalid authentication token".into()));
    let token = server.token("b");
    let mut right = server.dial(&format!("?peer_id=a&token={token}")).await.expect("connected");
    right.has_heard_nothing().await;
}

#[tokio::test]
async fn a_player_is_the_peer_of_its_name_and_no_other() {
    let server = Server::guarded().await;
    let token = server.token("mallory");
    let mut peer =
        server.dial(&format!("?peer_id=alice&token={token}")).await.expect("a handshake");
    peer.is_told("peer_id has to be that of the token's player").await;
    assert_eq!(peer.is_closed().await.0, 1008);
    server.player("alice").await.has_heard_nothing().await;
    let host = server.token_for("alice", Role::Host, Some("h1"), Duration::from_secs(60));
    let mut peer = server.dial(&format!("?peer_id=h1&token={host}")).await.expect("connected");
    peer.has_heard_nothing().await;
    let service = server.token_for("backend", Role::Service, None, Duration::from_secs(60));
    let mut peer = server.dial(&format!("?peer_id=bob&token={service}")).await.expect("connected");
    peer.has_heard_nothing().await;
}

#[tokio::test]
async fn a_player_takes_over_from_itself_and_the_end_of_the_old_connection_hurts_nobody() {
    let server = Server::with(|settings| settings.signaling.reach = Reach::Anyone).await;
    let mut friend = server.member("friend", "s").await;
    let mut old = server.member("a", "s").await;
    assert_eq!(friend.hears().await["type"], "peer-joined");
    let mut new = server.player("a").await;
    assert_eq!(friend.hears().await, json!({ "type": "peer-left", "peer_id": "a" }));
    assert_eq!(old.is_closed().await.0, 4001);
    old.breaks();
    new.say(json!({ "type": "join", "session_id": "s" })).await;
    assert_eq!(new.hears().await["peers"], json!(["friend"]));
    assert_eq!(friend.hears().await["type"], "peer-joined");
    friend.say(json!({ "type": "offer", "to": "a", "sdp": "x" })).await;
    assert_eq!(new.hears().await["sdp"], "x");
    friend.has_heard_nothing().await;
}

#[tokio::test]
async fn where_nobody_proves_who_they_are_a_name_with_a_resume_token_is_not_taken_over() {
    let server = Server::open().await;
    let mut old = server.dial("?peer_id=a&resume=new").await.expect("connected");
    assert_eq!(old.hears().await["type"], "welcome");
    let mut thief = server.peer("a").await;
    thief.is_told("peer_id is in use").await;
    assert_eq!(thief.is_closed().await.0, 1008);
    old.has_heard_nothing().await;
    // A name that nobody holds in this way goes to the newest, as ever.
    let mut first = server.peer("b").await;
    server.peer("b").await.has_heard_nothing().await;
    assert_eq!(first.is_closed().await.0, 4001);
}
