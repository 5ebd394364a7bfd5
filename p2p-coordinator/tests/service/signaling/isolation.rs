//! Who reaches whom, where sessions are those of the store.

use std::time::Duration;

use p2p_coordinator::security::Role;
use p2p_coordinator::store::SessionKey;
use serde_json::json;

use super::client::Server;

#[tokio::test]
async fn members_of_a_session_and_its_host_meet_and_others_do_not_get_in() {
    let server = Server::guarded().await;
    let session = server.session("plaza", &["a", "b"]).await;
    let mut a = server.member("a", &session).await;
    let _b = server.member("b", &session).await;
    let _owner = server.member("owner", &session).await;
    let token = server.token_for("x", Role::Host, Some("host-of-plaza"), Duration::from_secs(60));
    let path = format!("?peer_id=host-of-plaza&token={token}&session_id={session}");
    let mut host = server.dial(&path).await.expect("connected");
    assert_eq!(host.hears().await["peers"], json!(["a", "b", "owner"]));
    for _ in 0..3 {
        assert_eq!(a.hears().await["type"], "peer-joined");
    }
    let mut stranger = server.player("mallory").await;
    for named in [session.as_str(), "session-0000000000000000", "nothing", "99", "-1"] {
        stranger.say(json!({ "type": "join", "session_id": named })).await;
        stranger.is_told(&format!("Not a member of session {named}")).await;
    }
    a.has_heard_nothing().await;
}

#[tokio::test]
async fn a_session_is_the_same_by_name_and_by_number() {
    let server = Server::guarded().await;
    let name = server.session("plaza", &["a", "b"]).await;
    let key = SessionKey::Name(name.parse().expect("a name"));
    let number = server.coordinator.session(&key).await.expect("a session").id;
    let _a = server.member("a", &name).await;
    let mut b = server.player("b").await;
    b.say(json!({ "type": "join", "session_id": number })).await;
    let joined = json!({ "type": "session-joined", "session_id": number, "peers": ["a"] });
    assert_eq!(b.hears().await, joined);
}

#[tokio::test]
async fn a_message_reaches_nobody_outside_the_session() {
    let server = Server::guarded().await;
    let one = server.session("one", &["a", "b"]).await;
    let other = server.session("other", &["c"]).await;
    let mut a = server.member("a", &one).await;
    let mut b = server.member("b", &one).await;
    let mut c = server.member("c", &other).await;
    let mut nowhere = server.player("d").await;
    assert_eq!(a.hears().await["type"], "peer-joined");
    for (kind, field) in [("offer", "sdp"), ("answer", "sdp"), ("ice-candidate", "candidate")] {
        for to in ["c", "d"] {
            a.say(json!({ "type": kind, "to": to, field: "x" })).await;
            a.is_told(&format!("Failed to deliver {kind} to {to}")).await;
        }
        nowhere.say(json!({ "type": kind, "to": "a", field: "x" })).await;
        nowhere.is_told(&format!("Failed to deliver {kind} to a")).await;
    }
    a.say(json!({ "type": "offer", "to": "b", "sdp": "x" })).await;
    assert_eq!(b.hears().await["sdp"], "x");
    c.has_heard_nothing().await;
    nowhere.has_heard_nothing().await;
}

#[tokio::test]
async fn who_loses_the_place_in_the_session_is_out_of_the_room() {
    let server = Server::guarded().await;
    let session = server.session("plaza", &["a", "b"]).await;
    let (mut a, mut b) = (server.member("a", &session).await, server.member("b", &session).await);
    assert_eq!(a.hears().await["type"], "peer-joined");
    server.coordinator.review_rooms().await.expect("looked");
    a.has_heard_nothing().await;
    let key = SessionKey::Name(session.parse().expect("a name"));
    let player = "b".parse().expect("an id");
    server.coordinator.remove_player(&key, &player, None).await.expect("removed");
    server.coordinator.review_rooms().await.expect("looked");
    assert_eq!(a.hears().await, json!({ "type": "peer-left", "peer_id": "b" }));
    assert_eq!(b.hears().await["reason"], "not a member");
    b.say(json!({ "type": "offer", "to": "a", "sdp": "x" })).await;
    b.is_told("Failed to deliver offer to a").await;
    server.coordinator.end_session(&key).await.expect("ended");
    server.coordinator.review_rooms().await.expect("looked");
    assert_eq!(a.hears().await["type"], "session-left");
    assert_eq!(server.stats().await["active_sessions"], 0);
}
