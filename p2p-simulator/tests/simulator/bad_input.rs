//! What cannot be is refused with words, and nothing hangs: whatever way it comes in.

use std::time::Duration;

use p2p_core::{ConnectionConfig, P2PConnection};
use p2p_simulator::{
    BurstLoss, Fault, FaultError, FaultProfile, FaultSchedule, IdleFaults, Latency, LinkProfile,
    Outcome, SeedPlan, Simulation, SimulationError, run_seeds,
};
use tokio::time::sleep;

use crate::pair;

const SECOND: Duration = Duration::from_secs(1);

fn impossible() -> Vec<(LinkProfile, &'static str)> {
    let new = LinkProfile::new;
    let hours = Duration::from_secs(3601);
    vec![
        (new().with_loss(-0.1), "loss is -0.1"),
        (new().with_loss(f64::NAN), "loss is NaN"),
        (new().with_loss(f64::INFINITY), "loss is inf"),
        (new().with_loss(1.000_001), "loss is 1.000001"),
        (new().with_burst_loss(BurstLoss::new(1.5, 0.5)), "to_bad is 1.5"),
        (new().with_burst_loss(BurstLoss::new(0.5, f64::NAN)), "to_good is NaN"),
        (new().with_reordering(2.0, SECOND), "reordered share is 2"),
        (new().with_reordering(0.5, hours), "held back is 3601s"),
        (new().with_duplication(-1.0), "duplication is -1"),
        (new().with_bandwidth(0), "bandwidth is 0 bit/s"),
        (new().with_latency(Duration::MAX), "latency is"),
        (new().with_jitter(hours), "jitter is 3601s"),
        (new().with_bandwidth(1).with_queue(hours), "queue is 3601s"),
        (
            new().with_latency_model(Latency::Uniform { min: SECOND, max: Duration::ZERO }),
            "at least 1s and at most 0ns",
        ),
        (
            new().with_latency_model(Latency::Normal { mean: hours, deviation: SECOND }),
            "latency is",
        ),
    ]
}

#[test]
fn an_impossible_model_is_refused_by_every_way_in() {
    for (profile, named) in impossible() {
        let says = |error: &dyn std::fmt::Display, way: &str| {
            assert!(error.to_string().contains(named), "{way}: {error}");
        };
        let simulation = Simulation::new(1).with_link(profile.clone());
        says(&simulation.run(async |_| ()).expect_err(named), "run");
        says(&simulation.check_determinism(async |_| ()).map(|_| ()).expect_err(named), "check");
        let failure = run_seeds(&SeedPlan::new(3), &simulation, async |_| Ok::<_, ()>(()));
        says(&failure.map(|_| ()).expect_err(named), "seeds");
        says(&Simulation::builder().link(profile.clone()).build().expect_err(named), "builder");
        let run = Simulation::new(1).run(async |network| {
            let [a, b] = [network.host("a"), network.host("b")];
            let zone = network.zone("zone");
            says(&network.set_link(&a, &b, &profile).expect_err(named), "link");
            says(&network.set_zone_link(&zone, &zone, &profile).expect_err(named), "zone");
            let fault = network.fault("odd").profile([&a], [&b], &profile).map(|_| ());
            says(&fault.expect_err(named), "fault");
            let fault = Fault::Profile {
                a: vec!["a".into()],
                b: vec!["b".into()],
                profile: profile.clone(),
            };
            says(&network.inject("odd", &fault).map(|_| ()).expect_err(named), "inject");
            let schedule = FaultSchedule::new().with("odd", SECOND, SECOND, fault);
            says(&network.apply(&schedule).expect_err(named), "schedule");
        });
        run.expect("nothing was done to it");
    }
    let share = Simulation::new(1).with_connect_failures(f64::NAN).run(async |_| ());
    assert!(share.expect_err("NaN").to_string().contains("connect_failures is NaN"));
}

#[test]
fn numbers_that_json_cannot_have_do_not_get_in_by_it() {
    let schedule = |loss: &str| {
        format!(
            r#"{{"version":2,"faults":[{{"name":"odd","at_ns":0,"fault":{{"kind":"profile","a":["a"],
               "b":["b"],"profile":{{"loss":{loss}}}}}}}]}}"#
        )
    };
    for loss in ["NaN", "null", "\"0.5\"", "1e999", "[]"] {
        assert!(serde_json::from_str::<FaultSchedule>(&schedule(loss)).is_err(), "{loss}");
    }
    let read: FaultSchedule = serde_json::from_str(&schedule("-0.5")).expect("a number");
    assert!(matches!(read.check(), Err(FaultError::Profile { fault, .. }) if fault == "odd"));
    let unknown = schedule("0.5").replace("\"loss\"", "\"lost\"");
    let error = serde_json::from_str::<FaultSchedule>(&unknown).expect_err("no such property");
    assert!(error.to_string().contains("lost"), "{error}");
    for version in ["0", "-1", "4", "4294967296", "\"1\""] {
        let text = format!("{{\"version\":{version},\"faults\":[]}}");
        assert!(serde_json::from_str::<FaultSchedule>(&text).is_err(), "version {version}");
    }
}

#[test]
fn hosts_and_versions_that_are_not_known_are_named_by_every_way_in() {
    let run = Simulation::new(1).run(async |network| {
        network.host("alice");
        let crash = Fault::Crash { host: "dave".into() };
        let unknown = FaultError::UnknownHost { fault: "who".into(), host: "dave".into() };
        assert_eq!(network.inject("who", &crash).map(|_| ()), Err(unknown.clone()));
        let mut schedule = FaultSchedule::new().with("who", SECOND, SECOND, crash);
        assert_eq!(network.apply(&schedule), Err(unknown));
        schedule.version += 1;
        let error = network.apply(&schedule).expect_err("newer").to_string();
        assert_eq!(error, "the fault schedule is of version 4: versions from 1 to 3 are known");
    });
    assert!(run.expect("nothing was done").faults.faults.is_empty());
}

#[test]
fn times_at_the_end_of_all_numbers_are_times_that_never_come() {
    let fault = || Fault::Crash { host: "alice".into() };
    let schedule = FaultSchedule::new().with("late", Duration::MAX, Duration::MAX, fault()).with(
        "long",
        SECOND,
        Duration::MAX,
        fault(),
    );
    let run = Simulation::new(1)
        .with_idle_faults(IdleFaults::Report)
        .with_time_limit(Duration::MAX)
        .with_real_time_limit(Duration::MAX)
        .with_schedule(schedule)
        .run(async |network| {
            network.host("alice");
            sleep(SECOND * 10).await;
        });
    let faults = run.expect("a run").faults.faults;
    assert_eq!((faults[0].began, faults[1].began), (None, Some(SECOND)));
    assert_eq!(faults[1].ended, None);
    for (hosts, time) in [(&[][..], SECOND * 60), (&["alice"][..], Duration::ZERO)] {
        let schedule = FaultSchedule::generate(1, FaultProfile::Hostile, hosts, time);
        assert!(schedule.faults.is_empty(), "{schedule}");
    }
}

#[test]
fn a_conversation_that_takes_no_time_ends_at_the_real_limit() {
    let link = LinkProfile::new().with_latency(Duration::ZERO);
    let limit = Duration::from_millis(100);
    let run = Simulation::new(1).with_link(link).with_real_time_limit(limit).run(async |network| {
        let pair = pair(network).await.expect("a connection");
        tokio::spawn(async move {
            while let Ok(message) = pair.accepted.recv().await {
                let _ = pair.accepted.send(message).await;
            }
        });
        loop {
            pair.dialled.send("again".into()).await.expect("sent");
            pair.dialled.recv().await.expect("received");
        }
    });
    let error = run.map(|_: Outcome<()>| ()).expect_err("it never ends");
    assert!(matches!(error, SimulationError::RealTimeLimit { at, .. } if at == Duration::ZERO));
}

#[test]
fn no_simulation_starts_inside_a_runtime_or_inside_another() {
    let inside = |error: &dyn std::fmt::Display| {
        assert!(error.to_string().contains("cannot be started inside another"), "{error}");
    };
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(async {
        let simulation = Simulation::new(1);
        inside(&simulation.run(async |_| ()).expect_err("inside"));
        inside(&simulation.check_determinism(async |_| ()).map(|_| ()).expect_err("inside"));
    });
    let run = Simulation::new(1).run(async |network| {
        let inner = || Simulation::new(2).run(async |_| ()).map(|_| ());
        let host = network.isolated_host("host");
        [inner(), host.spawn(async move { inner() }).await.expect("no panic")]
    });
    assert_eq!(run.expect("a run").output, [(); 2].map(|()| Err(SimulationError::InsideRuntime)));
}

#[test]
fn clocks_of_isolated_hosts_may_be_as_wrong_as_numbers_go() {
    for (drift, at_least) in [(i32::MIN, 0), (-1_000_000, 0), (i32::MAX, 2_000)] {
        let run = Simulation::new(1).run(async |network| {
            let host = network.isolated_host("host");
            host.clock().set_drift(drift);
            host.clock().put_forward(Duration::MAX);
            host.clock().put_back(Duration::MAX);
            let seconds = std::sync::Arc::new(std::sync::atomic::AtomicU32::new(0));
            let counted = seconds.clone();
            host.spawn(async move {
                loop {
                    sleep(SECOND).await;
                    counted.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                }
            });
            sleep(SECOND + Duration::from_millis(5)).await;
            seconds.load(std::sync::atomic::Ordering::Relaxed)
        });
        let seconds = run.expect("a run").output;
        assert!((at_least..=2_200).contains(&seconds), "{drift} ppm: {seconds} s");
        assert!(drift > 0 || seconds == 0, "a clock that stands");
    }
}

#[test]
fn a_host_that_has_crashed_says_so_until_it_is_restarted() {
    let run = Simulation::new(1).run(async |network| {
        let host = network.isolated_host("host");
        host.crash();
        let error = host.provider(ConnectionConfig::default()).expect_err("down").to_string();
        assert!(error.contains("'host' has crashed"), "{error}");
        assert!(host.spawn(async {}).await.is_err());
        host.restart();
        host.spawn(async {}).await.expect("up again");
    });
    run.expect("a run");
}
