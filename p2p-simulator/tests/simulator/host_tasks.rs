//! Tasks and clocks of hosts.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, SystemTime};

use p2p_core::{
    CloseCause, ConnectionConfig, P2PConnection, P2PListener, P2PProvider, RecvStream, SendStream,
};
use p2p_simulator::{HostTaskError, Simulation, SimulationError};
use tokio::time::{Instant, sleep};

use crate::pair;

const SECOND: Duration = Duration::from_secs(1);

/// Counts the seconds that a task has lived through.
async fn count_seconds(count: Arc<AtomicU32>) {
    loop {
        sleep(SECOND).await;
        count.fetch_add(1, Ordering::Relaxed);
    }
}

#[test]
fn a_crash_ends_a_hosts_tasks_and_no_others() {
    let run = Simulation::new(1).run(async |network| {
        let [alice, bob] = [network.host("alice"), network.host("bob")];
        let counts: [Arc<AtomicU32>; 3] = Default::default();
        let of_alice = alice.spawn(count_seconds(counts[0].clone()));
        let of_bob = bob.spawn(count_seconds(counts[1].clone()));
        tokio::spawn(count_seconds(counts[2].clone()));
        sleep(Duration::from_millis(3500)).await;
        let crash = network.fault("power").crash(&alice);
        assert_eq!(crash.hits(), 1, "its one task");
        assert_eq!(of_alice.await, Err(HostTaskError::Crashed { host: "alice".into() }));
        assert_eq!(Arc::strong_count(&counts[0]), 1, "what the task held is dropped");
        let on_a_crashed_host = alice.spawn(async { 7 }).await;
        assert_eq!(on_a_crashed_host, Err(HostTaskError::Crashed { host: "alice".into() }));
        sleep(Duration::from_secs(2)).await;
        drop(crash);
        assert_eq!(alice.spawn(async { 7 }).await, Ok(7), "restarted");
        assert!(!of_bob.is_finished());
        counts.map(|count| count.load(Ordering::Relaxed))
    });
    assert_eq!(run.expect("a run").output, [3, 5, 5]);
}

#[test]
fn a_paused_hosts_tasks_are_not_polled_and_go_on_afterwards() {
    let run = Simulation::new(1).run(async |network| {
        let host = network.host("host");
        let start = Instant::now();
        let task = host.spawn(async move {
            sleep(SECOND).await;
            let first = start.elapsed();
            sleep(SECOND).await;
            (first, start.elapsed())
        });
        sleep(Duration::from_millis(500)).await;
        let pause = network.fault("stop the world").pause(&host);
        sleep(Duration::from_secs(5)).await;
        assert!(pause.hits() > 0, "its timer fired meanwhile");
        pause.repair();
        task.await.expect("it ends")
    });
    // The first timer was late by the pause; the second began when the first was noticed.
    let (first, second) = run.expect("a run").output;
    assert_eq!([first, second], [5500, 6500].map(Duration::from_millis));
}

#[test]
fn what_is_sent_to_a_paused_host_arrives_when_it_goes_on() {
    let run = Simulation::new(1).run(async |network| {
        let pair = pair(network).await.expect("a connection");
        let [_, bob] = &pair.hosts;
        let pause = pair.network.fault("pause").pause(bob);
        pair.dialled.send("hello".into()).await.expect("sent");
        let early = tokio::time::timeout(SECOND, pair.accepted.recv()).await;
        assert!(early.is_err(), "nothing comes in");
        pause.repair();
        pair.accepted.recv().await.expect("received")
    });
    assert_eq!(run.expect("a run").output, "hello");
}

#[test]
fn a_pause_and_a_cut_open_the_way_only_when_both_have_ended() {
    let run = Simulation::new(1).run(async |network| {
        let pair = pair(network).await.expect("a connection");
        let [alice, bob] = &pair.hosts;
        // What the connection says of its beginning arrives first.
        sleep(SECOND).await;
        let pause = pair.network.fault("pause").pause(bob);
        pair.dialled.send_datagram("held".into()).expect("sent");
        let cut = pair.network.fault("cut").partition([alice], [bob]);
        pair.dialled.send_datagram("lost".into()).expect("sent");
        pause.repair();
        let early = tokio::time::timeout(SECOND, pair.accepted.recv_datagram()).await;
        assert!(early.is_err(), "the cut still stands");
        cut.repair();
        let held = pair.accepted.recv_datagram().await.expect("received");
        let more = tokio::time::timeout(SECOND, pair.accepted.recv_datagram()).await;
        assert!(more.is_err(), "what met the cut is lost");
        held
    });
    assert_eq!(run.expect("a run").output, "held");
}

#[test]
fn the_same_faults_and_tasks_give_the_same_hash() {
    let hash = || {
        let run = Simulation::new(1).run(async |network| {
            let pair = pair(network).await.expect("a connection");
            let [alice, bob] = pair.hosts.clone();
            let dialled = Arc::new(pair.dialled);
            for _ in 0..3 {
                let dialled = dialled.clone();
                alice.spawn(async move {
                    loop {
                        let _ = dialled.send_datagram("tick".into());
                        sleep(SECOND).await;
                    }
                });
            }
            sleep(SECOND * 3).await;
            let pause = pair.network.fault("pause").pause(&alice);
            sleep(SECOND * 3).await;
            drop(pause);
            sleep(SECOND * 3).await;
            let crash = pair.network.fault("crash").crash(&bob);
            sleep(SECOND * 60).await;
            drop(crash);
        });
        run.expect("a run").trace_hash
    };
    assert_eq!(hash(), hash());
}

#[test]
fn peers_of_a_host_that_is_paused_for_long_give_it_up() {
    let run = Simulation::new(1).run(async |network| {
        let pair = pair(network).await.expect("a connection");
        let [_, bob] = &pair.hosts;
        let paused = pair.network.elapsed();
        let _pause = pair.network.fault("pause").pause(bob);
        let reason = pair.dialled.closed().await;
        (reason.cause, pair.network.elapsed() - paused)
    });
    let expected = (CloseCause::TimedOut, ConnectionConfig::default().idle_timeout);
    assert_eq!(run.expect("a run").output, expected);
}

#[test]
fn a_plain_task_that_sends_is_a_stray_once_hosts_have_tasks() {
    let program = async |network: p2p_simulator::Network| {
        let pair = pair(network).await.expect("a connection");
        let [alice, _] = pair.hosts.clone();
        let dialled = Arc::new(pair.dialled);
        alice
            .spawn({
                let dialled = dialled.clone();
                async move { dialled.send_datagram("by the host".into()) }
            })
            .await
            .expect("no crash")
            .expect("sent");
        tokio::spawn(async move { dialled.send_datagram("by nobody".into()) })
            .await
            .expect("no panic")
            .expect("sent");
        drop(pair.providers);
    };
    let run = Simulation::new(1).run(program).expect("only reported");
    let [stray] = &run.faults.strays[..] else { panic!("one stray: {:?}", run.faults.strays) };
    // It sends, and closes the connection, whose last handle it has.
    assert_eq!((stray.host.as_str(), stray.calls), ("alice", 2));
    assert_eq!(stray.task, "task 1 of plain tokio::spawn");
    let error = Simulation::new(1).with_strict(true).run(program).expect_err("strict");
    assert!(matches!(error, SimulationError::Strays { .. }), "{error}");
    assert!(error.to_string().contains("alice"), "{error}");
}

#[test]
fn where_no_host_has_tasks_nothing_is_a_stray() {
    let run = Simulation::new(1).with_strict(true).run(async |network| {
        let pair = pair(network).await.expect("a connection");
        tokio::spawn(async move { pair.dialled.send_datagram("plain".into()) })
            .await
            .expect("no panic")
            .expect("sent");
    });
    assert!(run.expect("a run").faults.strays.is_empty());
}

#[test]
fn only_the_clock_that_is_wrong_is_wrong() {
    let epoch = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_000);
    let run = Simulation::new(1).with_epoch(epoch).run(async |network| {
        let [alice, bob] = [network.host("alice").clock(), network.host("bob").clock()];
        assert_eq!((alice.now(), bob.now()), (epoch, epoch));
        alice.put_forward(Duration::from_secs(60));
        // 0.1 % fast: a second in 1000.
        alice.set_drift(1000);
        let timer = Instant::now();
        sleep(Duration::from_secs(1000)).await;
        assert_eq!(timer.elapsed(), Duration::from_secs(1000), "timers stay true");
        let read = [alice.now(), bob.now()].map(|now| now.duration_since(epoch).expect("later"));
        let shown = alice.monotone();
        alice.put_back(Duration::from_secs(10));
        assert_eq!(alice.monotone(), shown, "the one that never goes back stands still");
        assert!(alice.now() < epoch + read[0], "the other goes back");
        read
    });
    assert_eq!(run.expect("a run").output, [1061, 1000].map(Duration::from_secs));
}

/// Which of these a plain task does at bob's endpoint, and whether it is seen.
async fn stray_calls(network: p2p_simulator::Network, call: &'static str) {
    let pair = pair(network).await.expect("a connection");
    let [alice, bob] = pair.hosts.clone();
    bob.spawn(async {}).await.expect("no crash");
    // What the plain task needs from the other side, by a task of that side's own.
    let dialled = pair.dialled.clone();
    let partner = alice.spawn(async move {
        dialled.send("message".into()).await.expect("sent");
        dialled.send_datagram("datagram".into()).expect("sent");
        let (mut send, recv) = dialled.open_stream().await.expect("opened");
        send.write_all("stream".into()).await.expect("written");
        sleep(SECOND * 2).await;
        // Unless the call was to end the connection.
        let _ = dialled.send_datagram("a later datagram".into());
        sleep(SECOND * 3).await;
        drop((send, recv));
    });
    let (accepted, provider) = (pair.accepted.clone(), pair.providers[1].clone());
    let address = pair.providers[0].local_addr();
    let task = tokio::spawn(async move {
        sleep(SECOND).await;
        match call {
            "dial" => {
                let options = p2p_core::ConnectOptions::new(crate::protocol());
                drop(provider.connect(&address, options).await);
            }
            "recv" => drop(accepted.recv().await.expect("received")),
            "send" => accepted.send("answer".into()).await.expect("sent"),
            "recv_datagram" => {
                // The first has come already, and waits in the connection: no call on the network.
                for _ in 0..2 {
                    accepted.recv_datagram().await.expect("received");
                }
            }
            "accept_stream" => std::mem::forget(accepted.accept_stream().await.expect("accepted")),
            "open_stream" => std::mem::forget(accepted.open_stream().await.expect("opened")),
            "close" => accepted.close(1, "").await,
            "shutdown" => provider.shutdown().await,
            "look" => assert!(accepted.is_connected()),
            other => panic!("{other}"),
        }
    });
    task.await.expect("no panic");
    partner.await.expect("no crash");
}

#[test]
fn a_plain_task_is_seen_at_every_call_on_the_network() {
    let looks = Simulation::new(1).with_strict(true);
    let looks = looks.run(async |network| stray_calls(network, "look").await);
    assert!(looks.is_ok(), "to ask is not to use: {looks:?}");
    let calls = [
        "dial",
        "recv",
        "send",
        "recv_datagram",
        "accept_stream",
        "open_stream",
        "close",
        "shutdown",
    ];
    for call in calls {
        let run = Simulation::new(1).run(async |network| stray_calls(network, call).await);
        let strays = run.expect("only reported").faults.strays;
        assert!(strays.iter().any(|stray| stray.host == "bob"), "{call}: {strays:?}");
        let strict = Simulation::new(1).with_strict(true);
        let error = strict.run(async |network| stray_calls(network, call).await);
        let error = error.map(|_| ()).expect_err(call);
        assert!(error.to_string().contains("plain tokio::spawn used 'bob'"), "{error}");
    }
}

#[test]
fn reading_and_writing_a_stream_is_seen_too() {
    let run = Simulation::new(1).run(async |network| {
        let pair = pair(network).await.expect("a connection");
        pair.hosts[0].spawn(async {}).await.expect("no crash");
        let (mut send, mut recv) = pair.dialled.open_stream().await.expect("opened");
        send.write_all("there".into()).await.expect("written");
        let (mut back, mut there) = pair.accepted.accept_stream().await.expect("accepted");
        assert_eq!(there.read_chunk(10).await.expect("read").expect("bytes"), "there");
        back.write_all("back".into()).await.expect("written");
        let reading = tokio::spawn(async move { recv.read_chunk(10).await });
        assert_eq!(reading.await.expect("no panic").expect("read").expect("bytes"), "back");
        let writing = tokio::spawn(async move { send.write_all("again".into()).await });
        writing.await.expect("no panic").expect("written");
    });
    let strays = run.expect("only reported").faults.strays;
    let found: Vec<_> = strays.iter().map(|stray| (stray.host.as_str(), &stray.task[..])).collect();
    let [reader, writer] = ["task 1 of plain tokio::spawn", "task 2 of plain tokio::spawn"];
    assert_eq!(found, [("alice", reader), ("alice", writer)]);
}

#[test]
fn the_tasks_that_connections_have_for_themselves_are_no_strays() {
    let run = Simulation::new(1).with_strict(true).run(async |network| {
        let [alice, bob] = ["alice", "bob"].map(|name| network.host(name));
        let (tell, address) = tokio::sync::oneshot::channel();
        let here = bob.clone();
        let server = bob.spawn(async move {
            let provider = here.provider(ConnectionConfig::default()).expect("free");
            let listener = crate::listen(&provider).await;
            let _ = tell.send(provider.local_addr());
            let connection = listener.accept().await.expect("accepted");
            // More than the window, so that the connection's own task writes the rest.
            for _ in 0..40 {
                let message = connection.recv().await.expect("received");
                connection.send(message).await.expect("sent");
            }
            connection.closed().await;
        });
        let here = alice.clone();
        let client = alice.spawn(async move {
            let provider = here.provider(ConnectionConfig::default()).expect("free");
            let address = address.await.expect("the server starts");
            let options = p2p_core::ConnectOptions::new(crate::protocol());
            let connection = provider.connect(&address, options).await.expect("connected");
            for _ in 0..40 {
                connection.send(vec![7; 100_000].into()).await.expect("sent");
                connection.recv().await.expect("received");
            }
            connection.close(0, "").await;
        });
        client.await.expect("no crash");
        server.await.expect("no crash");
    });
    assert!(run.expect("strict, and yet no error").faults.strays.is_empty());
}
