//! Same seed, same run: in one process, and in two.

use std::process::Command;
use std::time::Duration;

use bytes::Bytes;
use p2p_core::P2PConnection;
use p2p_simulator::{LinkProfile, Outcome, Simulation, TraceHash};

use crate::pair;

/// Set in the process that is to print its hash and do nothing else.
const CHILD: &str = "P2P_SIMULATOR_TEST_CHILD";

/// Two hosts, a lossy link, messages both ways, datagrams, timers, a cut and a repair.
fn eventful(seed: u64) -> Outcome<u64> {
    let link = LinkProfile::new()
        .with_latency(Duration::from_micros(40_123))
        .with_jitter(Duration::from_micros(7_777))
        .with_loss(0.05)
        .with_bandwidth(20_000_000);
    let run = Simulation::new(seed).with_link(link).with_recording(100_000).run(async |network| {
        let pair = pair(network).await.expect("a connection");
        let mut tasks = Vec::new();
        for connection in [pair.dialled.clone(), pair.accepted.clone()] {
            tasks.push(tokio::spawn(async move {
                for number in 0..500u64 {
                    let payload = vec![number as u8; (number * 7 % 3000) as usize];
                    let _ = connection.send_datagram(Bytes::from(vec![1; number as usize]));
                    connection.send(payload.into()).await.expect("sent");
                    tokio::time::sleep(Duration::from_micros(number % 5 * 700)).await;
                }
                number_of(&connection).await
            }));
        }
        let [alice, bob] = &pair.hosts;
        tokio::time::sleep(Duration::from_millis(300)).await;
        pair.network.partition([alice], [bob]);
        tokio::time::sleep(Duration::from_millis(300)).await;
        pair.network.repair([alice], [bob]);
        let mut sum = 0;
        for task in tasks {
            sum += task.await.expect("the task ends");
        }
        sum
    });
    run.expect("a run")
}

/// Receives 500 messages and adds up their bytes.
async fn number_of(connection: &impl P2PConnection) -> u64 {
    let mut bytes = 0;
    for _ in 0..500 {
        bytes += connection.recv().await.expect("received").len() as u64;
    }
    bytes
}

#[test]
fn the_same_seed_gives_the_same_trace() {
    let (first, second) = (eventful(11), eventful(11));
    let differs = first.recorded.iter().zip(&second.recorded).position(|(a, b)| a != b);
    assert_eq!(differs, None, "the first event that differs");
    assert_eq!(first.trace_hash, second.trace_hash);
    assert_eq!((first.output, first.elapsed), (second.output, second.elapsed));
    assert!(first.trace_count > 4000, "something happened: {}", first.trace_count);
}

#[test]
fn another_seed_gives_another_trace() {
    let hashes: Vec<TraceHash> = (0..5).map(|seed| eventful(seed).trace_hash).collect();
    for (i, hash) in hashes.iter().enumerate() {
        assert!(!hashes[..i].contains(hash), "seeds {:?}", hashes);
    }
}

#[test]
fn two_processes_give_the_same_trace() {
    let hash = eventful(23).trace_hash.to_string();
    if std::env::var_os(CHILD).is_some() {
        println!("trace {hash}");
        return;
    }
    let name = "repeatable::two_processes_give_the_same_trace";
    for _ in 0..2 {
        let child = Command::new(std::env::current_exe().expect("this binary"))
            .args(["--exact", name, "--nocapture"])
            .env(CHILD, "1")
            .output()
            .expect("the child runs");
        let printed = String::from_utf8_lossy(&child.stdout);
        assert!(printed.contains(&format!("trace {hash}")), "expected {hash} in: {printed}");
    }
}
