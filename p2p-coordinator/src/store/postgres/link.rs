//! One connection to the database, made again when it is lost.
//!
//! Nothing runs by itself: whoever needs the connection makes it, and the others wait for that, no
//! longer than the patience that is configured. After a failure the next attempt waits, longer each
//! time up to [`LONGEST`]; who asks meanwhile, and the database is away for longer than the patience,
//! hears of it at once.

use std::collections::BTreeMap;
use std::error::Error as _;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use tokio::sync::Mutex;
use tokio::time::{Instant, sleep_until, timeout};
use tokio_postgres::error::SqlState;
use tokio_postgres::types::ToSql;
use tokio_postgres::{Client, Config, Error, Row, Statement};
use tokio_postgres_rustls::MakeRustlsConnect;

use crate::store::StoreError;

/// The first pause after a failure, and the longest.
const SHORTEST: Duration = Duration::from_millis(50);
const LONGEST: Duration = Duration::from_secs(1);

/// What each connection begins with. Plans are made once for each statement, often while the tables
/// are still empty; so that they are right for full ones, they are to go by the indexes.
const BEGINNING: &str = "
    SET TIME ZONE 'UTC'; SET jit = off; SET plan_cache_mode = force_generic_plan;
    SET enable_seqscan = off; SET enable_bitmapscan = off; SET statement_timeout = '10s';
    SET lock_timeout = '5s'; SET idle_in_transaction_session_timeout = '20s'";

pub(super) type Params<'a> = &'a [&'a (dyn ToSql + Sync)];

/// Where the database is, and how TLS is spoken with it.
pub(super) type Way = (Config, MakeRustlsConnect);

pub(super) struct Link {
    way: Way,
    patience: Duration,
    state: Mutex<State>,
    closed: AtomicBool,
    /// Whether the last attempt to connect came to one; shared with the other connections.
    up: Arc<AtomicBool>,
}

struct State {
    session: Option<Arc<Session>>,
    /// When it was first found to be away.
    away: Option<Instant>,
    next: Instant,
    pause: Duration,
}

impl Link {
    pub(super) fn new(way: Way, patience: Duration, up: Arc<AtomicBool>) -> Self {
        let state = State { session: None, away: None, next: Instant::now(), pause: SHORTEST };
        Self { way, patience, state: Mutex::new(state), closed: AtomicBool::new(false), up }
    }

    /// The connection.
    ///
    /// # Errors
    ///
    /// [`StoreError::Unavailable`] if there is none within the patience.
    pub(super) async fn session(&self) -> Result<Arc<Session>, StoreError> {
        if self.closed.load(Ordering::Relaxed) {
            return Err(unavailable("it has been closed"));
        }
        let found = timeout(self.patience, self.connected()).await;
        found.unwrap_or_else(|_| Err(unavailable("no connection in time")))
    }

    async fn connected(&self) -> Result<Arc<Session>, StoreError> {
        let mut state = self.state.lock().await;
        loop {
            if let Some(session) = state.session.as_ref().filter(|session| session.is_alive()) {
                return Ok(session.clone());
            }
            state.session = None;
            let now = Instant::now();
            // If another connection came about meanwhile, this one is made at once as well.
            if !self.up.load(Ordering::Relaxed) {
                let for_long = state.away.is_some_and(|since| now - since > self.patience);
                if for_long && now < state.next {
                    return Err(unavailable("no connection"));
                }
                sleep_until(state.next).await;
            }
            match connect(&self.way.0, &self.way.1).await {
                Ok(client) => {
                    if state.away.take().is_some() {
                        tracing::info!("the database is back");
                    }
                    self.up.store(true, Ordering::Relaxed);
                    state.pause = SHORTEST;
                    state.session = Some(Arc::new(Session::new(client)));
                }
                Err(error) => {
                    if state.away.is_none() {
                        tracing::error!(
                            error = &error as &dyn std::error::Error,
                            "the database cannot be reached; trying again"
                        );
                    }
                    self.up.store(false, Ordering::Relaxed);
                    state.away.get_or_insert(now);
                    state.next = Instant::now() + state.pause;
                    state.pause = (state.pause * 2).min(LONGEST);
                }
            }
        }
    }

    /// Gives the connection back to the server.
    pub(super) async fn close(&self) {
        self.closed.store(true, Ordering::Relaxed);
        self.state.lock().await.session = None;
    }
}

/// A connection with all its settings made.
pub(super) async fn connect(config: &Config, tls: &MakeRustlsConnect) -> Result<Client, Error> {
    let (client, connection) = config.connect(tls.clone()).await?;
    // It ends with the client.
    tokio::spawn(async move {
        if let Err(error) = connection.await {
            tracing::debug!(error = &error as &dyn std::error::Error, "a connection ended");
        }
    });
    client.batch_execute(BEGINNING).await?;
    Ok(client)
}

/// A connection, and the statements that it knows. Requests of many are on their way at once, and
/// answered in order.
pub(super) struct Session {
    client: Client,
    broken: AtomicBool,
    leads: AtomicBool,
    statements: std::sync::Mutex<BTreeMap<String, Statement>>,
}

impl Session {
    fn new(client: Client) -> Self {
        Self {
            client,
            broken: AtomicBool::new(false),
            leads: AtomicBool::new(false),
            statements: std::sync::Mutex::default(),
        }
    }

    fn is_alive(&self) -> bool {
        !self.client.is_closed() && !self.broken.load(Ordering::Relaxed)
    }

    /// Whether it holds the lock of who looks after the records.
    pub(super) fn leads(&self) -> bool {
        self.leads.load(Ordering::Relaxed)
    }

    pub(super) fn set_leads(&self, leads: bool) {
        self.leads.store(leads, Ordering::Relaxed);
    }

    /// Uses it no more.
    pub(super) fn give_up(&self) {
        self.broken.store(true, Ordering::Relaxed);
    }

    pub(super) async fn statement(&self, text: &str) -> Result<Statement, Error> {
        let statements = || self.statements.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = statements().get(text) {
            return Ok(known.clone());
        }
        let statement = self.client.prepare(text).await?;
        statements().insert(text.to_owned(), statement.clone());
        Ok(statement)
    }

    pub(super) async fn query(&self, text: &str, params: Params<'_>) -> Result<Vec<Row>, Error> {
        let statement = self.statement(text).await?;
        self.client.query(&statement, params).await
    }

    pub(super) const fn client(&self) -> &Client {
        &self.client
    }
}

/// Whether it says that the connection is gone, or the server going: not that it refuses the request.
pub(super) fn is_lost(error: &Error) -> bool {
    const GOING: [SqlState; 3] =
        [SqlState::ADMIN_SHUTDOWN, SqlState::CRASH_SHUTDOWN, SqlState::CANNOT_CONNECT_NOW];
    match error.code() {
        Some(code) => GOING.contains(code) || code.code().starts_with("08"),
        None => {
            let source = error.source().is_some_and(|source| source.is::<std::io::Error>());
            error.is_closed() || source
        }
    }
}

pub(super) fn unavailable(what: &str) -> StoreError {
    StoreError::Unavailable { what: what.to_owned() }
}

/// What the store says of it.
pub(super) fn failed(what: &str, error: Error) -> StoreError {
    if is_lost(&error) {
        return unavailable(&error.to_string());
    }
    StoreError::Failed { what: what.to_owned(), source: Some(Box::new(error)) }
}
