//! Lists of zones, and their counters.

use p2p_coordinator_api::{HostStatus, SessionStatus, ZoneStatus};

use super::sample::{self, NOW};
use super::step::{
    add_host, add_session, add_zone, ensure_eq, found, save_seat, save_session, sessions,
};
use super::{Fixture, Outcome};
use crate::domain::zone::ZoneCounts;
use crate::domain::{Change, Changes, Row, ZoneRecord};
use crate::store::{Store, Totals, ZoneQuery};

fn ids(zones: &[(Row<ZoneRecord>, ZoneCounts)]) -> Vec<&str> {
    zones.iter().map(|(zone, _)| zone.value.definition.zone_id.as_str()).collect()
}

/// Zones by id, name and priority, written in this order.
async fn add_named(store: &impl Store, named: &[(&str, &str, u32)]) -> Outcome {
    for (id, name, priority) in named {
        let mut zone = sample::zone(id)?;
        zone.definition.zone_name = (*name).into();
        zone.definition.p2p_priority = *priority;
        add_zone(store, zone).await?;
    }
    Ok(())
}

pub(super) async fn zones_are_listed_by_priority_then_by_name(fixture: &impl Fixture) -> Outcome {
    let store = fixture.fresh().await?;
    let named = [
        ("1", "b", 1),
        ("2", "a", 1),
        ("5", "same", 3),
        ("4", "same", 3),
        ("3", "z", 10),
        ("6", "B", 1),
        ("7", "é", 1),
    ];
    add_named(&store, &named).await?;
    let listed = store.zones(&ZoneQuery::default()).await?;
    // Of the same priority by name, of the same name by id; text by its bytes.
    ensure_eq!(ids(&listed), ["3", "4", "5", "6", "2", "1", "7"], "all zones");
    Ok(())
}

pub(super) async fn zones_are_filtered_by_status_and_peers(fixture: &impl Fixture) -> Outcome {
    let store = fixture.fresh().await?;
    for status in ZoneStatus::ALL {
        for enabled in [false, true] {
            let mut zone = sample::zone(&format!("{status} {enabled}"))?;
            (zone.status, zone.definition.p2p_enabled) = (status, enabled);
            add_zone(&store, zone).await?;
        }
    }
    for status in ZoneStatus::ALL {
        let query = ZoneQuery { status: Some(status), ..ZoneQuery::default() };
        let expected = [format!("{status} false"), format!("{status} true")];
        ensure_eq!(ids(&store.zones(&query).await?), expected, "{status} zones");
        let query = ZoneQuery { p2p_enabled: Some(true), ..query };
        ensure_eq!(ids(&store.zones(&query).await?), expected[1..], "{status} zones for peers");
    }
    let query = ZoneQuery { p2p_enabled: Some(false), ..ZoneQuery::default() };
    let expected = ["disabled false", "enabled false", "maintenance false"];
    ensure_eq!(ids(&store.zones(&query).await?), expected, "zones not for peers");
    Ok(())
}

pub(super) async fn zones_come_in_pages(fixture: &impl Fixture) -> Outcome {
    let store = fixture.fresh().await?;
    add_named(&store, &[("a", "a", 1), ("b", "b", 1), ("c", "c", 1)]).await?;
    let pages: [(u32, Option<u32>, &[&str]); 4] = [
        (0, Some(2), &["a", "b"]),
        (2, Some(2), &["c"]),
        (1, None, &["b", "c"]),
        (u32::MAX, Some(u32::MAX), &[]),
    ];
    for (offset, limit, expected) in pages {
        let listed = store.zones(&ZoneQuery { offset, limit, ..ZoneQuery::default() }).await?;
        ensure_eq!(ids(&listed), expected, "{limit:?} zones from {offset}");
    }
    Ok(())
}

pub(super) async fn a_zone_counts_its_sessions(fixture: &impl Fixture) -> Outcome {
    let store = fixture.fresh().await?;
    let host = add_host(&store, sample::host("host")?).await?;
    let zone = add_zone(&store, sample::zone("zone")?).await?;
    let other = add_zone(&store, sample::zone("other")?).await?;
    for (number, status) in (1..).zip(SessionStatus::ALL) {
        for (served, count) in [(number, number), (number + 10, 3)] {
            let mut session = sample::session(served, &host, &zone, &[])?;
            (session.status, session.served) = (status, count);
            add_session(&store, session).await?;
        }
    }
    add_session(&store, sample::session(99, &host, &other, &["a"])?).await?;
    let expected = ZoneCounts {
        total_sessions: 10,
        active_sessions: 2,
        total_players_served: 1 + 2 + 3 + 4 + 5 + 5 * 3,
    };
    let (_, counts) = found("the zone", store.zone(&zone.value.definition.zone_id).await?)?;
    ensure_eq!(counts, expected, "counters of the zone");
    let one = ZoneCounts { total_sessions: 1, active_sessions: 0, total_players_served: 1 };
    let listed = store.zones(&ZoneQuery::default()).await?;
    let counts: Vec<_> = listed.into_iter().map(|(_, counts)| counts).collect();
    ensure_eq!(counts, [one, expected], "counters in the list");
    let empty = add_zone(&store, sample::zone("empty")?).await?;
    let view = store.placement(&super::placement::query(&empty)).await?;
    ensure_eq!(found("the view", view)?.open, [], "sessions of a zone without any");
    Ok(())
}

pub(super) async fn counters_follow_a_sessions_life_and_outlive_it(
    fixture: &impl Fixture,
) -> Outcome {
    let store = fixture.fresh().await?;
    let host = add_host(&store, sample::host("host")?).await?;
    let zone = add_zone(&store, sample::zone("zone")?).await?;
    let id = zone.value.definition.zone_id.clone();
    let counts = async |total_sessions, active_sessions, total_players_served, when: &str| {
        let (row, counts) = found("the zone", store.zone(&id).await?)?;
        let expected = ZoneCounts { total_sessions, active_sessions, total_players_served };
        ensure_eq!(counts, expected, "counters {when}");
        ensure_eq!(row, zone, "the zone itself {when}");
        Outcome::Ok(())
    };
    counts(0, 0, 0, "at first").await?;
    let mut row = add_session(&store, sample::session(1, &host, &zone, &["a"])?).await?;
    add_session(&store, sample::session(2, &host, &zone, &["b"])?).await?;
    counts(2, 0, 2, "of two that wait").await?;
    row.value.activate(NOW)?;
    let mut row = save_session(&store, row).await?;
    counts(2, 1, 2, "when one has begun").await?;
    row.value.add(sample::player("c")?, NOW)?;
    let mut row = save_seat(&store, row, &sample::player("c")?).await?;
    counts(2, 1, 3, "when one more came").await?;
    let mut changes = Changes::default();
    let freed = row.value.end(NOW);
    changes.free(&row.value.name, freed);
    changes.sessions.push(Change::Update(row.clone()));
    store.commit(changes).await?;
    counts(2, 0, 3, "when it is over").await?;
    let (id, version) = (row.id, row.version + 1);
    store.commit(sessions([Change::Delete { id, version }])).await?;
    counts(2, 0, 3, "when it is forgotten").await
}

pub(super) async fn all_there_is_is_counted(fixture: &impl Fixture) -> Outcome {
    let store = fixture.fresh().await?;
    ensure_eq!(store.totals().await?, Totals::default(), "an empty store");
    let scores = [100.0, 90.0, 89.0, 70.0, 69.0, 50.0, 49.0, 0.0];
    let mut hosts = Vec::new();
    for (number, score) in scores.into_iter().enumerate() {
        let mut host = sample::host(&format!("host {number}"))?;
        (host.status, host.quality_score) = (HostStatus::Online, score);
        host.latency_ms = score;
        // More than is placed on any: their ranks stay what their scores are.
        host.reported.players = 5;
        hosts.push(add_host(&store, host).await?);
    }
    let mut host = sample::host("lost")?;
    (host.status, host.quality_score) = (HostStatus::Offline, 100.0);
    add_host(&store, host).await?;
    let zone = add_zone(&store, sample::zone("zone")?).await?;
    let mut closed = sample::zone("closed")?;
    closed.definition.p2p_enabled = false;
    let closed = add_zone(&store, closed).await?;
    let sessions: [(_, _, &[&str], _); 4] = [
        (0, &zone, &["a", "b"], SessionStatus::Active),
        (3, &closed, &["c"], SessionStatus::Active),
        (5, &zone, &["d"], SessionStatus::Paused),
        (6, &zone, &[], SessionStatus::Ended),
    ];
    for (number, (host, zone, players, status)) in (1..).zip(sessions) {
        let mut session = sample::session(number, &hosts[host], zone, players)?;
        session.status = status;
        add_session(&store, session).await?;
    }
    let expected = Totals {
        hosts: 9,
        online: [2, 2, 2, 2],
        quality_score: scores.iter().sum::<f64>() / 8.0,
        zones: 2,
        zones_for_peers: 1,
        sessions: 4,
        active_sessions: 2,
        players: 3,
        latency_ms: 85.0,
    };
    ensure_eq!(store.totals().await?, expected, "all there is");
    Ok(())
}
