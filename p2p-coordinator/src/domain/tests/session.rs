//! Places in a session, by example.

use p2p_coordinator_api::{Nonce, PlayerId, RefusalReason, Timestamp};

use super::super::SessionRecord;
use super::{START, host, moment, session, zone};

/// In a session of these tests.
pub(super) const PLACES: u32 = 3;

pub(super) fn player(number: u8) -> PlayerId {
    format!("player-{number}").parse().unwrap()
}

pub(super) fn fresh() -> SessionRecord {
    session(1, &host(1), &zone(1, PLACES)).value
}

fn nonce(byte: u8) -> Nonce {
    Nonce([byte; 16])
}

#[test]
fn a_place_outlives_its_reservation_only_while_the_host_reports_it() {
    let mut session = fresh();
    session.reserve(player(1), nonce(1), moment(10), START).unwrap();
    assert_eq!(session.reconcile(&[], moment(9)), []);
    assert_eq!(session.reconcile(&[nonce(1)], moment(10)), []);
    assert_eq!(session.reconcile(&[nonce(2)], moment(10)), [player(1)]);
}

#[test]
fn a_place_that_a_server_gave_stays_through_reports_and_restarts() {
    let mut session = fresh();
    session.add(player(1), START).unwrap();
    assert_eq!(session.reconcile(&[], Timestamp::MAX), []);
    assert_eq!(session.restart(START), []);
    assert!(session.seats(&player(1)));
}

#[test]
fn a_goodbye_for_an_earlier_token_leaves_who_has_come_again() {
    let mut session = fresh();
    for byte in [1, 2] {
        session.reserve(player(1), nonce(byte), moment(10), START).unwrap();
    }
    let late = session.remove(&player(1), Some(nonce(1)), START).unwrap_err();
    assert_eq!(late.reason(), RefusalReason::UnknownPlayer);
    session.remove(&player(1), Some(nonce(2)), START).unwrap();
    assert!(session.seats.is_empty());
}

#[test]
fn nobody_joins_a_paused_session_and_its_players_keep_their_places() {
    let mut session = fresh();
    session.reserve(player(1), nonce(1), moment(10), START).unwrap();
    session.activate(START).unwrap();
    session.pause(START).unwrap();
    assert!(!session.has_room());
    for who in [1, 2] {
        let refused = session.reserve(player(who), nonce(9), moment(10), START);
        assert_eq!(refused.unwrap_err().reason(), RefusalReason::State);
    }
    session.activate(START).unwrap();
    assert!(session.seats(&player(1)) && session.epoch == 2);
}

#[test]
fn the_first_of_too_many_tokens_is_forgotten() {
    let mut session = fresh();
    for byte in 1..=5 {
        session.reserve(player(1), nonce(byte), moment(10), START).unwrap();
    }
    let hold = session.seats[0].hold.clone().unwrap();
    assert_eq!(hold.nonces, [nonce(2), nonce(3), nonce(4), nonce(5)]);
}
