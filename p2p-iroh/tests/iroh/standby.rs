//! A second link over a relay, beside a direct one.

use p2p_core::transport::Transport;
use p2p_core::{
    Backoff, ConnectionConfig, FailoverPolicy, P2PConnection, P2PListener, P2PProvider, PathKind,
    PeerAddr, ReconnectPolicy, StandbyState,
};
use p2p_iroh::IrohTransport;
use tokio::runtime::Handle;

use crate::support::{Relay, loopback, options, pair, within};

fn lasting(failover: FailoverPolicy) -> ConnectionConfig {
    ConnectionConfig::default()
        .with_reconnect(ReconnectPolicy::Resume(Backoff::default()))
        .with_failover(failover)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_standby_over_the_relay_carries_messages_while_the_link_is_replaced() {
    let relay = Relay::spawn().await;
    let near = relay.join(loopback()).with_connection(lasting(FailoverPolicy::STANDBY));
    let far = relay.join(loopback()).with_connection(lasting(FailoverPolicy::Off));
    let (near, far, (guest, listener)) = pair(near, far).await;
    within(async {
        while near.stats().standby == StandbyState::Pending {
            near.send("is it there?".into()).await.expect("sent");
            far.recv().await.expect("received");
        }
    })
    .await;
    assert_eq!(near.stats().standby, StandbyState::Ready);
    assert_eq!(guest.health().standbys, 1);
    assert_ne!(near.path().kind, PathKind::None);
    for number in 0..50_u8 {
        if number % 10 == 5 {
            near.renew_link();
        }
        within(async {
            near.send(vec![number].into()).await.expect("sent");
            assert_eq!(far.recv().await.expect("received"), [number].as_slice());
            far.send(vec![number].into()).await.expect("sent");
            assert_eq!(near.recv().await.expect("received"), [number].as_slice());
        })
        .await;
    }
    // What came beside the connection never reached the listener: the next one is another node's.
    let other = relay.join(loopback()).bind().await.expect("bound");
    let (_third, next) = within(async {
        let addr = listener.local_addr();
        tokio::join!(other.connect(&addr, options()), listener.accept())
    })
    .await;
    assert_eq!(next.expect("accepted").peer_id(), other.local_peer_id());
    near.close(3, "enough").await;
    assert_eq!(within(far.closed()).await.cause, p2p_core::CloseCause::Application(3));
    within(guest.shutdown()).await;
}

#[tokio::test]
async fn without_relays_a_standby_is_unavailable() {
    let config = || loopback().with_connection(lasting(FailoverPolicy::STANDBY));
    let (near, far, _alive) = pair(config(), config()).await;
    assert_eq!(near.stats().standby, StandbyState::Unavailable);
    near.send("hello".into()).await.expect("sent");
    assert_eq!(within(far.recv()).await.expect("received"), "hello");
}

#[tokio::test]
async fn who_dials_the_endpoint_of_standbys_is_refused_at_once() {
    let relay = Relay::spawn().await;
    let node = IrohTransport::bind(&relay.join(loopback())).await.expect("bound");
    let id = within(node.standby_id()).await.expect("over the relay");
    let standby = PeerAddr::new(id).with_relay(relay.url());
    let stranger = IrohTransport::bind(&relay.join(loopback())).await.expect("bound");
    // More often than once: none takes the place of another.
    for _ in 0..3 {
        let error = within(stranger.dial(&standby)).await.expect_err("it takes no connections");
        assert!(error.to_string().contains("it refuses connections"), "{error}");
    }
    tokio::join!(node.close(), stranger.close());
}

#[tokio::test]
async fn nothing_runs_on_for_standbys_after_the_transport_was_closed() {
    let relay = Relay::spawn().await;
    let alive = || Handle::current().metrics().num_alive_tasks();
    let before = alive();
    let node = IrohTransport::bind(&relay.join(loopback())).await.expect("bound");
    within(node.standby_id()).await.expect("over the relay");
    node.close().await;
    // The relay's tasks for its endpoints end as well, each in its own time.
    within(async {
        while alive() > before {
            tokio::task::yield_now().await;
        }
    })
    .await;
    drop(node);
}
