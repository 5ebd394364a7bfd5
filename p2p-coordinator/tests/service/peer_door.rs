//! The door for peers, in the virtual simulation: HTTP on the streams of a connection.

mod bounds;
mod ending;
mod repeatable;

use axum::Router;
use axum::routing::get;
use bytes::Bytes;
use http::Request;
use http_body_util::Full;
use p2p_coordinator::door::{Closing, Limits, http as router, peer};
use p2p_coordinator::store::MemoryStore;
use p2p_coordinator_api::paths::PROTOCOL;
use p2p_core::{
    ConnectOptions, ConnectReady, ConnectionConfig, P2PConnection, P2PError, P2PProvider, StreamIo,
};
use p2p_simulator::{Host, LinkProfile, Network, Simulation, SimulatorConnection, SimulatorP2P};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::task::JoinHandle;
use tokio::time::{Duration, sleep};

use crate::ask::{Answer, exchange};
use crate::fixture::coordinator;

/// How long `/slow` takes.
const SLOW: Duration = Duration::from_secs(3);

fn simulation(seed: u64) -> Simulation {
    Simulation::new(seed).with_link(LinkProfile::new().with_latency(Duration::from_millis(40)))
}

/// A coordinator's door on a host of the network.
struct Door {
    host: Host,
    provider: SimulatorP2P,
    closing: Closing,
    /// Whether all requests ended by themselves.
    ended: JoinHandle<bool>,
}

impl Door {
    async fn open(network: &Network, limits: Limits, seed: u8) -> Self {
        Self::on(network.host("coordinator"), limits, seed).await
    }

    async fn on(host: Host, limits: Limits, seed: u8) -> Self {
        let provider = host.provider(ConnectionConfig::default()).expect("a free host");
        let listener = peer::open(&provider, limits).await.expect("listening");
        let router = Router::new()
            .route("/slow", get(async || sleep(SLOW).await))
            .merge(router::router(coordinator(MemoryStore::new(), seed)));
        let closing = Closing::new();
        let ended = tokio::spawn(peer::run(listener, router, limits, closing.clone()));
        Self { host, provider, closing, ended }
    }

    /// Another peer, connected to it. The provider keeps the connection alive.
    async fn guest(&self, network: &Network, name: &str) -> Guest {
        let provider = network.host(name).provider(ConnectionConfig::default()).expect("a host");
        let connection = self.connect(&provider).await.expect("a connection");
        Guest { _provider: provider, connection }
    }

    async fn connect(&self, provider: &SimulatorP2P) -> Result<SimulatorConnection, P2PError> {
        let options = ConnectOptions::new(PROTOCOL.parse().expect("a name"));
        let options = options.with_ready(ConnectReady::Admitted);
        provider.connect(&self.provider.local_addr(), options).await
    }
}

struct Guest {
    _provider: SimulatorP2P,
    connection: SimulatorConnection,
}

impl Guest {
    async fn stream(&self) -> impl AsyncRead + AsyncWrite + Send + Unpin + 'static {
        let (send, recv) = self.connection.open_stream().await.expect("a stream");
        StreamIo::new(send, recv)
    }

    async fn ask(&self, request: Request<Full<Bytes>>) -> hyper::Result<Answer> {
        exchange(self.stream().await, request).await
    }
}
