//! Records in an SQLite file: the embedded default.
//!
//! One thread owns the database and does what comes, in order; writes that wait together are
//! committed together (`worker`). The journal is write-ahead (WAL). What `commit` acknowledged is
//! with the operating system and survives the process, killed or not; whether it also survives a
//! loss of power is [`Durability`]'s to say.

mod checkpoint;
mod grants;
mod read;
mod schema;
mod worker;
mod write;

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use p2p_coordinator_api::{HostId, Nonce, PlayerId, Timestamp, ZoneId};
use rusqlite::{Connection, ErrorCode};
use thiserror::Error;

use super::{
    Committed, GrantQuery, HostQuery, PlacementQuery, SessionKey, SessionQuery, Stamp, Store,
    StoreError, Totals, ZoneQuery,
};
use crate::domain::placement::{Candidate, PlacementView};
use crate::domain::zone::ZoneCounts;
use crate::domain::{Beat, Changes, HostView, Row, SessionRecord, Terms, ZoneRecord};
use crate::security::GrantRecord;
use checkpoint::Checkpoints;
use worker::{Kind, Worker};

/// What acknowledged writes survive.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Durability {
    /// The end of the process, killed or not (`synchronous=NORMAL`): a loss of power may take the
    /// last moments with it, and leaves the file sound.
    #[default]
    Process,
    /// A loss of power as well (`synchronous=FULL`): each group of commits waits for the disk, which
    /// costs one flush, some milliseconds on most machines.
    Power,
}

impl Durability {
    const fn synchronous(self) -> &'static str {
        match self {
            Self::Process => "NORMAL",
            Self::Power => "FULL",
        }
    }
}

/// Keeps records in an SQLite file.
pub struct SqliteStore {
    path: PathBuf,
    worker: Worker,
    /// Reads nothing but whether the file has changed, which waits for nobody: it looks at memory
    /// that is shared with all who have the file open.
    watcher: Mutex<Connection>,
}

impl SqliteStore {
    /// Opens the file, makes it if it is not there, and brings its tables up to date.
    ///
    /// # Errors
    ///
    /// [`OpenError`], which says what to do.
    pub fn open(path: impl Into<PathBuf>, durability: Durability) -> Result<Self, OpenError> {
        let path = path.into();
        if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
            std::fs::create_dir_all(folder)
                .map_err(|source| OpenError::Folder { path: folder.to_owned(), source })?;
        }
        let connection = connect(&path, durability).map_err(|error| name(&path, error))?;
        let other = || beside(&path, durability).map_err(|error| name(&path, error.into()));
        let (watcher, checkpointer) = (Mutex::new(other()?), other()?);
        let started = Checkpoints::start(checkpointer)
            .and_then(|checkpoints| Worker::start(connection, checkpoints));
        let worker = started.map_err(|source| OpenError::Thread { path: path.clone(), source })?;
        Ok(Self { path, worker, watcher })
    }

    async fn read<T: Send + 'static>(
        &self,
        job: impl FnOnce(&Connection) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        self.worker.call(Kind::Read, job).await
    }
}

fn connect(path: &Path, durability: Durability) -> Result<Connection, schema::Trouble> {
    let mut connection = Connection::open(path)?;
    connection.busy_timeout(BUSY)?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "synchronous", durability.synchronous())?;
    // Another thread brings it into the file.
    connection.pragma_update(None, "wal_autocheckpoint", 0)?;
    connection.pragma_update(None, "journal_size_limit", JOURNAL_BYTES)?;
    connection.pragma_update(None, "cache_size", -CACHE_KIB)?;
    let sound: String = connection.query_row("PRAGMA quick_check(1)", [], |row| row.get(0))?;
    if sound != "ok" {
        return Err(schema::Trouble::Damaged(sound));
    }
    schema::migrate(&mut connection)?;
    // Says now, not at the first request, whether it can be written.
    connection.execute_batch("BEGIN IMMEDIATE; COMMIT")?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS);
    Ok(connection)
}

/// One more connection to a file that is there.
fn beside(path: &Path, durability: Durability) -> rusqlite::Result<Connection> {
    let connection = Connection::open(path)?;
    connection.busy_timeout(BUSY)?;
    connection.pragma_update(None, "synchronous", durability.synchronous())?;
    Ok(connection)
}

/// To how many bytes the journal's file is cut when it begins anew after it was longer.
const JOURNAL_BYTES: i64 = 32 << 20;

/// The most pages that are kept in memory: with those of some ten thousand hosts and their indexes
/// there, little is read from the file.
const CACHE_KIB: i64 = 32 << 10;

/// How long another process may hold the file before we give up.
const BUSY: Duration = Duration::from_secs(5);

/// As many as there are different ones, and some.
const STATEMENTS: usize = 64;

fn name(path: &Path, trouble: schema::Trouble) -> OpenError {
    let path = path.to_owned();
    match trouble {
        schema::Trouble::Damaged(detail) => OpenError::Damaged { path, detail },
        schema::Trouble::Newer { found, known } => OpenError::Newer { path, found, known },
        schema::Trouble::Sql(error) => match error.sqlite_error_code() {
            Some(ErrorCode::NotADatabase | ErrorCode::DatabaseCorrupt) => {
                OpenError::Damaged { path, detail: error.to_string() }
            }
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => OpenError::InUse { path },
            _ => OpenError::Unusable { path, source: error },
        },
    }
}

impl fmt::Debug for SqliteStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SqliteStore").field("path", &self.path).finish_non_exhaustive()
    }
}

/// Why a database could not be opened.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum OpenError {
    /// It is no database, or its content is damaged.
    #[error(
        "'{}' is damaged or no SQLite database ({detail}): restore it from a copy, or move it away \
         to begin with an empty one", path.display()
    )]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What SQLite says.
        detail: String,
    },
    /// The folder could not be made.
    #[error("cannot make the folder '{}': choose another place for the database", path.display())]
    Folder {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Another process holds it.
    #[error("'{}' is held by another process: stop that, or choose another file", path.display())]
    InUse {
        /// The file.
        path: PathBuf,
    },
    /// A later version of this program wrote it.
    #[error(
        "'{}' was written by a newer version (its tables have version {found}, this program knows \
         {known}): use that version, or another file", path.display()
    )]
    Newer {
        /// The file.
        path: PathBuf,
        /// The version of its tables.
        found: usize,
        /// The newest version known here.
        known: usize,
    },
    /// Its thread did not start.
    #[error("cannot start the thread for '{}'", path.display())]
    Thread {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It cannot be opened, read or written.
    #[error("cannot use the database '{}': check that the file and its folder can be written and \
             that the disk is not full", path.display())]
    Unusable {
        /// The file.
        path: PathBuf,
        /// What SQLite says.
        source: rusqlite::Error,
    },
}

#[async_trait]
impl Store for SqliteStore {
    fn name(&self) -> &'static str {
        "sqlite"
    }

    async fn host(&self, host: &HostId) -> Result<Option<HostView>, StoreError> {
        let host = host.clone();
        self.read(move |sql| read::host(sql, &host)).await
    }

    async fn candidate(&self, host: &HostId) -> Result<Option<Candidate>, StoreError> {
        let host = host.clone();
        self.read(move |sql| read::candidate(sql, &host)).await
    }

    async fn hosts(&self, query: &HostQuery) -> Result<Vec<HostView>, StoreError> {
        let query = query.clone();
        self.read(move |sql| read::hosts(sql, &query)).await
    }

    async fn zone(
        &self,
        zone: &ZoneId,
    ) -> Result<Option<(Row<ZoneRecord>, ZoneCounts)>, StoreError> {
        let zone = zone.clone();
        self.read(move |sql| read::zone(sql, &zone)).await
    }

    async fn zones(
        &self,
        query: &ZoneQuery,
    ) -> Result<Vec<(Row<ZoneRecord>, ZoneCounts)>, StoreError> {
        let query = query.clone();
        self.read(move |sql| read::zones(sql, &query)).await
    }

    async fn session(&self, key: &SessionKey) -> Result<Option<Row<SessionRecord>>, StoreError> {
        let key = key.clone();
        self.read(move |sql| read::session(sql, &key)).await
    }

    async fn sessions(&self, query: &SessionQuery) -> Result<Vec<Row<SessionRecord>>, StoreError> {
        let query = query.clone();
        self.read(move |sql| read::sessions(sql, &query)).await
    }

    async fn session_of(
        &self,
        player: &PlayerId,
    ) -> Result<Option<Row<SessionRecord>>, StoreError> {
        let player = player.clone();
        self.read(move |sql| read::session_of(sql, &player)).await
    }

    async fn sessions_of(
        &self,
        players: &[PlayerId],
    ) -> Result<BTreeMap<PlayerId, Row<SessionRecord>>, StoreError> {
        let players = players.to_vec();
        self.read(move |sql| {
            let mut found = BTreeMap::new();
            for player in players {
                if let Some(session) = read::session_of(sql, &player)? {
                    found.insert(player, session);
                }
            }
            Ok(found)
        })
        .await
    }

    async fn placement(&self, query: &PlacementQuery) -> Result<Option<PlacementView>, StoreError> {
        let query = query.clone();
        self.read(move |sql| read::placement(sql, &query)).await
    }

    async fn grant(&self, family: &Nonce) -> Result<Option<Row<GrantRecord>>, StoreError> {
        let family = *family;
        self.read(move |sql| grants::one(sql, &family)).await
    }

    async fn grants(&self, query: &GrantQuery) -> Result<Vec<Row<GrantRecord>>, StoreError> {
        let query = query.clone();
        self.read(move |sql| grants::list(sql, &query)).await
    }

    async fn totals(&self) -> Result<Totals, StoreError> {
        self.read(read::totals).await
    }

    async fn commit(&self, changes: Changes) -> Result<Committed, StoreError> {
        self.worker.call(Kind::Write, move |sql| write::commit(sql, changes)).await
    }

    async fn hear(&self, beats: Vec<Beat>, terms: &Terms) -> Result<Vec<HostView>, StoreError> {
        let terms = *terms;
        self.worker.call(Kind::Write, move |sql| write::hear(sql, &beats, &terms)).await
    }

    async fn others(&self) -> Result<Option<u64>, StoreError> {
        let version = self.read(changes_of_others).await?;
        Ok(Some(version.unsigned_abs()))
    }

    async fn stamp(&self) -> Result<Option<Stamp>, StoreError> {
        let watcher = self.watcher.lock().unwrap_or_else(PoisonError::into_inner);
        // To the watcher, the worker is another.
        Ok(Some(Stamp::new(changes_of_others(&watcher)?.to_string())))
    }

    async fn prune(
        &self,
        ended_by: Timestamp,
        keep: u32,
        at_most: u32,
    ) -> Result<usize, StoreError> {
        self.worker.call(Kind::Write, move |sql| write::prune(sql, ended_by, keep, at_most)).await
    }

    async fn check(&self) -> Result<(), StoreError> {
        self.worker.call(Kind::Write, write::probe).await
    }

    async fn close(&self) {
        self.worker.close().await;
    }
}

/// A number that changes when another connection than this has changed something.
fn changes_of_others(sql: &Connection) -> Result<i64, StoreError> {
    sql.prepare_cached("PRAGMA data_version")
        .and_then(|mut version| version.query_row([], |row| row.get(0)))
        .map_err(|error| failed("to read", error))
}

fn failed(what: &str, error: impl std::error::Error + Send + Sync + 'static) -> StoreError {
    StoreError::Failed { what: what.to_owned(), source: Some(Box::new(error)) }
}
