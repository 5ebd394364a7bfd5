//! Hosts with a runtime of their own.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use p2p_core::{ConnectionConfig, P2PConnection, P2PError, P2PListener, P2PProvider, PeerAddr};
use p2p_simulator::{
    Host, HostTaskError, LinkProfile, Network, Simulation, SimulationError, SimulatorConnection,
};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, interval, sleep, timeout};

use crate::{connect, listen};

const MS: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);

/// Starts a host's program that sends back what it is sent; returns where.
async fn serve_echo(host: &Host) -> PeerAddr {
    let (sender, address) = oneshot::channel();
    let here = host.clone();
    host.spawn(async move {
        let provider = here.provider(ConnectionConfig::default()).expect("free");
        let listener = listen(&provider).await;
        let _ = sender.send(provider.local_addr());
        while let Ok(connection) = listener.accept().await {
            // Plain, as in a program that knows nothing of simulations.
            tokio::spawn(echo(connection));
        }
    });
    address.await.expect("the server starts")
}

async fn echo(connection: SimulatorConnection) {
    while let Ok(message) = connection.recv().await {
        if connection.send(message).await.is_err() {
            return;
        }
    }
}

/// Counts the seconds that it lives through, also in a task of plain `tokio::spawn`.
async fn count_twice(counts: [Arc<AtomicU32>; 2]) {
    let [ours, theirs] = counts;
    let count = async |count: Arc<AtomicU32>| {
        loop {
            sleep(SECOND).await;
            count.fetch_add(1, Ordering::Relaxed);
        }
    };
    tokio::spawn(async move { count(theirs).await });
    count(ours).await;
}

#[test]
fn messages_pass_between_an_isolated_host_and_another_at_exact_times() {
    let link = LinkProfile::new().with_latency(Duration::from_nanos(1_234_567));
    let run = Simulation::new(1).with_link(link).run(async |network| {
        let server = network.isolated_host("server");
        let client = network.host("client").provider(ConnectionConfig::default())?;
        let address = serve_echo(&server).await;
        let options = p2p_core::ConnectOptions::new(crate::protocol());
        let connection = client.connect(&address, options).await?;
        let sent = network.elapsed();
        connection.send("hello".into()).await?;
        let answer = connection.recv().await?;
        Ok::<_, P2PError>((answer, network.elapsed() - sent))
    });
    let (answer, took) = run.expect("a run").output.expect("no error");
    // Two ways: the isolated host is let run in the nanosecond in which the message arrives.
    assert_eq!((&answer[..], took), (&b"hello"[..], Duration::from_nanos(2 * 1_234_567)));
}

#[test]
fn a_crash_ends_tasks_of_plain_spawn_too_at_once() {
    let run = Simulation::new(1).run(async |network| {
        let host = network.isolated_host("host");
        let counts: [Arc<AtomicU32>; 2] = Default::default();
        let task = host.spawn(count_twice(counts.clone()));
        sleep(SECOND * 7 / 2).await;
        let crash = network.fault("power").crash(&host);
        assert_eq!(task.await, Err(HostTaskError::Crashed { host: "host".into() }));
        assert_eq!(Arc::strong_count(&counts[1]), 1, "what the plain task held is dropped");
        sleep(SECOND * 2).await;
        drop(crash);
        let again = host.spawn(count_twice(counts.clone()));
        sleep(SECOND * 5 / 2).await;
        assert!(!again.is_finished());
        counts.map(|count| count.load(Ordering::Relaxed))
    });
    let run = run.expect("a run");
    assert_eq!(run.output, [5, 5], "three seconds, nothing while it was down, two more");
    assert!(run.faults.strays.is_empty());
}

#[test]
fn a_host_that_crashes_itself_ends_when_it_next_waits() {
    let run = Simulation::new(1).run(async |network| {
        let host = network.isolated_host("host");
        let reached = Arc::new(AtomicBool::new(false));
        let (here, seen) = (host.clone(), reached.clone());
        let task = host.spawn(async move {
            tokio::spawn(async move {
                sleep(SECOND).await;
                seen.store(true, Ordering::Relaxed);
            });
            here.crash();
            std::future::pending::<()>().await;
        });
        assert_eq!(task.await, Err(HostTaskError::Crashed { host: "host".into() }));
        sleep(SECOND * 2).await;
        reached.load(Ordering::Relaxed)
    });
    assert!(!run.expect("a run").output);
}

#[test]
fn what_a_peer_sees_of_a_crash_is_silence_and_of_a_restart_a_new_server() {
    let run = Simulation::new(1).run(async |network| {
        let server = network.isolated_host("server");
        let client = network.host("client").provider(ConnectionConfig::default())?;
        let options = || p2p_core::ConnectOptions::new(crate::protocol());
        let address = serve_echo(&server).await;
        let connection = client.connect(&address, options()).await?;
        let crash = network.fault("power").crash(&server);
        connection.send("lost".into()).await?;
        let silence = connection.recv().await.expect_err("nobody answers");
        drop(crash);
        let address = serve_echo(&server).await;
        let connection = client.connect(&address, options()).await?;
        connection.send("again".into()).await?;
        Ok::<_, P2PError>((silence.to_string(), connection.recv().await?))
    });
    let (silence, answer) = run.expect("a run").output.expect("no error");
    assert!(silence.contains("timed out"), "{silence}");
    assert_eq!(answer, "again");
}

#[test]
fn timers_go_by_the_hosts_clock() {
    let run = Simulation::new(1).run(async |network| {
        let [slow, fast, plain] = ["slow", "fast", "plain"].map(|name| network.isolated_host(name));
        // Half as fast, twice as fast.
        slow.clock().set_drift(-500_000);
        fast.clock().set_drift(1_000_000);
        let mut took = Vec::new();
        for host in [slow, fast, plain] {
            let network = network.clone();
            let task = host.spawn(async move {
                let (true_start, own_start) = (network.elapsed(), Instant::now());
                sleep(SECOND).await;
                (network.elapsed() - true_start, own_start.elapsed())
            });
            took.push(task.await.expect("it ends"));
        }
        took
    });
    assert_eq!(
        run.expect("a run").output,
        [(SECOND * 2, SECOND), (SECOND / 2, SECOND), (SECOND, SECOND),]
    );
}

#[test]
fn an_interval_of_a_fast_clock_misses_no_tick_and_a_small_drift_adds_up() {
    let run = Simulation::new(1).run(async |network| {
        let host = network.isolated_host("host");
        // 1 % fast: in 10 s of the network's time, 10.1 s go by here.
        let _drift = network
            .inject(
                "quartz",
                &p2p_simulator::Fault::Clock {
                    host: "host".into(),
                    offset_us: 0,
                    drift_ppm: 10_000,
                },
            )
            .expect("possible");
        let ticks = Arc::new(AtomicU32::new(0));
        let counted = ticks.clone();
        host.spawn(async move {
            let mut interval = interval(MS * 100);
            loop {
                interval.tick().await;
                counted.fetch_add(1, Ordering::Relaxed);
            }
        });
        // What happens at the same time happens here first.
        sleep(SECOND * 10 + MS).await;
        ticks.load(Ordering::Relaxed)
    });
    // The first tick comes at once.
    assert_eq!(run.expect("the drift touched something").output, 102);
}

#[test]
fn a_pause_lets_no_task_run_not_even_plain_ones() {
    let run = Simulation::new(1).run(async |network| {
        let host = network.isolated_host("host");
        let counts: [Arc<AtomicU32>; 2] = Default::default();
        host.spawn(count_twice(counts.clone()));
        sleep(SECOND * 5 / 2).await;
        let pause = network.fault("stop the world").pause(&host);
        sleep(SECOND * 10).await;
        let during = counts.clone().map(|count| count.load(Ordering::Relaxed));
        pause.repair();
        sleep(SECOND * 2 + MS).await;
        (during, counts.map(|count| count.load(Ordering::Relaxed)))
    });
    // The third second was over in the pause and is counted at its end; then two more.
    assert_eq!(run.expect("a run").output, ([2, 2], [5, 5]));
}

#[test]
fn channels_and_timeouts_work_across_runtimes() {
    let run = Simulation::new(1).run(async |network| {
        let [one, two] = ["one", "two"].map(|name| network.isolated_host(name));
        let (to_two, mut at_two) = mpsc::channel::<u32>(1);
        let (to_one, mut at_one) = mpsc::channel::<u32>(1);
        two.spawn(async move {
            while let Some(number) = at_two.recv().await {
                if to_one.send(number + 1).await.is_err() {
                    return;
                }
            }
            // Now it is silent, and `one` gives it up.
            sleep(SECOND * 60).await;
        });
        let task = one.spawn(async move {
            let mut number = 0;
            for _ in 0..1000 {
                to_two.send(number).await.expect("two lives");
                number = at_one.recv().await.expect("two lives");
            }
            drop(to_two);
            (number, timeout(SECOND, at_one.recv()).await.is_err())
        });
        let output = task.await.expect("it ends");
        (output, network.elapsed())
    });
    let run = run.expect("a run");
    assert_eq!(run.output, ((1000, true), SECOND));
}

async fn eventful(network: Network) -> u64 {
    let servers = ["s0", "s1", "s2"].map(|name| network.isolated_host(name));
    let mut addresses = Vec::new();
    for server in &servers {
        addresses.push(serve_echo(server).await);
    }
    servers[1].clock().set_drift(-20_000);
    let client = network.isolated_host("client");
    let here = client.clone();
    let task = client.spawn(async move {
        let config = ConnectionConfig::default().with_idle_timeout(SECOND * 2);
        let provider = here.provider(config).expect("free");
        let mut tasks = tokio::task::JoinSet::new();
        for address in addresses {
            let provider = provider.clone();
            tasks.spawn(async move {
                let options = p2p_core::ConnectOptions::new(crate::protocol());
                let Ok(connection) = provider.connect(&address, options).await else { return 0 };
                let mut answers = 0;
                for number in 0..20u8 {
                    let sent = connection.send(vec![number; 3000].into()).await;
                    answers += u64::from(sent.is_ok() && connection.recv().await.is_ok());
                    sleep(MS * 7).await;
                }
                answers
            });
        }
        let mut sum = 0;
        while let Some(answers) = tasks.join_next().await {
            sum += answers.expect("no panic");
        }
        sum
    });
    sleep(MS * 60).await;
    let crash = network.fault("power").crash(&servers[2]);
    sleep(MS * 60).await;
    drop(crash);
    task.await.expect("the client lives")
}

#[test]
fn runs_with_isolated_hosts_repeat_to_the_byte() {
    let link = LinkProfile::new().with_jitter(Duration::from_micros(777)).with_loss(0.05);
    let mut hashes = std::collections::BTreeSet::new();
    for seed in 0..5 {
        let simulation = Simulation::new(seed).with_link(link.clone());
        let checked = simulation.check_determinism(eventful).expect("nothing differs");
        assert!((40..60).contains(&checked.output), "one server crashed: {}", checked.output);
        assert!(hashes.insert(checked.trace_hash.to_string()), "another seed, another run");
    }
}

#[test]
fn an_isolated_host_without_tasks_costs_no_steps() {
    // In steps of a millisecond, the year would take hours.
    let year = SECOND * 360 * 24 * 3600;
    let simulation =
        Simulation::new(1).with_time_limit(year * 2).with_real_time_limit(Duration::from_secs(60));
    let run = simulation.run(async |network| {
        let host = network.isolated_host("idle");
        host.spawn(async { sleep(MS * 20).await }).await.expect("it ends");
        sleep(year).await;
    });
    assert_eq!(run.expect("in time").elapsed, year + MS * 20);
}

#[test]
fn a_task_of_an_isolated_host_that_never_rests_ends_at_the_real_limit() {
    let run = Simulation::new(9).with_real_time_limit(MS * 50).run(async |network| {
        let host = network.isolated_host("host");
        let task = host.spawn(async {
            loop {
                tokio::task::yield_now().await;
            }
        });
        let _: Result<(), _> = task.await;
    });
    let error = run.map(|_| ()).expect_err("it never ends");
    assert!(matches!(error, SimulationError::RealTimeLimit { .. }), "{error}");
}

#[test]
fn a_standstill_with_an_isolated_host_ends_at_the_limit_and_names_it() {
    let run = Simulation::new(9).with_time_limit(SECOND * 3).run(async |network| {
        let host = network.isolated_host("lonely");
        let task = host.spawn(std::future::pending::<()>());
        let _ = task.await;
    });
    let error = run.map(|_| ()).expect_err("it never ends");
    assert!(matches!(error, SimulationError::TimeLimit { .. }), "{error}");
    assert!(error.to_string().contains("isolated host lonely that have not ended: 1"), "{error}");
}

#[test]
fn panics_and_real_io_on_an_isolated_host_are_seen() {
    let run = Simulation::new(9).run(async |network| {
        let host = network.isolated_host("host");
        host.spawn(async { panic!("planted") }).await
    });
    let failed = run.expect("a run").output.expect_err("it panicked");
    assert!(matches!(&failed, HostTaskError::Panicked { host, .. } if host == "host"), "{failed}");
    let run = Simulation::new(9).run(async |network| {
        let host = network.isolated_host("host");
        let socket = async { drop(tokio::net::UdpSocket::bind("127.0.0.1:0").await) };
        let _ = host.spawn(socket).await;
    });
    let error = run.map(|_| ()).expect_err("real I/O");
    assert!(matches!(error, SimulationError::RealIo { .. }), "{error}");
}

#[test]
fn one_isolated_host_dials_another() {
    let run = Simulation::new(1).run(async |network| {
        let [server, client] = ["server", "client"].map(|name| network.isolated_host(name));
        let address = serve_echo(&server).await;
        let here = client.clone();
        let task = client.spawn(async move {
            let provider = here.provider(ConnectionConfig::default())?;
            let options = p2p_core::ConnectOptions::new(crate::protocol());
            let connection = provider.connect(&address, options).await?;
            connection.send("hello".into()).await?;
            connection.recv().await
        });
        task.await.expect("no crash")
    });
    assert_eq!(run.expect("a run").output.expect("no error"), "hello");
}

#[test]
fn on_a_live_network_it_is_a_host_as_others_are() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build();
    runtime.expect("a runtime").block_on(async {
        let network = Network::live(&p2p_simulator::NetworkConfig::new(1));
        let server = network.isolated_host("server");
        assert!(!server.is_isolated());
        let client = network.host("client").provider(ConnectionConfig::default()).expect("free");
        let provider = server.provider(ConnectionConfig::default()).expect("free");
        let listener = listen(&provider).await;
        let connection = connect(&client, &provider).await.expect("connected");
        connection.send("hello".into()).await.expect("sent");
        let accepted = listener.accept().await.expect("accepted");
        assert_eq!(accepted.recv().await.expect("received"), "hello");
    });
}
