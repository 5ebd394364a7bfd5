//! A coordinator on a free port, with an SQLite file that ends with it.

use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use p2p_benches::{Result, measure_dir};
use p2p_coordinator::door::{Closing, Limits, http, tcp};
use p2p_coordinator::service::{Coordinator, Settings};
use p2p_coordinator::store::Store;
use p2p_coordinator::store::sqlite::{Durability, SqliteStore};
use p2p_coordinator::world::{Clock, Randomness};
use p2p_transport::coordinator::CoordinatorAddr;
use p2p_transport::coordinator::api::Timestamp;
use p2p_transport::iroh::generate_secret_key;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

pub(crate) struct Service {
    pub(crate) addr: CoordinatorAddr,
    coordinator: Coordinator<SqliteStore>,
    closing: Closing,
    serving: JoinHandle<bool>,
    /// Last: the file is closed when its folder goes.
    _folder: Folder,
}

impl Service {
    pub(crate) async fn start(durability: Durability) -> Result<Self> {
        let folder = Folder::new()?;
        let store = SqliteStore::open(folder.0.join("coordinator.db"), durability)?;
        let mut settings = Settings::default();
        // Hosts that are registered only send no heartbeats.
        settings.terms.lease = Duration::from_secs(3600);
        let (key, seed) = (generate_secret_key(), generate_secret_key().to_bytes());
        let (clock, random) = (Clock::starting_at(EPOCH), Randomness::new(seed));
        let coordinator = Coordinator::new(store, key, clock, random, settings);
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let addr = format!("http://{}", listener.local_addr()?).parse()?;
        let closing = Closing::new();
        let router = http::router(coordinator.clone());
        let serving = tokio::spawn(tcp::run(listener, router, Limits::default(), closing.clone()));
        Ok(Self { addr, coordinator, closing, serving, _folder: folder })
    }

    pub(crate) async fn stop(self) -> Result<()> {
        self.closing.close();
        self.serving.await?;
        self.coordinator.store().close().await;
        Ok(())
    }
}

/// The first moment of 2026: any would do.
const EPOCH: Timestamp = Timestamp::from_millis(1_767_225_600_000);

/// A folder beside the reports, because a system's folder for temporary files is often in memory,
/// which survives no loss of power and has nothing to wait for.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Result<Self> {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let path = measure_dir().join(format!("join-{}-{number}", std::process::id()));
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
