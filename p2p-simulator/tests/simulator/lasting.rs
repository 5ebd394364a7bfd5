//! Connections that outlive their links, on networks that fail.

use std::time::Duration;

use bytes::Bytes;
use p2p_core::{
    Backoff, CloseCause, ConnectOptions, ConnectReady, ConnectionConfig, ConnectionState,
    FailoverPolicy, ListenOptions, P2PConnection, P2PListener, P2PProvider, Priority,
    ReconnectPolicy,
};
use p2p_simulator::{Host, LinkProfile, Network, Simulation, SimulatorConnection, SimulatorP2P};
use tokio::time::{Instant, sleep, timeout};

use crate::protocol;

fn lasting() -> ConnectionConfig {
    ConnectionConfig::default()
        .with_reconnect(ReconnectPolicy::Resume(Backoff::default()))
        .with_failover(FailoverPolicy::REDIAL)
}

struct Ends {
    hosts: [Host; 2],
    _providers: [SimulatorP2P; 2],
    dialled: SimulatorConnection,
    accepted: SimulatorConnection,
}

async fn ends(network: &Network) -> Ends {
    let hosts = [network.host("alice"), network.host("bob")];
    let provider = |host: &Host| host.provider(lasting()).expect("an endpoint");
    let providers = [provider(&hosts[0]), provider(&hosts[1])];
    let listener = providers[1].listen(ListenOptions::new(protocol())).await.expect("listening");
    let addr = providers[1].local_addr();
    let dialled = providers[0].connect(&addr, ConnectOptions::new(protocol())).await;
    let accepted = listener.accept().await.expect("a connection");
    Ends { hosts, _providers: providers, dialled: dialled.expect("a connection"), accepted }
}

fn simulation(seed: u64) -> Simulation {
    Simulation::new(seed).with_link(LinkProfile::new().with_latency(Duration::from_millis(20)))
}

/// Sends back what comes, until the end.
async fn echo(connection: SimulatorConnection) {
    while let Ok(message) = connection.recv_message().await {
        if connection.send_with(message.priority, message.payload).await.is_err() {
            break;
        }
    }
}

#[test]
fn a_dead_link_is_replaced_long_before_the_transport_gives_it_up() {
    let run = simulation(1).run(async |network| {
        let Ends { hosts: [alice, bob], dialled, accepted, _providers } = ends(&network).await;
        tokio::spawn(echo(accepted));
        for number in 0..20_u8 {
            dialled.send(Bytes::from(vec![number])).await.expect("sent");
            assert_eq!(dialled.recv().await.expect("an echo"), [number].as_slice());
            sleep(Duration::from_millis(50)).await;
        }
        network.partition([&alice], [&bob]);
        let cut = Instant::now();
        dialled.send("into the cut".into()).await.expect("sent");
        let suspected = timeout(Duration::from_secs(2), async {
            let mut states = dialled.state_events();
            while !matches!(states.next().await, Some(ConnectionState::Reconnecting { .. })) {}
            cut.elapsed()
        });
        let after = suspected.await.expect("the silence is noticed");
        sleep(Duration::from_secs(5)).await;
        network.repair([&alice], [&bob]);
        let repaired = Instant::now();
        assert_eq!(dialled.recv().await.expect("an echo"), "into the cut");
        (after, repaired.elapsed(), dialled.stats().links)
    });
    let (after, back, links) = run.expect("a run").output;
    assert!(after <= Duration::from_millis(400), "noticed after {after:?}");
    assert!(back <= Duration::from_secs(6), "back after {back:?}");
    assert_eq!(links, 2);
}

/// Echoes at ten a second on a bad line for so long.
fn bad_line(seed: u64, hours: u64) -> (u64, u64) {
    let line = LinkProfile::new()
        .with_latency(Duration::from_millis(20))
        .with_jitter(Duration::from_millis(15))
        .with_loss(0.04);
    let run = Simulation::new(seed).with_link(line).run(async move |network| {
        let Ends { dialled, accepted, .. } = &ends(&network).await;
        tokio::spawn(echo(accepted.clone()));
        let mut echoes = 0_u64;
        let end = Instant::now() + Duration::from_secs(3600 * hours);
        while Instant::now() < end {
            dialled.send(Bytes::copy_from_slice(&echoes.to_be_bytes())).await.expect("sent");
            let back = dialled.recv().await.expect("an echo");
            assert_eq!(back, echoes.to_be_bytes().as_slice());
            echoes += 1;
            sleep(Duration::from_millis(100)).await;
        }
        (echoes, dialled.stats().links)
    });
    run.expect("a run").output
}

#[test]
fn a_bad_line_is_not_taken_for_a_dead_one() {
    let (echoes, links) = bad_line(2, 1);
    assert!(echoes > 15_000, "{echoes} echoes");
    assert_eq!(links, 1, "given up without need");
}

#[test]
fn an_idle_connection_that_watches_its_link_sends_no_probes() {
    let events = |hours: u64| {
        let run = simulation(3).run(async move |network| {
            let ends = ends(&network).await;
            sleep(Duration::from_secs(3600 * hours)).await;
            assert_eq!(ends.dialled.state(), ConnectionState::Connected);
        });
        run.expect("a run").trace_count
    };
    assert_eq!(events(1), events(10));
}

#[test]
fn a_restarted_peer_is_known_as_such() {
    let run = simulation(4).run(async |network| {
        let Ends { hosts: [_, bob], dialled, accepted, _providers } = ends(&network).await;
        dialled.send_with(Priority::Bulk, "before".into()).await.expect("sent");
        assert_eq!(accepted.recv().await.expect("received"), "before");
        bob.crash();
        bob.restart();
        let provider = bob.provider(lasting()).expect("an endpoint");
        let _listener = provider.listen(ListenOptions::new(protocol())).await.expect("listening");
        dialled.send_with(Priority::Bulk, "after".into()).await.expect("sent");
        dialled.closed().await;
        dialled.state()
    });
    let state = run.expect("a run").output;
    let ConnectionState::Lost(lost) = state else { panic!("it is {state}") };
    assert_eq!(lost.reason, p2p_core::LostReason::PeerRestarted);
    let lane = lost.lanes[Priority::Bulk.index()];
    assert_eq!((lane.unknown, lane.never_sent), (2, 2), "{lane:?}");
}

#[test]
fn each_loss_of_a_link_has_its_own_time_until_it_is_given_up() {
    let run = simulation(5).run(async |network| {
        let Ends { hosts: [alice, bob], dialled, accepted, _providers } = ends(&network).await;
        tokio::spawn(echo(accepted));
        // Twice as long as a connection looks for a link before it gives up.
        for round in 0..3_u8 {
            network.partition([&alice], [&bob]);
            dialled.send(Bytes::from(vec![round])).await.expect("sent");
            sleep(Duration::from_secs(3)).await;
            network.repair([&alice], [&bob]);
            assert_eq!(dialled.recv().await.expect("an echo"), [round].as_slice());
            sleep(Duration::from_secs(120)).await;
        }
        (dialled.state(), dialled.stats().links)
    });
    let (state, links) = run.expect("a run").output;
    assert!(!state.is_over(), "{state}");
    assert_eq!(links, 4);
}

#[test]
fn a_new_process_does_not_come_back_to_a_connection_of_the_former_one() {
    let run = simulation(6).run(async |network| {
        let Ends { hosts: [alice, bob], dialled, accepted, _providers } = ends(&network).await;
        dialled.send("of the former process".into()).await.expect("sent");
        assert_eq!(accepted.recv().await.expect("received"), "of the former process");
        alice.crash();
        alice.restart();
        let provider = alice.provider(lasting()).expect("an endpoint");
        let listening = _providers[1].listen(ListenOptions::new(protocol())).await;
        let _listener = listening.expect("listening");
        let addr = _providers[1].local_addr();
        let again = provider.connect(&addr, ConnectOptions::new(protocol())).await;
        let again = again.expect("a connection");
        // Before the hello is there: the listener never learns of this connection's first link.
        network.partition([&alice], [&bob]);
        again.send("of the new process".into()).await.expect("sent");
        sleep(Duration::from_secs(3)).await;
        network.repair([&alice], [&bob]);
        let got = timeout(Duration::from_secs(30), accepted.recv()).await;
        assert!(got.is_err(), "the former connection went on with {got:?}");
    });
    run.expect("a run");
}

#[test]
fn a_link_lost_before_the_first_words_arrived_is_replaced_too() {
    let run = simulation(6).run(async |network| {
        let hosts = [network.host("alice"), network.host("bob")];
        let [alice, bob] = hosts.each_ref().map(|host| host.provider(lasting()));
        let (alice, bob) = (alice.expect("an endpoint"), bob.expect("an endpoint"));
        let listener = bob.listen(ListenOptions::new(protocol())).await.expect("listening");
        let options = ConnectOptions::new(protocol());
        let dialled = alice.connect(&bob.local_addr(), options).await.expect("a connection");
        // What this side said after the peer's first words is still on its way.
        network.partition([&hosts[0]], [&hosts[1]]);
        dialled.send("first".into()).await.expect("sent");
        // Until the other side has given up what had begun.
        sleep(Duration::from_secs(40)).await;
        network.repair([&hosts[0]], [&hosts[1]]);
        dialled.send("second".into()).await.expect("sent");
        let accepted = loop {
            let accepted = listener.accept().await.expect("a connection");
            // The link that was given up may have made a connection of its own.
            if let Ok(first) = accepted.recv().await {
                break (accepted, first);
            }
        };
        let (accepted, first) = accepted;
        assert_eq!(first, "first");
        assert_eq!(accepted.recv().await.expect("received"), "second");
        accepted.send("answer".into()).await.expect("sent");
        assert_eq!(dialled.recv().await.expect("received"), "answer");
        dialled.stats().links
    });
    assert!(run.expect("a run").output > 1);
}

#[test]
fn who_gave_up_in_the_dark_holds_a_place_no_longer_than_its_link() {
    let run = simulation(7).run(async |network| {
        let hosts = [network.host("alice"), network.host("bob")];
        let [alice, bob] = hosts.each_ref().map(|host| host.provider(lasting()));
        let (alice, bob) = (alice.expect("an endpoint"), bob.expect("an endpoint"));
        let listener = bob.listen(ListenOptions::new(protocol())).await.expect("listening");
        let second = Duration::from_secs(1);
        let options = ConnectOptions::new(protocol()).with_ready(ConnectReady::Admitted);
        let addr = bob.local_addr();
        let dialling = alice.connect(&addr, options.with_timeout(second));
        let cutting = async {
            // She has been let in, and what says so is on its way.
            let accepted = listener.accept().await.expect("a connection");
            network.partition([&hosts[0]], [&hosts[1]]);
            accepted
        };
        let (dialled, accepted) = tokio::join!(dialling, cutting);
        dialled.expect_err("nobody answers");
        let began = Instant::now();
        let end = accepted.closed().await;
        (end.cause, began.elapsed())
    });
    let (cause, after) = run.expect("a run").output;
    assert_eq!(cause, CloseCause::Lost);
    // The link's idle timeout of 30 s, and not the 60 s after it in which a peer may come back.
    assert!(after < Duration::from_secs(31), "after {after:?}");
}

#[test]
fn who_was_let_in_and_whose_first_words_are_lost_goes_on_all_the_same() {
    let run = simulation(8).run(async |network| {
        let hosts = [network.host("alice"), network.host("bob")];
        let [alice, bob] = hosts.each_ref().map(|host| host.provider(lasting()));
        let (alice, bob) = (alice.expect("an endpoint"), bob.expect("an endpoint"));
        let listener = bob.listen(ListenOptions::new(protocol())).await.expect("listening");
        let options = ConnectOptions::new(protocol()).with_ready(ConnectReady::Admitted);
        let dialled = alice.connect(&bob.local_addr(), options).await.expect("a connection");
        network.partition([&hosts[0]], [&hosts[1]]);
        dialled.send("first".into()).await.expect("sent");
        let unused = listener.accept().await.expect("a connection");
        assert_eq!(unused.closed().await.cause, CloseCause::Lost);
        network.repair([&hosts[0]], [&hosts[1]]);
        let accepted = listener.accept().await.expect("a connection");
        assert_eq!(accepted.recv().await.expect("received"), "first");
        accepted.send("answer".into()).await.expect("sent");
        assert_eq!(dialled.recv().await.expect("received"), "answer");
        // Now it has been used, and outlives its links as any other.
        dialled.renew_link();
        dialled.send("second".into()).await.expect("sent");
        assert_eq!(accepted.recv().await.expect("received"), "second");
    });
    run.expect("a run");
}

/// Echoes over an outage of 25 s; how long after its end the answers are there again.
fn outage(seed: u64) -> Duration {
    let line = LinkProfile::new()
        .with_latency(Duration::from_millis(20))
        .with_jitter(Duration::from_millis(15))
        .with_loss(0.04);
    let run = Simulation::new(seed).with_link(line).run(async |network| {
        let Ends { hosts: [alice, bob], dialled, accepted, _providers } = ends(&network).await;
        tokio::spawn(echo(accepted));
        let sender = dialled.clone();
        let sending = tokio::spawn(async move {
            for number in 0..400_u32 {
                sender.send(Bytes::copy_from_slice(&number.to_be_bytes())).await.expect("sent");
                sleep(Duration::from_millis(100)).await;
            }
        });
        let receiving = tokio::spawn(async move {
            let mut last = Instant::now();
            for number in 0..400_u32 {
                assert_eq!(dialled.recv().await.expect("an echo"), number.to_be_bytes().as_slice());
                last = Instant::now();
            }
            last
        });
        sleep(Duration::from_secs(3)).await;
        network.partition([&alice], [&bob]);
        sleep(Duration::from_secs(25)).await;
        network.repair([&alice], [&bob]);
        let repaired = Instant::now();
        sending.await.expect("all sent");
        receiving.await.expect("all received") - repaired
    });
    run.expect("a run").output
}

#[test]
fn nothing_hangs_after_any_of_a_hundred_long_outages() {
    for seed in 0..100 {
        let after = outage(seed);
        // What is left to send takes 12 s; the next attempt to come back at most 5 s.
        assert!(after < Duration::from_secs(20), "seed {seed}: the last echo after {after:?}");
    }
}
