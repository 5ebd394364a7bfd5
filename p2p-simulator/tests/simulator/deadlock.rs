//! Runs that cannot end, and runs that look outside: what is said about them.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use p2p_core::{
    ConnectionConfig, ListenOptions, P2PConnection, P2PListener, P2PProvider, SendStream,
};
use p2p_simulator::{Every, Network, RealThreads, Simulation, SimulationError};
use tokio::sync::{Mutex, mpsc};
use tokio::time::sleep;

use crate::pair;

/// Why a program failed.
fn failure<T, F: Future<Output = T>>(program: impl FnOnce(Network) -> F) -> SimulationError {
    let run = Simulation::new(9).run(program);
    run.map(|_| ()).expect_err("the run fails")
}

#[test]
fn two_that_wait_for_each_others_messages_are_named() {
    let error = failure(async |network| {
        let pair = pair(network).await.expect("a connection");
        sleep(Duration::from_millis(30)).await;
        let _ = tokio::join!(pair.dialled.recv(), pair.accepted.recv());
    });
    let text = error.to_string();
    let SimulationError::Deadlock { at, .. } = error else { panic!("{text}") };
    // Two round trips of 2 ms at most to connect, then the sleep.
    assert!(at >= Duration::from_millis(30) && at < Duration::from_millis(40), "{text}");
    assert!(text.contains("seed 9") && text.contains("alice, on connection 0 with bob"), "{text}");
    assert!(text.contains("bob, on connection 0 with alice, waits for"), "{text}");
}

#[test]
fn a_listener_whom_nobody_calls_is_named() {
    let text = failure(async |network| {
        let lonely = network.host("lonely").provider(ConnectionConfig::default()).expect("free");
        let listener =
            lonely.listen(ListenOptions::new(crate::protocol())).await.expect("it listens");
        let _ = listener.accept().await;
    })
    .to_string();
    assert!(text.contains("deadlock") && text.contains("lonely waits for somebody"), "{text}");
}

#[test]
fn a_writer_whose_reader_does_not_read_is_named() {
    let text = failure(async |network| {
        let pair = pair(network).await.expect("a connection");
        let (mut stream, _read) = pair.dialled.open_stream().await.expect("a stream");
        loop {
            stream.write_all(vec![0; 65_536].into()).await.expect("written");
        }
    })
    .to_string();
    assert!(text.contains("alice") && text.contains("room to write on stream"), "{text}");
    // The window is 1 MiB, and the reader has taken nothing of it.
    assert!(text.contains("bytes unread"), "{text}");
}

#[test]
fn tasks_that_wait_for_each_other_are_counted() {
    let text = failure(async |_| {
        let (sender, mut receiver) = mpsc::channel::<()>(1);
        let lock = Arc::new(Mutex::new(()));
        let held = lock.clone().lock_owned().await;
        tokio::spawn(async move {
            let _second = lock.lock().await;
            drop(sender);
        });
        receiver.recv().await;
        drop(held);
    })
    .to_string();
    assert!(text.contains("tasks wait for each other"), "{text}");
    assert!(text.contains("have not ended, the library's among them: 1"), "{text}");
}

#[test]
fn a_timer_behind_the_limit_is_no_deadlock_and_never_seen() {
    let seen = Arc::new(AtomicBool::new(false));
    let run = Simulation::new(9).with_time_limit(Duration::from_secs(7)).run(async |_| {
        sleep(Duration::from_secs(10)).await;
        seen.store(true, Ordering::Relaxed);
    });
    let error = run.map(|_| ()).expect_err("it takes too long");
    assert!(matches!(error, SimulationError::TimeLimit { .. }), "{error}");
    assert!(!seen.load(Ordering::Relaxed));
}

#[test]
fn a_program_that_never_rests_ends_at_the_real_limit() {
    let run = Simulation::new(9).with_real_time_limit(Duration::from_millis(50)).run(async |_| {
        loop {
            tokio::task::yield_now().await;
        }
    });
    let error = run.map(|_: p2p_simulator::Outcome<()>| ()).expect_err("it never ends");
    assert!(matches!(error, SimulationError::RealTimeLimit { seed: 9, .. }), "{error}");
    assert!(error.to_string().contains("yield_now"), "{error}");
}

#[test]
fn a_spawned_task_that_never_rests_ends_at_the_real_limit_too() {
    let run = Simulation::new(9).with_real_time_limit(Duration::from_millis(50)).run(async |_| {
        tokio::spawn(async {
            loop {
                tokio::task::yield_now().await;
            }
        });
        std::future::pending::<()>().await;
    });
    let error = run.map(|_| ()).expect_err("it never ends");
    assert!(matches!(error, SimulationError::RealTimeLimit { .. }), "{error}");
}

#[test]
#[allow(clippy::disallowed_methods)] // That threads are found is the claim.
fn a_real_thread_fails_the_run_by_name() {
    let program = async |_| {
        sleep(Duration::from_millis(20)).await;
        tokio::task::spawn_blocking(|| 7).await.expect("the thread ends")
    };
    let error = failure(program);
    let SimulationError::RealThreads { seed: 9, count: 1, at } = error else { panic!("{error}") };
    assert_eq!(at, Duration::from_millis(20));
    assert!(error.to_string().contains("spawn_blocking"), "{error}");
    let allowed = Simulation::new(9).with_real_threads(RealThreads::Allow).run(program);
    let allowed = allowed.expect("it is allowed");
    assert_eq!((allowed.output, allowed.real_threads), (7, 1));
}

#[test]
#[allow(clippy::disallowed_methods)] // That threads are found is the claim.
fn a_thread_that_nobody_waits_for_fails_the_run_too() {
    let error = failure(async |_| drop(tokio::task::spawn_blocking(|| ())));
    assert!(matches!(error, SimulationError::RealThreads { .. }), "{error}");
}

#[test]
#[allow(clippy::disallowed_methods)] // That threads are found is the claim.
fn a_thread_of_the_programs_own_that_uses_the_network_fails_the_run() {
    let error = failure(async |network| {
        sleep(Duration::from_millis(3)).await;
        std::thread::spawn(move || network.trace_count()).join().expect("the thread ends");
        sleep(Duration::from_millis(3)).await;
    });
    let SimulationError::RealThreads { count: 1, at, .. } = error else { panic!("{error}") };
    assert_eq!(at, Duration::from_millis(3));
}

#[test]
fn a_socket_is_named_in_the_program_and_in_its_tasks() {
    let error = failure(async |_| drop(tokio::net::UdpSocket::bind("127.0.0.1:0").await));
    assert!(matches!(error, SimulationError::RealIo { seed: 9, .. }), "{error}");
    assert!(error.to_string().contains("simulated hosts"), "{error}");
    let error = failure(async |_| {
        sleep(Duration::from_millis(3)).await;
        // Its panic ends the task only, and nobody looks.
        tokio::spawn(async { drop(tokio::net::UdpSocket::bind("127.0.0.1:0").await) });
        sleep(Duration::from_millis(3)).await;
    });
    let SimulationError::RealIo { at, .. } = error else { panic!("{error}") };
    assert_eq!(at, Duration::from_millis(3));
}

#[test]
fn an_invariant_is_checked_at_every_event() {
    let run = Simulation::new(9)
        .with_invariant("at most two hosts", Every::Event, |network| {
            match network.host_names().len() {
                count if count > 2 => Err(format!("there are {count}")),
                _ => Ok(()),
            }
        })
        .run(async |network| {
            for name in ["alice", "bob", "carol", "dave"] {
                network.host(name);
                sleep(Duration::from_millis(5)).await;
            }
        });
    let error = run.map(|_| ()).expect_err("carol is one too many");
    let at = Duration::from_millis(10);
    let (name, detail) = ("at most two hosts".to_owned(), "there are 3".to_owned());
    assert_eq!(error, SimulationError::Invariant { seed: 9, name, at, detail });
}

#[test]
fn an_invariant_is_checked_at_intervals_though_nothing_happens() {
    let checks = Arc::new(std::sync::atomic::AtomicU32::new(0));
    let counted = checks.clone();
    let run = Simulation::new(9).run(async |network| {
        let every = Every::Interval(Duration::from_millis(100));
        network.invariant("not for long", every, move |network| {
            counted.fetch_add(1, Ordering::Relaxed);
            match network.elapsed() {
                late if late > Duration::from_secs(1) => Err(format!("it is {late:?}")),
                _ => Ok(()),
            }
        });
        sleep(Duration::from_secs(60)).await;
    });
    let error = run.map(|_| ()).expect_err("it takes longer");
    let SimulationError::Invariant { at, .. } = error else { panic!("{error}") };
    assert_eq!(at, Duration::from_millis(1100));
    assert_eq!(checks.load(Ordering::Relaxed), 11);
}

#[test]
fn a_deadlock_is_seen_although_an_invariant_is_checked() {
    let error = failure(async |network| {
        network.invariant("fine", Every::Interval(Duration::from_millis(1)), |_| Ok(()));
        std::future::pending::<()>().await;
    });
    let SimulationError::Deadlock { at, .. } = error else { panic!("{error}") };
    assert_eq!(at, Duration::ZERO);
}

#[test]
fn a_check_that_panics_is_a_no() {
    let error = failure(async |network| {
        network.invariant("odd", Every::Event, |_| panic!("oh"));
        sleep(Duration::from_millis(1)).await;
    });
    assert!(error.to_string().contains("'odd'") && error.to_string().contains("oh"), "{error}");
}
