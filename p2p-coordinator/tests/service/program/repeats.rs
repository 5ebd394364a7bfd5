//! A request whose answer was lost because the process was killed.

use serde_json::{Value, json};

use super::process::Served;
use crate::ask::{Answer, over_tcp, request};
use crate::fixture::host;
use crate::folder::Folder;

async fn keyed(served: &Served, key: &str, path: &str, body: &Value) -> Answer {
    let mut request = request("POST", &format!("/api/v1{path}"), Some(body));
    request.headers_mut().insert("idempotency-key", key.parse().expect("a value"));
    over_tcp(served.address, request).await.expect("an answer")
}

#[cfg(unix)]
#[tokio::test]
async fn after_a_kill_the_same_request_finds_the_session_and_the_tokens_that_it_made() {
    let folder = Folder::new();
    let served = Served::start(&folder, &[]).await;
    let zone = json!({
        "zone_id": "z", "zone_name": "z", "zone_display_name": "z", "map_name": "m",
    });
    served.post("/zones/", zone).await.is(201);
    served.post("/hosts/register", host("h")).await.is(201);
    let wish = json!({ "host_id": "h", "zone_id": "z", "player_ids": ["alice"] });
    let made = keyed(&served, "k1", "/sessions/", &wish).await.is(201);
    let tokens = served.post("/auth/token", json!({ "player_id": "alice" })).await.is(200);
    let shown = json!({ "refresh_token": tokens["refresh_token"] });
    let next = keyed(&served, "k2", "/auth/refresh", &shown).await.is(200);
    served.signal("KILL");
    served.ended().await;

    let served = Served::start(&folder, &[]).await;
    let found = keyed(&served, "k1", "/sessions/", &wish).await.is(201);
    assert_eq!(found["session_id"], made["session_id"]);
    let again = keyed(&served, "k2", "/auth/refresh", &shown).await.is(200);
    assert_eq!(again["refresh_token"], next["refresh_token"]);
    // Another key is another request: this one does end the login.
    keyed(&served, "k3", "/auth/refresh", &shown).await.is(401);
    let other = keyed(&served, "k4", "/sessions/", &wish).await.is(201);
    assert_ne!(other["session_id"], made["session_id"]);
}
