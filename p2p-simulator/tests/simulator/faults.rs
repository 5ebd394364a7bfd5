//! Cuts, crashes and failing dials.

use std::time::Duration;

use p2p_core::{
    CloseCause, ClosedBy, ConnectOptions, ConnectionConfig, ListenOptions, P2PConnection, P2PError,
    P2PListener, P2PProvider,
};
use p2p_simulator::{LinkProfile, Simulation};

use crate::{connect, pair, protocol};

fn simulation() -> Simulation {
    Simulation::new(1).with_link(LinkProfile::new().with_latency(Duration::from_millis(40)))
}

#[test]
fn messages_wait_for_the_repair_in_order() {
    let run = simulation().run(async |network| {
        let pair = pair(network).await.expect("a connection");
        let [alice, bob] = &pair.hosts;
        // One is on its way when the cut comes, two are sent into it.
        pair.dialled.send("one".into()).await.expect("sent");
        pair.network.partition([alice], [bob]);
        pair.dialled.send("two".into()).await.expect("sent");
        tokio::time::sleep(Duration::from_secs(10)).await;
        pair.dialled.send("three".into()).await.expect("sent");
        let early = tokio::time::timeout(Duration::from_secs(1), pair.accepted.recv()).await;
        assert!(early.is_err(), "nothing passes a cut");
        pair.network.repair([alice], [bob]);
        pair.dialled.send("four".into()).await.expect("sent");
        let mut got = Vec::new();
        for _ in 0..4 {
            got.push(pair.accepted.recv().await.expect("received"));
        }
        got
    });
    assert_eq!(run.expect("a run").output, ["one", "two", "three", "four"]);
}

#[test]
fn a_cut_that_lasts_ends_the_connection_on_both_sides() {
    let run = simulation().run(async |network| {
        let pair = pair(network).await.expect("a connection");
        let [alice, bob] = &pair.hosts;
        let cut = pair.network.elapsed();
        pair.network.partition([alice], [bob]);
        let reasons = [pair.dialled.closed().await, pair.accepted.closed().await];
        assert!(!pair.dialled.is_connected() && !pair.accepted.is_connected());
        (reasons, pair.network.elapsed() - cut)
    });
    let (reasons, after) = run.expect("a run").output;
    for reason in reasons {
        assert_eq!((reason.by, reason.cause), (ClosedBy::Network, CloseCause::TimedOut));
    }
    assert_eq!(after, ConnectionConfig::default().idle_timeout);
}

#[test]
fn datagrams_do_not_pass_a_cut_and_do_not_come_later() {
    let run = simulation().run(async |network| {
        let pair = pair(network).await.expect("a connection");
        let [alice, bob] = &pair.hosts;
        pair.network.partition([alice], [bob]);
        pair.dialled.send_datagram("lost".into()).expect("sent");
        pair.network.repair([alice], [bob]);
        pair.dialled.send_datagram("arrives".into()).expect("sent");
        pair.accepted.recv_datagram().await.expect("received")
    });
    assert_eq!(run.expect("a run").output, "arrives");
}

#[test]
fn a_crash_is_silent_and_a_restart_is_a_new_start() {
    let run = simulation().run(async |network| {
        let pair = pair(network).await.expect("a connection");
        let [alice, bob] = &pair.hosts;
        bob.crash();
        assert!(pair.accepted.recv().await.is_err(), "the crashed host's own end is gone at once");
        assert!(pair.dialled.is_connected(), "the other does not know yet");
        let reason = pair.dialled.closed().await;
        assert_eq!((reason.by, reason.cause), (ClosedBy::Network, CloseCause::TimedOut));
        assert!(bob.provider(ConnectionConfig::default()).is_err(), "a crashed host stays down");
        let absent = connect(&pair.providers[0], &pair.providers[1]).await;
        assert!(matches!(absent, Err(P2PError::Timeout { .. })), "{absent:?}");
        bob.restart();
        let again = bob.provider(ConnectionConfig::default()).expect("restarted");
        assert_eq!(again.local_peer_id(), bob.peer_id(), "the same identity");
        let listener = again.listen(ListenOptions::new(protocol())).await.expect("listening");
        let connection = connect(&pair.providers[0], &again).await.expect("connected");
        let accepted = listener.accept().await.expect("accepted");
        assert_eq!(accepted.peer_id(), alice.peer_id());
        connection.send("hello again".into()).await.expect("sent");
        accepted.recv().await.expect("received")
    });
    assert_eq!(run.expect("a run").output, "hello again");
}

#[test]
fn listeners_on_a_crashed_host_end() {
    let run = simulation().run(async |network| {
        let host = network.host("host");
        let provider = host.provider(ConnectionConfig::default()).expect("it is up");
        let listener = provider.listen(ListenOptions::new(protocol())).await.expect("listening");
        let waiting = tokio::spawn(async move { listener.accept().await });
        tokio::task::yield_now().await;
        host.crash();
        let ended = waiting.await.expect("no panic").expect_err("nobody comes any more");
        let again = provider.listen(ListenOptions::new(protocol())).await;
        (ended, again.expect_err("nor to another"))
    });
    let (ended, again) = run.expect("a run").output;
    assert!(matches!(ended, P2PError::Closed(_)), "{ended}");
    assert!(matches!(again, P2PError::Closed(_)), "{again}");
}

#[test]
fn a_dial_that_shall_fail_fails() {
    let run = simulation().with_connect_failures(1.0).run(async |network| {
        let alice = network.host("alice").provider(ConnectionConfig::default())?;
        let bob = network.host("bob").provider(ConnectionConfig::default())?;
        alice.connect(&bob.local_addr(), ConnectOptions::new(protocol())).await.map(|_| ())
    });
    let error = run.expect("a run").output.expect_err("every dial fails");
    assert!(matches!(error, P2PError::ConnectionFailed { .. }), "{error}");
    assert!(error.is_retryable());
}

#[test]
fn a_share_of_dials_fails() {
    let run = simulation().with_connect_failures(0.3).run(async |network| {
        let alice = network.host("alice").provider(ConnectionConfig::default())?;
        let bob = network.host("bob").provider(ConnectionConfig::default())?;
        let listener = bob.listen(ListenOptions::new(protocol())).await?;
        let mut failed = 0;
        for _ in 0..1000 {
            match connect(&alice, &bob).await {
                Ok(_) => drop(listener.accept().await?),
                Err(_) => failed += 1,
            }
        }
        Ok::<_, P2PError>(failed)
    });
    // 300 expected, standard deviation 14.5; five of them.
    let failed = run.expect("a run").output.expect("no other failure");
    assert!((227..=373).contains(&failed), "{failed}");
}

#[test]
fn a_host_has_one_endpoint_at_a_time() {
    let run = simulation().run(async |network| {
        let host = network.host("alice");
        let first = host.provider(ConnectionConfig::default()).expect("free");
        let error = host.provider(ConnectionConfig::default()).expect_err("taken");
        assert!(error.to_string().contains("alice"), "{error}");
        first.shutdown().await;
        host.provider(ConnectionConfig::default()).map(|_| ()).expect("free again");
    });
    run.expect("a run");
}
