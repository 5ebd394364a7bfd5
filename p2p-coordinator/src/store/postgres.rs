//! Records in PostgreSQL: for several coordinators, or one whose records others read.
//!
//! Reads are one statement each, and so of one moment; many are on their way at once on each of a few
//! connections (`link`, `read`). Writes go by two more connections: what waits together is one
//! transaction, in which each commit is checked against locked rows (`writer`, `group`, `write`).
//! What `commit` has acknowledged is as durable as the server makes it (`synchronous_commit`).
//!
//! The database may go away and come back: meanwhile requests fail, after a bounded wait, with
//! [`StoreError::Unavailable`]. A commit whose answer was lost with the connection fails like this,
//! though it may have been kept.
//!
//! Statements are prepared, so what is between coordinator and database has to keep a connection for
//! each of ours: pools that hand out transactions do not.

mod batch;
mod columns;
mod group;
mod hear;
mod link;
mod read;
mod schema;
mod tls;
mod write;
mod writer;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use p2p_coordinator_api::{HostId, Nonce, PlayerId, Timestamp, ZoneId};
use thiserror::Error;
use tokio::time::{Instant, sleep, timeout};
use tokio_postgres::{Config, Row as SqlRow};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::{
    Committed, GrantQuery, HostQuery, PlacementQuery, SessionKey, SessionQuery, Stamp, Store,
    StoreError, Totals, ZoneQuery,
};
use crate::domain::placement::{Candidate, PlacementView};
use crate::domain::zone::ZoneCounts;
use crate::domain::{Beat, Changes, HostView, Row, SessionRecord, Terms, ZoneRecord};
use crate::security::GrantRecord;
use group::Commit;
use link::{Link, Params};
use writer::{Prune, Writer};

/// Which database, and how patiently.
#[derive(Clone)]
pub struct PostgresConfig {
    config: Config,
    tls: MakeRustlsConnect,
    /// Connections for reading, at least one; there are two more for writing. Default 4.
    pub pool_size: usize,
    /// How long a request waits for a connection. Default 3 s.
    pub patience: Duration,
    /// How long [`PostgresStore::open`] waits for a database that is not up yet. Default 60 s.
    pub start_patience: Duration,
}

impl PostgresConfig {
    /// By a URL, `postgresql://user:password@host:port/database`, or `key=value` pairs, as libpq
    /// reads them. A driver in the scheme (`postgresql+asyncpg`) is passed over.
    ///
    /// `sslmode` says how TLS is used: `disable`; `prefer`, the default: if the server has it;
    /// `require`: or not at all; `verify-ca`: with a certificate by those in the PEM file that
    /// `sslrootcert` names (`system`: by those that the system trusts); `verify-full`: and for the host
    /// of the URL. As with libpq, the first three do not look at the certificate, but `require` with an
    /// `sslrootcert` is `verify-ca`.
    ///
    /// `sslcert` and `sslkey` name PEM files with a certificate of our own and its key, for servers
    /// that ask for one. They are read here, once.
    ///
    /// # Errors
    ///
    /// [`OpenError::Url`], [`OpenError::TlsSettings`].
    pub fn new(url: &str) -> Result<Self, OpenError> {
        let plain = match url.split_once("://") {
            Some((scheme, rest)) => {
                let (scheme, _) = scheme.split_once('+').unwrap_or((scheme, ""));
                format!("{scheme}://{rest}")
            }
            None => url.to_owned(),
        };
        let (plain, wanted) = tls::split(&plain)?;
        let tls = wanted.connector()?;
        let mut config: Config = plain.parse().map_err(|source| OpenError::Url { source })?;
        config.ssl_mode(wanted.ssl_mode());
        if config.get_application_name().is_none() {
            config.application_name("p2p-coordinator");
        }
        if config.get_connect_timeout().is_none() {
            config.connect_timeout(Duration::from_secs(2));
        }
        // A server that vanished is noticed, though nothing closes the connection.
        config.tcp_user_timeout(Duration::from_secs(10));
        Ok(Self {
            config,
            tls,
            pool_size: 4,
            patience: Duration::from_secs(3),
            start_patience: Duration::from_secs(60),
        })
    }
}

impl fmt::Debug for PostgresConfig {
    /// Without the password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PostgresConfig")
            .field("hosts", &self.config.get_hosts())
            .field("ports", &self.config.get_ports())
            .field("database", &self.config.get_dbname())
            .field("user", &self.config.get_user())
            .field("pool_size", &self.pool_size)
            .finish_non_exhaustive()
    }
}

/// Keeps records in a PostgreSQL database, which other coordinators may use at the same time.
pub struct PostgresStore {
    config: PostgresConfig,
    readers: Readers,
    writer: Writer,
    /// Whether the database was there when a connection was last made.
    up: Arc<AtomicBool>,
}

/// The connections for reading, which take turns.
struct Readers {
    links: Vec<Arc<Link>>,
    next: AtomicUsize,
}

/// How long a read may take; after that its connection is given up.
const BOUND: Duration = Duration::from_secs(15);

impl Readers {
    async fn rows(&self, text: &str, params: Params<'_>) -> Result<Vec<SqlRow>, StoreError> {
        let mut again = false;
        loop {
            let turn = self.next.fetch_add(1, Ordering::Relaxed) % self.links.len();
            let session = self.links[turn].session().await?;
            match timeout(BOUND, session.query(text, params)).await {
                Ok(Ok(rows)) => return Ok(rows),
                Ok(Err(error)) => {
                    if link::is_lost(&error) {
                        session.give_up();
                        // The server may have been started again since the connection was last used.
                        if !std::mem::replace(&mut again, true) {
                            continue;
                        }
                    }
                    return Err(link::failed("to read", error));
                }
                Err(_) => {
                    session.give_up();
                    return Err(link::unavailable("no answer in time"));
                }
            }
        }
    }
}

impl PostgresStore {
    /// Connects, and brings the tables up to date; several may do so at the same time. A database
    /// that is not up yet is waited for.
    ///
    /// # Errors
    ///
    /// [`OpenError`], which says what to do.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future leaves the tables as they were or brought up to date.
    pub async fn open(config: PostgresConfig) -> Result<Self, OpenError> {
        let started = Instant::now();
        let mut told = None;
        let client = loop {
            match link::connect(&config.config, &config.tls).await {
                Ok(client) => break client,
                Err(source) if tls::is_trouble(&source) => return Err(OpenError::Tls { source }),
                Err(error) if link::is_lost(&error) || is_refused(&error) => {
                    if started.elapsed() >= config.start_patience {
                        return Err(OpenError::Away { source: error });
                    }
                    if told.is_none_or(|told: Instant| told.elapsed() > TELL) {
                        told = Some(Instant::now());
                        tracing::warn!(
                            error = &error as &dyn std::error::Error,
                            waited = ?started.elapsed(),
                            at_most = ?config.start_patience,
                            "waiting for the database"
                        );
                    }
                    sleep(PAUSE).await;
                }
                Err(error) => return Err(error.into()),
            }
        };
        schema::migrate(&client).await?;
        drop(client);
        let up = Arc::new(AtomicBool::new(true));
        let way = || (config.config.clone(), config.tls.clone());
        let link = || Link::new(way(), config.patience, up.clone());
        let links = (0..config.pool_size.max(1)).map(|_| Arc::new(link())).collect();
        let readers = Readers { links, next: AtomicUsize::new(0) };
        Ok(Self { readers, writer: Writer::start([link(), link()]), config, up })
    }
}

/// Between two looks for a database that is not up yet.
const PAUSE: Duration = Duration::from_millis(250);

/// Between two lines that say so.
const TELL: Duration = Duration::from_secs(5);

/// Whether nobody answered: not a server that says no.
fn is_refused(error: &tokio_postgres::Error) -> bool {
    error.as_db_error().is_none()
        && std::error::Error::source(error).is_some_and(|source| {
            source.is::<std::io::Error>() || source.to_string().contains("timed out")
        })
}

impl fmt::Debug for PostgresStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PostgresStore").field("config", &self.config).finish_non_exhaustive()
    }
}

/// Why a database could not be opened.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum OpenError {
    /// Nobody answered in time.
    #[error("the database does not answer: start it, or check its address in the URL")]
    Away {
        /// What was last heard.
        source: tokio_postgres::Error,
    },
    /// A later version of this program made its tables.
    #[error(
        "the database's tables are of a newer version ({found}; this program knows {known}): use \
         that version, or another database"
    )]
    Newer {
        /// The version of its tables.
        found: usize,
        /// The newest version known here.
        known: usize,
    },
    /// No TLS came about.
    #[error(
        "no TLS with the database: check that the server has it (ssl = on), its certificate, and \
         sslmode and sslrootcert in the URL; and sslcert and sslkey if it asks for a certificate"
    )]
    Tls {
        /// What happened.
        source: tokio_postgres::Error,
    },
    /// What the URL says about TLS cannot be meant.
    #[error("{what}")]
    TlsSettings {
        /// In which way.
        what: String,
    },
    /// It answered no.
    #[error("cannot use the database: check that it exists, and its user and password")]
    Unusable {
        /// What it said.
        #[from]
        source: tokio_postgres::Error,
    },
    /// The URL is none.
    #[error("the database's URL is wrong: it is postgresql://user:password@host:port/database")]
    Url {
        /// In which way.
        source: tokio_postgres::Error,
    },
}

#[async_trait]
impl Store for PostgresStore {
    fn name(&self) -> &'static str {
        "postgres"
    }

    async fn host(&self, host: &HostId) -> Result<Option<HostView>, StoreError> {
        read::host(&self.readers, host).await
    }

    async fn candidate(&self, host: &HostId) -> Result<Option<Candidate>, StoreError> {
        read::candidate(&self.readers, host).await
    }

    async fn hosts(&self, query: &HostQuery) -> Result<Vec<HostView>, StoreError> {
        read::hosts(&self.readers, query).await
    }

    async fn zone(
        &self,
        zone: &ZoneId,
    ) -> Result<Option<(Row<ZoneRecord>, ZoneCounts)>, StoreError> {
        read::zone(&self.readers, zone).await
    }

    async fn zones(
        &self,
        query: &ZoneQuery,
    ) -> Result<Vec<(Row<ZoneRecord>, ZoneCounts)>, StoreError> {
        read::zones(&self.readers, query).await
    }

    async fn session(&self, key: &SessionKey) -> Result<Option<Row<SessionRecord>>, StoreError> {
        read::session(&self.readers, key).await
    }

    async fn sessions(&self, query: &SessionQuery) -> Result<Vec<Row<SessionRecord>>, StoreError> {
        read::sessions(&self.readers, query).await
    }

    async fn session_of(
        &self,
        player: &PlayerId,
    ) -> Result<Option<Row<SessionRecord>>, StoreError> {
        read::session_of(&self.readers, player).await
    }

    async fn sessions_of(
        &self,
        players: &[PlayerId],
    ) -> Result<BTreeMap<PlayerId, Row<SessionRecord>>, StoreError> {
        read::sessions_of(&self.readers, players).await
    }

    async fn placement(&self, query: &PlacementQuery) -> Result<Option<PlacementView>, StoreError> {
        read::placement(&self.readers, query).await
    }

    async fn grant(&self, family: &Nonce) -> Result<Option<Row<GrantRecord>>, StoreError> {
        read::grant(&self.readers, family).await
    }

    async fn grants(&self, query: &GrantQuery) -> Result<Vec<Row<GrantRecord>>, StoreError> {
        read::grants(&self.readers, query).await
    }

    async fn totals(&self) -> Result<Totals, StoreError> {
        read::totals(&self.readers).await
    }

    async fn commit(&self, changes: Changes) -> Result<Committed, StoreError> {
        self.writer.commit(Commit::new(changes)?).await
    }

    async fn hear(&self, beats: Vec<Beat>, terms: &Terms) -> Result<Vec<HostView>, StoreError> {
        self.writer.hear(beats, *terms).await
    }

    async fn prune(
        &self,
        ended_by: Timestamp,
        keep: u32,
        at_most: u32,
    ) -> Result<usize, StoreError> {
        self.writer.prune(Prune { ended_by, keep, at_most }).await
    }

    async fn stamp(&self) -> Result<Option<Stamp>, StoreError> {
        read::stamp(&self.readers).await.map(Some)
    }

    async fn lead(&self) -> Result<bool, StoreError> {
        writer::lead(&self.readers.links[0]).await
    }

    fn is_connected(&self) -> bool {
        self.up.load(Ordering::Relaxed)
    }

    async fn check(&self) -> Result<(), StoreError> {
        self.writer.check().await
    }

    async fn close(&self) {
        self.writer.close().await;
        for link in &self.readers.links {
            link.close().await;
        }
    }
}
