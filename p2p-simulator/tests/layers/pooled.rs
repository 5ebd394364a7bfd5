//! One connection for all who ask, and what becomes of it.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use p2p_core::{
    CloseCause, ConnectOptions, ListenOptions, P2PConnection, P2PError, P2PListener, P2PProvider,
    PoolConfig, Pooled, ProtocolError, RecvStream, SendStream, admission_fn,
};
use p2p_simulator::{Network, SimulatorListener, SimulatorP2P};
use tokio::task::JoinSet;

use crate::{Duration, LATENCY, listen, ms, protocol, provider, simulate};

pub(crate) fn pool(inner: SimulatorP2P, config: PoolConfig) -> Pooled<SimulatorP2P> {
    Pooled::new(inner, config).expect("a configuration that can be meant")
}

pub(crate) fn options() -> ConnectOptions {
    ConnectOptions::new(protocol())
}

pub(crate) async fn bob(network: &Network) -> (SimulatorP2P, SimulatorListener) {
    let bob = provider(network, "bob");
    let listener = listen(&bob).await;
    (bob, listener)
}

/// Whether nobody has connected who was not accepted.
pub(crate) async fn nobody_else(listener: &impl P2PListener) -> bool {
    tokio::time::timeout(ms(1000), listener.accept()).await.is_err()
}

#[test]
fn all_who_ask_at_once_share_one_dial_and_later_ones_wait_for_nothing() {
    simulate(async |network| {
        let alice = pool(provider(&network, "alice"), PoolConfig::default());
        let (bob, listener) = bob(&network).await;
        let start = network.elapsed();
        let mut asking = JoinSet::new();
        for _ in 0..20 {
            let (alice, addr) = (alice.clone(), bob.local_addr());
            asking.spawn(async move { alice.connect(&addr, options()).await.expect("connected") });
        }
        let handles = asking.join_all().await;
        // Two round trips: shared connections are admitted ones.
        assert_eq!(network.elapsed() - start, 4 * LATENCY);
        let accepted = listener.accept().await.expect("accepted");
        let start = network.elapsed();
        let one_more = alice.connect(&bob.local_addr(), options()).await.expect("shared");
        assert_eq!(network.elapsed(), start);
        one_more.send("hello".into()).await.expect("sent");
        assert_eq!(accepted.recv().await.expect("received"), "hello");
        assert!(handles.iter().all(|handle| handle.stats().messages_sent == 1), "not the same one");
        assert!(nobody_else(&listener).await);
        assert_eq!(alice.connections(), 1);
    });
}

#[test]
fn each_protocol_and_each_credential_has_its_own() {
    simulate(async |network| {
        let alice = pool(provider(&network, "alice"), PoolConfig::default());
        let (bob, listener) = bob(&network).await;
        let other = "layers/other".parse::<p2p_core::ProtocolName>().expect("a name");
        let others = bob.listen(ListenOptions::new(other.clone())).await.expect("listening");
        let addr = bob.local_addr();
        let with = |word: &'static str| options().with_credential(word).expect("short");
        let mut held = Vec::new();
        for options in [options(), ConnectOptions::new(other), with("x"), with("y"), with("x")] {
            held.push(alice.connect(&addr, options).await.expect("connected"));
        }
        let mut credentials = Vec::new();
        for _ in 0..3 {
            credentials.push(listener.accept().await.expect("accepted").peer().credential.clone());
        }
        assert_eq!(credentials, ["", "x", "y"]);
        others.accept().await.expect("accepted");
        assert!(nobody_else(&listener).await && nobody_else(&others).await);
    });
}

#[test]
fn one_who_gives_up_leaves_the_dial_to_the_others() {
    simulate(async |network| {
        let alice = pool(provider(&network, "alice"), PoolConfig::default());
        let (bob, listener) = bob(&network).await;
        let addr = bob.local_addr();
        // The first has started the dial.
        let mut first = Box::pin(alice.connect(&addr, options()));
        assert!(tokio::time::timeout(LATENCY, &mut first).await.is_err());
        let start = network.elapsed();
        let second = {
            let (alice, addr) = (alice.clone(), addr.clone());
            tokio::spawn(async move { alice.connect(&addr, options()).await })
        };
        tokio::task::yield_now().await;
        drop(first);
        second.await.expect("no panic").expect("connected");
        assert_eq!(network.elapsed() - start, 3 * LATENCY, "of the first dial, that is left");
        listener.accept().await.expect("accepted");
        assert!(nobody_else(&listener).await);
    });
}

#[test]
fn a_dial_that_all_give_up_ends_and_does_not_stand_in_the_way() {
    simulate(async |network| {
        let alice =
            pool(provider(&network, "alice"), PoolConfig::default().with_max_connections(1));
        let (bob, listener) = bob(&network).await;
        let addr = bob.local_addr();
        for moment in 0..40 {
            let asking = async {
                tokio::join!(alice.connect(&addr, options()), alice.connect(&addr, options()))
            };
            assert!(tokio::time::timeout(ms(moment), asking).await.is_err());
            tokio::time::sleep(ms(moment % 3)).await;
            assert_eq!(alice.connections(), 0, "after {moment} ms");
        }
        let handle = alice.connect(&addr, options()).await.expect("connected");
        handle.send("at last".into()).await.expect("sent");
        // Those given up late were admitted; they have ended.
        loop {
            let accepted = listener.accept().await.expect("accepted");
            match accepted.recv().await {
                Ok(message) => break assert_eq!(message, "at last"),
                Err(P2PError::Closed(end)) => assert_eq!(end.cause, CloseCause::Dropped),
                Err(error) => panic!("{error}"),
            }
        }
        assert!(handle.is_connected());
    });
}

#[test]
fn one_who_has_more_patience_outlives_the_dial_of_one_who_has_less() {
    simulate(async |network| {
        let alice = pool(provider(&network, "alice"), PoolConfig::default());
        let bob = provider(&network, "bob");
        let asked = Arc::new(AtomicUsize::new(0));
        let count = asked.clone();
        // The judge of the first takes its time.
        let judge = admission_fn(move |_| {
            let first = count.fetch_add(1, Ordering::Relaxed) == 0;
            async move {
                tokio::time::sleep(if first { ms(5000) } else { ms(0) }).await;
                Ok(())
            }
        });
        let options = options();
        let _listener = bob
            .listen(ListenOptions::new(protocol()).with_admission(judge))
            .await
            .expect("listening");
        let addr = bob.local_addr();
        let (hasty, patient) = tokio::join!(
            alice.connect(&addr, options.clone().with_timeout(ms(100))),
            alice.connect(&addr, options.with_timeout(ms(200))),
        );
        match hasty {
            Err(P2PError::Timeout { after, .. }) => assert_eq!(after, ms(100)),
            other => panic!("{other:?}"),
        }
        patient.expect("connected by a dial of its own");
        assert_eq!(asked.load(Ordering::Relaxed), 2);
    });
}

#[test]
fn all_who_wait_are_told_why_and_the_next_one_dials_again() {
    simulate(async |network| {
        let alice = pool(provider(&network, "alice"), PoolConfig::default());
        let bob = provider(&network, "bob");
        let addr = bob.local_addr();
        let (one, other) =
            tokio::join!(alice.connect(&addr, options()), alice.connect(&addr, options()));
        for outcome in [one, other] {
            match outcome {
                Err(P2PError::Protocol(ProtocolError::UnknownProtocol { name })) => {
                    assert_eq!(name, protocol());
                }
                other => panic!("{other:?}"),
            }
        }
        assert_eq!(alice.connections(), 0);
        let _listener = listen(&bob).await;
        alice.connect(&addr, options()).await.expect("now it is served");
    });
}

#[test]
fn one_that_has_ended_is_replaced() {
    simulate(async |network| {
        let alice =
            pool(provider(&network, "alice"), PoolConfig::default().with_max_connections(1));
        let (bob, listener) = bob(&network).await;
        let addr = bob.local_addr();
        let mut held = Vec::new();
        for number in 0..3 {
            let handle = alice.connect(&addr, options()).await.expect("connected");
            let accepted = listener.accept().await.expect("accepted");
            handle.send("x".into()).await.expect("sent");
            accepted.recv().await.expect("received");
            // By the peer, by this side for all who share it, by the peer.
            if number % 2 == 0 {
                accepted.close(1, "").await;
            } else {
                alice.connect(&addr, options()).await.expect("shared").close(1, "").await;
            }
            handle.closed().await;
            // Held, but it takes no place.
            held.push(handle);
        }
        assert_eq!(alice.connections(), 1);
    });
}

#[test]
fn a_stream_alone_keeps_the_connection_in_use() {
    simulate(async |network| {
        let config = PoolConfig::default().with_idle_timeout(ms(100)).with_close_code(9);
        let alice = pool(provider(&network, "alice"), config);
        let (bob, listener) = bob(&network).await;
        let (mut send, mut recv) = {
            let handle = alice.connect(&bob.local_addr(), options()).await.expect("connected");
            handle.open_stream().await.expect("opened")
        };
        let accepted = listener.accept().await.expect("accepted");
        let (mut reply, mut arrive) = accepted.accept_stream().await.expect("accepted");
        tokio::time::sleep(Duration::from_secs(10)).await;
        send.write_all("still here".into()).await.expect("written");
        send.finish().expect("finished");
        drop(send);
        assert_eq!(arrive.read_to_end(100).await.expect("read"), "still here");
        tokio::time::sleep(Duration::from_secs(10)).await;
        reply.write_all("me too".into()).await.expect("written");
        reply.finish().expect("finished");
        assert_eq!(recv.read_to_end(100).await.expect("read"), "me too");
        let start = network.elapsed();
        drop(recv);
        let end = accepted.closed().await;
        assert_eq!((end.cause, &end.message[..]), (CloseCause::Application(9), "idle"));
        // The close waits a round trip, until the peer has all that was sent before.
        assert_eq!(network.elapsed() - start, ms(100) + 3 * LATENCY);
        assert_eq!(alice.connections(), 0);
    });
}
