//! For how long a host counts as alive, and who may speak for it.

use std::sync::LazyLock;
use std::time::Duration;

use p2p_coordinator_api::{
    Challenge, Heartbeat, HostProof, HostStatus, RefusalReason, RegisterHost, Timestamp,
};
use p2p_core::{PeerAddr, SecretKey};
use proptest::prelude::*;

use super::super::host::register;
use super::super::{HostRecord, HostView, Load, Terms};
use super::{START, host, moment, peer, peer_host};

/// By somebody without a proof, or by the first or second of two peers.
fn request(owner: Option<u8>) -> RegisterHost {
    static PROOFS: LazyLock<[HostProof; 2]> = LazyLock::new(|| {
        [1, 2].map(|byte| {
            let key = SecretKey::from_bytes(&[byte; 32]);
            let challenge = Challenge::new(&key, START, [0; 16]);
            let addr = PeerAddr::new(key.peer_id());
            HostProof::new(&key, &"host-1".parse().unwrap(), addr, false, challenge)
        })
    });
    let host_id = "host-1".parse().unwrap();
    let p2p = owner.map(|owner| PROOFS[usize::from(owner - 1)].clone());
    RegisterHost {
        host_id,
        player_id: "somebody".parse().unwrap(),
        player_name: "Somebody".into(),
        ip_address: "198.51.100.7".into(),
        port: 7000,
        public_ip: Some("203.0.113.7".into()),
        cpu_cores: 2,
        cpu_frequency_mhz: 2000,
        memory_mb: 4096,
        network_speed_mbps: 50,
        ice_servers: None,
        max_players: None,
        max_zones: None,
        p2p,
    }
}

fn beat(current_players: u32) -> Heartbeat {
    Heartbeat { latency_ms: 50.0, current_players, current_zones: 1, ..Heartbeat::default() }
}

#[test]
fn a_new_host_is_online_and_empty_with_the_contracts_room() {
    let host = register(None, request(None), &Terms::default(), START).unwrap();
    assert_eq!((host.status, host.max_players, host.max_zones), (HostStatus::Online, 50, 5));
    assert_eq!(host.reported, Load::default());
    assert_eq!((host.created_at, host.updated_at, host.last_heard), (START, START, START));
    // 30 + 20 + 25, and half of 10, 10 and 5.
    assert_eq!(host.quality_score, 87.5);
}

#[test]
fn what_a_new_host_does_not_say_is_configured_and_its_ice_servers_are_kept() {
    let terms = Terms { max_players: 12, ..Terms::default() };
    let servers = serde_json::json!({ "urls": ["stun:example.org"] });
    let said = RegisterHost { ice_servers: servers.as_object().cloned(), ..request(None) };
    let host = register(None, said, &terms, START).unwrap();
    assert_eq!(host.max_players, 12);
    assert_eq!(host.ice_servers.as_deref(), Some(r#"{"urls":["stun:example.org"]}"#));
    let again = register(Some(&host), request(None), &Terms::default(), moment(1)).unwrap();
    assert_eq!((again.max_players, again.ice_servers), (12, None));
}

#[test]
fn registering_again_keeps_load_and_room_and_takes_what_is_new() {
    let terms = Terms::default();
    let mut known = host(1).value;
    known.heartbeat(&beat(20), &terms, START);
    (known.status, known.max_players, known.max_zones) = (HostStatus::Offline, 80, 8);
    let again = register(Some(&known), request(None), &terms, moment(1)).unwrap();
    assert_eq!(again.status, HostStatus::Online);
    assert_eq!((again.max_players, again.max_zones, again.port), (80, 8, 7000));
    assert_eq!((again.reported, again.latency_ms), (known.reported, 50.0));
    assert_eq!((again.created_at, again.updated_at), (START, moment(1)));
    // Latency takes 5, 20 of 80 players 6.25, the weaker machine 12.5.
    assert_eq!(again.quality_score, 76.25);
}

#[test]
fn a_host_id_is_its_owners_from_the_first_proof_on() {
    let terms = Terms::default();
    let mine = peer_host(1, peer(1)).value;
    for other in [Some(2), None] {
        let refused = register(Some(&mine), request(other), &terms, START).unwrap_err();
        assert_eq!(refused.reason(), RefusalReason::HostTaken, "{other:?}");
    }
    assert!(register(Some(&mine), request(Some(1)), &terms, START).is_ok());
    let nobodys = host(1).value;
    let proven = register(Some(&nobodys), request(Some(2)), &terms, START).unwrap();
    assert_eq!(proven.peer_id(), Some(peer(2)));
}

#[test]
fn a_peers_lease_is_short_and_others_have_the_hosts_timeout() {
    let terms = Terms {
        lease: Duration::from_secs(3),
        host_timeout: Duration::from_secs(70),
        ..Terms::default()
    };
    for (owner, millis) in [(Some(1), 3_000), (None, 70_000)] {
        let mut host = register(None, request(owner), &terms, START).unwrap();
        assert_eq!(host.lease_until, moment(millis));
        assert!(host.is_online(moment(millis - 1)));
        assert!(!host.is_online(moment(millis)), "a lease is over at its end");
        host.heartbeat(&beat(0), &terms, moment(500));
        assert_eq!(host.lease_until, moment(500 + millis), "a heartbeat begins it anew");
    }
}

#[test]
fn a_reservation_outlives_the_token_by_a_lease() {
    assert_eq!(Terms::default().reservation(), Duration::from_secs(30 + 15));
}

#[test]
fn a_heartbeat_does_not_open_what_its_owner_closed() {
    for status in [HostStatus::Busy, HostStatus::Maintenance] {
        let mut host = host(1).value;
        host.status = status;
        host.heartbeat(&beat(0), &Terms::default(), START);
        assert_eq!(host.status, status);
    }
}

#[test]
fn a_host_is_available_while_it_has_room_for_players_and_zones() {
    let view = |players, zones| {
        let mut row = host(1);
        (row.value.max_players, row.value.max_zones) = (2, 2);
        HostView { row, placed: Load { players, zones } }
    };
    assert!(view(1, 1).is_available(START));
    assert!(!view(2, 1).is_available(START));
    assert!(!view(1, 2).is_available(START));
    let (served, other) = ("zone-1".parse().unwrap(), "zone-2".parse().unwrap());
    assert!(
        view(1, 2).can_serve(&served, std::slice::from_ref(&served)).is_ok(),
        "no further zone"
    );
    assert_eq!(
        view(1, 2).can_serve(&other, &[served]).unwrap_err().reason(),
        RefusalReason::HostFull
    );
    assert!(view(0, 0).can_take(2, START).is_ok());
    assert_eq!(view(0, 0).can_take(3, START).unwrap_err().reason(), RefusalReason::HostFull);
    assert_eq!(view(0, 0).can_take(u32::MAX, START).unwrap_err().reason(), RefusalReason::HostFull);
}

#[derive(Clone, Debug)]
enum Event {
    Beat(u32),
    Expire,
    Register(Option<u8>),
    Pass(u64),
}

fn events() -> impl Strategy<Value = Vec<Event>> {
    let owner = || prop_oneof![Just(None), (1..3_u8).prop_map(Some)];
    let event = prop_oneof![
        (0..100_u32).prop_map(Event::Beat),
        Just(Event::Expire),
        owner().prop_map(Event::Register),
        (0..40_000_u64).prop_map(Event::Pass),
    ];
    prop::collection::vec(event, 0..60)
}

/// One event; whether anything may have changed by it.
fn step(host: &mut HostRecord, event: &Event, terms: &Terms, now: Timestamp) -> bool {
    match event {
        Event::Beat(players) => {
            host.heartbeat(&beat(*players), terms, now);
            assert!(host.status == HostStatus::Online && host.is_online(now), "it is back");
            assert_eq!(host.reported.players, *players);
            true
        }
        Event::Expire => {
            let (was, over) = (host.status, host.lease_until <= now);
            let lost = host.expire(now);
            assert_eq!(lost, was != HostStatus::Offline && over);
            assert!(!host.expire(now), "it is lost once");
            lost
        }
        Event::Register(owner) => {
            let owned = host.peer_id();
            let again = register(Some(host), request(*owner), terms, now);
            assert_eq!(again.is_ok(), owned.is_none() || owned == owner.map(peer));
            again.is_ok_and(|again| {
                *host = again;
                true
            })
        }
        Event::Pass(_) => false,
    }
}

proptest! {
    #[test]
    fn a_host_is_alive_for_a_lease_after_it_was_heard(events in events()) {
        let terms = Terms::default();
        let mut now = START;
        let mut host = register(None, request(None), &terms, now).unwrap();
        for event in &events {
            if let Event::Pass(millis) = event {
                now = now.after(Duration::from_millis(*millis));
            }
            let before = host.clone();
            if step(&mut host, event, &terms, now) {
                prop_assert_eq!(host.updated_at, now);
            } else {
                prop_assert_eq!(&host, &before);
            }
            let lease = if host.peer.is_some() { terms.lease } else { terms.host_timeout };
            prop_assert_eq!(host.lease_until, host.last_heard.after(lease));
            prop_assert!(!host.is_online(now) || now < host.lease_until);
            prop_assert_eq!(host.created_at, START);
            prop_assert!(host.peer_id() == before.peer_id() || before.peer.is_none());
        }
    }
}
