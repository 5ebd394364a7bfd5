//! Urgent messages beside a lane that is full.

use std::time::Duration;

use bytes::Bytes;
use p2p_core::{P2PConnection, Priority};
use p2p_simulator::{LinkProfile, Simulation};
use tokio::time::{Instant, sleep};

use crate::pair;

/// How long the bottleneck's queue can become.
const QUEUE: Duration = Duration::from_millis(100);

#[test]
fn an_urgent_message_waits_for_the_bottleneck_and_not_for_bulk_at_its_sender() {
    let link = LinkProfile::new()
        .with_latency(Duration::from_millis(20))
        .with_bandwidth(20_000_000)
        .with_queue(QUEUE);
    let run = Simulation::new(11).with_link(link).run(async |network| {
        let pair = pair(network).await.expect("a connection");
        let (bulk, urgent) = (pair.dialled.clone(), pair.dialled.clone());
        tokio::spawn(async move {
            while bulk.send_with(Priority::Bulk, Bytes::from(vec![1; 16 * 1024])).await.is_ok() {}
        });
        let echo = pair.accepted.clone();
        tokio::spawn(async move {
            while let Ok(message) = echo.recv_message().await {
                if message.priority == Priority::Realtime
                    && echo.send_with(Priority::Realtime, message.payload).await.is_err()
                {
                    break;
                }
            }
        });
        sleep(Duration::from_secs(2)).await;
        let (mut trips, mut waits) = (Vec::new(), Vec::new());
        for number in 0..500_u32 {
            let start = Instant::now();
            let message = Bytes::copy_from_slice(&number.to_be_bytes());
            urgent.send_with(Priority::Realtime, message.clone()).await.expect("sent");
            waits.push(start.elapsed());
            assert_eq!(urgent.recv().await.expect("an echo"), message);
            trips.push(start.elapsed());
            sleep(Duration::from_millis(20)).await;
        }
        trips.sort_unstable();
        waits.sort_unstable();
        let bulk = pair.accepted.stats().message_bytes_received;
        (trips[250], trips[494], waits[494], bulk)
    });
    let (p50, p99, waited, bulk) = run.expect("a run").output;
    assert!(bulk > 10_000_000, "the lane was not full: {bulk} bytes");
    assert!(waited <= Duration::from_millis(1), "{waited:?} at the sender");
    assert!(p99 <= Duration::from_millis(40 + 5) + QUEUE, "p99 {p99:?}, p50 {p50:?}");
}
