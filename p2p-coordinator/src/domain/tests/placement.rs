//! Which session or host a player gets, on random records.

use p2p_coordinator_api::{HostId, HostStatus, PlayerId, RefusalReason, SessionStatus, ZoneStatus};
use proptest::prelude::*;

use super::super::placement::{Candidate, Placement, PlacementView, SessionOnHost, Wish, place};
use super::super::{HostView, Load, Refusal, Row, SessionRecord, ZoneRecord};
use super::{LEASE, START, host, peer, peer_host, session, zone};

/// Of the zone that is asked for; 7 players in a session at most.
const PLACES: u32 = 7;

fn player(number: u32) -> PlayerId {
    format!("player-{number}").parse().unwrap()
}

fn status() -> impl Strategy<Value = HostStatus> {
    prop_oneof![
        6 => Just(HostStatus::Online),
        1 => prop::sample::select(HostStatus::ALL.to_vec()),
    ]
}

/// A host by chance; most could carry a session. Zone 1 asks for a score of 70.
fn any_host(id: i64) -> impl Strategy<Value = HostView> {
    let load = (0..8_u32, 0..4_u32).prop_map(|(players, zones)| Load { players, zones });
    // Few different ones, so that hosts are often as good as each other.
    let latency = prop::sample::select(vec![0.0, 0.0, 40.0, 150.0]);
    let machine = (latency, prop::sample::select(vec![99_u32, 100, 200]), any::<bool>());
    (status(), 0..6_u8, load.clone(), load, machine).prop_map(
        move |(status, over, reported, placed, (latency, line, is_peer))| {
            let mut row = if is_peer { peer_host(id, peer(1)) } else { host(id) };
            let host = &mut row.value;
            (host.status, host.reported) = (status, reported);
            (host.latency_ms, host.network_speed_mbps) = (latency, line);
            (host.max_players, host.max_zones) = (PLACES, 3);
            if over == 0 {
                host.lease_until = START;
            }
            HostView { row, placed }
        },
    )
}

/// A session by chance on one of the hosts; some are of another zone.
fn any_session(id: i64, hosts: Vec<HostView>) -> impl Strategy<Value = SessionOnHost> {
    let status = prop_oneof![
        6 => Just(SessionStatus::Active),
        1 => prop::sample::select(SessionStatus::ALL.to_vec()),
    ];
    (prop::sample::select(hosts), 0..=PLACES, status).prop_map(move |(host, players, status)| {
        let mut session = session(id, &host.row, &zone(1, PLACES));
        for number in 0..players {
            session.value.add(player(number), START).unwrap();
        }
        session.value.status = status;
        SessionOnHost { session, host }
    })
}

fn any_zone() -> impl Strategy<Value = Row<ZoneRecord>> {
    let status = prop_oneof![
        9 => Just(ZoneStatus::Enabled),
        1 => prop::sample::select(ZoneStatus::ALL.to_vec()),
    ];
    (status, prop::bool::weighted(0.9)).prop_map(|(status, enabled)| {
        let mut zone = zone(1, PLACES);
        zone.value.status = status;
        zone.value.definition.p2p_enabled = enabled;
        zone
    })
}

fn any_view() -> impl Strategy<Value = PlacementView> {
    let hosts: Vec<_> = (1..=5).map(any_host).collect();
    hosts.prop_flat_map(|hosts| {
        let sessions: Vec<_> = (1..=4).map(|id| any_session(id, hosts.clone())).collect();
        let served = prop::collection::vec(any::<bool>(), hosts.len());
        let present = prop::option::weighted(0.3, (any_session(9, hosts.clone()), 1..3_i64));
        (any_zone(), Just(hosts), served, sessions, present).prop_map(
            |(zone, hosts, served, open, present)| {
                let served_here =
                    |here| if here { vec!["zone-1".parse().unwrap()] } else { vec![] };
                let candidates = hosts.into_iter().zip(served);
                let hosts = candidates
                    .map(|(host, here)| Candidate { host, served: served_here(here) })
                    .collect();
                let present = present.map(|(mut present, zone)| {
                    present.session.value.zone = zone;
                    present
                });
                PlacementView { zone, present, open, hosts }
            },
        )
    })
}

fn any_avoided() -> impl Strategy<Value = Vec<HostId>> {
    prop::collection::vec((1..=5_i64).prop_map(|id| host(id).value.host_id), 0..3)
}

/// What the module says of a host that a player is sent to, in other words than its code.
fn may_be_entered(host: &HostView, wish: &Wish<'_>) -> bool {
    let record = &host.row.value;
    record.status == HostStatus::Online
        && START < record.lease_until
        && record.reported.players < record.max_players
        && host.placed.players < record.max_players
        && (!wish.peer || record.peer.is_some())
        && !wish.avoid.contains(&record.host_id)
}

fn may_open(candidate: &Candidate, zone: &ZoneRecord, wish: &Wish<'_>) -> bool {
    let (host, zone) = (&candidate.host, &zone.definition);
    let record = &host.row.value;
    let zones = record.reported.zones.max(host.placed.zones);
    may_be_entered(host, wish)
        && (candidate.served.contains(&zone.zone_id) || zones < record.max_zones)
        && host.score() >= 70.0
        && record.network_speed_mbps >= 100
        && record.latency_ms <= 100.0
}

fn has_room(session: &SessionRecord) -> bool {
    matches!(session.status, SessionStatus::Pending | SessionStatus::Active)
        && session.seats.len() < PLACES as usize
}

/// The number of what was chosen.
fn chosen(placement: Result<Placement<'_>, Refusal>) -> Result<(&'static str, i64), Refusal> {
    placement.map(|placement| match placement {
        Placement::Stay(there) => ("stay", there.session.id),
        Placement::Enter(open) => ("enter", open.session.id),
        Placement::Open(host) => ("open", host.row.id),
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(768))]

    #[test]
    fn a_player_gets_the_fullest_session_that_has_room_or_else_the_best_host_that_fits(
        view in any_view(),
        peer in any::<bool>(),
        avoid in any_avoided(),
    ) {
        let wish = Wish { peer, avoid: &avoid };
        let zone = &view.zone.value;
        let open = zone.status == ZoneStatus::Enabled && zone.definition.p2p_enabled;
        let enterable: Vec<_> = (view.open.iter())
            .filter(|open| has_room(&open.session.value) && may_be_entered(&open.host, &wish))
            .collect();
        let fit: Vec<_> = view.hosts.iter().filter(|host| may_open(host, zone, &wish)).collect();
        let is_here = view.present.as_ref().filter(|present| {
            let (session, host) = (&present.session.value, &present.host.row.value);
            session.zone == view.zone.id
                && host.status == HostStatus::Online
                && START < host.lease_until
                && (!peer || host.peer.is_some())
                && !avoid.contains(&host.host_id)
        });
        let status = is_here.map(|present| present.session.value.status);
        let stays = matches!(status, Some(SessionStatus::Pending | SessionStatus::Active));
        match place(&view, wish, START) {
            Ok(Placement::Stay(present)) => {
                prop_assert!(open && stays);
                prop_assert_eq!(Some(present), view.present.as_ref());
            }
            Ok(Placement::Enter(chosen)) => {
                prop_assert!(open && !stays && enterable.contains(&chosen));
                let players = |open: &SessionOnHost| open.session.value.seats.len();
                prop_assert!(enterable.iter().all(|other| players(other) <= players(chosen)));
            }
            Ok(Placement::Open(chosen)) => {
                prop_assert!(open && !stays && enterable.is_empty());
                prop_assert!(fit.iter().any(|candidate| candidate.host == *chosen));
                prop_assert!(fit.iter().all(|other| other.host.score() <= chosen.score()));
            }
            Err(refusal) if refusal.reason() == RefusalReason::ZoneClosed => prop_assert!(!open),
            Err(refusal) if refusal.reason() == RefusalReason::State => {
                prop_assert!(open && status == Some(SessionStatus::Paused));
            }
            Err(refusal) => {
                prop_assert_eq!(refusal.reason(), RefusalReason::NoHost);
                prop_assert!(open && !stays && enterable.is_empty() && fit.is_empty());
            }
        }
    }

    #[test]
    fn the_order_of_the_lists_does_not_matter(
        (view, open, hosts) in any_view().prop_flat_map(|view| {
            let (open, hosts) = (view.open.clone(), view.hosts.clone());
            (Just(view), Just(open).prop_shuffle(), Just(hosts).prop_shuffle())
        }),
        peer in any::<bool>(),
        avoid in any_avoided(),
    ) {
        let wish = Wish { peer, avoid: &avoid };
        let shuffled = PlacementView { open, hosts, ..view.clone() };
        prop_assert_eq!(chosen(place(&view, wish, START)), chosen(place(&shuffled, wish, START)));
    }
}

#[test]
fn equal_hosts_are_told_apart_by_their_names() {
    let candidate = |id| {
        let host = HostView { row: host(id), placed: Load::default() };
        Candidate { host, served: Vec::new() }
    };
    let hosts = vec![candidate(3), candidate(2), candidate(4)];
    let view = PlacementView { zone: zone(1, PLACES), present: None, open: Vec::new(), hosts };
    let wish = Wish { peer: false, avoid: &[] };
    assert_eq!(chosen(place(&view, wish, START)), Ok(("open", 2)));
    assert_eq!(
        chosen(place(&view, wish, LEASE)).unwrap_err().reason(),
        RefusalReason::NoHost,
        "at the end of their leases"
    );
}

#[test]
fn of_equally_full_sessions_that_on_the_better_host_is_entered() {
    let on = |id: i64, latency| {
        let mut host = host(id);
        host.value.latency_ms = latency;
        let session = session(id, &host, &zone(1, PLACES));
        SessionOnHost { session, host: HostView { row: host, placed: Load::default() } }
    };
    let open = vec![on(1, 40.0), on(2, 10.0), on(3, 20.0)];
    let view = PlacementView { zone: zone(1, PLACES), present: None, open, hosts: Vec::new() };
    let wish = Wish { peer: false, avoid: &[] };
    assert_eq!(chosen(place(&view, wish, START)), Ok(("enter", 2)));
}
