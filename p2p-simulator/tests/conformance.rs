//! The suite of promises on simulated networks.

mod conformance {
    mod broken;
    mod fuzz;
    mod pooled;
    mod repeated;
}

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use p2p_core::conformance::malice::Hostile;
use p2p_core::conformance::{Failure, Fixture, Outcome, World, Wrapped};
use p2p_core::dynamic::AnyProvider;
use p2p_core::transport::Transport;
use p2p_core::{
    ConnectionConfig, Limited, Limits, PeerAddr, PeerId, RateLimit, ScopeLimits, TrafficLimits,
};
use p2p_simulator::{Host, LinkProfile, Network, SimLink, SimTransport, Simulation, SimulatorP2P};

/// A simulated network with a host for each provider.
struct Hosts {
    network: Network,
    hosts: Mutex<BTreeMap<PeerId, Host>>,
    strangers: Mutex<BTreeMap<u32, Arc<SimTransport>>>,
    /// Hosts reach each other over a relay too.
    relayed: bool,
}

impl Hosts {
    fn on(network: Network) -> Self {
        let (hosts, strangers) = (Mutex::default(), Mutex::default());
        Self { network, hosts, strangers, relayed: false }
    }

    fn stranger(&self, number: u32) -> Arc<SimTransport> {
        let mut strangers = self.strangers.lock().unwrap_or_else(PoisonError::into_inner);
        let bind = || {
            let host = self.network.host(&format!("stranger {number}"));
            Arc::new(host.transport(&ConnectionConfig::default()).expect("an endpoint"))
        };
        strangers.entry(number).or_insert_with(bind).clone()
    }
}

impl World for Hosts {
    type Provider = SimulatorP2P;

    async fn provider(&self, config: ConnectionConfig) -> SimulatorP2P {
        let mut hosts = self.hosts.lock().unwrap_or_else(PoisonError::into_inner);
        let host = self.network.host(&format!("host {}", hosts.len()));
        for other in hosts.values().filter(|_| self.relayed) {
            let relay = LinkProfile::new().with_latency(Duration::from_millis(3));
            self.network.set_relayed_link(&host, other, &relay).expect("a link");
        }
        hosts.insert(host.peer_id(), host.clone());
        host.provider(config).expect("a new host has no endpoint yet")
    }

    async fn vanish(&self, peer: PeerId) {
        self.hosts.lock().unwrap_or_else(PoisonError::into_inner)[&peer].crash();
    }
}

impl Hostile for Hosts {
    type Wire = SimLink;

    async fn dial(&self, stranger: u32, node: &PeerAddr) -> Outcome<SimLink> {
        let dialled = self.stranger(stranger).dial(node).await;
        dialled.map_err(|error| Failure::new(error.to_string()))
    }

    /// The round trip of 2 ms, and a fifth more.
    fn echo_within(&self) -> Option<Duration> {
        Some(Duration::from_micros(2400))
    }
}

/// Each check in a simulation of its own, in virtual time.
#[derive(Clone, Debug)]
struct Simulated(Simulation);

impl Fixture for Simulated {
    type World = Hosts;

    fn run<F>(&self, check: impl FnOnce(Hosts) -> F + Send + 'static) -> Outcome
    where
        F: Future<Output = Outcome> + Send + 'static,
    {
        let run = self.0.run(|network| check(Hosts::on(network)));
        run.map_err(|error| Failure::new(error.to_string()))?.output
    }
}

fn simulated() -> Simulated {
    Simulated(Simulation::new(7))
}

/// The same with a relay, so that there are standbys.
#[derive(Clone, Debug)]
struct BesideARelay(Simulation);

impl Fixture for BesideARelay {
    type World = Hosts;

    fn run<F>(&self, check: impl FnOnce(Hosts) -> F + Send + 'static) -> Outcome
    where
        F: Future<Output = Outcome> + Send + 'static,
    {
        let relayed = |network| Hosts { relayed: true, ..Hosts::on(network) };
        let run = self.0.run(move |network| check(relayed(network)));
        run.map_err(|error| Failure::new(error.to_string()))?.output
    }
}

fn relayed() -> BesideARelay {
    BesideARelay(Simulation::new(7))
}

p2p_core::conformance_suite!(simulated());

/// What peers that mean harm come to.
mod under_fire {
    use super::simulated;

    p2p_core::malice_suite!(simulated());
}

/// With loss, jitter and reordering, the same promises hold: it only takes longer.
mod over_bad_links {
    use super::{Duration, LinkProfile, Simulated, Simulation};

    fn bad_links() -> Simulated {
        let link = LinkProfile::new()
            .with_latency(Duration::from_millis(4))
            .with_jitter(Duration::from_millis(4))
            .with_loss(0.02);
        Simulated(Simulation::new(8).with_link(link))
    }

    p2p_core::conformance_suite!(bad_links());
}

/// Where connections have two ways to go, the same promises hold.
mod beside_a_relay {
    use super::relayed;

    p2p_core::conformance_suite!(relayed());
}

/// A backend chosen at run time keeps them as well.
mod behind_pointers {
    use super::{AnyProvider, Wrapped, simulated};

    p2p_core::conformance_suite!(Wrapped::new(simulated(), AnyProvider::new));
}

/// Limits that are far away change nothing.
mod within_limits {
    use super::{Limited, Limits, RateLimit, ScopeLimits, SimulatorP2P, TrafficLimits};
    use super::{Wrapped, simulated};

    fn limited(provider: SimulatorP2P) -> Limited<SimulatorP2P> {
        let rate = RateLimit::per_second(1 << 40).expect("not zero");
        let traffic = TrafficLimits::default().with_messages(rate).with_bytes(rate);
        let scope = ScopeLimits::default()
            .with_connections(8192)
            .with_dials(rate)
            .with_admissions(rate)
            .with_sent(traffic)
            .with_received(traffic);
        let limits = Limits::default().with_total(scope).with_per_peer(scope);
        Limited::new(provider, limits).expect("limits that can be meant")
    }

    p2p_core::conformance_suite!(Wrapped::new(simulated(), limited));
}
