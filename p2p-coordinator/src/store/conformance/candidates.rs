//! What a placement is decided on: hosts that could open a session.

use p2p_coordinator_api::{HostStatus, SessionStatus};

use super::placement::{candidates, query};
use super::sample::{self, NOW};
use super::step::{add_host, add_session, add_zone, ensure_eq, hosts};
use super::{Fixture, Outcome};
use crate::domain::{Change, HostRecord, Load, Row, ZoneRecord};
use crate::store::{CANDIDATES, PlacementQuery, Store};

async fn names(store: &impl Store, zone: &Row<ZoneRecord>) -> Outcome<Vec<String>> {
    let hosts = candidates(store, query(zone)).await?;
    Ok(hosts.into_iter().map(|host| host.value.host_id.to_string()).collect())
}

pub(super) async fn candidates_meet_the_zones_demands(fixture: &impl Fixture) -> Outcome {
    let store = fixture.fresh().await?;
    // A score of 70, 100 Mbit/s, 100 ms: the defaults.
    let zone = add_zone(&store, sample::zone("zone")?).await?;
    let plain = |name| sample::host(name);
    let reported = |name, players, zones| {
        plain(name).map(|host| HostRecord { reported: Load { players, zones }, ..host })
    };
    let all = [
        plain("fit")?,
        HostRecord { latency_ms: 100.0, network_speed_mbps: 100, ..plain("just fit")? },
        HostRecord { latency_ms: 100.1, ..plain("far")? },
        HostRecord { network_speed_mbps: 99, ..plain("thin")? },
        // 100 - 10 - 22.5 - 5 by the formula, whatever is stored.
        HostRecord { packet_loss_percent: 5.0, cpu_cores: 2, ..reported("poor", 45, 0)? },
        reported("no players", 50, 0)?,
        reported("no zones", 0, 5)?,
        HostRecord { status: HostStatus::Maintenance, ..plain("maintenance")? },
        HostRecord { lease_until: NOW, ..plain("lease over")? },
    ];
    store.commit(hosts(all.into_iter().map(Change::Insert))).await?;
    ensure_eq!(names(&store, &zone).await?, ["fit", "just fit"], "candidates");
    Ok(())
}

pub(super) async fn candidates_are_the_best_first_and_as_many_as_are_asked_for(
    fixture: &impl Fixture,
) -> Outcome {
    let store = fixture.fresh().await?;
    let zone = add_zone(&store, sample::zone("zone")?).await?;
    let mut all = Vec::new();
    for number in 0..CANDIDATES + 10 {
        let quality_score = f64::from(number % 10);
        all.push(HostRecord { quality_score, ..sample::host(&format!("host-{number:03}"))? });
    }
    store.commit(hosts(all.iter().cloned().map(Change::Insert))).await?;
    all.sort_by(|a, b| {
        (b.quality_score.total_cmp(&a.quality_score)).then_with(|| a.host_id.cmp(&b.host_id))
    });
    let mut best: Vec<_> = all.iter().map(|host| host.host_id.to_string()).collect();
    let asked = PlacementQuery { hosts: CANDIDATES + 5, ..query(&zone) };
    let more = candidates(&store, asked).await?;
    let more: Vec<_> = more.into_iter().map(|host| host.value.host_id.to_string()).collect();
    best.truncate(CANDIDATES as usize + 5);
    ensure_eq!(more, best, "the best by what they reported, then by name");
    best.truncate(CANDIDATES as usize);
    ensure_eq!(names(&store, &zone).await?, best, "as many as there are if nobody asks for more");
    Ok(())
}

pub(super) async fn better_scored_hosts_that_are_unfit_do_not_hide_others(
    fixture: &impl Fixture,
) -> Outcome {
    let store = fixture.fresh().await?;
    let zone = add_zone(&store, sample::zone("zone")?).await?;
    let mut all = Vec::new();
    for number in 0..200 {
        let host = sample::host(&format!("thin-{number}"))?;
        all.push(HostRecord { network_speed_mbps: 99, quality_score: 99.95, ..host });
    }
    all.push(HostRecord { quality_score: 80.0, ..sample::host("fit")? });
    store.commit(hosts(all.into_iter().map(Change::Insert))).await?;
    ensure_eq!(names(&store, &zone).await?, ["fit"], "candidates");
    Ok(())
}

pub(super) async fn a_host_with_all_its_zones_is_a_candidate_for_those_it_serves(
    fixture: &impl Fixture,
) -> Outcome {
    let store = fixture.fresh().await?;
    let served = add_zone(&store, sample::zone("served")?).await?;
    let former = add_zone(&store, sample::zone("former")?).await?;
    let other = add_zone(&store, sample::zone("other")?).await?;
    let host = HostRecord { max_zones: 1, ..sample::host("host")? };
    let host = add_host(&store, host).await?;
    let mut over = sample::session(1, &host, &former, &[])?;
    over.status = SessionStatus::Ended;
    add_session(&store, over).await?;
    add_session(&store, sample::session(2, &host, &served, &[])?).await?;
    ensure_eq!(names(&store, &served).await?, ["host"], "for the zone that it serves");
    ensure_eq!(names(&store, &other).await?, Vec::<String>::new(), "for another");
    ensure_eq!(names(&store, &former).await?, Vec::<String>::new(), "for one that it served");
    Ok(())
}

pub(super) async fn candidates_have_room_for_all_who_come(fixture: &impl Fixture) -> Outcome {
    let store = fixture.fresh().await?;
    let zone = add_zone(&store, sample::zone("zone")?).await?;
    let host = HostRecord { max_players: 4, ..sample::host("host")? };
    let host = add_host(&store, host).await?;
    add_session(&store, sample::session(1, &host, &zone, &["a", "b"])?).await?;
    for (players, expected) in [(1, 1), (2, 1), (3, 0), (u32::MAX, 0)] {
        let hosts = candidates(&store, PlacementQuery { players, ..query(&zone) }).await?;
        ensure_eq!(hosts.len(), expected, "hosts for {players} players");
    }
    Ok(())
}
