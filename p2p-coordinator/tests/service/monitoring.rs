//! What the service tells of itself in numbers, and by which name a request is known.

mod ids;
mod text;

use p2p_coordinator::service::{Coordinator, Settings};
use p2p_coordinator::store::sqlite::{Durability, SqliteStore};
use p2p_coordinator::store::{MemoryStore, Store as _};
use p2p_coordinator::world::{Clock, Randomness};
use serde_json::json;

use crate::ask::{Answer, request};
use crate::fixture::{
    EPOCH, Service, beat, coordinator, fields, host, key, on_both_stores, with, zone,
};
use crate::folder::Folder;

on_both_stores!(the_dashboard_counts_all_there_is, hosts_are_counted_by_how_good_they_are);

async fn ask(service: &Service, path: &str) -> Answer {
    service.send(request("GET", path, None)).await
}

fn with_settings(change: impl FnOnce(&mut Settings)) -> Service {
    let mut settings = Settings::default();
    change(&mut settings);
    let (clock, random) = (Clock::starting_at(EPOCH), Randomness::new([1; 32]));
    Service::of(Coordinator::new(MemoryStore::new(), key(), clock, random, settings), None)
}

/// Its store answers no more.
async fn broken() -> Service {
    let folder = Folder::new();
    let store = SqliteStore::open(folder.file("test.db"), Durability::Process);
    let coordinator = coordinator(store.expect("a database"), 1);
    coordinator.store().close().await;
    Service::of(coordinator, Some(folder))
}

/// Two hosts, one of them measured; two zones, one open to peers; two sessions, one active with two
/// players.
async fn populate(service: &Service) {
    service.host("near").await;
    service.host("far").await;
    let measured = with(beat(), "latency_ms", json!(30));
    service.post("/hosts/near/heartbeat", measured).await.is(200);
    service.zone("open", 5).await;
    let closed = with(zone("closed"), "p2p_enabled", json!(false));
    service.post("/zones/", closed).await.is(201);
    let active = service.session("near", "open", &["a", "b"]).await;
    service.post_nothing(&format!("/sessions/{active}/activate")).await.is(200);
    service.session("near", "open", &["c"]).await;
}

async fn the_dashboard_counts_all_there_is(service: Service) {
    populate(&service).await;
    for prefix in ["/api/v1", "/api"] {
        let dashboard = ask(&service, &format!("{prefix}/monitoring/dashboard")).await.is(200);
        let near = service.get("/hosts/near").await.is(200)["quality_score"].clone();
        let far = service.get("/hosts/far").await.is(200)["quality_score"].clone();
        let mean = (near.as_f64().expect("a score") + far.as_f64().expect("a score")) / 2.0;
        assert_eq!(fields(&dashboard), ["hosts", "sessions", "system", "zones"]);
        let hosts = &dashboard["hosts"];
        assert_eq!(fields(hosts), ["average_quality_score", "offline", "online", "total"]);
        assert_eq!((&hosts["total"], &hosts["online"]), (&json!(2), &json!(2)));
        assert_eq!(hosts["offline"], 0);
        let told = hosts["average_quality_score"].as_f64().expect("a number");
        assert!((told - mean).abs() <= 0.01, "{told} is not the mean of {near} and {far}");
        assert_eq!(dashboard["zones"], json!({ "total": 2, "enabled": 1, "disabled": 1 }));
        let sessions = json!({
            "total": 2, "active": 1, "inactive": 1, "total_players": 2, "average_latency_ms": 30.0,
        });
        assert_eq!(dashboard["sessions"], sessions);
        let system = dashboard["system"].as_object().expect("an object");
        assert!(system.values().all(|state| state == "connected") && !system.is_empty());
    }
}

async fn hosts_are_counted_by_how_good_they_are(service: Service) {
    let empty = json!({
        "total_online": 0,
        "quality_distribution": { "excellent": 0, "good": 0, "fair": 0, "poor": 0 },
    });
    assert_eq!(service.get("/monitoring/hosts/stats").await.is(200), empty);
    // Less by 0, 20, 30 and 50.
    for (id, latency, loss) in [("a", 0, 0), ("b", 200, 0), ("c", 300, 0), ("d", 300, 10)] {
        service.post("/hosts/register", host(id)).await.is(201);
        let measured = with(beat(), "latency_ms", json!(latency));
        let measured = with(measured, "packet_loss_percent", json!(loss));
        service.post(&format!("/hosts/{id}/heartbeat"), measured).await.is(200);
    }
    let expected = service.get("/hosts/").await.is(200);
    let scores = expected.as_array().expect("a list").iter();
    let scores: Vec<f64> = scores.filter_map(|host| host["quality_score"].as_f64()).collect();
    let count =
        |from: f64, to: f64| scores.iter().filter(|score| (from..to).contains(*score)).count();
    let told = ask(&service, "/api/monitoring/hosts/stats").await.is(200);
    let distribution = json!({
        "excellent": count(90.0, 200.0), "good": count(70.0, 90.0),
        "fair": count(50.0, 70.0), "poor": count(-1.0, 50.0),
    });
    assert_eq!(told, json!({ "total_online": 4, "quality_distribution": distribution }));
    assert!(scores.first() != scores.last(), "{scores:?}");
}

#[tokio::test]
async fn without_its_store_the_dashboard_is_zeros_and_a_sentence_without_internals() {
    let service = broken().await;
    let answer = service.get("/monitoring/dashboard").await;
    let zeros = json!({
        "hosts": { "total": 0, "online": 0, "offline": 0, "average_quality_score": 0.0 },
        "zones": { "total": 0, "enabled": 0, "disabled": 0 },
        "sessions": {
            "total": 0, "active": 0, "inactive": 0, "total_players": 0, "average_latency_ms": 0.0,
        },
        "system": { "sqlite": "unavailable" },
        "error": "The database cannot be asked at this moment: try again",
    });
    assert_eq!(answer.is(200), zeros);
    let stats = service.get("/monitoring/hosts/stats").await;
    assert!(stats.status >= 500 && !stats.text.contains("sqlite"), "{stats:?}");
}
