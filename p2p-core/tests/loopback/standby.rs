//! What a standby carries while no other link comes about.

use std::time::Duration;

use p2p_core::conformance::{Fixture, World};
use p2p_core::{
    Backoff, CloseCause, ConnectOptions, Connection, ConnectionConfig, ConnectionState,
    FailoverPolicy, ListenOptions, P2PConnection, P2PListener, P2PProvider, ReconnectPolicy,
    StandbyState,
};
use tokio::time::{sleep, timeout};

use super::link::End;
use crate::{InMemory, Peers};

/// Both ends of a connection that has a standby.
async fn with_standby(peers: &Peers, window: usize) -> (Connection<End>, Connection<End>) {
    let backoff = Backoff::default().with_attempt(Duration::from_secs(1));
    let config = ConnectionConfig::default()
        .with_reconnect(ReconnectPolicy::Resume(backoff))
        .with_receive_window(window)
        .with_failover(FailoverPolicy::STANDBY);
    let (alice, bob) = (peers.provider(config.clone()).await, peers.provider(config).await);
    let name = "standby/1".parse().expect("a name");
    let options = ListenOptions::new(name);
    let dialling = ConnectOptions::new(options.protocol.clone());
    let listener = bob.listen(options).await.expect("a listener");
    let dialled = alice.connect(&bob.local_addr(), dialling).await.expect("dialled");
    let accepted = listener.accept().await.expect("accepted");
    for connection in [&dialled, &accepted] {
        while connection.stats().standby != StandbyState::Ready {
            sleep(Duration::from_millis(10)).await;
        }
    }
    (dialled, accepted)
}

/// Both ends of a connection that has lost its link for good, and has a standby. `before` may begin
/// something at the end that accepted while the link is there.
async fn on_standby_only<T>(
    peers: &Peers,
    window: usize,
    before: impl FnOnce(Connection<End>) -> T,
) -> (Connection<End>, Connection<End>, T) {
    let (dialled, accepted) = with_standby(peers, window).await;
    let begun = before(dialled.clone());
    sleep(Duration::from_millis(10)).await;
    peers.network.hold_dials(true);
    dialled.renew_link();
    for connection in [&dialled, &accepted] {
        while connection.stats().standby != StandbyState::Active {
            sleep(Duration::from_millis(10)).await;
        }
        assert!(matches!(connection.state(), ConnectionState::Reconnecting { .. }));
    }
    (dialled, accepted, begun)
}

#[test]
fn however_slow_the_messages_the_peers_window_opens_again() {
    const WINDOW: usize = 64 * 1024;
    let outcome = InMemory.run(async |peers| {
        let (dialled, accepted, ()) = on_standby_only(&peers, WINDOW, |_| ()).await;
        for number in 0..10 * WINDOW / 1024 {
            let sent = timeout(Duration::from_secs(60), accepted.send(vec![0; 1024].into())).await;
            sent.unwrap_or_else(|_| panic!("message {number} is not taken")).expect("sent");
            dialled.recv().await.expect("received");
            // So many attempts fail meanwhile that each could take some of the window with it.
            sleep(Duration::from_secs(1)).await;
        }
        Ok(())
    });
    outcome.expect("all of them");
}

#[test]
fn who_waited_for_a_datagram_before_gets_those_of_the_standby() {
    let outcome = InMemory.run(async |peers| {
        let wait =
            |dialled: Connection<End>| tokio::spawn(async move { dialled.recv_datagram().await });
        let (_dialled, accepted, waiting) = on_standby_only(&peers, 1 << 20, wait).await;
        accepted.send_datagram("over the standby".into()).expect("sent");
        let came = timeout(Duration::from_secs(60), waiting).await.expect("in time");
        assert_eq!(came.expect("no panic").expect("received"), "over the standby");
        Ok(())
    });
    outcome.expect("the datagram");
}

#[test]
fn who_receives_after_the_end_does_not_wait_for_a_dead_standby() {
    let outcome = InMemory.run(async |peers| {
        let (dialled, accepted, ()) = on_standby_only(&peers, 1 << 20, |_| ()).await;
        peers.network.cut_standbys();
        accepted.send("over the standby, which says no more".into()).await.expect("sent");
        dialled.recv().await.expect("received");
        peers.network.hold_dials(false);
        while dialled.state() != ConnectionState::Resumed {
            sleep(Duration::from_millis(10)).await;
        }
        accepted.close(7, "").await;
        assert_eq!(dialled.closed().await.cause, CloseCause::Application(7));
        let told = timeout(Duration::from_secs(1), dialled.recv()).await;
        told.expect("told at once").expect_err("the connection is over");
        Ok(())
    });
    outcome.expect("told");
}

#[test]
fn a_lost_link_is_let_go_though_nobody_receives() {
    let outcome = InMemory.run(async |peers| {
        let (dialled, accepted) = with_standby(&peers, 1 << 20).await;
        accepted.send("so that the lane is read".into()).await.expect("sent");
        dialled.recv().await.expect("received");
        for links in 2..6 {
            dialled.renew_link();
            while accepted.stats().links < links || accepted.state() != ConnectionState::Resumed {
                sleep(Duration::from_millis(10)).await;
            }
            accepted.send("which nobody takes".into()).await.expect("sent");
            sleep(Duration::from_secs(1)).await;
            assert!(peers.network.links_kept() <= 2, "{} links", peers.network.links_kept());
        }
        Ok(())
    });
    outcome.expect("let go");
}
