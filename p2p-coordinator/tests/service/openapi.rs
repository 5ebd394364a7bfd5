//! `/openapi.json`, and the page to try it.

use http::Method;
use p2p_coordinator::security::SecuritySettings;
use serde_json::{Value, json};

use crate::ask::{raw, request};
use crate::fixture::Service;

async fn document(service: &Service) -> Value {
    service.send(raw("GET", "/openapi.json", None, "")).await.is(200)
}

#[tokio::test]
async fn every_path_that_is_described_answers_under_both_prefixes() {
    let service = Service::without_socket_in_memory();
    let document = document(&service).await;
    assert_eq!(document["openapi"], "3.1.0");
    let mut count = 0;
    for (path, methods) in document["paths"].as_object().expect("paths") {
        for method in methods.as_object().expect("methods").keys() {
            let method = Method::from_bytes(method.to_uppercase().as_bytes()).expect("a method");
            for path in [path.clone(), path.replace("/api/v1/", "/api/")] {
                let path = path.replace("{session_id}", "1").replace(['{', '}'], "");
                let answer = service.send(request(method.as_str(), &path, None)).await;
                assert_ne!(answer.status, 405, "{method} {path}");
                let nothing = answer.text == r#"{"detail":"Not Found"}"#;
                // What asks for no WebSocket finds none.
                assert!(!nothing || path.ends_with("/ws"), "{method} {path}");
                count += 1;
            }
        }
    }
    assert!(count > 80, "{count} operations");
}

#[tokio::test]
async fn it_says_how_to_show_who_asks_as_the_service_is_set() {
    let open = document(&Service::without_socket_in_memory()).await;
    let list = |document: &Value| document["paths"]["/api/v1/hosts/"]["get"]["security"].clone();
    assert_eq!(list(&open), json!([{}, { "bearer": [] }]));
    let mut security = SecuritySettings::default();
    security.check_api_keys = true;
    security.api_key_header = "X-Game-Key".into();
    // Who may not ask for hosts may still read how to.
    let keyed = document(&Service::secured(security)).await;
    assert_eq!(list(&keyed), json!([{ "apiKey": [] }, { "bearer": [] }]));
    let scheme = &keyed["components"]["securitySchemes"]["apiKey"];
    assert_eq!((&scheme["in"], &scheme["name"]), (&json!("header"), &json!("X-Game-Key")));
}

#[tokio::test]
async fn bounds_are_those_with_which_requests_are_read() {
    let document = document(&Service::without_socket_in_memory()).await;
    let schemas = &document["components"]["schemas"];
    let host = &schemas["RegisterHost"];
    let port = &host["properties"]["port"]["anyOf"][0];
    assert_eq!(*port, json!({ "type": "integer", "minimum": 1, "maximum": 65_535 }));
    assert_eq!(host["properties"]["ip_address"]["anyOf"][1]["format"], "ipv6");
    assert_eq!(host["properties"]["player_name"]["maxLength"], 255);
    assert_eq!(host["properties"]["ice_servers"]["type"], json!(["object", "null"]));
    let required = ["host_id", "player_id", "player_name", "ip_address", "port", "cpu_cores"];
    assert_eq!(host["required"].as_array().expect("names")[..6], required.map(Value::from));
    assert_eq!(schemas["DefineZoneRequest"]["properties"]["max_players"]["default"], 100);
    assert_eq!(schemas["CreateSession"]["required"], json!(["zone_id", "player_ids"]));
    let parameters = &document["paths"]["/api/v1/zones/{zone_id}/status"]["patch"]["parameters"];
    assert_eq!(parameters[1]["name"], "new_status");
    assert_eq!(parameters[1]["required"], true);
}

#[tokio::test]
async fn the_page_and_all_that_it_loads_come_from_the_service() {
    let service = Service::without_socket_in_memory();
    let page = service.send(raw("GET", "/docs", None, "")).await;
    assert_eq!(page.status, 200);
    assert_eq!(page.header("content-type"), Some("text/html; charset=utf-8"));
    assert!(!page.text.contains("://"), "it names another server: {}", page.text);
    let links = page.text.split(['"']).filter(|text| text.starts_with("docs/"));
    let mut count = 0;
    for link in links {
        let file = service.send(raw("GET", &format!("/{link}"), None, "")).await;
        assert_eq!(file.status, 200, "{link}");
        assert!(file.text.len() > 100, "{link}");
        count += 1;
    }
    assert_eq!(count, 3, "a style, an icon, a script");
    assert!(page.text.contains("\"openapi.json\""));
    service.send(raw("GET", "/docs/../Cargo.toml", None, "")).await.says(404, "Not Found");
    let other = service.send(raw("GET", "/redoc", None, "")).await;
    assert_eq!((other.status, other.header("location")), (307, Some("/docs")));
}
