//! The suite on the smallest backend there can be: what [`transport`](p2p_core::transport) asks
//! for, in memory, with no network in between.

mod loopback {
    pub(crate) mod link;
    mod paths;
    mod standby;
    mod stream;
    mod threads;
    pub(crate) mod transport;
}

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use loopback::transport::{Loopback, Network};
use p2p_core::conformance::raw::{NORMAL, Raw, Words, marked, preamble};
use p2p_core::conformance::{Fixture, Outcome, World};
use p2p_core::transport::{Link, LinkClosed, Transport};
use p2p_core::{
    Backoff, CloseCause, ConnectOptions, ConnectionConfig, Node, P2PConnection, P2PProvider,
    PeerId, ReconnectPolicy, RecvStream, SecretKey,
};

/// Peers get their keys by number.
#[derive(Default)]
struct Peers {
    network: Arc<Network>,
    next: AtomicU8,
}

impl World for Peers {
    type Provider = Node<Loopback>;

    async fn provider(&self, config: ConnectionConfig) -> Node<Loopback> {
        config.validate().expect("a configuration that can be meant");
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let id = SecretKey::from_bytes(&[number; 32]).peer_id();
        Node::new(self.network.join(id, &config), config, [])
    }

    async fn vanish(&self, peer: PeerId) {
        self.network.vanish(peer);
    }
}

struct InMemory;

impl Fixture for InMemory {
    type World = Peers;

    fn run<F>(&self, check: impl FnOnce(Peers) -> F + Send + 'static) -> Outcome
    where
        F: Future<Output = Outcome> + Send + 'static,
    {
        // With its clock paused, whoever waits for a timer waits for nothing else.
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
        runtime.expect("a runtime without I/O").block_on(check(Peers::default()))
    }
}

p2p_core::conformance_suite!(InMemory);

#[test]
fn who_does_not_want_to_hear_the_hello_is_told_why() {
    let outcome = InMemory.run(async |peers| {
        let node = peers.provider(ConnectionConfig::default()).await;
        let id = SecretKey::from_bytes(&[200; 32]).peer_id();
        let stranger = peers.network.join(id, &ConnectionConfig::default());
        let link = stranger.dial(&node.local_addr()).await.expect("a link");
        link.accept_uni().await.expect("the node's control stream").stop(3);
        let LinkClosed::Peer { code, message } = link.closed().await else {
            panic!("the node did not close it");
        };
        assert_eq!(CloseCause::from_wire(code), CloseCause::ProtocolViolation);
        assert!(message.contains("stopped"), "{message}");
        Ok(())
    });
    outcome.expect("told");
}

#[test]
fn who_has_had_a_message_does_not_come_back_as_somebody_new() {
    const NAME: &str = "loopback/1";
    let outcome = InMemory.run(async |peers| {
        let lasting = ReconnectPolicy::Resume(Backoff::default());
        let node = peers.provider(ConnectionConfig::default().with_reconnect(lasting)).await;
        // An acceptor whose word that the node is let in never arrives, but its first message does.
        let id = SecretKey::from_bytes(&[200; 32]).peer_id();
        let stranger = peers.network.join(id, &ConnectionConfig::default());
        let options = ConnectOptions::new(NAME.parse().expect("a name"));
        let there = async {
            let link = stranger.accept().await.expect("the node's link");
            let raw = Raw::greet(link, &Words::new(NAME).encode()).await.expect("a greeting");
            let message = [preamble(NORMAL, 0), marked(b"one", false)].concat();
            let lane = raw.open(&message).await.expect("a lane");
            (raw, lane)
        };
        let addr = stranger.local_addr();
        let (dialled, (raw, _lane)) = tokio::join!(node.connect(&addr, options), there);
        let dialled = dialled.expect("a connection");
        assert_eq!(dialled.recv().await.expect("received"), "one");
        raw.wire.close(CloseCause::LinkReplaced.to_wire(), "");
        let next = stranger.accept().await.expect("the node's next link");
        let mut control = next.accept_uni().await.expect("its control stream");
        let hello = control.read_chunk(4096).await.expect("read").expect("a hello");
        assert_eq!(hello.last(), Some(&0), "it may be taken for a new one: {hello:?}");
        Ok(())
    });
    outcome.expect("the connection, or none");
}
