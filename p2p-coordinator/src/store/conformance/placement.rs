//! What a placement is decided on: sessions with room.

use p2p_coordinator_api::{HostStatus, PlayerId, SessionStatus, ZoneId};
use p2p_core::PeerAddr;

use super::sample::{self, LEASE, NOW, later};
use super::step::{add_host, add_session, add_zone, ensure, ensure_eq, found, sessions};
use super::{Fixture, Outcome};
use crate::domain::placement::PlacementView;
use crate::domain::{Change, Changes, HostRecord, Load, Row, RowId, SessionRecord, ZoneRecord};
use crate::store::{OPEN_SESSIONS, PlacementQuery, Store};

pub(super) fn query(zone: &Row<ZoneRecord>) -> PlacementQuery {
    PlacementQuery::new(zone.value.definition.zone_id.clone(), NOW)
}

/// The hosts that could open a session, whatever sessions there are.
pub(super) async fn candidates(
    store: &impl Store,
    query: PlacementQuery,
) -> Outcome<Vec<Row<HostRecord>>> {
    let query = PlacementQuery { enter: false, ..query };
    let view = found("the zone", store.placement(&query).await?)?;
    ensure_eq!(view.open, [], "sessions, which were not asked for");
    ensure!(view.hosts.len() <= query.hosts as usize, "{} hosts", view.hosts.len());
    Ok(view.hosts.into_iter().map(|candidate| candidate.host.row).collect())
}

/// The view of a player who is nowhere, of all hosts.
async fn view(store: &impl Store, zone: &Row<ZoneRecord>) -> Outcome<PlacementView> {
    view_for(store, zone, None, false).await
}

async fn view_for(
    store: &impl Store,
    zone: &Row<ZoneRecord>,
    player: Option<&PlayerId>,
    peer: bool,
) -> Outcome<PlacementView> {
    let query = PlacementQuery { player: player.cloned(), peer, ..query(zone) };
    let view = found("the zone", store.placement(&query).await?)?;
    ensure_eq!(view.zone, *zone, "the zone of the view");
    ensure!(view.open.len() <= OPEN_SESSIONS as usize, "{} sessions", view.open.len());
    ensure!(view.hosts.len() <= query.hosts as usize, "{} hosts", view.hosts.len());
    Ok(view)
}

fn open(view: &PlacementView) -> Vec<RowId> {
    view.open.iter().map(|open| open.session.id).collect()
}

fn ids<'a>(rows: impl IntoIterator<Item = &'a Row<SessionRecord>>) -> Vec<RowId> {
    rows.into_iter().map(|row| row.id).collect()
}

fn names(count: usize, all: &[String]) -> Vec<&str> {
    all.iter().take(count).map(String::as_str).collect()
}

fn crowd(session: u64) -> Vec<String> {
    (0..5).map(|player| format!("{session}-{player}")).collect()
}

pub(super) async fn an_unknown_zone_has_no_view(fixture: &impl Fixture) -> Outcome {
    let store = fixture.fresh().await?;
    add_host(&store, sample::host("host")?).await?;
    add_zone(&store, sample::zone("zone")?).await?;
    let view = store.placement(&PlacementQuery::new(ZoneId::new("other")?, NOW)).await?;
    ensure_eq!(view, None, "the view of a zone that is not there");
    Ok(())
}

pub(super) async fn open_sessions_have_room_on_hosts_that_take_players(
    fixture: &impl Fixture,
) -> Outcome {
    let store = fixture.fresh().await?;
    let zone = add_zone(&store, sample::zone("zone")?).await?;
    let elsewhere = add_zone(&store, sample::zone("elsewhere")?).await?;
    let good = add_host(&store, sample::host("good")?).await?;
    let mut expected = Vec::new();
    let mut number = 0;
    for status in SessionStatus::ALL {
        for count in [0, 4, 5] {
            number += 1;
            let crowd = crowd(number);
            let players = if status.is_live() { names(count, &crowd) } else { Vec::new() };
            let mut session = sample::session(number, &good, &zone, &players)?;
            session.status = status;
            let room = players.len() < 5;
            let row = add_session(&store, session).await?;
            if room && [SessionStatus::Pending, SessionStatus::Active].contains(&status) {
                expected.push(row);
            }
        }
    }
    add_session(&store, sample::session(70, &good, &elsewhere, &[])?).await?;
    let plain = |name| sample::host(name);
    let bad = [
        HostRecord { status: HostStatus::Offline, ..plain("offline")? },
        HostRecord { status: HostStatus::Busy, ..plain("busy")? },
        HostRecord { status: HostStatus::Maintenance, ..plain("maintenance")? },
        HostRecord { lease_until: NOW, ..plain("lease over")? },
        HostRecord { reported: Load { players: 50, zones: 1 }, ..plain("full")? },
        HostRecord { max_players: 0, ..plain("takes nobody")? },
    ];
    for (number, host) in (80..).zip(bad) {
        let host = add_host(&store, host).await?;
        add_session(&store, sample::session(number, &host, &zone, &[])?).await?;
    }
    expected.sort_by_key(|row| (5 - row.value.seats.len(), row.id));
    let shown = view(&store, &zone).await?;
    ensure_eq!(open(&shown), ids(&expected), "open sessions");
    for (open, row) in shown.open.iter().zip(&expected) {
        ensure_eq!(open.session, *row, "an open session");
        ensure_eq!(open.host.row, good, "the host of an open session");
        // Pending, active and paused sessions have 0, 4 and 5 players each.
        ensure_eq!(open.host.placed, Load { players: 27, zones: 2 }, "what was placed there");
    }
    let late = PlacementQuery { now: LEASE, ..query(&zone) };
    let late = found("the zone", store.placement(&late).await?)?;
    ensure_eq!((late.open, late.hosts), (vec![], vec![]), "when all leases are over");
    Ok(())
}

pub(super) async fn open_sessions_are_the_fullest_first_and_bounded(
    fixture: &impl Fixture,
) -> Outcome {
    let store = fixture.fresh().await?;
    let zone = add_zone(&store, sample::zone("zone")?).await?;
    let host = HostRecord { max_players: 1000, ..sample::host("host")? };
    let host = add_host(&store, host).await?;
    let mut all = Vec::new();
    for number in 0..25 {
        let crowd = crowd(number);
        let players = names((number * 3 % 5) as usize, &crowd);
        all.push(add_session(&store, sample::session(number, &host, &zone, &players)?).await?);
    }
    all.sort_by_key(|row| (5 - row.value.seats.len(), row.id));
    let shown = view(&store, &zone).await?;
    let fullest: Vec<_> = all.iter().take(OPEN_SESSIONS as usize).collect();
    ensure_eq!(
        open(&shown),
        ids(fullest.iter().copied()),
        "the fullest, and of equal ones the earliest"
    );
    // What is full now makes room for the next.
    let mut filled = fullest[0].clone();
    let mut changes = Changes::default();
    let last = sample::player("the last")?;
    filled.value.add(last.clone(), later(1))?;
    changes.seat(&filled.value, &last, None);
    changes.sessions.extend(sessions([Change::Update(filled)]).sessions);
    store.commit(changes).await?;
    let shown = view(&store, &zone).await?;
    let next: Vec<_> = all.iter().skip(1).take(OPEN_SESSIONS as usize).collect();
    ensure_eq!(open(&shown), ids(next), "without the one that is full now");
    Ok(())
}

pub(super) async fn sessions_on_full_hosts_do_not_hide_others(fixture: &impl Fixture) -> Outcome {
    let store = fixture.fresh().await?;
    let zone = add_zone(&store, sample::zone("zone")?).await?;
    // More than one view shows, fuller than the last, on hosts that carry no more than they have: as
    // where a zone's sessions are larger than its hosts.
    for number in 0..u64::from(OPEN_SESSIONS) + 4 {
        let placed = number % 2 == 0;
        let (max_players, players) = if placed { (4, 0) } else { (50, 50) };
        let reported = Load { players, zones: 1 };
        let host = HostRecord { max_players, reported, ..sample::host(&format!("full-{number}"))? };
        let host = add_host(&store, host).await?;
        let crowd = crowd(number);
        add_session(&store, sample::session(number, &host, &zone, &names(4, &crowd))?).await?;
    }
    let host = add_host(&store, sample::host("roomy")?).await?;
    let last = add_session(&store, sample::session(99, &host, &zone, &["z"])?).await?;
    let shown = view(&store, &zone).await?;
    ensure_eq!(open(&shown), [last.id], "the one session that takes a player");
    Ok(())
}

pub(super) async fn a_place_that_is_free_again_is_shown(fixture: &impl Fixture) -> Outcome {
    let store = fixture.fresh().await?;
    let zone = add_zone(&store, sample::zone("zone")?).await?;
    let small = HostRecord { max_players: 5, ..sample::host("host")? };
    let host = add_host(&store, small).await?;
    let crowd = crowd(1);
    let session = sample::session(1, &host, &zone, &names(5, &crowd))?;
    let mut row = add_session(&store, session).await?;
    let full = view(&store, &zone).await?;
    ensure_eq!((open(&full), full.hosts), (vec![], vec![]), "while all places are taken");
    let player = sample::player(&crowd[2])?;
    row.value.remove(&player, None, later(1))?;
    let mut changes = Changes::default();
    changes.free(&row.value.name, [player]);
    changes.sessions.push(Change::Update(row.clone()));
    store.commit(changes).await?;
    let shown = view(&store, &zone).await?;
    ensure_eq!(open(&shown), [row.id], "the session with a place");
    for host in shown.open.iter().map(|open| &open.host) {
        ensure_eq!(host.placed, Load { players: 4, zones: 1 }, "what is still placed there");
    }
    ensure_eq!(candidates(&store, query(&zone)).await?.len(), 1, "hosts with room");
    Ok(())
}

pub(super) async fn only_peers_are_shown_to_who_asks_for_them(fixture: &impl Fixture) -> Outcome {
    let store = fixture.fresh().await?;
    let zone = add_zone(&store, sample::zone("zone")?).await?;
    let server = add_host(&store, sample::host("server")?).await?;
    let peer = Some(PeerAddr::new(sample::peer(1)));
    let peer = add_host(&store, HostRecord { peer, ..sample::host("peer")? }).await?;
    let on_server = add_session(&store, sample::session(1, &server, &zone, &[])?).await?;
    let on_peer = add_session(&store, sample::session(2, &peer, &zone, &[])?).await?;
    let any = view_for(&store, &zone, None, false).await?;
    ensure_eq!(open(&any), [on_server.id, on_peer.id], "sessions on any host");
    ensure_eq!(candidates(&store, query(&zone)).await?.len(), 2, "hosts of any kind");
    let peers = view_for(&store, &zone, None, true).await?;
    ensure_eq!(open(&peers), [on_peer.id], "sessions on peers");
    let hosts = candidates(&store, PlacementQuery { peer: true, ..query(&zone) }).await?;
    ensure_eq!(hosts, [peer], "hosts that are peers");
    Ok(())
}

pub(super) async fn a_players_present_session_is_shown(fixture: &impl Fixture) -> Outcome {
    let store = fixture.fresh().await?;
    let zone = add_zone(&store, sample::zone("zone")?).await?;
    let elsewhere = add_zone(&store, sample::zone("elsewhere")?).await?;
    // That it is shown does not depend on whether anybody else could go there.
    let offline = HostRecord { status: HostStatus::Offline, ..sample::host("offline")? };
    let offline = add_host(&store, offline).await?;
    let mut paused = sample::session(1, &offline, &elsewhere, &["a"])?;
    paused.status = SessionStatus::Paused;
    let paused = add_session(&store, paused).await?;
    let shown = view_for(&store, &zone, Some(&sample::player("a")?), true).await?;
    let present = found("the present session", shown.present)?;
    ensure_eq!(present.session, paused, "where the player is");
    ensure_eq!(present.host.row, offline, "its host");
    ensure_eq!(present.host.placed, Load { players: 1, zones: 1 }, "what was placed there");
    let shown = view_for(&store, &zone, Some(&sample::player("b")?), false).await?;
    ensure_eq!(shown.present, None, "where a player is who is nowhere");
    Ok(())
}

pub(super) async fn hosts_to_avoid_are_left_out(fixture: &impl Fixture) -> Outcome {
    let store = fixture.fresh().await?;
    let zone = add_zone(&store, sample::zone("zone")?).await?;
    let mut sessions = Vec::new();
    for (number, name) in (1..).zip(["a", "b'\"", "c"]) {
        let host = add_host(&store, sample::host(name)?).await?;
        sessions.push(add_session(&store, sample::session(number, &host, &zone, &[])?).await?);
    }
    let avoid = vec!["a".parse()?, "b'\"".parse()?];
    let query = PlacementQuery { avoid, ..query(&zone) };
    let shown = found("the zone", store.placement(&query).await?)?;
    ensure_eq!(open(&shown), [sessions[2].id], "sessions on other hosts");
    let hosts = candidates(&store, query).await?;
    let names: Vec<_> = hosts.iter().map(|host| host.value.host_id.as_str()).collect();
    ensure_eq!(names, ["c"], "other hosts");
    Ok(())
}

pub(super) async fn no_host_is_looked_for_when_a_session_will_do(
    fixture: &impl Fixture,
) -> Outcome {
    let store = fixture.fresh().await?;
    let zone = add_zone(&store, sample::zone("zone")?).await?;
    let host = add_host(&store, sample::host("host")?).await?;
    let shown = view(&store, &zone).await?;
    ensure_eq!(shown.hosts.len(), 1, "hosts, while there is no session");
    add_session(&store, sample::session(1, &host, &zone, &["a"])?).await?;
    let shown = view(&store, &zone).await?;
    ensure_eq!((shown.open.len(), shown.hosts), (1, vec![]), "when there is one");
    let other = PlacementQuery { avoid: vec!["host".parse()?], ..query(&zone) };
    add_host(&store, sample::host("other")?).await?;
    let shown = found("the zone", store.placement(&other).await?)?;
    ensure_eq!((shown.open, shown.hosts.len()), (vec![], 1), "when its host is to be avoided");
    Ok(())
}
