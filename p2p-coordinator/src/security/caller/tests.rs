use p2p_coordinator_api::{HostId, Timestamp};
use p2p_core::{PeerAddr, SecretKey};

use super::*;
use crate::domain::{Terms, host};

const NOW: Timestamp = Timestamp::from_millis(1_769_860_800_000);

fn player(name: &str) -> PlayerId {
    name.parse().unwrap()
}

fn peer(byte: u8) -> PeerId {
    SecretKey::from_bytes(&[byte; 32]).peer_id()
}

fn request(owner: &str) -> RegisterHost {
    RegisterHost {
        host_id: "h".parse::<HostId>().unwrap(),
        player_id: player(owner),
        player_name: owner.into(),
        ip_address: "192.0.2.1".into(),
        port: 1,
        public_ip: None,
        cpu_cores: 1,
        cpu_frequency_mhz: 1,
        memory_mb: 1,
        network_speed_mbps: 1,
        ice_servers: None,
        max_players: None,
        max_zones: None,
        p2p: None,
    }
}

/// A host of `alice`; with a peer id, or not.
fn known(owner: Option<PeerId>) -> HostRecord {
    let mut record = host::register(None, request("alice"), &Terms::default(), NOW).unwrap();
    record.peer = owner.map(PeerAddr::new);
    record
}

fn token(role: Role, name: &str, peer: Option<PeerId>) -> Caller {
    Caller { role: Some(role), player: Some(player(name)), peer }
}

fn key(role: Role) -> Caller {
    Caller::with_key(role)
}

#[test]
fn only_servers_make_zones_sessions_and_tokens() {
    assert!(key(Role::Service).may_rule().is_ok() && key(Role::Admin).may_rule().is_ok());
    for caller in [key(Role::Player), key(Role::Host), token(Role::Player, "alice", None)] {
        assert!(matches!(caller.may_rule(), Err(Denied::NotYours(_))), "{caller:?}");
    }
    assert_eq!(Caller::UNKNOWN.may_rule(), Err(Denied::Unknown));
}

#[test]
fn a_player_acts_for_itself_and_a_key_of_players_for_nobody() {
    let alice = player("alice");
    assert!(token(Role::Player, "alice", None).may_act_for(&alice).is_ok());
    assert!(token(Role::Player, "bob", None).may_act_for(&alice).is_err());
    assert!(key(Role::Player).may_act_for(&alice).is_err());
    // The owner of a host does not play with what the host is known by.
    assert!(token(Role::Host, "alice", Some(peer(1))).may_act_for(&alice).is_err());
    assert!(key(Role::Service).may_act_for(&alice).is_ok());
    assert_eq!(Caller::UNKNOWN.may_act_for(&alice), Err(Denied::Unknown));
}

#[test]
fn a_host_is_registered_by_its_player_or_by_who_runs_hosts() {
    let (hers, his) = (request("alice"), request("bob"));
    let there = known(None);
    for caller in [token(Role::Player, "alice", None), key(Role::Host), key(Role::Admin)] {
        assert!(caller.may_register(&hers, None).is_ok(), "{caller:?}");
        assert!(caller.may_register(&hers, Some(&there)).is_ok(), "{caller:?}");
    }
    let bob = token(Role::Player, "bob", None);
    assert!(bob.may_register(&his, None).is_ok());
    assert!(bob.may_register(&hers, None).is_err(), "in her name");
    assert!(bob.may_register(&his, Some(&there)).is_err(), "what is hers");
    assert!(token(Role::Player, "alice", None).may_register(&his, Some(&there)).is_err());
    assert!(key(Role::Service).may_register(&hers, None).is_err());
    assert!(key(Role::Player).may_register(&hers, None).is_err());
    assert_eq!(Caller::UNKNOWN.may_register(&hers, None), Err(Denied::Unknown));
}

#[test]
fn a_host_with_a_peer_id_is_spoken_for_by_that_peer_alone() {
    let host = known(Some(peer(1)));
    for caller in [
        token(Role::Host, "alice", Some(peer(1))),
        Caller::UNKNOWN.at_peer(peer(1)),
        key(Role::Player).at_peer(peer(1)),
        key(Role::Admin),
    ] {
        assert!(caller.may_speak_for(&host).is_ok(), "{caller:?}");
    }
    for caller in [
        token(Role::Host, "alice", Some(peer(2))),
        token(Role::Player, "alice", None),
        key(Role::Host),
        key(Role::Host).at_peer(peer(2)),
        key(Role::Service),
    ] {
        assert!(matches!(caller.may_speak_for(&host), Err(Denied::NotYours(_))), "{caller:?}");
    }
    assert_eq!(Caller::UNKNOWN.may_speak_for(&host), Err(Denied::Unknown));
    // What a token says is not changed by the connection on which it is shown.
    let moved = token(Role::Host, "alice", Some(peer(2))).at_peer(peer(1));
    assert!(moved.may_speak_for(&host).is_err());
}

#[test]
fn a_host_without_one_by_its_player_or_by_who_runs_hosts() {
    let host = known(None);
    assert!(token(Role::Player, "alice", None).may_speak_for(&host).is_ok());
    assert!(key(Role::Host).may_speak_for(&host).is_ok());
    assert!(token(Role::Player, "bob", None).may_speak_for(&host).is_err());
    assert!(key(Role::Service).may_speak_for(&host).is_err());
}

#[test]
fn a_session_is_led_by_the_game_or_by_its_host() {
    let host = known(Some(peer(1)));
    assert!(key(Role::Service).may_lead(Some(&host)).is_ok());
    assert!(key(Role::Service).may_lead(None).is_ok());
    assert!(token(Role::Host, "alice", Some(peer(1))).may_lead(Some(&host)).is_ok());
    for caller in [
        token(Role::Host, "alice", Some(peer(2))),
        token(Role::Player, "alice", None),
        // Also on the connection of the host's own process a player is a player.
        token(Role::Player, "alice", None).at_peer(peer(1)),
    ] {
        assert!(caller.may_lead(Some(&host)).is_err(), "{caller:?}");
    }
    assert!(token(Role::Host, "alice", Some(peer(1))).may_lead(None).is_err());
}
