//! TLS with the database: a real server with a certificate of its own.

use std::process::Command;

use p2p_coordinator::store::Store;
use p2p_coordinator::store::postgres::{OpenError, PostgresConfig, PostgresStore};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, CertifiedKey, DnType, IsCa, KeyPair,
};

use crate::folder::Folder;
use crate::server::Server;

/// A certificate for `localhost`, in files that the server can read. Where they are.
fn certificate(folder: &Folder) -> (String, String) {
    let CertifiedKey { cert, signing_key } =
        rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate");
    let chain = folder.path().join("server.pem");
    let key = folder.path().join("server.key");
    std::fs::write(&chain, cert.pem()).expect("written");
    std::fs::write(&key, signing_key.serialize_pem()).expect("written");
    let path = |path: &std::path::Path| path.to_str().expect("text").to_owned();
    let (chain, key) = (path(&chain), path(&key));
    // The server wants its key to itself. Whoever runs the tests as root runs it as another.
    let script = "chmod 600 \"$2\"; chmod 755 \"$(dirname \"$1\")\"; chmod 644 \"$1\"; \
                  if [ \"$(id -u)\" = 0 ]; then chown postgres: \"$2\"; fi";
    let done = Command::new("sh").args(["-c", script, "sh", &chain, &key]).status();
    assert!(done.expect("a shell").success());
    (chain, key)
}

/// Who vouches for clients.
fn issuer() -> CertifiedIssuer<'static, KeyPair> {
    let mut params = CertificateParams::new(Vec::new()).expect("no names");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.distinguished_name.push(DnType::CommonName, "who vouches");
    CertifiedIssuer::self_signed(params, KeyPair::generate().expect("a key")).expect("signed")
}

/// What a URL says to show a certificate of this user.
fn shown(folder: &Folder, by: &CertifiedIssuer<'_, KeyPair>, user: &str) -> String {
    let mut params = CertificateParams::new(Vec::new()).expect("no names");
    params.distinguished_name.push(DnType::CommonName, user);
    let key = KeyPair::generate().expect("a key");
    let certificate = params.signed_by(&key, by).expect("signed");
    let file = |name: &str, text: String| {
        let path = folder.fresh_file().with_extension(name);
        std::fs::write(&path, text).expect("written");
        path.to_str().expect("text").to_owned()
    };
    let (certificate, key) = (file("pem", certificate.pem()), file("key", key.serialize_pem()));
    format!("sslcert={certificate}&sslkey={key}")
}

async fn open(url: &str) -> Result<PostgresStore, OpenError> {
    PostgresStore::open(PostgresConfig::new(url)?).await
}

/// Whether all connections of the coordinator are encrypted, as the server sees it.
async fn is_encrypted(server: &Server, url: &str) -> bool {
    let database = url.rsplit('/').next().expect("a name").split('?').next().expect("a name");
    let plain = format!(
        "DO $$ BEGIN IF EXISTS (SELECT FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) \
         WHERE datname = '{database}' AND application_name = 'p2p-coordinator' AND NOT ssl) \
         THEN RAISE EXCEPTION 'plain'; END IF; END $$"
    );
    let (client, connection) =
        tokio_postgres::connect(&server.url("postgres"), tokio_postgres::NoTls).await.expect("one");
    let driven = tokio::spawn(connection);
    let encrypted = client.batch_execute(&plain).await.is_ok();
    drop(client);
    let _ = driven.await;
    encrypted
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tls_is_used_as_the_url_asks_and_certificates_are_looked_at() {
    let folder = Folder::new();
    let (chain, key) = certificate(&folder);
    let server = Server::start_with(&format!(
        "-c fsync=off -c ssl=on -c ssl_cert_file={chain} -c ssl_key_file={key}"
    ));
    let url = server.fresh_database().await;
    let by_name = url.replace("127.0.0.1", "localhost");
    let trusting = format!("sslrootcert={chain}");
    for (url, encrypted) in [
        (format!("{url}?sslmode=disable"), false),
        (url.clone(), true),
        (format!("{url}?sslmode=require"), true),
        // The certificate is for another name, which verify-ca does not mind.
        (format!("{url}?sslmode=verify-ca&{trusting}"), true),
        (format!("{by_name}?sslmode=verify-full&{trusting}"), true),
    ] {
        let store = open(&url).await.unwrap_or_else(|error| panic!("{url}: {error:?}"));
        store.check().await.expect("it answers");
        assert_eq!(is_encrypted(&server, &url).await, encrypted, "{url}");
        store.close().await;
    }
    let other = Folder::new();
    let (stranger, _) = certificate(&other);
    for refused in [
        format!("{url}?sslmode=verify-full&{trusting}"),
        format!("{url}?sslmode=verify-ca&sslrootcert={stranger}"),
        format!("{by_name}?sslmode=verify-full&sslrootcert={stranger}"),
        format!("{by_name}?sslmode=verify-full&sslrootcert=system"),
    ] {
        let error = open(&refused).await.expect_err(&refused);
        assert!(matches!(error, OpenError::Tls { .. }), "{refused}: {error:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_without_tls_is_told_from_one_that_is_away() {
    let url = Server::shared().fresh_database().await;
    let error = open(&format!("{url}?sslmode=require")).await.expect_err("no TLS there");
    assert!(matches!(error, OpenError::Tls { .. }), "{error:?}");
    assert!(error.to_string().contains("check that the server has it"), "{error}");
    open(&url).await.expect("preferred is not required");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_asks_for_a_certificate_is_shown_one() {
    let (folder, issuer) = (Folder::new(), issuer());
    let (chain, key) = certificate(&folder);
    let (trusted, rules) = (folder.path().join("clients.pem"), folder.path().join("rules.conf"));
    std::fs::write(&trusted, issuer.pem()).expect("written");
    // Without TLS for the test itself; who uses it has to show the user's certificate.
    let rule = "hostnossl all all 127.0.0.1/32 trust\nhostssl all all 127.0.0.1/32 cert\n";
    std::fs::write(&rules, rule).expect("written");
    let server = Server::start_with(&format!(
        "-c fsync=off -c ssl=on -c ssl_cert_file={chain} -c ssl_key_file={key} \
         -c ssl_ca_file={} -c hba_file={}",
        trusted.display(),
        rules.display()
    ));
    let url = format!("{}?sslmode=require", server.fresh_database().await);
    let own = shown(&folder, &issuer, "postgres");
    let store = open(&format!("{url}&{own}")).await.expect("it is let in");
    store.check().await.expect("it answers");
    assert!(is_encrypted(&server, &url).await);
    store.close().await;

    let error = open(&url).await.expect_err("without one");
    assert!(matches!(error, OpenError::Unusable { .. }), "{error:?}");
    assert!(format!("{error:?}").contains("requires a valid client certificate"), "{error:?}");
    let another = shown(&folder, &issuer, "somebody");
    let error = open(&format!("{url}&{another}")).await.expect_err("of another user");
    assert!(matches!(error, OpenError::Unusable { .. }), "{error:?}");
    let strangers = shown(&folder, &self::issuer(), "postgres");
    let error = open(&format!("{url}&{strangers}")).await.expect_err("by another issuer");
    assert!(matches!(error, OpenError::Tls { .. }), "{error:?}");

    let half = |part: &str| own.split('&').find(|of| of.starts_with(part)).expect("there");
    let mixed = another.split('&').find(|of| of.starts_with("sslkey")).expect("there");
    for (said, words) in [
        (half("sslcert").to_owned(), "go together"),
        (half("sslkey").to_owned(), "go together"),
        (format!("{}&{mixed}", half("sslcert")), "cannot use sslkey"),
        (format!("{}&sslkey=/nowhere.key", half("sslcert")), "cannot use sslkey /nowhere.key"),
        (format!("sslcert={}&{}", rules.display(), half("sslkey")), "no certificate in it"),
    ] {
        let error = open(&format!("{url}&{said}")).await.expect_err(&said);
        assert!(matches!(error, OpenError::TlsSettings { .. }), "{error:?}");
        assert!(error.to_string().contains(words), "{error}");
    }
}
