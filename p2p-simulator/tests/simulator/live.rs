//! The live driver: the same network on an ordinary runtime.

use std::time::Duration;

use p2p_core::P2PConnection;
use p2p_simulator::{LinkProfile, Network, NetworkConfig};
use tokio::time::Instant;

use crate::pair;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_live_network_takes_wall_clock_time() {
    let mut config = NetworkConfig::new(1);
    config.link = LinkProfile::new().with_latency(Duration::from_millis(20));
    let pair = pair(Network::live(&config)).await.expect("a connection");
    let begun = Instant::now();
    pair.dialled.send("hello".into()).await.expect("sent");
    assert_eq!(pair.accepted.recv().await.expect("received"), "hello");
    // Never early; how late, the machine decides.
    assert!(begun.elapsed() >= Duration::from_millis(20), "{:?}", begun.elapsed());
    pair.dialled.close(3, "bye").await;
    assert_eq!(pair.accepted.closed().await.message, "bye");
}

#[tokio::test]
async fn a_live_network_ends_with_its_handles() {
    let network = Network::live(&NetworkConfig::new(1));
    let before = tokio::runtime::Handle::current().metrics().num_alive_tasks();
    assert_eq!(before, 1, "the driver");
    drop(network);
    while tokio::runtime::Handle::current().metrics().num_alive_tasks() > 0 {
        tokio::task::yield_now().await;
    }
}
