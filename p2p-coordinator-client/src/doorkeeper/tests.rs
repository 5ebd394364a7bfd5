use p2p_core::SecretKey;
use proptest::prelude::*;

use super::*;

fn key(byte: u8) -> SecretKey {
    SecretKey::from_bytes(&[byte; 32])
}

const COORDINATOR: u8 = 1;
const HOST: u8 = 2;
const PLAYER: u8 = 3;
const START: u64 = 1000;

fn at(millis: u64) -> Timestamp {
    Timestamp::from_millis(millis)
}

fn doorkeeper(max_remembered: usize) -> Doorkeeper {
    let host = "h1".parse().unwrap();
    let issuer = key(COORDINATOR).peer_id();
    Doorkeeper::new(issuer, host, key(HOST).peer_id(), at(START), max_remembered)
}

/// Made at 2000 for the player, valid until 3000.
fn claims(nonce: u8) -> JoinClaims {
    JoinClaims {
        session: SessionName::from_bits(7),
        zone: "z".parse().unwrap(),
        host: "h1".parse().unwrap(),
        host_peer: key(HOST).peer_id(),
        player: "p".parse().unwrap(),
        peer: key(PLAYER).peer_id(),
        places: 100,
        epoch: 5,
        issued_at: at(2000),
        expires_at: at(3000),
        nonce: Nonce([nonce; 16]),
    }
}

fn token(claims: &JoinClaims) -> Vec<u8> {
    JoinToken::sign(&key(COORDINATOR), claims).unwrap().as_bytes().to_vec()
}

fn show(keeper: &mut Doorkeeper, now: u64, claims: &JoinClaims) -> Result<(), TokenRefusal> {
    keeper.admit(at(now), key(PLAYER).peer_id(), &token(claims)).map(drop)
}

#[test]
fn a_good_token_opens_once_and_leaves_its_claims() {
    let mut keeper = doorkeeper(9);
    let admitted = keeper.admit(at(2000), key(PLAYER).peer_id(), &token(&claims(1)));
    assert_eq!(admitted, Ok(claims(1)));
}

#[test]
fn a_forged_token_is_refused() {
    let mut keeper = doorkeeper(9);
    let forged = JoinToken::sign(&key(9), &claims(1)).unwrap();
    let refusal = keeper.admit(at(2000), key(PLAYER).peer_id(), forged.as_bytes());
    assert_eq!(refusal, Err(TokenRefusal::Token(TokenError::Forged)));
    let refusal = keeper.admit(at(2000), key(PLAYER).peer_id(), b"let me in");
    assert_eq!(refusal, Err(TokenRefusal::Token(TokenError::Malformed)));
}

#[test]
fn a_new_issuer_replaces_the_old_one_and_its_clock() {
    let mut keeper = doorkeeper(9);
    assert_eq!(show(&mut keeper, 9000, &claims(1)), Err(TokenRefusal::Expired));
    assert!(keeper.set_issuer(key(9).peer_id(), at(2000)));
    let refused = Err(TokenRefusal::Token(TokenError::Forged));
    assert_eq!(show(&mut keeper, 2000, &claims(1)), refused);
    let later = JoinClaims { issued_at: at(2001), ..claims(1) };
    let token = JoinToken::sign(&key(9), &later).unwrap();
    assert!(keeper.admit(at(2001), key(PLAYER).peer_id(), token.as_bytes()).is_ok());
}

#[test]
fn the_same_issuer_again_changes_nothing() {
    let mut keeper = doorkeeper(9);
    assert_eq!(show(&mut keeper, 2000, &claims(1)), Ok(()));
    assert!(!keeper.set_issuer(key(COORDINATOR).peer_id(), at(2500)));
    assert_eq!(show(&mut keeper, 2000, &claims(1)), Err(TokenRefusal::Used));
    assert_eq!(show(&mut keeper, 2000, &claims(2)), Ok(()));
}

#[test]
fn a_token_expires_at_the_moment_it_says() {
    let mut keeper = doorkeeper(9);
    assert_eq!(show(&mut keeper, 3000, &claims(1)), Err(TokenRefusal::Expired));
    // Time does not go back.
    assert_eq!(show(&mut keeper, 2999, &claims(1)), Err(TokenRefusal::Expired));
    assert_eq!(show(&mut doorkeeper(9), 2999, &claims(1)), Ok(()));
}

#[test]
fn a_token_for_another_host_is_refused() {
    let other_name = JoinClaims { host: "h2".parse().unwrap(), ..claims(1) };
    let other_peer = JoinClaims { host_peer: key(9).peer_id(), ..claims(1) };
    for claims in [other_name, other_peer] {
        assert_eq!(show(&mut doorkeeper(9), 2000, &claims), Err(TokenRefusal::OtherHost));
    }
}

#[test]
fn a_token_used_by_another_peer_is_refused_and_stays_good_for_its_owner() {
    let mut keeper = doorkeeper(9);
    let stolen = keeper.admit(at(2000), key(9).peer_id(), &token(&claims(1)));
    assert_eq!(stolen, Err(TokenRefusal::OtherPeer));
    assert_eq!(show(&mut keeper, 2000, &claims(1)), Ok(()));
}

#[test]
fn a_token_from_before_the_start_or_from_its_very_moment_is_refused() {
    for moment in [START - 1, START] {
        let early = JoinClaims { issued_at: at(moment), ..claims(1) };
        assert_eq!(show(&mut doorkeeper(9), 2000, &early), Err(TokenRefusal::BeforeStart));
    }
    let just = JoinClaims { issued_at: at(START + 1), ..claims(1) };
    assert_eq!(show(&mut doorkeeper(9), 2000, &just), Ok(()));
}

#[test]
fn a_token_used_twice_is_refused() {
    let mut keeper = doorkeeper(9);
    assert_eq!(show(&mut keeper, 2000, &claims(1)), Ok(()));
    assert_eq!(show(&mut keeper, 2000, &claims(1)), Err(TokenRefusal::Used));
}

#[test]
fn a_token_of_an_older_epoch_is_refused() {
    let mut keeper = doorkeeper(9);
    assert_eq!(show(&mut keeper, 2000, &claims(1)), Ok(()));
    let older = JoinClaims { epoch: 4, ..claims(2) };
    assert_eq!(show(&mut keeper, 2000, &older), Err(TokenRefusal::Superseded));
    let elsewhere = JoinClaims { session: SessionName::from_bits(8), ..older };
    assert_eq!(show(&mut keeper, 2000, &elsewhere), Ok(()));
}

#[test]
fn memory_is_bounded_and_no_unexpired_nonce_is_forgotten() {
    let mut keeper = doorkeeper(2);
    for nonce in 1..=2 {
        let session = SessionName::from_bits(nonce.into());
        assert_eq!(show(&mut keeper, 2000, &JoinClaims { session, ..claims(nonce) }), Ok(()));
    }
    let later = JoinClaims { expires_at: at(9000), ..claims(3) };
    let full = Err(TokenRefusal::TooManyRemembered { max: 2 });
    assert_eq!(show(&mut keeper, 2999, &later), full);
    assert_eq!(show(&mut keeper, 2999, &claims(1)), Err(TokenRefusal::Used));
    // The first two have expired.
    assert_eq!(show(&mut keeper, 3000, &later), Ok(()));
    assert_eq!((keeper.used.len(), keeper.by_expiry.len(), keeper.epochs.len()), (1, 1, 2));
}

proptest! {
    // Each case checks dozens of signatures, which takes an unoptimised build milliseconds each.
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn no_nonce_is_ever_admitted_twice(
        shown in prop::collection::vec((0u8..6, 0u64..10, 0u64..3, 900u64..4000), 1..40),
        max in 1usize..6,
    ) {
        let mut keeper = doorkeeper(max);
        let mut admitted = BTreeSet::new();
        for (nonce, session, epoch, now) in shown {
            // A token is signed once: all but the nonce follow from it here, but for the session.
            let claims = JoinClaims {
                session: SessionName::from_bits(session),
                epoch,
                expires_at: at(1500 + 500 * u64::from(nonce)),
                ..claims(nonce)
            };
            if show(&mut keeper, now, &claims).is_ok() {
                prop_assert!(admitted.insert(nonce));
            }
            prop_assert!(keeper.used.len() <= max && keeper.epochs.len() <= max);
            prop_assert_eq!(keeper.used.len(), keeper.by_expiry.len());
        }
    }
}
