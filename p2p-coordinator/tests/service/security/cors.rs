//! Pages of other sites: asked for by browsers, as the Fetch standard has it.

use bytes::Bytes;
use http::Request;
use http_body_util::Full;
use p2p_coordinator::security::SecuritySettings;

use super::{ADMIN, Shown, asked, guarded, header};
use crate::ask::{Answer, request};
use crate::fixture::{Service, zone};

const PAGE: &str = "https://play.example";

fn settings(origins: &str) -> SecuritySettings {
    let mut security = guarded();
    security.origins = origins.parse().expect("origins");
    security
}

fn preflight(origin: &str) -> Request<Full<Bytes>> {
    let mut asks = request("OPTIONS", "/api/v1/zones/", None);
    header(&mut asks, "origin", origin);
    header(&mut asks, "access-control-request-method", "POST");
    header(&mut asks, "access-control-request-headers", "x-api-key,content-type");
    asks
}

async fn from_page(service: &Service, method: &str, path: &str, shown: &Shown) -> Answer {
    let body = (method == "POST").then(|| zone("z"));
    let mut asks = asked(method, path, body.as_ref(), shown);
    header(&mut asks, "origin", PAGE);
    header(&mut asks, "sec-fetch-site", "cross-site");
    service.send(asks).await
}

#[tokio::test]
async fn a_preflight_needs_no_key_and_allows_a_listed_page_with_credentials() {
    let service = Service::secured_over_tcp(settings(PAGE)).await;
    let answer = service.send(preflight(PAGE)).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(answer.header("access-control-allow-origin"), Some(PAGE));
    assert_eq!(answer.header("access-control-allow-credentials"), Some("true"));
    assert_eq!(answer.header("access-control-allow-headers"), Some("x-api-key,content-type"));
    let methods = answer.header("access-control-allow-methods").expect("methods");
    assert!(methods.contains("PATCH") && methods.contains("DELETE"), "{methods}");
    assert_eq!(answer.header("vary"), Some("origin"));

    let answer = service.send(preflight("https://evil.example")).await;
    assert_eq!((answer.status, answer.header("access-control-allow-origin")), (400, None));
}

#[tokio::test]
async fn every_answer_to_a_listed_page_can_be_read_by_it() {
    let mut security = settings(PAGE);
    security.rates.enabled = true;
    security.rates.others.requests = 6;
    let service = Service::secured(security);
    let admin = Shown::Key(ADMIN);
    for (method, path, shown, status) in [
        ("POST", "/zones/", &admin, 201),
        ("GET", "/hosts/none", &admin, 404),
        ("GET", "/nothing/here", &admin, 404),
        ("PUT", "/hosts/", &admin, 405),
        ("GET", "/hosts/", &Shown::Nothing, 401),
        ("GET", "/hosts/", &Shown::Key("wrong"), 401),
        ("GET", "/hosts/", &admin, 429),
    ] {
        let answer = from_page(&service, method, path, shown).await;
        assert_eq!(answer.status, status, "{answer:?}");
        assert_eq!(answer.header("access-control-allow-origin"), Some(PAGE), "{answer:?}");
        let exposed = answer.header("access-control-expose-headers").expect("which");
        assert!(exposed.contains("Retry-After"), "{exposed}");
    }
}

#[tokio::test]
async fn a_star_lets_every_page_ask_and_none_with_credentials() {
    let service = Service::secured(settings("*"));
    for answer in [
        service.send(preflight(PAGE)).await,
        from_page(&service, "GET", "/hosts/", &Shown::Key(ADMIN)).await,
    ] {
        assert_eq!(answer.status, 200, "{answer:?}");
        assert_eq!(answer.header("access-control-allow-origin"), Some("*"));
        assert_eq!(answer.header("access-control-allow-credentials"), None);
    }
}

#[tokio::test]
async fn where_no_page_is_listed_none_is_let_in_and_who_is_no_page_sees_no_difference() {
    let service = Service::without_socket_in_memory();
    let answer = from_page(&service, "POST", "/zones/", &Shown::Nothing).await;
    assert_eq!((answer.status, answer.header("access-control-allow-origin")), (403, None));
    assert_eq!(service.send(preflight(PAGE)).await.status, 400);
    let plain = service.send(request("OPTIONS", "/api/v1/zones/", None)).await;
    plain.says(405, "Method Not Allowed");
}
