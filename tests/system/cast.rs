//! Who takes part, and how each of them dies and comes back.

use std::time::Duration;

use p2p_coordinator::door::{Closing, Limits, http, peer};
use p2p_coordinator::service::{Coordinator, Settings};
use p2p_coordinator::store::MemoryStore;
use p2p_coordinator::world::{Clock, Randomness};
use p2p_transport::coordinator::api::{HostId, Timestamp};
use p2p_transport::coordinator::{Client, ClientConfig, CoordinatorAddr, HostAgent, HostConfig};
use p2p_transport::simulator::{Host, Network, SimulatorP2P};
use p2p_transport::{ConnectionConfig, P2PConnection, PeerAddr};
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::interval;

use crate::rules::Ledger;

/// When the story begins: the first moment of 2026.
const EPOCH: Timestamp = Timestamp::from_millis(1_767_225_600_000);

pub(crate) const PROTOCOL: &str = "game/1";

/// The most players of a host: fewer places than could be asked for while hosts are down.
pub(crate) const HOST_PLAYERS: u32 = 16;

/// Peers find out soon that one of them is gone.
pub(crate) fn config() -> ConnectionConfig {
    ConnectionConfig::default().with_idle_timeout(Duration::from_secs(4))
}

/// The coordinator's machine. Its records are its disk: they survive a crash.
pub(crate) struct CoordinatorHost {
    network: Network,
    host: Host,
    pub(crate) store: MemoryStore,
    starts: u8,
    running: Option<AbortHandle>,
}

impl CoordinatorHost {
    pub(crate) fn new(network: &Network) -> Self {
        let (network, host) = (network.clone(), network.host("coordinator"));
        Self { network, host, store: MemoryStore::new(), starts: 0, running: None }
    }

    pub(crate) fn addr(&self) -> CoordinatorAddr {
        CoordinatorAddr::Peer(PeerAddr::new(self.host.peer_id()))
    }

    pub(crate) async fn start(&mut self) {
        self.starts += 1;
        let node = self.host.provider(config()).expect("the machine is up");
        let coordinator = Coordinator::new(
            self.store.clone(),
            self.host.secret_key(),
            Clock::starting_at(EPOCH.after(self.network.elapsed())),
            Randomness::new([self.starts; 32]),
            Settings::default(),
        );
        let limits = Limits::default();
        let listener = peer::open(&node, limits).await.expect("it listens");
        let running = tokio::spawn(async move {
            let closing = Closing::new();
            let sweeping = async {
                let mut clock = interval(coordinator.settings().terms.lease / 3);
                loop {
                    clock.tick().await;
                    coordinator.sweep().await.expect("memory does not fail");
                }
            };
            let serving = peer::run(listener, http::router(coordinator.clone()), limits, closing);
            tokio::select! {
                biased;
                _ = serving => {}
                () = sweeping => {}
            }
        });
        self.running = Some(running.abort_handle());
    }

    pub(crate) fn crash(&mut self) {
        self.host.crash();
        if let Some(running) = self.running.take() {
            running.abort();
        }
    }

    pub(crate) async fn restart(&mut self) {
        self.host.restart();
        self.start().await;
    }
}

/// A host's machine: its agent, and a game that sends back what comes.
pub(crate) struct GameHost {
    pub(crate) id: HostId,
    host: Host,
    coordinator: CoordinatorAddr,
    ledger: Ledger,
    pub(crate) is_up: bool,
    running: Option<AbortHandle>,
}

impl GameHost {
    pub(crate) fn new(
        network: &Network,
        number: usize,
        coordinator: CoordinatorAddr,
        ledger: &Ledger,
    ) -> Self {
        let name = format!("host-{number}");
        let id = name.parse().expect("an id");
        let host = network.host(&name);
        Self { id, host, coordinator, ledger: ledger.clone(), is_up: false, running: None }
    }

    pub(crate) fn start(&mut self) {
        self.is_up = true;
        self.ledger.begins(&self.id);
        let node = self.host.provider(config()).expect("the machine is up");
        let secret = self.host.secret_key();
        let game = HostConfig::new(
            self.id.clone(),
            "owner".parse().expect("an id"),
            PROTOCOL.parse().expect("a name"),
        )
        .with_max_players(HOST_PLAYERS)
        // A host does not give up while the coordinator is away.
        .with_start_timeout(Duration::from_secs(3600));
        let client = client(&node, &self.coordinator);
        let (id, ledger) = (self.id.clone(), self.ledger.clone());
        let running = tokio::spawn(async move {
            let agent = HostAgent::start(client, node, secret, game).await.expect("registered");
            let mut guests = JoinSet::new();
            while let Ok(guest) = agent.accept().await {
                let ledger = ledger.clone();
                let visit = ledger.comes(&id, &guest);
                guests.spawn(async move {
                    while let Ok(message) = guest.connection.recv().await {
                        if guest.connection.send(message).await.is_err() {
                            break;
                        }
                    }
                    ledger.goes(visit);
                });
            }
        });
        self.running = Some(running.abort_handle());
    }

    pub(crate) fn crash(&mut self) {
        self.is_up = false;
        self.ledger.ends(&self.id);
        self.host.crash();
        if let Some(running) = self.running.take() {
            running.abort();
        }
    }

    pub(crate) fn restart(&mut self) {
        self.host.restart();
        self.start();
    }

    /// Cuts it off from the coordinator, not from its players.
    pub(crate) fn cut_off(&self, network: &Network, coordinator: &CoordinatorHost) {
        self.ledger.doubts(&self.id);
        network.partition([&self.host], [&coordinator.host]);
    }

    pub(crate) fn reconnect(&self, network: &Network, coordinator: &CoordinatorHost) {
        network.repair([&self.host], [&coordinator.host]);
        if self.is_up {
            self.ledger.begins_anew(&self.id);
        }
    }
}

pub(crate) fn client(node: &SimulatorP2P, coordinator: &CoordinatorAddr) -> Client<SimulatorP2P> {
    let config = ClientConfig::default().with_request_timeout(Duration::from_secs(2));
    Client::new(node.clone(), coordinator.clone(), config).expect("a peer needs no HTTP")
}
