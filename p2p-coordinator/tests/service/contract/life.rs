//! Sessions: made, begun, held, ended; by number and by name.

use serde_json::{Value, json};

use crate::ask::request;
use crate::fixture::{Service, fields, on_both_stores};

on_both_stores!(
    a_new_session_has_exactly_the_contracts_fields,
    a_session_begins_is_held_goes_on_and_ends,
    it_begins_from_pending_or_paused_and_is_held_from_active_only,
    it_ends_from_any_state,
    its_name_serves_as_well_as_its_number,
    unknown_sessions_are_refused_in_the_contracts_words,
    active_sessions_are_listed_by_host_and_by_zone,
    what_is_measured_in_a_session_is_shown_and_averaged,
);

const FIELDS: [&str; 15] = [
    "average_latency_ms",
    "average_packet_loss_percent",
    "bandwidth_usage_mbps",
    "connected_players",
    "created_at",
    "current_players",
    "ended_at",
    "host_id",
    "id",
    "max_players",
    "session_id",
    "started_at",
    "status",
    "updated_at",
    "zone_id",
];

async fn a_new_session_has_exactly_the_contracts_fields(service: Service) {
    let (host, zone) = (service.host("h").await, service.zone("z", 5).await);
    let body = json!({ "host_id": "h", "zone_id": "z", "player_ids": ["p", "q", "p"] });
    let made = service.post("/sessions/", body).await.is(201);
    assert_eq!(fields(&made), FIELDS);
    let name = made["session_id"].as_str().expect("text");
    let digits = name.strip_prefix("session-").expect("the prefix");
    assert!(digits.len() == 16 && digits.bytes().all(|digit| digit.is_ascii_hexdigit()), "{name}");
    let created = made["created_at"].as_str().expect("text");
    assert!(created.starts_with("2026-01-31T12:00:") && created.ends_with("+00:00"), "{created}");
    let expected = json!({
        "id": made["id"], "session_id": name, "host_id": host["id"], "zone_id": zone["id"],
        "connected_players": ["p", "q"], "current_players": 2, "max_players": 5,
        "status": "pending", "average_latency_ms": 0.0, "average_packet_loss_percent": 0.0,
        "bandwidth_usage_mbps": 0.0, "started_at": null, "ended_at": null,
        "created_at": created, "updated_at": created,
    });
    assert_eq!(made, expected);
    assert_eq!(service.get(&format!("/sessions/{}", made["id"])).await.is(200), made);
    // What was placed there counts for the host and for the zone.
    let host = service.get("/hosts/h").await.is(200);
    assert_eq!((&host["current_players"], &host["current_zones"]), (&json!(2), &json!(1)));
}

/// A host, a zone of five and a session in it.
async fn begun(service: &Service) -> i64 {
    service.host("h").await;
    service.zone("z", 5).await;
    service.session("h", "z", &["p"]).await
}

async fn status(service: &Service, id: i64) -> Value {
    service.session_now(id).await["status"].clone()
}

async fn a_session_begins_is_held_goes_on_and_ends(service: Service) {
    let id = begun(&service).await;
    let change = async |verb: &str| service.post_nothing(&format!("/sessions/{id}/{verb}")).await;
    change("activate").await.tells(&format!("Session {id} activated"));
    let active = service.session_now(id).await;
    assert_eq!(active["status"], "active");
    assert!(active["started_at"].is_string() && active["ended_at"].is_null());
    change("pause").await.tells(&format!("Session {id} paused"));
    assert_eq!(status(&service, id).await, "paused");
    change("activate").await.tells(&format!("Session {id} activated"));
    let again = service.session_now(id).await;
    assert_eq!(again["started_at"], active["started_at"], "it began once");
    change("end?reason=normal").await.tells(&format!("Session {id} ended"));
    let ended = service.session_now(id).await;
    assert_eq!((&ended["status"], &ended["current_players"]), (&json!("ended"), &json!(0)));
    assert!(ended["ended_at"].is_string());
}

async fn it_begins_from_pending_or_paused_and_is_held_from_active_only(service: Service) {
    let id = begun(&service).await;
    let change = async |verb: &str| service.post_nothing(&format!("/sessions/{id}/{verb}")).await;
    let refused = change("pause").await;
    refused.says(400, &format!("Failed to pause session {id}"));
    assert_eq!(refused.header("x-refusal-reason"), Some("state"));
    assert_eq!(refused.header("x-refusal-detail"), Some("The session is pending"));
    change("activate").await.is(200);
    change("activate").await.says(400, &format!("Failed to activate session {id}"));
    change("pause").await.is(200);
    change("pause").await.says(400, &format!("Failed to pause session {id}"));
    change("end").await.is(200);
    change("activate").await.says(400, &format!("Failed to activate session {id}"));
    change("pause").await.says(400, &format!("Failed to pause session {id}"));
    assert_eq!(status(&service, id).await, "ended");
}

async fn it_ends_from_any_state(service: Service) {
    begun(&service).await;
    for verbs in [&[][..], &["activate"], &["activate", "pause"], &["end"]] {
        let id = service.session("h", "z", &[]).await;
        for verb in verbs {
            service.post_nothing(&format!("/sessions/{id}/{verb}")).await.is(200);
        }
        let ended = service.post_nothing(&format!("/sessions/{id}/end")).await;
        ended.tells(&format!("Session {id} ended"));
        assert_eq!(status(&service, id).await, "ended", "after {verbs:?}");
    }
}

async fn its_name_serves_as_well_as_its_number(service: Service) {
    let id = begun(&service).await;
    let made = service.session_now(id).await;
    let name = made["session_id"].as_str().expect("text");
    assert_eq!(service.get(&format!("/sessions/{name}")).await.is(200), made);
    let verb = async |verb: &str| service.post_nothing(&format!("/sessions/{name}/{verb}")).await;
    verb("activate").await.tells(&format!("Session {name} activated"));
    verb("pause").await.tells(&format!("Session {name} paused"));
    let players = format!("/sessions/{name}/players");
    let added = service.post(&players, json!({ "player_id": "q" })).await;
    added.tells(&format!("Player q added to session {name}"));
    let removed = service.delete(&format!("{players}/q")).await;
    removed.tells(&format!("Player q removed from session {name}"));
    verb("end").await.tells(&format!("Session {name} ended"));
    assert_eq!(status(&service, id).await, "ended");
}

async fn unknown_sessions_are_refused_in_the_contracts_words(service: Service) {
    // As the path has it, and as the answer has it: a number is told as a number.
    for (path, id) in [
        ("99", "99"),
        ("0", "0"),
        ("-1", "-1"),
        ("007", "7"),
        ("+7", "7"),
        ("7.0", "7"),
        ("%207", "7"),
        ("9223372036854775807", "9223372036854775807"),
        ("9223372036854775808", "9223372036854775808"),
        ("99999999999999999999999", "99999999999999999999999"),
        ("session-0123456789abcdef", "session-0123456789abcdef"),
    ] {
        let answer = service.get(&format!("/sessions/{path}")).await;
        answer.says(404, &format!("Session {id} not found"));
        assert_eq!(answer.header("x-refusal-reason"), Some("unknown_session"));
        for verb in ["activate", "pause", "end"] {
            let answer = service.post_nothing(&format!("/sessions/{path}/{verb}")).await;
            answer.says(400, &format!("Failed to {verb} session {id}"));
        }
        let players = format!("/sessions/{path}/players");
        let answer = service.post(&players, json!({ "player_id": "p" })).await;
        answer.says(400, &format!("Failed to add player p to session {id}"));
        let answer = service.delete(&format!("{players}/p")).await;
        answer.says(400, &format!("Failed to remove player p from session {id}"));
    }
    for text in ["x", "1.5", "1e3", "session-7", "null"] {
        let wrong = service.get(&format!("/sessions/{text}")).await.is(422);
        let expected = json!([{
            "type": "int_parsing", "loc": ["path", "session_id"], "input": text,
            "msg": "Input should be a valid integer, unable to parse string as an integer",
        }]);
        assert_eq!(wrong["detail"], expected);
    }
}

async fn active_sessions_are_listed_by_host_and_by_zone(service: Service) {
    service.host("h").await;
    service.host("i").await;
    service.zone("z", 5).await;
    service.zone("y", 5).await;
    let mut made = Vec::new();
    for (host, zone) in [("h", "z"), ("h", "y"), ("i", "z"), ("h", "z")] {
        made.push(service.session(host, zone, &[]).await);
    }
    for path in ["/sessions/host/h/active", "/sessions/zone/z/active"] {
        assert_eq!(service.get(path).await.is(200), json!([]), "none is active yet");
    }
    for id in &made[..3] {
        service.post_nothing(&format!("/sessions/{id}/activate")).await.is(200);
    }
    for (path, expected) in [
        ("host/h", vec![made[0], made[1]]),
        ("host/i", vec![made[2]]),
        ("host/nobody", vec![]),
        ("zone/z", vec![made[0], made[2]]),
        ("zone/y", vec![made[1]]),
        ("zone/nowhere", vec![]),
        ("zone/%00", vec![]),
        ("zone/z?limit=1&offset=1", vec![made[2]]),
    ] {
        let (path, query) = path.split_once('?').unwrap_or((path, ""));
        let list = service.get(&format!("/sessions/{path}/active?{query}")).await.is(200);
        let list = list.as_array().expect("a list");
        let ids: Vec<_> = list.iter().map(|session| session["id"].as_i64().expect("int")).collect();
        assert_eq!(ids, expected, "{path}");
        assert!(list.iter().all(|session| fields(session) == FIELDS));
    }
}

async fn what_is_measured_in_a_session_is_shown_and_averaged(service: Service) {
    let id = begun(&service).await;
    let report = async |query: &str, body: Option<Value>| {
        let path = format!("/api/v1/sessions/{id}/metrics{query}");
        service.send(request("PATCH", &path, body.as_ref())).await
    };
    let words = format!("Session {id} metrics updated");
    report("?avg_latency_ms=42.5&packet_loss_percent=1", None).await.tells(&words);
    report("", Some(json!({ "bandwidth_usage_mbps": "3" }))).await.tells(&words);
    report("", None).await.tells(&words);
    let now = service.session_now(id).await;
    assert_eq!(now["average_latency_ms"], 42.5);
    assert_eq!(now["average_packet_loss_percent"], 1.0);
    assert_eq!(now["bandwidth_usage_mbps"], 3.0);
    let wrong = report("?avg_latency_ms=x", None).await.is(422);
    assert_eq!(wrong["detail"][0]["loc"], json!(["query", "avg_latency_ms"]));
    // On the dashboard it comes before what the host measured.
    service.post_nothing(&format!("/sessions/{id}/activate")).await.is(200);
    let dashboard = service.get("/monitoring/dashboard").await.is(200);
    assert_eq!(dashboard["sessions"]["average_latency_ms"], 42.5);
    // The largest number there is, is shown as a number.
    report(&format!("?avg_latency_ms={}", f64::MAX), None).await.tells(&words);
    let dashboard = service.get("/monitoring/dashboard").await.is(200);
    assert_eq!(dashboard["sessions"]["average_latency_ms"].as_f64(), Some(f64::MAX));
    let unknown = service.send(request("PATCH", "/api/v1/sessions/9999/metrics", None)).await;
    unknown.says(400, "Failed to update metrics for session 9999");
    service.post_nothing(&format!("/sessions/{id}/end")).await.is(200);
    report("?packet_loss_percent=2", None).await.tells(&words);
    assert_eq!(service.session_now(id).await["status"], "ended");
}
