//! The stores keep what they promise: the suite for each of them, and what only files do.

mod folder;
mod groups;
mod killed;
mod records;
mod trouble;

use p2p_coordinator::store::conformance::{Failure, Fixture, Outcome};
use p2p_coordinator::store::sqlite::{Durability, SqliteStore};
use p2p_coordinator::store::{MemoryStore, Store};

use folder::Folder;

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

mod sqlite_process {
    use super::*;

    p2p_coordinator::store_conformance_suite!(InFiles::new(Durability::Process));
}

mod sqlite_power {
    use super::*;

    p2p_coordinator::store_conformance_suite!(InFiles::new(Durability::Power));
}
