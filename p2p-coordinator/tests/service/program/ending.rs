//! It ends: politely, at once, or by a kill that loses nothing acknowledged.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};

use super::process::{PATIENCE, Served};
use crate::fixture::{host, zone};
use crate::folder::Folder;

/// Sends the head of a request and the first byte of its body.
async fn half(served: &Served, body: &str) -> TcpStream {
    let mut stream = TcpStream::connect(served.address).await.expect("a connection");
    let head = format!(
        "POST /api/v1/zones/ HTTP/1.1\r\nhost: c\r\ncontent-type: application/json\r\n\
         content-length: {}\r\nexpect: 100-continue\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).await.expect("written");
    // The service says that it waits for the body: the request has begun.
    let mut told = [0; 25];
    timeout(PATIENCE, stream.read_exact(&mut told)).await.expect("in time").expect("an answer");
    assert_eq!(&told, b"HTTP/1.1 100 Continue\r\n\r\n");
    stream.write_all(&body.as_bytes()[..1]).await.expect("written");
    stream
}

#[tokio::test]
async fn a_request_that_is_being_done_is_finished_and_the_code_is_0() {
    let folder = Folder::new();
    let mut served = Served::start(&folder, &[]).await;
    // Whoever holds the file makes a write wait.
    let held = rusqlite::Connection::open(folder.file("data/coordinator.db")).expect("the file");
    held.execute_batch("BEGIN IMMEDIATE").expect("the lock");
    let body = zone("z").to_string();
    let mut slow = half(&served, &body).await;
    slow.write_all(&body.as_bytes()[1..]).await.expect("written");
    served.signal("TERM");
    served.says("stopping").await;
    let refused = async {
        while TcpStream::connect(served.address).await.is_ok() {
            tokio::task::yield_now().await;
        }
    };
    timeout(PATIENCE, refused).await.expect("nobody new is let in");
    held.execute_batch("COMMIT").expect("the lock is free");
    created(slow).await;
    let (status, said) = served.ended().await;
    assert_eq!(status.code(), Some(0), "{said}");
    assert!(said.contains("stopped; all that was acknowledged is kept"), "{said}");
    let again = Served::start(&folder, &[]).await;
    assert_eq!(again.get("/api/v1/zones/z").await["zone_id"], "z");
}

#[tokio::test]
async fn a_request_that_is_on_its_way_may_arrive() {
    let folder = Folder::new();
    let mut served = Served::start(&folder, &[]).await;
    let body = zone("z").to_string();
    let mut slow = half(&served, &body).await;
    served.signal("INT");
    served.says("stopping").await;
    slow.write_all(&body.as_bytes()[1..]).await.expect("written");
    created(slow).await;
    let (status, said) = served.ended().await;
    assert_eq!(status.code(), Some(0), "{said}");
}

async fn created(mut stream: TcpStream) {
    let mut answer = String::new();
    let read = timeout(PATIENCE, stream.read_to_string(&mut answer)).await;
    read.expect("in time").expect("an answer");
    assert!(answer.starts_with("HTTP/1.1 201"), "{answer}");
}

#[tokio::test]
async fn half_a_request_and_idle_connections_do_not_hold_it_up() {
    let folder = Folder::new();
    let served = Served::start(&folder, &["--memory"]).await;
    let _body = half(&served, &zone("z").to_string()).await;
    let mut head = TcpStream::connect(served.address).await.expect("a connection");
    head.write_all(b"GET /ready HT").await.expect("written");
    let _idle = TcpStream::connect(served.address).await.expect("a connection");
    served.get("/ready").await;
    let begun = Instant::now();
    served.signal("TERM");
    let (status, said) = served.ended().await;
    assert_eq!(status.code(), Some(0), "{said}");
    // One second is given to what is on its way, ten to what is being done.
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
}

#[tokio::test]
async fn a_second_signal_ends_it_at_once() {
    let folder = Folder::new();
    let mut served = Served::start(&folder, &["--memory"]).await;
    let _slow = half(&served, "{}").await;
    served.signal("INT");
    served.says("stopping").await;
    served.signal("INT");
    let (status, said) = served.ended().await;
    // It may have been done before the second came.
    assert!(status.code() == Some(130) || status.code() == Some(0), "{status:?} {said}");
}

#[tokio::test]
async fn a_kill_loses_nothing_that_was_acknowledged() {
    let folder = Folder::new();
    let served = Served::start(&folder, &[]).await;
    served.post("/hosts/register", host("h")).await.is(201);
    served.post("/zones/", zone("z")).await.is(201);
    let body = json!({ "host_id": "h", "zone_id": "z", "player_ids": ["p"] });
    let id = served.post("/sessions/", body).await.is(201)["id"].clone();
    for number in 0..20 {
        let body = json!({ "player_id": format!("p{number}") });
        served.post(&format!("/sessions/{id}/players"), body).await.is(200);
    }
    served.ask("POST", &format!("/api/v1/sessions/{id}/activate"), None).await.is(200);
    let seen = all(&served, &id).await;
    served.signal("KILL");
    let (status, _) = served.ended().await;
    assert_eq!(status.code(), None, "killed");
    let again = Served::start(&folder, &[]).await;
    assert_eq!(all(&again, &id).await, seen);
    assert_eq!(seen[2]["current_players"], 21);
    // And it goes on.
    let body = json!({ "player_id": "more" });
    again.post(&format!("/sessions/{id}/players"), body).await.is(200);
}

async fn all(served: &Served, id: &Value) -> [Value; 3] {
    [
        served.get("/api/v1/hosts/h").await,
        served.get("/api/v1/zones/z").await,
        served.get(&format!("/api/v1/sessions/{id}")).await,
    ]
}
