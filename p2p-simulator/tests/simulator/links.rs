//! What links do to messages and datagrams.

use std::time::Duration;

use bytes::Bytes;
use p2p_core::{
    ConnectionConfig, ListenOptions, P2PConnection, P2PListener, P2PProvider, RecvStream,
    SendStream,
};
use p2p_simulator::{LinkProfile, Simulation};

use crate::{pair, protocol};

const fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

#[test]
fn a_message_takes_the_latency_to_the_nanosecond() {
    let latency = Duration::from_nanos(12_345_678);
    let link = LinkProfile::new().with_latency(latency);
    let run = Simulation::new(1).with_link(link).run(async |network| {
        let pair = pair(network).await.expect("a connection");
        let mut times = Vec::new();
        for _ in 0..5 {
            let sent = pair.network.elapsed();
            pair.dialled.send("x".into()).await.expect("sent");
            pair.accepted.recv().await.expect("received");
            times.push(pair.network.elapsed() - sent);
        }
        times
    });
    assert_eq!(run.expect("a run").output, [latency; 5]);
}

#[test]
fn connecting_takes_one_round_trip() {
    let link = LinkProfile::new().with_latency(ms(40));
    let run = Simulation::new(1).with_link(link).run(async |network| {
        let pair = pair(network).await.expect("a connection");
        let begun = pair.network.elapsed();
        // Accepting, too, waits for the dialler's word only: one way more than the round trip.
        assert_eq!(begun, ms(120));
        crate::connect(&pair.providers[0], &pair.providers[1]).await.map(|_| begun)
    });
    let run = run.expect("a run");
    // A listener that was dropped serves nobody: the refusal takes the same one round trip.
    assert!(run.output.is_err());
    assert_eq!(run.elapsed, ms(120 + 80));
}

#[test]
fn loss_delays_messages_and_loses_none() {
    let link = LinkProfile::new().with_latency(ms(20)).with_jitter(ms(5)).with_loss(0.2);
    let run = Simulation::new(5).with_link(link).run(async |network| {
        let pair = pair(network).await.expect("a connection");
        let sender = pair.dialled.clone();
        tokio::spawn(async move {
            for number in 0..5_000u32 {
                sender.send(Bytes::copy_from_slice(&number.to_le_bytes())).await.expect("sent");
            }
            sender.close(0, "done").await;
        });
        let mut next = 0u32;
        while let Ok(message) = pair.accepted.recv().await {
            assert_eq!(message[..], next.to_le_bytes(), "in order, none missing");
            next += 1;
        }
        next
    });
    assert_eq!(run.expect("a run").output, 5_000);
}

#[test]
fn loss_takes_its_share_of_datagrams() {
    let link = LinkProfile::new().with_loss(0.1);
    let run = Simulation::new(5).with_link(link).run(async |network| {
        let pair = pair(network).await.expect("a connection");
        let mut received = 0;
        for _ in 0..100 {
            for _ in 0..100 {
                pair.dialled.send_datagram(Bytes::from_static(b"x")).expect("sent");
            }
            // A message behind them marks the end: it arrives after those that do.
            pair.dialled.send("mark".into()).await.expect("sent");
            pair.accepted.recv().await.expect("received");
            let far = tokio::time::Instant::now();
            while tokio::time::timeout_at(far, pair.accepted.recv_datagram()).await.is_ok() {
                received += 1;
            }
        }
        received
    });
    // 9000 expected, standard deviation 30; five of them.
    let received = run.expect("a run").output;
    assert!((8_850..=9_150).contains(&received), "{received}");
}

#[test]
fn bandwidth_bounds_a_stream() {
    // 10 Mbit/s: 1 MB with 58 bytes of overhead to each 1200 takes 0.84 s.
    let link = LinkProfile::new().with_bandwidth(10_000_000);
    let run = Simulation::new(1).with_link(link).run(async |network| {
        let pair = pair(network).await.expect("a connection");
        let begun = pair.network.elapsed();
        let (mut send, _recv) = pair.dialled.open_stream().await.expect("opened");
        tokio::spawn(async move {
            send.write_all(vec![7; 1_000_000].into()).await.expect("written");
            send.finish().expect("finished");
            send.finished().await.expect("received");
        });
        let (_send, mut recv) = pair.accepted.accept_stream().await.expect("accepted");
        let whole = recv.read_to_end(1_000_000).await.expect("all of it");
        assert_eq!(whole.len(), 1_000_000);
        pair.network.elapsed() - begun
    });
    let took = run.expect("a run").output;
    assert!((ms(838)..ms(850)).contains(&took), "{took:?}");
}

#[test]
fn a_lost_packet_holds_up_its_own_stream_only() {
    let link = LinkProfile::new().with_latency(ms(40)).with_loss(0.5);
    let run = Simulation::new(1).with_link(link).run(async |network| {
        let pair = pair(network).await.expect("a connection");
        let sent = pair.network.elapsed();
        let mut held = Vec::new();
        for _ in 0..50 {
            held.push(pair.dialled.open_stream().await.expect("opened"));
        }
        let mut arrived = Vec::new();
        for _ in 0..50 {
            held.push(pair.accepted.accept_stream().await.expect("accepted"));
            arrived.push(pair.network.elapsed() - sent);
        }
        arrived
    });
    let arrived = run.expect("a run").output;
    // About half of the streams lose a packet, which costs each 90 ms at least. On one stream that
    // would add up to 2 s and more; side by side the losses overlap. (Streams are accepted in the
    // order of opening, whichever comes first.)
    assert!(*arrived.last().expect("fifty") < Duration::from_secs(1), "{arrived:?}");
}

#[test]
fn a_stream_read_to_its_end_makes_room_though_its_halves_are_held() {
    let run = Simulation::new(1).run(async |network| {
        let config = ConnectionConfig::default().with_max_streams(1);
        let alice = network.host("alice").provider(config.clone()).expect("free");
        let bob = network.host("bob").provider(config).expect("free");
        let listener = bob.listen(ListenOptions::new(protocol())).await.expect("listening");
        let dialled = crate::connect(&alice, &bob).await.expect("connected");
        let accepted = listener.accept().await.expect("accepted");
        let (mut near_send, mut near_recv) = dialled.open_stream().await.expect("opened");
        let (mut far_send, mut far_recv) = accepted.accept_stream().await.expect("accepted");
        near_send.write_all("all of it".into()).await.expect("written");
        far_recv.read_chunk(100).await.expect("read").expect("a chunk");
        // The last thing to arrive is the end of what has been read already.
        far_send.finish().expect("finished");
        far_send.finished().await.expect("received");
        near_send.finish().expect("finished");
        assert_eq!(far_recv.read_chunk(100).await, Ok(None));
        assert_eq!(near_recv.read_chunk(100).await, Ok(None));
        let limit = Duration::from_secs(5);
        let another = tokio::time::timeout(limit, dialled.open_stream()).await;
        assert!(another.is_ok(), "one stream is over, so another may be opened");
    });
    run.expect("a run");
}
