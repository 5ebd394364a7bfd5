//! How a run begins and ends.

use std::time::Duration;

use p2p_simulator::{Simulation, SimulationError};
use tokio::time::{Instant, sleep};

#[test]
fn inside_a_runtime_it_says_so() {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let error = runtime.block_on(async { Simulation::new(1).run(async |_| ()) });
    let error = error.expect_err("no runtime inside another");
    assert_eq!(error, SimulationError::InsideRuntime);
    assert!(error.to_string().contains("Network::live"), "{error}");
}

#[test]
fn a_program_that_waits_for_nothing_is_at_a_deadlock() {
    let limit = Duration::from_secs(7);
    let run = Simulation::new(3).with_time_limit(limit).run(async |_| {
        std::future::pending::<()>().await;
    });
    let Err(SimulationError::Deadlock { seed: 3, at, .. }) = run.map(|_| ()) else {
        panic!("a deadlock");
    };
    assert_eq!(at, Duration::ZERO, "it waited from the start");
}

#[test]
fn a_program_that_never_rests_ends_at_the_limit_too() {
    let limit = Duration::from_secs(7);
    let run = Simulation::new(3).with_time_limit(limit).run(async |_| {
        loop {
            sleep(Duration::from_millis(1)).await;
        }
    });
    let Err(SimulationError::TimeLimit { .. }) = run.map(|_: p2p_simulator::Outcome<()>| ()) else {
        panic!("the limit holds");
    };
}

#[test]
fn timers_and_spawned_tasks_run_in_virtual_time() {
    let run = Simulation::new(1).run(async |network| {
        let start = Instant::now();
        let task = tokio::spawn(async {
            sleep(Duration::from_secs(3600)).await;
            7
        });
        let seven = task.await.expect("the task ends");
        (seven, start.elapsed(), network.elapsed())
    });
    let hour = Duration::from_secs(3600);
    assert_eq!(run.expect("a run").output, (7, hour, hour));
}

#[test]
fn tasks_that_still_run_are_dropped_with_the_run() {
    let run = Simulation::new(1).run(async |network| {
        let pair = crate::pair(network).await.expect("a connection");
        tokio::spawn(async move {
            let _held = pair;
            std::future::pending::<()>().await;
        });
    });
    assert!(run.is_ok());
}
