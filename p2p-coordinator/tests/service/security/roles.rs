//! Keys at the gate, and what each role may do behind it.

use serde_json::{Value, json};

use super::{ADMIN, HOST, PLAYER, SERVICE, Shown, ask, guarded, header, player, proven, text};
use crate::ask::request;
use crate::fixture::{Service, beat, host, with, zone};
use crate::join::peer_of;

#[tokio::test]
async fn a_missing_and_a_wrong_key_are_refused_in_the_contracts_words() {
    let service = Service::secured_over_tcp(guarded()).await;
    for path in ["/hosts/", "/zones/", "/hosts/h", "/no/such/path", "/monitoring/dashboard"] {
        let answer = ask(&service, "GET", path, None, &Shown::Nothing).await;
        let words = json!({ "detail": "Missing X-API-Key header", "error": "unauthorized" });
        assert_eq!(answer.is(401), words, "{path}");
        for wrong in ["wrong", "", "the key of who runs i", "the key of who runs it "] {
            let answer = ask(&service, "GET", path, None, &Shown::Key(wrong)).await;
            if wrong.trim() == ADMIN {
                continue; // HTTP takes spaces at the ends away.
            }
            let words = json!({ "detail": "Invalid API key", "error": "unauthorized" });
            assert_eq!(answer.is(401), words, "{path} {wrong}");
        }
    }
    for path in ["/", "/health", "/ready"] {
        assert_eq!(service.send(request("GET", path, None)).await.status, 200, "{path}");
    }
    ask(&service, "GET", "/hosts/", None, &Shown::Key(PLAYER)).await.is(200);
}

#[tokio::test]
async fn a_key_beside_a_token_must_be_right_too() {
    let service = Service::secured(guarded());
    let alice = player(&service, "alice").await;
    let mut both = super::asked("GET", "/hosts/", None, &alice);
    header(&mut both, "x-api-key", "wrong");
    service.send(both).await.is(401);
    // And gives the player no more than the player's.
    let mut both = super::asked("POST", "/zones/", Some(&zone("z")), &alice);
    header(&mut both, "x-api-key", ADMIN);
    service.send(both).await.is(403);
}

/// What is asked, and by whom it may be: player, host, service, admin; a player is `alice`.
fn matrix(join: &Value) -> Vec<(&'static str, String, Option<Value>, [bool; 4])> {
    let session = json!({ "host_id": "plain", "zone_id": "z", "player_ids": [] });
    let theirs = with(host("hers"), "player_id", json!("alice"));
    let bobs = with(join.clone(), "player_id", json!("bob"));
    let add = |name: &str| Some(json!({ "player_id": name }));
    let rule = [false, false, true, true];
    let run = [false, true, false, true];
    let own = [true, false, true, true];
    vec![
        ("GET", "/hosts/".into(), None, [true; 4]),
        ("GET", "/zones/z".into(), None, [true; 4]),
        ("GET", "/sessions/1".into(), None, [true; 4]),
        ("POST", "/hosts/challenge".into(), None, [true; 4]),
        ("POST", "/zones/".into(), Some(zone("z")), rule),
        ("PATCH", "/zones/z/status?new_status=enabled".into(), None, rule),
        ("POST", "/zones/z/enable-p2p".into(), None, rule),
        ("POST", "/sessions/".into(), Some(session), rule),
        ("POST", "/auth/token".into(), add("alice"), rule),
        ("POST", "/auth/revoke".into(), add("nobody"), rule),
        ("POST", "/sessions/cleanup".into(), None, rule),
        ("POST", "/sessions/1/activate".into(), None, [false, true, true, true]),
        ("POST", "/sessions/1/players".into(), add("alice"), own),
        ("POST", "/sessions/1/players".into(), add("bob"), rule),
        ("DELETE", "/sessions/1/players/bob".into(), None, [false, true, true, true]),
        ("POST", "/sessions/join".into(), Some(join.clone()), own),
        ("POST", "/sessions/join".into(), Some(bobs), rule),
        ("POST", "/hosts/register".into(), Some(theirs), [true, true, false, true]),
        ("POST", "/hosts/register".into(), Some(host("plain")), run),
        ("POST", "/hosts/plain/heartbeat".into(), Some(beat()), run),
        ("POST", "/hosts/hers/heartbeat".into(), Some(beat()), [true, true, false, true]),
        ("POST", "/hosts/peer/heartbeat".into(), Some(beat()), [false, false, false, true]),
        ("DELETE", "/hosts/peer".into(), None, [false, false, false, true]),
        ("DELETE", "/hosts/hers".into(), None, [true, true, false, true]),
        ("POST", "/sessions/1/end".into(), None, [false, true, true, true]),
    ]
}

/// Hosts `plain` and `hers` (of alice), the peer host `peer`, a zone, and a session on `plain`.
async fn furnished() -> Service {
    let service = Service::secured(guarded());
    let admin = Shown::Key(ADMIN);
    let post = |path: &'static str, body: Value| {
        let (service, admin) = (service.clone(), admin.clone());
        async move { ask(&service, "POST", path, Some(body), &admin).await.is(201) }
    };
    post("/hosts/register", host("plain")).await;
    post("/hosts/register", with(host("hers"), "player_id", json!("alice"))).await;
    post("/zones/", zone("z")).await;
    post("/sessions/", json!({ "host_id": "plain", "zone_id": "z", "player_ids": [] })).await;
    post("/hosts/register", proven(&service, "peer", 1).await).await;
    service
}

#[tokio::test]
async fn each_role_does_its_own_and_nothing_else() {
    let join = json!({ "zone_id": "z", "player_id": "alice", "peer_id": peer_of("alice") });
    for (at, (method, path, body, allowed)) in matrix(&join).into_iter().enumerate() {
        for (role, allowed) in allowed.into_iter().enumerate() {
            let service = furnished().await;
            let shown = match role {
                0 => player(&service, "alice").await,
                1 => Shown::Key(HOST),
                2 => Shown::Key(SERVICE),
                _ => Shown::Key(ADMIN),
            };
            let bob = json!({ "player_id": "bob" });
            if method == "DELETE" && path.contains("bob") {
                let seat = Some(bob);
                ask(&service, "POST", "/sessions/1/players", seat, &Shown::Key(ADMIN)).await;
            }
            let answer = ask(&service, method, &path, body.clone(), &shown).await;
            let done = answer.status < 300;
            assert_eq!(done, allowed, "{at}: {method} {path} by {role}: {answer:?}");
            if !allowed {
                assert_eq!(answer.is(403)["error"], "forbidden");
            }
            // And with nothing to show nobody does anything.
            ask(&service, method, &path, body.clone(), &Shown::Nothing).await.is(401);
        }
    }
}

#[tokio::test]
async fn a_player_leaves_by_itself_and_throws_nobody_out() {
    let service = furnished().await;
    let (alice, bob) = (player(&service, "alice").await, player(&service, "bob").await);
    let seat = Some(json!({ "player_id": "alice" }));
    ask(&service, "POST", "/sessions/1/players", seat, &alice).await.is(200);
    let path = "/sessions/1/players/alice";
    ask(&service, "DELETE", path, None, &bob).await.is(403);
    let session = ask(&service, "GET", "/sessions/1", None, &bob).await.is(200);
    assert_eq!(session["connected_players"], json!(["alice"]));
    ask(&service, "DELETE", path, None, &alice).await.is(200);
}

#[tokio::test]
async fn of_two_players_who_register_one_host_id_at_once_one_has_it() {
    let service = Service::secured(guarded());
    for round in 0..20 {
        let id = format!("h{round}");
        let mut tasks = tokio::task::JoinSet::new();
        for name in ["alice", "bob"] {
            let shown = player(&service, name).await;
            let body = with(host(&id), "player_id", json!(name));
            let service = service.clone();
            tasks.spawn(async move {
                ask(&service, "POST", "/hosts/register", Some(body), &shown).await.status
            });
        }
        let mut statuses = tasks.join_all().await;
        statuses.sort_unstable();
        assert_eq!(statuses, [201, 403]);
    }
}

#[tokio::test]
async fn refusals_tell_nothing_of_the_inside() {
    let service = furnished().await;
    let alice = player(&service, "alice").await;
    let answer = ask(&service, "DELETE", "/hosts/peer", None, &alice).await;
    let said = text(&answer.is(403)["detail"]);
    for inside in ["::", "src/", "sqlite", "Denied", "panicked"] {
        assert!(!said.contains(inside), "{said}");
    }
}
