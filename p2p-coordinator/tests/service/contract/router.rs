//! Paths, methods, redirections; what the service says about itself.

use serde_json::{Value, json};

use crate::ask::{Answer, request};
use crate::fixture::{Service, fields, on_both_stores};

on_both_stores!(
    the_service_says_what_it_is_and_how,
    unknown_paths_are_404,
    other_methods_are_405_and_name_those_there_are,
    a_slash_too_few_or_too_many_is_redirected,
    a_redirection_stays_on_this_server,
);

async fn ask(service: &Service, method: &str, path: &str) -> Answer {
    service.send(request(method, path, None)).await
}

async fn the_service_says_what_it_is_and_how(service: Service) {
    service.zone("z", 5).await;
    let root = ask(&service, "GET", "/").await.is(200);
    let expected = json!({
        "service": "p2p-coordinator", "version": env!("CARGO_PKG_VERSION"), "status": "running",
        "p2p_enabled": true, "enabled_zones": ["z"],
    });
    assert_eq!(root, expected);
    let health = ask(&service, "GET", "/health?deep=1").await.is(200);
    assert_eq!(fields(&health), ["database", "service", "status", "version"]);
    assert_eq!(health["status"], "healthy");
    let stores: Vec<_> = health["database"].as_object().expect("an object").values().collect();
    assert_eq!(stores, [&json!("connected")]);
    let ready = ask(&service, "GET", "/ready").await.is(200);
    assert_eq!(ready["status"], "ready");
}

async fn unknown_paths_are_404(service: Service) {
    for path in [
        "/nope",
        "/api",
        "/api/v1",
        "/api/v1/",
        "/API/v1/hosts/",
        "/api/v1/hosts/h/nope",
        "/api/v1/hosts//",
        "/api/v1/hosts//heartbeat",
        "/api/v1/hosts/%ff",
        "/api/v1/sessions//activate",
        "/api/v1/sessions/host/h",
        "/healthz",
    ] {
        for method in ["GET", "POST", "DELETE", "PUT", "PATCH", "OPTIONS"] {
            let answer = ask(&service, method, path).await;
            // A method that a path does not have is told before its text is looked at.
            if answer.status != 405 || !(path.contains("%ff") || path.contains("//")) {
                answer.says(404, "Not Found");
            }
        }
    }
}

async fn other_methods_are_405_and_name_those_there_are(service: Service) {
    for (path, allowed) in [
        ("/", "GET"),
        ("/health", "GET"),
        ("/ready", "GET"),
        ("/api/v1/hosts/", "GET"),
        ("/api/v1/hosts/register", "POST"),
        ("/api/v1/hosts/challenge", "POST"),
        ("/api/v1/hosts/available/list", "GET"),
        ("/api/v1/hosts/available/best", "GET"),
        ("/api/v1/hosts/h", "GET, DELETE"),
        ("/api/v1/hosts/h/heartbeat", "POST"),
        ("/api/v1/zones/", "GET, POST"),
        ("/api/v1/zones/z", "GET"),
        ("/api/v1/zones/p2p/enabled", "GET"),
        ("/api/v1/zones/z/enable-p2p", "POST"),
        ("/api/v1/zones/z/disable-p2p", "POST"),
        ("/api/v1/sessions/", "POST"),
        ("/api/v1/sessions/join", "POST"),
        ("/api/v1/sessions/1", "GET"),
        ("/api/v1/sessions/1/activate", "POST"),
        ("/api/v1/sessions/1/pause", "POST"),
        ("/api/v1/sessions/1/end", "POST"),
        ("/api/v1/sessions/1/players", "POST"),
        ("/api/v1/sessions/1/players/p", "DELETE"),
        ("/api/v1/sessions/host/h/active", "GET"),
        ("/api/v1/sessions/zone/z/active", "GET"),
    ] {
        for method in ["GET", "POST", "DELETE", "PUT", "PATCH", "OPTIONS", "HEAD", "TRACE", "ODD"] {
            let answer = ask(&service, method, path).await;
            if allowed.split(", ").any(|one| one == method) {
                assert_ne!(answer.status, 405, "{method} {path}");
                continue;
            }
            assert_eq!(answer.status, 405, "{method} {path}");
            assert_eq!(answer.header("allow"), Some(allowed), "{method} {path}");
            if method != "HEAD" {
                answer.says(405, "Method Not Allowed");
            }
        }
    }
}

async fn a_slash_too_few_or_too_many_is_redirected(service: Service) {
    for (path, to) in [
        ("/api/v1/hosts", "/api/v1/hosts/"),
        ("/api/v1/zones?p2p_enabled=1&x=%20", "/api/v1/zones/?p2p_enabled=1&x=%20"),
        ("/api/v1/sessions", "/api/v1/sessions/"),
        ("/health/", "/health"),
        ("/ready/", "/ready"),
        ("/api/v1/hosts/h/", "/api/v1/hosts/h"),
        ("/api/v1/hosts/a%2Fb/", "/api/v1/hosts/a%2Fb"),
        ("/api/v1/hosts/register/", "/api/v1/hosts/register"),
        ("/api/v1/hosts/available/best/?a=b", "/api/v1/hosts/available/best?a=b"),
        ("/api/v1/zones/z/enable-p2p/", "/api/v1/zones/z/enable-p2p"),
        ("/api/v1/sessions/1/players/p/", "/api/v1/sessions/1/players/p"),
    ] {
        for method in ["GET", "POST", "DELETE", "HEAD"] {
            let answer = ask(&service, method, path).await;
            assert_eq!(
                (answer.status, answer.header("location")),
                (307, Some(to)),
                "{method} {path}"
            );
            assert_eq!(answer.text, "");
        }
    }
    // Who follows it sends the same again.
    let zone: Value = crate::fixture::zone("z");
    let first = service.post("/zones", zone.clone()).await;
    let location = first.header("location").expect("a location");
    service.send(request("POST", location, Some(&zone))).await.is(201);
}

async fn a_redirection_stays_on_this_server(service: Service) {
    for path in ["//health/", "//evil.example/health/", "//api/v1/hosts", "/\\evil/"] {
        let Ok(uri) = path.parse::<http::Uri>() else { continue };
        if uri.path() != path {
            continue;
        }
        let answer = ask(&service, "GET", path).await;
        assert_eq!((answer.status, answer.header("location")), (404, None), "{path}");
    }
}
