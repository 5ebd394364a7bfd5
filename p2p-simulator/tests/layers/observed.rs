//! Metrics and health, after stories whose outcome is known.

use std::collections::BTreeMap;

use bytes::Bytes;
use p2p_core::conformance::raw::{self, Raw, Words};
use p2p_core::dynamic::AnyProvider;
use p2p_core::transport::Transport;
use p2p_core::{
    Backoff, ConnectionConfig, ConnectionState, FailoverPolicy, Limited, Limits, ListenOptions,
    Metrics, P2PConnection, P2PListener, P2PProvider, PathKind, PoolConfig, Pooled, Priority,
    ReconnectPolicy, admission_fn,
};
use p2p_simulator::{Host, LinkProfile, Network, SimulatorConnection, SimulatorP2P};

use crate::{LATENCY, admitted, listen, ms, protocol, provider, simulate};

pub(crate) fn lasting() -> ConnectionConfig {
    ConnectionConfig::default()
        .with_reconnect(ReconnectPolicy::Resume(Backoff::default()))
        .with_failover(FailoverPolicy::REDIAL)
}

/// Two providers, and a connection between them, by both its ends.
pub(crate) struct Ends {
    pub(crate) hosts: [Host; 2],
    pub(crate) providers: [SimulatorP2P; 2],
    pub(crate) dialled: SimulatorConnection,
    pub(crate) accepted: SimulatorConnection,
}

pub(crate) async fn ends(network: &Network) -> Ends {
    ends_with(network, [lasting(), lasting()]).await
}

async fn ends_with(network: &Network, configs: [ConnectionConfig; 2]) -> Ends {
    let hosts = ["alice", "bob"].map(|name| network.host(name));
    let [alice, bob] = configs;
    let providers = [(&hosts[0], alice), (&hosts[1], bob)]
        .map(|(host, config)| host.provider(config).expect("a new host"));
    let listener = listen(&providers[1]).await;
    let dialled = providers[0].connect(&providers[1].local_addr(), admitted()).await;
    let accepted = listener.accept().await.expect("accepted");
    Ends { hosts, providers, dialled: dialled.expect("connected"), accepted }
}

/// The samples of an exposition, by name and labels, checked for what the format demands.
fn parse(text: &str) -> BTreeMap<String, f64> {
    let mut samples = BTreeMap::new();
    let mut family = None;
    let lines: Vec<_> = text.lines().collect();
    let (end, lines) = lines.split_last().expect("an end");
    assert_eq!(*end, "# EOF");
    for line in lines {
        let words: Vec<_> = line.splitn(4, ' ').collect();
        match words[..] {
            ["#", "HELP", name, help] => {
                assert!(name.starts_with("p2p_") && !help.is_empty(), "{line}");
                family = Some((name, ""));
            }
            ["#", "TYPE", name, kind] => {
                assert!(family.is_some_and(|(help, _)| help == name), "{line}");
                assert!(["counter", "gauge", "histogram"].contains(&kind), "{line}");
                family = Some((name, kind));
            }
            ["#", "UNIT", name, unit] => assert!(name.ends_with(&format!("_{unit}")), "{line}"),
            [sample, value] => {
                let (of, kind) = family.expect("a family");
                let name = sample.split('{').next().expect("a name");
                let ends: &[_] = match kind {
                    "counter" => &["_total"],
                    "histogram" => &["_bucket", "_count", "_sum"],
                    _ => &[""],
                };
                let rest = name.strip_prefix(of).expect("of its family");
                assert!(ends.contains(&rest), "{line}");
                let value = value.parse().expect("a number");
                assert_eq!(samples.insert(sample.to_owned(), value), None, "{line} comes twice");
            }
            _ => panic!("{line}"),
        }
    }
    samples
}

fn metrics(of: &impl P2PProvider) -> Metrics {
    of.metrics().expect("a provider with metrics")
}

/// The value of one sample now.
fn read(of: &Metrics, sample: &str) -> f64 {
    let samples = parse(&of.to_text());
    *samples.get(sample).unwrap_or_else(|| panic!("no {sample} in {samples:#?}"))
}

async fn pass(from: &SimulatorConnection, to: &SimulatorConnection, lane: Priority, size: usize) {
    from.send_with(lane, Bytes::from(vec![7; size])).await.expect("sent");
    assert_eq!(to.recv().await.expect("received").len(), size);
}

#[test]
fn counters_are_true_after_a_story_with_a_new_link() {
    simulate(async |network| {
        let Ends { providers, dialled, accepted, .. } = ends(&network).await;
        let [alice, bob] = providers.each_ref().map(metrics);
        for _ in 0..3 {
            pass(&dialled, &accepted, Priority::Realtime, 100).await;
        }
        dialled.renew_link();
        // Over the loss of the link.
        pass(&dialled, &accepted, Priority::Bulk, 5000).await;
        pass(&accepted, &dialled, Priority::Control, 10).await;
        dialled.send_datagram("a datagram".into()).expect("sent");
        accepted.recv_datagram().await.expect("received");
        assert_eq!(dialled.state(), ConnectionState::Resumed);

        let traffic = [
            ("p2p_messages_total{lane=\"realtime\",direction=\"sent\"}", 3.0, 0.0),
            ("p2p_message_bytes_total{lane=\"realtime\",direction=\"sent\"}", 300.0, 0.0),
            ("p2p_message_bytes_total{lane=\"realtime\",direction=\"received\"}", 0.0, 300.0),
            ("p2p_messages_total{lane=\"bulk\",direction=\"sent\"}", 1.0, 0.0),
            ("p2p_message_bytes_total{lane=\"bulk\",direction=\"received\"}", 0.0, 5000.0),
            ("p2p_messages_total{lane=\"control\",direction=\"received\"}", 1.0, 0.0),
            ("p2p_messages_total{lane=\"normal\",direction=\"sent\"}", 0.0, 0.0),
            ("p2p_datagrams_total{direction=\"sent\"}", 1.0, 0.0),
            ("p2p_datagrams_total{direction=\"received\"}", 0.0, 1.0),
            ("p2p_connects_total{direction=\"dialled\"}", 1.0, 0.0),
            ("p2p_connects_total{direction=\"accepted\"}", 0.0, 1.0),
            ("p2p_links_lost_total", 1.0, 1.0),
            ("p2p_resumes_total", 1.0, 1.0),
            ("p2p_reconnect_attempts_total", 1.0, 0.0),
            ("p2p_failovers_total", 0.0, 0.0),
            ("p2p_violations_total", 0.0, 0.0),
        ];
        let present = [
            ("p2p_connections{path=\"direct\"}", 1.0),
            ("p2p_connections{path=\"relay\"}", 0.0),
            ("p2p_connections_reconnecting", 0.0),
            ("p2p_rtt_seconds{quantile=\"0.5\"}", (2 * LATENCY).as_secs_f64()),
        ];
        for (sample, at_alice, at_bob) in traffic {
            assert_eq!((read(&alice, sample), read(&bob, sample)), (at_alice, at_bob), "{sample}");
        }
        for (sample, value) in present {
            assert_eq!((read(&alice, sample), read(&bob, sample)), (value, value), "{sample}");
        }
        // Connecting took two round trips: to be answered, and to be let in.
        let took = read(&alice, "p2p_connect_seconds_sum{direction=\"dialled\"}");
        assert_eq!(took, (4 * LATENCY).as_secs_f64());
        let class = "p2p_connect_seconds_bucket{le=\"0.05\",direction=\"dialled\"}";
        assert_eq!(read(&alice, class), 1.0);

        // What was counted outlives its connection, and even its provider.
        dialled.close(9, "").await;
        accepted.closed().await;
        let ended = "p2p_connections_ended_total{by=\"local\",cause=\"application\"}";
        assert_eq!(read(&alice, ended), 1.0);
        assert_eq!(read(&alice, "p2p_connections{path=\"direct\"}"), 0.0);
        let counted = |metrics: &Metrics| traffic.map(|(sample, ..)| read(metrics, sample));
        let before = [&alice, &bob].map(counted);
        drop((dialled, accepted));
        assert_eq!([&alice, &bob].map(counted), before, "after the last handle");
        for provider in &providers {
            provider.shutdown().await;
        }
        drop(providers);
        assert_eq!([&alice, &bob].map(counted), before, "after the provider");
    });
}

#[test]
fn a_cut_shows_as_a_failover_and_as_a_lost_connection() {
    simulate(async |network| {
        let Ends { hosts, providers: [alice, bob], dialled, accepted } = ends(&network).await;
        for _ in 0..10 {
            pass(&dialled, &accepted, Priority::Normal, 10).await;
        }
        network.partition([&hosts[0]], [&hosts[1]]);
        dialled.send("into the cut".into()).await.expect("sent");
        tokio::time::sleep(ms(2000)).await;
        let health = alice.health();
        assert_eq!((health.connections, health.reconnecting, health.direct), (1, 1, 0));
        assert_eq!(health.last_error, None, "it may come back");
        let metrics = metrics(&alice);
        assert_eq!(read(&metrics, "p2p_failovers_total"), 1.0);
        assert_eq!(read(&metrics, "p2p_connections_reconnecting"), 1.0);
        assert!(!metrics.to_text().contains("p2p_rtt_seconds{"), "there is no round trip");
        dialled.closed().await;
        let health = alice.health();
        assert_eq!((health.connections, health.reconnecting), (0, 0));
        let error = health.last_error.expect("it was lost");
        assert!(error.what.contains("lost: no link after"), "{error:?}");
        assert!(error.ago < ms(1000), "{error:?}");
        let lost = "p2p_connections_ended_total{by=\"network\",cause=\"lost\"}";
        assert_eq!(read(&metrics, lost), 1.0);
        assert!(read(&metrics, "p2p_reconnect_attempts_total") > 5.0);
        assert!(bob.health().listeners == 0, "the listener is gone");
    });
}

#[test]
fn failures_are_counted_by_kind_on_both_sides() {
    simulate(async |network| {
        let (alice, bob) = (provider(&network, "alice"), provider(&network, "bob"));
        let deny = admission_fn(|_| async { Err(p2p_core::Denied("not today".into())) });
        let options = ListenOptions::new(protocol()).with_admission(deny);
        let _listener = bob.listen(options).await.expect("listening");
        for _ in 0..2 {
            alice.connect(&bob.local_addr(), admitted()).await.expect_err("denied");
        }
        let other = p2p_core::ConnectOptions::new("other/1".parse().expect("a name"));
        alice.connect(&bob.local_addr(), other).await.expect_err("not served");
        alice.connect(&alice.local_addr(), admitted()).await.expect_err("oneself");
        let failures = |metrics: Metrics| -> Vec<_> {
            let mut found = parse(&metrics.to_text());
            found.retain(|name, _| name.starts_with("p2p_connect_failures_total"));
            let labels =
                |name: &str| name.split('"').skip(1).step_by(2).collect::<Vec<_>>().join(" ");
            found.into_iter().map(|(name, count)| format!("{} {count}", labels(&name))).collect()
        };
        assert_eq!(
            failures(metrics(&alice)),
            [
                "dialled authentication_failed 2",
                "dialled connection_failed 1",
                "dialled protocol 1",
            ]
        );
        let at_bob = failures(metrics(&bob));
        assert!(at_bob.contains(&"accepted admission_denied 2".to_owned()), "{at_bob:?}");
    });
}

#[test]
fn what_wraps_a_provider_shows_what_is_within() {
    simulate(async |network| {
        let (alice, bob) = (provider(&network, "alice"), provider(&network, "bob"));
        let listener = listen(&bob).await;
        let limited = Limited::new(alice.clone(), Limits::default()).expect("limits");
        let pooled = Pooled::new(limited, PoolConfig::default()).expect("a pool");
        let any = AnyProvider::new(pooled);
        let connection = any.connect(&bob.local_addr(), admitted()).await.expect("connected");
        listener.accept().await.expect("accepted").close(0, "").await;
        connection.closed().await;
        assert_eq!(any.health(), alice.health());
        assert_eq!(metrics(&any).to_text(), metrics(&alice).to_text());
        assert_ne!(metrics(&any).to_text(), metrics(&bob).to_text());
        assert_eq!(connection.path().kind, PathKind::None);
    });
}

#[test]
fn bytes_that_wait_are_shown_while_they_do() {
    simulate(async |network| {
        let Ends { providers, dialled, accepted, .. } = ends(&network).await;
        let metrics = metrics(&providers[0]);
        let queued = || read(&metrics, "p2p_send_queue_bytes{lane=\"bulk\"}");
        let block = Bytes::from(vec![0; 32 * 1024]);
        while dialled.try_send(Priority::Bulk, block.clone()).is_ok() {}
        let depth = dialled.queue_depth(Priority::Bulk);
        assert!(depth > 0);
        assert_eq!(queued(), depth as f64);
        while queued() > 0.0 {
            accepted.recv().await.expect("received");
        }
        assert_eq!(dialled.queue_depth(Priority::Bulk), 0);
    });
}

#[test]
fn datagrams_that_a_side_throws_away_are_counted_and_stay_counted() {
    simulate(async |network| {
        let Ends { providers, dialled, accepted, .. } = ends(&network).await;
        let [alice, bob] = providers.each_ref().map(metrics);
        let dropped = |of: &Metrics| {
            ["sent", "received"].map(|direction| {
                read(of, &format!("p2p_datagrams_dropped_total{{direction=\"{direction}\"}}"))
            })
        };
        assert_eq!([&alice, &bob].map(dropped), [[0.0; 2]; 2]);
        // A flood that nobody receives.
        const FLOOD: u32 = 5000;
        for number in 0..FLOOD {
            dialled.send_datagram(Bytes::from(vec![7; 1000])).expect("sent");
            if number % 100 == 0 {
                tokio::time::sleep(ms(1)).await;
            }
        }
        pass(&dialled, &accepted, Priority::Normal, 10).await;
        tokio::time::sleep(ms(100)).await;
        let (here, there) = (dialled.stats(), accepted.stats());
        assert!(there.datagrams_unread > u64::from(FLOOD) / 2, "{there:?}");
        assert_eq!(dropped(&bob), [0.0, there.datagrams_unread as f64]);
        assert_eq!(dropped(&alice), [here.datagrams_dropped as f64, 0.0]);
        // What there was no link for.
        network.partition([&network.host("alice")], [&network.host("bob")]);
        dialled.renew_link();
        tokio::time::sleep(ms(1)).await;
        assert!(matches!(dialled.state(), ConnectionState::Reconnecting { .. }));
        for _ in 0..3 {
            dialled.send_datagram("into nothing".into()).expect("taken");
        }
        let lost = dialled.stats().datagrams_dropped;
        assert_eq!(lost, here.datagrams_dropped + 3);
        assert_eq!(dropped(&alice), [lost as f64, 0.0]);
        // A counter never goes back, whatever becomes of the connection and its provider.
        let before = [&alice, &bob].map(dropped);
        dialled.close(0, "").await;
        drop((dialled, accepted));
        assert_eq!([&alice, &bob].map(dropped), before, "after the last handle");
        drop(providers);
        assert_eq!([&alice, &bob].map(dropped), before, "after the provider");
    });
}

#[test]
fn each_next_link_is_counted_on_both_sides() {
    simulate(async |network| {
        // Alice gives links up, and Bob has not missed anything when the next one comes.
        let configs = [lasting(), lasting().with_failover(FailoverPolicy::Off)];
        let Ends { hosts, providers, dialled, accepted } = ends_with(&network, configs).await;
        let [alice, bob] = providers.each_ref().map(metrics);
        for number in 1..4 {
            pass(&dialled, &accepted, Priority::Normal, 10).await;
            network.partition([&hosts[0]], [&hosts[1]]);
            dialled.send("late".into()).await.expect("sent");
            tokio::time::sleep(ms(2000)).await;
            network.repair([&hosts[0]], [&hosts[1]]);
            assert_eq!(accepted.recv().await.expect("received"), "late");
            pass(&dialled, &accepted, Priority::Normal, 10).await;
            pass(&accepted, &dialled, Priority::Normal, 10).await;
            for name in ["p2p_links_lost_total", "p2p_resumes_total"] {
                let both = [&alice, &bob].map(|side| read(side, name));
                assert_eq!(both, [f64::from(number); 2], "{name}");
            }
        }
        assert_eq!(read(&alice, "p2p_failovers_total"), 3.0);
        assert_eq!(read(&bob, "p2p_reconnect_attempts_total"), 0.0);
    });
}

#[test]
fn what_a_standby_did_is_counted_on_both_sides() {
    simulate(async |network| {
        let hosts = ["alice", "bob"].map(|name| network.host(name));
        let relay = LinkProfile::new().with_latency(3 * LATENCY);
        network.set_relayed_link(&hosts[0], &hosts[1], &relay).expect("a link");
        let config = lasting().with_failover(FailoverPolicy::STANDBY);
        let [alice, bob] = hosts.each_ref().map(|host| host.provider(config.clone()).expect("one"));
        let listener = listen(&bob).await;
        let dialled = alice.connect(&bob.local_addr(), admitted()).await.expect("connected");
        let accepted = listener.accept().await.expect("accepted");
        let both = [metrics(&alice), metrics(&bob)];
        let each = |name: &str| both.each_ref().map(|side| read(side, name));
        for _ in 0..300 {
            pass(&dialled, &accepted, Priority::Normal, 10).await;
            tokio::time::sleep(ms(10)).await;
        }
        assert_eq!(each("p2p_standbys{state=\"ready\"}"), [1.0; 2]);
        // The direct path is dead, and the relay is not.
        network.rebind(&hosts[0]);
        let mut active = [0.0_f64; 2];
        for _ in 0..1500 {
            pass(&dialled, &accepted, Priority::Normal, 10).await;
            pass(&accepted, &dialled, Priority::Normal, 10).await;
            let now = each("p2p_standbys{state=\"active\"}");
            active = [active[0].max(now[0]), active[1].max(now[1])];
            tokio::time::sleep(ms(10)).await;
        }
        assert_eq!(active, [1.0; 2]);
        assert_eq!(each("p2p_standbys{state=\"active\"}"), [0.0; 2]);
        for name in ["hedges", "switches", "heals"] {
            println!("{name}: {:?}", each(&format!("p2p_{name}_total")));
        }
        assert_eq!(each("p2p_switches_total"), each("p2p_heals_total"));
        assert!(each("p2p_hedges_total").iter().all(|hedges| *hedges >= 1.0));
        assert!(each("p2p_switches_total").iter().all(|switches| *switches >= 1.0));
        let stats = [dialled.stats(), accepted.stats()];
        let hedged = stats.map(|stats| stats.messages_hedged as f64);
        let switched = stats.map(|stats| stats.messages_on_standby as f64);
        assert!(hedged[0] > 0.0 && switched[0] > 0.0 && switched[1] > 0.0, "{stats:?}");
        assert_eq!(each("p2p_standby_messages_total{reason=\"hedged\"}"), hedged);
        assert_eq!(each("p2p_standby_messages_total{reason=\"switched\"}"), switched);
        drop((dialled, accepted));
        assert_eq!(each("p2p_standby_messages_total{reason=\"hedged\"}"), hedged);
        assert_eq!(each("p2p_standbys{state=\"ready\"}"), [0.0; 2]);
    });
}

#[test]
fn every_end_is_counted_once_on_each_side() {
    simulate(async |network| {
        let [alice, bob] = ["alice", "bob"].map(|name| provider(&network, name));
        let listener = listen(&bob).await;
        let both = [metrics(&alice), metrics(&bob)];
        let ends = || {
            both.each_ref().map(|side| {
                let mut ends = parse(&side.to_text());
                ends.retain(|name, _| name.starts_with("p2p_connections_ended_total"));
                let labels =
                    |name: &str| name.split('"').skip(1).step_by(2).collect::<Vec<_>>().join(" ");
                let ends: Vec<_> = ends
                    .into_iter()
                    .map(|(end, count)| format!("{} {count}", labels(&end)))
                    .collect();
                ends.join(", ")
            })
        };
        let meet = async || {
            let dialled = alice.connect(&bob.local_addr(), admitted()).await.expect("connected");
            (dialled, listener.accept().await.expect("accepted"))
        };
        let (dialled, accepted) = meet().await;
        accepted.close(3, "").await;
        dialled.closed().await;
        let (dialled, accepted) = meet().await;
        drop(dialled);
        accepted.closed().await;
        let kept = meet().await;
        drop(accepted);
        alice.shutdown().await;
        // What has ended does so once, whatever becomes of its handles.
        kept.1.closed().await;
        tokio::time::sleep(ms(1)).await;
        assert_eq!(
            ends(),
            [
                "local dropped 1, local shutdown 1, peer application 1",
                "local application 1, peer dropped 1, peer shutdown 1",
            ]
        );
    });
}

#[test]
fn a_violation_is_counted_by_whom_it_was_done_to() {
    simulate(async |network| {
        let bob = provider(&network, "bob");
        let listener = listen(&bob).await;
        let metrics = metrics(&bob);
        let violations = || read(&metrics, "p2p_violations_total");
        let mallory = network.host("mallory").transport(&ConnectionConfig::default());
        let mallory = mallory.expect("an endpoint");
        let link = mallory.dial(&bob.local_addr()).await.expect("a link");
        let raw = Raw::greet(link, &Words::new("layers/1").encode()).await.expect("a greeting");
        let accepted = listener.accept().await.expect("accepted");
        assert_eq!(violations(), 0.0);
        // A program's streams go both ways.
        let _stream = raw.open(&[raw::PROGRAM]).await.expect("a stream");
        accepted.closed().await;
        tokio::time::sleep(ms(1)).await;
        assert_eq!(violations(), 1.0);
        let ended = "p2p_connections_ended_total{by=\"local\",cause=\"protocol_violation\"}";
        assert_eq!(read(&metrics, ended), 1.0);
    });
}
