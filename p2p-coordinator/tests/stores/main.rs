//! The stores keep what they promise: the suite for each of them, and what only files do.

mod encrypted;
mod folder;
mod groups;
mod killed;
mod postgres;
mod records;
#[path = "../postgres/server.rs"]
mod server;
mod trouble;

use p2p_coordinator::store::conformance::{Failure, Fixture, Outcome};
use p2p_coordinator::store::postgres::{PostgresConfig, PostgresStore};
use p2p_coordinator::store::sqlite::{Durability, SqliteStore};
use p2p_coordinator::store::{MemoryStore, Store};

use folder::Folder;
use server::Server;

mod memory {
    use super::*;

    struct InMemory;

    impl Fixture for InMemory {
        type Store = MemoryStore;

        async fn fresh(&self) -> Outcome<MemoryStore> {
            Ok(MemoryStore::new())
        }
    }

    p2p_coordinator::store_conformance_suite!(InMemory);
}

/// Each fresh store in a folder of its own.
struct InFiles {
    folder: Folder,
    durability: Durability,
}

impl InFiles {
    fn new(durability: Durability) -> Self {
        Self { folder: Folder::new(), durability }
    }
}

impl Fixture for InFiles {
    type Store = SqliteStore;

    async fn fresh(&self) -> Outcome<SqliteStore> {
        open(self.folder.fresh_file(), self.durability)
    }

    async fn reopen(&self, store: SqliteStore) -> Outcome<Option<SqliteStore>> {
        store.close().await;
        drop(store);
        open(self.folder.last_file(), self.durability).map(Some)
    }
}

fn open(path: std::path::PathBuf, durability: Durability) -> Outcome<SqliteStore> {
    SqliteStore::open(path, durability).map_err(|error| Failure::new(error.to_string()))
}

/// Each fresh store in a database of its own.
struct InPostgres {
    url: std::sync::Mutex<String>,
}

impl InPostgres {
    fn new() -> Self {
        Self { url: std::sync::Mutex::default() }
    }
}

impl Fixture for InPostgres {
    type Store = PostgresStore;

    async fn fresh(&self) -> Outcome<PostgresStore> {
        let url = Server::shared().fresh_database().await;
        self.url.lock().expect("nobody panicked").clone_from(&url);
        connect(&url).await
    }

    async fn reopen(&self, store: PostgresStore) -> Outcome<Option<PostgresStore>> {
        store.close().await;
        drop(store);
        let url = self.url.lock().expect("nobody panicked").clone();
        connect(&url).await.map(Some)
    }
}

async fn connect(url: &str) -> Outcome<PostgresStore> {
    let config = PostgresConfig::new(url).map_err(|error| Failure::new(error.to_string()))?;
    let opened = PostgresStore::open(config).await;
    opened.map_err(|error| Failure::new(format!("{error}: {error:?}")))
}

mod postgres_server {
    use super::*;

    p2p_coordinator::store_conformance_suite!(InPostgres::new());
}

mod sqlite_process {
    use super::*;

    p2p_coordinator::store_conformance_suite!(InFiles::new(Durability::Process));
}

mod sqlite_power {
    use super::*;

    p2p_coordinator::store_conformance_suite!(InFiles::new(Durability::Power));
}
