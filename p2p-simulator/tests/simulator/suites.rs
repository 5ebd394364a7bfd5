//! Programs as people write them against other simulators: plain tokio code that knows nothing of this
//! one. Each runs over many seeds, twice each, and must do the same.

mod actors;
mod election;
mod gossip;
mod journal;
mod requests;

use std::fmt::Debug;
use std::time::Duration;

use p2p_core::{
    ConnectOptions, ConnectionConfig, ListenOptions, P2PListener, P2PProvider, PeerAddr, Result,
};
use p2p_simulator::{
    Host, LinkProfile, Network, Simulation, SimulatorConnection, SimulatorListener, SimulatorP2P,
};

use crate::protocol;

const MS: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);

/// A network on which much goes wrong.
fn rough() -> LinkProfile {
    LinkProfile::new()
        .with_latency(Duration::from_micros(4_321))
        .with_jitter(Duration::from_micros(3_333))
        .with_loss(0.03)
        .with_reordering(0.05, MS * 5)
        .with_duplication(0.02)
        .with_bandwidth(50_000_000)
}

/// Runs a program twice for each seed, and shows that other seeds are other runs.
fn repeats<F: Future<Output = T>, T: Debug>(seeds: u64, program: impl Fn(Network) -> F) -> Vec<T> {
    let mut hashes = std::collections::BTreeSet::new();
    let mut outputs = Vec::new();
    for seed in 0..seeds {
        let simulation = Simulation::new(seed).with_link(rough());
        let checked = simulation.check_determinism(&program);
        let run = checked.unwrap_or_else(|error| panic!("seed {seed}: {error}"));
        assert!(hashes.insert(run.trace_hash.to_string()), "seed {seed} is a run of its own");
        outputs.push(run.output);
    }
    outputs
}

fn provider(host: &Host) -> SimulatorP2P {
    let config = ConnectionConfig::default().with_idle_timeout(SECOND * 3);
    host.provider(config).expect("it has no endpoint yet")
}

async fn serve(provider: &SimulatorP2P) -> SimulatorListener {
    provider.listen(ListenOptions::new(protocol())).await.expect("nobody else listens")
}

async fn dial(from: &SimulatorP2P, to: &PeerAddr) -> Result<SimulatorConnection> {
    from.connect(to, ConnectOptions::new(protocol())).await
}

/// Connects, as often as it takes.
async fn dial_surely(from: &SimulatorP2P, to: &PeerAddr) -> SimulatorConnection {
    loop {
        match dial(from, to).await {
            Ok(connection) => return connection,
            Err(_) => tokio::time::sleep(MS * 200).await,
        }
    }
}

/// Accepts for ever; each connection has a task.
async fn accept_each<F>(listener: SimulatorListener, serve: impl Fn(SimulatorConnection) -> F)
where
    F: Future<Output = ()> + Send + 'static,
{
    while let Ok(connection) = listener.accept().await {
        tokio::spawn(serve(connection));
    }
}
