//! `/zones`.

use http::HeaderValue;
use serde_json::{Value, json};

use crate::ask::request;
use crate::fixture::{Service, fields, on_both_stores, with, zone};

on_both_stores!(
    a_new_zone_has_exactly_the_contracts_fields_and_defaults,
    defining_again_updates_in_place,
    zones_are_listed_by_priority_then_name,
    peers_are_let_in_and_shut_out,
    filters_narrow_the_list,
    unknown_zones_are_404_in_the_contracts_words,
    the_counters_count,
    a_zone_is_taken_out_and_enabled_again,
    pages_of_other_sites_change_nothing,
    a_large_wrong_body_is_not_sent_back,
);

const FIELDS: [&str; 18] = [
    "active_sessions",
    "description",
    "fallback_enabled",
    "id",
    "map_name",
    "max_latency_ms",
    "max_players",
    "min_bandwidth_mbps",
    "min_host_quality_score",
    "p2p_enabled",
    "p2p_priority",
    "recommended_players",
    "status",
    "total_players_served",
    "total_sessions",
    "zone_display_name",
    "zone_id",
    "zone_name",
];

async fn a_zone_is_taken_out_and_enabled_again(service: Service) {
    service.zone("z", 5).await;
    service.host("h").await;
    let patch = async |query: &str| {
        service.send(request("PATCH", &format!("/api/v1/zones/{query}"), None)).await
    };
    assert_eq!(patch("z/status?new_status=MAINTENANCE").await.is(200)["status"], "maintenance");
    let session = json!({ "host_id": "h", "zone_id": "z", "player_ids": [] });
    let refused = service.post("/sessions/", session.clone()).await;
    refused.says(400, "Failed to create session");
    assert_eq!(refused.header("x-refusal-reason"), Some("zone_closed"));
    assert_eq!(patch("z/status?new_status=enabled").await.is(200)["status"], "enabled");
    service.post("/sessions/", session).await.is(201);
    patch("z/status?new_status=gone")
        .await
        .says(400, "Invalid status: gone. Must be one of: ENABLED, DISABLED, MAINTENANCE");
    let missing = patch("z/status").await.is(422);
    assert_eq!(missing["detail"][0]["loc"], json!(["query", "new_status"]));
    patch("y/status?new_status=enabled").await.says(404, "Zone not found: y");
}

async fn pages_of_other_sites_change_nothing(service: Service) {
    service.zone("z", 5).await;
    let from = async |method: &str, path: &str, site: &'static str| {
        let mut request = request(method, path, None);
        request.headers_mut().insert("sec-fetch-site", HeaderValue::from_static(site));
        service.send(request).await
    };
    let path = "/api/v1/zones/z/disable-p2p";
    for site in ["cross-site", "same-site"] {
        from("POST", path, site)
            .await
            .says(403, "Pages of other sites may not change anything here");
        from("GET", "/api/v1/zones/z", site).await.is(200);
    }
    assert_eq!(service.get("/zones/z").await.is(200)["p2p_enabled"], true);
    for site in ["none", "same-origin"] {
        assert_eq!(from("POST", path, site).await.is(200)["p2p_enabled"], false);
    }
}

async fn a_large_wrong_body_is_not_sent_back(service: Service) {
    let numbers = vec![0; 100_000];
    let answer = service.post("/hosts/register", json!({ "a": numbers })).await;
    let wrong = answer.is(422);
    assert_eq!(wrong["detail"].as_array().expect("a list").len(), 9, "all that is missing");
    assert_eq!(wrong["detail"][0]["input"], Value::Null);
    assert!(answer.text.len() < 2000, "{} bytes", answer.text.len());
}

async fn a_new_zone_has_exactly_the_contracts_fields_and_defaults(service: Service) {
    let made = service.post("/zones/", zone("z")).await.is(201);
    assert_eq!(fields(&made), FIELDS);
    let expected = json!({
        "id": made["id"], "zone_id": "z", "zone_name": "z", "zone_display_name": "z",
        "map_name": "map", "max_players": 100, "recommended_players": 50, "p2p_enabled": true,
        "p2p_priority": 1, "fallback_enabled": true, "min_host_quality_score": 7.0,
        "min_bandwidth_mbps": 100, "max_latency_ms": 100, "description": null,
        "status": "enabled", "total_sessions": 0, "active_sessions": 0,
        "total_players_served": 0,
    });
    assert_eq!(made, expected);
    assert_eq!(service.get("/zones/z").await.is(200), made);
    assert_eq!(service.get("/zones/").await.is(200), json!([made]));
}

async fn defining_again_updates_in_place(service: Service) {
    let first = service.zone("z", 5).await;
    let full = json!({
        "zone_id": "z", "zone_name": "n", "zone_display_name": "N", "map_name": "other",
        "max_players": "7", "recommended_players": 3.0, "p2p_enabled": "no", "p2p_priority": 10,
        "fallback_enabled": 0, "min_host_quality_score": "2.5", "min_bandwidth_mbps": 1,
        "max_latency_ms": 1, "description": "words",
    });
    let second = service.post("/zones/", full).await.is(201);
    assert_eq!(second["id"], first["id"]);
    assert_eq!(second["max_players"], 7);
    assert_eq!(second["recommended_players"], 3);
    assert_eq!(second["p2p_enabled"], false);
    assert_eq!(second["fallback_enabled"], false);
    assert_eq!(second["min_host_quality_score"], 2.5);
    assert_eq!(second["description"], "words");
    assert_eq!(second["status"], "enabled");
    assert_eq!(service.get("/zones/").await.is(200), json!([second]));
}

fn ids(list: &Value) -> String {
    let zones = list.as_array().expect("a list");
    zones.iter().map(|zone| zone["zone_id"].as_str().expect("text")).collect()
}

/// Priorities and names: `b` and `c` are equal in the first.
async fn three(service: &Service) {
    for (id, priority) in [("c", 5), ("a", 1), ("b", 5)] {
        let zone = with(zone(id), "p2p_priority", json!(priority));
        service.post("/zones/", zone).await.is(201);
    }
}

async fn zones_are_listed_by_priority_then_name(service: Service) {
    assert_eq!(service.get("/zones/").await.is(200), json!([]));
    three(&service).await;
    assert_eq!(ids(&service.get("/zones/").await.is(200)), "bca");
    assert_eq!(ids(&service.get("/zones/p2p/enabled").await.is(200)), "bca");
    assert_eq!(ids(&service.get("/zones/?limit=1&offset=1").await.is(200)), "c");
    assert_eq!(ids(&service.get("/zones/p2p/enabled?limit=1&offset=1").await.is(200)), "c");
    service.get("/zones/p2p/enabled?limit=0").await.is(422);
}

async fn peers_are_let_in_and_shut_out(service: Service) {
    three(&service).await;
    let shut = service.post_nothing("/zones/b/disable-p2p").await.is(200);
    assert_eq!((fields(&shut), &shut["p2p_enabled"]), (FIELDS.to_vec(), &json!(false)));
    assert_eq!(shut["status"], "enabled");
    assert_eq!(ids(&service.get("/zones/p2p/enabled").await.is(200)), "ca");
    assert_eq!(
        service.send(request("GET", "/", None)).await.is(200)["enabled_zones"],
        json!(["c", "a"])
    );
    let open = service.post_nothing("/zones/b/enable-p2p").await.is(200);
    assert_eq!(open["p2p_enabled"], true);
    assert_eq!(ids(&service.get("/zones/p2p/enabled").await.is(200)), "bca");
    for verb in ["enable-p2p", "disable-p2p"] {
        let unknown = service.post_nothing(&format!("/zones/nowhere/{verb}")).await;
        unknown.says(404, "Zone not found: nowhere");
    }
}

async fn filters_narrow_the_list(service: Service) {
    three(&service).await;
    service.post_nothing("/zones/b/disable-p2p").await.is(200);
    for (query, expected) in [
        ("?p2p_enabled=true", "ca"),
        ("?p2p_enabled=TRUE", "ca"),
        ("?p2p_enabled=1", "ca"),
        ("?p2p_enabled=off", "b"),
        ("?p2p_enabled=true&p2p_enabled=0", "b"),
        ("?status_filter=enabled", "bca"),
        ("?status_filter=ENABLED&p2p_enabled=on", "ca"),
        ("?status_filter=Disabled", ""),
        ("?status_filter=maintenance", ""),
        ("?status_filter=", "bca"),
        ("?zone_id=a", "bca"),
    ] {
        assert_eq!(
            ids(&service.get(&format!("/zones/{query}")).await.is(200)),
            expected,
            "{query}"
        );
    }
    let wrong = service.get("/zones/?status_filter=open").await;
    wrong.says(400, "Invalid status: open. Must be one of: ENABLED, DISABLED, MAINTENANCE");
    let wrong = service.get("/zones/?p2p_enabled=perhaps").await.is(422);
    let expected = json!([{
        "type": "bool_parsing", "loc": ["query", "p2p_enabled"], "input": "perhaps",
        "msg": "Input should be a valid boolean, unable to interpret input",
    }]);
    assert_eq!(wrong["detail"], expected);
}

async fn unknown_zones_are_404_in_the_contracts_words(service: Service) {
    let long = "z".repeat(300);
    for id in ["nowhere", "p2p", &long] {
        let answer = service.get(&format!("/zones/{id}")).await;
        answer.says(404, &format!("Zone not found: {id}"));
    }
    service.post("/zones/", zone("a/ж")).await.is(201);
    assert_eq!(service.get("/zones/a%2F%D0%B6").await.is(200)["zone_id"], "a/ж");
}

async fn the_counters_count(service: Service) {
    service.host("h").await;
    service.zone("z", 5).await;
    let first = service.session("h", "z", &["p", "q", "p"]).await;
    service.session("h", "z", &[]).await;
    let counts = async |service: &Service| {
        let zone = service.get("/zones/z").await.is(200);
        ["total_sessions", "active_sessions", "total_players_served"].map(|name| zone[name].clone())
    };
    assert_eq!(counts(&service).await, [json!(2), json!(0), json!(2)]);
    service.post_nothing(&format!("/sessions/{first}/activate")).await.is(200);
    assert_eq!(counts(&service).await, [json!(2), json!(1), json!(2)]);
    service.post_nothing(&format!("/sessions/{first}/end")).await.is(200);
    assert_eq!(counts(&service).await, [json!(2), json!(0), json!(2)]);
}
