//! Many seeds: what passes, what fails, and what is said about it.

use std::collections::BTreeSet;
use std::num::NonZeroUsize;
use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use p2p_core::P2PConnection;
use p2p_simulator::{
    LinkProfile, Network, SeedFailure, SeedPlan, Simulation, run_seeds, sim_test, trace_difference,
};
use tokio::time::sleep;

use crate::pair;

/// Set in the process in which a test is to fail.
const CHILD: &str = "P2P_SIMULATOR_HARNESS_CHILD";

fn lossy() -> Simulation {
    let link = LinkProfile::new().with_jitter(Duration::from_millis(5)).with_loss(0.1);
    Simulation::new(0).with_link(link)
}

fn threads(count: usize) -> NonZeroUsize {
    NonZeroUsize::new(count).expect("more than none")
}

async fn a_message_arrives(network: Network) -> p2p_core::Result<()> {
    let pair = pair(network).await?;
    pair.dialled.send("hello".into()).await?;
    pair.accepted.recv().await.map(|_| ())
}

sim_test! {
    seeds = 50;
    simulation = lossy();
    /// The macro's own words: attributes go through.
    async fn a_message_survives_loss(network: Network) -> p2p_core::Result<()> {
        a_message_arrives(network).await
    }
}

sim_test! {
    seeds = 20;
    async fn a_test_that_fails_in_the_child(network: Network) -> Result<(), String> {
        network.host("alice");
        sleep(Duration::from_millis(3)).await;
        match std::env::var_os(CHILD) {
            Some(_) => Err("planted".to_owned()),
            None => Ok(()),
        }
    }
}

#[test]
fn seeds_run_in_parallel_with_results_in_their_order() {
    let run = |count| {
        let plan = SeedPlan::new(40).with_first(100).with_threads(threads(count));
        run_seeds(&plan, &lossy(), a_message_arrives).expect("all pass")
    };
    let (alone, together) = (run(1), run(4));
    assert_eq!(alone.runs, together.runs, "threads change nothing, hashes included");
    let seeds: Vec<u64> = together.runs.iter().map(|run| run.seed).collect();
    assert_eq!(seeds, Vec::from_iter(100..140));
    let hashes: BTreeSet<String> =
        together.runs.iter().map(|run| run.trace_hash.to_string()).collect();
    assert_eq!(hashes.len(), 40, "each seed is another run");
    assert!(together.events() > 40 && together.virtual_time() > Duration::from_millis(80));
    assert!(together.to_string().starts_with("40 seeds passed"), "{together}");
}

/// Fails for the seeds from 7 on, of which it learns by a list of names.
fn failing(how: impl Fn() -> Result<(), String> + Sync) -> SeedFailure {
    let names = Mutex::new(BTreeSet::new());
    let collect = SeedPlan::new(13).with_first(7);
    let all = run_seeds(&collect, &Simulation::new(0), async |network| {
        names.lock().expect("no panic").insert(network.host("alice").peer_id());
        Ok::<(), ()>(())
    });
    assert_eq!(all.expect("all pass").runs.len(), 13);
    let plan = SeedPlan::new(20).with_threads(threads(4)).with_test("the-package", "krate::a::b");
    let run = run_seeds(&plan, &Simulation::new(0), async |network| {
        let peer = network.host("alice").peer_id();
        sleep(Duration::from_millis(3)).await;
        if names.lock().expect("no panic").contains(&peer) { how() } else { Ok(()) }
    });
    *run.map(|_| ()).expect_err("seed 7 fails")
}

#[test]
fn the_first_seed_that_fails_is_reported_with_its_replay_line() {
    let failure = failing(|| Err("planted".to_owned()));
    assert_eq!((failure.seed, failure.runs_before), (7, 7));
    assert!(failure.second.is_none(), "it fails again in the same way");
    let text = failure.to_string();
    assert!(text.contains("planted") && text.contains("3ms"), "{text}");
    assert!(text.contains("host added alice"), "with the last of the trace: {text}");
    let line = "SIMULATOR_P2P_SEED=7 cargo test -p the-package -- --exact a::b --nocapture";
    assert!(text.ends_with(line), "{text}");
}

#[test]
fn a_panic_is_the_failure_of_its_seed() {
    let failure = failing(|| panic!("planted"));
    assert_eq!(failure.seed, 7);
    assert!(failure.why.contains("a panic at") && failure.why.contains("harness.rs"), "{failure}");
    assert!(failure.why.contains("planted"), "{failure}");
}

#[test]
fn a_seed_that_fails_only_once_is_called_not_deterministic() {
    let calls = AtomicU64::new(0);
    let plan = SeedPlan::new(1);
    let run = run_seeds(&plan, &Simulation::new(0), async |_| {
        if calls.fetch_add(1, Ordering::Relaxed) == 0 { Err("once") } else { Ok(()) }
    });
    let failure = run.map(|_| ()).expect_err("the first run fails");
    assert_eq!(failure.second.as_deref(), Some("it did not fail"));
    assert!(failure.to_string().contains("NOT DETERMINISTIC"), "{failure}");
}

#[test]
fn a_deadlock_and_a_runtime_around_it_are_failures_of_a_seed() {
    let stuck = run_seeds(&SeedPlan::new(5), &Simulation::new(0), async |_| {
        std::future::pending::<()>().await;
        Ok::<(), ()>(())
    });
    let failure = stuck.map(|_| ()).expect_err("it never ends");
    assert!(failure.seed == 0 && failure.why.contains("virtual deadlock"), "{failure}");
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let plan = SeedPlan::new(5).with_threads(threads(1));
    let inside = runtime
        .block_on(async { run_seeds(&plan, &Simulation::new(0), async |_| Ok::<(), ()>(())) });
    let failure = inside.map(|_| ()).expect_err("no runtime inside another");
    assert!(failure.why.contains("inside another"), "{failure}");
}

/// Runs one test of this binary in a process of its own.
fn child(test: &str, variable: &str, value: &str) -> (bool, String) {
    let output = Command::new(std::env::current_exe().expect("this binary"))
        .args(["--exact", test, "--nocapture"])
        .env(CHILD, "1")
        .env(variable, value)
        .output()
        .expect("the child runs");
    let text =
        [output.stdout, output.stderr].map(|text| String::from_utf8_lossy(&text).into_owned());
    (output.status.success(), text.concat())
}

#[test]
fn the_environment_chooses_the_seeds_of_a_test() {
    let test = "harness::a_message_survives_loss";
    let (passed, text) = child(test, "SIMULATOR_P2P_SEEDS", "1000..1007");
    assert!(passed && text.contains("7 seeds passed"), "{text}");
    let (passed, text) = child(test, "SIMULATOR_P2P_SEED", "7");
    assert!(passed && text.contains("1 seeds passed"), "{text}");
    let (passed, text) = child(test, "SIMULATOR_P2P_SEEDS", "a few");
    let expected = "SIMULATOR_P2P_SEEDS is 'a few': it must be a number of seeds";
    assert!(!passed && text.contains(expected), "{text}");
}

#[test]
fn a_failing_test_prints_the_line_that_repeats_it() {
    let test = "harness::a_test_that_fails_in_the_child";
    let (passed, text) = child(test, "SIMULATOR_P2P_SEEDS", "12..15");
    let line =
        format!("SIMULATOR_P2P_SEED=12 cargo test -p p2p-simulator -- --exact {test} --nocapture");
    assert!(!passed && text.contains("planted") && text.contains(&line), "{text}");
}

#[test]
fn a_trace_is_written_as_json_lines() {
    let run = Simulation::new(3).with_recording(1000).run(a_message_arrives).expect("a run");
    let mut text = Vec::new();
    run.write_trace(&mut text).expect("memory");
    let text = String::from_utf8(text).expect("text");
    let mut lines = text.lines();
    let head = format!(
        r#"{{"seed":3,"hosts":["alice","bob"],"events":{},"hash":"{}"}}"#,
        run.trace_count, run.trace_hash
    );
    assert_eq!(lines.next(), Some(head.as_str()));
    assert_eq!(lines.clone().count() as u64, run.trace_count, "one line each");
    let dial = lines.find(|line| line.contains("dial")).expect("somebody dialled");
    assert!(dial.contains(r#""kind":"Sent","from":0,"to":1,"from_name":"alice""#), "{dial}");
}

#[test]
fn the_first_difference_of_two_traces_is_shown_with_what_came_before() {
    let trace = |words: &'static str| {
        let run = Simulation::new(3).with_recording(1000).run(async move |network| {
            let pair = pair(network).await.expect("a connection");
            pair.dialled.send(words.into()).await.expect("sent");
            pair.accepted.recv().await.expect("received");
        });
        run.expect("a run")
    };
    let (one, other) = (trace("same"), trace("else"));
    assert_eq!(trace_difference(&one.recorded, &one.recorded, &one.hosts, 3), None);
    let found = trace_difference(&one.recorded, &other.recorded, &one.hosts, 3);
    let found = found.expect("another message");
    assert_eq!(found.before.len(), 3);
    let text = found.to_string();
    assert!(text.contains("same") && text.contains("else"), "{text}");
    assert!(text.contains("alice -> bob"), "{text}");
}
