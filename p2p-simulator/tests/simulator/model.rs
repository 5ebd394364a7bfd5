//! The model of links, seen by programs: exact times, recovery, zones, bounds.

use std::time::Duration;

use bytes::Bytes;
use p2p_core::{ConnectionConfig, P2PConnection, RecvStream, SendStream, StreamError};
use p2p_simulator::{
    BurstLoss, Host, Latency, LinkProfile, Preset, Simulation, SimulationError, SimulatorP2P,
    TraceKind,
};
use tokio::time::timeout;

use crate::pair;

const fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

#[test]
fn every_delivery_is_exact_to_the_nanosecond_beside_the_programs_timers() {
    // An odd latency, and timers of the program's in between that keep moving tokio's clock.
    let latency = Duration::from_nanos(7_654_321);
    let run = Simulation::new(1).with_link(LinkProfile::new().with_latency(latency)).run(
        async |network| {
            let pair = pair(network).await.expect("a connection");
            let ticking = tokio::spawn(async {
                loop {
                    tokio::time::sleep(Duration::from_micros(1_700)).await;
                }
            });
            let (network, sender) = (pair.network.clone(), pair.dialled.clone());
            tokio::spawn(async move {
                for number in 0..1_000u64 {
                    let now = network.elapsed().as_nanos() as u64;
                    sender.send_datagram(Bytes::from(now.to_le_bytes().to_vec())).expect("sent");
                    tokio::time::sleep(Duration::from_micros(number * 37 % 5_000)).await;
                }
            });
            let mut errors = Vec::new();
            for _ in 0..1_000 {
                let datagram = pair.accepted.recv_datagram().await.expect("received");
                let sent = u64::from_le_bytes(datagram[..].try_into().expect("eight bytes"));
                let took = pair.network.elapsed() - Duration::from_nanos(sent);
                errors.push(took.abs_diff(latency));
            }
            ticking.abort();
            errors
        },
    );
    assert_eq!(run.expect("a run").output, [Duration::ZERO; 1_000]);
}

/// Loses everything from bob to alice or from alice to bob for a moment, in which one message is
/// sent, and returns how late that arrives. `more` messages follow it at once when the moment is over.
fn lost_once(link: LinkProfile, moment: Duration, more: usize) -> Duration {
    let lossy = link.clone().with_loss(1.0);
    let run = Simulation::new(1).with_link(link.clone()).run(async |network| {
        let pair = pair(network).await.expect("a connection");
        let [alice, bob] = &pair.hosts;
        // What goes before is acknowledged.
        tokio::time::sleep(Duration::from_secs(1)).await;
        let (mut lost, _near) = pair.dialled.open_stream().await.expect("opened");
        let (mut other, _near) = pair.dialled.open_stream().await.expect("opened");
        pair.network.set_link_one_way(alice, bob, &lossy).expect("possible");
        let sent = pair.network.elapsed();
        lost.write_all("lost".into()).await.expect("written");
        tokio::time::sleep(moment).await;
        pair.network.set_link_one_way(alice, bob, &link).expect("possible");
        for _ in 0..more {
            other.write_all("later".into()).await.expect("written");
        }
        let (_far, mut recv) = pair.accepted.accept_stream().await.expect("accepted");
        recv.read_chunk(100).await.expect("read").expect("a chunk");
        pair.network.elapsed() - sent
    });
    run.expect("a run").output
}

#[test]
fn a_loss_with_packets_behind_it_costs_nine_eighths_of_a_round_trip() {
    // Round trip 80 ms: 90 ms until it is sent again, and 40 ms on the way.
    let link = LinkProfile::new().with_latency(ms(40));
    assert_eq!(lost_once(link, ms(2), 3), ms(90 + 40));
}

#[test]
fn a_loss_at_the_tail_costs_a_probe_timeout() {
    // Without variation: the round trip of 80 ms and the granularity of 1 ms.
    let link = LinkProfile::new().with_latency(ms(40));
    assert_eq!(lost_once(link.clone(), ms(2), 0), ms(81 + 40));
    // In vain the first time, so that it takes 81 ms and then twice as much.
    assert_eq!(lost_once(link, ms(100), 0), ms(81 + 2 * 81 + 40));
}

#[test]
fn a_lost_packet_delays_its_own_stream_only() {
    let link = LinkProfile::new().with_latency(ms(40));
    let lossy = link.clone().with_loss(1.0);
    let run = Simulation::new(1).with_link(link.clone()).run(async |network| {
        let pair = pair(network).await.expect("a connection");
        let [alice, bob] = &pair.hosts;
        let (mut first, _near) = pair.dialled.open_stream().await.expect("opened");
        let (mut second, _near) = pair.dialled.open_stream().await.expect("opened");
        for stream in [&mut first, &mut second] {
            stream.write_all("begin".into()).await.expect("written");
        }
        let (_far, mut first_recv) = pair.accepted.accept_stream().await.expect("accepted");
        let (_far, mut second_recv) = pair.accepted.accept_stream().await.expect("accepted");
        for stream in [&mut first_recv, &mut second_recv] {
            stream.read_chunk(100).await.expect("read").expect("a chunk");
        }
        let sent = pair.network.elapsed();
        pair.network.set_link_one_way(alice, bob, &lossy).expect("possible");
        first.write_all("lost ".into()).await.expect("written");
        pair.network.set_link_one_way(alice, bob, &link).expect("possible");
        first.write_all("held up".into()).await.expect("written");
        second.write_all("unhindered".into()).await.expect("written");
        let unhindered = second_recv.read_chunk(100).await.expect("read").expect("a chunk");
        assert_eq!((unhindered, pair.network.elapsed() - sent), ("unhindered".into(), ms(40)));
        let mut held = first_recv.read_chunk(100).await.expect("read").expect("a chunk").to_vec();
        assert_eq!(pair.network.elapsed() - sent, ms(130));
        held.extend(first_recv.read_chunk(100).await.expect("read").expect("a chunk"));
        assert_eq!((held, pair.network.elapsed() - sent), (b"lost held up".to_vec(), ms(130)));
    });
    run.expect("a run");
}

#[test]
fn a_way_that_loses_everything_ends_the_connection() {
    let link = LinkProfile::new().with_latency(ms(40));
    let run = Simulation::new(1).with_link(link.clone()).run(async |network| {
        let pair = pair(network).await.expect("a connection");
        let [alice, bob] = &pair.hosts;
        pair.network.set_link(alice, bob, &link.with_loss(1.0)).expect("possible");
        pair.dialled.send("into the void".into()).await.expect("sent");
        let reasons = async { (pair.dialled.closed().await, pair.accepted.closed().await) };
        timeout(Duration::from_secs(600), reasons).await.is_ok()
    });
    assert!(run.expect("a run").output, "both ends are told");
}

#[test]
fn a_slow_reader_stalls_the_writer_at_the_window() {
    let run = Simulation::new(1).run(async |network| {
        let pair = pair(network).await.expect("a connection");
        let (mut send, _near) = pair.dialled.open_stream().await.expect("opened");
        let written = std::sync::Arc::new(std::sync::atomic::AtomicUsize::new(0));
        let count = written.clone();
        let writer = tokio::spawn(async move {
            for _ in 0..10_000 {
                send.write_all(Bytes::from_static(&[7; 1_000])).await?;
                count.fetch_add(1_000, std::sync::atomic::Ordering::Relaxed);
            }
            send.finish()?;
            send.finished().await
        });
        let (_far, mut recv) = pair.accepted.accept_stream().await.expect("accepted");
        let written = || written.load(std::sync::atomic::Ordering::Relaxed);
        tokio::time::sleep(Duration::from_secs(60)).await;
        let stalled = written();
        // 1 MiB of 10 MB, whatever time passes: nothing more is kept anywhere.
        assert_eq!(stalled, (1 << 20) / 1_000 * 1_000);
        let mut read = 0;
        while let Some(chunk) = recv.read_chunk(10_000).await.expect("read") {
            read += chunk.len();
            assert!(written() <= read + (1 << 20), "never further ahead than the window");
            if read % 10_000 == 0 {
                tokio::time::sleep(ms(1)).await;
            }
        }
        writer.await.expect("no panic").expect("written");
        read
    });
    assert_eq!(run.expect("a run").output, 10_000_000);
}

#[test]
fn streams_keep_their_order_over_every_kind_of_trouble() {
    let link = LinkProfile::new()
        .with_latency_model(Latency::Normal { mean: ms(20), deviation: ms(10) })
        .with_jitter(ms(5))
        .with_loss(0.05)
        .with_burst_loss(BurstLoss::new(0.02, 0.2))
        .with_reordering(0.1, ms(50))
        .with_duplication(0.2)
        .with_bandwidth(5_000_000)
        .with_queue(ms(50));
    let run = Simulation::new(3).with_link(link).with_recording(100_000).run(async |network| {
        let pair = pair(network).await.expect("a connection");
        let (mut send, _near) = pair.dialled.open_stream().await.expect("opened");
        let data: Bytes = (0..500_000u32).map(|n| (n / 100 % 251) as u8).collect();
        let expected = data.clone();
        tokio::spawn(async move {
            send.write_all(data).await?;
            send.finish()?;
            send.finished().await?;
            Ok::<_, StreamError>(())
        });
        let (_far, mut recv) = pair.accepted.accept_stream().await.expect("accepted");
        let whole = recv.read_to_end(1_000_000).await.expect("all of it");
        whole == expected
    });
    let run = run.expect("a run");
    assert!(run.output);
    let resent = run.recorded.iter().filter(|event| event.kind == TraceKind::Resent).count();
    assert!(resent > 50, "there was trouble: {resent} packets were sent again");
}

#[test]
fn a_duplicated_datagram_is_received_twice() {
    let link = LinkProfile::new().with_duplication(1.0);
    let run = Simulation::new(1).with_link(link).run(async |network| {
        let pair = pair(network).await.expect("a connection");
        pair.dialled.send_datagram("twice".into()).expect("sent");
        pair.dialled.send("once".into()).await.expect("sent");
        let twice = [pair.accepted.recv_datagram().await, pair.accepted.recv_datagram().await];
        assert_eq!(twice.map(|datagram| datagram.expect("received")), ["twice", "twice"]);
        assert_eq!(pair.accepted.recv().await.expect("received"), "once");
        let more = timeout(Duration::from_secs(1), pair.accepted.recv()).await;
        assert!(more.is_err(), "streams see nothing twice");
    });
    run.expect("a run");
}

#[test]
fn a_link_is_looked_up_by_its_hosts_then_by_their_zones() {
    let default = LinkProfile::new().with_latency(ms(1));
    let run = Simulation::new(1).with_link(default).run(async |network| {
        let (eu, us) = (network.zone("eu"), network.zone("us"));
        let again = network.zone("eu");
        assert_eq!((eu.name(), again.name()), ("eu".into(), "eu".into()));
        let [berlin, boston, nowhere] =
            [eu.host("berlin"), us.host("boston"), network.host("nowhere")];
        let provider = |host: &Host| host.provider(ConnectionConfig::default()).expect("free");
        let (at_berlin, at_boston) = (provider(&berlin), provider(&boston));
        let at_nowhere = provider(&nowhere);
        let way = async |from: &SimulatorP2P, to: &SimulatorP2P| {
            let begun = network.elapsed();
            let refused = crate::connect(from, to).await;
            assert!(refused.is_err(), "nobody listens");
            network.elapsed() - begun
        };
        // Nobody listens: the answer comes after a round trip.
        assert_eq!(way(&at_berlin, &at_boston).await, ms(2));
        // Links that are in use follow.
        network
            .set_zone_link(&eu, &us, &LinkProfile::new().with_latency(ms(45)))
            .expect("possible");
        assert_eq!(way(&at_berlin, &at_boston).await, ms(46), "one direction");
        network.set_zone_link(&us, &again, &LinkProfile::new().with_latency(ms(46))).expect("ok");
        assert_eq!(way(&at_boston, &at_berlin).await, ms(91));
        assert_eq!(way(&at_berlin, &at_nowhere).await, ms(2), "out of the zones");
        network.set_link(&berlin, &boston, &LinkProfile::new().with_latency(ms(7))).expect("ok");
        network.set_zone_link(&eu, &us, &LinkProfile::new().with_latency(ms(99))).expect("ok");
        assert_eq!(
            way(&at_berlin, &at_boston).await,
            ms(14),
            "what was said of the hosts comes first"
        );
    });
    run.expect("a run");
}

#[test]
fn an_impossible_network_is_refused_with_words() {
    let runs = [
        (Simulation::new(1).with_link(LinkProfile::new().with_loss(f64::NAN)), "loss is NaN"),
        (Simulation::new(1).with_link(LinkProfile::new().with_bandwidth(0)), "bandwidth is 0"),
        (Simulation::new(1).with_connect_failures(-0.5), "connect_failures is -0.5"),
    ];
    for (simulation, named) in runs {
        let error = simulation.run(async |_| ()).expect_err("impossible");
        assert!(matches!(error, SimulationError::ImpossibleNetwork { .. }));
        assert!(error.to_string().contains(named), "{error}");
    }
    let run = Simulation::new(1).run(async |network| {
        let (a, b) = (network.host("a"), network.host("b"));
        let (zone, lossy) = (network.zone("zone"), LinkProfile::new().with_loss(1.5));
        network.set_link(&a, &b, &lossy).is_err()
            && network.set_zone_link(&zone, &zone, &lossy).is_err()
    });
    assert!(run.expect("a run").output);
}

#[test]
fn every_preset_carries_a_conversation() {
    for preset in Preset::ALL {
        let run = Simulation::new(1).run(async |network| {
            let [near, far] = ["near", "far"].map(|name| network.host(name));
            network.set_link_one_way(&far, &near, &preset.down()).expect("possible");
            network.set_link_one_way(&near, &far, &preset.up()).expect("possible");
            let [near, far] =
                [near, far].map(|host| host.provider(Default::default()).expect("up"));
            let listener = crate::listen(&far).await;
            let dialled = crate::connect(&near, &far).await.expect("connected");
            let accepted = p2p_core::P2PListener::accept(&listener).await.expect("accepted");
            for number in 0..100u8 {
                dialled.send(Bytes::from(vec![number; 1_000])).await.expect("sent");
                assert_eq!(accepted.recv().await.expect("received")[0], number);
            }
        });
        assert!(run.is_ok(), "{preset:?}: {run:?}");
    }
}
