//! A host between its coordinator and its guests.

use std::time::Duration;

use p2p_coordinator_client::api::{JoinRequest, JoinToken};
use p2p_coordinator_client::{
    Client, Guest, HostAgent, HostConfig, HostError, JoinOptions, Joined,
};
use p2p_core::{
    CloseCause, ConnectOptions, ConnectReady, P2PConnection, P2PError, P2PProvider, PeerAddr,
    SecretKey,
};
use p2p_simulator::{Host, Network, Simulation, SimulatorConnection, SimulatorP2P};
use tokio::task::JoinSet;
use tokio::time::sleep;

use crate::fake::{Answer, Coordinator, serve};
use crate::{client, client_at, game, provider};

/// A coordinator, and a host with its agent.
struct World {
    network: Network,
    machine: Host,
    coordinator: SimulatorP2P,
    fake: Coordinator,
    serving: JoinSet<()>,
    agent: HostAgent<SimulatorP2P>,
}

fn config() -> HostConfig {
    let (host, player) = ("h1".parse().expect("an id"), "alice".parse().expect("an id"));
    HostConfig::new(host, player, game())
}

async fn world(network: Network) -> World {
    let machine = network.host("coordinator");
    let coordinator = provider(&machine);
    let fake = Coordinator::new(9);
    let serving = fake.serve(&coordinator).await;
    let host = network.host("host");
    let provider = provider(&host);
    let client = client_at(provider.clone(), &coordinator);
    let agent = HostAgent::start(client, provider, host.secret_key(), config()).await;
    let agent = agent.expect("started");
    World { network, machine, coordinator, fake, serving, agent }
}

impl World {
    fn player(&self, name: &str) -> Client<SimulatorP2P> {
        client(&self.network, name, &self.coordinator)
    }

    async fn come(
        &self,
        player: &Client<SimulatorP2P>,
        name: &str,
    ) -> (Joined<SimulatorConnection>, Guest<SimulatorConnection>) {
        let (zone, name) = ("plaza".parse().expect("an id"), name.parse().expect("an id"));
        let joined = player.join(&zone, &name, JoinOptions::new(game())).await.expect("joined");
        (joined, self.agent.accept().await.expect("a guest"))
    }

    fn present(&self) -> Vec<String> {
        let beats = &self.fake.state().beats;
        beats.last().and_then(|beat| beat.present.clone()).expect("a beat of a peer")
    }
}

/// A token of the coordinator for this player, and where to use it.
async fn token(player: &Client<SimulatorP2P>, name: &str) -> (PeerAddr, JoinToken) {
    let request = JoinRequest {
        zone_id: "plaza".parse().expect("an id"),
        player_id: name.parse().expect("an id"),
        peer_id: player.provider().local_peer_id(),
        avoid: Vec::new(),
    };
    let place = player.place(&request).await.expect("a place");
    (place.host_addr, place.token)
}

async fn show(
    player: &Client<SimulatorP2P>,
    (addr, token): &(PeerAddr, JoinToken),
) -> Result<SimulatorConnection, P2PError> {
    let options = ConnectOptions::new(game())
        .with_credential(token.as_bytes().to_vec())?
        .with_ready(ConnectReady::Admitted);
    player.provider().connect(addr, options).await
}

#[test]
fn a_guest_is_told_of_while_it_is_there_and_when_it_leaves() {
    let run = Simulation::new(1).run(async |network| {
        let world = world(network).await;
        assert!(world.agent.state().registered);
        assert_eq!(world.fake.state().registered[0].p2p.as_ref().map(|p2p| p2p.fresh), Some(true));
        let (joined, guest) = world.come(&world.player("bob"), "bob").await;
        assert_eq!((guest.player.as_str(), guest.zone.as_str()), ("bob", "plaza"));
        assert_eq!(guest.session, joined.session.session_id);
        sleep(Duration::from_secs(2)).await;
        assert_eq!(world.present(), ["01".repeat(16)]);
        assert_eq!(world.agent.state().guests, 1);
        joined.connection.close(7, "bye").await;
        sleep(Duration::from_secs(2)).await;
        assert!(world.present().is_empty());
        assert_eq!(world.agent.state().guests, 0);
        let session = guest.session.clone();
        let log = world.fake.state().log.clone();
        (session, log)
    });
    let (session, log) = run.expect("a run").output;
    let nonce = "01".repeat(16);
    let told = [format!("DELETE /api/v1/sessions/{session}/players/bob?nonce={nonce}")];
    assert_eq!(log, told);
}

#[test]
fn a_token_opens_once_and_for_its_owner_only() {
    let run = Simulation::new(1).run(async |network| {
        let world = world(network).await;
        let (bob, eve) = (world.player("bob"), world.player("eve"));
        let ticket = token(&bob, "bob").await;
        let stolen = show(&eve, &ticket).await.expect_err("eve is not bob").to_string();
        assert!(stolen.contains("another peer"), "{stolen}");
        let _first = show(&bob, &ticket).await.expect("bob is");
        let again = show(&bob, &ticket).await.expect_err("it is used").to_string();
        assert!(again.contains("used"), "{again}");
        let nothing = bob
            .provider()
            .connect(&ticket.0, ConnectOptions::new(game()).with_ready(ConnectReady::Admitted));
        let nothing = nothing.await.expect_err("no token").to_string();
        assert!(nothing.contains("not a join token"), "{nothing}");
        assert_eq!(world.agent.accept().await.expect("bob").player.as_str(), "bob");
    });
    run.expect("a run");
}

#[test]
fn a_token_expires_by_the_coordinators_clock() {
    let run = Simulation::new(1).run(async |network| {
        let world = world(network).await;
        let bob = world.player("bob");
        let ticket = token(&bob, "bob").await;
        sleep(Duration::from_secs(31)).await;
        let late = show(&bob, &ticket).await.expect_err("it has expired").to_string();
        assert!(late.contains("expired"), "{late}");
    });
    run.expect("a run");
}

#[test]
fn who_comes_again_takes_over() {
    let run = Simulation::new(1).run(async |network| {
        let world = world(network).await;
        let bob = world.player("bob");
        let (first, guest) = world.come(&bob, "bob").await;
        let (second, again) = world.come(&bob, "bob").await;
        let reason = first.connection.closed().await;
        let code = HostAgent::<SimulatorP2P>::TAKEN_OVER;
        assert_eq!(reason.cause, CloseCause::Application(code), "{reason}");
        drop(guest);
        sleep(Duration::from_secs(3)).await;
        assert!(second.connection.is_connected() && again.connection.is_connected());
        assert_eq!(world.present(), ["02".repeat(16)]);
        // The place is the new connection's: nothing is said about the old one.
        let log = world.fake.state().log.clone();
        assert!(log.iter().all(|what| !what.starts_with("DELETE")), "{log:?}");
    });
    run.expect("a run");
}

#[test]
fn a_guest_that_is_dropped_is_let_go() {
    let run = Simulation::new(1).run(async |network| {
        let world = world(network).await;
        let (joined, guest) = world.come(&world.player("bob"), "bob").await;
        let kept = guest.connection.clone();
        kept.send("goodbye".into()).await.expect("sent");
        drop(guest);
        assert_eq!(joined.connection.recv().await.expect("what was sent before"), "goodbye");
        let reason = joined.connection.closed().await;
        let code = HostAgent::<SimulatorP2P>::LET_GO;
        assert_eq!(reason.cause, CloseCause::Application(code), "{reason}");
        sleep(Duration::from_secs(1)).await;
        assert_eq!(world.agent.state().guests, 0);
    });
    run.expect("a run");
}

#[test]
fn a_host_that_was_forgotten_registers_again_and_keeps_its_guests() {
    let run = Simulation::new(1).run(async |network| {
        let world = world(network).await;
        let (bob, carol) = (world.player("bob"), world.player("carol"));
        let (joined, _guest) = world.come(&bob, "bob").await;
        let ticket = token(&carol, "carol").await;
        world.fake.state().hosts.clear();
        sleep(Duration::from_secs(2)).await;
        let fresh: Vec<_> = {
            let state = world.fake.state();
            state.registered.iter().filter_map(|host| Some(host.p2p.as_ref()?.fresh)).collect()
        };
        assert_eq!(fresh, [true, false]);
        let state = world.agent.state();
        assert!(state.registered && state.last_error.is_none(), "{state:?}");
        assert!(joined.connection.is_connected());
        show(&carol, &ticket).await.expect("a token from before is still good");
    });
    run.expect("a run");
}

#[test]
fn a_host_outlives_its_coordinator_and_honours_the_next_ones_key() {
    let run = Simulation::new(1).run(async |network| {
        let mut world = world(network).await;
        let (joined, guest) = world.come(&world.player("bob"), "bob").await;
        world.machine.crash();
        world.serving.shutdown().await;
        sleep(Duration::from_secs(100)).await;
        let state = world.agent.state();
        assert!(!state.registered && state.last_error.is_some(), "{state:?}");
        joined.connection.send("still here".into()).await.expect("sent");
        assert_eq!(guest.connection.recv().await.expect("received"), "still here");
        world.machine.restart();
        world.coordinator = provider(&world.machine);
        world.fake = Coordinator::new(10);
        world.serving = world.fake.serve(&world.coordinator).await;
        sleep(Duration::from_secs(12)).await;
        let state = world.agent.state();
        assert!(state.registered, "{state:?}");
        assert_eq!(world.present(), ["01".repeat(16)]);
        let (_joined, guest) = world.come(&world.player("carol"), "carol").await;
        assert_eq!(guest.player.as_str(), "carol");
    });
    run.expect("a run");
}

#[test]
fn a_coordinator_that_changes_its_key_is_asked_who_it_is() {
    let run = Simulation::new(1).run(async |network| {
        let world = world(network).await;
        // It keeps its hosts, so that heartbeats go on as if nothing had happened.
        world.fake.state().key = SecretKey::from_bytes(&[10; 32]);
        let (_joined, guest) = world.come(&world.player("bob"), "bob").await;
        assert_eq!(guest.player.as_str(), "bob");
        assert_eq!(world.fake.state().registered.len(), 2);
    });
    run.expect("a run");
}

#[test]
fn who_was_let_in_and_never_taken_by_the_program_counts_as_there() {
    let run = Simulation::new(1).run(async |network| {
        let world = world(network).await;
        let bob = world.player("bob");
        let connection = show(&bob, &token(&bob, "bob").await).await.expect("connected");
        sleep(Duration::from_secs(60)).await;
        assert_eq!(world.present(), ["01".repeat(16)]);
        drop(connection);
        sleep(Duration::from_secs(5)).await;
        assert!(world.present().is_empty());
    });
    run.expect("a run");
}

#[test]
fn a_shutdown_tells_the_coordinator_and_ends_the_accepting() {
    let run = Simulation::new(1).run(async |network| {
        let world = world(network).await;
        let (joined, guest) = world.come(&world.player("bob"), "bob").await;
        world.agent.shutdown().await;
        world.agent.shutdown().await;
        assert!(matches!(world.agent.accept().await, Err(P2PError::Closed(_))));
        assert!(world.fake.state().log.contains(&"DELETE /api/v1/hosts/h1".to_owned()));
        assert!(!world.agent.state().registered);
        assert!(joined.connection.is_connected() && guest.connection.is_connected());
        drop(guest);
        joined.connection.closed().await;
    });
    run.expect("a run");
}

#[test]
fn a_shutdown_does_not_wait_for_a_coordinator_that_is_gone() {
    let run = Simulation::new(1).run(async |network| {
        let world = world(network).await;
        world.machine.crash();
        let before = world.network.elapsed();
        world.agent.shutdown().await;
        world.network.elapsed() - before
    });
    assert_eq!(run.expect("a run").output, Duration::from_secs(2));
}

#[test]
fn a_provider_that_is_shut_down_ends_the_agent() {
    let run = Simulation::new(1).run(async |network| {
        let machine = network.host("coordinator");
        let coordinator = provider(&machine);
        let _serving = Coordinator::new(9).serve(&coordinator).await;
        let host = network.host("host");
        let provider = provider(&host);
        let client = client_at(provider.clone(), &coordinator);
        let agent = HostAgent::start(client, provider.clone(), host.secret_key(), config()).await;
        let agent = agent.expect("started");
        provider.shutdown().await;
        assert!(agent.accept().await.is_err());
    });
    run.expect("a run");
}

#[test]
fn a_start_ends_in_time_and_says_why() {
    let run = Simulation::new(1).run(async |network| {
        let coordinator = provider(&network.host("coordinator"));
        let _serving = serve(&coordinator, |_| Answer::Silence).await;
        let host = network.host("host");
        let provider = provider(&host);
        let client = client_at(provider.clone(), &coordinator);
        HostAgent::start(client, provider, host.secret_key(), config()).await.map(drop)
    });
    let run = run.expect("a run");
    let error = run.output.expect_err("no coordinator");
    assert!(matches!(error, HostError::Deadline { last: Some(_), .. }), "{error:?}");
    assert_eq!(run.elapsed, Duration::from_secs(30));
}

#[test]
fn a_host_that_is_refused_or_has_another_key_does_not_start() {
    let run = Simulation::new(1).run(async |network| {
        let coordinator = provider(&network.host("coordinator"));
        let _serving = serve(&coordinator, |_| Answer::Say(403, "no".into())).await;
        let host = network.host("host");
        let provider = provider(&host);
        let client = client_at(provider.clone(), &coordinator);
        let foreign = SecretKey::from_bytes(&[1; 32]);
        let foreign = HostAgent::start(client.clone(), provider.clone(), foreign, config()).await;
        let refused = HostAgent::start(client, provider, host.secret_key(), config()).await;
        (foreign.map(drop), refused.map(drop))
    });
    let (foreign, refused) = run.expect("a run").output;
    assert!(matches!(foreign, Err(HostError::ForeignKey { .. })), "{foreign:?}");
    assert!(matches!(refused, Err(HostError::Refused { .. })), "{refused:?}");
}

#[test]
fn the_same_run_happens_the_same() {
    let run = || {
        let run = Simulation::new(5).run(async |network| {
            let world = world(network).await;
            let (_one, _guest) = world.come(&world.player("bob"), "bob").await;
            let (two, guest) = world.come(&world.player("carol"), "carol").await;
            two.connection.close(0, "").await;
            drop(guest);
            sleep(Duration::from_secs(10)).await;
            world.agent.shutdown().await;
        });
        run.expect("a run").trace_hash
    };
    assert_eq!(run(), run());
}
