//! From a zone to a connection, or to a reason by the deadline.

use std::time::Duration;

use p2p_coordinator_client::{JoinError, JoinOptions, Joined};
use p2p_core::{Denied, ListenOptions, P2PConnection, P2PListener, P2PProvider, admission_fn};
use p2p_simulator::{Network, Simulation, SimulatorConnection};
use tokio::time::{Instant, sleep};

use crate::fake::{Answer, Coordinator, serve};
use crate::{client, game, provider};

type Outcome = Result<Joined<SimulatorConnection>, JoinError>;

async fn join(network: &Network, coordinator: &p2p_simulator::SimulatorP2P, zone: &str) -> Outcome {
    let client = client(network, "bob", coordinator);
    let zone = zone.parse().expect("an id");
    client.join(&zone, &"bob".parse().expect("an id"), JoinOptions::new(game())).await
}

/// The reason of a join that ended at its deadline, and not a millisecond later.
fn at_deadline(outcome: Outcome, elapsed: Duration) -> JoinError {
    assert_eq!(elapsed, Duration::from_secs(15));
    match outcome {
        Err(JoinError::Deadline { last: Some(last), .. }) => *last,
        other => panic!("not a deadline with a reason: {other:?}"),
    }
}

#[test]
fn a_player_is_connected_to_the_host_it_was_sent_to() {
    let run = Simulation::new(1).run(async |network| {
        let coordinator = provider(&network.host("coordinator"));
        let fake = Coordinator::new(9);
        let _serving = fake.serve(&coordinator).await;
        let host = provider(&network.host("host"));
        fake.add_host("h1", host.local_addr());
        let listener = host.listen(ListenOptions::new(game())).await.expect("listening");
        let joined = join(&network, &coordinator, "plaza").await.expect("joined");
        assert_eq!((joined.host_id.as_str(), joined.player.as_str()), ("h1", "bob"));
        let accepted = listener.accept().await.expect("accepted");
        joined.connection.send("hello".into()).await.expect("sent");
        accepted.recv().await.expect("received")
    });
    assert_eq!(run.expect("a run").output, "hello");
}

#[test]
fn without_a_host_it_ends_by_the_deadline() {
    let run = Simulation::new(1).run(async |network| {
        let coordinator = provider(&network.host("coordinator"));
        let _serving = Coordinator::new(9).serve(&coordinator).await;
        join(&network, &coordinator, "plaza").await
    });
    let run = run.expect("a run");
    let last = at_deadline(run.output, run.elapsed);
    assert!(matches!(last, JoinError::Refused(_)) && last.fall_back_reason().contains("no_host"));
}

#[test]
fn a_zone_that_is_unknown_ends_it_at_once() {
    let run = Simulation::new(1).run(async |network| {
        let coordinator = provider(&network.host("coordinator"));
        let _serving = Coordinator::new(9).serve(&coordinator).await;
        join(&network, &coordinator, "nowhere").await
    });
    let run = run.expect("a run");
    assert!(matches!(run.output, Err(JoinError::Refused(_))), "{:?}", run.output);
    assert!(run.elapsed < Duration::from_millis(10), "{:?}", run.elapsed);
}

#[test]
fn a_host_that_crashed_ends_it_by_the_deadline() {
    let run = Simulation::new(1).run(async |network| {
        let coordinator = provider(&network.host("coordinator"));
        let fake = Coordinator::new(9);
        let _serving = fake.serve(&coordinator).await;
        let host = network.host("host");
        fake.add_host("h1", provider(&host).local_addr());
        host.crash();
        join(&network, &coordinator, "plaza").await
    });
    let run = run.expect("a run");
    let last = at_deadline(run.output, run.elapsed);
    let JoinError::HostUnreachable { host, attempts, .. } = last else { panic!("{last:?}") };
    assert_eq!(host.as_str(), "h1");
    // Three seconds each, and a wait before the next.
    assert!((3..=5).contains(&attempts), "{attempts}");
}

#[test]
fn another_host_is_asked_for_when_the_first_is_gone() {
    let run = Simulation::new(1).run(async |network| {
        let coordinator = provider(&network.host("coordinator"));
        let fake = Coordinator::new(9);
        let _serving = fake.serve(&coordinator).await;
        let gone = network.host("gone");
        fake.add_host("h1", provider(&gone).local_addr());
        gone.crash();
        let host = provider(&network.host("host"));
        fake.add_host("h2", host.local_addr());
        let _listener = host.listen(ListenOptions::new(game())).await.expect("listening");
        join(&network, &coordinator, "plaza").await.expect("joined").host_id
    });
    let run = run.expect("a run");
    assert_eq!(run.output.as_str(), "h2");
    assert!(run.elapsed < Duration::from_secs(4), "{:?}", run.elapsed);
}

#[test]
fn a_host_that_always_says_no_ends_it_by_the_deadline() {
    let run = Simulation::new(1).run(async |network| {
        let coordinator = provider(&network.host("coordinator"));
        let fake = Coordinator::new(9);
        let _serving = fake.serve(&coordinator).await;
        let host = provider(&network.host("host"));
        fake.add_host("h1", host.local_addr());
        let closed = admission_fn(async |_| Err(Denied("closed for today".into())));
        let options = ListenOptions::new(game()).with_admission(closed);
        let _listener = host.listen(options).await.expect("listening");
        join(&network, &coordinator, "plaza").await
    });
    let run = run.expect("a run");
    let reason = at_deadline(run.output, run.elapsed).fall_back_reason();
    assert!(reason.contains("closed for today"), "{reason}");
}

#[test]
fn a_host_that_says_no_once_gets_a_new_token() {
    let run = Simulation::new(1).run(async |network| {
        let coordinator = provider(&network.host("coordinator"));
        let fake = Coordinator::new(9);
        let _serving = fake.serve(&coordinator).await;
        let host = provider(&network.host("host"));
        fake.add_host("h1", host.local_addr());
        let first = std::sync::Mutex::new(None);
        let admission = admission_fn(move |applicant: p2p_core::Applicant| {
            let mut first = first.lock().expect("no panic");
            let is_new = first.get_or_insert(applicant.credential.clone()) != &applicant.credential;
            async move { if is_new { Ok(()) } else { Err(Denied("used".into())) } }
        });
        let options = ListenOptions::new(game()).with_admission(admission);
        let _listener = host.listen(options).await.expect("listening");
        join(&network, &coordinator, "plaza").await.map(|joined| joined.host_id)
    });
    let run = run.expect("a run");
    assert_eq!(run.output.expect("joined").as_str(), "h1");
    assert!(run.elapsed < Duration::from_secs(1), "{:?}", run.elapsed);
}

#[test]
fn a_coordinator_that_dies_in_the_middle_ends_it_by_the_deadline() {
    let run = Simulation::new(1).run(async |network| {
        let machine = network.host("coordinator");
        let coordinator = provider(&machine);
        let _serving = Coordinator::new(9).serve(&coordinator).await;
        let dies = async {
            sleep(Duration::from_secs(4)).await;
            machine.crash();
            std::future::pending().await
        };
        tokio::select! {
            biased;
            outcome = join(&network, &coordinator, "plaza") => outcome,
            outcome = dies => outcome,
        }
    });
    let run = run.expect("a run");
    let last = at_deadline(run.output, run.elapsed);
    assert!(matches!(last, JoinError::CoordinatorUnreachable { .. }), "{last:?}");
}

#[test]
fn a_coordinator_that_never_answers_ends_it_by_the_deadline() {
    let run = Simulation::new(1).run(async |network| {
        let coordinator = provider(&network.host("coordinator"));
        let _serving = serve(&coordinator, |_| Answer::Silence).await;
        join(&network, &coordinator, "plaza").await
    });
    let run = run.expect("a run");
    let last = at_deadline(run.output, run.elapsed);
    assert!(matches!(last, JoinError::CoordinatorUnreachable { .. }), "{last:?}");
}

#[test]
fn a_join_without_time_ends_at_once() {
    let run = Simulation::new(1).run(async |network| {
        let coordinator = provider(&network.host("coordinator"));
        let fake = Coordinator::new(9);
        let _serving = fake.serve(&coordinator).await;
        let client = client(&network, "bob", &coordinator);
        let options = JoinOptions::new(game()).with_timeout(Duration::ZERO);
        let (zone, player) = ("plaza".parse().expect("an id"), "bob".parse().expect("an id"));
        let began = Instant::now();
        let hurried = client.join(&zone, &player, options).await;
        assert_eq!(began.elapsed(), Duration::ZERO);
        hurried
    });
    let error = run.expect("a run").output.expect_err("no time");
    let JoinError::Deadline { .. } = error else { panic!("{error:?}") };
}
