//! How many connections a pool has, and which of them goes.

use p2p_core::{
    CloseCause, ClosedBy, Limit, P2PConnection, P2PError, P2PListener, P2PProvider, PoolConfig,
    Pooled,
};

use crate::pooled::{bob, nobody_else, options, pool};
use crate::{Duration, LATENCY, listen, ms, provider, simulate};

#[test]
fn an_idle_connection_is_closed_after_its_time_and_not_while_somebody_uses_it() {
    simulate(async |network| {
        let config = PoolConfig::default().with_idle_timeout(ms(500)).with_close_code(3);
        let alice = pool(provider(&network, "alice"), config);
        let (bob, listener) = bob(&network).await;
        let addr = bob.local_addr();
        let handle = alice.connect(&addr, options()).await.expect("connected");
        let clone = handle.clone();
        let accepted = listener.accept().await.expect("accepted");
        drop(handle);
        tokio::time::sleep(Duration::from_secs(5)).await;
        assert!(clone.is_connected() && accepted.is_connected(), "closed while in use");
        drop(clone);
        // Used again before its time is over: it begins anew.
        tokio::time::sleep(ms(400)).await;
        drop(alice.connect(&addr, options()).await.expect("shared"));
        tokio::time::sleep(ms(400)).await;
        assert_eq!(alice.connections(), 1);
        let end = accepted.closed().await;
        assert_eq!((end.by, end.cause), (ClosedBy::Peer, CloseCause::Application(3)));
        assert_eq!(alice.connections(), 0);
        let start = network.elapsed();
        alice.connect(&addr, options()).await.expect("dialled again");
        assert_eq!(network.elapsed() - start, 4 * LATENCY);
    });
}

#[test]
fn the_one_idle_for_longest_makes_room_and_those_in_use_never_do() {
    simulate(async |network| {
        let alice =
            pool(provider(&network, "alice"), PoolConfig::default().with_max_connections(3));
        let mut peers = Vec::new();
        for name in ["bob", "carol", "dave", "erin"] {
            let peer = provider(&network, name);
            let listener = listen(&peer).await;
            peers.push((peer.local_addr(), listener, peer));
        }
        let mut handles = Vec::new();
        let mut accepted = Vec::new();
        for (addr, listener, _) in &peers[..3] {
            handles.push(alice.connect(addr, options()).await.expect("connected"));
            accepted.push(listener.accept().await.expect("accepted"));
        }
        let (erin, erins, _) = &peers[3];
        match alice.connect(erin, options()).await {
            Err(error @ P2PError::LimitExceeded { limit, max, actual }) => {
                assert_eq!((limit, max, actual), (Limit::PooledConnections, 3, 4));
                assert!(error.is_retryable());
            }
            other => panic!("{other:?}"),
        }
        // Nobody was bothered for it, nor did anybody reach Erin.
        assert!(handles.iter().all(P2PConnection::is_connected));
        assert!(nobody_else(erins).await);
        // Carol's becomes idle first, then Bob's; Dave's stays in use.
        let dave = handles.pop().expect("three");
        for handle in handles.into_iter().rev() {
            handle.send("the last word".into()).await.expect("sent");
            drop(handle);
            tokio::time::sleep(ms(1)).await;
        }
        let _erin = alice.connect(erin, options()).await.expect("in Carol's place");
        let [bob, carol, daves] = &accepted[..] else { panic!("three") };
        // It leaves politely: what was sent before arrives.
        assert_eq!(carol.recv().await.expect("received"), "the last word");
        assert_eq!(carol.closed().await.cause, CloseCause::Application(0));
        assert!(bob.is_connected() && daves.is_connected() && dave.is_connected());
        assert_eq!(alice.connections(), 3);
    });
}

#[test]
fn the_last_handle_of_a_pool_takes_idle_connections_with_it_and_no_others() {
    simulate(async |network| {
        let alice = pool(provider(&network, "alice"), PoolConfig::default());
        let (bob, bobs) = bob(&network).await;
        let carol = provider(&network, "carol");
        let carols = listen(&carol).await;
        let to_bob = alice.connect(&bob.local_addr(), options()).await.expect("connected");
        drop(alice.connect(&carol.local_addr(), options()).await.expect("connected"));
        let (by_bob, by_carol) =
            (bobs.accept().await.expect("accepted"), carols.accept().await.expect("accepted"));
        drop(alice);
        assert_eq!(by_carol.closed().await.cause, CloseCause::Dropped);
        to_bob.send("still here".into()).await.expect("sent");
        assert_eq!(by_bob.recv().await.expect("received"), "still here");
        let streams = to_bob.open_stream().await.expect("opened");
        drop(to_bob);
        tokio::time::sleep(ms(1000)).await;
        assert!(by_bob.is_connected(), "a stream is a user");
        drop(streams);
        assert_eq!(by_bob.closed().await.cause, CloseCause::Dropped);
    });
}

#[test]
fn a_shutdown_ends_what_is_there_and_what_is_on_its_way() {
    simulate(async |network| {
        let alice = pool(provider(&network, "alice"), PoolConfig::default());
        let (bob, listener) = bob(&network).await;
        let handle = alice.connect(&bob.local_addr(), options()).await.expect("connected");
        let accepted = listener.accept().await.expect("accepted");
        let carol = provider(&network, "carol");
        let _carols = listen(&carol).await;
        let waiting = tokio::spawn({
            let (alice, addr) = (alice.clone(), carol.local_addr());
            async move { alice.connect(&addr, options()).await }
        });
        tokio::time::sleep(LATENCY).await;
        alice.shutdown().await;
        let ended = |error: P2PError| match error {
            P2PError::Closed(end) => assert_eq!(end.cause, CloseCause::Shutdown),
            other => panic!("{other:?}"),
        };
        ended(waiting.await.expect("no panic").expect_err("shut down"));
        ended(handle.send("x".into()).await.expect_err("shut down"));
        ended(alice.connect(&bob.local_addr(), options()).await.expect_err("shut down"));
        assert_eq!(accepted.closed().await.cause, CloseCause::Shutdown);
        assert_eq!(alice.connections(), 0);
    });
}

#[test]
fn values_that_cannot_be_meant_are_named() {
    simulate(async |network| {
        let alice = provider(&network, "alice");
        for (config, words) in [
            (PoolConfig::default().with_max_connections(0), "max_connections is 0: it must be"),
            (PoolConfig::default().with_idle_timeout(ms(0)), "idle_timeout is 0ns: it must be"),
            (PoolConfig::default().with_idle_timeout(Duration::MAX), "idle_timeout is 184467"),
        ] {
            let error = Pooled::new(alice.clone(), config).expect_err(words).to_string();
            assert!(error.starts_with(words), "{error}");
        }
    });
}
