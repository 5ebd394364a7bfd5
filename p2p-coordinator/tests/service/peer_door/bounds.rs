//! The same service as over TCP, and what a peer can make it hold.

use std::time::Duration;

use p2p_coordinator::door::Limits;
use p2p_core::{ConnectionConfig, P2PConnection};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::{Instant, timeout};

use super::{Door, SLOW, simulation};
use crate::ask::request;
use crate::fixture::{host, with, zone};

#[test]
fn a_peer_is_served_as_everybody_is_and_reads_no_date() {
    let run = simulation(1).run(async |network| {
        let door = Door::open(&network, Limits::default(), 1).await;
        let guest = door.guest(&network, "guest").await;
        let made = guest.ask(request("POST", "/api/v1/hosts/register", Some(&host("h")))).await;
        let made = made.expect("an answer");
        assert_eq!(made.is(201)["quality_score"], 100.0);
        assert_eq!(made.header("date"), None, "a simulation has no wall clock");
        let wrong = with(zone("z"), "p2p_priority", json!(11));
        let wrong = guest.ask(request("POST", "/api/v1/zones/", Some(&wrong))).await;
        wrong.expect("an answer").is(422);
        guest.ask(request("GET", "/nope", None)).await.expect("an answer").says(404, "Not Found");
        let sent = guest.ask(request("GET", "/api/v1/zones", None)).await.expect("an answer");
        assert_eq!((sent.status, sent.header("location")), (307, Some("/api/v1/zones/")));
    });
    run.expect("a run");
}

#[test]
fn a_body_that_is_too_large_is_refused_and_the_connection_goes_on() {
    let run = simulation(2).run(async |network| {
        let door = Door::open(&network, Limits::default(), 1).await;
        let guest = door.guest(&network, "guest").await;
        let large = with(zone("z"), "description", json!("x".repeat(2 << 20)));
        let refused = guest.ask(request("POST", "/api/v1/zones/", Some(&large))).await;
        refused.expect("an answer").says(413, "The body has more than 1048576 bytes");
        guest.ask(request("GET", "/ready", None)).await.expect("an answer").is(200);
    });
    run.expect("a run");
}

#[test]
fn headers_that_do_not_come_end_the_stream() {
    let run = simulation(3).run(async |network| {
        let door = Door::open(&network, Limits::default(), 1).await;
        let guest = door.guest(&network, "guest").await;
        let (mut slow, begun) = (guest.stream().await, Instant::now());
        slow.write_all(b"GET /ready HTTP/1.1\r\nhost: c").await.expect("written");
        let mut answer = Vec::new();
        // Ended or reset, and not answered as if it were a request.
        let _ = slow.read_to_end(&mut answer).await;
        assert!(!answer.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&answer));
        let waited = begun.elapsed();
        let limit = Limits::default().header_timeout;
        assert!(waited >= limit && waited < limit + Duration::from_secs(2), "{waited:?}");
        guest.ask(request("GET", "/ready", None)).await.expect("an answer").is(200);
    });
    run.expect("a run");
}

#[test]
fn a_body_that_does_not_come_is_408() {
    let run = simulation(4).run(async |network| {
        let door = Door::open(&network, Limits::default(), 1).await;
        let guest = door.guest(&network, "guest").await;
        let mut slow = guest.stream().await;
        let head = "POST /api/v1/zones/ HTTP/1.1\r\nhost: c\r\ncontent-length: 5\r\n\r\n{";
        slow.write_all(head.as_bytes()).await.expect("written");
        let mut answer = vec![0; 12];
        slow.read_exact(&mut answer).await.expect("an answer");
        assert_eq!(String::from_utf8_lossy(&answer), "HTTP/1.1 408");
    });
    run.expect("a run");
}

#[test]
fn a_peer_has_so_many_requests_at_once_and_others_their_own() {
    let run = simulation(5).run(async |network| {
        let mut limits = Limits::default();
        limits.peer_streams = 2;
        let door = Door::open(&network, limits, 1).await;
        let (greedy, modest) = (door.guest(&network, "g").await, door.guest(&network, "m").await);
        let begun = Instant::now();
        let slow =
            async || greedy.ask(request("GET", "/slow", None)).await.expect("an answer").status;
        let third = async || {
            // It is sent when two are being done.
            tokio::time::sleep(Duration::from_millis(500)).await;
            let answer = greedy.ask(request("GET", "/ready", None)).await.expect("an answer");
            (answer.status, begun.elapsed())
        };
        let other = async || {
            tokio::time::sleep(Duration::from_millis(500)).await;
            let answer = modest.ask(request("GET", "/ready", None)).await.expect("an answer");
            (answer.status, begun.elapsed())
        };
        let (one, two, third, other) = tokio::join!(slow(), slow(), third(), other());
        assert_eq!((one, two, third.0, other.0), (200, 200, 200, 200));
        assert!(third.1 >= SLOW, "it waited for a place: {third:?}");
        assert!(other.1 < Duration::from_secs(1), "and nobody else did: {other:?}");
    });
    run.expect("a run");
}

#[test]
fn a_peer_that_asks_nothing_for_long_makes_room_for_others() {
    let run = simulation(7).run(async |network| {
        let mut limits = Limits::default();
        limits.connections = 1;
        let door = Door::open(&network, limits, 1).await;
        // Both sides keep the connection alive; only asking counts.
        let quiet = door.guest(&network, "quiet").await;
        tokio::time::sleep(limits.header_timeout / 2).await;
        quiet.ask(request("GET", "/ready", None)).await.expect("an answer").is(200);
        let asked = Instant::now();
        let reason = quiet.connection.closed().await;
        assert!(reason.message.contains("connect again"), "{reason}");
        let waited = asked.elapsed();
        assert!(waited >= limits.header_timeout - Duration::from_secs(1), "{waited:?}");
        assert!(waited < limits.header_timeout + Duration::from_secs(1), "{waited:?}");
        let next = door.guest(&network, "next").await;
        next.ask(request("GET", "/ready", None)).await.expect("an answer").is(200);
    });
    run.expect("a run");
}

#[test]
fn a_peer_that_takes_no_answer_is_given_up() {
    let run = simulation(8).run(async |network| {
        let mut limits = Limits::default();
        limits.body = 8 << 20;
        let door = Door::open(&network, limits, 1).await;
        let guest = door.guest(&network, "guest").await;
        let mut stream = guest.stream().await;
        // Many requests on one stream, whose answers together are more than any window.
        let begun = Instant::now();
        let requests = b"GET /nope HTTP/1.1\r\nhost: c\r\n\r\n".repeat(1000);
        let written = async {
            loop {
                if stream.write_all(&requests).await.is_err() {
                    break;
                }
            }
        };
        // The coordinator reads no more while its answers wait; then it gives up.
        let patience = limits.answer_timeout + Duration::from_secs(30);
        timeout(patience, written).await.expect("the stream ends");
        assert!(begun.elapsed() >= limits.answer_timeout, "{:?}", begun.elapsed());
        guest.ask(request("GET", "/ready", None)).await.expect("an answer").is(200);
    });
    run.expect("a run");
}

#[test]
fn peers_past_the_bound_are_refused_until_one_leaves() {
    let run = simulation(6).run(async |network| {
        let mut limits = Limits::default();
        limits.connections = 2;
        let door = Door::open(&network, limits, 1).await;
        let (first, _second) = (door.guest(&network, "1").await, door.guest(&network, "2").await);
        let third = network.host("3").provider(ConnectionConfig::default()).expect("a host");
        let refused = door.connect(&third).await;
        assert!(refused.is_err(), "{refused:?}");
        first.connection.close(0, "enough").await;
        drop(first);
        let retried = timeout(Duration::from_secs(5), async {
            loop {
                if let Ok(connection) = door.connect(&third).await {
                    break connection;
                }
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        });
        retried.await.expect("the place is free again");
    });
    run.expect("a run");
}
