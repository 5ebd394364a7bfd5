//! Each request has a name.

use http::Request;

use super::with_settings;
use crate::ask::{Answer, request};
use crate::fixture::Service;
use crate::security::header;

async fn named(service: &Service, id: &[u8]) -> Answer {
    let mut request: Request<_> = request("GET", "/health", None);
    let id = http::HeaderValue::from_bytes(id).expect("a value");
    request.headers_mut().insert("x-request-id", id);
    service.send(request).await
}

#[tokio::test]
async fn a_request_keeps_the_name_that_it_came_with() {
    let service = with_settings(|_| {});
    let longest = "x".repeat(128);
    for id in ["7", "a-b_c.d/e:f=", &longest] {
        assert_eq!(named(&service, id.as_bytes()).await.header("x-request-id"), Some(id));
    }
}

#[tokio::test]
async fn a_name_that_is_no_name_is_replaced() {
    let service = with_settings(|_| {});
    let too_long = "x".repeat(129);
    for id in [&b""[..], b"a b", b"\xc3\xa9", b"a\tb", too_long.as_bytes()] {
        let answer = named(&service, id).await;
        let given = answer.header("x-request-id").expect("a name");
        assert!(given.as_bytes() != id && given.len() <= 40, "{given}");
    }
}

#[tokio::test]
async fn requests_without_a_name_get_different_ones_and_the_same_in_each_run() {
    let mut runs = Vec::new();
    for _ in 0..2 {
        let service = with_settings(|_| {});
        let mut names = Vec::new();
        for path in ["/health", "/no/such/path", "/api/v1/hosts/h"] {
            let answer = service.send(request("GET", path, None)).await;
            names.push(answer.header("x-request-id").expect("a name").to_owned());
        }
        assert!(names[0] != names[1] && names[1] != names[2] && names[0] != names[2]);
        runs.push(names);
    }
    assert_eq!(runs[0], runs[1]);
}

#[tokio::test]
async fn pages_of_other_sites_may_read_the_name() {
    let service = with_settings(|settings| {
        settings.security.origins = "https://game.example".parse().expect("origins");
    });
    let mut request = request("GET", "/health", None);
    header(&mut request, "origin", "https://game.example");
    let answer = service.send(request).await;
    let exposed = answer.header("access-control-expose-headers").expect("a list");
    assert!(exposed.contains("X-Request-Id") && answer.header("x-request-id").is_some());
}
