//! What no simulated schedule shows: a connection's task and its handles on different threads.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use p2p_core::conformance::{Fixture, Outcome};
use p2p_core::{
    Backoff, ConnectOptions, Connection, ConnectionConfig, FailoverPolicy, ListenOptions, Node,
    P2PConnection, P2PListener, P2PProvider, ReconnectPolicy, RecvStream, SecretKey, SendStream,
    StreamError,
};
use tokio::runtime::{Builder, Runtime};
use tokio::time::{sleep, timeout};

use super::link::End;
use super::transport::Network;
use crate::Peers;

/// How often the link changes.
const LINKS: u32 = 1000;
/// What hangs does so for ever; everything else takes microseconds.
const HANGS: Duration = Duration::from_secs(30);

type Lasting = Connection<End>;

struct OnThreads;

impl Fixture for OnThreads {
    type World = Peers;

    fn run<F>(&self, check: impl FnOnce(Peers) -> F + Send + 'static) -> Outcome
    where
        F: Future<Output = Outcome> + Send + 'static,
    {
        threads().block_on(async { tokio::spawn(check(Peers::default())).await.expect("no panic") })
    }
}

p2p_core::conformance_suite!(OnThreads);

fn threads() -> Runtime {
    let runtime = Builder::new_multi_thread().worker_threads(4).enable_time().build();
    runtime.expect("a runtime")
}

#[test]
fn nothing_hangs_while_links_change_under_several_threads() {
    threads().block_on(async {
        let (to_bob, to_alice) = pair().await;
        let answering = tokio::spawn(answer(to_alice.clone()));
        for number in 0..LINKS {
            // Each begins somewhere between the loss of the one link and the use of the next.
            let opened = tokio::spawn(open(to_bob.clone(), number));
            let talked = tokio::spawn(talk(to_alice.clone(), to_bob.clone(), number));
            if number % 3 == 0 {
                to_alice.renew_link()
            } else {
                to_bob.renew_link()
            }
            let all = async { tokio::join!(opened, talked) };
            let all = timeout(HANGS, all).await.unwrap_or_else(|_| {
                panic!("change {number}: {:?} and {:?}", to_bob.state(), to_alice.state())
            });
            for one in [all.0, all.1] {
                one.expect("no panic");
            }
        }
        answering.abort();
        assert!(to_bob.stats().links > u64::from(LINKS) / 2, "{:?}", to_bob.stats());
    });
}

#[test]
fn several_receivers_get_all_messages_between_them() {
    const PAIRS: u32 = 20_000;
    threads().block_on(async {
        let (to_bob, to_alice) = pair().await;
        let (came, mut news) = tokio::sync::mpsc::unbounded_channel();
        for _ in 0..4 {
            let (to_alice, came) = (to_alice.clone(), came.clone());
            tokio::spawn(async move {
                while let Ok(message) = to_alice.recv().await {
                    let _ = came.send(message);
                }
            });
        }
        for number in 0..PAIRS {
            if number % 50 == 49 {
                to_bob.renew_link();
            }
            for _ in 0..2 {
                to_bob.send(number.to_be_bytes().to_vec().into()).await.expect("sent");
            }
            for _ in 0..2 {
                let got = timeout(HANGS, news.recv()).await;
                let got = got.unwrap_or_else(|_| panic!("pair {number}: {:?}", to_alice.state()));
                assert_eq!(got.expect("receivers"), number.to_be_bytes().to_vec());
            }
        }
    });
}

#[test]
fn no_link_outlives_its_connection() {
    threads().block_on(async {
        for number in 0..2000_u32 {
            let network = Arc::new(Network::default());
            let config = lasting().with_failover(FailoverPolicy::STANDBY);
            let (to_bob, to_alice) = pair_on(&network, config).await;
            // At some moment while the standby comes about.
            for _ in 0..number * 7 % 400 {
                tokio::task::yield_now().await;
            }
            to_bob.close(0, "").await;
            to_alice.closed().await;
            let closed = async {
                while network.open_links() > 0 {
                    sleep(Duration::from_millis(1)).await;
                }
            };
            // Both handles are there still.
            let closed = timeout(HANGS, closed).await;
            assert!(closed.is_ok(), "try {number}: {:?} {:?}", to_bob.state(), to_alice.state());
        }
    });
}

fn lasting() -> ConnectionConfig {
    let backoff = Backoff::default().with_first(Duration::from_micros(100));
    ConnectionConfig::default().with_reconnect(ReconnectPolicy::Resume(backoff))
}

async fn pair() -> (Lasting, Lasting) {
    pair_on(&Arc::new(Network::default()), lasting()).await
}

async fn pair_on(network: &Arc<Network>, config: ConnectionConfig) -> (Lasting, Lasting) {
    let [alice, bob] = [1, 2].map(|number| {
        let id = SecretKey::from_bytes(&[number; 32]).peer_id();
        Node::new(network.join(id, &config), config.clone(), [])
    });
    let name = "threads/1".parse().expect("a name");
    let options = ListenOptions::new(name);
    let dialling = ConnectOptions::new(options.protocol.clone());
    let listener = bob.listen(options).await.expect("a listener");
    let addr = bob.local_addr();
    let (dialled, accepted) = tokio::join!(alice.connect(&addr, dialling), listener.accept());
    (dialled.expect("dialled"), accepted.expect("accepted"))
}

/// Opens streams until the peer has answered on one.
async fn open(connection: Lasting, number: u32) {
    loop {
        let (mut send, mut recv) = connection.open_stream().await.expect("a stream");
        let answered = async {
            send.write_all(number.to_be_bytes().to_vec().into()).await?;
            send.finish()?;
            recv.read_chunk(100).await
        };
        // Otherwise it has ended with its link.
        if answered.await.is_ok_and(|answer| answer.is_some()) {
            return;
        }
    }
}

/// Answers on the streams that come.
async fn answer(connection: Lasting) {
    loop {
        let (mut send, mut recv) = connection.accept_stream().await.expect("a stream");
        let answered = async {
            while recv.read_chunk(100).await?.is_some() {}
            send.write_all(Bytes::from_static(b"heard")).await?;
            send.finish()
        };
        // Otherwise it has ended with its link.
        let _: Result<(), StreamError> = answered.await;
    }
}

/// A message and its answer.
async fn talk(alice: Lasting, bob: Lasting, number: u32) {
    for (from, to) in [(&bob, &alice), (&alice, &bob)] {
        from.send(number.to_be_bytes().to_vec().into()).await.expect("sent");
        assert_eq!(to.recv().await.expect("received"), number.to_be_bytes().to_vec());
    }
}
