//! Failover between direct and relayed ways: how long messages stall, and that nothing is lost,
//! doubled or left hanging. The ways follow iroh's rules: see `paths`.

use std::time::Duration;

use bytes::Bytes;
use p2p_core::{
    Backoff, ConnectOptions, ConnectionConfig, ConnectionState, ConnectionStats, FailoverPolicy,
    ListenOptions, P2PConnection, P2PListener, P2PProvider, PathKind, PathPolicy, ReconnectPolicy,
    StandbyState,
};
use p2p_simulator::{Host, LinkProfile, Network, Simulation, SimulatorConnection, SimulatorP2P};
use tokio::time::{Instant, sleep, timeout};

use crate::paths::{udp_cut, world};
use crate::protocol;

const MS: Duration = Duration::from_millis(1);

fn lasting(failover: FailoverPolicy) -> ConnectionConfig {
    ConnectionConfig::default()
        .with_reconnect(ReconnectPolicy::Resume(Backoff::default()))
        .with_failover(failover)
}

struct Ends {
    hosts: [Host; 2],
    _providers: [SimulatorP2P; 2],
    dialled: SimulatorConnection,
    accepted: SimulatorConnection,
}

/// A connection whose dialler has this policy; the other side follows.
async fn ends(hosts: [Host; 2], failover: FailoverPolicy) -> Ends {
    let accepts = FailoverPolicy::Off;
    let config = |policy| lasting(policy);
    let providers = [
        hosts[0].provider(config(failover)).expect("an endpoint"),
        hosts[1].provider(config(accepts)).expect("an endpoint"),
    ];
    let listener = providers[1].listen(ListenOptions::new(protocol())).await.expect("listening");
    let addr = providers[1].local_addr();
    let dialled = providers[0].connect(&addr, ConnectOptions::new(protocol())).await;
    let accepted = listener.accept().await.expect("a connection");
    Ends { hosts, _providers: providers, dialled: dialled.expect("a connection"), accepted }
}

/// Waits until the data goes directly, and a standby is there if there shall be one.
async fn settled(connection: &SimulatorConnection) {
    sleep(2000 * MS).await;
    assert_eq!(connection.path().kind, PathKind::Direct);
    let standby = connection.stats().standby;
    assert!(matches!(standby, StandbyState::Off | StandbyState::Ready), "{standby}");
}

/// Sends back what comes, until the end.
async fn echo(connection: SimulatorConnection) {
    while let Ok(message) = connection.recv_message().await {
        if connection.send_with(message.priority, message.payload).await.is_err() {
            break;
        }
    }
}

/// Numbered messages, each waiting for the echo of the one before, until the time is over: the longest
/// time between two echoes, and how many there were.
async fn echoes(connection: &SimulatorConnection, time: Duration) -> (Duration, u64) {
    let (end, mut stall, mut last) = (Instant::now() + time, Duration::ZERO, Instant::now());
    let mut number = 0_u64;
    while Instant::now() < end {
        connection.send(Bytes::copy_from_slice(&number.to_be_bytes())).await.expect("sent");
        let back = timeout(Duration::from_secs(60), connection.recv()).await.expect("no hang");
        assert_eq!(back.expect("an echo"), number.to_be_bytes().as_slice());
        stall = stall.max(last.elapsed());
        last = Instant::now();
        number += 1;
        sleep(50 * MS).await;
    }
    (stall, number)
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Event {
    Rebind,
    UdpCut,
}

#[derive(Debug)]
struct Failover {
    stall: Duration,
    /// From the event until the data goes directly again.
    direct: Option<Duration>,
    stats: ConnectionStats,
}

/// What comes of an event after some time of echoes, and for so long after it.
fn failover(seed: u64, policy: FailoverPolicy, event: Event, after: Duration) -> Failover {
    let run = Simulation::new(seed).run(async move |network| {
        let Ends { hosts, dialled, accepted, _providers } = ends(world(&network), policy).await;
        tokio::spawn(echo(accepted));
        settled(&dialled).await;
        // Not always at the same time after an echo.
        let before = 3000 * MS + MS * (seed as u32 * 7 % 90);
        let watched = dialled.clone();
        let happening = tokio::spawn(async move {
            sleep(before).await;
            let start = Instant::now();
            let cut = match event {
                Event::Rebind => {
                    network.rebind(&hosts[0]);
                    None
                }
                Event::UdpCut => Some(network.inject("cut", &udp_cut()).expect("a fault")),
            };
            let mut left = false;
            let mut direct = None;
            while start.elapsed() < after - 100 * MS {
                let is_direct = watched.path().kind == PathKind::Direct;
                left |= !is_direct;
                if left && is_direct {
                    direct.get_or_insert(start.elapsed());
                }
                sleep(MS * 10).await;
            }
            drop(cut);
            direct
        });
        let (stall, _) = echoes(&dialled, before + after).await;
        let direct = happening.await.expect("no panic");
        Failover { stall, direct, stats: dialled.stats() }
    });
    run.expect("a run").output
}

#[test]
fn without_failover_an_event_stalls_messages_for_fifteen_seconds() {
    for event in [Event::Rebind, Event::UdpCut] {
        let stall = failover(1, FailoverPolicy::Off, event, Duration::from_secs(20)).stall;
        assert!(stall > Duration::from_secs(15), "{event:?}: {stall:?}");
    }
}

#[test]
fn redialling_stalls_for_seven_tenths_of_a_second_at_most() {
    for (event, seed) in [Event::Rebind, Event::UdpCut].into_iter().flat_map(seeds) {
        let came = failover(seed, FailoverPolicy::REDIAL, event, Duration::from_secs(6));
        assert!(came.stall <= 700 * MS, "{event:?}, seed {seed}: {came:?}");
        assert_eq!(came.stats.links, 2);
        if event == Event::Rebind {
            let direct = came.direct.expect("direct again");
            assert!(direct <= Duration::from_secs(3), "seed {seed}: {direct:?}");
        }
    }
}

#[test]
fn a_standby_takes_over_within_less_than_half_a_second_and_the_direct_path_comes_back() {
    for (event, seed) in [Event::Rebind, Event::UdpCut].into_iter().flat_map(seeds) {
        let came = failover(seed, FailoverPolicy::STANDBY, event, Duration::from_secs(6));
        assert!(came.stall <= 450 * MS, "{event:?}, seed {seed}: {came:?}");
        assert!(came.stats.messages_hedged > 0 && came.stats.messages_on_standby > 0);
        // Healed: by a link over the relay, or that and then directly.
        assert_eq!(came.stats.links, 2, "{came:?}");
        assert_eq!(came.stats.standby, StandbyState::Ready, "{came:?}");
        if event == Event::Rebind {
            let direct = came.direct.expect("direct again");
            assert!(direct <= Duration::from_secs(3), "seed {seed}: {direct:?}");
        }
    }
}

fn seeds(event: Event) -> impl Iterator<Item = (Event, u64)> {
    (0..10).map(move |seed| (event, seed))
}
