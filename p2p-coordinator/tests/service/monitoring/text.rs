//! What Prometheus is told.

use std::time::Duration;

use p2p_coordinator::service::signaling::Knock;
use p2p_coordinator::store::MemoryStore;
use serde_json::json;

use super::{ask, broken, populate, with_settings};
use crate::fixture::{Service, beat, coordinator, on_both_stores};
use crate::security::{Shown, guarded};

on_both_stores!(the_contracts_ten_numbers_are_told_without_labels);

/// The value of a sample, by its name and labels.
fn value(text: &str, sample: &str) -> Option<f64> {
    let line = text.lines().find_map(|line| line.strip_prefix(sample)?.strip_prefix(' '))?;
    Some(line.parse().expect("a number"))
}

async fn told(service: &Service) -> String {
    let answer = ask(service, "/metrics").await;
    assert_eq!(answer.status, 200);
    answer.text
}

async fn the_contracts_ten_numbers_are_told_without_labels(service: Service) {
    populate(&service).await;
    for path in ["/metrics", "/api/v1/monitoring/metrics", "/api/monitoring/metrics"] {
        let answer = ask(&service, path).await;
        assert_eq!(answer.status, 200);
        let kind = answer.header("content-type");
        assert_eq!(kind, Some("text/plain; version=0.0.4; charset=utf-8"));
        for (name, expected) in [
            ("p2p_hosts_total", 2.0),
            ("p2p_hosts_online", 2.0),
            ("p2p_zones_total", 2.0),
            ("p2p_zones_enabled", 1.0),
            ("p2p_sessions_total", 2.0),
            ("p2p_sessions_active", 1.0),
            ("p2p_players_total", 2.0),
            ("p2p_session_latency_ms_avg", 30.0),
            ("p2p_coordinator_up", 1.0),
        ] {
            assert_eq!(value(&answer.text, name), Some(expected), "{name} at {path}");
            let kind = format!("# TYPE {name} gauge\n");
            assert!(answer.text.contains(&kind), "{kind}");
        }
        let score = value(&answer.text, "p2p_host_quality_score_avg").expect("a score");
        assert!((50.0..=100.0).contains(&score), "{score}");
    }
}

#[tokio::test]
async fn without_its_store_nothing_is_told_but_that() {
    let service = broken().await;
    for path in ["/metrics", "/api/v1/monitoring/metrics"] {
        let answer = ask(&service, path).await;
        assert_eq!(answer.status, 200);
        let samples: Vec<_> = answer.text.lines().filter(|line| !line.starts_with('#')).collect();
        assert_eq!(samples, ["p2p_coordinator_up 0"]);
    }
}

#[tokio::test]
async fn turned_off_it_is_404_at_the_path_that_scrapers_ask() {
    let service = with_settings(|settings| settings.prometheus = false);
    let off = ask(&service, "/metrics").await.is(404);
    assert_eq!(off, json!({ "error": "Prometheus metrics are disabled" }));
    assert_eq!(ask(&service, "/api/v1/monitoring/metrics").await.status, 200);
}

#[tokio::test]
async fn requests_are_counted_by_pattern_and_never_by_path() {
    let service = with_settings(|_| {});
    service.host("h").await;
    for id in ["h", "h", "secret-name"] {
        service.get(&format!("/hosts/{id}")).await;
    }
    service.get("/secret/path").await.is(404);
    service.delete("/zones/").await.is(405);
    let text = told(&service).await;
    let requests = |method: &str, route: &str, status: &str| {
        let labels = format!("method=\"{method}\",route=\"{route}\",status=\"{status}\"");
        value(&text, &format!("p2p_http_requests_total{{{labels}}}"))
    };
    assert_eq!(requests("GET", "/api/v1/hosts/{host_id}", "2xx"), Some(2.0), "{text}");
    assert_eq!(requests("GET", "/api/v1/hosts/{host_id}", "4xx"), Some(1.0));
    assert_eq!(requests("POST", "/api/v1/hosts/register", "2xx"), Some(1.0));
    assert_eq!(requests("GET", "none", "4xx"), Some(1.0));
    assert_eq!(requests("DELETE", "/api/v1/zones/", "4xx"), Some(1.0));
    let count = "p2p_http_request_duration_seconds_count{route=\"/api/v1/hosts/{host_id}\"}";
    assert_eq!(value(&text, count), Some(3.0));
    assert!(!text.contains("secret"), "{text}");
}

#[tokio::test]
async fn refusals_are_counted() {
    let mut security = guarded();
    security.rates.enabled = true;
    security.rates.wrong.requests = 100;
    security.rates.others.requests = 3;
    let service = Service::secured(security);
    let stranger = Shown::Nothing;
    for _ in 0..5 {
        crate::security::ask(&service, "GET", "/hosts/", None, &stranger).await;
    }
    let key = Shown::Key(crate::security::SERVICE);
    let answer = crate::security::ask(&service, "GET", "/monitoring/metrics", None, &key).await;
    assert_eq!(answer.status, 200);
    let text = answer.text;
    assert_eq!(value(&text, "p2p_logins_refused_total{door=\"http\"}"), Some(3.0), "{text}");
    assert_eq!(value(&text, "p2p_rate_limited_total"), Some(2.0));
}

#[tokio::test(start_paused = true)]
async fn signaling_and_heartbeats_are_counted() {
    let coordinator = coordinator(MemoryStore::new(), 1);
    let service = Service::of(coordinator.clone(), None);
    service.host("h").await;
    service.post("/hosts/h/heartbeat", beat()).await.is(200);
    let writing = coordinator.clone();
    let writing = tokio::spawn(async move { writing.write_heartbeats().await });
    tokio::time::sleep(Duration::from_millis(1)).await;
    for _ in 0..2 {
        service.post("/hosts/h/heartbeat", beat()).await.is(200);
    }
    writing.abort();
    assert!(coordinator.connect(&Knock::new("nobody")).is_err());
    let login = service.post("/auth/token", json!({ "player_id": "p" })).await.is(200);
    let mut knock = Knock::new("p");
    knock.token = login["access_token"].as_str();
    let line = coordinator.connect(&knock).expect("let in");
    for said in ["{\"type\":\"ping\"}", "nonsense"] {
        line.say(said).await;
    }
    let text = told(&service).await;
    for (sample, expected) in [
        ("p2p_heartbeats_total{how=\"written\"}", 1.0),
        ("p2p_heartbeats_total{how=\"absorbed\"}", 2.0),
        ("p2p_logins_refused_total{door=\"signaling\"}", 1.0),
        ("p2p_signaling_connections", 1.0),
        ("p2p_signaling_connects_total", 1.0),
        ("p2p_signaling_messages_total", 2.0),
    ] {
        assert_eq!(value(&text, sample), Some(expected), "{sample} in {text}");
    }
}
