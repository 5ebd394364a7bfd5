//! What nodes over iroh do on this machine's loopback, with a relay of their own where one is
//! needed. What every backend promises is in the conformance suite; here is what only iroh has.

mod iroh {
    mod datagrams;
    mod layers;
    mod paths;
    mod priorities;
    mod standby;
}
mod support;

use std::net::UdpSocket;
use std::time::Duration;

use bytes::Bytes;
use p2p_core::transport::{Link, LinkClosed, Transport};
use p2p_core::{
    CloseCause, ClosedBy, ConnectOptions, ConnectReady, ConnectionConfig, P2PConnection, P2PError,
    P2PListener, P2PProvider, PathKind, PeerAddr, RecvStream, SecretKey, SendStream, StreamError,
};
use p2p_iroh::{IrohConfig, IrohTransport};
use support::{Access, Relay, loopback, options, pair, unusable_port, within};
use tokio::time::Instant;

#[tokio::test]
async fn two_nodes_exchange_messages_datagrams_and_streams() {
    let (near, far, _nodes) = pair(loopback(), loopback()).await;
    assert!(near.path().kind == PathKind::Direct, "{:?}", near.path());

    near.send(Bytes::from_static(b"hello")).await.expect("sent");
    assert_eq!(within(far.recv()).await.expect("received"), "hello");

    // On loopback nothing is lost.
    far.send_datagram(Bytes::from_static(b"now")).expect("sent");
    assert_eq!(within(near.recv_datagram()).await.expect("received"), "now");
    let max = near.max_datagram_size().expect("datagrams are on");
    let error = near.send_datagram(Bytes::from(vec![0; max + 1])).expect_err("too large");
    assert!(matches!(error, P2PError::LimitExceeded { .. }), "{error}");

    // Larger than a stream's window, so that the writer has to wait for the reader.
    let content = Bytes::from(vec![7; 6 << 20]);
    let writing = async {
        let (mut send, _recv) = near.open_stream().await.expect("opened");
        send.write_all(content.clone()).await.expect("written");
        send.finish().expect("open");
        send.finished().await.expect("delivered");
    };
    let reading = async {
        let (_send, mut recv) = far.accept_stream().await.expect("accepted");
        recv.read_to_end(content.len()).await.expect("read")
    };
    let (_, read) = within(async { tokio::join!(writing, reading) }).await;
    assert!(read == content);
}

#[tokio::test]
async fn an_address_where_nobody_answers_takes_no_longer_than_its_timeout() {
    let silent = UdpSocket::bind("127.0.0.1:0").expect("a socket that never answers");
    let node = loopback().bind().await.expect("bound");
    let peer = PeerAddr::new(SecretKey::from_bytes(&[9; 32]).peer_id())
        .with_address(silent.local_addr().expect("bound"));
    let timeout = Duration::from_millis(300);
    let start = Instant::now();
    let error = node.connect(&peer, options().with_timeout(timeout)).await.expect_err("silence");
    assert!(matches!(error, P2PError::Timeout { after, .. } if after == timeout), "{error}");
    // Far below every timer of the transport, which has none under 5 s.
    assert!(start.elapsed() < Duration::from_secs(3), "took {:?}", start.elapsed());
    node.shutdown().await;
}

#[tokio::test]
async fn a_transport_gives_up_by_itself_after_its_idle_timeout() {
    let silent = UdpSocket::bind("127.0.0.1:0").expect("a socket that never answers");
    let idle = Duration::from_millis(500);
    let config = loopback().with_connection(ConnectionConfig::default().with_idle_timeout(idle));
    let transport = IrohTransport::bind(&config).await.expect("bound");
    let peer = PeerAddr::new(SecretKey::from_bytes(&[9; 32]).peer_id())
        .with_address(silent.local_addr().expect("bound"));
    let error = within(transport.dial(&peer)).await.expect_err("silence");
    assert!(matches!(error, P2PError::Timeout { after, .. } if after == idle), "{error}");
    transport.close().await;
}

#[tokio::test]
async fn somebody_else_at_the_address_is_not_the_peer() {
    let (node, other) = (loopback().bind().await, loopback().bind().await);
    let (node, other) = (node.expect("bound"), other.expect("bound"));
    let stranger = SecretKey::from_bytes(&[9; 32]).peer_id();
    let peer = other.local_addr().addresses().fold(PeerAddr::new(stranger), PeerAddr::with_address);
    let error = within(node.connect(&peer, options())).await.expect_err("somebody else");
    assert!(
        matches!(error, P2PError::AuthenticationFailed { peer, .. } if peer == stranger),
        "{error:?}"
    );
}

#[tokio::test]
async fn nowhere_to_dial_is_known_at_once() {
    let node = loopback().bind().await.expect("bound");
    let peer = PeerAddr::new(SecretKey::from_bytes(&[9; 32]).peer_id());
    let error = node.connect(&peer, options()).await.expect_err("no address");
    assert!(matches!(error, P2PError::PeerNotFound { .. }), "{error}");

    let behind_relay = peer.with_relay("https://127.0.0.1:1".parse().expect("a URL"));
    let error = node.connect(&behind_relay, options()).await.expect_err("no relay here");
    assert!(error.to_string().contains("this node has none"), "{error}");
}

#[tokio::test]
async fn a_port_in_use_is_named() {
    let taken = UdpSocket::bind("127.0.0.1:0").expect("bound");
    let address = taken.local_addr().expect("bound");
    let config = IrohConfig::default().with_bind_address(address);
    let error = config.bind().await.expect_err("in use");
    let expected = format!("address {address} is in use: choose another port, or 0 for any");
    assert_eq!(error.to_string(), expected);
    assert!(std::error::Error::source(&error).is_some());

    // The wildcard of a port that somebody has on one address.
    let error = IrohConfig::default().with_listen_port(address.port()).bind().await;
    let error = error.expect_err("in use").to_string();
    assert!(error.starts_with(&format!("address 0.0.0.0:{} is in use", address.port())), "{error}");
}

#[tokio::test]
async fn a_node_on_loopback_says_so() {
    let node = loopback().bind().await.expect("bound");
    let addr = node.local_addr();
    assert_eq!(addr.relays().len(), 0);
    assert!(addr.addresses().all(|addr| addr.ip().is_loopback() && addr.port() != 0), "{addr:?}");
    assert!(addr.addresses().len() > 0);
    assert_eq!(addr.to_string().parse(), Ok(addr), "it survives as a ticket");
}

#[tokio::test]
async fn a_relay_with_a_strange_certificate_is_refused_and_named() {
    let relay = Relay::spawn().await;
    let start = Instant::now();
    let config = loopback().with_relay(relay.url()).with_relay_quic_port(relay.quic_port());
    let error = within(config.bind()).await.expect_err("not trusted").to_string();
    assert!(error.contains(relay.url().as_str()), "{error}");
    assert!(error.contains("not trusted") && error.contains("relay CA"), "{error}");
    assert!(start.elapsed() < Duration::from_secs(5), "took {:?}", start.elapsed());
}

#[tokio::test]
async fn what_is_no_certificate_is_no_relay_ca() {
    let error = loopback().with_relay_ca(*b"-----BEGIN").bind().await.expect_err("not DER");
    assert!(error.to_string().contains("relay CA 1 of 1"), "{error}");
}

#[tokio::test]
async fn a_relay_that_is_not_there_is_named() {
    let url = unusable_port([127, 0, 0, 1]).await;
    let start = Instant::now();
    let error = within(loopback().with_relay(url.clone()).bind()).await.expect_err("not there");
    assert!(matches!(error, P2PError::Network { .. }), "{error:?}");
    let error = error.to_string();
    assert!(error.contains(url.as_str()) && error.contains("refuses connections"), "{error}");
    assert!(start.elapsed() < Duration::from_secs(5), "took {:?}", start.elapsed());
}

#[tokio::test]
async fn a_relay_that_says_nothing_takes_no_longer_than_its_timeout() {
    // Connections are taken by the kernel and never answered.
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("bound");
    let url = format!("https://{}", silent.local_addr().expect("bound"));
    let timeout = Duration::from_millis(1500);
    let config = loopback().with_relay(url.parse().expect("a URL")).with_relay_timeout(timeout);
    let error = within(config.bind()).await.expect_err("silence");
    assert!(matches!(error, P2PError::Timeout { after, .. } if after == timeout), "{error:?}");
    assert!(error.to_string().contains(&url), "{error}");
}

#[tokio::test]
async fn a_relay_that_does_not_admit_the_node_says_why() {
    let relay = Relay::with_access(Access::Deny).await;
    let error = within(relay.join(loopback()).bind()).await.expect_err("denied").to_string();
    assert!(error.contains(relay.url().as_str()), "{error}");
    assert!(error.contains("members only"), "{error}");
}

#[tokio::test]
async fn one_relay_that_works_is_enough() {
    let relay = Relay::spawn().await;
    // The second is worse than absent: on its host, address discovery works (it is the first's).
    for dead in [unusable_port([127, 0, 0, 2]).await, unusable_port([127, 0, 0, 1]).await] {
        let config = relay.join(loopback()).with_relay(dead);
        let node = within(config.bind()).await.expect("one works");
        assert_eq!(node.local_addr().relays().cloned().collect::<Vec<_>>(), [relay.url()]);
        node.shutdown().await;
    }
}

#[tokio::test]
async fn peers_meet_at_a_relay_and_learn_the_truth_about_their_path() {
    let relay = Relay::spawn().await;
    let host = relay.join(loopback()).bind().await.expect("bound");
    let guest = relay.join(loopback()).bind().await.expect("bound");
    let listener = host.listen(support::listen()).await.expect("listening");
    // All that the guest knows is the relay.
    let met =
        host.local_addr().relays().cloned().fold(host.local_peer_id().into(), PeerAddr::with_relay);
    let (near, far) =
        within(async { tokio::join!(guest.connect(&met, options()), listener.accept()) }).await;
    let (near, far) = (near.expect("connected"), far.expect("accepted"));

    let mut events = near.path_events();
    let first = within(events.next()).await.expect("the present path comes first");
    assert_eq!(first.kind, PathKind::Relayed, "nothing but the relay was known: {first:?}");
    assert_eq!(first.remote, Some(p2p_core::PathAddr::Relay(relay.url())));
    near.send(Bytes::from_static(b"over the relay")).await.expect("sent");
    assert_eq!(within(far.recv()).await.expect("received"), "over the relay");

    // Nothing is between the two on one machine: they find each other.
    let direct = loop {
        let path = within(events.next()).await.expect("the connection lives");
        if path.kind == PathKind::Direct {
            break path;
        }
    };
    assert!(near.path().is_same_way(&direct), "{:?} after {direct:?}", near.path());
    assert!(near.path().rtt.is_some());

    far.close(3, "enough").await;
    loop {
        if within(events.next()).await.is_none() {
            break;
        }
    }
    assert_eq!(near.path().kind, PathKind::None);
    host.shutdown().await;
    guest.shutdown().await;
}

#[tokio::test]
async fn path_events_neither_hold_a_connection_open_nor_outlive_it() {
    let (near, far, _nodes) = pair(loopback(), loopback()).await;
    let (mut here, mut there) = (near.path_events(), far.path_events());
    assert!(within(here.next()).await.is_some());
    assert!(within(there.next()).await.is_some());
    drop(near);
    let reason = within(far.closed()).await;
    assert_eq!((reason.by, reason.cause), (ClosedBy::Peer, CloseCause::Dropped));
    while within(here.next()).await.is_some() {}
    while within(there.next()).await.is_some() {}
}

#[tokio::test]
async fn a_dropped_writer_looks_aborted_for_good() {
    let (near, far, _nodes) = pair(loopback(), loopback()).await;
    let (mut send, _recv) = near.open_stream().await.expect("opened");
    send.write_all(Bytes::from_static(b"half")).await.expect("written");
    let (_send, mut recv) = within(far.accept_stream()).await.expect("accepted");
    assert_eq!(within(recv.read_chunk(64)).await, Ok(Some(Bytes::from_static(b"half"))));
    drop(send);
    let reset = Err(StreamError::Reset { code: 0 });
    assert_eq!(within(recv.read_chunk(64)).await, reset);
    assert_eq!(within(recv.read_chunk(64)).await, reset, "it never turns into a clean end");
}

#[tokio::test]
async fn the_peers_last_word_is_not_replaced_by_ours() {
    let (near, far, _nodes) = pair(loopback(), loopback()).await;
    far.close(4, "bye").await;
    let told = within(near.link().closed()).await;
    near.link().close(5, "me too");
    assert_eq!(told, LinkClosed::Peer { code: 4, message: "bye".into() });
    assert_eq!(near.link().close_reason(), Some(told));
}

#[tokio::test]
async fn a_node_dropped_without_shutdown_still_takes_its_leave() {
    let (near, far, (guest, listener)) = pair(loopback(), loopback()).await;
    drop((near, guest));
    let reason = within(far.closed()).await;
    assert_eq!(reason.by, ClosedBy::Peer, "{reason}");
    drop(listener);
}

#[tokio::test]
async fn shutdown_called_twice_waits_twice() {
    let node = loopback().bind().await.expect("bound");
    let address = node.local_addr().addresses().next().expect("bound");
    // The first call is dropped at once; the second has to wait for the end all the same.
    tokio::select! {
        biased;
        () = node.shutdown() => panic!("closing takes more than one poll"),
        () = std::future::ready(()) => {}
    }
    within(node.shutdown()).await;
    assert!(node.transport().endpoint().is_closed());
    drop(node);
    // iroh's tasks let go of the socket when the runtime drops them, which is soon and not at once.
    within(async {
        while UdpSocket::bind(address).is_err() {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

#[tokio::test]
async fn a_known_peer_is_connected_to_by_name() {
    let host = loopback().bind().await.expect("bound");
    let listener = host.listen(support::listen()).await.expect("listening");
    let guest = loopback().with_known_peer(host.local_addr()).bind().await.expect("bound");
    let by_name = PeerAddr::new(host.local_peer_id());
    let options = ConnectOptions::with_ready(options(), ConnectReady::Admitted);
    let (near, far) =
        within(async { tokio::join!(guest.connect(&by_name, options), listener.accept()) }).await;
    assert_eq!(near.expect("connected").peer_id(), host.local_peer_id());
    assert_eq!(far.expect("accepted").peer_id(), guest.local_peer_id());
}
