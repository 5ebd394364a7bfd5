//! Requests and responses, their deadlines and their ends.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use p2p_core::calls::{CallError, CallOptions, Refusal, Request, ServeOptions, call, serve};
use p2p_core::dynamic::AnyConnection;
use p2p_core::{
    CloseCause, Limited, Limits, ListenOptions, P2PConnection, P2PError, P2PListener, P2PProvider,
    PoolConfig, Pooled, RateLimit, ScopeLimits, TrafficLimits,
};
use p2p_simulator::{Network, SimulatorConnection, SimulatorP2P};
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::{Duration, LATENCY, admitted, listen, ms, protocol, provider, simulate};

/// Alice, who asks, and the connection at which Bob is to answer.
pub(crate) struct Pair {
    pub(crate) alice: SimulatorP2P,
    pub(crate) bob: SimulatorP2P,
    pub(crate) to_bob: SimulatorConnection,
    pub(crate) to_alice: SimulatorConnection,
}

pub(crate) async fn pair(network: &Network) -> Pair {
    let (alice, bob) = (provider(network, "alice"), provider(network, "bob"));
    let listener = listen(&bob).await;
    let to_bob = alice.connect(&bob.local_addr(), admitted()).await.expect("connected");
    let to_alice = listener.accept().await.expect("accepted");
    Pair { alice, bob, to_bob, to_alice }
}

/// Counts those that are there.
#[derive(Clone, Default)]
struct Present(Arc<AtomicUsize>);

struct Guard(Arc<AtomicUsize>);

impl Present {
    fn enter(&self) -> Guard {
        self.0.fetch_add(1, Ordering::Relaxed);
        Guard(self.0.clone())
    }

    fn count(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Does what the request says: `echo..`, `refuse`, `sleep` for 5 s, or `large` with so many bytes.
pub(crate) async fn obey(request: Request) -> Result<Bytes, Refusal> {
    match &request.body[..] {
        b"refuse" => Err(Refusal::new(404, "no such thing")),
        b"sleep" => {
            tokio::time::sleep(ms(5000)).await;
            Ok("slept".into())
        }
        b"large" => Ok(vec![7; 100_000].into()),
        _ => Ok(request.body),
    }
}

/// Eight peers that call each other, over small pools and within limits.
pub(crate) async fn between_many(network: &Network) {
    let traffic = TrafficLimits::default().with_bytes(RateLimit::per_second(20_000).expect("some"));
    let limits = Limits::default().with_per_peer(ScopeLimits::default().with_received(traffic));
    let pools: Vec<_> = (0..8)
        .map(|number| {
            let inner = provider(network, &format!("peer {number}"));
            let limited = Limited::new(inner, limits.clone()).expect("limits");
            let config = PoolConfig::default().with_max_connections(4).with_idle_timeout(ms(50));
            Pooled::new(limited, config).expect("bounds")
        })
        .collect();
    let mut servers = JoinSet::new();
    for pool in &pools {
        let listener = pool.listen(ListenOptions::new(protocol())).await.expect("listening");
        servers.spawn(async move {
            let mut served = JoinSet::new();
            while let Ok(accepted) = listener.accept().await {
                served.spawn(async move { serve(&accepted, obey, ServeOptions::default()).await });
            }
        });
    }
    let mut callers = JoinSet::new();
    for (number, pool) in pools.iter().enumerate() {
        for turn in 0..20 {
            let other = (number + 1 + turn % 7) % 8;
            let (pool, addr) = (pool.clone(), pools[other].local_addr());
            callers.spawn(async move {
                let body = Bytes::from(vec![turn as u8; 100 * turn]);
                loop {
                    match pool.connect(&addr, admitted()).await {
                        Ok(connection) => {
                            let response = call(&connection, body.clone(), CallOptions::default());
                            break assert_eq!(response.await.expect("a response"), body);
                        }
                        // All four places are in use.
                        Err(P2PError::LimitExceeded { .. }) => tokio::time::sleep(ms(5)).await,
                        Err(error) => panic!("{error}"),
                    }
                }
            });
        }
    }
    callers.join_all().await;
    for pool in &pools {
        pool.shutdown().await;
        assert_eq!(pool.connections(), 0);
    }
    servers.join_all().await;
}

pub(crate) fn serving(connection: &SimulatorConnection, options: ServeOptions) {
    let connection = connection.clone();
    tokio::spawn(async move { serve(&connection, obey, options).await });
}

#[test]
fn a_call_takes_one_round_trip_and_a_slow_one_holds_up_no_other() {
    simulate(async |network| {
        let pair = pair(&network).await;
        serving(&pair.to_alice, ServeOptions::default());
        let start = network.elapsed();
        let slow = tokio::spawn({
            let to_bob = pair.to_bob.clone();
            async move { call(&to_bob, "sleep".into(), CallOptions::default()).await }
        });
        for body in [&b""[..], b"hello", &[1; 4096], &[2; 4097]] {
            let start = network.elapsed();
            let body = Bytes::from_static(body);
            let response = call(&pair.to_bob, body.clone(), CallOptions::default()).await;
            assert_eq!(response.expect("a response"), body);
            assert_eq!(network.elapsed() - start, 2 * LATENCY);
        }
        assert_eq!(slow.await.expect("no panic").expect("a response"), "slept");
        assert_eq!(network.elapsed() - start, ms(5000) + 2 * LATENCY);
    });
}

#[test]
fn large_requests_and_responses_arrive_whole() {
    simulate(async |network| {
        let pair = pair(&network).await;
        serving(&pair.to_alice, ServeOptions::default());
        let body = Bytes::from_iter((0..1u32 << 20).map(|number| (number / 251) as u8));
        let response = call(&pair.to_bob, body.clone(), CallOptions::default()).await;
        assert_eq!(response.expect("a response"), body);
    });
}

#[test]
fn calls_go_both_ways_over_one_connection_and_hundreds_follow_each_other() {
    simulate(async |network| {
        let pair = pair(&network).await;
        serving(&pair.to_alice, ServeOptions::default());
        serving(&pair.to_bob, ServeOptions::default());
        // More than a peer may have open at once.
        for number in 0..300u32 {
            let body = Bytes::copy_from_slice(&number.to_be_bytes());
            let (one, other) = tokio::join!(
                call(&pair.to_bob, body.clone(), CallOptions::default()),
                call(&pair.to_alice, body.clone(), CallOptions::default()),
            );
            assert_eq!(
                (one.expect("a response"), other.expect("a response")),
                (body.clone(), body)
            );
        }
    });
}

#[test]
fn a_refusal_carries_its_code_and_its_text() {
    simulate(async |network| {
        let pair = pair(&network).await;
        serving(&pair.to_alice, ServeOptions::default());
        match call(&pair.to_bob, "refuse".into(), CallOptions::default()).await {
            Err(CallError::Refused(refusal)) => {
                assert_eq!(refusal, Refusal::new(404, "no such thing"));
            }
            other => panic!("{other:?}"),
        }
    });
}

#[test]
fn giving_a_call_up_drops_its_handler_at_the_other_side() {
    simulate(async |network| {
        let pair = pair(&network).await;
        let present = Present::default();
        let (to_alice, inside) = (pair.to_alice.clone(), present.clone());
        tokio::spawn(async move {
            let handler = move |_| {
                let guard = inside.enter();
                async move {
                    tokio::time::sleep(Duration::from_secs(3600)).await;
                    drop(guard);
                    Ok(Bytes::new())
                }
            };
            serve(&to_alice, handler, ServeOptions::default().with_max_concurrent(1)).await
        });
        for _ in 0..3 {
            let asking = call(&pair.to_bob, "x".into(), CallOptions::default());
            assert!(tokio::time::timeout(ms(500), asking).await.is_err());
            // The future is dropped now; the other side hears of it after the latency.
            tokio::time::sleep(LATENCY - ms(1)).await;
            assert_eq!(present.count(), 1);
            tokio::time::sleep(ms(2)).await;
            assert_eq!(present.count(), 0);
        }
    });
}

#[test]
fn the_deadline_travels_and_ends_both_sides() {
    simulate(async |network| {
        let pair = pair(&network).await;
        let present = Present::default();
        let (to_alice, inside) = (pair.to_alice.clone(), present.clone());
        tokio::spawn(async move {
            let handler = move |request: Request| {
                let guard = inside.enter();
                async move {
                    // One way has gone by, which nobody knows here.
                    assert_eq!(request.deadline - Instant::now(), ms(300));
                    tokio::time::sleep(Duration::from_secs(3600)).await;
                    drop(guard);
                    Ok(Bytes::new())
                }
            };
            serve(&to_alice, handler, ServeOptions::default()).await
        });
        let start = network.elapsed();
        let options = CallOptions::default().with_timeout(ms(300));
        match call(&pair.to_bob, "x".into(), options).await {
            Err(CallError::DeadlineExceeded { after }) => assert_eq!(after, ms(300)),
            other => panic!("{other:?}"),
        }
        assert_eq!(network.elapsed() - start, ms(300));
        assert_eq!(present.count(), 1);
        tokio::time::sleep(LATENCY + ms(1)).await;
        assert_eq!(present.count(), 0);
    });
}

#[test]
fn the_side_that_serves_has_a_deadline_of_its_own() {
    simulate(async |network| {
        let pair = pair(&network).await;
        serving(&pair.to_alice, ServeOptions::default().with_max_timeout(ms(200)));
        let start = network.elapsed();
        let outcome = call(&pair.to_bob, "sleep".into(), CallOptions::default()).await;
        match outcome {
            Err(CallError::DeadlineExceeded { after }) => assert_eq!(after, ms(200), "the peer's"),
            other => panic!("{other:?}"),
        }
        assert_eq!(network.elapsed() - start, ms(200) + 2 * LATENCY);
    });
}

#[test]
fn what_is_too_large_is_named_and_the_connection_goes_on() {
    simulate(async |network| {
        let pair = pair(&network).await;
        serving(&pair.to_alice, ServeOptions::default().with_max_request_size(1000));
        let options = CallOptions::default().with_max_response_size(99_999);
        for size in [1001, 3 << 20] {
            match call(&pair.to_bob, vec![0; size].into(), options).await {
                Err(CallError::RequestTooLarge { max, actual }) => {
                    assert_eq!((max, actual), (1000, size as u64));
                }
                other => panic!("{other:?}"),
            }
        }
        match call(&pair.to_bob, "large".into(), options).await {
            Err(CallError::ResponseTooLarge { max, actual }) => {
                assert_eq!((max, actual), (99_999, 100_000));
            }
            other => panic!("{other:?}"),
        }
        let fits = options.with_max_response_size(100_000);
        assert_eq!(call(&pair.to_bob, "large".into(), fits).await.expect("fits").len(), 100_000);
        let body = Bytes::from(vec![0; 1000]);
        assert_eq!(call(&pair.to_bob, body.clone(), options).await.expect("fits"), body);
    });
}

#[test]
fn one_call_too_many_is_told_so_and_places_come_back() {
    simulate(async |network| {
        let pair = pair(&network).await;
        serving(&pair.to_alice, ServeOptions::default().with_max_concurrent(2));
        let sleeping = || call(&pair.to_bob, "sleep".into(), CallOptions::default());
        let third = async {
            tokio::time::sleep(LATENCY).await;
            call(&pair.to_bob, "third".into(), CallOptions::default()).await
        };
        let (one, two, third) = tokio::join!(sleeping(), sleeping(), third);
        assert!(one.is_ok() && two.is_ok(), "{one:?}, {two:?}");
        match third {
            Err(error @ CallError::Busy { max: 2 }) => assert!(error.is_retryable()),
            other => panic!("{other:?}"),
        }
        call(&pair.to_bob, "later".into(), CallOptions::default()).await.expect("a response");
    });
}

#[test]
fn the_end_of_the_connection_ends_calls_handlers_and_serve() {
    simulate(async |network| {
        let pair = pair(&network).await;
        let present = Present::default();
        let (to_alice, inside) = (pair.to_alice.clone(), present.clone());
        let served = tokio::spawn(async move {
            let handler = move |_| {
                let guard = inside.enter();
                async move {
                    std::future::pending::<()>().await;
                    drop(guard);
                    Ok(Bytes::new())
                }
            };
            serve(&to_alice, handler, ServeOptions::default()).await
        });
        let closing = async {
            tokio::time::sleep(ms(100)).await;
            assert_eq!(present.count(), 1);
            pair.to_alice.close(6, "enough").await;
        };
        let asking = call(&pair.to_bob, "x".into(), CallOptions::default());
        let (outcome, ()) = tokio::join!(asking, closing);
        match outcome {
            Err(CallError::Connection(P2PError::Closed(end))) => assert_eq!(end.message, "enough"),
            other => panic!("{other:?}"),
        }
        let end = served.await.expect("no panic").expect("a plain close");
        assert_eq!(end.cause, CloseCause::Application(6));
        tokio::task::yield_now().await;
        assert_eq!(present.count(), 0);
        let late = call(&pair.to_bob, "x".into(), CallOptions::default()).await;
        assert!(matches!(late, Err(CallError::Connection(_))), "{late:?}");
    });
}

#[test]
fn who_stops_serving_breaks_off_what_is_at_work() {
    simulate(async |network| {
        let pair = pair(&network).await;
        let to_alice = pair.to_alice.clone();
        let served =
            tokio::spawn(async move { serve(&to_alice, obey, ServeOptions::default()).await });
        let stopping = async {
            tokio::time::sleep(ms(100)).await;
            served.abort();
        };
        let asking = call(&pair.to_bob, "sleep".into(), CallOptions::default());
        let (outcome, ()) = tokio::join!(asking, stopping);
        assert!(matches!(outcome, Err(CallError::BrokenOff(_))), "{outcome:?}");
        // And the connection lives on.
        serving(&pair.to_alice, ServeOptions::default());
        call(&pair.to_bob, "again".into(), CallOptions::default()).await.expect("a response");
    });
}

#[test]
fn a_handler_that_panics_breaks_off_its_own_call_only() {
    simulate(async |network| {
        let pair = pair(&network).await;
        let to_alice = pair.to_alice.clone();
        tokio::spawn(async move {
            let handler = async |request: Request| match &request.body[..] {
                b"panic" => panic!("as the request wants it"),
                _ => obey(request).await,
            };
            serve(&to_alice, handler, ServeOptions::default().with_max_concurrent(2)).await
        });
        let (slow, broken) = tokio::join!(
            call(&pair.to_bob, "sleep".into(), CallOptions::default()),
            call(&pair.to_bob, "panic".into(), CallOptions::default()),
        );
        assert_eq!(slow.expect("a response"), "slept");
        assert!(matches!(broken, Err(CallError::BrokenOff(_))), "{broken:?}");
        call(&pair.to_bob, "again".into(), CallOptions::default()).await.expect("a response");
    });
}

#[test]
fn calls_go_over_any_connection() {
    simulate(async |network| {
        let pair = pair(&network).await;
        let served = AnyConnection::new(pair.to_alice.clone());
        tokio::spawn(async move { serve(&served, obey, ServeOptions::default()).await });
        let behind_a_pointer = AnyConnection::new(pair.to_bob.clone());
        let response = call(&behind_a_pointer, "any".into(), CallOptions::default()).await;
        assert_eq!(response.expect("a response"), "any");
        // Shared, and within limits: what is composed is a provider again.
        let listener = listen(&pair.bob).await;
        tokio::spawn(async move {
            let accepted = listener.accept().await.expect("accepted");
            serve(&accepted, obey, ServeOptions::default()).await
        });
        let limited = Limited::new(pair.alice.clone(), Limits::default()).expect("limits");
        let pooled = Pooled::new(limited, PoolConfig::default()).expect("bounds");
        for _ in 0..3 {
            let shared =
                pooled.connect(&pair.bob.local_addr(), admitted()).await.expect("connected");
            let response = call(&shared, "both".into(), CallOptions::default()).await;
            assert_eq!(response.expect("a response"), "both");
        }
    });
}

#[test]
fn values_that_cannot_be_meant_are_named() {
    simulate(async |network| {
        let pair = pair(&network).await;
        for (options, words) in [
            (CallOptions::default().with_timeout(ms(0)), "timeout is 0ns: it must be"),
            (CallOptions::default().with_timeout(Duration::MAX), "timeout is 18446744073709551615"),
            (CallOptions::default().with_max_response_size(0), "max_response_size is 0: it must"),
        ] {
            match call(&pair.to_bob, "x".into(), options).await {
                Err(CallError::Config(error)) => assert!(error.to_string().starts_with(words)),
                other => panic!("{other:?}"),
            }
        }
        for (options, words) in [
            (ServeOptions::default().with_max_concurrent(0), "max_concurrent is 0: it must be"),
            (ServeOptions::default().with_max_request_size(usize::MAX), "max_request_size is 1844"),
            (ServeOptions::default().with_max_timeout(ms(0)), "max_timeout is 0ns: it must be"),
        ] {
            match serve(&pair.to_alice, obey, options).await {
                Err(P2PError::Config(error)) => assert!(error.to_string().starts_with(words)),
                other => panic!("{other:?}"),
            }
        }
    });
}
