//! Places from the coordinator, without a connection to their host.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use p2p_benches::Result;
use p2p_coordinator::store::sqlite::Durability;
use p2p_transport::coordinator::Client;
use p2p_transport::coordinator::api::{
    DefineZone, HostId, HostProof, JoinRequest, PlayerId, RegisterHost, ZoneId,
};
use p2p_transport::iroh::{IrohP2P, generate_secret_key};
use p2p_transport::{P2PProvider, PeerAddr};
use tokio::task::JoinSet;

use crate::players::rate_of;
use crate::service::Service;
use crate::world::{MANY, new_client};
use crate::{Plan, within};

const ZONES: usize = 8;
const HOSTS: usize = 8;
/// How many ask at once.
const AT_ONCE: usize = 32;

/// What came of asking.
pub(crate) struct Places {
    pub(crate) per_s: f64,
    /// How many of a hundred requests were refused, and made again.
    pub(crate) refused: f64,
}

/// How many places a second for players who have none yet.
pub(crate) async fn places(durability: Durability, plan: Plan) -> Result<Places> {
    let service = Service::start(durability).await?;
    let client = new_client(&service.addr).await?;
    for number in 0..HOSTS {
        register(&client, HostId::new(format!("host-{number}"))?).await?;
    }
    let mut zones = Vec::new();
    for number in 0..ZONES {
        let zone = ZoneId::new(format!("zone-{number}"))?;
        client.define_zone(&DefineZone::new(zone.clone())).await?;
        zones.push(zone);
    }

    let (done, refused) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
    let mut workers = JoinSet::new();
    for worker in 0..AT_ONCE {
        let (client, done, refused) = (client.clone(), done.clone(), refused.clone());
        let (zone, peer) = (zones[worker % ZONES].clone(), generate_secret_key().peer_id());
        workers.spawn(async move {
            for number in 0_u64.. {
                let request = JoinRequest {
                    zone_id: zone.clone(),
                    player_id: PlayerId::new(format!("player-{worker}-{number}"))?,
                    peer_id: peer,
                    avoid: Vec::new(),
                };
                let place = async {
                    // As `Client::join` does, but at once.
                    loop {
                        match client.place(&request).await {
                            Ok(_) => return Ok(()),
                            Err(error) if error.is_retryable() => {
                                refused.fetch_add(1, Ordering::Relaxed);
                            }
                            Err(error) => return Err(error.into()),
                        }
                    }
                };
                within("place", place).await?;
                done.fetch_add(1, Ordering::Relaxed);
            }
            Ok(())
        });
    }
    let per_s = rate_of(&done, plan, &mut workers).await?;
    workers.shutdown().await;
    client.provider().shutdown().await;
    service.stop().await?;
    let [done, refused] = [done, refused].map(|count| count.load(Ordering::Relaxed) as f64);
    Ok(Places { per_s, refused: 100.0 * refused / (done + refused) })
}

/// A host that is known, and not there.
async fn register(client: &Client<IrohP2P>, host: HostId) -> Result<()> {
    let secret = generate_secret_key();
    let challenge = client.challenge().await?.challenge;
    let addr = PeerAddr::new(secret.peer_id());
    let proof = HostProof::new(&secret, &host, addr, true, challenge);
    let registration = RegisterHost {
        player_id: PlayerId::new("owner")?,
        player_name: host.to_string(),
        host_id: host,
        ip_address: "127.0.0.1".into(),
        port: 1,
        public_ip: None,
        cpu_cores: 4,
        cpu_frequency_mhz: 2400,
        memory_mb: 8192,
        network_speed_mbps: 1000,
        ice_servers: None,
        max_players: Some(MANY),
        max_zones: Some(MANY),
        p2p: Some(proof),
    };
    client.register_host(&registration).await?;
    Ok(())
}
