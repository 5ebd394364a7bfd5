//! Paths that change, and connections that may not take any.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use p2p_core::{
    CloseCause, CloseReason, ClosedBy, ConnectOptions, ConnectionConfig, ListenOptions, Node,
    P2PConnection, P2PError, P2PListener, P2PProvider, PathInfo, PathPolicy, ProtocolName,
    ReconnectPolicy, SecretKey,
};
use tokio::time::Instant;

use super::link::direct_path;
use super::transport::{Loopback, Network};

const GRACE: Duration = Duration::from_secs(5);
const STRICT: PathPolicy = PathPolicy::RequireDirect { grace: GRACE };

fn relayed() -> PathInfo {
    PathInfo::relayed("https://relay.example".parse().expect("a URL"), None)
}

fn protocol() -> ProtocolName {
    "test/1".parse().expect("a name")
}

fn node(network: &Arc<Network>, number: u8, config: ConnectionConfig) -> Node<Loopback> {
    let id = SecretKey::from_bytes(&[number; 32]).peer_id();
    Node::new(network.join(id, &config), config, [])
}

type Connection = <Node<Loopback> as P2PProvider>::Connection;

/// Two ends of a connection, of which the first dialled, and who keeps them alive.
async fn pair(
    network: &Arc<Network>,
    dialler: PathPolicy,
    acceptor: PathPolicy,
    config: ConnectionConfig,
) -> (Connection, Connection) {
    let (near, far) = (node(network, 1, config.clone()), node(network, 2, config));
    let options = ListenOptions::new(protocol()).with_path_policy(acceptor);
    let listener = far.listen(options).await.expect("listening");
    let options = ConnectOptions::new(protocol()).with_path_policy(dialler);
    let addr = far.local_addr();
    let (near, far) = tokio::join!(near.connect(&addr, options), listener.accept());
    (near.expect("connected"), far.expect("accepted"))
}

fn is_policy(reason: &CloseReason, by: ClosedBy, words: &str) {
    assert_eq!((reason.by, reason.cause), (by, CloseCause::PathPolicy), "{reason}");
    assert!(reason.message.contains(words), "{reason}");
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_never_becomes_direct_ends_after_its_grace() {
    let network = Arc::new(Network::default());
    network.take_path(relayed());
    let start = Instant::now();
    let any = PathPolicy::PreferDirect;
    let (near, far) = pair(&network, STRICT, any, ConnectionConfig::default()).await;
    near.send(Bytes::from_static(b"meanwhile")).await.expect("it lives");
    assert_eq!(far.recv().await.expect("it lives"), "meanwhile");
    is_policy(&near.closed().await, ClosedBy::Local, "no direct path for 5s (now: relay)");
    assert_eq!(start.elapsed(), GRACE);
    is_policy(&far.closed().await, ClosedBy::Peer, "no direct path for 5s");
    for end in [&near, &far] {
        let error = end.send(Bytes::new()).await.expect_err("it has ended");
        assert!(
            matches!(&error, P2PError::Closed(reason) if reason.cause == CloseCause::PathPolicy),
            "{error:?}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn the_side_that_accepted_has_its_policy_too() {
    let network = Arc::new(Network::default());
    network.take_path(relayed());
    let any = PathPolicy::PreferDirect;
    let (near, far) = pair(&network, any, STRICT, ConnectionConfig::default()).await;
    is_policy(&far.closed().await, ClosedBy::Local, "no direct path");
    is_policy(&near.closed().await, ClosedBy::Peer, "no direct path");
}

#[tokio::test(start_paused = true)]
async fn time_without_a_direct_path_counts_anew_after_one() {
    let network = Arc::new(Network::default());
    network.take_path(relayed());
    let any = PathPolicy::PreferDirect;
    let (near, _far) = pair(&network, STRICT, any, ConnectionConfig::default()).await;
    for _ in 0..3 {
        tokio::time::sleep(GRACE - Duration::from_millis(1)).await;
        network.take_path(direct_path());
        tokio::time::sleep(GRACE).await;
        assert!(near.is_connected(), "it was direct in time");
        network.take_path(relayed());
    }
    let lost = Instant::now();
    is_policy(&near.closed().await, ClosedBy::Local, "no direct path");
    assert_eq!(lost.elapsed(), GRACE);
}

#[tokio::test(start_paused = true)]
async fn a_connection_over_relays_only_ends_when_it_becomes_direct() {
    let network = Arc::new(Network::default());
    network.take_path(relayed());
    let (only, any) = (PathPolicy::RelayOnly, PathPolicy::PreferDirect);
    let (near, far) = pair(&network, only, any, ConnectionConfig::default()).await;
    tokio::time::sleep(10 * GRACE).await;
    assert!(near.is_connected(), "it goes over a relay");
    network.take_path(direct_path());
    is_policy(&near.closed().await, ClosedBy::Local, "only relays");
    is_policy(&far.closed().await, ClosedBy::Peer, "only relays");
}

#[tokio::test(start_paused = true)]
async fn each_link_of_a_connection_has_its_own_grace() {
    let network = Arc::new(Network::default());
    let lasting =
        ConnectionConfig::default().with_reconnect(ReconnectPolicy::Resume(Default::default()));
    let (near, far) = pair(&network, STRICT, PathPolicy::PreferDirect, lasting).await;
    network.take_path(relayed());
    tokio::time::sleep(GRACE / 2).await;
    near.renew_link();
    near.send(Bytes::from_static(b"on the next link")).await.expect("it goes on");
    assert_eq!(far.recv().await.expect("it goes on"), "on the next link");
    let renewed = Instant::now();
    // Not the loss of a link, after which it would look for another.
    is_policy(&near.closed().await, ClosedBy::Local, "no direct path");
    assert!(renewed.elapsed() > GRACE * 9 / 10, "{:?}", renewed.elapsed());
    is_policy(&far.closed().await, ClosedBy::Peer, "no direct path");
}
