//! Which host a session may be made on, and which one it gets when none is named.

use serde_json::{Value, json};

use crate::ask::Answer;
use crate::fixture::{Service, beat, host, on_both_stores, with, zone};

on_both_stores!(
    a_named_host_and_the_zone_must_allow_it,
    a_zones_demands_are_checked,
    without_a_host_the_best_one_is_chosen,
    without_a_host_that_fits_it_is_refused,
    a_host_serves_as_many_zones_as_it_says,
);

async fn create(service: &Service, body: Value) -> Answer {
    service.post("/sessions/", body).await
}

async fn refused(service: &Service, body: Value, reason: &str) {
    let answer = create(service, body.clone()).await;
    answer.says(400, "Failed to create session");
    assert_eq!(answer.header("x-refusal-reason"), Some(reason), "{body}");
    assert!(answer.header("x-refusal-detail").is_some());
    let zone = service.get("/zones/z").await;
    assert!(zone.status == 404 || zone.json()["total_sessions"] == 0, "nothing half-made");
}

fn on(host: &str) -> Value {
    json!({ "host_id": host, "zone_id": "z", "player_ids": [] })
}

async fn a_named_host_and_the_zone_must_allow_it(service: Service) {
    refused(&service, on("h"), "unknown_host").await;
    service.host("h").await;
    refused(&service, on("h"), "unknown_zone").await;
    service.zone("z", 5).await;
    refused(&service, on("i"), "unknown_host").await;
    service.post_nothing("/zones/z/disable-p2p").await.is(200);
    refused(&service, on("h"), "zone_closed").await;
    service.post_nothing("/zones/z/enable-p2p").await.is(200);
    let full = with(with(beat(), "current_players", json!(50)), "current_zones", json!(5));
    service.post("/hosts/h/heartbeat", full).await.is(200);
    refused(&service, on("h"), "host_full").await;
    service.post("/hosts/h/heartbeat", with(beat(), "current_zones", json!(5))).await.is(200);
    refused(&service, on("h"), "host_full").await;
    service.post("/hosts/h/heartbeat", beat()).await.is(200);
    create(&service, on("h")).await.is(201);
}

async fn a_zones_demands_are_checked(service: Service) {
    // What the zone asks, what the host reports, and whether that is enough.
    let cases = [
        ("max_latency_ms", json!(50), "latency_ms", json!(50), true),
        ("max_latency_ms", json!(50), "latency_ms", json!(50.5), false),
        ("min_host_quality_score", json!(9), "latency_ms", json!(100), true),
        ("min_host_quality_score", json!(9), "latency_ms", json!(101), false),
        ("min_host_quality_score", json!(10), "current_players", json!(1), false),
        ("min_bandwidth_mbps", json!(1000), "latency_ms", json!(0), true),
        ("min_bandwidth_mbps", json!(1001), "latency_ms", json!(0), false),
    ];
    service.host("h").await;
    for (number, (asks, least, reports, value, enough)) in cases.into_iter().enumerate() {
        let id = format!("z{number}");
        let lenient = with(zone(&id), "max_latency_ms", json!(100_000));
        let lenient = with(lenient, "min_host_quality_score", json!(0));
        service.post("/zones/", with(lenient, asks, least)).await.is(201);
        service.post("/hosts/h/heartbeat", with(beat(), reports, value)).await.is(200);
        let answer = create(&service, with(on("h"), "zone_id", json!(id))).await;
        assert_eq!(answer.status, if enough { 201 } else { 400 }, "case {number}: {answer:?}");
        if enough {
            let id = &answer.json()["id"];
            service.post_nothing(&format!("/sessions/{id}/end")).await.is(200);
        } else {
            assert_eq!(answer.header("x-refusal-reason"), Some("host_unfit"), "case {number}");
        }
    }
}

async fn without_a_host_the_best_one_is_chosen(service: Service) {
    service.zone("z", 50).await;
    let mut numbers = Vec::new();
    for (id, latency) in [("a", 20), ("b", 10), ("c", 30)] {
        numbers.push(service.host(id).await["id"].clone());
        let beat = with(beat(), "latency_ms", json!(latency));
        service.post(&format!("/hosts/{id}/heartbeat"), beat).await.is(200);
    }
    let anywhere = json!({ "zone_id": "z", "player_ids": ["p", "q", "r"] });
    let made = create(&service, anywhere).await.is(201);
    assert_eq!((&made["host_id"], &made["status"]), (&numbers[1], &json!("pending")));
    let many: Vec<_> = (0..45).map(|number| format!("player {number}")).collect();
    let made = create(&service, json!({ "zone_id": "z", "player_ids": many })).await.is(201);
    assert_eq!(made["host_id"], numbers[0], "three players cost b a point and a half");
}

async fn without_a_host_that_fits_it_is_refused(service: Service) {
    let anywhere = json!({ "zone_id": "z", "player_ids": [] });
    refused(&service, anywhere.clone(), "unknown_zone").await;
    service.zone("z", 5).await;
    refused(&service, anywhere.clone(), "no_host").await;
    service.post("/hosts/register", with(host("h"), "network_speed_mbps", json!(99))).await.is(201);
    refused(&service, anywhere.clone(), "no_host").await;
    service.host("h").await;
    create(&service, anywhere).await.is(201);
}

async fn a_host_serves_as_many_zones_as_it_says(service: Service) {
    service.host("h").await;
    for number in 0..6 {
        service.zone(&format!("z{number}"), 5).await;
    }
    for number in 0..5 {
        service.session("h", &format!("z{number}"), &[]).await;
    }
    let sixth = create(&service, with(on("h"), "zone_id", json!("z5"))).await;
    assert_eq!(sixth.header("x-refusal-reason"), Some("host_full"), "{sixth:?}");
    // Another session of a zone that it serves is no sixth zone.
    create(&service, with(on("h"), "zone_id", json!("z4"))).await.is(201);
    assert_eq!(service.get("/hosts/h").await.is(200)["current_zones"], 5);
    assert_eq!(service.get("/hosts/available/list").await.is(200), json!([]));
}
