//! How much somebody may ask.

use std::time::Duration;

use p2p_coordinator::door::{Closing, Limits, Remote, http as router, tcp};
use p2p_coordinator::security::SecuritySettings;
use p2p_coordinator::store::MemoryStore;
use serde_json::json;
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::time::Instant;

use super::{ADMIN, PLAYER, SERVICE, Shown, ask, asked, guarded, header, player};
use crate::ask::{Answer, over_tcp, request};
use crate::fixture::{EPOCH, Service, coordinator};

fn limited(mut security: SecuritySettings) -> SecuritySettings {
    security.rates.enabled = true;
    security
}

/// One who asks from this address, perhaps for another.
async fn from(service: &Service, address: &str, forwarded: Option<&str>, shown: &Shown) -> Answer {
    let mut request = asked("GET", "/hosts/", None, shown);
    request.extensions_mut().insert(Remote::Address(address.parse().expect("an address")));
    if let Some(forwarded) = forwarded {
        header(&mut request, "x-forwarded-for", forwarded);
    }
    service.send(request).await
}

#[tokio::test(start_paused = true)]
async fn past_the_limit_the_contracts_body_and_headers_are_answered() {
    let service = Service::secured(limited(SecuritySettings::default()));
    for number in 0..100 {
        // Each a path of its own: the limit is not of the path.
        let answer = service.get(&format!("/hosts/h{number}")).await;
        assert_eq!(answer.status, 404);
        assert_eq!(answer.header("x-ratelimit-limit"), Some("100"));
        assert_eq!(answer.header("x-ratelimit-remaining"), Some(&*(99 - number).to_string()));
    }
    let now = EPOCH.as_millis() / 1000;
    let answer = service.get("/hosts/another").await;
    assert_eq!(
        answer.is(429),
        json!({
            "error": "rate_limit_exceeded",
            "message": "Rate limit exceeded. Try again in 1 seconds.",
            "limit": 100, "window_seconds": 60, "reset_time": now + 1,
        })
    );
    assert_eq!(answer.header("retry-after"), Some("1"));
    assert_eq!(answer.header("x-ratelimit-remaining"), Some("0"));
    assert_eq!(answer.header("x-ratelimit-reset"), Some(&*(now + 1).to_string()));
    // What a load balancer asks is not counted, and who waits as long as was said is let in.
    assert_eq!(service.send(request("GET", "/health", None)).await.status, 200);
    tokio::time::advance(Duration::from_secs(1)).await;
    service.get("/hosts/").await.is(200);
}

#[tokio::test(start_paused = true)]
async fn signaling_request_by_request_has_the_limit_of_signaling() {
    let service = Service::secured(limited(SecuritySettings::default()));
    for path in ["/signaling/offer", "/signaling/answer", "/signaling/ice-candidate"] {
        let answer = service.get(&format!("{path}?session_id=s&peer_id=a")).await;
        assert_eq!(answer.header("x-ratelimit-limit"), Some("1000"), "{path}");
        let answer = service.post(path, json!({})).await;
        assert_eq!(answer.header("x-ratelimit-limit"), Some("1000"), "{path}");
    }
    assert_eq!(service.get("/hosts/").await.header("x-ratelimit-remaining"), Some("99"));
    let stats = service.get("/signaling/stats").await;
    assert_eq!(stats.header("x-ratelimit-limit"), Some("100"));
}

#[tokio::test]
async fn of_four_hundred_at_once_no_more_pass_than_the_limit() {
    let service = Service::secured_over_tcp(limited(SecuritySettings::default())).await;
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..400 {
        let service = service.clone();
        tasks.spawn(async move { service.get("/hosts/").await.status });
    }
    let passed = tasks.join_all().await.iter().filter(|status| **status == 200).count();
    // A hundred, and what came while it took: one each 0.6 s.
    assert!((100..120).contains(&passed), "{passed}");
}

#[tokio::test]
async fn a_flood_of_headers_is_431_and_others_are_served() {
    let service = Service::secured_over_tcp(limited(guarded())).await;
    let many = (0..1000).map(|number| format!("x-{number}")).collect::<Vec<_>>();
    let mut flood = asked("GET", "/hosts/", None, &Shown::Key(ADMIN));
    for name in &many {
        header(&mut flood, name, "1");
    }
    assert_eq!(service.send(flood).await.status, 431);
    let mut long = asked("GET", "/hosts/", None, &Shown::Key(ADMIN));
    header(&mut long, "authorization", &format!("Bearer {}", "a".repeat(100_000)));
    assert_eq!(service.send(long).await.status, 431);
    ask(&service, "GET", "/hosts/", None, &Shown::Key(ADMIN)).await.is(200);
}

#[tokio::test]
async fn who_holds_all_places_and_asks_for_nothing_keeps_nobody_out() {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a port");
    let address = listener.local_addr().expect("bound");
    let mut limits = Limits::default();
    limits.connections = 8;
    let router = router::router(coordinator(MemoryStore::new(), 1));
    tokio::spawn(tcp::run(listener, router, limits, Closing::new()));
    let begun = Instant::now();
    // Silent ones, and ones that stop in the middle of headers or of a body.
    let mut held = Vec::new();
    for text in ["", "GET / HT", "POST /api/v1/zones/ HTTP/1.1\r\ncontent-length: 9\r\n\r\n{"] {
        for _ in 0..8 {
            let mut stream = TcpStream::connect(address).await.expect("a connection");
            stream.write_all(text.as_bytes()).await.expect("sent");
            held.push(stream);
        }
    }
    for _ in 0..20 {
        over_tcp(address, request("GET", "/health", None)).await.expect("an answer").is(200);
    }
    // Each has a second; those that nobody has let in yet, one after the other.
    assert!(begun.elapsed() < limits.header_timeout / 2, "{:?}", begun.elapsed());
}

#[tokio::test(start_paused = true)]
async fn guessing_keys_ends_after_ten_also_for_who_guesses_right_then() {
    let service = Service::secured(limited(guarded()));
    for number in 0..10 {
        let mut wrong = asked("GET", "/hosts/", None, &Shown::Nothing);
        header(&mut wrong, "x-api-key", &format!("guess {number}"));
        wrong.extensions_mut().insert(Remote::Address([192, 0, 2, 1].into()));
        assert_eq!(service.send(wrong).await.status, 401);
    }
    assert_eq!(from(&service, "192.0.2.1", None, &Shown::Key(ADMIN)).await.status, 429);
    assert_eq!(from(&service, "192.0.2.2", None, &Shown::Key(ADMIN)).await.status, 200);
    tokio::time::advance(Duration::from_secs(6)).await;
    assert_eq!(from(&service, "192.0.2.1", None, &Shown::Key(ADMIN)).await.status, 200);
}

#[tokio::test(start_paused = true)]
async fn guessing_in_the_body_is_guessing_too_and_tokens_have_their_own_limit() {
    let mut security = limited(guarded());
    security.rates.wrong.requests = 3;
    let service = Service::secured(security);
    let guess = || Some(json!({ "player_id": "a", "api_key": "wrong" }));
    let key = Shown::Key(PLAYER);
    for _ in 0..3 {
        ask(&service, "POST", "/auth/token", guess(), &key).await.is(401);
    }
    let answer = ask(&service, "POST", "/auth/token", guess(), &key).await;
    assert_eq!(answer.is(429)["limit"], 3);

    let service = Service::secured(limited(guarded()));
    let refresh = || Some(json!({ "refresh_token": "garbage" }));
    for _ in 0..10 {
        ask(&service, "POST", "/auth/refresh", refresh(), &Shown::Nothing).await.is(401);
    }
    let answer = ask(&service, "POST", "/auth/refresh", refresh(), &Shown::Nothing).await;
    assert_eq!(answer.is(429)["limit"], 10);
}

#[tokio::test(start_paused = true)]
async fn players_behind_one_address_have_a_limit_each_and_a_server_a_higher_one() {
    let service = Service::secured(limited(guarded()));
    let (alice, bob) = (player(&service, "alice").await, player(&service, "bob").await);
    for _ in 0..100 {
        assert_eq!(from(&service, "192.0.2.1", None, &alice).await.status, 200);
    }
    assert_eq!(from(&service, "192.0.2.1", None, &alice).await.status, 429);
    // Not from elsewhere either.
    assert_eq!(from(&service, "192.0.2.9", None, &alice).await.status, 429);
    assert_eq!(from(&service, "192.0.2.1", None, &bob).await.status, 200);
    for _ in 0..1000 {
        assert_eq!(from(&service, "192.0.2.1", None, &Shown::Key(SERVICE)).await.status, 200);
    }
}

#[tokio::test(start_paused = true)]
async fn behind_a_trusted_proxy_each_client_counts_and_nobody_else_is_believed() {
    let mut security = limited(SecuritySettings::default());
    security.rates.others.requests = 2;
    security.proxies.networks = vec!["10.0.0.0/8".parse().expect("a network")];
    let service = Service::secured(security);
    let nothing = Shown::Nothing;
    for (address, forwarded, status) in [
        ("10.0.0.1", "198.51.100.1", 200),
        ("10.0.0.1", "198.51.100.1", 200),
        ("10.0.0.1", "198.51.100.1", 429),
        ("10.0.0.1", "198.51.100.2", 200),
        // What the client wrote before the proxy did makes no difference.
        ("10.0.0.1", "203.0.113.77, 198.51.100.1", 429),
        // Whoever is no proxy is who it is.
        ("198.51.100.9", "203.0.113.1", 200),
        ("198.51.100.9", "203.0.113.2", 200),
        ("198.51.100.9", "203.0.113.3", 429),
    ] {
        let answer = from(&service, address, Some(forwarded), &nothing).await;
        assert_eq!(answer.status, status, "{address} for {forwarded}");
    }
}
