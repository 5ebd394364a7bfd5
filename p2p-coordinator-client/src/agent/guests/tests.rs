use p2p_coordinator_api::{SessionName, Timestamp};
use p2p_core::SecretKey;

use super::*;

fn claims(player: &str, session: u64, nonce: u8) -> JoinClaims {
    let peer = SecretKey::from_bytes(&[1; 32]).peer_id();
    JoinClaims {
        session: SessionName::from_bits(session),
        zone: format!("z{session}").parse().unwrap(),
        host: "h".parse().unwrap(),
        host_peer: peer,
        player: player.parse().unwrap(),
        peer,
        places: 2,
        epoch: 1,
        issued_at: Timestamp::from_millis(1),
        expires_at: Timestamp::from_millis(2),
        nonce: Nonce([nonce; 16]),
    }
}

fn credential(nonce: u8) -> Bytes {
    Bytes::copy_from_slice(&[nonce])
}

fn come(guests: &mut Guests, now: Instant, claims: JoinClaims) -> Arrival {
    let credential = credential(claims.nonce.0[0]);
    guests.expect(now, credential.clone(), claims);
    guests.arrive(now, &credential).unwrap()
}

#[test]
fn a_guest_is_present_from_admission_on_and_not_for_ever_without_arriving() {
    let (mut guests, now) = (Guests::new(9), Instant::now());
    guests.expect(now, credential(1), claims("a", 1, 1));
    assert_eq!((guests.present(now), guests.count()), (vec![Nonce([1; 16])], 0));
    assert_eq!(guests.present(now + ARRIVAL), []);
    assert_eq!(guests.arrive(now + ARRIVAL, &credential(1)), None);
    assert_eq!(guests.arrive(now, &credential(2)), None);
}

#[test]
fn who_comes_again_replaces_the_one_before() {
    let (mut guests, now) = (Guests::new(9), Instant::now());
    let first = come(&mut guests, now, claims("a", 1, 1));
    let other = come(&mut guests, now, claims("b", 1, 2));
    let again = come(&mut guests, now, claims("a", 2, 3));
    assert_eq!((other.replaced, again.replaced), (vec![], vec![first.number]));
    assert_eq!(guests.leave(first.number), None, "it has left already");
    assert_eq!((guests.count(), guests.zones()), (2, 2));
    assert_eq!(guests.leave(again.number), Some(claims("a", 2, 3)));
    assert_eq!(guests.zones(), 1);
}

#[test]
fn a_session_takes_as_many_as_its_tokens_say() {
    let (mut guests, now) = (Guests::new(9), Instant::now());
    come(&mut guests, now, claims("a", 1, 1));
    guests.expect(now, credential(2), claims("b", 1, 2));
    // Two places: one is taken, one is on its way.
    assert!(guests.crowded(now, &claims("c", 1, 3), None));
    assert!(!guests.crowded(now, &claims("a", 1, 3), None), "who is here comes again");
    assert!(!guests.crowded(now, &claims("c", 2, 3), None), "another session has its own places");
    assert!(guests.crowded(now, &claims("c", 2, 3), Some(2)), "but the host is full");
    assert!(!guests.crowded(now + ARRIVAL, &claims("c", 1, 3), None), "who was late is no more");
}

#[test]
fn whose_place_is_gone_is_no_guest_any_more() {
    let (mut guests, now) = (Guests::new(9), Instant::now());
    let here = come(&mut guests, now, claims("a", 1, 1));
    come(&mut guests, now, claims("b", 1, 2));
    guests.expect(now, credential(3), claims("c", 2, 3));
    let gone = [Nonce([1; 16]), Nonce([3; 16]), Nonce([9; 16])];
    assert_eq!(guests.evict(&gone), [here.number]);
    assert_eq!(guests.present(now), [Nonce([2; 16])]);
    assert_eq!(guests.arrive(now, &credential(3)), None);
}

#[test]
fn who_never_arrives_does_not_fill_the_memory() {
    let (mut guests, now) = (Guests::new(2), Instant::now());
    for nonce in 1..=9 {
        let soon = now + Duration::from_millis(nonce.into());
        guests.expect(soon, credential(nonce), claims("a", 1, nonce));
    }
    assert_eq!(guests.present(now), [Nonce([8; 16]), Nonce([9; 16])]);
}
