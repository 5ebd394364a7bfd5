//! What goes over connections within limits.

use bytes::Bytes;
use p2p_core::{
    Limit, Limited, LimitedConnection, Limits, P2PConnection, P2PError, P2PListener, P2PProvider,
    Priority, RateLimit, RecvStream, ScopeLimits, SendStream, TrafficLimits,
};
use p2p_simulator::{Network, SimulatorConnection, SimulatorP2P};

use crate::limited::{rate, refused};
use crate::{Duration, LATENCY, admitted, listen, ms, provider, simulate};

/// Alice within limits, and her connection to Bob.
struct Pair {
    alice: Limited<SimulatorP2P>,
    bob: SimulatorP2P,
    to_bob: LimitedConnection<SimulatorConnection>,
    to_alice: SimulatorConnection,
}

async fn pair(network: &Network, per_peer: ScopeLimits) -> Pair {
    let limits = Limits::default().with_per_peer(per_peer);
    let alice = Limited::new(provider(network, "alice"), limits).expect("limits");
    let bob = provider(network, "bob");
    let listener = listen(&bob).await;
    let to_bob = alice.connect(&bob.local_addr(), admitted()).await.expect("connected");
    let to_alice = listener.accept().await.expect("accepted");
    Pair { alice, bob, to_bob, to_alice }
}

fn messages(limit: RateLimit) -> TrafficLimits {
    TrafficLimits::default().with_messages(limit)
}

fn bytes(limit: RateLimit) -> TrafficLimits {
    TrafficLimits::default().with_bytes(limit)
}

#[test]
fn a_send_over_the_limit_sends_nothing_and_says_when_to_try_again() {
    simulate(async |network| {
        let limits = messages(rate(10)).with_bytes(rate(1000));
        let pair = pair(&network, ScopeLimits::default().with_sent(limits)).await;
        let bob = Some(pair.bob.local_peer_id());
        for number in 0..10u8 {
            pair.to_bob.send(vec![number].into()).await.expect("within the limit");
        }
        let over = (Limit::SentMessages, bob, 10, ms(100));
        assert_eq!(refused(pair.to_bob.send("over".into()).await), over);
        // Datagrams count like messages.
        assert_eq!(refused(pair.to_bob.send_datagram("over".into())), over);
        assert_eq!(refused(pair.to_bob.try_send(Priority::Control, "over".into())), over);
        tokio::time::sleep(ms(100)).await;
        pair.to_bob.send(vec![0; 991].into()).await.expect("in time");
        // Nine bytes are left, and of the messages none: the limit that takes longest is named.
        let over = refused(pair.to_bob.send(vec![0; 500].into()).await);
        assert_eq!(over, (Limit::SentBytes, bob, 1000, ms(491)));
        for number in 0..10u8 {
            assert_eq!(pair.to_alice.recv().await.expect("received")[..], [number]);
        }
        assert_eq!(pair.to_alice.recv().await.expect("received").len(), 991);
        // What is refused anyway costs nothing.
        let large = pair.to_bob.send(vec![0; 2 << 20].into()).await;
        assert!(matches!(large, Err(P2PError::LimitExceeded { .. })), "{large:?}");
    });
}

#[test]
fn the_total_is_for_all_peers_together() {
    simulate(async |network| {
        let total = ScopeLimits::default().with_sent(messages(rate(3)));
        let pair = pair(&network, ScopeLimits::default()).await;
        pair.alice.set_limits(Limits::default().with_total(total.with_connections(9))).expect("ok");
        let carol = provider(&network, "carol");
        let _carols = listen(&carol).await;
        let to_carol =
            pair.alice.connect(&carol.local_addr(), admitted()).await.expect("connected");
        pair.to_bob.send("1".into()).await.expect("within the limit");
        to_carol.send("2".into()).await.expect("within the limit");
        pair.to_bob.send("3".into()).await.expect("within the limit");
        let (limit, peer, max, _) = refused(to_carol.send("4".into()).await);
        assert_eq!((limit, peer, max), (Limit::SentMessages, None, 3));
    });
}

#[test]
fn a_receiver_over_the_limit_makes_the_peer_wait_and_loses_nothing() {
    simulate(async |network| {
        let limit = rate(100).with_burst(10).expect("not zero");
        let pair = pair(&network, ScopeLimits::default().with_received(messages(limit))).await;
        let start = network.elapsed();
        let to_alice = pair.to_alice.clone();
        let sending = tokio::spawn(async move {
            for number in 0..200u8 {
                to_alice.send(vec![number; 1000].into()).await.expect("sent");
            }
        });
        for number in 0..200u8 {
            assert_eq!(pair.to_bob.recv().await.expect("received"), vec![number; 1000]);
            if number == 100 {
                // The window holds fifteen of them, and the transport's own buffers some more.
                assert!(!sending.is_finished(), "the sender did not wait");
            }
        }
        // Ten at once, then one every 10 ms.
        assert_eq!(network.elapsed() - start, LATENCY + ms(190 * 10));
    });
}

#[test]
fn a_message_larger_than_the_burst_passes_and_is_paid_for() {
    simulate(async |network| {
        let scope =
            ScopeLimits::default().with_sent(bytes(rate(1000))).with_received(bytes(rate(1000)));
        let pair = pair(&network, scope).await;
        pair.to_bob.send(vec![0; 5000].into()).await.expect("from a full bucket");
        assert_eq!(refused(pair.to_bob.send("x".into()).await).3, ms(4001));
        for _ in 0..2 {
            pair.to_alice.send(vec![0; 5000].into()).await.expect("sent");
        }
        let start = network.elapsed();
        pair.to_bob.recv().await.expect("received");
        pair.to_bob.recv().await.expect("received");
        assert_eq!(network.elapsed() - start, LATENCY.max(ms(4001)) + LATENCY);
    });
}

#[test]
fn bytes_on_streams_keep_to_the_limit_both_ways() {
    for scope in [
        ScopeLimits::default().with_sent(bytes(rate(100_000))),
        ScopeLimits::default().with_received(bytes(rate(100_000))),
    ] {
        simulate(async |network| {
            let pair = pair(&network, scope).await;
            let start = network.elapsed();
            let (mut send, mut recv) = pair.to_bob.open_stream().await.expect("opened");
            let (mut reply, mut arrive) = pair.to_alice.accept_stream().await.expect("accepted");
            let content = Bytes::from_iter((0..1_000_000u32).map(|number| number as u8));
            let echo = tokio::spawn(async move {
                while let Some(chunk) = arrive.read_chunk(4096).await.expect("read") {
                    reply.write_all(chunk).await.expect("written");
                }
                reply.finish().expect("finished");
                reply.finished().await.expect("received");
            });
            let writing = tokio::spawn({
                let content = content.clone();
                async move {
                    send.write_all(content).await.expect("written");
                    send.finish().expect("finished");
                }
            });
            assert_eq!(recv.read_to_end(1_000_000).await.expect("all of it"), content);
            writing.await.expect("no panic");
            echo.await.expect("no panic");
            // The burst, and then nine tenths at the limit's rate.
            let took = network.elapsed() - start;
            assert!((ms(9_000)..ms(9_200)).contains(&took), "{took:?}");
        });
    }
}

#[test]
fn a_change_of_limits_reaches_whoever_waits() {
    simulate(async |network| {
        let hour = Duration::from_secs(3600);
        let slow = RateLimit::new(1, hour).expect("not zero");
        let scope = ScopeLimits::default().with_sent(bytes(slow)).with_received(messages(slow));
        let pair = pair(&network, scope).await;
        for _ in 0..2 {
            pair.to_alice.send("x".into()).await.expect("sent");
        }
        pair.to_bob.recv().await.expect("the first");
        let (mut send, _recv) = pair.to_bob.open_stream().await.expect("opened");
        let to_bob = pair.to_bob.clone();
        let receiving = tokio::spawn(async move { to_bob.recv().await });
        let writing = tokio::spawn(async move { send.write_all("more than one".into()).await });
        tokio::time::sleep(hour / 4).await;
        assert!(!receiving.is_finished() && !writing.is_finished(), "somebody did not wait");
        let start = network.elapsed();
        pair.alice.set_limits(Limits::default()).expect("limits");
        receiving.await.expect("no panic").expect("received");
        writing.await.expect("no panic").expect("written");
        assert_eq!(network.elapsed(), start);
    });
}

#[test]
fn who_waits_for_the_limit_hears_of_the_end_after_what_had_come() {
    simulate(async |network| {
        let slow = RateLimit::new(1, Duration::from_secs(3600)).expect("not zero");
        let pair = pair(&network, ScopeLimits::default().with_received(messages(slow))).await;
        for _ in 0..3 {
            pair.to_alice.send("x".into()).await.expect("sent");
        }
        pair.to_bob.recv().await.expect("the first");
        let start = network.elapsed();
        let to_alice = pair.to_alice.clone();
        tokio::spawn(async move { to_alice.close(5, "over").await });
        for _ in 0..2 {
            assert_eq!(pair.to_bob.recv().await.expect("what had come"), "x");
        }
        let end = pair.to_bob.recv().await.expect_err("the end").to_string();
        assert!(end.contains("over"), "{end}");
        assert!(network.elapsed() - start <= Duration::from_secs(4), "held up after the end");
    });
}

#[test]
fn a_receive_that_is_given_up_while_it_waits_loses_nothing() {
    simulate(async |network| {
        let pair = pair(&network, ScopeLimits::default().with_received(messages(rate(10)))).await;
        for number in 0..30u8 {
            pair.to_alice.send(vec![number].into()).await.expect("sent");
        }
        let mut next = 0;
        while next < 30 {
            if let Ok(message) = tokio::time::timeout(ms(7), pair.to_bob.recv()).await {
                assert_eq!(message.expect("received")[..], [next]);
                next += 1;
            }
        }
    });
}

#[test]
fn a_message_that_finds_no_place_in_the_queue_costs_nothing() {
    simulate(async |network| {
        let limit = RateLimit::new(1000, Duration::from_secs(3600)).expect("not zero");
        let pair = pair(&network, ScopeLimits::default().with_sent(messages(limit))).await;
        let mut sent = 0;
        let full = loop {
            match pair.to_bob.try_send(Priority::Bulk, vec![0; 10_000].into()) {
                Ok(()) => sent += 1,
                Err(error) => break error,
            }
        };
        assert!(
            matches!(full, P2PError::LimitExceeded { limit: Limit::ReceiveWindow, .. }),
            "{full}"
        );
        for _ in 0..2000 {
            assert!(pair.to_bob.try_send(Priority::Bulk, vec![0; 10_000].into()).is_err());
        }
        for number in 0..sent {
            assert_eq!(pair.to_alice.recv().await.expect("received").len(), 10_000, "{number}");
        }
        pair.to_bob.send("one of those that are left".into()).await.expect("within the limit");
    });
}
