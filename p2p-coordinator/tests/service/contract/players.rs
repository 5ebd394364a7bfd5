//! Players of a session: added and removed by a server.

use serde_json::json;

use crate::fixture::{Service, beat, on_both_stores, with};

on_both_stores!(
    players_come_and_go_in_the_contracts_words,
    a_player_is_required,
    a_session_takes_as_many_as_its_zone_says,
    a_player_has_one_place,
    nobody_comes_to_a_session_that_is_over,
    a_full_or_silent_host_takes_nobody,
);

/// A host and a session on it in a zone for so many.
async fn session(service: &Service, places: u32, players: &[&str]) -> i64 {
    service.host("h").await;
    service.zone("z", places).await;
    service.session("h", "z", players).await
}

async fn players_come_and_go_in_the_contracts_words(service: Service) {
    let id = session(&service, 3, &[]).await;
    let path = format!("/sessions/{id}/players");
    for player in ["p", "ж ж", "p"] {
        let added = service.post(&path, json!({ "player_id": player, "more": 1 })).await;
        added.tells(&format!("Player {player} added to session {id}"));
    }
    let now = service.session_now(id).await;
    assert_eq!(now["connected_players"], json!(["p", "ж ж"]));
    assert_eq!(now["current_players"], 2);
    let removed = service.delete(&format!("{path}/%D0%B6%20%D0%B6")).await;
    removed.tells(&format!("Player ж ж removed from session {id}"));
    assert_eq!(service.session_now(id).await["connected_players"], json!(["p"]));
    for absent in ["q", "%D0%B6%20%D0%B6"] {
        let refused = service.delete(&format!("{path}/{absent}")).await;
        assert_eq!(refused.status, 400);
        assert_eq!(refused.header("x-refusal-reason"), Some("unknown_player"));
    }
    let refused = service.delete(&format!("{path}/q")).await;
    refused.says(400, &format!("Failed to remove player q from session {id}"));
    let long = "q".repeat(256);
    let refused = service.delete(&format!("{path}/{long}")).await;
    refused.says(400, &format!("Failed to remove player {long} from session {id}"));
}

async fn a_player_is_required(service: Service) {
    let id = session(&service, 3, &[]).await;
    let path = format!("/sessions/{id}/players");
    for body in [json!({}), json!({ "player_id": null }), json!({ "player_id": "" })] {
        service.post(&path, body).await.says(400, "player_id is required");
    }
    for body in [json!({ "player_id": 5 }), json!({ "player_id": ["p"] }), json!({ "id": "p" })] {
        service.post(&path, body).await.says(400, "player_id is required");
    }
    assert_eq!(service.session_now(id).await["current_players"], 0);
}

async fn a_session_takes_as_many_as_its_zone_says(service: Service) {
    let id = session(&service, 2, &["p"]).await;
    let path = format!("/sessions/{id}/players");
    service.post(&path, json!({ "player_id": "q" })).await.is(200);
    let full = service.post(&path, json!({ "player_id": "r" })).await;
    full.says(400, &format!("Failed to add player r to session {id}"));
    assert_eq!(full.header("x-refusal-reason"), Some("full"));
    assert_eq!(service.session_now(id).await["connected_players"], json!(["p", "q"]));
    service.delete(&format!("{path}/p")).await.is(200);
    service.post(&path, json!({ "player_id": "r" })).await.is(200);
    assert_eq!(service.session_now(id).await["connected_players"], json!(["q", "r"]));

    let body = json!({ "host_id": "h", "zone_id": "z", "player_ids": ["a", "b", "c"] });
    let refused = service.post("/sessions/", body).await;
    refused.says(400, "Failed to create session");
    assert_eq!(refused.header("x-refusal-reason"), Some("full"));
    let body = json!({ "host_id": "h", "zone_id": "z", "player_ids": ["a", "b", "a", "b"] });
    assert_eq!(service.post("/sessions/", body).await.is(201)["current_players"], 2);
}

async fn a_player_has_one_place(service: Service) {
    let first = session(&service, 3, &["p", "q"]).await;
    let second = service.session("h", "z", &["q", "r"]).await;
    assert_eq!(service.session_now(first).await["connected_players"], json!(["p"]));
    assert_eq!(service.session_now(second).await["connected_players"], json!(["q", "r"]));
    let path = format!("/sessions/{second}/players");
    service.post(&path, json!({ "player_id": "p" })).await.is(200);
    assert_eq!(service.session_now(first).await["current_players"], 0);
    assert_eq!(service.session_now(second).await["connected_players"], json!(["q", "r", "p"]));
    assert_eq!(service.get("/hosts/h").await.is(200)["current_players"], 3);
}

async fn nobody_comes_to_a_session_that_is_over(service: Service) {
    let id = session(&service, 3, &["p"]).await;
    service.post_nothing(&format!("/sessions/{id}/end")).await.is(200);
    let path = format!("/sessions/{id}/players");
    let refused = service.post(&path, json!({ "player_id": "q" })).await;
    refused.says(400, &format!("Failed to add player q to session {id}"));
    let refused = service.delete(&format!("{path}/p")).await;
    refused.says(400, &format!("Failed to remove player p from session {id}"));
}

async fn a_full_or_silent_host_takes_nobody(service: Service) {
    let id = session(&service, 100, &["p"]).await;
    let full = with(beat(), "current_players", json!(50));
    service.post("/hosts/h/heartbeat", full).await.is(200);
    let refused =
        service.post(&format!("/sessions/{id}/players"), json!({ "player_id": "q" })).await;
    refused.says(400, &format!("Failed to add player q to session {id}"));
    assert_eq!(refused.header("x-refusal-reason"), Some("host_full"));
    // Who is there already, is there.
    service.post(&format!("/sessions/{id}/players"), json!({ "player_id": "p" })).await.is(200);
}
