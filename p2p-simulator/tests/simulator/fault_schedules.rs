//! Fault schedules: data in, faults out, and what fails shrinks.

use std::time::Duration;

use p2p_core::P2PConnection;
use p2p_simulator::{
    Degrade, Fault, FaultError, FaultKind, FaultProfile, FaultSchedule, IdleFaults, LinkProfile,
    Preset, Simulation, SimulationError,
};
use proptest::test_runner::{Config, RngAlgorithm, TestError, TestRng, TestRunner};
use tokio::time::sleep;

use crate::pair;

const SECOND: Duration = Duration::from_secs(1);
const HOSTS: [&str; 2] = ["alice", "bob"];

fn cut() -> Fault {
    Fault::Partition { a: vec!["alice".into()], b: vec!["bob".into()] }
}

/// Sends a datagram a second, for as many seconds; returns which arrived.
async fn probe(network: p2p_simulator::Network, seconds: u8) -> Vec<u8> {
    let Ok(pair) = pair(network).await else { return Vec::new() };
    let begun = pair.network.elapsed();
    let mut arrived = Vec::new();
    for second in 0..seconds {
        // On whole seconds, whatever the connection took.
        sleep(SECOND * (u32::from(second) + 1) - (pair.network.elapsed() - begun)).await;
        let _ = pair.dialled.send_datagram(vec![second].into());
        let got = tokio::time::timeout(SECOND / 2, pair.accepted.recv_datagram()).await;
        arrived.extend(got.into_iter().flatten().filter_map(|got| got.first().copied()));
    }
    arrived
}

#[test]
fn faults_begin_and_end_at_their_times() {
    // Probes are sent shortly after the seconds 1, 2, 3, 4, 5: those of 2 and 3 meet the cut.
    let schedule = FaultSchedule::new().with("cable", SECOND * 3 / 2, SECOND * 2, cut());
    let run =
        Simulation::new(1).with_schedule(schedule).run(async |network| probe(network, 5).await);
    let run = run.expect("a run");
    assert_eq!(run.output, [0, 3, 4]);
    let fault = &run.faults.faults[0];
    assert_eq!((fault.began, fault.ended), (Some(SECOND * 3 / 2), Some(SECOND * 7 / 2)));
    assert!(fault.hits >= 2, "{fault}");
}

#[test]
fn a_schedule_that_went_through_text_does_the_same_to_the_byte() {
    let schedule = FaultSchedule::generate(7, FaultProfile::Hostile, &HOSTS, SECOND * 60);
    let text = serde_json::to_string(&schedule).expect("written");
    let again: FaultSchedule = serde_json::from_str(&text).expect("read");
    assert_eq!(again, schedule);
    let hash = |schedule: FaultSchedule| {
        let simulation = Simulation::new(3).with_idle_faults(IdleFaults::Report);
        let run = simulation.with_schedule(schedule).run(async |network| probe(network, 60).await);
        run.expect("a run").trace_hash
    };
    assert_eq!(hash(again), hash(schedule));
}

#[test]
fn the_written_form_stays_as_it_is() {
    let by = Degrade::new().with_latency_us(1500);
    let (a, b) = (vec!["alice".to_owned()], vec!["bob".to_owned()]);
    let schedule =
        FaultSchedule::new().with("slow", SECOND, SECOND * 2, Fault::Degrade { a, b, by });
    let text = serde_json::to_string(&schedule).expect("written");
    assert_eq!(
        text,
        "{\"version\":3,\"faults\":[{\"name\":\"slow\",\"at_ns\":1000000000,\"for_ns\":2000000000,\
         \"fault\":{\"kind\":\"degrade\",\"a\":[\"alice\"],\"b\":[\"bob\"],\
         \"by\":{\"latency_us\":1500,\"jitter_us\":0,\"loss_ppm\":0}}}]}"
    );
    assert_eq!(
        schedule.to_string(),
        "at 1s for 2s: 'slow': degrade alice | bob: +1500 us, jitter +0 us, loss +0 ppm\n"
    );
}

#[test]
fn text_of_a_newer_version_is_refused_for_that_and_not_for_what_is_new_in_it() {
    let text = r#"{"version":4,"faults":[{"name":"new","at_ns":0,"fault":{"kind":"meteor"}}]}"#;
    let error = serde_json::from_str::<FaultSchedule>(text).expect_err("newer").to_string();
    assert!(error.contains("version 4") && !error.contains("meteor"), "{error}");
    let text = text.replace("\"version\":4", "\"version\":1");
    let error = serde_json::from_str::<FaultSchedule>(&text).expect_err("unknown").to_string();
    assert!(error.contains("meteor"), "{error}");
}

#[test]
fn a_seed_gives_one_schedule_and_a_profile_its_kinds() {
    let generate = |seed, profile| FaultSchedule::generate(seed, profile, &HOSTS, SECOND * 600);
    let hostile = generate(1, FaultProfile::Hostile);
    assert_eq!(hostile, generate(1, FaultProfile::Hostile));
    assert_ne!(hostile, generate(2, FaultProfile::Hostile));
    // One fault in 5 s, over 600 s.
    assert_eq!(hostile.faults.len(), 120);
    let kinds = |schedule: &FaultSchedule| {
        let kinds = schedule.faults.iter().map(|planned| planned.fault.kind());
        kinds.collect::<std::collections::BTreeSet<_>>()
    };
    assert_eq!(kinds(&hostile).len(), 9, "all that can be generated");
    assert_eq!(
        kinds(&generate(1, FaultProfile::Calm)).into_iter().collect::<Vec<_>>(),
        [FaultKind::Degrade]
    );
    assert!(!kinds(&generate(1, FaultProfile::Lossy)).contains(&FaultKind::Crash));
    for planned in &hostile.faults {
        let lasting = planned.lasting.expect("generated faults end");
        assert!(planned.at + lasting <= SECOND * 600 + Duration::from_nanos(1), "{planned}");
    }
    assert_eq!(hostile.check(), Ok(()));
}

#[test]
fn a_fault_whose_time_never_came_is_idle() {
    let schedule = FaultSchedule::new().with("late", SECOND * 3600, SECOND, cut());
    let run =
        Simulation::new(1).with_schedule(schedule).run(async |network| probe(network, 2).await);
    let error = run.expect_err("an idle fault").to_string();
    assert!(error.contains("'late'") && error.contains("never began"), "{error}");
}

#[test]
fn bad_schedules_are_refused_with_the_name_of_what_is_wrong() {
    let refused = |schedule: FaultSchedule| {
        let run = Simulation::new(1).with_schedule(schedule).run(async |network| {
            probe(network, 3).await;
        });
        match run.expect_err("refused") {
            SimulationError::Fault(error) => error,
            other => panic!("{other}"),
        }
    };
    let mut newer = FaultSchedule::new();
    newer.version = FaultSchedule::VERSION + 1;
    let known = FaultSchedule::VERSION;
    assert_eq!(refused(newer), FaultError::NewerVersion { found: known + 1, known });
    let crash = |host: &str| Fault::Crash { host: host.into() };
    let unknown = FaultSchedule::new().with("who", SECOND, SECOND, crash("dave"));
    let error = FaultError::UnknownHost { fault: "who".into(), host: "dave".into() };
    assert_eq!(refused(unknown), error);
    let by = Degrade::new().with_loss_ppm(1_000_001);
    let (a, b) = (vec!["alice".to_owned()], vec!["bob".to_owned()]);
    let all = FaultSchedule::new().with("loss", SECOND, SECOND, Fault::Degrade { a, b, by });
    assert!(matches!(refused(all), FaultError::Impossible { fault, .. } if fault == "loss"));
    let alone = Fault::Partition { a: vec!["alice".into()], b: vec!["alice".into()] };
    let alone = FaultSchedule::new().with("alone", SECOND, SECOND, alone);
    assert!(matches!(refused(alone), FaultError::Impossible { fault, .. } if fault == "alone"));
}

#[test]
fn applied_by_hand_unknown_hosts_are_found_at_once_and_nothing_is_done() {
    let run = Simulation::new(1).run(async |network| {
        network.host("alice");
        network.host("twin");
        network.host("twin");
        let crash = |host: &str| Fault::Crash { host: host.into() };
        let schedule = FaultSchedule::new().with("fine", SECOND, SECOND, crash("alice"));
        let dave = schedule.clone().with("who", SECOND, SECOND, crash("dave"));
        let twin = schedule.with("which", SECOND, SECOND, crash("twin"));
        [network.apply(&dave), network.apply(&twin)].map(|refused| refused.expect_err("refused"))
    });
    let run = run.expect("nothing was done, so that nothing is idle");
    let [dave, twin] = run.output;
    assert_eq!(dave, FaultError::UnknownHost { fault: "who".into(), host: "dave".into() });
    assert_eq!(twin, FaultError::AmbiguousHost { fault: "which".into(), host: "twin".into() });
    assert!(run.faults.faults.is_empty());
}

#[test]
fn a_planted_bug_shrinks_to_the_one_guilty_fault() {
    let config = Config { failure_persistence: None, max_shrink_iters: 4096, ..Config::default() };
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &[7; 32]);
    let mut runner = TestRunner::new_with_rng(config, rng);
    let schedules = FaultSchedule::strategy(FaultProfile::Hostile, &HOSTS, SECOND * 10, 12);
    let failed = runner.run(&schedules, |schedule| {
        let simulation = Simulation::new(1).with_idle_faults(IdleFaults::Report);
        // The bug: whoever's host crashes between two probes never comes again.
        let run = simulation.with_schedule(schedule).run(async |network| {
            probe(network.clone(), 10).await;
            let report = network.fault_report();
            report.faults.iter().any(|fault| fault.kind == FaultKind::Crash && fault.hits > 0)
        });
        proptest::prop_assert!(!run.expect("a run").output);
        Ok(())
    });
    let Err(TestError::Fail(_, schedule)) = failed else { panic!("the bug is found") };
    let [planned] = &schedule.faults[..] else { panic!("only the guilty one: {schedule}") };
    assert_eq!(planned.fault, Fault::Crash { host: "alice".into() }, "of the first host");
    // As short as can be, and as early as there is something to crash: the connection takes 3 ms.
    assert_eq!(planned.lasting, Some(Duration::from_millis(1)), "{schedule}");
    assert!(planned.at <= Duration::from_millis(4), "{schedule}");
}

#[test]
fn a_fault_of_a_whole_profile_goes_through_text_and_back_and_does_what_it_says() {
    let profile = LinkProfile::new().with_latency(SECOND / 5).with_bandwidth(1_000_000);
    let (a, b) = (vec!["alice".to_owned()], vec!["bob".to_owned()]);
    let fault = Fault::Profile { a, b, profile };
    let schedule = FaultSchedule::new().with("detour", SECOND * 3 / 2, SECOND * 2, fault);
    assert_eq!(
        schedule.to_string(),
        "at 1.5s for 2s: 'detour': profile alice | bob: 200ms, 1000000 bit/s\n"
    );
    let text = serde_json::to_string(&schedule).expect("written");
    let schedule: FaultSchedule = serde_json::from_str(&text).expect("read");
    let run = Simulation::new(1).with_schedule(schedule).run(async |network| {
        let pair = pair(network).await.expect("a connection");
        let mut took = Vec::new();
        for _ in 0..4 {
            sleep(SECOND).await;
            let sent = pair.network.elapsed();
            pair.dialled.send_datagram("where".into()).expect("sent");
            pair.accepted.recv_datagram().await.expect("received");
            took.push(pair.network.elapsed() - sent);
        }
        took
    });
    let run = run.expect("the fault touches something");
    let ms = Duration::from_millis(1);
    // (5 + 58) x 8 bits at 1 Mbit/s are 504 us, and then the latency.
    let slow = SECOND / 5 + Duration::from_micros(504);
    assert_eq!(run.output, [ms, slow, slow, ms]);
    assert!(run.faults.faults[0].hits >= 2);
}

#[test]
fn a_profile_that_cannot_be_is_refused_by_the_faults_name() {
    let with = |profile| {
        let (a, b) = (vec!["alice".to_owned()], vec!["bob".to_owned()]);
        FaultSchedule::new().with("odd", SECOND, SECOND, Fault::Profile { a, b, profile })
    };
    for profile in [
        LinkProfile::new().with_loss(f64::NAN),
        LinkProfile::new().with_loss(1.5),
        LinkProfile::new().with_bandwidth(0),
        LinkProfile::new().with_duplication(-0.1),
    ] {
        let run = Simulation::new(1).with_schedule(with(profile)).run(async |_| ());
        let error = run.map(|_| ()).expect_err("refused").to_string();
        assert!(error.starts_with("fault 'odd': "), "{error}");
    }
}

#[test]
fn a_bug_that_needs_another_profile_shrinks_to_the_mildest_of_them() {
    let config = Config { failure_persistence: None, max_shrink_iters: 4096, ..Config::default() };
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &[3; 32]);
    let schedules = FaultSchedule::strategy(FaultProfile::Lossy, &HOSTS, SECOND * 5, 8);
    let failed = TestRunner::new_with_rng(config, rng).run(&schedules, |schedule| {
        let simulation = Simulation::new(1).with_idle_faults(IdleFaults::Report);
        let run = simulation.with_schedule(schedule).run(async |network| {
            probe(network.clone(), 5).await;
            let report = network.fault_report();
            report.faults.iter().any(|fault| fault.kind == FaultKind::Profile && fault.hits > 0)
        });
        proptest::prop_assert!(!run.expect("a run").output);
        Ok(())
    });
    let Err(TestError::Fail(_, schedule)) = failed else { panic!("the bug is found") };
    let [planned] = &schedule.faults[..] else { panic!("only the guilty one: {schedule}") };
    let Fault::Profile { profile, .. } = &planned.fault else { panic!("of its kind: {schedule}") };
    assert_eq!(*profile, Preset::Lan.down(), "the mildest");
}
