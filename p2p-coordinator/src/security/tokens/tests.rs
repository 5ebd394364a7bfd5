use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

const NOW: Timestamp = Timestamp::from_millis(1_769_860_800_250);

fn own() -> SecretKey {
    SecretKey::from_bytes(&[7; 32])
}

fn tokens() -> Tokens {
    Tokens::new(TokenSettings::default(), &own())
}

fn claims(kind: Kind) -> Claims {
    Claims {
        kind,
        id: Nonce([1; 16]),
        family: Nonce([2; 16]),
        role: Role::Player,
        player: "alice".parse().unwrap(),
        user: None,
        host: None,
        peer: None,
        issued_at: whole(NOW),
        expires_at: tokens().expiry(kind, NOW),
    }
}

/// A token that the right key signed over any claims.
fn signed(claims: &Value) -> String {
    jwt::sign(&tokens().settings.keys[0], claims).unwrap()
}

fn plain(kind: Kind) -> Value {
    jwt::open(&tokens().settings.keys, &tokens().sign(&claims(kind))).unwrap()
}

fn with(mut claims: Value, name: &str, value: Value) -> Value {
    claims[name] = value;
    claims
}

fn without(mut claims: Value, name: &str) -> Value {
    claims.as_object_mut().unwrap().remove(name);
    claims
}

#[test]
fn the_claims_are_those_of_the_contract_and_some_beside_them() {
    let access = plain(Kind::Access);
    assert_eq!((&access["sub"], &access["player_id"]), (&json!("alice"), &json!("alice")));
    assert_eq!((&access["type"], &access["role"]), (&json!("access"), &json!("player")));
    assert_eq!(access["exp"].as_u64().unwrap() - access["iat"].as_u64().unwrap(), 3600);
    assert!(access.get("user_id").is_none(), "only if it was given");
    let refresh = plain(Kind::Refresh);
    assert_eq!(refresh["type"], "refresh");
    assert_eq!(refresh["exp"].as_u64().unwrap() - refresh["iat"].as_u64().unwrap(), 604_800);
}

#[test]
fn a_token_is_good_before_its_end_and_not_at_it() {
    let (tokens, claims) = (tokens(), claims(Kind::Access));
    let token = tokens.sign(&claims);
    let last = Timestamp::from_millis(claims.expires_at.as_millis() - 1);
    assert_eq!(tokens.verify(last, Kind::Access, &token), Ok(claims.clone()));
    assert_eq!(tokens.verify(claims.expires_at, Kind::Access, &token), Err(TokenRefusal::Expired));
    // A clock that was set back by a year has not made it longer than it says.
    let before = Timestamp::from_millis(NOW.as_millis() - 365 * 86_400_000);
    assert_eq!(tokens.verify(before, Kind::Access, &token), Ok(claims));
    assert_eq!(tokens.verify(Timestamp::MAX, Kind::Access, &token), Err(TokenRefusal::Expired));
}

#[test]
fn one_type_does_not_pass_for_the_other() {
    let tokens = tokens();
    for (kind, other) in [(Kind::Access, Kind::Refresh), (Kind::Refresh, Kind::Access)] {
        let token = tokens.sign(&claims(kind));
        assert_eq!(tokens.verify(NOW, other, &token), Err(TokenRefusal::WrongKind));
    }
}

#[test]
fn what_the_right_key_signed_must_still_say_all_that_it_has_to() {
    let good = plain(Kind::Refresh);
    let refused = |claims: &Value| tokens().verify(NOW, Kind::Refresh, &signed(claims));
    assert!(refused(&good).is_ok());
    for name in ["jti", "sid", "iss", "aud", "role", "iat", "exp"] {
        assert_eq!(refused(&without(good.clone(), name)), Err(TokenRefusal::Invalid), "{name}");
    }
    assert_eq!(refused(&without(good.clone(), "player_id")), Err(TokenRefusal::NoPlayer));
    assert_eq!(refused(&without(good.clone(), "type")), Err(TokenRefusal::WrongKind));
    for (name, value) in [
        ("iss", json!("another")),
        ("aud", json!("another")),
        ("aud", json!(["p2p-coordinator"])),
        ("role", json!("root")),
        ("jti", json!("7")),
        ("exp", json!("9999999999")),
        ("exp", json!(-1)),
        ("nbf", json!(9_999_999_999_u64)),
        ("sub", json!("mallory")),
        ("player_id", json!("a\0b")),
    ] {
        let wrong = with(good.clone(), name, value);
        assert_eq!(refused(&wrong), Err(TokenRefusal::Invalid), "{wrong}");
    }
    let expired = with(without(good, "jti"), "exp", json!(1));
    assert_eq!(refused(&expired), Err(TokenRefusal::Expired));
}

#[test]
fn another_coordinators_tokens_are_not_taken() {
    let other = Tokens::new(TokenSettings::default(), &SecretKey::from_bytes(&[8; 32]));
    let token = other.sign(&claims(Kind::Access));
    assert_eq!(tokens().verify(NOW, Kind::Access, &token), Err(TokenRefusal::Invalid));
}

#[test]
fn a_new_key_signs_and_the_old_one_is_honoured_until_it_is_taken_out() {
    let with = |secrets: &[&str]| {
        let keys = secrets.iter().map(TokenKey::new).collect();
        Tokens::new(TokenSettings { keys, ..TokenSettings::default() }, &own())
    };
    let old = with(&["old"]).sign(&claims(Kind::Access));
    let new = with(&["new", "old"]).sign(&claims(Kind::Access));
    assert!(with(&["new", "old"]).verify(NOW, Kind::Access, &old).is_ok());
    assert_eq!(with(&["new"]).verify(NOW, Kind::Access, &old), Err(TokenRefusal::Invalid));
    assert!(with(&["new"]).verify(NOW, Kind::Access, &new).is_ok());
}

proptest! {
    #[test]
    fn claims_survive_the_wire(
        id: [u8; 16],
        family: [u8; 16],
        role in 0_usize..4,
        player in "\\PC{1,60}",
        user in proptest::option::of("\\PC{0,60}"),
        host in proptest::option::of("\\PC{1,60}"),
        peer: bool,
        refresh: bool,
    ) {
        let kind = if refresh { Kind::Refresh } else { Kind::Access };
        let claims = Claims {
            id: Nonce(id),
            family: Nonce(family),
            role: Role::ALL[role],
            player: player.parse().unwrap(),
            user,
            host: host.map(|host| host.parse().unwrap()),
            peer: peer.then(|| own().peer_id()),
            ..claims(kind)
        };
        let token = tokens().sign(&claims);
        prop_assert_eq!(tokens().verify(NOW, kind, &token), Ok(claims));
    }

    #[test]
    fn no_claims_make_it_panic(name in "[a-z]{3,9}", number: f64, text: String) {
        for value in [json!(number), json!(text), json!([text]), json!({ "a": number }), Value::Null] {
            let claims = with(plain(Kind::Access), &name, value);
            let _ = tokens().verify(NOW, Kind::Access, &signed(&claims));
        }
    }
}
