//! What clients of the service before this one rely on.

use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::{self, Message};

use super::client::Server;

fn status(result: Result<impl Sized, tungstenite::Error>) -> (u16, Option<Vec<u8>>) {
    match result {
        Err(tungstenite::Error::Http(response)) => {
            let status = response.status().as_u16();
            (status, response.into_body())
        }
        Err(other) => panic!("{other}"),
        Ok(_) => panic!("connected"),
    }
}

#[tokio::test]
async fn without_a_peer_id_the_handshake_is_answered_403_with_nothing_and_an_empty_one_is_fine() {
    let server = Server::open().await;
    let (code, body) = status(server.dial("").await);
    assert_eq!((code, body.unwrap_or_default().as_slice()), (403, &[][..]));
    server.dial("?peer_id=").await.expect("connected").has_heard_nothing().await;
}

#[tokio::test]
async fn a_plain_request_finds_nothing_there() {
    let server = Server::open().await;
    let answer = server.ask("GET", "/signaling/ws?peer_id=a", None, None).await;
    answer.says(404, "Not Found");
}

#[tokio::test]
async fn who_joins_is_told_who_is_there_and_then_they_are_told() {
    let server = Server::open().await;
    let (mut a, mut b) = (server.peer("a").await, server.peer("b").await);
    a.say(json!({ "type": "join", "session_id": "s" })).await;
    assert_eq!(
        a.hears().await,
        json!({ "type": "session-joined", "session_id": "s", "peers": [] })
    );
    b.say(json!({ "type": "join", "session_id": "s" })).await;
    let joined = json!({ "type": "session-joined", "session_id": "s", "peers": ["a"] });
    assert_eq!(b.hears().await, joined);
    assert_eq!(a.hears().await, json!({ "type": "peer-joined", "peer_id": "b" }));
    let mut c = server.dial("?peer_id=c&session_id=s").await.expect("connected");
    assert_eq!(c.hears().await["peers"], json!(["a", "b"]));
    // Who joins again is not its own peer, and nobody hears of it twice.
    b.say(json!({ "type": "join", "session_id": "s" })).await;
    assert_eq!(b.hears().await["type"], "peer-joined");
    assert_eq!(b.hears().await["peers"], json!(["a", "c"]));
    assert_eq!(a.hears().await["peer_id"], "c");
    a.has_heard_nothing().await;
}

#[tokio::test]
async fn who_leaves_joins_another_or_is_gone_has_left() {
    let server = Server::open().await;
    let mut a = server.member("a", "s").await;
    let (mut b, c, mut d) = (
        server.member("b", "s").await,
        server.member("c", "s").await,
        server.member("d", "s").await,
    );
    for name in ["b", "c", "d"] {
        assert_eq!(a.hears().await, json!({ "type": "peer-joined", "peer_id": name }));
    }
    b.say(json!({ "type": "leave" })).await;
    for _ in 0..2 {
        assert_eq!(b.hears().await["type"], "peer-joined");
    }
    assert_eq!(b.hears().await, json!({ "type": "session-left", "session_id": "s" }));
    assert_eq!(a.hears().await, json!({ "type": "peer-left", "peer_id": "b" }));
    c.breaks();
    assert_eq!(a.hears().await, json!({ "type": "peer-left", "peer_id": "c" }));
    d.say(json!({ "type": "join", "session_id": "t" })).await;
    assert_eq!(a.hears().await, json!({ "type": "peer-left", "peer_id": "d" }));
    b.say(json!({ "type": "leave" })).await;
    b.has_heard_nothing().await;
}

#[tokio::test]
async fn offers_answers_and_candidates_arrive_as_they_were_with_sender_and_moment() {
    let server = Server::open().await;
    let (mut a, mut b) = (server.peer("a").await, server.peer("b").await);
    let sdp = r#"{"b" :1.50,"a":["\u00e9\/",null, -0.0]}"#;
    for (kind, field) in [("offer", "sdp"), ("answer", "sdp"), ("ice-candidate", "candidate")] {
        a.say_text(&format!(r#"{{"more":1,"{field}":{sdp},"to":"b","type":"{kind}"}}"#)).await;
        let Some(Ok(Message::Text(text))) = b.next().await else { panic!("no text") };
        let heard: Value = serde_json::from_str(&text).expect("JSON");
        assert_eq!((heard["type"].as_str(), heard["from"].as_str()), (Some(kind), Some("a")));
        assert!(text.contains(&format!(r#""{field}":{sdp}"#)), "unchanged: {text}");
        assert_eq!(heard.as_object().expect("an object").len(), 4, "{text}");
        let moment = heard["timestamp"].as_str().expect("text");
        assert!(moment.starts_with("2026-01-31T12:0") && moment.ends_with("+00:00"), "{moment}");
    }
    a.has_heard_nothing().await;
}

#[tokio::test]
async fn messages_of_one_sender_arrive_in_order() {
    let server = Server::open().await;
    let (mut a, mut b) = (server.peer("a").await, server.peer("b").await);
    for number in 0..200 {
        a.say(json!({ "type": "ice-candidate", "to": "b", "candidate": { "n": number } })).await;
    }
    for number in 0..200 {
        assert_eq!(b.hears().await["candidate"]["n"], number);
    }
}

#[tokio::test]
async fn what_is_wrong_is_told_in_the_contracts_words_and_the_connection_stays() {
    let server = Server::open().await;
    let mut a = server.peer("a").await;
    for (said, told) in [
        (r#"{"type":"join"}"#, "session_id required"),
        (r#"{"type":"join","session_id":""}"#, "session_id required"),
        (r#"{"type":"offer","to":"b"}"#, "to and sdp required"),
        (r#"{"type":"offer","sdp":"x"}"#, "to and sdp required"),
        (r#"{"type":"answer","to":"","sdp":"x"}"#, "to and sdp required"),
        (r#"{"type":"answer","to":"b","sdp":null}"#, "to and sdp required"),
        (r#"{"type":"ice-candidate","to":"b"}"#, "to and candidate required"),
        (r#"{"type":"offer","to":"b","sdp":"x"}"#, "Failed to deliver offer to b"),
        (r#"{"type":"answer","to":"b","sdp":"x"}"#, "Failed to deliver answer to b"),
        (r#"{"type":"dance"}"#, "Unknown message type: dance"),
        (r#"{"hello":1}"#, "Unknown message type: None"),
        ("hello", "Invalid JSON"),
    ] {
        a.say_text(said).await;
        a.is_told(told).await;
    }
}

#[tokio::test]
async fn what_the_service_before_this_one_left_unsaid_is_told() {
    let server = Server::open().await;
    let mut a = server.peer("a").await;
    a.say(json!({ "type": "ice-candidate", "to": "b", "candidate": "x" })).await;
    a.is_told("Failed to deliver ice-candidate to b").await;
    a.say(json!([{ "type": "leave" }])).await;
    a.is_told("A message has to be a JSON object").await;
    a.send(Message::binary(vec![1, 2, 3])).await;
    a.is_told("A message has to be text").await;
}

#[tokio::test]
async fn who_gives_an_id_gets_an_acknowledgement_or_the_error_with_it() {
    let server = Server::open().await;
    let (mut a, mut b) = (server.peer("a").await, server.peer("b").await);
    a.say(json!({ "type": "offer", "to": "b", "sdp": "x", "id": "first" })).await;
    assert_eq!(a.hears().await, json!({ "type": "ack", "id": "first", "status": "delivered" }));
    assert_eq!(b.hears().await["sdp"], "x");
    a.say(json!({ "type": "ice-candidate", "to": "c", "candidate": "x", "id": 2 })).await;
    let told = a.hears().await;
    assert_eq!((told["id"].as_i64(), told["type"].as_str()), (Some(2), Some("error")));
    a.say(json!({ "type": "offer", "to": "b", "sdp": "x", "id": "x".repeat(200) })).await;
    assert_eq!(a.hears().await["type"], "error");
    b.has_heard_nothing().await;
}

#[tokio::test]
async fn it_is_also_under_the_prefix_of_the_documents_and_its_figures_are_true() {
    let server = Server::open().await;
    assert_eq!(server.stats().await, json!({ "active_connections": 0, "active_sessions": 0 }));
    let url = server.url("?peer_id=x").replace("/api/v1/", "/api/");
    let (socket, _) = tokio_tungstenite::connect_async(url).await.expect("connected");
    let (mut a, _b) = (server.member("a", "s").await, server.member("b", "s").await);
    let _c = server.member("c", "t").await;
    assert_eq!(server.stats().await, json!({ "active_connections": 4, "active_sessions": 2 }));
    drop(socket);
    a.say(json!({ "type": "leave" })).await;
    while a.hears().await["type"] != "session-left" {}
    a.leaves().await;
    while server.stats().await != json!({ "active_connections": 2, "active_sessions": 2 }) {}
}
