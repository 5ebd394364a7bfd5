//! Determinism is broken here on purpose, and what the check says is read.

#![allow(clippy::disallowed_types)] // A HashMap's order is one of the things that must be found.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use p2p_core::P2PConnection;
use p2p_simulator::{DeterminismError, Difference, LinkProfile, Network, Outcome, Simulation};
use tokio::time::sleep;

use crate::pair;

/// Runs a program twice that differs, and returns what is said about it.
fn difference<T, F: Future<Output = T>>(program: impl Fn(Network) -> F) -> Difference {
    match Simulation::new(5).check_determinism(program) {
        Err(DeterminismError::Differs(difference)) => *difference,
        Err(other) => panic!("another error: {other}"),
        Ok(_) => panic!("the difference was not seen"),
    }
}

/// The bytes that the event carried, as text.
fn payload(event: Option<p2p_simulator::TraceEvent>) -> String {
    let event = event.expect("both runs have an event there");
    String::from_utf8_lossy(event.payload.start()).into_owned()
}

async fn eventful(network: Network) -> u32 {
    let pair = pair(network).await.expect("a connection");
    for number in 0..50 {
        pair.dialled.send(format!("message {number}").into()).await.expect("sent");
        pair.accepted.recv().await.expect("received");
        sleep(Duration::from_micros(number * 300)).await;
    }
    50
}

#[test]
fn a_deterministic_program_passes_with_its_usual_hash() {
    let link = LinkProfile::new().with_jitter(Duration::from_micros(777)).with_loss(0.1);
    let simulation = Simulation::new(5).with_link(link);
    let checked = simulation.check_determinism(eventful).expect("nothing differs");
    assert_eq!(checked.output, 50);
    let plain = simulation.run(eventful).expect("a run");
    assert_eq!(plain.trace_hash, checked.trace_hash, "looking on changes nothing");
    assert_eq!(plain.trace_count, checked.trace_count);
}

#[test]
fn the_order_of_a_hash_map_is_found_where_it_first_shows() {
    let found = difference(async |network| {
        let pair = pair(network).await.expect("a connection");
        pair.dialled.send("before".into()).await.expect("sent");
        // 64 entries: that two orders agree even in the first is 1 in 64, in all of them never.
        let map: HashMap<u32, ()> = (0..64).map(|key| (key, ())).collect();
        for key in map.keys() {
            pair.dialled.send(format!("key {key}").into()).await.expect("sent");
        }
    });
    let (first, second) = (payload(found.trace.first), payload(found.trace.second));
    assert!(first.contains("key") && second.contains("key") && first != second, "{found}");
    let text = found.to_string();
    assert!(text.contains("seed 5") && text.contains("alice -> bob"), "{text}");
    assert!(text.contains("before") && text.contains("first  run"), "with context: {text}");
}

#[test]
fn an_unbiased_select_is_found() {
    let program = async |network: Network| {
        let pair = pair(network).await.expect("a connection");
        for round in 0..64 {
            // Both are ready: tokio draws which it takes. 64 equal draws do not happen.
            let taken = tokio::select! {
                () = std::future::ready(()) => "left",
                () = std::future::ready(()) => "right",
            };
            pair.dialled.send(format!("{taken} in round {round}").into()).await.expect("sent");
        }
    };
    if cfg!(tokio_unstable) {
        let checked = Simulation::new(5).check_determinism(program);
        assert!(checked.is_ok(), "the simulation has seeded it");
        return;
    }
    let found = difference(program);
    let (first, second) = (payload(found.trace.first), payload(found.trace.second));
    assert!(first.contains("round") && second.contains("round"), "{found}");
}

#[test]
fn an_address_that_is_sent_is_found() {
    let found = difference(async |network| {
        let pair = pair(network).await.expect("a connection");
        let place = Box::new(7u64);
        pair.dialled.send(format!("at {:p}", &raw const *place).into()).await.expect("sent");
    });
    assert!(payload(found.trace.first).contains("at 0x"), "{found}");
}

#[test]
fn a_counter_that_outlives_the_run_is_found() {
    static COUNTER: AtomicU64 = AtomicU64::new(0);
    let found = difference(async |network| {
        network.host("alice");
        network.note(&format!("request {}", COUNTER.fetch_add(1, Ordering::Relaxed)));
    });
    assert_eq!(payload(found.trace.first), "request 0");
    assert_eq!(payload(found.trace.second), "request 1");
    // The host is the first thing that happens, the note the second.
    assert_eq!((found.trace.number, found.trace.before.len()), (1, 1));
}

#[test]
fn a_timer_that_differs_is_found_though_nothing_is_sent() {
    static ROUND: AtomicU64 = AtomicU64::new(0);
    let found = difference(async |_| {
        sleep(Duration::from_millis(3)).await;
        sleep(Duration::from_millis(10 + ROUND.fetch_add(1, Ordering::Relaxed))).await;
    });
    let text = found.to_string();
    assert!(text.contains("all tasks wait") && text.contains("13.000000 ms"), "{text}");
}

#[test]
fn a_difference_late_in_a_long_run_is_found() {
    static ROUND: AtomicU64 = AtomicU64::new(0);
    let found = difference(async |network| {
        let odd = ROUND.fetch_add(1, Ordering::Relaxed) % 2;
        // More than the 32 768 events that the first look keeps.
        for number in 0..200_000u64 {
            let differs = if number == 123_456 { odd } else { 0 };
            network.note(&format!("{number} {differs}"));
        }
    });
    assert_eq!(payload(found.trace.first), "123456 0");
    assert_eq!(payload(found.trace.second), "123456 1");
    assert_eq!(payload(found.trace.before.last().copied()), "123455 0");
}

#[test]
fn equal_traces_with_different_ends_are_told_apart() {
    static ROUND: AtomicU64 = AtomicU64::new(0);
    let checked = Simulation::new(5).check_determinism(async |_| {
        assert_eq!(ROUND.fetch_add(1, Ordering::Relaxed), 0, "only once");
    });
    let error = checked.map(|_: Outcome<()>| ()).expect_err("the second run panics").to_string();
    assert!(error.contains("the program ended") && error.contains("only once"), "{error}");
}

/// One hash for debug and release, and for every machine.
///
/// It changes whenever the model, the trace or the core's protocol does. To renew it, run this test
/// in both builds (`cargo test -p p2p-simulator golden`, and once more with `--release`), see that
/// both print the same, and put it here.
#[test]
fn the_golden_hash_is_the_same_in_every_build() {
    let link = LinkProfile::new()
        .with_latency(Duration::from_micros(1_234))
        .with_jitter(Duration::from_micros(777))
        .with_loss(0.1)
        .with_bandwidth(10_000_000);
    let run = Simulation::new(5).with_link(link).run(eventful).expect("a run");
    assert_eq!(run.trace_hash.to_string(), "832d1a6d3154b58f258467bbe4021659");
}
