//! That QUIC hears of priorities: where a link is too narrow for all, what is urgent goes first.

use std::net::Ipv6Addr;

use bytes::Bytes;
use p2p_core::{P2PConnection, P2PListener, P2PProvider, PeerAddr, Priority};
use p2p_iroh::IrohConfig;

use crate::support::shaper::Shaper;
use crate::support::{listen, loopback, options, within};

/// Of each priority: 3 MiB, more than all queues on the way hold together.
const MESSAGES: usize = 768;
const MESSAGE: Bytes = Bytes::from_static(&[7; 4096]);

#[tokio::test(flavor = "multi_thread")]
async fn realtime_messages_overtake_bulk_on_a_link_too_narrow_for_both() {
    let far_only = IrohConfig::default().with_bind_address((Ipv6Addr::LOCALHOST, 0).into());
    let (guest, host) = (loopback().bind().await, far_only.bind().await);
    let (guest, host) = (guest.expect("bound"), host.expect("bound"));
    let listener = host.listen(listen()).await.expect("listening");
    let exit = host.local_addr().addresses().next().expect("bound");
    let shaper = Shaper::start(exit).await;
    let entrance = PeerAddr::new(host.local_peer_id()).with_address(shaper.entrance());
    let meeting = async { tokio::join!(guest.connect(&entrance, options()), listener.accept()) };
    let (near, far) = within(meeting).await;
    let (near, far) = (near.expect("connected"), far.expect("accepted"));

    let flood = |priority| {
        let near = near.clone();
        tokio::spawn(async move {
            for _ in 0..MESSAGES {
                near.send_with(priority, MESSAGE).await.expect("sent");
            }
        })
    };
    let bulk_flood = flood(Priority::Bulk);
    // Not before bulk has begun to come, so that it is there to be overtaken.
    let first = within(far.recv_message()).await.expect("received");
    assert_eq!(first.priority, Priority::Bulk);
    let realtime_flood = flood(Priority::Realtime);
    let (mut bulk, mut realtime) = (1, 0);
    while realtime < MESSAGES {
        match within(far.recv_message()).await.expect("received").priority {
            Priority::Bulk => bulk += 1,
            _ => realtime += 1,
        }
    }
    // With equal priorities all of it would have come.
    println!("{bulk} of {MESSAGES} bulk messages came before the last realtime one");
    assert!(bulk < MESSAGES * 2 / 5, "{bulk} of {MESSAGES} bulk messages were not overtaken");
    // What was overtaken still comes.
    while bulk < MESSAGES {
        within(far.recv_message()).await.expect("received");
        bulk += 1;
    }
    within(async { tokio::join!(bulk_flood, realtime_flood) }).await.0.expect("no panic");
    near.close(0, "done").await;
}
