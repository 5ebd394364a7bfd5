//! How fast the engine is under a program: run by hand, in release, one test at a time.
//!
//! `cargo test --release -p p2p-simulator --test simulator model_speed -- --ignored --nocapture
//! --test-threads=1` prints what one second of one processor does.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use p2p_core::{
    ConnectionConfig, ListenOptions, P2PConnection, P2PListener, P2PProvider, RecvStream,
    SendStream,
};
use p2p_simulator::Simulation;
use tokio::sync::Semaphore;

use crate::{connect, pair, protocol};

/// Measures by the time that this thread had a processor, as Linux counts it.
fn timed(name: &str, what: &str, work: impl FnOnce() -> f64) {
    let begun = cpu_seconds();
    let done = work();
    println!("{name}: {:.0} {what}", done / (cpu_seconds() - begun));
}

fn cpu_seconds() -> f64 {
    let spent = std::fs::read_to_string("/proc/thread-self/schedstat").expect("Linux");
    let nanos: f64 = spent.split(' ').next().and_then(|n| n.parse().ok()).expect("a number");
    nanos / 1e9
}

/// Messages of `size` bytes on a raw stream, at most 64 in flight, credits given by the reader.
fn stream_messages(size: usize, count: usize) -> f64 {
    let run = Simulation::new(1).run(async |network| {
        let pair = pair(network).await.expect("a connection");
        let (mut send, _near) = pair.dialled.open_stream().await.expect("opened");
        let credit = Arc::new(Semaphore::new(64));
        let taken = credit.clone();
        let writer = tokio::spawn(async move {
            let message = Bytes::from(vec![7; size]);
            for _ in 0..count {
                taken.acquire().await.expect("open").forget();
                send.write_all(message.clone()).await.expect("written");
            }
            send.finish().expect("finished");
            send.finished().await.expect("received");
        });
        let (_far, mut recv) = pair.accepted.accept_stream().await.expect("accepted");
        let mut bytes = 0;
        while let Some(chunk) = recv.read_chunk(usize::MAX).await.expect("read") {
            bytes += chunk.len();
            credit.add_permits(1);
        }
        writer.await.expect("no panic");
        bytes
    });
    assert_eq!(run.expect("a run").output, size * count);
    count as f64
}

#[test]
#[ignore = "a measurement"]
fn model_speed_stream_64() {
    timed("stream 64 B", "messages/s", || stream_messages(64, 3_000_000));
}

#[test]
#[ignore = "a measurement"]
fn model_speed_stream_1k() {
    timed("stream 1 KiB", "messages/s", || stream_messages(1024, 2_000_000));
}

#[test]
#[ignore = "a measurement"]
fn model_speed_ping_pong() {
    timed("ping-pong", "messages/s", || {
        let rounds = 400_000;
        let run = Simulation::new(1).run(async |network| {
            let pair = pair(network).await.expect("a connection");
            let (mut near_send, mut near_recv) = pair.dialled.open_stream().await.expect("opened");
            near_send.write_all(Bytes::from_static(&[1; 64])).await.expect("written");
            let (mut far_send, mut far_recv) =
                pair.accepted.accept_stream().await.expect("accepted");
            tokio::spawn(async move {
                while let Ok(Some(chunk)) = far_recv.read_chunk(usize::MAX).await {
                    far_send.write_all(chunk).await.expect("written");
                }
            });
            for _ in 0..rounds {
                let chunk = near_recv.read_chunk(usize::MAX).await.expect("read").expect("more");
                near_send.write_all(chunk).await.expect("written");
            }
        });
        run.expect("a run");
        2.0 * rounds as f64
    });
}

#[test]
#[ignore = "a measurement"]
fn model_speed_hosts_1000() {
    // Each host has a raw stream to the next one, and sends 64 bytes each second.
    timed("1000 hosts", "virtual s/s", || {
        let seconds = 600;
        let run = Simulation::new(1).run(async |network| {
            let mut providers = Vec::new();
            for number in 0..1000 {
                let host = network.host(&number.to_string());
                providers.push(host.provider(ConnectionConfig::default()).expect("free"));
            }
            let mut held = Vec::new();
            for number in 0..1000 {
                let (near, far) = (&providers[number], &providers[(number + 1) % 1000]);
                let listener = far.listen(ListenOptions::new(protocol())).await.expect("listens");
                let dialled = connect(near, far).await.expect("connected");
                let accepted = listener.accept().await.expect("accepted");
                let (mut send, near_recv) = dialled.open_stream().await.expect("opened");
                send.write_all(Bytes::from_static(b"first")).await.expect("written");
                let (far_send, mut recv) = accepted.accept_stream().await.expect("accepted");
                tokio::spawn(async move { while let Ok(Some(_)) = recv.read_chunk(4096).await {} });
                tokio::spawn(async move {
                    tokio::time::sleep(Duration::from_micros(number as u64 * 997)).await;
                    loop {
                        tokio::time::sleep(Duration::from_secs(1)).await;
                        if send.write_all(Bytes::from_static(&[1; 64])).await.is_err() {
                            return;
                        }
                    }
                });
                held.push((dialled, accepted, near_recv, far_send));
            }
            tokio::time::sleep(Duration::from_secs(seconds)).await;
        });
        run.expect("a run");
        seconds as f64
    });
}
