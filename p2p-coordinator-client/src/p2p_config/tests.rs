use serde_json::json;

use super::*;

/// The file of the coordinator's integration guide.
fn guide() -> Value {
    json!({
        "coordinator": {
            "rest_api_url": "http://localhost:8001/api/v1",
            "websocket_url": "ws://localhost:8001/api/v1/signaling/ws",
            "timeout_ms": 5000,
            "api_key": "",
        },
        "webrtc": {
            "stun_servers": ["stun:stun.example.net:19302", "stun:stun1.example.net:19302"],
            "turn_servers": [],
            "max_peers": 50,
            "connection_timeout_ms": 10000,
        },
        "p2p": {
            "enabled": true,
            "fallback_to_server": true,
            "packet_types": {
                "movement": true, "chat": true, "emotes": true, "skills": false, "items": false,
            },
        },
        "security": { "encryption_enabled": false, "algorithm": "AES-256-GCM" },
        "logging": {
            "level": "INFO", "file": "logs/p2p_dll.log", "max_file_size_mb": 10, "max_files": 5,
            "console_output": true,
        },
    })
}

fn read(value: &Value) -> Result<P2pConfig, P2pConfigError> {
    P2pConfig::from_json(&value.to_string())
}

/// The guide's file with one key changed.
fn with(key: &str, value: Value) -> Result<P2pConfig, P2pConfigError> {
    let mut file = guide();
    let mut place = &mut file;
    for part in key.split('.') {
        place = &mut place[part];
    }
    *place = value;
    read(&file)
}

fn refusals(config: &P2pConfig) -> Vec<&str> {
    config.refused().iter().map(|refused| &*refused.key).collect()
}

#[test]
fn the_guides_file_is_read_and_what_has_no_effect_is_told() {
    let config = read(&guide()).expect("a configuration");
    assert_eq!(
        refusals(&config),
        [
            "logging.file",
            "logging.max_file_size_mb",
            "logging.max_files",
            "security.algorithm",
            "security.encryption_enabled",
        ]
    );
    let plain = P2pConfig { refused: Vec::new(), ice_servers: IceServers::default(), ..config };
    assert_eq!(plain, P2pConfig::default(), "the guide shows defaults");
}

/// A value that is not the default, and the configuration that it makes.
type Case = (&'static str, Value, fn(&mut P2pConfig));

#[test]
fn each_key_that_works_does_what_it_says() {
    let cases: &[Case] = &[
        ("coordinator.timeout_ms", json!(250), |c| c.request_timeout = Duration::from_millis(250)),
        ("coordinator.timeout_seconds", json!(7), |c| c.request_timeout = Duration::from_secs(7)),
        ("coordinator.api_key", json!("k"), |c| c.api_key = Some(ApiKey::new("k"))),
        ("security.api_key", json!("k"), |c| c.api_key = Some(ApiKey::new("k"))),
        ("coordinator.reconnect_max_attempts", json!(5), |c| c.max_attempts = 6),
        ("webrtc.turn_servers", json!(["turn:u:p@h:1"]), |c| {
            c.ice_servers.turn = vec!["turn:u:p@h:1".into()];
        }),
        ("webrtc.stun_servers", json!([]), |c| c.ice_servers.stun.clear()),
        ("webrtc.max_peers", json!(7), |c| c.max_peers = 7),
        ("webrtc.connection_timeout_ms", json!(5), |c| {
            c.connection_timeout = Duration::from_millis(5);
        }),
        ("p2p.enabled", json!(false), |c| c.enabled = false),
        ("p2p.fallback_to_server", json!(false), |c| c.fallback_to_server = false),
        ("zones.fallback_on_failure", json!(false), |c| c.fallback_to_server = false),
        ("p2p.packet_types.movement", json!(false), |c| c.packet_types.movement = false),
        ("p2p.packet_types.chat", json!(false), |c| c.packet_types.chat = false),
        ("p2p.packet_types.emotes", json!(false), |c| c.packet_types.emotes = false),
        ("security.jwt_token", json!("t"), |c| c.access_token = Some(AccessToken("t".into()))),
        ("logging.level", json!("warning"), |c| c.log_level = LogLevel::Warn),
        ("logging.console_output", json!(false), |c| c.console_output = false),
        ("zones.p2p_enabled_zones", json!(["a"]), |c| {
            c.zones = Some(["a".parse().expect("an id")].into());
        }),
        ("host.enable_hosting", json!(false), |c| c.hosting = false),
        ("host.max_players", json!(9), |c| c.max_players = Some(9)),
        ("host.max_zones", json!(2), |c| c.max_zones = Some(2)),
    ];
    let plain = read(&guide()).expect("a configuration");
    for (key, value, change) in cases {
        let mut changed = plain.clone();
        change(&mut changed);
        assert_ne!(changed, plain, "{key} changes something");
        assert_eq!(with(key, value.clone()), Ok(changed), "{key}");
    }
    let mut elsewhere = guide();
    elsewhere["coordinator"]["rest_api_url"] = json!("https://c.example.net/api/v1/");
    elsewhere["coordinator"]["websocket_url"] = json!("wss://c.example.net/api/v1/signaling/ws");
    let config = read(&elsewhere).expect("a configuration");
    assert_eq!(config.coordinator.to_string(), "https://c.example.net");
}

#[test]
fn each_key_that_does_not_work_is_refused_with_a_reason() {
    for (key, value) in [
        ("p2p.packet_types.skills", json!(true)),
        ("p2p.packet_types.items", json!(true)),
        ("security.enable_encryption", json!(false)),
        ("security.certificate_validation", json!(false)),
        ("security.enable_authentication", json!(true)),
        ("security.tls_version", json!("1.3")),
        ("webrtc.bundle_policy", json!("balanced")),
        ("p2p.packet_queue_size", json!(1000)),
        ("performance.worker_threads", json!(4)),
        ("host.heartbeat_interval_seconds", json!(30)),
        ("logging.async_logging", json!(true)),
        ("p2p.tpyo", json!(1)),
    ] {
        let config = with(key, value).expect(key);
        let found = config.refused().iter().find(|refused| refused.key == key);
        assert!(found.is_some_and(|refused| refused.reason.len() > 10), "{key}");
        let plain = read(&guide()).expect("a configuration");
        assert_eq!(P2pConfig { refused: plain.refused.clone(), ..config }, plain, "{key}");
    }
}

#[test]
fn each_key_of_the_list_refuses_what_it_cannot_be() {
    for (key, _) in KEYS {
        for wrong in [json!({}), json!(null), json!(-1), json!([[]])] {
            let outcome = with(key, wrong.clone());
            // An empty section has nothing wrong in it.
            let is_wrong = wrong == json!({})
                || outcome.as_ref().is_err_and(|error| error.to_string().contains(key));
            assert!(is_wrong, "{key} = {wrong}: {outcome:?}");
        }
    }
}

#[test]
fn all_that_is_wrong_is_told_at_once() {
    let mut file = guide();
    file["coordinator"]["websocket_url"] = json!("ws://other:8001/api/v1/signaling/ws");
    file["coordinator"]["timeout_ms"] = json!("soon");
    file["security"]["algorithm"] = json!("ROT13");
    file["webrtc"]["turn_servers"] = json!(["https://user:secret@h"]);
    let error = read(&file).expect_err("it is wrong");
    assert_eq!(error.problems.len(), 4, "{error}");
    assert!(!error.to_string().contains("secret"), "{error}");
    for text in ["", "[]", "{", "{} // with a comment"] {
        assert!(P2pConfig::from_json(text).is_err(), "{text}");
    }
    assert!(P2pConfig::from_json(&" ".repeat(MAX_P2P_CONFIG + 1)).is_err());
    let nowhere = P2pConfig::from_json("{}").expect_err("no coordinator");
    assert_eq!(nowhere.problems, ["coordinator.rest_api_url has to be given"]);
    let elsewhere = with("coordinator.rest_api_url", json!("http://localhost:8001"));
    assert!(elsewhere.is_err_and(|error| error.to_string().contains("/api/v1")));
}

#[test]
fn a_lookup_is_stronger_than_the_file_and_enough_by_itself() {
    let lookup = |key: &str| match key {
        "coordinator.rest_api_url" => Some("http://10.0.0.1:8001/api/v1".to_owned()),
        "coordinator.timeout_ms" => Some("123".to_owned()),
        "coordinator.api_key" => Some("k".to_owned()),
        _ => None,
    };
    let alone = P2pConfig::load(None, lookup).expect("a configuration");
    assert_eq!(alone.coordinator.to_string(), "http://10.0.0.1:8001");
    let mut file = guide();
    file["coordinator"].as_object_mut().expect("an object").remove("websocket_url");
    let both = P2pConfig::load(Some(&file.to_string()), lookup).expect("a configuration");
    assert_eq!(both.request_timeout, Duration::from_millis(123));
    assert_eq!(both.api_key, Some(ApiKey::new("k")));
    assert!(!format!("{:?}", with("security.jwt_token", json!("hidden"))).contains("hidden"));
}

#[test]
fn zones_that_are_not_named_and_p2p_that_is_off_are_the_servers() {
    let zone = |name: &str| name.parse().expect("an id");
    let config = with("zones.p2p_enabled_zones", json!(["prontera"])).expect("a configuration");
    assert_eq!(config.closed(&zone("prontera")), None);
    assert!(config.closed(&zone("payon")).is_some());
    let config = with("p2p.enabled", json!(false)).expect("a configuration");
    assert!(config.closed(&zone("prontera")).is_some_and(|why| why.contains("switched off")));
}

#[test]
fn the_document_has_each_key_and_what_becomes_of_it() {
    let document = include_str!("../../../docs/coordinator-clients.md");
    for (key, _) in KEYS {
        assert!(document.contains(&format!("\n| `{key}` | ")), "{key}");
    }
    let rows = document.lines().filter(|line| line.starts_with("| `") && line.contains('.'));
    let named = rows.filter(|row| KEYS.iter().any(|(key, _)| row.contains(&format!("`{key}` |"))));
    assert_eq!(named.count(), KEYS.len());
}
