//! Which paths connections may take, with a relay of one's own.

use std::time::Duration;

use bytes::Bytes;
use p2p_core::{
    CloseCause, ClosedBy, ConnectionConfig, P2PConnection, P2PError, P2PListener, P2PProvider,
    PathKind, PathPolicy, PeerAddr,
};
use p2p_iroh::{DirectPaths, IrohConfig};

use crate::support::{Relay, listen, loopback, options, pair, within};

/// What a peer says who knows of another only its relay.
fn at_relay(node: &impl P2PProvider) -> PeerAddr {
    let by_name = PeerAddr::new(node.local_peer_id());
    node.local_addr().relays().cloned().fold(by_name, PeerAddr::with_relay)
}

#[tokio::test]
async fn a_node_without_direct_paths_talks_over_its_relay_and_nothing_else() {
    let relay = Relay::spawn().await;
    let hidden = relay.join(IrohConfig::default()).with_direct_paths(DirectPaths::Forbid);
    let host = within(hidden.bind()).await.expect("bound");
    assert_eq!(host.local_addr().addresses().len(), 0, "{:?}", host.local_addr());
    let guest = within(relay.join(loopback()).bind()).await.expect("bound");
    let only = PathPolicy::RelayOnly;
    let listener = host.listen(listen().with_path_policy(only)).await.expect("listening");
    let (met, options) = (host.local_addr(), options().with_path_policy(only));
    let meeting = async { tokio::join!(guest.connect(&met, options), listener.accept()) };
    let (near, far) = within(meeting).await;
    let (near, far) = (near.expect("connected"), far.expect("accepted"));
    // Longer than two nodes on one machine need to find a direct path.
    let end = tokio::time::timeout(Duration::from_secs(3), near.closed()).await;
    assert!(end.is_err(), "{end:?}");
    assert_eq!((near.path().kind, far.path().kind), (PathKind::Relayed, PathKind::Relayed));
    near.send(Bytes::from_static(b"over the relay")).await.expect("sent");
    assert_eq!(within(far.recv()).await.expect("received"), "over the relay");
    host.shutdown().await;
    guest.shutdown().await;
}

#[tokio::test]
async fn who_requires_a_direct_path_and_gets_none_is_told_and_tells_the_peer() {
    let relay = Relay::spawn().await;
    let hidden = relay.join(IrohConfig::default()).with_direct_paths(DirectPaths::Forbid);
    let host = within(hidden.bind()).await.expect("bound");
    let guest = within(relay.join(loopback()).bind()).await.expect("bound");
    let listener = host.listen(listen()).await.expect("listening");
    let strict = PathPolicy::RequireDirect { grace: Duration::from_secs(1) };
    let (met, options) = (host.local_addr(), options().with_path_policy(strict));
    let meeting = async { tokio::join!(guest.connect(&met, options), listener.accept()) };
    let (near, far) = within(meeting).await;
    let (near, far) = (near.expect("connected"), far.expect("accepted"));
    for (end, by) in [(&near, ClosedBy::Local), (&far, ClosedBy::Peer)] {
        let reason = within(end.closed()).await;
        assert_eq!((reason.by, reason.cause), (by, CloseCause::PathPolicy), "{reason}");
        assert!(reason.message.contains("no direct path for 1s (now: relay)"), "{reason}");
    }
    host.shutdown().await;
    guest.shutdown().await;
}

#[tokio::test]
async fn a_direct_path_found_in_time_satisfies_who_requires_one_and_ends_who_wants_none() {
    let relay = Relay::spawn().await;
    let host = within(relay.join(loopback()).bind()).await.expect("bound");
    let listener = host.listen(listen()).await.expect("listening");
    let met = at_relay(&host);

    let guest = within(relay.join(loopback()).bind()).await.expect("bound");
    let strict = PathPolicy::RequireDirect { grace: Duration::from_secs(15) };
    let strict = options().with_path_policy(strict);
    let meeting = async { tokio::join!(guest.connect(&met, strict), listener.accept()) };
    let (near, far) = within(meeting).await;
    let (near, _far) = (near.expect("connected"), far.expect("accepted"));
    let mut events = near.path_events();
    while within(events.next()).await.expect("it lives").kind != PathKind::Direct {}
    assert!(near.is_connected());

    // Another node, which has not found the way yet.
    let shy = within(relay.join(loopback()).bind()).await.expect("bound");
    let only = options().with_path_policy(PathPolicy::RelayOnly);
    let near = within(shy.connect(&met, only)).await.expect("connected over the relay");
    let reason = within(near.closed()).await;
    assert_eq!((reason.by, reason.cause), (ClosedBy::Local, CloseCause::PathPolicy), "{reason}");
    for node in [host, guest, shy] {
        node.shutdown().await;
    }
}

#[tokio::test]
async fn a_configuration_that_cannot_be_meant_is_named() {
    type With = fn(IrohConfig, u32) -> IrohConfig;
    let nowhere = IrohConfig::default().with_direct_paths(DirectPaths::Forbid);
    let error = nowhere.bind().await.expect_err("neither directly nor over a relay");
    assert!(matches!(&error, P2PError::Config(error) if error.setting == "relays"), "{error}");
    let silent = ConnectionConfig::default().with_max_streams(0);
    let error = loopback().with_connection(silent).bind().await.expect_err("no streams");
    assert_eq!(error.to_string(), "max_streams is 0: it must be at least 1");
    let windows: [(_, With); 3] = [
        ("stream_window", IrohConfig::with_stream_window),
        ("receive_window", IrohConfig::with_receive_window),
        ("send_window", IrohConfig::with_send_window),
    ];
    for (setting, with) in windows {
        for bytes in [0, IrohConfig::MIN_WINDOW - 1, (1 << 30) + 1, u32::MAX] {
            let error = with(loopback(), bytes).bind().await.expect_err("no such window");
            let P2PError::Config(error) = error else { panic!("{setting} {bytes}: {error}") };
            assert_eq!((error.setting, error.value), (setting, bytes.to_string()));
        }
    }
}

#[tokio::test]
async fn with_the_smallest_windows_everything_arrives() {
    let smallest = || {
        loopback()
            .with_stream_window(IrohConfig::MIN_WINDOW)
            .with_receive_window(IrohConfig::MIN_WINDOW)
            .with_send_window(IrohConfig::MIN_WINDOW)
    };
    let (near, far, _nodes) = pair(smallest(), smallest()).await;
    let message = Bytes::from(vec![7; 500_000]);
    let sent = async { near.send(message.clone()).await.expect("sent") };
    let (_, received) = within(async { tokio::join!(sent, far.recv()) }).await;
    assert!(received.expect("received") == message);
}
