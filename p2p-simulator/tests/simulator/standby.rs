//! Failover between direct and relayed ways: how long messages stall, and that nothing is lost,
//! doubled or left hanging. The ways follow iroh's rules: see `paths`.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use p2p_core::transport::Link;
use p2p_core::{
    Admission, Applicant, Backoff, CloseCause, ClosedBy, ConnectOptions, ConnectionConfig,
    ConnectionState, ConnectionStats, Denied, FailoverPolicy, ListenOptions, P2PConnection,
    P2PListener, P2PProvider, PathKind, PathPolicy, PeerId, Priority, ReconnectPolicy,
    StandbyState,
};
use p2p_simulator::{
    Host, IdleFaults, LinkProfile, Network, Simulation, SimulatorConnection, SimulatorP2P,
};
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
    ends_with(hosts, [failover, FailoverPolicy::Off]).await
}

async fn ends_with(hosts: [Host; 2], policies: [FailoverPolicy; 2]) -> Ends {
    let [dials, accepts] = policies.map(lasting);
    let providers = [
        hosts[0].provider(dials).expect("an endpoint"),
        hosts[1].provider(accepts).expect("an endpoint"),
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

/// A line of 15 ms of jitter on which 4 % are lost, and a relay on the same line.
fn bad_world(network: &Network) -> [Host; 2] {
    let hosts = world(network);
    let way = |millis| {
        let way = LinkProfile::new().with_latency(Duration::from_millis(millis));
        way.with_jitter(15 * MS).with_loss(0.04)
    };
    network.set_link(&hosts[0], &hosts[1], &way(20)).expect("a link");
    network.set_relayed_link(&hosts[0], &hosts[1], &way(40)).expect("a link");
    hosts
}

#[derive(Debug)]
struct BadLine {
    echoes: u64,
    both: [ConnectionStats; 2],
}

impl BadLine {
    /// Shares of all messages sent: hedged, and over the relay instead.
    fn shares(&self) -> (f64, f64) {
        let sum = |of: fn(&ConnectionStats) -> u64| self.both.iter().map(of).sum::<u64>() as f64;
        let all = sum(|stats| stats.messages_sent);
        (sum(|stats| stats.messages_hedged) / all, sum(|stats| stats.messages_on_standby) / all)
    }
}

/// Echoes at ten a second on a bad line for so long.
fn bad_line(seed: u64, hours: u64) -> BadLine {
    let simulation = Simulation::new(seed)
        .with_time_limit(Duration::from_secs(48 * 3600))
        .with_real_time_limit(Duration::from_secs(7200));
    let run = simulation.run(async move |network| {
        let ends = ends(bad_world(&network), FailoverPolicy::STANDBY).await;
        let Ends { dialled, accepted, .. } = &ends;
        tokio::spawn(echo(accepted.clone()));
        settled(dialled).await;
        let (mut paths, lost) = (dialled.link().path_events(), Arc::new(Mutex::new(false)));
        let left = lost.clone();
        tokio::spawn(async move {
            paths.next().await;
            if paths.next().await.is_some() {
                *left.lock().expect("no panic") = true;
            }
        });
        let mut echoes = 0_u64;
        let end = Instant::now() + Duration::from_secs(3600 * hours);
        while Instant::now() < end {
            dialled.send(Bytes::copy_from_slice(&echoes.to_be_bytes())).await.expect("sent");
            let back = dialled.recv().await.expect("an echo");
            assert_eq!(back, echoes.to_be_bytes().as_slice());
            echoes += 1;
            sleep(100 * MS).await;
        }
        assert!(!*lost.lock().expect("no panic"), "the direct path was lost");
        BadLine { echoes, both: [dialled.stats(), accepted.stats()] }
    });
    run.expect("a run").output
}

fn check_bad_line(seed: u64, hours: u64) {
    let line = bad_line(seed, hours);
    assert!(line.echoes > 15_000 * hours, "{line:?}");
    assert_eq!(line.both.map(|stats| stats.links), [1, 1], "given up without need");
    let (hedged, relayed) = line.shares();
    println!("{hours} h: {} echoes, hedged {hedged}, over the relay {relayed}", line.echoes);
    assert!(hedged < 0.01, "{hedged} of all messages hedged");
    assert!(relayed < 0.001, "{relayed} of all messages over the relay");
}

#[test]
fn on_a_bad_line_the_direct_path_stays_and_few_messages_are_hedged() {
    check_bad_line(2, 1);
}

#[test]
#[ignore = "a day takes minutes: it is a step of its own in the full check"]
fn on_a_bad_line_the_direct_path_stays_for_a_day() {
    check_bad_line(3, 24);
}

/// Echoes over an outage of 25 s of both ways; how long after its end the last answer is there.
fn outage(seed: u64, policies: [FailoverPolicy; 2]) -> Duration {
    let run = Simulation::new(seed).run(async move |network| {
        let ends = ends_with(bad_world(&network), policies).await;
        let Ends { hosts: [alice, bob], dialled, accepted, _providers } = ends;
        tokio::spawn(echo(accepted));
        settled(&dialled).await;
        let sender = dialled.clone();
        let sending = tokio::spawn(async move {
            for number in 0..400_u32 {
                sender.send(Bytes::copy_from_slice(&number.to_be_bytes())).await.expect("sent");
                sleep(100 * MS).await;
            }
        });
        let receiving = tokio::spawn(async move {
            let mut last = Instant::now();
            for number in 0..400_u32 {
                assert_eq!(dialled.recv().await.expect("an echo"), number.to_be_bytes().as_slice());
                last = Instant::now();
            }
            last
        });
        sleep(3000 * MS).await;
        network.partition([&alice], [&bob]);
        sleep(25_000 * MS).await;
        network.repair([&alice], [&bob]);
        let repaired = Instant::now();
        sending.await.expect("all sent");
        receiving.await.expect("all received") - repaired
    });
    run.expect("a run").output
}

#[test]
fn nothing_hangs_after_any_of_a_hundred_long_outages_with_a_standby() {
    for seed in 0..100 {
        let accepts = if seed % 2 == 0 { FailoverPolicy::Off } else { FailoverPolicy::STANDBY };
        let after = outage(seed, [FailoverPolicy::STANDBY, accepts]);
        // What is left to send takes 12 s; the transports' own patience at most a few more.
        assert!(after < Duration::from_secs(20), "seed {seed}: the last echo after {after:?}");
    }
}

#[test]
fn a_short_outage_gives_nothing_up_and_costs_nothing_but_its_time() {
    let run = Simulation::new(8).run(async |network| {
        let ends = ends(world(&network), FailoverPolicy::STANDBY).await;
        let Ends { hosts: [alice, bob], dialled, accepted, _providers } = ends;
        tokio::spawn(echo(accepted));
        settled(&dialled).await;
        network.partition([&alice], [&bob]);
        dialled.send("into the dark".into()).await.expect("sent");
        sleep(5000 * MS).await;
        network.repair([&alice], [&bob]);
        let repaired = Instant::now();
        assert_eq!(dialled.recv().await.expect("an echo"), "into the dark");
        let back = repaired.elapsed();
        sleep(5000 * MS).await;
        (back, dialled.stats())
    });
    let (back, stats) = run.expect("a run").output;
    assert!(back < 500 * MS, "{back:?}");
    assert_eq!((stats.links, stats.messages_on_standby), (1, 0), "{stats:?}");
}

#[test]
fn a_quiet_connection_with_a_standby_sends_no_probes() {
    let events = |hours: u64| {
        let run = Simulation::new(3).run(async move |network| {
            let ends = ends(world(&network), FailoverPolicy::STANDBY).await;
            sleep(Duration::from_secs(3600 * hours)).await;
            assert_eq!(ends.dialled.state(), ConnectionState::Connected);
            assert_eq!(ends.dialled.stats().standby, StandbyState::Ready);
        });
        run.expect("a run").trace_count
    };
    assert_eq!(events(1), events(10));
}

#[test]
fn where_there_is_no_relay_a_standby_is_unavailable_and_dead_links_are_redialled() {
    let run = Simulation::new(9).run(async |network| {
        let hosts = [network.host("alice"), network.host("bob")];
        let way = LinkProfile::new().with_latency(20 * MS);
        network.set_link(&hosts[0], &hosts[1], &way).expect("a link");
        let ends = ends(hosts, FailoverPolicy::STANDBY).await;
        let Ends { hosts: [alice, bob], dialled, accepted, _providers } = ends;
        tokio::spawn(echo(accepted));
        assert_eq!(dialled.stats().standby, StandbyState::Unavailable);
        network.partition([&alice], [&bob]);
        dialled.send("into the cut".into()).await.expect("sent");
        sleep(1000 * MS).await;
        assert!(matches!(dialled.state(), ConnectionState::Reconnecting { .. }));
        network.repair([&alice], [&bob]);
        assert_eq!(dialled.recv().await.expect("an echo"), "into the cut");
    });
    run.expect("a run");
}

#[test]
fn a_connection_that_must_be_direct_keeps_no_standby() {
    let run = Simulation::new(10).run(async |network| {
        let hosts = world(&network);
        let provider = |host: &Host| host.provider(lasting(FailoverPolicy::STANDBY)).expect("one");
        let (alice, bob) = (provider(&hosts[0]), provider(&hosts[1]));
        let listener = bob.listen(ListenOptions::new(protocol())).await.expect("listening");
        let grace = Duration::from_secs(5);
        let policy = PathPolicy::RequireDirect { grace };
        let options = ConnectOptions::new(protocol()).with_path_policy(policy);
        let dialled = alice.connect(&bob.local_addr(), options).await.expect("a connection");
        let _accepted = listener.accept().await.expect("a connection");
        sleep(5000 * MS).await;
        dialled.stats().standby
    });
    assert_eq!(run.expect("a run").output, StandbyState::Unavailable);
}

/// Remembers whom it was asked about.
#[derive(Clone, Default)]
struct Asked(Arc<Mutex<Vec<PeerId>>>);

#[async_trait]
impl Admission for Asked {
    async fn admit(&self, applicant: &Applicant) -> Result<(), Denied> {
        self.0.lock().expect("no panic").push(applicant.peer);
        Ok(())
    }
}

#[test]
fn a_standby_is_no_connection_and_no_applicant() {
    let run = Simulation::new(11).run(async |network| {
        let hosts = world(&network);
        let provider = |host: &Host| host.provider(lasting(FailoverPolicy::STANDBY)).expect("one");
        let (alice, bob) = (provider(&hosts[0]), provider(&hosts[1]));
        let asked = Asked::default();
        let options = ListenOptions::new(protocol()).with_admission(asked.clone());
        let listener = bob.listen(options.with_max_connections(1)).await.expect("listening");
        let options = ConnectOptions::new(protocol());
        let dialled = alice.connect(&bob.local_addr(), options).await.expect("a connection");
        let accepted = listener.accept().await.expect("a connection");
        settled(&dialled).await;
        assert_eq!(bob.health().standbys, 1);
        assert_eq!(dialled.stats().standby, StandbyState::Ready);
        assert!(timeout(5000 * MS, listener.accept()).await.is_err(), "a second connection");
        network.rebind(&hosts[0]);
        dialled.send("over the standby".into()).await.expect("sent");
        assert_eq!(accepted.recv().await.expect("received"), "over the standby");
        assert_eq!(accepted.peer_id(), hosts[0].peer_id());
        assert_eq!(*asked.0.lock().expect("no panic"), [hosts[0].peer_id()]);
    });
    run.expect("a run");
}

#[test]
fn a_side_that_only_sends_fails_over_too_if_it_has_the_policy() {
    let policies = [FailoverPolicy::STANDBY; 2];
    for accepts in [true, false] {
        let run = Simulation::new(12).run(async move |network| {
            let ends = ends_with(world(&network), policies).await;
            let Ends { hosts, dialled, accepted, _providers } = ends;
            settled(&dialled).await;
            let (from, to) = if accepts { (&accepted, &dialled) } else { (&dialled, &accepted) };
            // After a quiet time, so that nobody asks anything by itself.
            sleep(60_000 * MS).await;
            network.rebind(&hosts[0]);
            sleep(1000 * MS).await;
            let start = Instant::now();
            from.send("news".into()).await.expect("sent");
            assert_eq!(to.recv().await.expect("received"), "news");
            start.elapsed()
        });
        let took = run.expect("a run").output;
        assert!(took <= 450 * MS, "{took:?}");
    }
}

#[test]
fn while_the_standby_is_in_charge_the_state_the_path_and_datagrams_say_so() {
    let run = Simulation::new(13).run(async |network| {
        let ends = ends(world(&network), FailoverPolicy::STANDBY).await;
        let Ends { hosts: _, dialled, accepted, _providers } = ends;
        settled(&dialled).await;
        let mut paths = [dialled.path_events(), accepted.path_events()];
        for events in &mut paths {
            assert_eq!(events.next().await.map(|path| path.kind), Some(PathKind::Direct));
        }
        let _cut = network.inject("cut", &udp_cut()).expect("a fault");
        dialled.send("late".into()).await.expect("sent");
        for events in &mut paths {
            assert_eq!(events.next().await.map(|path| path.kind), Some(PathKind::Relayed));
        }
        sleep(300 * MS).await;
        assert_eq!(accepted.recv().await.expect("received"), "late");
        for side in [&dialled, &accepted] {
            assert_eq!(side.state(), ConnectionState::OnStandby);
            assert_eq!(side.stats().standby, StandbyState::Active);
            assert_eq!(side.path().kind, PathKind::Relayed);
        }
        assert_eq!(_providers[0].health().on_standby, 1);
        dialled.send_datagram("ping".into()).expect("sent");
        let start = Instant::now();
        assert_eq!(accepted.recv_datagram().await.expect("received"), "ping");
        assert_eq!(start.elapsed(), 40 * MS);
        accepted.send_datagram("pong".into()).expect("sent");
        assert_eq!(dialled.recv_datagram().await.expect("received"), "pong");
    });
    run.expect("a run");
}

#[test]
fn a_close_is_heard_over_the_standby_when_the_main_link_is_dead() {
    let run = Simulation::new(14).run(async |network| {
        let ends = ends(world(&network), FailoverPolicy::STANDBY).await;
        let Ends { hosts: _, dialled, accepted, _providers } = ends;
        settled(&dialled).await;
        let _cut = network.inject("cut", &udp_cut()).expect("a fault");
        dialled.send("last".into()).await.expect("sent");
        sleep(700 * MS).await;
        let start = Instant::now();
        dialled.close(7, "enough").await;
        assert_eq!(accepted.recv().await.expect("received"), "last");
        let end = accepted.closed().await;
        assert_eq!((end.by, end.cause), (ClosedBy::Peer, CloseCause::Application(7)));
        start.elapsed()
    });
    let took = run.expect("a run").output;
    assert!(took < 500 * MS, "{took:?}");
}

/// Numbers in all lanes in both directions, under load, over events: each once and in order.
#[test]
fn under_load_nothing_is_lost_or_doubled_over_rebinds_and_cuts() {
    const EACH: u32 = 4000;
    for seed in 0..5 {
        // A cut may come while the data goes over the relay.
        let simulation = Simulation::new(seed).with_idle_faults(IdleFaults::Report);
        let run = simulation.run(async move |network| {
            let ends = ends(bad_world(&network), FailoverPolicy::STANDBY).await;
            let Ends { hosts, dialled, accepted, _providers } = ends;
            settled(&dialled).await;
            let mut tasks = tokio::task::JoinSet::new();
            for (from, to) in [(&dialled, &accepted), (&accepted, &dialled)] {
                for priority in Priority::ALL {
                    let from = from.clone();
                    tasks.spawn(async move {
                        for number in 0..EACH {
                            let size = 4 + (number % 7 * 150) as usize;
                            let mut message = vec![0; size];
                            message[..4].copy_from_slice(&number.to_be_bytes());
                            from.send_with(priority, message.into()).await.expect("sent");
                            if number % 4 == 0 {
                                sleep(10 * MS).await;
                            }
                        }
                    });
                }
                let to = to.clone();
                tasks.spawn(async move {
                    let mut next = [0; Priority::COUNT];
                    while next != [EACH; Priority::COUNT] {
                        let message = to.recv_message().await.expect("received");
                        let lane = message.priority.index();
                        let number = &message.payload[..4];
                        assert_eq!(number, next[lane].to_be_bytes(), "lane {lane}");
                        next[lane] += 1;
                    }
                });
            }
            for round in 0..4_u32 {
                sleep(900 * MS + 300 * MS * round).await;
                if round % 2 == 0 {
                    network.rebind(&hosts[round as usize / 2]);
                } else {
                    let cut = network.inject("cut", &udp_cut()).expect("a fault");
                    sleep(400 * MS * round).await;
                    cut.repair();
                }
            }
            while let Some(task) = tasks.join_next().await {
                task.expect("no panic");
            }
            dialled.stats()
        });
        let stats = run.expect("a run").output;
        assert!(stats.messages_hedged > 0 && stats.messages_on_standby > 0, "{stats:?}");
    }
}
