//! How much of everything: answered, then ended; and others are served.

use std::time::Duration;

use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_tungstenite::tungstenite::Message;

use super::client::Server;

#[tokio::test]
async fn who_sends_too_much_is_told_each_time_and_then_sent_away() {
    let server = Server::open_within(|limits| {
        (limits.per_second, limits.burst, limits.strikes) = (1, 3, 2);
    })
    .await;
    let (mut a, mut b) = (server.peer("a").await, server.peer("b").await);
    for number in 0..10 {
        a.say(json!({ "type": "offer", "to": "b", "sdp": "x", "id": number })).await;
    }
    for number in 0..3 {
        assert_eq!(a.hears().await["id"], number);
        assert_eq!(b.hears().await["sdp"], "x");
    }
    for number in 3..6 {
        let told = a.hears().await;
        let (error, limit) = (told["error"].as_str(), told["limit"].as_i64());
        assert_eq!((error, limit), (Some("rate_limit_exceeded"), Some(3)), "{told}");
        assert_eq!((told["type"].as_str(), told["id"].as_i64()), (Some("error"), Some(number)));
    }
    assert_eq!(a.is_closed().await, (1008, "Rate limit exceeded".into()));
    b.has_heard_nothing().await;
}

#[tokio::test]
async fn a_message_that_is_too_large_ends_the_connection_with_a_reason() {
    let server = Server::open_within(|limits| limits.message_bytes = 1000).await;
    let (mut a, mut b) = (server.peer("a").await, server.peer("b").await);
    a.say(json!({ "type": "offer", "to": "b", "sdp": "x".repeat(900) })).await;
    assert_eq!(b.hears().await["type"], "offer");
    a.say(json!({ "type": "offer", "to": "b", "sdp": "x".repeat(1000) })).await;
    a.is_told("a message has at most 1000 bytes").await;
    assert_eq!(a.is_closed().await.0, 1009);
    b.has_heard_nothing().await;
}

#[tokio::test]
async fn there_are_so_many_peers_and_members_and_no_more() {
    let server = Server::open_within(|limits| (limits.peers, limits.members) = (3, 2)).await;
    let (_a, _b) = (server.member("a", "s").await, server.member("b", "s").await);
    let mut c = server.peer("c").await;
    c.say(json!({ "type": "join", "session_id": "s" })).await;
    c.is_told("Session is full: it has all the 2 peers it takes").await;
    let mut d = server.peer("d").await;
    assert_eq!(d.is_closed().await.0, 1013);
    c.leaves().await;
    server.peer("d").await.has_heard_nothing().await;
}

#[tokio::test]
async fn names_have_bounds() {
    let server = Server::open().await;
    let mut long = server.peer(&"x".repeat(256)).await;
    assert_eq!(long.is_closed().await.0, 1008);
    let mut a = server.peer(&"x".repeat(255)).await;
    a.say(json!({ "type": "join", "session_id": "x".repeat(256) })).await;
    assert_eq!(a.hears().await["type"], "error");
    a.say_text(&format!(
        r#"{{"type":"offer","to":"b","sdp":{}{}}}"#,
        "[".repeat(200),
        "]".repeat(200)
    ))
    .await;
    a.is_told("sdp has to be nested at most 100 deep").await;
}

#[tokio::test]
async fn who_reads_too_slowly_is_sent_away_and_stalls_nobody() {
    let server = Server::open_within(|limits| {
        (limits.queue_messages, limits.queue_bytes) = (20, 1 << 20);
    })
    .await;
    let (mut a, mut b) = (server.peer("a").await, server.peer("b").await);
    // Reads nothing: what it is sent fills the buffers of the system, and then its outbox.
    let slow = server.peer("slow").await;
    let text = "x".repeat(60_000);
    let mut failed = 0;
    for number in 0..2000 {
        a.say(json!({ "type": "offer", "to": "slow", "sdp": text, "id": number })).await;
        let heard = a.hears().await;
        assert_eq!(heard["id"], number, "{heard}");
        if heard["type"] == "error" {
            failed += 1;
            break;
        }
    }
    assert_eq!(failed, 1, "the one that had no room is answered");
    a.say(json!({ "type": "offer", "to": "b", "sdp": "x" })).await;
    assert_eq!(b.hears().await["sdp"], "x");
    while server.stats().await["active_connections"] != 2 {}
    drop(slow);
}

#[tokio::test]
async fn a_connection_without_a_sign_of_life_is_asked_and_then_ended() {
    let server = Server::open_within(|limits| {
        limits.ping = Duration::from_millis(50);
        limits.idle = Duration::from_millis(200);
    })
    .await;
    // Who answers pings stays, as long as it likes.
    let mut alive = server.peer("alive").await;
    let mut dead = server.peer("dead").await.plain();
    let mut heard = Vec::new();
    let end = async {
        tokio::select! {
            biased;
            end = dead.read_to_end(&mut heard) => end,
            _ = async { loop { let _ = alive.next().await; } } => unreachable!("it stays"),
        }
    };
    tokio::time::timeout(Duration::from_secs(20), end).await.expect("in time").expect("an end");
    assert!(heard.starts_with(&[0x89, 0]), "a ping first: {heard:?}");
    let close = [0x88, 2 + 30, 0x03, 0xe9];
    assert!(heard.windows(4).any(|bytes| bytes == close), "then 1001: {heard:?}");
    alive.has_heard_nothing().await;
}

#[tokio::test]
async fn what_breaks_the_protocol_is_closed_with_its_code() {
    let server = Server::open().await;
    for (bytes, code) in [
        // Not masked; an unknown kind; text that is no UTF-8, masked with zeros.
        (&[0x81, 1, b'x'][..], 1002_u16),
        (&[0x83, 0x80, 0, 0, 0, 0], 1002),
        (&[0x81, 0x81, 0, 0, 0, 0, 0xff], 1007),
    ] {
        let mut stream = server.peer("a").await.plain();
        stream.write_all(bytes).await.expect("written");
        let mut heard = Vec::new();
        stream.read_to_end(&mut heard).await.expect("an end");
        let found = heard.get(2..4).map(|code| u16::from_be_bytes([code[0], code[1]]));
        assert_eq!((heard.first(), found), (Some(&0x88), Some(code)), "{heard:?}");
    }
}

#[tokio::test]
async fn pings_are_answered_and_a_good_bye_is_returned() {
    let server = Server::open().await;
    let mut a = server.peer("a").await;
    a.send(Message::Ping("hello".into())).await;
    assert_eq!(a.next().await.expect("one").expect("good"), Message::Pong("hello".into()));
    a.leaves().await;
    while server.stats().await["active_connections"] != 0 {}
}

#[tokio::test]
async fn a_coordinator_that_ends_tells_its_peers_to_come_back() {
    let server = Server::open().await;
    let mut a = server.peer("a").await;
    server.coordinator.drain();
    assert_eq!(a.hears().await["type"], "reconnect");
    assert_eq!(a.is_closed().await.0, 1012);
    assert_eq!(server.peer("b").await.is_closed().await.0, 1012);
    server.closing.close();
    a.breaks();
    assert!(server.serving.await.expect("no panic"), "all ended by themselves");
}
