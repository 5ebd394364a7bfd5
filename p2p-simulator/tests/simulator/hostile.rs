//! Connections that outlive their links, on networks that do their worst: for each seed another
//! network, other faults, other traffic, and somebody who renews links, crashes, closes or goes.
//!
//! - [`plan`]: what a seed stands for;
//! - [`ledger`]: what was sent and received by whom, seen from outside, and what must be true of it;
//! - [`process`]: what runs on a host.

mod ledger;
mod plan;
mod process;

use std::sync::Arc;
use std::time::Duration;

use p2p_core::PeerAddr;
use p2p_simulator::{IdleFaults, Network, Simulation, sim_test};
use tokio::runtime::Handle;
use tokio::time::{Instant, sleep, timeout};

use ledger::Ledger;
use plan::{Plan, Side};
use process::Process;

/// Longer than all faults, and than a connection looks for a link.
const PATIENCE: Duration = Duration::from_secs(600);

sim_test! {
    seeds = 300;
    simulation = Simulation::new(0).with_idle_faults(IdleFaults::Report);
    async fn nothing_is_lost_or_doubled_and_everything_ends(network: Network) -> Result<(), String> {
        story(network).await
    }
}

/// An end that was never told of a close over a path that was cut; and one that heard "dropped" on a
/// link in the making before it heard on the other why the connection was closed.
#[test]
fn seeds_that_failed_once_pass() {
    for seed in [7117, 8935, 22266, 26863] {
        let simulation = Simulation::new(seed).with_idle_faults(IdleFaults::Report);
        let run = simulation.run(story).expect("the simulation runs");
        assert_eq!(run.output, Ok(()), "seed {seed}");
    }
}

async fn story(network: Network) -> Result<(), String> {
    let tasks = || Handle::current().metrics().num_alive_tasks();
    let tasks_before = tasks();
    let hosts = [network.host("alice"), network.host("bob")];
    let plan = Arc::new(Plan::draw(&hosts[0]));
    network.set_link(&hosts[0], &hosts[1], &plan.link).map_err(|error| error.to_string())?;
    if let Some(relayed) = &plan.relayed {
        let set = network.set_relayed_link(&hosts[0], &hosts[1], relayed);
        set.map_err(|error| error.to_string())?;
    }
    network.apply(&plan.faults).map_err(|error| error.to_string())?;
    network.note(&format!("{plan:?}"));
    let ledger = Arc::new(Ledger::new(plan.messages));
    let addr = PeerAddr::new(hosts[1].peer_id());
    let spawn = |side: Side, life: u32| {
        let host = hosts[side as usize].clone();
        let process = Process::new(host.clone(), side, life, plan.clone(), ledger.clone());
        host.spawn(process.run(addr.clone()))
    };
    let mut running = [spawn(Side::Alice, 0), spawn(Side::Bob, 0)];
    if let Some(crash) = &plan.crash {
        sleep(crash.at).await;
        hosts[crash.who as usize].crash();
        ledger.crashed(crash.who);
        sleep(crash.lasting).await;
        hosts[crash.who as usize].restart();
        running[crash.who as usize] = spawn(crash.who, 1);
    }
    let start = Instant::now();
    while !ledger.is_settled() {
        if start.elapsed() > PATIENCE {
            return Err(format!("it does not come to an end: {ledger:?}, {plan:?}"));
        }
        sleep(Duration::from_millis(200)).await;
    }
    ledger.stop();
    for process in running {
        match timeout(PATIENCE, process).await {
            Ok(Ok(result)) => result?,
            Ok(Err(error)) => return Err(format!("{error}, {plan:?}")),
            Err(_) => return Err(format!("a process does not end: {ledger:?}, {plan:?}")),
        }
    }
    ledger.check(&plan).map_err(|error| format!("{error}: {ledger:?}, {plan:?}"))?;
    // Whoever was told to end has some turns to do so.
    sleep(Duration::from_secs(1)).await;
    match tasks() {
        left if left > tasks_before => Err(format!("{} tasks are left", left - tasks_before)),
        _ => Ok(()),
    }
}
