//! A coordinator on a free port, with records that end with it.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use axum::Router;
use axum::routing::get;
use p2p_benches::{Result, measure_dir};
use p2p_coordinator::door::{Closing, Limits, http, tcp};
use p2p_coordinator::service::{Coordinator, Settings};
use p2p_coordinator::store::Store;
use p2p_coordinator::world::{Clock, Randomness};
use p2p_coordinator_api::Timestamp;
use p2p_core::SecretKey;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

pub(crate) struct Service {
    pub(crate) address: SocketAddr,
    closing: Closing,
    tasks: Vec<JoinHandle<()>>,
}

impl Service {
    pub(crate) async fn start(store: impl Store) -> Result<Self> {
        let mut settings = Settings::default();
        // Hosts that are registered only send no heartbeats.
        settings.terms.host_timeout = Duration::from_secs(3600);
        let key = SecretKey::from_bytes(&[1; 32]);
        let (clock, random) = (Clock::starting_at(EPOCH), Randomness::new([2; 32]));
        let coordinator = Coordinator::new(store, key, clock, random, settings);
        let mut service = Self::serve(http::router(coordinator.clone())).await?;
        let heartbeats = tokio::spawn(async move { coordinator.write_heartbeats().await });
        service.tasks.push(heartbeats);
        Ok(service)
    }

    /// A server that does nothing but answer.
    pub(crate) async fn hello() -> Result<Self> {
        Self::serve(Router::new().route("/health", get(async || "hello"))).await
    }

    async fn serve(router: Router) -> Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let (address, closing) = (listener.local_addr()?, Closing::new());
        let door = tcp::run(listener, router, Limits::default(), closing.clone());
        let door = tokio::spawn(async move {
            door.await;
        });
        Ok(Self { address, closing, tasks: vec![door] })
    }

    pub(crate) fn stop(self) {
        self.closing.close();
        for task in self.tasks {
            task.abort();
        }
    }
}

/// The first moment of 2026: any would do.
const EPOCH: Timestamp = Timestamp::from_millis(1_767_225_600_000);

/// A folder beside the reports, because a system's folder for temporary files is often in memory,
/// which survives no loss of power and has nothing to wait for.
pub(crate) struct Folder(pub(crate) PathBuf);

impl Folder {
    pub(crate) fn new() -> Result<Self> {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let path = measure_dir().join(format!("coordinator-{}-{number}", std::process::id()));
        std::fs::create_dir_all(&path)
            .map_err(|error| format!("cannot make the folder {}: {error}", path.display()))?;
        Ok(Self(path))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
