//! Faults by hand: what each does and does not, and what it counts.

use std::time::Duration;

use p2p_core::{ConnectionConfig, ListenOptions, P2PConnection, P2PProvider};
use p2p_simulator::{
    Bandwidth, Degrade, FaultError, FaultKind, IdleFaults, LinkProfile, Simulation, SimulationError,
};
use tokio::time::{sleep, timeout};

use crate::{connect, pair, protocol};

const LATENCY: Duration = Duration::from_millis(40);
const SECOND: Duration = Duration::from_secs(1);

fn simulation() -> Simulation {
    Simulation::new(1).with_link(LinkProfile::new().with_latency(LATENCY))
}

#[test]
fn a_dropped_guard_repairs_and_has_counted_what_it_cut() {
    let run = simulation().run(async |network| {
        let pair = pair(network).await.expect("a connection");
        let [alice, bob] = &pair.hosts;
        // What the connection says of its beginning arrives first.
        sleep(SECOND).await;
        let cut = pair.network.fault("cable").partition([alice], [bob]);
        for _ in 0..3 {
            pair.dialled.send_datagram("lost".into()).expect("sent");
        }
        sleep(SECOND).await;
        assert_eq!(cut.hits(), 3, "each of the datagrams");
        drop(cut);
        pair.dialled.send_datagram("arrives".into()).expect("sent");
        pair.accepted.recv_datagram().await.expect("received")
    });
    let run = run.expect("a run");
    assert_eq!(run.output, "arrives");
    let [fault] = &run.faults.faults[..] else { panic!("one fault") };
    assert_eq!((fault.name.as_str(), fault.kind, fault.hits), ("cable", FaultKind::Partition, 3));
    assert_eq!((&fault.from[..], &fault.to[..]), (&["alice".to_owned()][..], &["bob".into()][..]));
    assert_eq!(fault.ended.expect("ended") - fault.began.expect("began"), SECOND);
}

#[test]
fn a_fault_that_touched_nothing_fails_the_run_by_name() {
    let idle = async |network: p2p_simulator::Network| {
        let pair = pair(network).await.expect("a connection");
        let [alice, bob] = &pair.hosts;
        let carol = pair.network.host("carol");
        let _touches = pair.network.fault("hits").partition([alice], [bob]);
        let _idle = pair.network.fault("wrong host").partition([alice], [&carol]);
        pair.dialled.send_datagram("lost".into()).expect("sent");
        sleep(SECOND).await;
    };
    let error = simulation().run(idle).expect_err("an idle fault");
    let SimulationError::IdleFault { names, seed, .. } = &error else { panic!("{error}") };
    assert_eq!((&names[..], *seed), (&["wrong host".to_owned()][..], 1));
    let words = error.to_string();
    assert!(words.contains("'wrong host'") && words.contains("carol"), "{words}");
    assert!(!words.contains("'hits'"), "{words}");
    let run = simulation().with_idle_faults(IdleFaults::Report).run(idle).expect("a run");
    assert_eq!(
        run.faults.idle().map(|fault| fault.name.as_str()).collect::<Vec<_>>(),
        ["wrong host"]
    );
}

#[test]
fn a_forgotten_guard_stays_and_overlapping_ones_end_with_the_last() {
    let run = simulation().run(async |network| {
        let pair = pair(network).await.expect("a connection");
        let [alice, bob] = &pair.hosts;
        let first = pair.network.fault("first").partition([alice], [bob]);
        let second = pair.network.fault("second").one_way([alice], [bob]);
        let passes = async || {
            pair.dialled.send_datagram("probe".into()).expect("sent");
            timeout(SECOND, pair.accepted.recv_datagram()).await.is_ok()
        };
        assert!(!passes().await, "both stand");
        first.repair();
        assert!(!passes().await, "the second still stands");
        second.repair();
        assert!(passes().await, "none stands");
        pair.network.fault("third").partition([alice], [bob]).forget();
        assert!(!passes().await, "for ever");
        // The cut by hand is another one: it does not repair what a guard cut.
        pair.network.repair([alice], [bob]);
        assert!(!passes().await, "still for ever");
    });
    run.expect("a run");
}

#[test]
fn a_one_way_cut_leaves_the_way_back_open() {
    let run = simulation().run(async |network| {
        let pair = pair(network).await.expect("a connection");
        let [alice, bob] = &pair.hosts;
        let _cut = pair.network.fault("one way").one_way([alice], [bob]);
        pair.dialled.send_datagram("lost".into()).expect("sent");
        pair.accepted.send_datagram("back".into()).expect("sent");
        let back = pair.dialled.recv_datagram().await.expect("received");
        let there = timeout(SECOND, pair.accepted.recv_datagram()).await;
        assert!(there.is_err(), "nothing passes the cut");
        back
    });
    assert_eq!(run.expect("a run").output, "back");
}

#[test]
fn held_packets_wait_datagrams_too_and_are_seen_in_flight() {
    let run = simulation().run(async |network| {
        let pair = pair(network).await.expect("a connection");
        let [alice, bob] = &pair.hosts;
        // What the connection says of its beginning arrives first.
        sleep(SECOND).await;
        assert!(pair.network.in_flight().is_empty(), "nothing moves");
        pair.dialled.send_datagram("first".into()).expect("sent");
        let flying = pair.network.in_flight();
        let [packet] = &flying[..] else { panic!("one packet: {flying:?}") };
        assert_eq!((packet.from.as_str(), packet.to.as_str()), ("alice", "bob"));
        assert_eq!((packet.kind, packet.bytes), ("datagram", "first".len()));
        let sent_at = pair.network.elapsed();
        assert_eq!((packet.sent_at, packet.arrives_at), (sent_at, Some(sent_at + LATENCY)));
        let hold = pair.network.fault("hold").hold([alice], [bob]);
        pair.dialled.send_datagram("second".into()).expect("sent");
        let early = timeout(SECOND, pair.accepted.recv_datagram()).await;
        assert!(early.is_err(), "nothing passes a hold");
        let held = pair.network.in_flight();
        assert!(held.len() == 2 && held.iter().all(|packet| packet.arrives_at.is_none()));
        assert!(held.iter().all(|packet| packet.sent_at == sent_at), "both at once: {held:?}");
        assert_eq!(hold.hits(), 2);
        let released = pair.network.elapsed();
        hold.repair();
        let flying = pair.network.in_flight();
        let times: Vec<_> =
            flying.iter().map(|packet| (packet.sent_at, packet.arrives_at)).collect();
        assert_eq!(times, [(sent_at, Some(released)), (released, Some(released + LATENCY))]);
        let first = pair.accepted.recv_datagram().await.expect("received");
        let first_after = pair.network.elapsed() - released;
        let second = pair.accepted.recv_datagram().await.expect("received");
        let second_after = pair.network.elapsed() - released;
        assert!(pair.network.in_flight().is_empty(), "nothing is left");
        ([first, second], [first_after, second_after])
    });
    let (datagrams, after) = run.expect("a run").output;
    assert_eq!(datagrams, ["first", "second"]);
    // One was there already, the other had not set out.
    assert_eq!(after, [Duration::ZERO, LATENCY]);
}

#[test]
fn a_repair_keeps_the_order_of_a_stream_that_was_half_through() {
    // 1 Mbit/s: packets of a stream are 10 ms apart, so that a cut takes some and leaves some.
    let link = LinkProfile::new().with_latency(LATENCY).with_bandwidth(1_000_000);
    let run = Simulation::new(1).with_link(link).run(async |network| {
        let pair = pair(network).await.expect("a connection");
        let [alice, bob] = &pair.hosts;
        let message: Vec<u8> = (0..30_000_u32).map(|byte| byte as u8).collect();
        pair.dialled.send(message.clone().into()).await.expect("sent");
        sleep(Duration::from_millis(60)).await;
        let cut = pair.network.fault("short").partition([alice], [bob]);
        sleep(Duration::from_millis(30)).await;
        cut.repair();
        let got = pair.accepted.recv().await.expect("received");
        got == message
    });
    assert!(run.expect("a run").output, "the bytes come in the order in which they were sent");
}

#[test]
fn a_crash_guard_restarts_and_counts_the_connections_it_ended() {
    let run = simulation().run(async |network| {
        let pair = pair(network).await.expect("a connection");
        let [_, bob] = &pair.hosts;
        let crash = pair.network.fault("power").crash(bob);
        assert!(bob.provider(ConnectionConfig::default()).is_err(), "down");
        assert_eq!(crash.hits(), 1, "its one connection");
        drop(crash);
        assert!(bob.provider(ConnectionConfig::default()).is_ok(), "up");
    });
    run.expect("a run");
}

#[test]
fn a_worse_link_is_worse_by_so_much_and_only_for_a_while() {
    let run = simulation().run(async |network| {
        let pair = pair(network).await.expect("a connection");
        let [alice, bob] = &pair.hosts;
        let trip = async || {
            let sent = pair.network.elapsed();
            pair.dialled.send_datagram("probe".into()).expect("sent");
            pair.accepted.recv_datagram().await.expect("received");
            pair.network.elapsed() - sent
        };
        let by = Degrade::new().with_latency_us(5_000);
        let worse = pair.network.fault("worse").degrade([alice], [bob], by).expect("possible");
        let during = trip().await;
        // A link that is set in the meantime is worse by as much.
        let other = LinkProfile::new().with_latency(Duration::from_millis(10));
        pair.network.set_link(alice, bob, &other).expect("possible");
        let changed = trip().await;
        assert_eq!(worse.hits(), 2);
        worse.repair();
        [during, changed, trip().await]
    });
    assert_eq!(run.expect("a run").output, [45, 15, 10].map(Duration::from_millis));
}

#[test]
fn a_bandwidth_collapses_to_its_share() {
    // 1000 bytes and 58 of headers at 8.464 Mbit/s take 1 ms; at a tenth of it, 10 ms.
    let link = LinkProfile::new().with_latency(LATENCY).with_bandwidth(8_464_000);
    let run = Simulation::new(1).with_link(link).run(async |network| {
        let pair = pair(network).await.expect("a connection");
        let [alice, bob] = &pair.hosts;
        sleep(SECOND).await;
        let trip = async || {
            let sent = pair.network.elapsed();
            pair.dialled.send_datagram(vec![0; 1000].into()).expect("sent");
            pair.accepted.recv_datagram().await.expect("received");
            pair.network.elapsed() - sent - LATENCY
        };
        let before = trip().await;
        let fault = pair.network.fault("collapse");
        let less = fault.bandwidth([alice], [bob], Bandwidth::Permille(100)).expect("possible");
        let during = trip().await;
        drop(less);
        [before, during, trip().await]
    });
    assert_eq!(run.expect("a run").output, [1, 10, 1].map(Duration::from_millis));
}

#[test]
fn dials_fail_between_the_two_and_nowhere_else() {
    let run = simulation().run(async |network| {
        let hosts = ["alice", "bob", "carol"].map(|name| network.host(name));
        let [alice, bob, carol] = &hosts;
        let [a, b, c] =
            [alice, bob, carol].map(|host| host.provider(ConnectionConfig::default()).expect("up"));
        let _listener = b.listen(ListenOptions::new(protocol())).await.expect("listening");
        let fault = network.fault("dials");
        let failing = fault.connect_failures([alice], [bob], 1_000_000).expect("possible");
        assert!(connect(&a, &b).await.is_err(), "all fail");
        assert!(connect(&c, &b).await.is_ok(), "others do not");
        assert_eq!(failing.hits(), 1);
        failing.repair();
        assert!(connect(&a, &b).await.is_ok(), "nor after the repair");
    });
    run.expect("a run");
}

#[test]
fn impossible_faults_are_refused_by_name() {
    let run = simulation().run(async |network| {
        let [alice, bob] = [network.host("alice"), network.host("bob")];
        let fault = network.fault("bad");
        let errors = [
            fault.bandwidth([&alice], [&bob], Bandwidth::BitsPerSecond(0)),
            // A link without bound has no tenth.
            fault.bandwidth([&alice], [&bob], Bandwidth::Permille(100)),
            fault.connect_failures([&alice], [&bob], 1_000_001),
            fault.degrade([&alice], [&bob], Degrade::new().with_loss_ppm(1_000_001)),
            fault.degrade([&alice], [&bob], Degrade::new().with_latency_us(u64::MAX)),
            fault.degrade([&alice], [&bob], Degrade::new()),
        ];
        errors.map(|refused| refused.expect_err("impossible"))
    });
    let run = run.expect("a refused fault is none, and so not idle");
    for error in run.output {
        assert!(matches!(&error, FaultError::Impossible { fault, .. } if fault == "bad"));
    }
    assert!(run.faults.faults.is_empty());
}
