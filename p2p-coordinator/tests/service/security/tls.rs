//! HTTP behind TLS: with certificates from files, and from changed ones.

use std::sync::Arc;

use http::Request;
use p2p_coordinator::door::tls::{Certificates, TlsError, run};
use p2p_coordinator::door::{Closing, Limits, http as router};
use p2p_coordinator::store::MemoryStore;
use rcgen::CertifiedKey;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::AsyncReadExt;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsConnector;

use crate::ask::{Answer, exchange, request};
use crate::fixture::coordinator;
use crate::folder::Folder;

/// Puts a new certificate and its key into the files.
fn renew(folder: &Folder) -> CertificateDer<'static> {
    let CertifiedKey { cert, signing_key } =
        rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate");
    folder.write("cert.pem", cert.pem());
    folder.write("key.pem", signing_key.serialize_pem());
    cert.der().clone()
}

fn load(folder: &Folder) -> Result<Certificates, TlsError> {
    Certificates::load(folder.file("cert.pem"), folder.file("key.pem"))
}

/// Asks as somebody who trusts this certificate only.
async fn ask(address: std::net::SocketAddr, trusted: &CertificateDer<'static>) -> Option<Answer> {
    let mut roots = RootCertStore::empty();
    roots.add(trusted.clone()).expect("a certificate");
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_root_certificates(roots)
        .with_no_client_auth();
    let stream = TcpStream::connect(address).await.expect("a connection");
    let name = ServerName::try_from("localhost").expect("a name");
    let stream = TlsConnector::from(Arc::new(config)).connect(name, stream).await.ok()?;
    let asks: Request<_> = request("GET", "/health", None);
    Some(exchange(stream, asks).await.expect("an answer"))
}

#[tokio::test]
async fn it_serves_with_what_is_in_the_files_and_who_speaks_no_tls_gets_nothing() {
    let folder = Folder::new();
    let certificate = renew(&folder);
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a port");
    let address = listener.local_addr().expect("an address");
    let app = router::router(coordinator(MemoryStore::new(), 1));
    let secure = load(&folder).expect("certificates");
    let closing = Closing::new();
    let served = tokio::spawn(run(listener, secure, app, Limits::default(), closing.clone()));
    assert_eq!(ask(address, &certificate).await.expect("trust").is(200)["status"], "healthy");

    let mut plain = TcpStream::connect(address).await.expect("a connection");
    tokio::io::AsyncWriteExt::write_all(&mut plain, b"GET /health HTTP/1.1\r\nhost: a\r\n\r\n")
        .await
        .expect("sent");
    let mut answer = Vec::new();
    let _ = plain.read_to_end(&mut answer).await;
    assert!(!answer.starts_with(b"HTTP"), "{answer:?}");

    closing.close();
    assert!(served.await.expect("no panic"));
}

#[tokio::test(start_paused = true)]
async fn new_files_are_taken_within_seconds_and_broken_ones_are_not() {
    let folder = Folder::new();
    let first = renew(&folder);
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a port");
    let address = listener.local_addr().expect("an address");
    let app = router::router(coordinator(MemoryStore::new(), 1));
    let secure = load(&folder).expect("certificates");
    tokio::spawn(run(listener, secure, app, Limits::default(), Closing::new()));
    ask(address, &first).await.expect("trust").is(200);

    let second = renew(&folder);
    tokio::time::sleep(2 * p2p_coordinator::door::tls::LOOK_EVERY).await;
    ask(address, &second).await.expect("the new one").is(200);
    assert!(ask(address, &first).await.is_none(), "the old one is gone");

    folder.write("cert.pem", "half a certif");
    tokio::time::sleep(2 * p2p_coordinator::door::tls::LOOK_EVERY).await;
    ask(address, &second).await.expect("still the one that is good").is(200);
}

#[test]
fn what_is_wrong_with_files_is_told() {
    let folder = Folder::new();
    let told = || load(&folder).expect_err("wrong files").to_string();
    assert!(told().contains("cannot read"));
    renew(&folder);
    let key = std::fs::read(folder.file("key.pem")).expect("a key");
    folder.write("key.pem", "");
    assert!(told().contains("key.pem"), "{}", told());
    renew(&folder);
    folder.write("key.pem", key);
    assert!(told().contains("cannot be used"), "another's key: {}", told());
    folder.write("cert.pem", "");
    assert!(told().contains("no certificate"), "{}", told());
}
