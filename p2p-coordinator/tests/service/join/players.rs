//! `POST /sessions/join`: places, tokens, refusals.

use p2p_coordinator_api::Timestamp;
use serde_json::{Value, json};

use super::{claims, join, join_with, key, peer_of, ready, register, seated};
use crate::fixture::{EPOCH, Service, host, on_both_stores, with};

on_both_stores!(
    a_token_says_who_may_come_where_and_until_when,
    asked_again_it_is_the_same_place_and_another_nonce,
    players_meet_until_the_session_is_full,
    avoided_hosts_are_not_chosen,
    a_player_who_joins_elsewhere_leaves,
    refusals_have_a_status_and_a_word,
    a_join_that_is_not_of_the_form_is_422,
    a_place_is_given_back_with_the_newest_nonce_only,
    two_hundred_parallel_joins_fill_what_there_is,
);

async fn a_token_says_who_may_come_where_and_until_when(service: Service) {
    ready(&service, 5).await;
    let joined = join(&service, "p").await.is(200);
    let (session, said) = (&joined["session"], claims(&service, &joined));
    assert_eq!(session["session_id"], said.session.as_str());
    assert_eq!((said.zone.as_str(), said.host.as_str(), said.player.as_str()), ("z", "h", "p"));
    assert_eq!(said.host_peer, key(1).peer_id());
    assert_eq!(said.peer.to_string(), peer_of("p"));
    assert_eq!((joined["host_id"].as_str(), said.epoch), (Some("h"), 1));
    let until: Timestamp = serde_json::from_value(joined["expires_at"].clone()).expect("a time");
    assert_eq!((until, said.expires_at.since(said.issued_at).as_secs()), (said.expires_at, 30));
    assert!(said.issued_at.since(EPOCH).as_secs() < 60, "{}", said.issued_at);
    assert!(said.expires_at > said.issued_at);
    assert_eq!((session["status"].as_str(), seated(session).as_str()), (Some("pending"), "p"));
}

async fn asked_again_it_is_the_same_place_and_another_nonce(service: Service) {
    ready(&service, 5).await;
    let (first, second) = (join(&service, "p").await.is(200), join(&service, "p").await.is(200));
    assert_eq!(first["session"]["id"], second["session"]["id"]);
    assert_ne!(claims(&service, &first).nonce, claims(&service, &second).nonce);
    assert_eq!(seated(&second["session"]), "p");
    assert_eq!(service.get("/zones/z").await.is(200)["total_players_served"], 1);
    // An active session keeps whom it has; a held one lets nobody in.
    let id = first["session"]["id"].clone();
    service.post_nothing(&format!("/sessions/{id}/activate")).await.is(200);
    assert_eq!(join(&service, "p").await.is(200)["session"]["id"], id);
}

async fn players_meet_until_the_session_is_full(service: Service) {
    ready(&service, 2).await;
    let mut sessions = Vec::new();
    for player in ["a", "b", "c"] {
        sessions.push(join(&service, player).await.is(200)["session"]["id"].clone());
    }
    assert_eq!(sessions[0], sessions[1]);
    assert_ne!(sessions[0], sessions[2], "a third opens another");
    let host = service.get("/hosts/h").await.is(200);
    assert_eq!((&host["current_players"], &host["current_zones"]), (&json!(3), &json!(1)));
}

async fn avoided_hosts_are_not_chosen(service: Service) {
    ready(&service, 5).await;
    register(&service, "i", 2, true).await.is(201);
    let first = join(&service, "p").await.is(200)["host_id"].clone();
    let avoided = first.as_str().expect("text");
    let second = join_with(&service, "p", &[avoided]).await.is(200);
    assert_ne!(second["host_id"], first);
    // The place at the host that was not reached is free.
    assert_eq!(service.get(&format!("/hosts/{avoided}")).await.is(200)["current_players"], 0);
    let nowhere = join_with(&service, "p", &["h", "i"]).await;
    assert_eq!(nowhere.is(409)["reason"], "no_host");
    let now = service.session_now(second["session"]["id"].as_i64().expect("int")).await;
    assert_eq!(seated(&now), "p", "a refusal takes nothing away");
}

async fn a_player_who_joins_elsewhere_leaves(service: Service) {
    ready(&service, 5).await;
    let other = with(crate::fixture::zone("y"), "max_players", json!(5));
    service.post("/zones/", other).await.is(201);
    let first = join(&service, "p").await.is(200)["session"]["id"].as_i64().expect("int");
    let body = json!({ "zone_id": "y", "player_id": "p", "peer_id": peer_of("p") });
    let second = service.post("/sessions/join", body).await.is(200);
    assert_eq!(seated(&service.session_now(first).await), "");
    assert_eq!(seated(&second["session"]), "p");
    assert_eq!(service.get("/hosts/h").await.is(200)["current_players"], 1);
}

async fn refusals_have_a_status_and_a_word(service: Service) {
    let unknown = join(&service, "p").await;
    unknown.says(404, "Zone not found: z");
    assert_eq!(unknown.header("x-refusal-reason"), Some("unknown_zone"));
    let refused = async |reason: &str, retry: bool| {
        let answer = join(&service, "p").await;
        let body = answer.is(409);
        assert_eq!(body["reason"], reason);
        assert!(
            body["detail"]
                .as_str()
                .is_some_and(|text| text.ends_with(|last: char| last.is_alphanumeric()))
        );
        assert_eq!(answer.header("x-refusal-reason"), Some(reason));
        assert_eq!(answer.header("retry-after").is_some(), retry, "{answer:?}");
    };
    service.zone("z", 5).await;
    refused("no_host", true).await;
    // One that is no peer cannot be connected to.
    service.host("plain").await;
    refused("no_host", true).await;
    register(&service, "h", 1, true).await.is(201);
    service.post_nothing("/zones/z/disable-p2p").await.is(200);
    refused("zone_closed", false).await;
    service.post_nothing("/zones/z/enable-p2p").await.is(200);
    join(&service, "q").await.is(200);
    // A full host: one place, and that is taken.
    let small = super::proven(&service, "h", 1, false).await;
    service.post("/hosts/register", with(small, "max_players", json!(1))).await.is(201);
    refused("no_host", true).await;
    assert_eq!(service.get("/zones/z").await.is(200)["total_sessions"], 1, "nothing half-made");
}

async fn a_join_that_is_not_of_the_form_is_422(service: Service) {
    let good = json!({ "zone_id": "z", "player_id": "p", "peer_id": peer_of("p") });
    for (name, value, kind) in [
        ("zone_id", json!(""), "string_too_short"),
        ("player_id", json!(5), "string_type"),
        ("player_id", Value::Null, "string_type"),
        ("peer_id", json!("x"), "value_error"),
        ("peer_id", json!("x".repeat(5000)), "string_too_long"),
        ("avoid", json!("h"), "list_type"),
        ("avoid", json!(vec!["h"; 9]), "too_long"),
    ] {
        let wrong = service.post("/sessions/join", with(good.clone(), name, value)).await.is(422);
        assert_eq!(wrong["detail"][0]["loc"], json!(["body", name]));
        assert_eq!(wrong["detail"][0]["type"], kind, "{wrong}");
    }
    // It has the form of a peer id, but no point of the curve has this coordinate.
    let nobody = with(good.clone(), "peer_id", json!("02".repeat(32)));
    assert_eq!(service.post("/sessions/join", nobody).await.is(403)["reason"], "proof");
    service.post("/sessions/join", with(good, "avoid", Value::Null)).await.is(404);
    // An id that no token can carry is refused, and nothing is kept of it.
    ready(&service, 5).await;
    let long = "𝄞".repeat(255);
    let wide = with(crate::fixture::zone(&long), "max_players", json!(5));
    service.post("/zones/", wide).await.is(201);
    let body = json!({ "zone_id": long, "player_id": long, "peer_id": peer_of("p") });
    let refused = service.post("/sessions/join", body).await.is(400);
    assert!(refused["detail"].as_str().is_some_and(|text| text.contains("use shorter ids")));
    assert_eq!(service.get("/hosts/h").await.is(200)["current_players"], 0);
}

async fn a_place_is_given_back_with_the_newest_nonce_only(service: Service) {
    ready(&service, 5).await;
    let first = join(&service, "p").await.is(200);
    let second = join(&service, "p").await.is(200);
    let id = &first["session"]["id"];
    let leave = async |nonce: String| {
        service.delete(&format!("/sessions/{id}/players/p?nonce={nonce}")).await
    };
    let old = leave(claims(&service, &first).nonce.to_string()).await;
    old.says(400, &format!("Failed to remove player p from session {id}"));
    assert_eq!(leave("xyz".into()).await.is(422)["detail"][0]["loc"], json!(["query", "nonce"]));
    leave(claims(&service, &second).nonce.to_string()).await.is(200);
    assert_eq!(service.get("/hosts/h").await.is(200)["current_players"], 0);
}

async fn two_hundred_parallel_joins_fill_what_there_is(service: Service) {
    let small = with(super::proven(&service, "h", 1, true).await, "max_players", json!(5));
    service.post("/hosts/register", small).await.is(201);
    let lenient = with(crate::fixture::zone("z"), "min_host_quality_score", json!(0));
    service.post("/zones/", with(lenient, "max_players", json!(5))).await.is(201);
    let joins: tokio::task::JoinSet<_> = (0..200)
        .map(|number| {
            let service = service.clone();
            async move { join(&service, &format!("p{number}")).await.status }
        })
        .collect();
    let statuses = joins.join_all().await;
    let of = |status: u16| statuses.iter().filter(|one| **one == status).count();
    assert_eq!((of(200), of(409)), (5, 195));
    let host = service.get("/hosts/h").await.is(200);
    assert_eq!((&host["current_players"], &host["current_zones"]), (&json!(5), &json!(1)));
    assert_eq!(service.post("/hosts/register", self::host("other")).await.status, 201);
}
