//! From the configuration to a running service, and back.

use std::io::{ErrorKind, IsTerminal};
use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::{SystemTime, UNIX_EPOCH};

use p2p_coordinator::door::tls::{self, Certificates};
use p2p_coordinator::door::{Closing, http, peer, tcp};
use p2p_coordinator::service::Coordinator;
use p2p_coordinator::store::postgres::PostgresStore;
use p2p_coordinator::store::sqlite::SqliteStore;
use p2p_coordinator::store::{MemoryStore, Store};
use p2p_coordinator::world::{Clock, Randomness};
use p2p_coordinator_api::Timestamp;
use p2p_core::{P2PProvider, SecretKey};
use p2p_iroh::{IrohConfig, IrohP2P};
use tokio::net::TcpListener;
use tracing_subscriber::Layer;
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::reload;
use tracing_subscriber::util::SubscriberInitExt;

use crate::arguments::Arguments;
use crate::config::{Config, LogFormat, StoreKind, hidden};
use crate::reload::Reload;
use crate::{Failure, files, say};

/// Serves until it is told to stop.
pub(crate) async fn serve(
    arguments: &Arguments,
    config: Config,
    notes: &[String],
) -> Result<ExitCode, Failure> {
    let (level, log) = reload::Layer::new(LevelFilter::from_level(config.log_level()?));
    let lines = tracing_subscriber::fmt::layer().with_writer(std::io::stderr).with_target(false);
    let lines = match config.monitoring.log_format {
        LogFormat::Json => lines.json().boxed(),
        LogFormat::Text => lines.with_ansi(std::io::stderr().is_terminal()).boxed(),
    };
    tracing_subscriber::registry().with(level).with(lines).init();
    let stop = Stop::catch()?;
    let told = (&config, notes);
    let again = Reload::catch(arguments, log)?;
    let certificates = certificates(&config)?;
    // The door first: who finds it taken has touched no file.
    let listener = bind(config.listen).await?;
    let key = match config.key_file() {
        Some(path) => files::signing_key(&path)?,
        None => p2p_iroh::generate_secret_key(),
    };
    match config.store.kind {
        StoreKind::Memory => {
            let records = "in memory: they end with the process";
            let store = MemoryStore::new();
            run(told, again, key, store, records, (listener, certificates), stop).await
        }
        StoreKind::Postgres => {
            let database = config.store.postgres()?;
            let records = format!("in {}", hidden(config.store.url.as_deref().unwrap_or_default()));
            let mut stop = stop;
            let store = tokio::select! {
                biased;
                () = stop.requested() => {
                    say("stopped, while waiting for the database");
                    return Ok(ExitCode::SUCCESS);
                }
                store = PostgresStore::open(database) => store,
            };
            let store = store.map_err(|error| Failure::of(&error))?;
            run(told, again, key, store, &records, (listener, certificates), stop).await
        }
        StoreKind::Sqlite => {
            let path = &config.store.path;
            let store = SqliteStore::open(path, config.store.durability.into())
                .map_err(|error| Failure::of(&error))?;
            let records = format!("in {}", path.display());
            run(told, again, key, store, &records, (listener, certificates), stop).await
        }
    }
}

fn certificates(config: &Config) -> Result<Option<Certificates>, Failure> {
    let (Some(chain), Some(key)) = (&config.tls.cert_file, &config.tls.key_file) else {
        return Ok(None);
    };
    Certificates::load(chain, key).map(Some).map_err(|error| Failure::of(&error))
}

async fn bind(address: SocketAddr) -> Result<TcpListener, Failure> {
    TcpListener::bind(address).await.map_err(|error| {
        let hint = match error.kind() {
            ErrorKind::AddrInUse => {
                "another program serves there: stop it, or choose another port with --listen"
            }
            ErrorKind::PermissionDenied => "choose a port above 1023 with --listen",
            _ => "choose another address with --listen",
        };
        Failure::new(format!("cannot listen on {address} ({error}): {hint}"))
    })
}

async fn run<S: Store>(
    (config, notes): (&Config, &[String]),
    again: Reload,
    key: SecretKey,
    store: S,
    records: &str,
    (listener, certificates): (TcpListener, Option<Certificates>),
    mut stop: Stop,
) -> Result<ExitCode, Failure> {
    let seed = p2p_iroh::generate_secret_key().to_bytes();
    let peers = open_to_peers(config, &key).await?;
    let coordinator = Coordinator::new(
        store,
        key,
        Clock::starting_at(wall_time()),
        Randomness::new(seed),
        config.settings()?,
    );
    let bound = listener.local_addr().map_err(|error| Failure::of(&error))?;
    let scheme = if certificates.is_some() { "https" } else { "http" };
    announce(config, &coordinator, &format!("{scheme}://{bound}"), records, peers.as_ref());
    for note in notes {
        say(&format!("note: {note}"));
    }
    say("Ctrl-C stops it");

    let closing = Closing::new();
    let (router, limits) = (http::router(coordinator.clone()), config.limits());
    let upkeep = coordinator.clone();
    let upkeep = tokio::spawn(async move { upkeep.upkeep().await });
    let heartbeats = coordinator.clone();
    let heartbeats = tokio::spawn(async move { heartbeats.write_heartbeats().await });
    let tending = coordinator.clone();
    let tending = tokio::spawn(async move { tending.tend_peers().await });
    let again = tokio::spawn(again.run(config.clone(), coordinator.clone()));
    let (served, door) = (router.clone(), closing.clone());
    let tcp = match certificates {
        Some(secure) => tokio::spawn(tls::run(listener, secure, served, limits, door)),
        None => tokio::spawn(tcp::run(listener, served, limits, door)),
    };
    let p2p = match &peers {
        Some(node) => {
            let listener = peer::open(node, limits).await.map_err(|error| Failure::of(&error))?;
            Some(tokio::spawn(peer::run(listener, router, limits, closing.clone())))
        }
        None => None,
    };

    stop.requested().await;
    coordinator.drain();
    say("stopping: requests that are being done are finished (Ctrl-C again ends at once)");
    closing.close();
    let ended = async {
        let mut clean = tcp.await.unwrap_or(false);
        if let Some(p2p) = p2p {
            clean &= p2p.await.unwrap_or(false);
        }
        upkeep.abort();
        heartbeats.abort();
        tending.abort();
        again.abort();
        if let Err(error) = coordinator.settle().await {
            tracing::error!(%error, "cannot write the last heartbeats");
        }
        if let Some(node) = peers {
            node.shutdown().await;
        }
        coordinator.store().close().await;
        clean
    };
    tokio::select! {
        biased;
        () = stop.requested() => {
            say("ended at once");
            Ok(ExitCode::from(130))
        }
        clean = ended => {
            let how = if clean { "stopped" } else { "stopped; some requests took too long" };
            say(&format!("{how}; all that was acknowledged is kept"));
            Ok(ExitCode::SUCCESS)
        }
    }
}

/// The endpoint for peers, with the signing key as its identity: whoever reaches the coordinator by
/// its ticket knows that it is the one that signs.
async fn open_to_peers(config: &Config, key: &SecretKey) -> Result<Option<IrohP2P>, Failure> {
    let Some(address) = config.p2p else { return Ok(None) };
    let bind = IrohConfig::default().with_secret_key(key.clone()).with_bind_address(address).bind();
    bind.await.map(Some).map_err(|error| {
        let Failure(sentence) = Failure::of(&error);
        Failure::new(format!("{sentence}: choose another address with --p2p"))
    })
}

fn announce<S: Store>(
    config: &Config,
    coordinator: &Coordinator<S>,
    url: &str,
    records: &str,
    peers: Option<&IrohP2P>,
) {
    say(&format!("{} {} serves {url}", config.name, config.version));
    say(&format!("  records    {records}"));
    say(&format!("  signs as   {}", coordinator.issuer()));
    match peers {
        Some(node) => say(&format!("  for peers  {}", node.local_addr())),
        None => say("  for peers  closed (--p2p ADDRESS:PORT opens it)"),
    }
    say("try it:");
    say(&format!("  curl {url}/ready"));
    let zone =
        r#"{"zone_id":"meadow","zone_name":"meadow","zone_display_name":"Meadow","map_name":"m"}"#;
    say(&format!("  curl -H 'content-type: application/json' {url}/api/v1/zones/ -d '{zone}'"));
    say(&format!("  cargo run --example host -- --coordinator {url} --zone meadow"));
    say(&format!("  cargo run --example join -- --coordinator {url} --zone meadow"));
    let security = &coordinator.settings().security;
    if security.check_api_keys {
        say(&format!("note: but for /ready, show a key: -H '{}: ...'", security.api_key_header));
    }
    for warning in config.security.warnings(security, config.is_exposed()) {
        say(&format!("note: {warning}"));
    }
}

#[allow(
    clippy::disallowed_methods,
    reason = "the one place where the process reads the wall clock"
)]
fn wall_time() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp::from_millis(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}

/// Ctrl-C, or SIGTERM.
struct Stop {
    #[cfg(unix)]
    term: tokio::signal::unix::Signal,
    #[cfg(unix)]
    int: tokio::signal::unix::Signal,
}

#[cfg(unix)]
impl Stop {
    fn catch() -> Result<Self, Failure> {
        use tokio::signal::unix::{SignalKind, signal};
        let failed = |error| Failure::new(format!("cannot catch signals: {error}"));
        Ok(Self {
            term: signal(SignalKind::terminate()).map_err(failed)?,
            int: signal(SignalKind::interrupt()).map_err(failed)?,
        })
    }

    async fn requested(&mut self) {
        tokio::select! {
            biased;
            _ = self.term.recv() => {}
            _ = self.int.recv() => {}
        }
    }
}

#[cfg(not(unix))]
impl Stop {
    fn catch() -> Result<Self, Failure> {
        Ok(Self {})
    }

    async fn requested(&mut self) {
        // Without the signal it would end at once.
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}
