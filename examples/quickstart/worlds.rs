//! The parts: real ones, and simulated ones.

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use p2p_coordinator::door::{Closing, Limits, http, peer, tcp};
use p2p_coordinator::service::{Coordinator, Settings};
use p2p_coordinator::store::sqlite::{Durability, SqliteStore};
use p2p_coordinator::store::{MemoryStore, Store};
use p2p_coordinator::world::{Clock, Randomness};
use p2p_transport::coordinator::CoordinatorAddr;
use p2p_transport::coordinator::api::Timestamp;
use p2p_transport::iroh::{IrohConfig, generate_secret_key};
use p2p_transport::simulator::{LinkProfile, Outcome, Simulation};
use p2p_transport::{ConnectionConfig, P2PProvider, SecretKey};
use tokio::net::TcpListener;

use crate::content::Content;
use crate::job::{Figures, World, main_job};
use crate::{AnyError, say};

/// A folder of this run's own, removed at its end.
pub(crate) struct Scratch(PathBuf);

impl Scratch {
    pub(crate) fn new() -> Result<Self, AnyError> {
        let path = std::env::temp_dir().join(format!("p2p-quickstart-{}", std::process::id()));
        std::fs::create_dir_all(&path)
            .map_err(|error| format!("cannot make the folder '{}': {error}", path.display()))?;
        Ok(Self(path))
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// A coordinator on a free port with SQLite, and four endpoints of iroh.
pub(crate) async fn real(scratch: &Scratch, content: &Content) -> Result<Figures, AnyError> {
    let store = SqliteStore::open(scratch.path().join("coordinator.db"), Durability::Process)?;
    let (key, seed) = (generate_secret_key(), generate_secret_key().to_bytes());
    let coordinator = new_coordinator(store, key, wall_time(), seed);
    let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
    let url = format!("http://{}", listener.local_addr()?);
    say(format_args!("   coordinator at {url}"));
    let closing = Closing::new();
    let router = http::router(coordinator.clone());
    let serving = tokio::spawn(tcp::run(listener, router, Limits::default(), closing.clone()));

    let bind = |key: SecretKey| {
        let address = ([127, 0, 0, 1], 0).into();
        IrohConfig::default().with_secret_key(key).with_bind_address(address).bind()
    };
    let host_key = generate_secret_key();
    let host = bind(host_key.clone()).await?;
    let mut players = Vec::new();
    for _ in 0..3 {
        players.push(bind(generate_secret_key()).await?);
    }
    let addr: CoordinatorAddr = url.parse()?;
    let world = World { coordinator: addr, host, host_key, players };
    let figures = main_job(&world, content).await;

    for player in &world.players {
        player.shutdown().await;
    }
    world.host.shutdown().await;
    closing.close();
    serving.await?;
    coordinator.store().close().await;
    figures
}

/// Five simulated hosts; the coordinator is reached by its ticket.
pub(crate) fn simulated(content: &Content) -> Result<Outcome<Result<Figures, AnyError>>, AnyError> {
    let link = LinkProfile::new()
        .with_latency(Duration::from_millis(40))
        .with_jitter(Duration::from_millis(1))
        .with_loss(0.01)
        .with_bandwidth(200_000_000);
    let outcome = Simulation::new(7).with_link(link).run(async |network| {
        let config = ConnectionConfig::default;
        let service = network.host("coordinator");
        let node = service.provider(config())?;
        let coordinator = new_coordinator(MemoryStore::new(), service.secret_key(), EPOCH, [7; 32]);
        let listener = peer::open(&node, Limits::default()).await?;
        say(format_args!("   coordinator at {}", node.local_addr()));
        let router = http::router(coordinator);
        let serving = tokio::spawn(peer::run(listener, router, Limits::default(), Closing::new()));

        let host = network.host("host");
        let mut players = Vec::new();
        for name in ["ann", "ben", "cleo"] {
            players.push(network.host(name).provider(config())?);
        }
        let world = World {
            coordinator: CoordinatorAddr::Peer(node.local_addr()),
            host: host.provider(config())?,
            host_key: host.secret_key(),
            players,
        };
        let figures = main_job(&world, content).await;
        serving.abort();
        figures
    })?;
    Ok(outcome)
}

/// When the simulated clock starts: the first moment of 2026.
const EPOCH: Timestamp = Timestamp::from_millis(1_767_225_600_000);

fn new_coordinator<S: Store>(
    store: S,
    key: SecretKey,
    epoch: Timestamp,
    seed: [u8; 32],
) -> Coordinator<S> {
    let (clock, random) = (Clock::starting_at(epoch), Randomness::new(seed));
    Coordinator::new(store, key, clock, random, Settings::default())
}

#[allow(clippy::disallowed_methods, reason = "the one place that reads the wall clock")]
fn wall_time() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp::from_millis(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}
