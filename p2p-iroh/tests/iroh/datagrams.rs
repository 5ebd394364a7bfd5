//! Datagrams that the transport does not get rid of in time.

use std::time::Duration;

use bytes::Bytes;
use p2p_core::P2PConnection;

use crate::support::{loopback, pair, within};

#[tokio::test]
async fn datagrams_that_never_leave_are_counted_where_they_were_sent() {
    const FLOOD: u64 = 5000;
    let (near, far, _nodes) = pair(loopback(), loopback()).await;
    let size = near.max_datagram_size().expect("datagrams are on");
    // On a runtime of one thread nothing leaves before this waits: more than the transport keeps.
    for _ in 0..FLOOD {
        near.send_datagram(Bytes::from(vec![7; size])).expect("sent");
    }
    assert_eq!(near.stats().datagrams_sent, FLOOD);
    // When what it kept has left, what comes of it comes, and is taken.
    let mut came = 0;
    while tokio::time::timeout(Duration::from_secs(1), far.recv_datagram()).await.is_ok() {
        came += 1;
    }
    let (here, there) = (near.stats(), far.stats());
    assert!(here.datagrams_dropped > FLOOD / 2, "{here:?}");
    assert!(came > 0 && here.datagrams_dropped + came <= FLOOD, "{came} came: {here:?}");
    assert_eq!(there.datagrams_received, came);
    near.send(Bytes::from_static(b"after the flood")).await.expect("sent");
    assert_eq!(within(far.recv()).await.expect("received"), "after the flood");
}
