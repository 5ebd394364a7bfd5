//! What the simulator promises beyond the traits: exact time, faults, repeatability.

mod bad_input;
mod deadlock;
mod determinism;
mod fault_guards;
mod fault_schedules;
mod faults;
mod harness;
mod host_tasks;
mod hostile;
mod isolated;
mod lasting;
mod links;
mod live;
mod model;
mod old_peer;
mod paths;
mod repeatable;
mod runs;
mod standby;
mod suites;
mod trace_files;
mod urgent;

use p2p_core::{ConnectOptions, ConnectionConfig, ListenOptions, P2PListener, P2PProvider, Result};
use p2p_simulator::{Host, Network, SimulatorConnection, SimulatorP2P};

/// Two hosts with a connection between them.
struct Pair {
    network: Network,
    hosts: [Host; 2],
    /// Held, so that the endpoints live.
    providers: [SimulatorP2P; 2],
    dialled: SimulatorConnection,
    accepted: SimulatorConnection,
}

async fn pair(network: Network) -> Result<Pair> {
    let hosts = [network.host("alice"), network.host("bob")];
    let config = ConnectionConfig::default();
    let providers = [hosts[0].provider(config.clone())?, hosts[1].provider(config)?];
    let listener = providers[1].listen(ListenOptions::new(protocol())).await?;
    let dialled = connect(&providers[0], &providers[1]).await?;
    let accepted = listener.accept().await?;
    Ok(Pair { network, hosts, providers, dialled, accepted })
}

async fn listen(at: &SimulatorP2P) -> p2p_simulator::SimulatorListener {
    at.listen(ListenOptions::new(protocol())).await.expect("listening")
}

async fn connect(from: &SimulatorP2P, to: &SimulatorP2P) -> Result<SimulatorConnection> {
    from.connect(&to.local_addr(), ConnectOptions::new(protocol())).await
}

fn protocol() -> p2p_core::ProtocolName {
    "test/1".parse().expect("a protocol name")
}
