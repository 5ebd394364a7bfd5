//! Tokens: given, exchanged, taken back; and what is no token.

use std::time::Duration;

use data_encoding::BASE64URL_NOPAD;
use p2p_coordinator::security::{Claims, Kind, Role, TokenKey, TokenSettings, Tokens};
use p2p_coordinator::store::MemoryStore;
use p2p_coordinator_api::Nonce;
use serde_json::{Value, json};

use super::{ADMIN, PLAYER, SERVICE, Shown, ask, guarded, log_in, text};
use crate::fixture::{EPOCH, Service, key, secured};

async fn exchange(service: &Service, token: &str) -> crate::ask::Answer {
    let body = json!({ "refresh_token": token });
    ask(service, "POST", "/auth/refresh", Some(body), &Shown::Nothing).await
}

fn claims(token: &Value) -> Value {
    let token = text(token);
    let part = token.split('.').nth(1).expect("three parts");
    serde_json::from_slice(&BASE64URL_NOPAD.decode(part.as_bytes()).expect("base64url"))
        .expect("JSON")
}

/// As the coordinator of the tests signs, whatever the claims.
fn forged(kind: Kind, change: impl FnOnce(&mut Claims), settings: TokenSettings) -> String {
    let tokens = Tokens::new(settings, &key());
    let mut claims = Claims {
        kind,
        id: Nonce([1; 16]),
        family: Nonce([2; 16]),
        role: Role::Player,
        player: "alice".parse().expect("an id"),
        user: None,
        host: None,
        peer: None,
        issued_at: EPOCH,
        expires_at: EPOCH.after(Duration::from_secs(60)),
    };
    change(&mut claims);
    tokens.sign(&claims)
}

async fn refused(service: &Service, token: &str) {
    let shown = Shown::Token(token.to_owned());
    let answer = ask(service, "GET", "/hosts/", None, &shown).await;
    let words = json!({
        "detail": "Invalid or expired authentication token", "error": "unauthorized",
    });
    assert_eq!(answer.is(401), words, "{token}");
    assert_eq!(answer.header("www-authenticate"), Some("Bearer"));
}

#[tokio::test]
async fn a_token_has_the_contracts_body_and_claims() {
    let service = Service::secured(guarded());
    let body = json!({ "player_id": "alice", "user_id": "u7", "api_key": ADMIN });
    let answer = ask(&service, "POST", "/auth/token", Some(body), &Shown::Key(PLAYER)).await;
    let reply = answer.is(200);
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    assert_eq!((&reply["token_type"], &reply["expires_in"]), (&json!("Bearer"), &json!(3600)));
    let access = claims(&reply["access_token"]);
    assert_eq!((&access["sub"], &access["player_id"]), (&json!("alice"), &json!("alice")));
    assert_eq!((&access["user_id"], &access["type"]), (&json!("u7"), &json!("access")));
    let refresh = claims(&reply["refresh_token"]);
    assert_eq!((&refresh["type"], &refresh["player_id"]), (&json!("refresh"), &json!("alice")));
    assert_ne!(access["jti"], refresh["jti"]);

    let body = json!({ "player_id": "alice", "api_key": "wrong" });
    let answer = ask(&service, "POST", "/auth/token", Some(body), &Shown::Key(ADMIN)).await;
    answer.says(401, "Invalid API key");
    let answer = ask(&service, "POST", "/auth/token", Some(json!({})), &Shown::Key(ADMIN)).await;
    assert_eq!(answer.is(422)["detail"][0]["loc"], json!(["body", "player_id"]));
}

#[tokio::test]
async fn without_keys_in_development_tokens_are_given_to_everybody() {
    let service = Service::without_socket_in_memory();
    let reply = service.post("/auth/token", json!({ "player_id": "alice" })).await.is(200);
    let alice = Shown::Token(text(&reply["access_token"]));
    ask(&service, "GET", "/hosts/", None, &alice).await.is(200);
    // Who says who asks is held to it.
    let body = Some(json!({ "player_id": "bob" }));
    ask(&service, "POST", "/auth/token", body, &alice).await.is(403);
}

#[tokio::test]
async fn a_refresh_token_is_good_once_and_its_second_use_ends_the_login() {
    let service = Service::secured(guarded());
    let first = log_in(&service, "alice").await;
    let second = exchange(&service, &text(&first["refresh_token"])).await.is(200);
    assert_eq!(claims(&second["access_token"])["sub"], "alice");
    let fresh = Shown::Token(text(&second["access_token"]));
    ask(&service, "GET", "/hosts/", None, &fresh).await.is(200);

    let words = "Invalid refresh token: it was used before or taken back. Please login again.";
    exchange(&service, &text(&first["refresh_token"])).await.says(401, words);
    exchange(&service, &text(&second["refresh_token"])).await.says(401, words);
    refused(&service, &text(&second["access_token"])).await;
    refused(&service, &text(&first["access_token"])).await;
    // Another login of the same player is another's business.
    let other = log_in(&service, "alice").await;
    exchange(&service, &text(&other["refresh_token"])).await.is(200);
}

#[tokio::test]
async fn of_twenty_who_use_one_refresh_token_at_once_at_most_one_gets_another() {
    let service = Service::secured(guarded());
    let first = text(&log_in(&service, "alice").await["refresh_token"]);
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..20 {
        let (service, first) = (service.clone(), first.clone());
        tasks.spawn(async move { exchange(&service, &first).await.status });
    }
    let statuses = tasks.join_all().await;
    assert_eq!(statuses.iter().filter(|status| **status == 200).count(), 1, "{statuses:?}");
}

#[tokio::test]
async fn what_cannot_be_exchanged_is_told_in_the_contracts_words() {
    let service = Service::secured(guarded());
    let expired = |claims: &mut Claims| claims.expires_at = EPOCH;
    let own = TokenSettings::default;
    for (token, words) in [
        (forged(Kind::Refresh, expired, own()), "Refresh token has expired. Please login again."),
        (forged(Kind::Access, |_| {}, own()), "Invalid token type: expected refresh token"),
        ("garbage".to_owned(), "Invalid refresh token"),
        (String::new(), "Invalid refresh token"),
        // Signed by us, of a login that there never was.
        (
            forged(Kind::Refresh, |_| {}, own()),
            "Invalid refresh token: it was used before or taken back. Please login again.",
        ),
    ] {
        exchange(&service, &token).await.says(401, words);
    }
}

#[tokio::test]
async fn logging_out_ends_access_at_once_and_elsewhere_after_a_look() {
    let store = MemoryStore::new();
    let one = Service::of(secured(store.clone(), guarded()), None);
    let elsewhere = secured(store, guarded());
    let two = Service::of(elsewhere.clone(), None);
    let (mine, other) = (log_in(&one, "alice").await, log_in(&one, "alice").await);
    let shown = Shown::Token(text(&mine["access_token"]));
    ask(&two, "GET", "/hosts/", None, &shown).await.is(200);

    ask(&one, "POST", "/auth/logout", None, &shown).await.tells("Logged out");
    refused(&one, &text(&mine["access_token"])).await;
    elsewhere.learn_revoked().await.expect("a look");
    refused(&two, &text(&mine["access_token"])).await;
    let kept = Shown::Token(text(&other["access_token"]));
    ask(&two, "GET", "/hosts/", None, &kept).await.is(200);

    let (all, service) = (Some(json!({ "player_id": "alice" })), Shown::Key(SERVICE));
    let answer = ask(&one, "POST", "/auth/revoke", all.clone(), &kept).await;
    assert_eq!(answer.status, 403, "a player takes nothing back by name");
    let answer = ask(&one, "POST", "/auth/revoke", all, &service).await;
    answer.tells("Ended 1 logins of player alice");
    refused(&one, &text(&other["access_token"])).await;
}

#[tokio::test]
async fn the_ninth_login_of_a_player_ends_the_one_that_would_end_first() {
    let service = Service::secured(guarded());
    let mut tokens = Vec::new();
    for _ in 0..9 {
        tokens.push(text(&log_in(&service, "alice").await["refresh_token"]));
    }
    let mut good = 0;
    for token in &tokens {
        good += usize::from(exchange(&service, token).await.status == 200);
    }
    assert_eq!(good, 8);
}

#[tokio::test(start_paused = true)]
async fn logins_that_have_ended_are_forgotten_and_so_are_those_past_the_bound() {
    let mut security = guarded();
    security.tokens.max_logins = 5;
    let coordinator = secured(MemoryStore::new(), security);
    for number in 0..9 {
        let player = format!("player {number}").parse().expect("an id");
        coordinator.log_in(player, None).await.expect("tokens");
    }
    assert_eq!(coordinator.sweep_logins().await.expect("a sweep"), 4);
    assert_eq!(coordinator.sweep_logins().await.expect("a sweep"), 0);
    tokio::time::advance(Duration::from_secs(7 * 24 * 3600)).await;
    assert_eq!(coordinator.sweep_logins().await.expect("a sweep"), 5);
}

#[tokio::test(start_paused = true)]
async fn a_token_ends_to_the_second_and_no_earlier() {
    let service = Service::secured(guarded());
    let token = text(&log_in(&service, "alice").await["access_token"]);
    tokio::time::advance(Duration::from_millis(3_599_999)).await;
    ask(&service, "GET", "/hosts/", None, &Shown::Token(token.clone())).await.is(200);
    tokio::time::advance(Duration::from_millis(1)).await;
    refused(&service, &token).await;
}

#[tokio::test(start_paused = true)]
async fn an_access_token_that_has_ended_does_not_stand_in_the_way_of_another() {
    let service = Service::secured(guarded());
    let tokens = log_in(&service, "alice").await;
    tokio::time::advance(Duration::from_secs(3600)).await;
    let ended = Shown::Token(text(&tokens["access_token"]));
    ask(&service, "GET", "/hosts/", None, &ended).await.is(401);
    let body = Some(json!({ "refresh_token": tokens["refresh_token"] }));
    let again = ask(&service, "POST", "/auth/refresh", body, &ended).await.is(200);
    let fresh = Shown::Token(text(&again["access_token"]));
    ask(&service, "GET", "/hosts/", None, &fresh).await.is(200);
}

#[tokio::test]
async fn what_is_no_token_of_ours_opens_nothing() {
    let service = Service::secured(guarded());
    let good = text(&log_in(&service, "alice").await["access_token"]);
    let [header, body, signature] = good.split('.').collect::<Vec<_>>()[..] else {
        panic!("three parts")
    };
    let part = |value: &Value| BASE64URL_NOPAD.encode(value.to_string().as_bytes());
    let none = part(&json!({ "alg": "none", "typ": "JWT" }));
    let mut admin = claims(&json!(good));
    admin["role"] = json!("admin");
    let [mut other, mut audience, mut issuer] = [(); 3].map(|()| TokenSettings::default());
    other.keys = vec![TokenKey::new("another")];
    audience.audience = "another".into();
    issuer.issuer = "another".into();
    for wrong in [
        format!("{none}.{body}."),
        format!("{none}.{body}.{signature}"),
        format!("{header}.{}.{signature}", part(&admin)),
        format!("{header}.{body}"),
        format!("{header}.{body}.{signature}.{signature}"),
        format!("{good}="),
        "a".repeat(10_000),
        ".".repeat(3000),
        String::new(),
        forged(Kind::Access, |_| {}, other),
        forged(Kind::Access, |_| {}, audience),
        forged(Kind::Access, |_| {}, issuer),
        forged(Kind::Refresh, |_| {}, TokenSettings::default()),
        forged(Kind::Access, |claims| claims.expires_at = EPOCH, TokenSettings::default()),
    ] {
        refused(&service, &wrong).await;
    }
}
