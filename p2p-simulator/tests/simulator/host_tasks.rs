//! Tasks and clocks of hosts.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, SystemTime};

use p2p_core::{CloseCause, ConnectionConfig, P2PConnection};
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
fn a_plain_task_that_dials_is_a_stray_once_hosts_have_tasks() {
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
    assert_eq!((stray.host.as_str(), stray.calls), ("alice", 1));
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
