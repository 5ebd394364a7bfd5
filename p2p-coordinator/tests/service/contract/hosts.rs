//! `/hosts`.

use serde_json::{Value, json};

use crate::fixture::{Service, beat, fields, host, on_both_stores, with};

on_both_stores!(
    a_new_host_has_exactly_the_contracts_fields,
    registering_again_updates_in_place_and_keeps_the_load,
    the_score_follows_the_contracts_formula,
    a_heartbeat_changes_the_score_and_not_the_status,
    hosts_are_listed_by_quality,
    status_filters_are_taken_in_any_case,
    only_hosts_with_room_are_available,
    a_removed_host_is_gone_and_its_sessions_have_failed,
    unknown_hosts_are_404_in_the_contracts_words,
    ids_of_any_script_and_with_slashes_are_reachable,
);

const FIELDS: [&str; 20] = [
    "bandwidth_usage_mbps",
    "cpu_cores",
    "cpu_frequency_mhz",
    "current_players",
    "current_zones",
    "host_id",
    "id",
    "ip_address",
    "latency_ms",
    "max_players",
    "max_zones",
    "memory_mb",
    "network_speed_mbps",
    "packet_loss_percent",
    "player_id",
    "player_name",
    "port",
    "public_ip",
    "quality_score",
    "status",
];

async fn a_new_host_has_exactly_the_contracts_fields(service: Service) {
    let body = with(host("h"), "ice_servers", json!({ "urls": ["stun:example.org"] }));
    let answer = service.post("/hosts/register", with(body, "unknown", json!(1))).await;
    assert_eq!(answer.header("content-type"), Some("application/json"));
    let made = answer.is(201);
    assert_eq!(fields(&made), FIELDS);
    let expected = json!({
        "id": made["id"], "host_id": "h", "player_id": "owner", "player_name": "Owner",
        "ip_address": "192.0.2.1", "port": 7000, "public_ip": null, "cpu_cores": 8,
        "cpu_frequency_mhz": 3000, "memory_mb": 16384, "network_speed_mbps": 1000,
        "latency_ms": 0.0, "packet_loss_percent": 0.0, "bandwidth_usage_mbps": 0.0,
        "status": "online", "max_players": 50, "current_players": 0, "max_zones": 5,
        "current_zones": 0, "quality_score": 100.0,
    });
    assert_eq!(made, expected);
    assert!(made["id"].is_i64());
    assert_eq!(service.get("/hosts/h").await.is(200), made);
    let listed = service.get("/hosts/").await.is(200);
    assert_eq!(listed, json!([made]));
}

async fn registering_again_updates_in_place_and_keeps_the_load(service: Service) {
    let first = service.host("h").await;
    let busy = with(with(beat(), "current_players", json!(7)), "current_zones", json!(2));
    service.post("/hosts/h/heartbeat", busy).await.is(200);
    let again = with(with(host("h"), "port", json!(9)), "public_ip", json!("198.51.100.7"));
    let second = service.post("/hosts/register", again).await.is(201);
    assert_eq!(second["id"], first["id"]);
    assert_eq!((&second["port"], &second["public_ip"]), (&json!(9), &json!("198.51.100.7")));
    assert_eq!((&second["current_players"], &second["current_zones"]), (&json!(7), &json!(2)));
    assert_eq!(service.get("/hosts/").await.is(200).as_array().map(Vec::len), Some(1));
}

async fn the_score_follows_the_contracts_formula(service: Service) {
    // Latency, loss, players of 50, cores, memory, line; and the score by the formula, by hand.
    let cases = [
        (0.0, 0.0, 0, 4, 8192, 100, 100.0),
        (50.0, 0.0, 0, 4, 8192, 100, 95.0),
        (300.0, 0.0, 0, 4, 8192, 100, 70.0),
        (1e9, 0.0, 0, 4, 8192, 100, 70.0),
        (0.0, 1.5, 0, 4, 8192, 100, 97.0),
        (0.0, 10.0, 0, 4, 8192, 100, 80.0),
        (0.0, 100.0, 0, 4, 8192, 100, 80.0),
        (0.0, 0.0, 25, 4, 8192, 100, 87.5),
        (0.0, 0.0, 50, 4, 8192, 100, 75.0),
        (0.0, 0.0, 0, 2, 8192, 100, 95.0),
        (0.0, 0.0, 0, 1, 8192, 100, 92.5),
        (0.0, 0.0, 0, 4, 4096, 100, 95.0),
        (0.0, 0.0, 0, 4, 1024, 100, 91.25),
        (0.0, 0.0, 0, 4, 8192, 10, 95.5),
        (33.3, 0.7, 13, 3, 6000, 55, 81.34),
        (1e9, 100.0, 50, 4, 8192, 100, 25.0),
        (1e9, 100.0, 1_000_000, 4, 8192, 100, 0.0),
    ];
    for (latency, loss, players, cores, memory, line, score) in cases {
        let strength = with(with(host("h"), "cpu_cores", json!(cores)), "memory_mb", json!(memory));
        let strength = with(strength, "network_speed_mbps", json!(line));
        service.post("/hosts/register", strength).await.is(201);
        let beat = json!({
            "latency_ms": latency, "packet_loss_percent": loss, "bandwidth_usage_mbps": 12.5,
            "current_players": players, "current_zones": 1,
        });
        let now = service.post("/hosts/h/heartbeat", beat.clone()).await.is(200);
        assert_eq!(fields(&now), FIELDS);
        assert_eq!(now["quality_score"], json!(score), "{beat} {cores} {memory} {line}");
        assert_eq!(now["bandwidth_usage_mbps"], 12.5);
        assert_eq!(now["current_players"], players);
    }
}

async fn a_heartbeat_changes_the_score_and_not_the_status(service: Service) {
    service.host("h").await;
    let now = service.post("/hosts/h/heartbeat", with(beat(), "latency_ms", json!(100))).await;
    let now = now.is(200);
    assert_eq!((&now["status"], &now["quality_score"]), (&json!("online"), &json!(90.0)));
    assert_eq!(service.get("/hosts/h").await.is(200), now);
    let unknown = service.post("/hosts/nobody/heartbeat", beat()).await;
    unknown.says(404, "Host not found: nobody");
}

/// Four hosts of scores 100, 90, 80 and 70.
async fn four(service: &Service) {
    for (id, latency) in [("c", 200), ("a", 0), ("d", 300), ("b", 100)] {
        service.host(id).await;
        let beat = with(beat(), "latency_ms", json!(latency));
        service.post(&format!("/hosts/{id}/heartbeat"), beat).await.is(200);
    }
}

fn ids(list: &Value) -> Vec<&str> {
    let hosts = list.as_array().expect("a list");
    hosts.iter().map(|host| host["host_id"].as_str().expect("text")).collect()
}

async fn hosts_are_listed_by_quality(service: Service) {
    assert_eq!(service.get("/hosts/").await.is(200), json!([]));
    four(&service).await;
    for (query, expected) in [
        ("", "abcd"),
        ("?min_quality_score=80", "abc"),
        ("?min_quality_score=80.01", "ab"),
        ("?min_quality_score=101", ""),
        ("?min_quality_score=-5", "abcd"),
        ("?min_quality_score=1e1", "abcd"),
        ("?min_quality_score=100&min_quality_score=90", "ab"),
        ("?no_such_parameter=1&x", "abcd"),
        ("?status_filter=", "abcd"),
        ("?limit=2&offset=1", "bc"),
    ] {
        let list = service.get(&format!("/hosts/{query}")).await.is(200);
        assert_eq!(ids(&list).concat(), expected, "{query}");
        let list = service.get(&format!("/hosts/available/list{query}")).await.is(200);
        assert_eq!(ids(&list).concat(), expected, "available, {query}");
    }
    let best = service.get("/hosts/available/best").await.is(200);
    assert_eq!(best["host_id"], "a");
    let none = service.get("/hosts/available/best?min_quality_score=101").await;
    none.says(404, "No available hosts found");
}

async fn status_filters_are_taken_in_any_case(service: Service) {
    four(&service).await;
    for (filter, count) in [("online", 4), ("ONLINE", 4), ("Online", 4), ("offline", 0)] {
        let list = service.get(&format!("/hosts/?status_filter={filter}")).await.is(200);
        assert_eq!(ids(&list).len(), count, "{filter}");
    }
    for filter in ["busy", "MAINTENANCE"] {
        let list = service.get(&format!("/hosts/?status_filter={filter}")).await.is(200);
        assert_eq!(list, json!([]));
    }
    let wrong = service.get("/hosts/?status_filter=asleep").await;
    let all = "ONLINE, OFFLINE, BUSY, MAINTENANCE";
    wrong.says(400, &format!("Invalid status: asleep. Must be one of: {all}"));
}

async fn only_hosts_with_room_are_available(service: Service) {
    four(&service).await;
    let full = with(beat(), "current_players", json!(50));
    service.post("/hosts/a/heartbeat", full).await.is(200);
    let zones = with(beat(), "current_zones", json!(5));
    service.post("/hosts/b/heartbeat", zones).await.is(200);
    let list = service.get("/hosts/available/list").await.is(200);
    assert_eq!(ids(&list), ["c", "d"]);
    // They are still there, and online.
    let list = service.get("/hosts/?status_filter=online").await.is(200);
    assert_eq!(ids(&list).len(), 4);
}

async fn a_removed_host_is_gone_and_its_sessions_have_failed(service: Service) {
    service.host("h").await;
    service.zone("z", 5).await;
    let session = service.session("h", "z", &["p"]).await;
    let removed = service.delete("/hosts/h").await;
    assert_eq!((removed.status, removed.text.as_str()), (204, ""));
    service.get("/hosts/h").await.says(404, "Host not found: h");
    service.delete("/hosts/h").await.says(404, "Host not found: h");
    let session = service.session_now(session).await;
    assert_eq!((&session["status"], &session["current_players"]), (&json!("failed"), &json!(0)));
}

async fn unknown_hosts_are_404_in_the_contracts_words(service: Service) {
    let long = "x".repeat(256);
    for id in ["nobody", "available", "0", "..", "a+b", &long] {
        let answer = service.get(&format!("/hosts/{id}")).await;
        answer.says(404, &format!("Host not found: {id}"));
        assert_eq!(answer.header("x-refusal-reason"), Some("unknown_host"));
        service.delete(&format!("/hosts/{id}")).await.says(404, &format!("Host not found: {id}"));
    }
    service.get("/hosts/%00").await.says(404, "Host not found: \0");
}

async fn ids_of_any_script_and_with_slashes_are_reachable(service: Service) {
    let long = "é".repeat(255);
    let cases = [
        ("a b", "a%20b"),
        ("a/b", "a%2Fb"),
        ("жизнь", "%D0%B6%D0%B8%D0%B7%D0%BD%D1%8C"),
        ("𝄞", "%F0%9D%84%9E"),
        ("50%", "50%25"),
        ("a?b#c", "a%3Fb%23c"),
        (long.as_str(), &"%C3%A9".repeat(255)),
    ];
    for (id, path) in cases {
        service.host(id).await;
        assert_eq!(service.get(&format!("/hosts/{path}")).await.is(200)["host_id"], id);
        service.post(&format!("/hosts/{path}/heartbeat"), beat()).await.is(200);
        assert_eq!(service.delete(&format!("/hosts/{path}")).await.status, 204);
    }
}
