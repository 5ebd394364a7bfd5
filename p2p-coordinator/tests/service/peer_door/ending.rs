//! The door closes, or its host is gone.

use std::time::Duration;

use p2p_coordinator::door::Limits;
use p2p_core::{P2PConnection, P2PProvider};
use tokio::io::AsyncWriteExt;
use tokio::time::{Instant, sleep, timeout};

use super::{Door, SLOW, simulation};
use crate::ask::request;

#[test]
fn what_is_being_done_is_answered_and_no_more_is_taken() {
    let run = simulation(1).run(async |network| {
        let door = Door::open(&network, Limits::default(), 1).await;
        let guest = door.guest(&network, "guest").await;
        let begun = Instant::now();
        let slow = guest.ask(request("GET", "/slow", None));
        let close = async {
            sleep(Duration::from_secs(1)).await;
            door.closing.close();
            sleep(Duration::from_millis(200)).await;
            let late = network.host("late").provider(p2p_core::ConnectionConfig::default());
            let refused = door.connect(&late.expect("a host")).await;
            assert!(refused.is_err(), "{refused:?}");
            // On the connection that there is, a further request gets no answer but the end.
            guest.ask(request("GET", "/ready", None)).await
        };
        let (slow, late) = tokio::join!(slow, close);
        assert_eq!(slow.expect("an answer").status, 200);
        assert!(late.is_err(), "{late:?}");
        assert!(door.ended.await.expect("the door ends"), "all ended by themselves");
        assert!(begun.elapsed() < SLOW + Duration::from_secs(1), "{:?}", begun.elapsed());
        let reason = guest.connection.closed().await;
        assert_eq!(reason.by, p2p_core::ClosedBy::Peer, "{reason:?}");
    });
    run.expect("a run");
}

#[test]
fn half_a_request_does_not_hold_up_the_end() {
    let run = simulation(2).run(async |network| {
        let door = Door::open(&network, Limits::default(), 1).await;
        let guest = door.guest(&network, "guest").await;
        let mut halves = Vec::new();
        for half in [
            "GET /ready HT",
            "POST /api/v1/zones/ HTTP/1.1\r\nhost: c\r\ncontent-length: 9\r\n\r\n{",
        ] {
            let mut stream = guest.stream().await;
            stream.write_all(half.as_bytes()).await.expect("written");
            halves.push(stream);
        }
        sleep(Duration::from_secs(1)).await;
        let begun = Instant::now();
        door.closing.close();
        assert!(door.ended.await.expect("the door ends"));
        assert!(begun.elapsed() < Duration::from_secs(3), "{:?}", begun.elapsed());
    });
    run.expect("a run");
}

#[test]
fn what_takes_longer_than_the_drain_is_cut_off() {
    let run = simulation(3).run(async |network| {
        let mut limits = Limits::default();
        limits.drain = Duration::from_secs(1);
        let door = Door::open(&network, limits, 1).await;
        let guest = door.guest(&network, "guest").await;
        let slow = guest.ask(request("GET", "/slow", None));
        let close = async {
            sleep(Duration::from_millis(500)).await;
            door.closing.close();
        };
        let (slow, ()) = tokio::join!(slow, close);
        assert!(slow.is_err(), "{slow:?}");
        assert!(!door.ended.await.expect("the door ends"), "and it is said");
    });
    run.expect("a run");
}

#[test]
fn a_host_that_crashes_ends_every_request_in_its_time_and_serves_again() {
    let run = simulation(4).run(async |network| {
        let door = Door::open(&network, Limits::default(), 1).await;
        let guest = door.guest(&network, "guest").await;
        let slow = guest.ask(request("GET", "/slow", None));
        let crash = async {
            sleep(Duration::from_secs(1)).await;
            door.host.crash();
        };
        let both = async { tokio::join!(slow, crash).0 };
        let lost = timeout(Duration::from_secs(40), both).await.expect("it ends");
        assert!(lost.is_err(), "{lost:?}");
        // What is left of the process ends when it is told.
        door.provider.shutdown().await;
        let ended = timeout(Duration::from_secs(20), door.ended).await;
        assert!(ended.expect("the door ends").expect("without a panic"));
        door.host.restart();
        let door = Door::on(door.host, Limits::default(), 1).await;
        let guest = door.guest(&network, "another").await;
        guest.ask(request("GET", "/ready", None)).await.expect("an answer").is(200);
    });
    run.expect("a run");
}
