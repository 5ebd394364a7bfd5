//! What is built on top of a provider: limits, pools, calls, and what is told outside; in virtual time.

mod calls;
mod calls_under_fire;
mod limited;
mod limited_places;
mod limited_traffic;
mod observed;
mod observed_events;
mod pooled;
mod pooled_places;
mod reconfigured;

use std::time::Duration;

use p2p_core::{ConnectOptions, ConnectReady, ConnectionConfig, ListenOptions, P2PProvider};
use p2p_simulator::{LinkProfile, Network, Simulation, SimulatorListener, SimulatorP2P};

/// One way, on every link of these tests.
const LATENCY: Duration = ms(10);

const fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

fn protocol() -> p2p_core::ProtocolName {
    "layers/1".parse().expect("a protocol name")
}

/// To speak it, and to wait until the peer has let us in.
fn admitted() -> ConnectOptions {
    ConnectOptions::new(protocol()).with_ready(ConnectReady::Admitted)
}

/// Runs a story in a network of its own.
fn simulate<F: Future>(story: impl FnOnce(Network) -> F) -> F::Output {
    let simulation = Simulation::new(1).with_link(LinkProfile::new().with_latency(LATENCY));
    simulation.run(story).expect("a run").output
}

fn provider(network: &Network, name: &str) -> SimulatorP2P {
    let config = ConnectionConfig::default().with_receive_window(16 * 1024);
    network.host(name).provider(config).expect("a new host")
}

async fn listen(at: &SimulatorP2P) -> SimulatorListener {
    at.listen(ListenOptions::new(protocol())).await.expect("listening")
}

#[test]
fn a_story_with_all_layers_repeats_to_the_byte() {
    let story = || {
        let link = LinkProfile::new().with_latency(LATENCY).with_jitter(ms(3)).with_loss(0.05);
        let run = Simulation::new(7).with_link(link).run(async |network| {
            calls::between_many(&network).await;
        });
        let run = run.expect("a run");
        (run.trace_hash, run.trace_count, run.elapsed)
    };
    assert_eq!(story(), story());
}
