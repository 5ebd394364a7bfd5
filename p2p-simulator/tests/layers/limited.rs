//! Who connects, how often, and with how many.

use p2p_core::{
    ConfigError, ConnectOptions, Limit, Limited, Limits, ListenOptions, P2PConnection, P2PError,
    P2PListener, P2PProvider, PeerId, RateLimit, Result, ScopeLimits,
};

use crate::{Duration, LATENCY, admitted, listen, ms, protocol, provider, simulate};

pub(crate) fn rate(per_second: u64) -> RateLimit {
    RateLimit::per_second(per_second).expect("not zero")
}

/// Which limit, whose, its value, and when to try again.
pub(crate) fn refused<T>(outcome: Result<T>) -> (Limit, Option<PeerId>, u64, Duration) {
    match outcome.map(|_| "it succeeded") {
        Err(error @ P2PError::RateLimited { .. }) if !error.is_retryable() => panic!("{error}"),
        Err(P2PError::RateLimited { limit, peer, max, retry_after, .. }) => {
            (limit, peer, max, retry_after)
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_dial_over_the_limit_says_when_to_try_again_and_reaches_nobody() {
    simulate(async |network| {
        let scope = ScopeLimits::default().with_dials(rate(2));
        let limits = Limits::default().with_per_peer(scope);
        let alice = Limited::new(provider(&network, "alice"), limits).expect("limits");
        let (bob, carol) = (provider(&network, "bob"), provider(&network, "carol"));
        let (bobs, carols) = (listen(&bob).await, listen(&carol).await);
        for _ in 0..2 {
            alice.connect(&bob.local_addr(), admitted()).await.expect("within the limit");
        }
        // Each took two round trips, in which 80 ms of the 500 for the next one have gone by.
        let again = alice.connect(&bob.local_addr(), admitted()).await;
        let wait = ms(500) - 8 * LATENCY;
        let error = again.expect_err("over the limit").to_string();
        let short = bob.local_peer_id().fmt_short();
        assert_eq!(error, format!("dials of peer {short}: at most 2 per 1s; retry after {wait:?}"));
        // Another peer has a bucket of its own.
        alice.connect(&carol.local_addr(), admitted()).await.expect("within the limit");
        carols.accept().await.expect("accepted");
        tokio::time::sleep(wait - 4 * LATENCY).await;
        let options = admitted().with_credential("later").expect("short");
        alice.connect(&bob.local_addr(), options).await.expect("in time");
        let mut credentials = Vec::new();
        for _ in 0..3 {
            credentials.push(bobs.accept().await.expect("accepted").peer().credential.len());
        }
        assert_eq!(credentials, [0, 0, 5]);
    });
}

#[test]
fn applicants_over_the_limit_are_told_and_later_let_in() {
    simulate(async |network| {
        let scope = ScopeLimits::default().with_admissions(rate(2));
        let limits = Limits::default().with_per_peer(scope);
        let bob = Limited::new(provider(&network, "bob"), limits).expect("limits");
        let (alice, carol) = (provider(&network, "alice"), provider(&network, "carol"));
        let listener = bob.listen(ListenOptions::new(protocol())).await.expect("listening");
        let addr = bob.local_addr();
        for _ in 0..2 {
            alice.connect(&addr, admitted()).await.expect("within the limit");
        }
        match alice.connect(&addr, admitted()).await {
            Err(P2PError::RefusedForNow { peer, reason, retry_after: wait }) => {
                assert!(reason.contains("admissions") && reason.contains("2 per 1s"), "{reason}");
                assert_eq!(peer, bob.local_peer_id());
                // Two a second, less what has passed since the first: two round trips for each.
                assert!(wait <= ms(500) && wait > ms(500) - 20 * LATENCY, "{wait:?}");
                tokio::time::sleep(wait).await;
            }
            other => panic!("{other:?}"),
        }
        carol.connect(&addr, admitted()).await.expect("a peer with a bucket of its own");
        alice.connect(&addr, admitted()).await.expect("later");
        for _ in 0..4 {
            listener.accept().await.expect("accepted");
        }
    });
}

#[test]
fn connections_of_both_directions_count_and_their_places_come_back() {
    simulate(async |network| {
        let limits = Limits::default()
            .with_total(ScopeLimits::default().with_connections(3))
            .with_per_peer(ScopeLimits::default().with_connections(2))
            .with_retry_after(ms(77));
        let alice = Limited::new(provider(&network, "alice"), limits).expect("limits");
        let (bob, carol) = (provider(&network, "bob"), provider(&network, "carol"));
        let alices = alice.listen(ListenOptions::new(protocol())).await.expect("listening");
        let (bobs, carols) = (listen(&bob).await, listen(&carol).await);
        let dialled = alice.connect(&bob.local_addr(), admitted()).await.expect("the first");
        let _by_bob = bobs.accept().await.expect("accepted");
        let _to_alice = bob.connect(&alice.local_addr(), admitted()).await.expect("the second");
        let accepted = alices.accept().await.expect("accepted");
        // Dialled here or there, with Bob there are two.
        let third = alice.connect(&bob.local_addr(), admitted()).await;
        let full = (Limit::Connections, Some(bob.local_peer_id()), 2, ms(77));
        assert_eq!(refused(third), full);
        let third = bob.connect(&alice.local_addr(), admitted()).await;
        let later = ms(77);
        assert!(
            matches!(third, Err(P2PError::RefusedForNow { retry_after, .. }) if retry_after == later),
            "{third:?}"
        );
        let to_carol = alice.connect(&carol.local_addr(), admitted()).await.expect("the third");
        let _by_carol = carols.accept().await.expect("accepted");
        let fourth = alice.connect(&carol.local_addr(), admitted()).await;
        assert_eq!(refused(fourth), (Limit::Connections, None, 3, ms(77)));
        // A clone is the same connection.
        let clone = accepted.clone();
        drop(accepted);
        assert!(alice.connect(&carol.local_addr(), admitted()).await.is_err());
        drop(clone);
        alice.connect(&carol.local_addr(), admitted()).await.expect("in the free place");
        drop((dialled, to_carol));
    });
}

#[test]
fn an_attempt_that_fails_or_is_given_up_gives_its_place_back() {
    simulate(async |network| {
        let limits = Limits::default().with_per_peer(ScopeLimits::default().with_connections(1));
        let alice = Limited::new(provider(&network, "alice"), limits).expect("limits");
        let bob = provider(&network, "bob");
        let _bobs = listen(&bob).await;
        let none = ConnectOptions::new("layers/none".parse().expect("a name"));
        let failed = alice.connect(&bob.local_addr(), none).await;
        assert!(matches!(failed, Err(P2PError::Protocol(_))), "{failed:?}");
        let addr = bob.local_addr();
        let given_up = tokio::time::timeout(LATENCY, alice.connect(&addr, admitted()));
        assert!(given_up.await.is_err());
        alice.connect(&bob.local_addr(), admitted()).await.expect("the only one");
    });
}

#[test]
fn a_flood_of_identities_takes_bounded_memory_and_one_total() {
    simulate(async |network| {
        let total = ScopeLimits::default().with_connections(8).with_admissions(rate(10));
        let limits = Limits::default().with_total(total).with_max_peers(8);
        let bob = Limited::new(provider(&network, "bob"), limits).expect("limits");
        let listener = bob.listen(ListenOptions::new(protocol())).await.expect("listening");
        tokio::spawn(async move { while listener.accept().await.is_ok() {} });
        let mut admissions = 0;
        for number in 0..50 {
            let one = provider(&network, &format!("one of many {number}"));
            admissions += usize::from(one.connect(&bob.local_addr(), admitted()).await.is_ok());
        }
        // Ten at once and ten a second, in 49 times two round trips and one way more: 1.97 s.
        assert_eq!(admissions, 10 + 19);
    });
}

#[test]
fn values_that_cannot_be_meant_are_named_and_change_nothing() {
    simulate(async |network| {
        let none = ScopeLimits::default().with_connections(0);
        let few = Limits::default().with_max_peers(7);
        let cases = [
            (Limits::default().with_total(none), "total.connections is 0: it must be at least 1"),
            (Limits::default().with_per_peer(none), "per_peer.connections is 0: it must be"),
            (few, "max_peers is 7: it must be at least total.connections"),
            (Limits::default().with_retry_after(ms(0)), "retry_after is 0ns: it must be at least"),
        ];
        let alice = provider(&network, "alice");
        let limited = Limited::new(alice.clone(), Limits::default()).expect("limits");
        for (limits, words) in cases {
            let error: ConfigError = Limited::new(alice.clone(), limits.clone()).expect_err(words);
            assert!(error.to_string().starts_with(words), "{error}");
            assert_eq!(limited.set_limits(limits), Err(error));
            assert_eq!(limited.limits(), Limits::default());
        }
    });
}
