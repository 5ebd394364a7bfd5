//! Each measurement.

use std::sync::Arc;
use std::sync::OnceLock;

use p2p_benches::Result;
use p2p_coordinator::store::postgres::{PostgresConfig, PostgresStore};
use p2p_coordinator::store::sqlite::{Durability, SqliteStore};
use tokio::runtime::Runtime;
use tokio::task::JoinSet;

use crate::Plan;
use crate::load::{Ask, Connection, Rate, get, p99, post, rate};
use crate::server::Server;
use crate::service::{Folder, Service};

/// Where records are.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Kept {
    Postgres,
    Sqlite,
    SqlitePower,
}

/// A coordinator and, if its records are a file, the folder of that.
fn start(kept: Kept, serving: &Runtime) -> Result<(Service, Option<Folder>)> {
    // Of this process, with the defaults of durability.
    static SERVER: OnceLock<Server> = OnceLock::new();
    let durability = match kept {
        Kept::Postgres => {
            let server = SERVER.get_or_init(|| Server::start_with(""));
            let store = async {
                let url = server.fresh_database().await;
                PostgresStore::open(PostgresConfig::new(&url)?).await
            };
            let service = serving.block_on(async { Service::start(store.await?).await })?;
            return Ok((service, None));
        }
        Kept::Sqlite => Durability::Process,
        Kept::SqlitePower => Durability::Power,
    };
    let folder = Folder::new()?;
    let store = SqliteStore::open(folder.0.join("coordinator.db"), durability)?;
    Ok((serving.block_on(Service::start(store))?, Some(folder)))
}

pub(crate) fn health(plan: Plan, serving: &Runtime, asking: &Runtime) -> Result<(Rate, Rate)> {
    let ask: Ask = Arc::new(|_| get("/health"));
    let hello = serving.block_on(Service::hello())?;
    let bare = asking.block_on(rate(hello.address, ask.clone(), plan))?;
    hello.stop();
    let (service, _folder) = start(Kept::Sqlite, serving)?;
    let ours = asking.block_on(rate(service.address, ask, plan))?;
    service.stop();
    Ok((bare, ours))
}

fn registration(name: &str) -> Vec<u8> {
    let body = format!(
        r#"{{"host_id":"{name}","player_id":"owner","player_name":"Owner","ip_address":"192.0.2.1",
        "port":7000,"cpu_cores":8,"cpu_frequency_mhz":3000,"memory_mb":16384,
        "network_speed_mbps":1000,"max_players":1000}}"#
    );
    post("/api/v1/hosts/register", &body)
}

/// Registers the hosts that a measurement is among.
async fn fill(service: &Service, plan: Plan) -> Result<()> {
    let mut workers: JoinSet<Result<()>> = JoinSet::new();
    let address = service.address;
    for worker in 0..32 {
        workers.spawn(async move {
            let mut connection = Connection::open(address).await?;
            for number in (worker..plan.hosts).step_by(32) {
                connection.ask(&registration(&format!("host-{number}"))).await?;
            }
            Ok(())
        });
    }
    while let Some(ended) = workers.join_next().await {
        ended??;
    }
    let zone = r#"{"zone_id":"zone","zone_name":"zone","zone_display_name":"Zone","map_name":"m"}"#;
    Connection::open(address).await?.ask(&post("/api/v1/zones/", zone)).await
}

pub(crate) fn heartbeats(
    kept: Kept,
    plan: Plan,
    serving: &Runtime,
    asking: &Runtime,
) -> Result<Rate> {
    let (service, _folder) = start(kept, serving)?;
    asking.block_on(fill(&service, plan))?;
    let ask: Ask = Arc::new(move |number| {
        let (host, latency) = (number % plan.hosts as u64, number % 97);
        let body = format!(
            r#"{{"latency_ms":{latency}.5,"packet_loss_percent":0.1,"bandwidth_usage_mbps":20,
            "current_players":{},"current_zones":1}}"#,
            number % 40
        );
        post(&format!("/api/v1/hosts/host-{host}/heartbeat"), &body)
    });
    let rate = asking.block_on(rate(service.address, ask, plan))?;
    service.stop();
    Ok(rate)
}

pub(crate) fn registrations(
    kept: Kept,
    plan: Plan,
    serving: &Runtime,
    asking: &Runtime,
) -> Result<Rate> {
    let (service, _folder) = start(kept, serving)?;
    let ask: Ask = Arc::new(|number| registration(&format!("new-{number}")));
    let rate = asking.block_on(rate(service.address, ask, plan))?;
    service.stop();
    Ok(rate)
}

/// Half of the sessions that one instance is meant to create in a second.
const HALF_LOAD: f64 = 1500.0;

/// How many a second, and the 99th percentile at half of what is meant to be, and at half of that.
pub(crate) fn sessions(
    kept: Kept,
    plan: Plan,
    serving: &Runtime,
    asking: &Runtime,
) -> Result<(Rate, [f64; 2])> {
    let (service, _folder) = start(kept, serving)?;
    asking.block_on(fill(&service, plan))?;
    let ask: Ask = Arc::new(|number| {
        let body = format!(r#"{{"zone_id":"zone","player_ids":["player-{number}"]}}"#);
        post("/api/v1/sessions/", &body)
    });
    let rate = asking.block_on(rate(service.address, ask.clone(), plan))?;
    let at = |first, per_s| asking.block_on(p99(service.address, ask.clone(), first, per_s, plan));
    let p99 = [at(1 << 40, HALF_LOAD)?, at(1 << 41, rate.per_s / 2.0)?];
    service.stop();
    Ok((rate, p99))
}

pub(crate) fn lists(plan: Plan, serving: &Runtime, asking: &Runtime) -> Result<Rate> {
    let (service, _folder) = start(Kept::Sqlite, serving)?;
    asking.block_on(fill(&service, plan))?;
    let ask: Ask = Arc::new(|_| get("/api/v1/hosts/?limit=100"));
    let rate = asking.block_on(rate(service.address, ask, plan))?;
    service.stop();
    Ok(rate)
}
