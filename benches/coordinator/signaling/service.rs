//! The coordinator, as it is in production: with tokens, sessions and limits.

use p2p_benches::Result;
use p2p_coordinator::door::{Closing, Limits, http, tcp};
use p2p_coordinator::service::{Coordinator, Settings};
use p2p_coordinator::store::MemoryStore;
use p2p_coordinator::world::{Clock, Randomness};
use p2p_transport::SecretKey;
use p2p_transport::coordinator::api::{
    CreateSession, DefineZone, HostId, PlayerId, RegisterHost, Timestamp, ZoneId,
};
use tokio::net::TcpListener;

use crate::peer::name;
use crate::process::{Plan, until_the_bench_is_gone};

/// The first moment of 2026: any would do.
pub(crate) const EPOCH: Timestamp = Timestamp::from_millis(1_767_225_600_000);

/// Peers of one session: first pairs, who talk, and then groups, who are only there.
const PAIR: usize = 2;
const GROUP: usize = 20;

/// Peers who are in pairs.
const PAIRED: usize = 200;

pub(crate) fn key() -> SecretKey {
    SecretKey::from_bytes(&[7; 32])
}

/// The session of a peer, by its number in the store: they are made in this order.
pub(crate) fn session_of(peer: usize) -> usize {
    match peer.checked_sub(PAIRED) {
        None => peer / PAIR + 1,
        Some(more) => PAIRED / PAIR + more / GROUP + 1,
    }
}

pub(crate) async fn serve(plan: Plan) -> Result<()> {
    let (clock, random) = (Clock::starting_at(EPOCH), Randomness::new([7; 32]));
    let mut settings = Settings::default();
    // On, and above what a hundred peers can send: who is over it would wait for good.
    let limits = &mut settings.signaling.limits;
    (limits.per_second, limits.burst) = (100_000, 200_000);
    let coordinator = Coordinator::new(MemoryStore::new(), key(), clock, random, settings);
    let peers = plan.idle.max(PAIRED);
    let zone: ZoneId = "meadow".parse()?;
    coordinator.define_zone(DefineZone::new(zone.clone())).await?;
    let pairs = (0..PAIRED).step_by(PAIR).map(|first| (first, PAIR));
    let groups = (PAIRED..peers).step_by(GROUP).map(|first| (first, GROUP));
    for (first, size) in pairs.chain(groups) {
        let host: HostId = format!("host-{first}").parse()?;
        coordinator.register_host(registration(host.clone())?).await?;
        let player_ids = (first..first + size).map(|peer| PlayerId::new(name(peer)));
        let request = CreateSession {
            host_id: Some(host),
            zone_id: zone.clone(),
            player_ids: player_ids.collect::<std::result::Result<_, _>>()?,
        };
        coordinator.create_session(&request).await?;
    }
    let mut limits = Limits::default();
    limits.connections = 25_000;
    let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
    println!("{}", listener.local_addr()?);
    let router = http::router(coordinator);
    tokio::select! {
        biased;
        () = until_the_bench_is_gone() => {}
        _ = tcp::run(listener, router, limits, Closing::new()) => {}
    }
    Ok(())
}

fn registration(host: HostId) -> Result<RegisterHost> {
    Ok(RegisterHost {
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
        max_players: None,
        max_zones: None,
        p2p: None,
    })
}
