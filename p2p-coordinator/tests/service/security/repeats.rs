//! Requests with a key that are sent again.

use std::time::Duration;

use bytes::Bytes;
use http::Request;
use http_body_util::Full;
use p2p_coordinator::store::MemoryStore;
use p2p_coordinator::store::sqlite::{Durability, SqliteStore};
use serde_json::{Value, json};

use super::{ADMIN, PLAYER, SERVICE, Shown, ask, asked, guarded, header, log_in, text};
use crate::ask::Answer;
use crate::fixture::{Service, host, secured, zone};
use crate::folder::Folder;

fn keyed(
    key: &str,
    method: &str,
    path: &str,
    body: Option<Value>,
    by: &Shown,
) -> Request<Full<Bytes>> {
    let mut request = asked(method, path, body.as_ref(), by);
    header(&mut request, "idempotency-key", key);
    request
}

async fn again(
    service: &Service,
    key: &str,
    method: &str,
    path: &str,
    body: Option<Value>,
    by: &Shown,
) -> Answer {
    service.send(keyed(key, method, path, body, by)).await
}

const GAME: Shown = Shown::Key(SERVICE);

/// With a host and a zone.
async fn stage(service: &Service) {
    let admin = Shown::Key(ADMIN);
    ask(service, "POST", "/hosts/register", Some(host("h")), &admin).await.is(201);
    ask(service, "POST", "/zones/", Some(zone("z")), &admin).await.is(201);
}

fn session() -> Option<Value> {
    Some(json!({ "host_id": "h", "zone_id": "z", "player_ids": [] }))
}

async fn count(service: &Service) -> usize {
    // They are numbered from one.
    let mut count = 0;
    while ask(service, "GET", &format!("/sessions/{}", count + 1), None, &GAME).await.status == 200
    {
        count += 1;
    }
    count
}

#[tokio::test]
async fn the_same_request_with_the_same_key_is_done_once_and_answered_alike() {
    let service = Service::secured(guarded());
    stage(&service).await;
    let first = again(&service, "k1", "POST", "/sessions/", session(), &GAME).await;
    first.is(201);
    assert_eq!(first.header("idempotency-replayed"), None);
    let second = again(&service, "k1", "POST", "/sessions/", session(), &GAME).await;
    assert_eq!((second.status, &second.text), (201, &first.text));
    assert_eq!(second.header("idempotency-replayed"), Some("true"));
    let quoted = again(&service, "\"k1\"", "POST", "/sessions/", session(), &GAME).await;
    assert_eq!(quoted.text, first.text);
    assert_eq!(count(&service).await, 1);
    again(&service, "k2", "POST", "/sessions/", session(), &GAME).await.is(201);
    ask(&service, "POST", "/sessions/", session(), &GAME).await.is(201);
    assert_eq!(count(&service).await, 3);
    // A refusal is an answer too: who asks again does not hear that the host is unknown now.
    let admin = Shown::Key(ADMIN);
    for _ in 0..2 {
        again(&service, "k3", "DELETE", "/hosts/h", None, &admin).await.is(204);
    }
    for _ in 0..2 {
        again(&service, "k4", "DELETE", "/hosts/h", None, &admin).await.is(404);
    }
}

#[tokio::test]
async fn a_key_is_one_requests_and_one_callers() {
    let service = Service::secured(guarded());
    stage(&service).await;
    again(&service, "k", "POST", "/sessions/", session(), &GAME).await.is(201);
    let other = Some(json!({ "zone_id": "z", "player_ids": [] }));
    let words = "The key was another request's: choose a new one for each";
    again(&service, "k", "POST", "/sessions/", other, &GAME).await.says(422, words);
    again(&service, "k", "DELETE", "/sessions/1/players/a", None, &GAME).await.says(422, words);
    // Another caller's key of the same text is another key.
    let admin = Shown::Key(ADMIN);
    again(&service, "k", "POST", "/sessions/", session(), &admin).await.is(201);
    assert_eq!(count(&service).await, 2);
    for bad in ["", "a b", &"k".repeat(256)] {
        again(&service, bad, "POST", "/sessions/", session(), &GAME).await.is(400);
    }
    // Reading twice is harmless: there the key means nothing.
    again(&service, "k", "GET", "/hosts/h", None, &GAME).await.is(200);
}

#[tokio::test]
async fn of_many_who_send_one_request_at_once_one_has_it_done() {
    let service = Service::secured(guarded());
    stage(&service).await;
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..20 {
        let service = service.clone();
        tasks.spawn(async move {
            loop {
                let answer = again(&service, "k", "POST", "/sessions/", session(), &GAME).await;
                match answer.status {
                    409 => assert_eq!(answer.header("retry-after"), Some("1")),
                    _ => return answer.is(201)["session_id"].clone(),
                }
                tokio::task::yield_now().await;
            }
        });
    }
    let names = tasks.join_all().await;
    assert!(names.iter().all(|name| *name == names[0]), "{names:?}");
    assert_eq!(count(&service).await, 1);
}

#[tokio::test]
async fn a_session_is_made_once_for_a_key_over_the_coordinators_end_and_by_others_on_the_store() {
    let folder = Folder::new();
    let store = || SqliteStore::open(folder.file("test.db"), Durability::Process).expect("a store");
    let one = Service::of(secured(store(), guarded()), None);
    stage(&one).await;
    let made = again(&one, "k", "POST", "/sessions/", session(), &GAME).await.is(201);
    let two = Service::of(secured(store(), guarded()), None);
    let found = again(&two, "k", "POST", "/sessions/", session(), &GAME).await.is(201);
    assert_eq!(found["session_id"], made["session_id"]);
    assert_eq!(count(&two).await, 1);
    let other = Some(json!({ "host_id": "other", "zone_id": "z", "player_ids": [] }));
    again(&Service::of(secured(store(), guarded()), None), "k", "POST", "/sessions/", other, &GAME)
        .await
        .is(422);
}

#[tokio::test(start_paused = true)]
async fn a_refresh_whose_answer_was_lost_is_sent_again_and_only_by_who_sent_it() {
    let store = MemoryStore::new();
    let one = Service::of(secured(store.clone(), guarded()), None);
    let two = Service::of(secured(store, guarded()), None);
    let first = log_in(&one, "alice").await;
    let body = || Some(json!({ "refresh_token": text(&first["refresh_token"]) }));
    let lost = again(&one, "k", "POST", "/auth/refresh", body(), &Shown::Nothing).await;
    let lost = lost.is(200);
    // By another coordinator on the store as well, and later.
    tokio::time::advance(Duration::from_secs(5)).await;
    let found = again(&two, "k", "POST", "/auth/refresh", body(), &Shown::Nothing).await.is(200);
    assert_eq!(found["refresh_token"], lost["refresh_token"], "the same token is good");
    let next = Some(json!({ "refresh_token": text(&found["refresh_token"]) }));
    again(&one, "k2", "POST", "/auth/refresh", next, &Shown::Nothing).await.is(200);
    // The login has gone on: the old token is stolen goods, whatever the key.
    again(&two, "k", "POST", "/auth/refresh", body(), &Shown::Nothing).await.is(401);
    let shown = Shown::Token(text(&found["access_token"]));
    ask(&two, "GET", "/hosts/", None, &shown).await.is(401);

    let second = log_in(&one, "alice").await;
    let body = || Some(json!({ "refresh_token": text(&second["refresh_token"]) }));
    again(&one, "k", "POST", "/auth/refresh", body(), &Shown::Nothing).await.is(200);
    again(&one, "thief", "POST", "/auth/refresh", body(), &Shown::Nothing).await.is(401);
}

#[tokio::test(start_paused = true)]
async fn a_login_is_made_once_for_a_key_and_its_tokens_lie_nowhere() {
    let service = Service::secured(guarded());
    let body = || Some(json!({ "player_id": "alice" }));
    let first = again(&service, "k", "POST", "/auth/token", body(), &GAME).await;
    tokio::time::advance(Duration::from_secs(5)).await;
    let second = again(&service, "k", "POST", "/auth/token", body(), &GAME).await;
    assert_eq!(second.header("idempotency-replayed"), None);
    assert_eq!(first.is(200)["refresh_token"], second.is(200)["refresh_token"]);
    let bob = Some(json!({ "player_id": "bob" }));
    again(&service, "k", "POST", "/auth/token", bob, &GAME).await.is(422);
    let other = again(&service, "k", "POST", "/auth/token", body(), &Shown::Key(PLAYER)).await;
    other.is(403);
}
