//! Lists of hosts, and what was placed on them.

use p2p_coordinator_api::{HostStatus, SessionStatus};

use super::sample::{self, LEASE, NOW, later};
use super::step::{add_host, add_session, add_zone, ensure, ensure_eq, found, host_names, hosts};
use super::{Fixture, Outcome};
use crate::domain::{Change, HostRecord, Load};
use crate::store::{HostQuery, MAX_LIST, Store};

/// Hosts by name and score, written in this order.
async fn add_scored(store: &impl Store, scored: &[(&str, f64)]) -> Outcome {
    for (name, quality_score) in scored {
        let host = HostRecord { quality_score: *quality_score, ..sample::host(name)? };
        add_host(store, host).await?;
    }
    Ok(())
}

pub(super) async fn hosts_are_listed_the_best_first_then_by_name(
    fixture: &impl Fixture,
) -> Outcome {
    let store = fixture.fresh().await?;
    let scored = [("b", 50.0), ("é", 50.0), ("a", 9.75), ("c", 100.0), ("B", 50.0), ("d", 100.0)];
    add_scored(&store, &scored).await?;
    let listed = store.hosts(&HostQuery::default()).await?;
    // Names by their bytes.
    ensure_eq!(host_names(&listed), ["c", "d", "B", "b", "é", "a"], "all hosts");
    Ok(())
}

pub(super) async fn hosts_are_filtered_by_status_and_score(fixture: &impl Fixture) -> Outcome {
    let store = fixture.fresh().await?;
    for (status, score) in HostStatus::ALL.into_iter().zip([10.0, 20.0, 30.0, 40.0]) {
        let host = sample::host(status.as_str())?;
        add_host(&store, HostRecord { status, quality_score: score, ..host }).await?;
    }
    for status in HostStatus::ALL {
        let query = HostQuery { status: Some(status), ..HostQuery::default() };
        let listed = store.hosts(&query).await?;
        ensure_eq!(host_names(&listed), [status.as_str()], "{status} hosts");
    }
    let query = HostQuery { min_score: Some(30.0), ..HostQuery::default() };
    let listed = store.hosts(&query).await?;
    ensure_eq!(host_names(&listed), ["maintenance", "busy"], "of at least 30");
    let query = HostQuery { status: Some(HostStatus::Online), ..query };
    ensure_eq!(store.hosts(&query).await?, [], "online, and of at least 30");
    Ok(())
}

pub(super) async fn available_hosts_are_online_with_a_lease_and_room(
    fixture: &impl Fixture,
) -> Outcome {
    let store = fixture.fresh().await?;
    let plain = |name| sample::host(name);
    let reported = |name, players, zones| {
        plain(name).map(|host| HostRecord { reported: Load { players, zones }, ..host })
    };
    add_host(&store, HostRecord { quality_score: 9.0, ..plain("fresh")? }).await?;
    add_host(&store, HostRecord { status: HostStatus::Busy, ..plain("busy")? }).await?;
    add_host(&store, HostRecord { lease_until: later(5), ..plain("short")? }).await?;
    add_host(&store, reported("nearly", 49, 4)?).await?;
    add_host(&store, reported("no players", 50, 0)?).await?;
    add_host(&store, reported("no zones", 0, 5)?).await?;
    let small = HostRecord { max_players: 2, ..plain("placed")? };
    let placed = add_host(&store, small).await?;
    let narrow = HostRecord { max_zones: 1, ..plain("served")? };
    let served = add_host(&store, narrow).await?;
    let zone = add_zone(&store, sample::zone("zone")?).await?;
    add_session(&store, sample::session(1, &placed, &zone, &["a", "b"])?).await?;
    add_session(&store, sample::session(2, &served, &zone, &["c"])?).await?;
    let query = HostQuery { available_at: Some(NOW), ..HostQuery::default() };
    let listed = store.hosts(&query).await?;
    ensure_eq!(host_names(&listed), ["nearly", "short", "fresh"], "now");
    let paged = HostQuery { offset: 1, limit: Some(1), ..query.clone() };
    ensure_eq!(host_names(&store.hosts(&paged).await?), ["short"], "the second of them");
    let query = HostQuery { available_at: Some(later(5)), ..query };
    let listed = store.hosts(&query).await?;
    ensure_eq!(host_names(&listed), ["nearly", "fresh"], "when one lease is over");
    let query = HostQuery { available_at: Some(LEASE), ..query };
    ensure_eq!(store.hosts(&query).await?, [], "when all leases are over");
    Ok(())
}

pub(super) async fn lost_hosts_are_those_with_a_lease_over(fixture: &impl Fixture) -> Outcome {
    let store = fixture.fresh().await?;
    for (status, score) in HostStatus::ALL.into_iter().zip([40.0, 30.0, 20.0, 10.0]) {
        let host = sample::host(status.as_str())?;
        let host = HostRecord { lease_until: later(5), quality_score: score, status, ..host };
        add_host(&store, host).await?;
    }
    add_host(&store, sample::host("heard")?).await?;
    let lost_at = |moment| HostQuery { lost_at: Some(moment), ..HostQuery::default() };
    ensure_eq!(store.hosts(&lost_at(later(4))).await?, [], "before any lease is over");
    let listed = store.hosts(&lost_at(later(5))).await?;
    ensure_eq!(host_names(&listed), ["online", "busy", "maintenance"], "at its end");
    let query = HostQuery { limit: Some(2), ..lost_at(later(6)) };
    ensure_eq!(host_names(&store.hosts(&query).await?), ["online", "busy"], "the first two");
    let beyond = |moment| HostQuery { leased_beyond: Some(moment), ..HostQuery::default() };
    let listed = store.hosts(&beyond(later(5))).await?;
    ensure_eq!(host_names(&listed), ["heard"], "whose lease is longer");
    let listed = store.hosts(&beyond(later(4))).await?;
    ensure_eq!(host_names(&listed), ["heard", "online", "busy", "maintenance"], "than that");
    Ok(())
}

pub(super) async fn hosts_come_in_pages(fixture: &impl Fixture) -> Outcome {
    let store = fixture.fresh().await?;
    add_scored(&store, &[("a", 5.0), ("b", 4.0), ("c", 3.0), ("d", 2.0), ("e", 1.0)]).await?;
    let pages: [(u32, Option<u32>, &[&str]); 6] = [
        (0, Some(2), &["a", "b"]),
        (2, Some(2), &["c", "d"]),
        (4, Some(2), &["e"]),
        (3, None, &["d", "e"]),
        (0, Some(0), &[]),
        (u32::MAX, Some(u32::MAX), &[]),
    ];
    for (offset, limit, expected) in pages {
        let listed = store.hosts(&HostQuery { offset, limit, ..HostQuery::default() }).await?;
        ensure_eq!(host_names(&listed), expected, "{limit:?} hosts from {offset}");
    }
    Ok(())
}

pub(super) async fn a_list_has_at_most_a_thousand(fixture: &impl Fixture) -> Outcome {
    let store = fixture.fresh().await?;
    let mut many = Vec::new();
    for number in 0..=MAX_LIST {
        many.push(Change::Insert(sample::host(&format!("host-{number:04}"))?));
    }
    store.commit(hosts(many)).await?;
    for limit in [None, Some(MAX_LIST), Some(u32::MAX)] {
        for available_at in [None, Some(NOW)] {
            let query = HostQuery { limit, available_at, ..HostQuery::default() };
            let listed = store.hosts(&query).await?;
            ensure_eq!(listed.len(), MAX_LIST as usize, "{limit:?} hosts, of one more");
        }
    }
    let rest = HostQuery { offset: MAX_LIST, ..HostQuery::default() };
    ensure_eq!(host_names(&store.hosts(&rest).await?), ["host-1000"], "the rest");
    Ok(())
}

pub(super) async fn what_was_placed_is_of_live_sessions_and_different_zones(
    fixture: &impl Fixture,
) -> Outcome {
    let store = fixture.fresh().await?;
    let host = add_host(&store, sample::host("host")?).await?;
    let other = add_host(&store, sample::host("other")?).await?;
    let one = add_zone(&store, sample::zone("one")?).await?;
    let two = add_zone(&store, sample::zone("two")?).await?;
    let three = add_zone(&store, sample::zone("three")?).await?;
    // One player in each but the last, so that states and players tell each other apart.
    let sessions = [
        (1, &one, SessionStatus::Pending, "a"),
        (2, &one, SessionStatus::Active, "b"),
        (3, &two, SessionStatus::Paused, "c"),
        (4, &three, SessionStatus::Ended, "d"),
        (5, &three, SessionStatus::Failed, "e"),
    ];
    for (number, zone, status, player) in sessions {
        let mut session = sample::session(number, &host, zone, &[])?;
        if status.is_live() {
            session.add(sample::player(player)?, NOW)?;
        }
        session.status = status;
        add_session(&store, session).await?;
    }
    let view = found("the host", store.host(&host.value.host_id).await?)?;
    ensure_eq!(view.placed, Load { players: 3, zones: 2 }, "placed on the host");
    let view = found("the other", store.host(&other.value.host_id).await?)?;
    ensure_eq!(view.placed, Load::default(), "placed on the other");
    for view in store.hosts(&HostQuery::default()).await? {
        let players = if view.row.id == host.id { 3 } else { 0 };
        ensure_eq!(view.placed.players, players, "players in the list");
    }
    Ok(())
}

pub(super) async fn a_candidate_knows_the_zones_it_serves(fixture: &impl Fixture) -> Outcome {
    let store = fixture.fresh().await?;
    let host = add_host(&store, sample::host("host")?).await?;
    let mut number = 0;
    for (name, status) in [
        ("c", SessionStatus::Active),
        ("a", SessionStatus::Pending),
        ("b", SessionStatus::Paused),
        ("d", SessionStatus::Ended),
    ] {
        let zone = add_zone(&store, sample::zone(name)?).await?;
        for _ in 0..2 {
            number += 1;
            let mut session = sample::session(number, &host, &zone, &[])?;
            session.status = status;
            add_session(&store, session).await?;
        }
    }
    let candidate = found("the host", store.candidate(&host.value.host_id).await?)?;
    let served: Vec<_> = candidate.served.iter().map(|zone| zone.as_str()).collect();
    ensure_eq!(served, ["a", "b", "c"], "zones that are served");
    ensure!(candidate.host.row == host, "the host is {:?}", candidate.host.row);
    Ok(())
}

pub(super) async fn what_was_placed_puts_a_host_behind_its_equals(
    fixture: &impl Fixture,
) -> Outcome {
    let store = fixture.fresh().await?;
    let a = add_host(&store, sample::host("a")?).await?;
    add_host(&store, sample::host("b")?).await?;
    let reported = Load { players: 2, zones: 1 };
    let c = HostRecord { reported, quality_score: 99.0, ..sample::host("c")? };
    let c = add_host(&store, c).await?;
    let zone = add_zone(&store, sample::zone("zone")?).await?;
    let names = async || {
        let listed = store.hosts(&HostQuery::default()).await?;
        Outcome::Ok(host_names(&listed).join(" "))
    };
    ensure_eq!(names().await?, "a b c", "at first");
    let mut row = add_session(&store, sample::session(1, &a, &zone, &["x", "y", "z"])?).await?;
    add_session(&store, sample::session(2, &c, &zone, &["u", "v"])?).await?;
    // Three of fifty players cost 1.5 points; what was reported as well costs nothing more.
    ensure_eq!(names().await?, "b c a", "with players");
    let query = HostQuery { min_score: Some(98.6), ..HostQuery::default() };
    let listed = store.hosts(&query).await?;
    ensure_eq!(host_names(&listed), ["b", "c"], "of at least 98.6");
    let mut again = found("the host", store.host(&a.value.host_id).await?)?.row;
    again.value.reported = Load { players: 3, zones: 1 };
    store.commit(hosts([Change::Update(again)])).await?;
    ensure_eq!(names().await?, "a b c", "when they are reported, and the score is said to hold");
    let mut changes = crate::domain::Changes::default();
    let freed = row.value.fail(NOW);
    changes.free(&row.value.name, freed);
    changes.sessions.push(Change::Update(row));
    store.commit(changes).await?;
    let view = found("the host", store.host(&a.value.host_id).await?)?;
    ensure_eq!(view.placed, Load::default(), "placed when the session is over");
    Ok(())
}
