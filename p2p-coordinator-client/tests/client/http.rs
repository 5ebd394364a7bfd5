//! Requests to a URL, over sockets of this machine.

use std::time::Duration;

use p2p_coordinator_client::{Client, ClientConfig, RequestError};
use p2p_simulator::{Network, NetworkConfig, SimulatorP2P};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use crate::provider;

fn client(listener: &TcpListener, network: &Network) -> Client<SimulatorP2P> {
    let addr = listener.local_addr().expect("bound");
    let config = ClientConfig::default()
        .with_request_timeout(Duration::from_millis(500))
        .with_max_reply(100);
    let url = format!("http://{addr}/").parse().expect("a URL");
    Client::new(provider(&network.host("alice")), url, config).expect("a client")
}

/// Answers one request with these bytes, or not at all, and returns its first line.
async fn answer(listener: TcpListener, bytes: Option<&str>) -> String {
    let (mut stream, _) = listener.accept().await.expect("accepted");
    let mut request = vec![0; 4096];
    let length = stream.read(&mut request).await.expect("a request");
    match bytes {
        Some(bytes) => stream.write_all(bytes.as_bytes()).await.expect("written"),
        None => std::future::pending().await,
    }
    let request = String::from_utf8_lossy(&request[..length]).into_owned();
    request.lines().next().unwrap_or_default().to_owned()
}

#[tokio::test]
async fn a_call_has_its_path_and_a_refusal_its_words() {
    let network = Network::live(&NetworkConfig::new(1));
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("bound");
    let client = client(&listener, &network);
    let body = r#"{"detail":"Host not found: a/b"}"#;
    let reply = format!(
        "HTTP/1.1 404 Not Found\r\nx-refusal-reason: unknown_host\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    let host = "a/b".parse().expect("an id");
    let (refusal, line) = tokio::join!(client.host(&host), answer(listener, Some(&reply)));
    assert_eq!(line, "GET /api/v1/hosts/a%2Fb HTTP/1.1");
    let refusal = refusal.expect_err("refused");
    assert!(matches!(refusal, RequestError::Refused { status: 404, .. }), "{refusal}");
    assert_eq!(refusal.reason().map(|reason| reason.as_str()), Some("unknown_host"));
}

#[tokio::test]
async fn a_large_or_endless_reply_is_refused() {
    let told = format!("HTTP/1.1 200 OK\r\ncontent-length: 101\r\n\r\n{}", " ".repeat(101));
    let untold = format!("HTTP/1.1 200 OK\r\n\r\n{}", " ".repeat(101));
    for reply in [told, untold] {
        let network = Network::live(&NetworkConfig::new(1));
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("bound");
        let client = client(&listener, &network);
        let (refusal, _) = tokio::join!(client.info(), answer(listener, Some(&reply)));
        assert!(matches!(refusal, Err(RequestError::Unexpected { .. })), "{refusal:?}");
    }
}

#[tokio::test]
async fn silence_and_absence_are_told_apart() {
    let network = Network::live(&NetworkConfig::new(1));
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("bound");
    let client = client(&listener, &network);
    let silent = tokio::spawn(answer(listener, None));
    let error = client.info().await.expect_err("no answer");
    assert!(matches!(error, RequestError::TimedOut { .. }), "{error}");
    silent.abort();
    // Its listener is gone when it has ended.
    let _ = silent.await;
    let error = client.info().await.expect_err("nobody");
    assert!(matches!(error, RequestError::Unreachable { .. }), "{error}");
}

#[tokio::test]
async fn tls_needs_nothing_installed_for_the_process() {
    let network = Network::live(&NetworkConfig::new(1));
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("bound");
    let url = format!("https://{}", listener.local_addr().expect("bound"));
    let url = url.parse().expect("a URL");
    let provider = provider(&network.host("alice"));
    match Client::new(provider, url, ClientConfig::default()) {
        Ok(client) => {
            let reply = "HTTP/1.1 200 OK\r\n\r\nnot TLS";
            let (error, hello) = tokio::join!(client.info(), answer(listener, Some(reply)));
            assert!(matches!(error, Err(RequestError::Unreachable { .. })), "{error:?}");
            assert!(hello.starts_with('\x16'), "a TLS handshake begins so");
        }
        // A machine that trusts nobody has no use for TLS.
        Err(error) => assert!(matches!(error, RequestError::Unsupported { .. }), "{error}"),
    }
}
