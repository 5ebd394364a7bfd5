//! Direct and relayed ways, as iroh takes them: what the simulator says of them.

use std::time::Duration;

use bytes::Bytes;
use p2p_core::transport::{Incoming, Link, Transport};
use p2p_core::{ConnectionConfig, PathKind, PeerAddr, RecvStream, SendStream};
use p2p_simulator::{Fault, Host, LinkProfile, Network, SimLink, SimTransport, Simulation};
use tokio::time::{Instant, sleep, timeout};

/// 20 ms one way direct, 40 ms over the relay, as in the lab where iroh was measured.
pub(crate) fn world(network: &Network) -> [Host; 2] {
    let hosts = [network.host("alice"), network.host("bob")];
    let way = |millis| LinkProfile::new().with_latency(Duration::from_millis(millis));
    network.set_link(&hosts[0], &hosts[1], &way(20)).expect("a link");
    network.set_relayed_link(&hosts[0], &hosts[1], &way(40)).expect("a link");
    hosts
}

pub(crate) fn udp_cut() -> Fault {
    Fault::UdpCut { a: vec!["alice".into()], b: vec!["bob".into()] }
}

/// Endpoints whose links echo what comes on streams.
struct Ends {
    network: Network,
    hosts: [Host; 2],
    alice: SimTransport,
    bob: PeerAddr,
}

async fn ends(network: Network) -> Ends {
    let hosts = world(&network);
    let [alice, bob] = hosts
        .each_ref()
        .map(|host| host.transport(&ConnectionConfig::default()).expect("an endpoint"));
    let addr = bob.local_addr();
    tokio::spawn(async move {
        while let Some(incoming) = bob.accept().await {
            tokio::spawn(async move {
                let mut incoming = incoming;
                let _early = incoming.open_early().await;
                let Ok(link) = incoming.authenticated().await else { return };
                while let Ok((mut send, mut recv)) = link.accept_bi().await {
                    tokio::spawn(async move {
                        while let Ok(Some(chunk)) = recv.read_chunk(1000).await {
                            if send.write_all(chunk).await.is_err() {
                                return;
                            }
                        }
                    });
                }
            });
        }
    });
    Ends { network, hosts, alice, bob: addr }
}

/// How long an echo takes, at most so long.
async fn echo(link: &SimLink, patience: Duration) -> Option<Duration> {
    let start = Instant::now();
    timeout(patience, async {
        let (mut send, mut recv) = link.open_bi().await.ok()?;
        send.write_all(Bytes::from_static(b"?")).await.ok()?;
        recv.read_chunk(10).await.ok()?
    })
    .await
    .ok()??;
    Some(start.elapsed())
}

const MS: Duration = Duration::from_millis(1);
const MINUTE: Duration = Duration::from_secs(60);

impl Ends {
    async fn dial(&self) -> SimLink {
        self.alice.dial(&self.bob).await.expect("a link")
    }

    async fn direct(&self) -> SimLink {
        let link = self.dial().await;
        assert_eq!(link.path().kind, PathKind::Relayed, "at first");
        assert_eq!(echo(&link, MINUTE).await, Some(80 * MS));
        sleep(1000 * MS).await;
        assert_eq!(link.path().kind, PathKind::Direct);
        assert_eq!(echo(&link, MINUTE).await, Some(40 * MS));
        link
    }

    fn cut(&self, fault: bool) -> Option<p2p_simulator::FaultGuard> {
        if fault {
            return Some(self.network.inject("cut", &udp_cut()).expect("a fault"));
        }
        self.network.rebind(&self.hosts[0]);
        None
    }
}

#[test]
fn a_connection_begins_at_the_relay_and_becomes_direct() {
    let run = Simulation::new(1).run(async |network| {
        let ends = ends(network).await;
        let link = ends.dial().await;
        let mut paths = link.path_events();
        for kind in [PathKind::Relayed, PathKind::Direct] {
            assert_eq!(paths.next().await.map(|path| path.kind), Some(kind));
        }
    });
    run.expect("a run");
}

#[test]
fn a_dead_direct_path_is_given_up_after_fifteen_seconds_and_what_was_sent_arrives() {
    for cut in [true, false] {
        let run = Simulation::new(2).run(async move |network| {
            let ends = ends(network).await;
            let link = ends.direct().await;
            let _cut = ends.cut(cut);
            let stalled = echo(&link, MINUTE).await.expect("an echo");
            assert!(stalled > 15_000 * MS && stalled < 15_600 * MS, "{stalled:?}");
            assert_eq!(link.path().kind, PathKind::Relayed);
        });
        run.expect("a run");
    }
}

#[test]
fn a_second_dial_on_the_same_endpoint_does_not_help() {
    for cut in [true, false] {
        let run = Simulation::new(3).run(async move |network| {
            let ends = ends(network).await;
            let link = ends.direct().await;
            let start = Instant::now();
            let _cut = ends.cut(cut);
            let second = ends.dial().await;
            let dialled = start.elapsed();
            assert!(dialled > 15_000 * MS, "the dial took {dialled:?}");
            drop((link, second));
        });
        run.expect("a run");
    }
}

#[test]
fn a_dial_after_the_last_close_finds_the_relay_at_once() {
    for cut in [true, false] {
        let run = Simulation::new(4).run(async move |network| {
            let ends = ends(network).await;
            let link = ends.direct().await;
            let _cut = ends.cut(cut);
            link.close(1, "stalled");
            let start = Instant::now();
            let link = ends.dial().await;
            assert_eq!(start.elapsed(), 80 * MS);
            assert_eq!(echo(&link, MINUTE).await, Some(80 * MS));
        });
        run.expect("a run");
    }
}

#[test]
fn a_rebound_host_is_direct_again_when_it_has_looked_at_its_addresses() {
    for refreshes in [true, false] {
        let run = Simulation::new(5).run(async move |network| {
            let ends = ends(network).await;
            let link = ends.direct().await;
            ends.cut(false);
            let start = Instant::now();
            link.close(1, "stalled");
            if refreshes {
                ends.alice.refresh().await;
            }
            let link = ends.dial().await;
            let mut paths = link.path_events();
            while paths.next().await.expect("a path").kind != PathKind::Direct {}
            let direct = start.elapsed();
            if refreshes {
                assert!(direct < 700 * MS, "{direct:?}");
            } else {
                assert!(direct > 20_000 * MS && direct < 30_000 * MS, "{direct:?}");
            }
            assert_eq!(echo(&link, MINUTE).await, Some(40 * MS));
        });
        run.expect("a run");
    }
}

#[test]
fn a_link_that_stands_by_goes_over_the_relay_whatever_happens() {
    let run = Simulation::new(6).run(async |network| {
        let ends = ends(network).await;
        let link = ends.direct().await;
        let standby = ends.alice.dial_standby(&ends.bob).await.expect("a link");
        let name = ends.alice.standby_id().await.expect("a name");
        assert_ne!(name, ends.alice.local_peer_id());
        let _cut = ends.cut(true);
        assert_eq!(echo(&link, 1000 * MS).await, None);
        assert_eq!(echo(&standby, MINUTE).await, Some(80 * MS));
        sleep(MINUTE).await;
        assert_eq!(standby.path().kind, PathKind::Relayed);
        drop(link);
    });
    run.expect("a run");
}

#[test]
fn what_was_on_its_way_when_a_path_was_given_up_in_the_dark_never_arrives() {
    let run = Simulation::new(7).run(async |network| {
        let ends = ends(network).await;
        let link = ends.direct().await;
        ends.network.partition([&ends.hosts[0]], [&ends.hosts[1]]);
        let (mut send, mut recv) = link.open_bi().await.expect("a stream");
        send.write_all(Bytes::from_static(b"?")).await.expect("written");
        sleep(20_000 * MS).await;
        ends.network.repair([&ends.hosts[0]], [&ends.hosts[1]]);
        assert!(timeout(MINUTE, recv.read_chunk(10)).await.is_err(), "the stream hangs");
        assert_eq!(link.close_reason(), None, "and the link lives");
    });
    run.expect("a run");
}
