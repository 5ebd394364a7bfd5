//! Players who join a host and hear from it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use p2p_benches::{Result, median, percentile};
use p2p_coordinator::store::sqlite::Durability;
use p2p_transport::coordinator::api::{JoinReply, JoinRequest, PlayerId, ZoneId};
use p2p_transport::coordinator::{Client, JoinOptions};
use p2p_transport::iroh::{IrohConnection, IrohP2P};
use p2p_transport::{ConnectOptions, ConnectReady, P2PConnection, P2PProvider};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use crate::metrics::{self, Samples};
use crate::service::Service;
use crate::world::{Host, new_client, protocol};
use crate::{Plan, within};

/// How many join at once.
const AT_ONCE: usize = 16;

/// One after the other, all on one endpoint.
pub(crate) async fn one_endpoint(plan: Plan) -> Result<Samples> {
    let service = Service::start(Durability::Process).await?;
    let host = Host::start(&service.addr).await?;
    let client = new_client(&service.addr).await?;
    // The first of all connects to the coordinator, and shows the endpoint the way to the host.
    within("join", join(&client, &host.zone, "first")).await?;

    let mut joins = Vec::new();
    let mut parts = [const { Vec::new() }; 3];
    for number in 0..plan.joins {
        let start = Instant::now();
        within("join", join(&client, &host.zone, &format!("whole-{number}"))).await?;
        joins.push(ms(start.elapsed()));
        let player = format!("parts-{number}");
        let taken = within("join", join_in_parts(&client, &host.zone, &player)).await?;
        for (times, time) in parts.iter_mut().zip(taken) {
            times.push(ms(time));
        }
    }
    client.provider().shutdown().await;
    host.stop().await?;
    service.stop().await?;

    let [place, dial, message] = parts.map(|times| median(&times));
    [
        (metrics::P50, median(&joins)),
        (metrics::P99, percentile(&joins, 99.0)),
        (metrics::PLACE, place),
        (metrics::DIAL, dial),
        (metrics::MESSAGE, message),
    ]
    .into_iter()
    .map(|(metric, value)| Ok((metric, value.ok_or("no join")?)))
    .collect()
}

/// One after the other, each on a new endpoint that is bound before.
pub(crate) async fn new_endpoints(plan: Plan) -> Result<Samples> {
    let service = Service::start(Durability::Process).await?;
    let host = Host::start(&service.addr).await?;
    let mut joins = Vec::new();
    for number in 0..plan.new_joins {
        let client = new_client(&service.addr).await?;
        let start = Instant::now();
        within("join", join(&client, &host.zone, &format!("player-{number}"))).await?;
        joins.push(ms(start.elapsed()));
        client.provider().shutdown().await;
    }
    host.stop().await?;
    service.stop().await?;
    Ok(vec![(metrics::NEW_P50, median(&joins).ok_or("no join")?)])
}

/// How many a second when several join at once.
pub(crate) async fn rate(plan: Plan) -> Result<f64> {
    let service = Service::start(Durability::Process).await?;
    let host = Host::start(&service.addr).await?;
    let done = Arc::new(AtomicU64::new(0));
    let (mut workers, mut clients) = (JoinSet::new(), Vec::new());
    for worker in 0..AT_ONCE {
        let client = new_client(&service.addr).await?;
        clients.push(client.clone());
        let (zone, done) = (host.zone.clone(), done.clone());
        workers.spawn(async move {
            for number in 0_u64.. {
                let player = format!("player-{worker}-{number}");
                within("join", join(&client, &zone, &player)).await?;
                done.fetch_add(1, Ordering::Relaxed);
            }
            Ok(())
        });
    }
    let rate = rate_of(&done, plan, &mut workers).await?;
    workers.shutdown().await;
    for client in clients {
        client.provider().shutdown().await;
    }
    host.stop().await?;
    service.stop().await?;
    Ok(rate)
}

/// How fast the count grows while the workers work, who only end if they fail.
pub(crate) async fn rate_of(
    count: &AtomicU64,
    plan: Plan,
    workers: &mut JoinSet<Result<()>>,
) -> Result<f64> {
    let measured = async {
        sleep(plan.warm_up).await;
        let (start, before) = (Instant::now(), count.load(Ordering::Relaxed));
        sleep(plan.window).await;
        let done = count.load(Ordering::Relaxed) - before;
        done as f64 / start.elapsed().as_secs_f64()
    };
    tokio::select! {
        rate = measured => Ok(rate),
        Some(ended) = workers.join_next() => {
            ended??;
            Err("a worker ended too early".into())
        }
    }
}

/// The whole way: from the coordinator to the host's answer.
async fn join(client: &Client<IrohP2P>, zone: &ZoneId, player: &str) -> Result<()> {
    let (player, options) = (PlayerId::new(player)?, JoinOptions::new(protocol()?));
    let joined = client.join(zone, &player, options).await;
    let connection = joined.map_err(|error| error.fall_back_reason())?.connection;
    hear(&connection).await?;
    leave(connection);
    Ok(())
}

/// The same in its parts: how long until there was a place, a connection, an answer.
async fn join_in_parts(
    client: &Client<IrohP2P>,
    zone: &ZoneId,
    player: &str,
) -> Result<[Duration; 3]> {
    let start = Instant::now();
    let (zone_id, player_id) = (zone.clone(), PlayerId::new(player)?);
    let peer_id = client.provider().local_peer_id();
    let request = JoinRequest { zone_id, player_id, peer_id, avoid: Vec::new() };
    let JoinReply { host_addr, token, .. } = client.place(&request).await?;
    let placed = start.elapsed();
    let options = ConnectOptions::new(protocol()?)
        .with_credential(token.as_bytes().to_vec())?
        .with_ready(ConnectReady::Admitted);
    let connection = client.provider().connect(&host_addr, options).await?;
    let dialled = start.elapsed();
    hear(&connection).await?;
    let heard = start.elapsed();
    leave(connection);
    Ok([placed, dialled - placed, heard - dialled])
}

async fn hear(connection: &IrohConnection) -> Result<()> {
    connection.send(Bytes::from_static(b"hello")).await?;
    connection.recv().await?;
    Ok(())
}

/// Takes leave without waiting for it: who plays next does not either.
fn leave(connection: IrohConnection) {
    tokio::spawn(async move { connection.close(0, "done").await });
}

fn ms(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}
