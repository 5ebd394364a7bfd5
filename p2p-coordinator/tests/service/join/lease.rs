//! Time: leases, reservations, hosts that start anew. Without sockets, on tokio's paused clock.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::advance;

use super::{claims, join, ready, register, seated};
use crate::fixture::{Service, beat, host, with};

macro_rules! in_paused_time {
    ($($claim:ident),+ $(,)?) => {
        mod memory {
            $(#[tokio::test(start_paused = true)]
            async fn $claim() {
                super::$claim($crate::fixture::Service::without_socket_in_memory()).await;
            })+
        }
        mod sqlite {
            $(#[tokio::test(start_paused = true)]
            async fn $claim() {
                super::$claim($crate::fixture::Service::without_socket_in_a_file()).await;
            })+
        }
    };
}

in_paused_time!(
    a_silent_host_goes_offline_and_comes_back,
    a_host_that_is_no_peer_has_longer,
    who_is_not_reported_loses_the_place_when_the_reservation_ends,
    a_fresh_start_voids_places_and_raises_the_epoch,
    a_host_is_told_whose_places_are_gone_and_begins_what_has_players,
    a_session_that_a_join_opened_ends_with_its_last_player,
    who_asks_for_many_tokens_keeps_the_place_in_which_a_first_one_is_used,
    a_going_on_after_a_pause_raises_the_epoch,
    a_challenge_is_answered_in_time_or_not_at_all,
);

async fn pass(seconds: u64) {
    advance(Duration::from_secs(seconds)).await;
}

async fn present(service: &Service, nonces: &[String]) -> Value {
    service.post("/hosts/h/heartbeat", with(beat(), "present", json!(nonces))).await.is(200)
}

async fn a_silent_host_goes_offline_and_comes_back(service: Service) {
    ready(&service, 5).await;
    let joined = join(&service, "p").await.is(200);
    let id = joined["session"]["id"].as_i64().expect("int");
    pass(14).await;
    assert_eq!(service.sweep().await, 0);
    pass(1).await;
    // Nobody is sent there, also before anybody looked.
    assert_eq!(join(&service, "q").await.is(409)["reason"], "no_host");
    assert_eq!(service.get("/hosts/available/list").await.is(200), json!([]));
    assert_eq!(service.sweep().await, 1);
    assert_eq!(service.sweep().await, 0, "once");
    assert_eq!(service.get("/hosts/h").await.is(200)["status"], "offline");
    let lost = service.get("/hosts/?status_filter=OFFLINE").await.is(200);
    assert_eq!(lost.as_array().map(Vec::len), Some(1));
    let session = service.session_now(id).await;
    assert_eq!((&session["status"], seated(&session).as_str()), (&json!("failed"), ""));
    assert!(session["ended_at"].is_string());

    let back = service.post("/hosts/h/heartbeat", beat()).await.is(200);
    assert_eq!((&back["status"], &back["current_players"]), (&json!("online"), &json!(0)));
    let again = join(&service, "p").await.is(200);
    assert_ne!(again["session"]["id"], json!(id), "what failed stays failed");
}

async fn a_host_that_is_no_peer_has_longer(service: Service) {
    service.host("h").await;
    pass(299).await;
    assert_eq!(service.sweep().await, 0);
    assert_eq!(service.get("/hosts/available/best").await.is(200)["host_id"], "h");
    pass(1).await;
    assert_eq!(service.sweep().await, 1);
    service.get("/hosts/available/best").await.says(404, "No available hosts found");
    service.post("/hosts/register", host("h")).await.is(201);
    assert_eq!(service.get("/hosts/h").await.is(200)["status"], "online");
}

async fn who_is_not_reported_loses_the_place_when_the_reservation_ends(service: Service) {
    ready(&service, 5).await;
    let mut nonces = Vec::new();
    for player in ["a", "b"] {
        nonces.push(claims(&service, &join(&service, player).await.is(200)).nonce.to_string());
    }
    let id = 1;
    service.post(&format!("/sessions/{id}/players"), json!({ "player_id": "c" })).await.is(200);
    // The token's life and one lease: 45 s, in which the host need not have seen them.
    for _ in 0..4 {
        pass(10).await;
        assert_eq!(present(&service, &[]).await["current_players"], 3);
    }
    pass(5).await;
    let mut seen = nonces[..1].to_vec();
    seen.push("no nonce".into());
    present(&service, &seen).await;
    assert_eq!(seated(&service.session_now(id).await), "ac", "b was not there, c is vouched for");
    pass(10).await;
    service.post("/hosts/h/heartbeat", beat()).await.is(200);
    assert_eq!(seated(&service.session_now(id).await), "ac", "who reports nobody says nothing");
    present(&service, &[]).await;
    assert_eq!(seated(&service.session_now(id).await), "c");
    join(&service, "b").await.is(200);
}

async fn a_fresh_start_voids_places_and_raises_the_epoch(service: Service) {
    ready(&service, 3).await;
    let first = join(&service, "a").await.is(200);
    join(&service, "b").await.is(200);
    let id = first["session"]["id"].as_i64().expect("int");
    service.post(&format!("/sessions/{id}/players"), json!({ "player_id": "s" })).await.is(200);
    register(&service, "h", 1, false).await.is(201);
    assert_eq!(seated(&service.session_now(id).await), "abs", "a lost connection is no new start");
    register(&service, "h", 1, true).await.is(201);
    assert_eq!(seated(&service.session_now(id).await), "s", "a server's player has no token");
    let second = join(&service, "a").await.is(200);
    assert_eq!(second["session"]["id"], first["session"]["id"]);
    let epochs = [&first, &second].map(|joined| claims(&service, joined).epoch);
    assert_eq!(epochs, [1, 2]);
}

async fn a_session_that_a_join_opened_ends_with_its_last_player(service: Service) {
    ready(&service, 2).await;
    let first = join(&service, "a").await.is(200);
    let id = first["session"]["id"].as_i64().expect("int");
    let nonce = claims(&service, &first).nonce;
    service.delete(&format!("/sessions/{id}/players/a?nonce={nonce}")).await.is(200);
    assert_eq!(service.session_now(id).await["status"], "ended");
    let second = join(&service, "a").await.is(200);
    assert_ne!(second["session"]["id"], first["session"]["id"]);
    // One that a server made is the server's to end.
    let made = json!({ "zone_id": "z", "host_id": "h", "player_ids": ["x"] });
    let made = service.post("/sessions/", made).await.is(201)["id"].clone();
    service.delete(&format!("/sessions/{made}/players/x")).await.is(200);
    let made = made.as_i64().expect("int");
    assert_eq!(service.session_now(made).await["status"], "pending");
}

async fn a_host_is_told_whose_places_are_gone_and_begins_what_has_players(service: Service) {
    ready(&service, 3).await;
    let (a, b) = (join(&service, "a").await.is(200), join(&service, "b").await.is(200));
    let id = a["session"]["id"].as_i64().expect("int");
    let nonces = [&a, &b].map(|joined| claims(&service, joined).nonce.to_string());
    assert_eq!(service.session_now(id).await["status"], "pending");
    let reply = present(&service, &nonces).await;
    assert_eq!(reply["p2p"]["gone"], json!(null), "both are where they should be");
    assert_eq!(service.session_now(id).await["status"], "active");
    service.delete(&format!("/sessions/{id}/players/a")).await.is(200);
    assert_eq!(present(&service, &nonces).await["p2p"]["gone"], json!([nonces[0]]));
    service.post_nothing(&format!("/sessions/{id}/end")).await.is(200);
    let mut gone = nonces.clone();
    gone.sort();
    assert_eq!(present(&service, &nonces).await["p2p"]["gone"], json!(gone));
}

async fn who_asks_for_many_tokens_keeps_the_place_in_which_a_first_one_is_used(service: Service) {
    ready(&service, 2).await;
    let first = join(&service, "a").await.is(200);
    let (id, used) =
        (first["session"]["id"].as_i64().expect("int"), claims(&service, &first).nonce);
    present(&service, &[used.to_string()]).await;
    for _ in 0..10 {
        join(&service, "a").await.is(200);
    }
    for _ in 0..10 {
        pass(10).await;
        present(&service, &[used.to_string()]).await;
    }
    assert_eq!(seated(&service.session_now(id).await), "a");
}

async fn a_going_on_after_a_pause_raises_the_epoch(service: Service) {
    ready(&service, 2).await;
    let first = join(&service, "a").await.is(200);
    let id = first["session"]["id"].clone();
    for verb in ["activate", "pause"] {
        service.post_nothing(&format!("/sessions/{id}/{verb}")).await.is(200);
    }
    let elsewhere = join(&service, "b").await.is(200);
    assert_ne!(elsewhere["session"]["id"], id, "nobody joins what is held");
    service.post_nothing(&format!("/sessions/{id}/activate")).await.is(200);
    let second = join(&service, "a").await.is(200);
    assert_eq!(second["session"]["id"], id);
    assert_eq!(claims(&service, &second).epoch, 2);
}

async fn a_challenge_is_answered_in_time_or_not_at_all(service: Service) {
    let body = super::proven(&service, "h", 1, true).await;
    pass(60).await;
    service.post("/hosts/register", body.clone()).await.is(201);
    pass(1).await;
    let late = service.post("/hosts/register", body).await;
    assert_eq!(late.is(403)["reason"], "proof");
    assert!(late.text.contains("expired"), "{late:?}");
}
