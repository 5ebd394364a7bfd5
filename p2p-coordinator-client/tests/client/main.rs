//! The client against a coordinator that does what each test tells it, in virtual time.

mod agent;
mod attempts;
mod doors;
mod fake;
#[cfg(feature = "http")]
mod http;
mod join;

use p2p_coordinator_client::{Client, ClientConfig, CoordinatorAddr};
use p2p_core::{ConnectionConfig, P2PProvider, ProtocolName};
use p2p_simulator::{Host, Network, SimulatorP2P};

fn provider(host: &Host) -> SimulatorP2P {
    host.provider(ConnectionConfig::default()).expect("a free host")
}

/// A client on a new host called `name`, of the coordinator at the peer `coordinator`.
fn client(network: &Network, name: &str, coordinator: &SimulatorP2P) -> Client<SimulatorP2P> {
    client_at(provider(&network.host(name)), coordinator)
}

fn client_at(provider: SimulatorP2P, coordinator: &SimulatorP2P) -> Client<SimulatorP2P> {
    let coordinator = CoordinatorAddr::Peer(coordinator.local_addr());
    // What is tested is one attempt; `attempts` has more.
    let config = ClientConfig::default().with_max_attempts(1);
    Client::new(provider, coordinator, config).expect("a client")
}

fn game() -> ProtocolName {
    "game/1".parse().expect("a name")
}
