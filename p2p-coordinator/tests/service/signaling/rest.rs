//! Signaling request by request, together with peers on WebSockets.

use serde_json::{Value, json};

use super::client::Server;

fn offer(session: &str, from: &str, to: &str) -> Value {
    json!({ "session_id": session, "from": from, "to": to, "sdp": "v=0" })
}

#[tokio::test]
async fn a_peer_without_a_connection_and_one_with_reach_each_other() {
    let server = Server::guarded().await;
    let session = server.session("plaza", &["a", "b"]).await;
    let mut a = server.member("a", &session).await;
    let token = server.token("b");
    let post = async |kind: &str, body: Value| {
        server.ask("POST", &format!("/signaling/{kind}"), Some(&token), Some(body)).await
    };
    post("offer", offer(&session, "b", "a")).await.tells("offer sent to a");
    assert_eq!(a.hears().await, json!({ "type": "peer-joined", "peer_id": "b" }));
    let heard = a.hears().await;
    assert_eq!(
        (&heard["type"], &heard["from"], &heard["sdp"]),
        (&json!("offer"), &json!("b"), &json!("v=0"))
    );
    a.say(json!({ "type": "answer", "to": "b", "sdp": { "x": 1 } })).await;
    for candidate in ["one", "two"] {
        a.say(json!({ "type": "ice-candidate", "to": "b", "candidate": candidate })).await;
    }
    a.has_heard_nothing().await;
    let get = async |kind: &str| {
        let path = format!("/signaling/{kind}?session_id={session}&peer_id=b");
        server.ask("GET", &path, Some(&token), None).await.is(200)
    };
    assert_eq!(get("offer").await, json!([]));
    let candidates = get("ice-candidate").await;
    assert_eq!(candidates[0]["candidate"], "one");
    assert_eq!((&candidates[1]["candidate"], &candidates[1]["from"]), (&json!("two"), &json!("a")));
    assert_eq!(get("ice-candidate").await, json!([]));
    assert_eq!(get("answer").await[0]["sdp"], json!({ "x": 1 }));
}

#[tokio::test]
async fn who_may_not_is_refused_and_what_does_not_arrive_is_told() {
    let server = Server::guarded().await;
    let session = server.session("plaza", &["a", "b"]).await;
    let (a, stranger) = (server.token("a"), server.token("mallory"));
    let post = async |token: Option<&str>, body| {
        server.ask("POST", "/signaling/offer", token, Some(body)).await
    };
    post(None, offer(&session, "a", "b"))
        .await
        .says(401, "Invalid or expired authentication token");
    let foreign = post(Some(&stranger), offer(&session, "a", "b")).await;
    foreign.says(403, "peer_id has to be that of the token's player");
    let outside = post(Some(&stranger), offer(&session, "mallory", "a")).await;
    outside.says(403, &format!("Not a member of session {session}"));
    let nobody = post(Some(&a), offer(&session, "a", "b")).await;
    nobody.says(404, "Failed to deliver offer to b");
    let wrong = post(Some(&a), json!({ "session_id": session, "from": "a" })).await.is(422);
    let fields: Vec<_> =
        wrong["detail"].as_array().expect("a list").iter().map(|e| &e["loc"]).collect();
    assert_eq!(fields, [&json!(["body", "to"]), &json!(["body", "sdp"])]);
    let path = format!("/signaling/offer?session_id={session}&peer_id=a");
    server.ask("GET", &path, Some(&stranger), None).await.is(403);
    server.ask("GET", "/signaling/offer", Some(&a), None).await.is(422);
    let gone = server.ask("DELETE", "/signaling/offer", Some(&a), None).await;
    assert_eq!((gone.status, gone.header("allow")), (405, Some("GET, POST")));
}

#[tokio::test]
async fn a_mailbox_has_a_bound_and_ends_when_nobody_asks() {
    let server = Server::open_within(|limits| {
        limits.backlog_messages = 2;
        // Until somebody has left it is asked again and again.
        limits.burst = 1 << 30;
        limits.mailbox = std::time::Duration::from_millis(300);
    })
    .await;
    let mut a = server.member("a", "s").await;
    server.ask("GET", "/signaling/offer?session_id=s&peer_id=b", None, None).await.is(200);
    assert_eq!(a.hears().await["type"], "peer-joined");
    for _ in 0..2 {
        a.say(json!({ "type": "offer", "to": "b", "sdp": "x", "id": 1 })).await;
        assert_eq!(a.hears().await["type"], "ack");
    }
    a.say(json!({ "type": "offer", "to": "b", "sdp": "x" })).await;
    a.is_told("Failed to deliver offer to b").await;
    loop {
        server.coordinator.expire_peers();
        a.say(json!({ "type": "ping" })).await;
        match a.hears().await {
            heard if heard["type"] == "pong" => {}
            heard => break assert_eq!(heard, json!({ "type": "peer-left", "peer_id": "b" })),
        }
    }
}
