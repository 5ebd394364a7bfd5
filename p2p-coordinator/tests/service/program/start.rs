//! It starts and says how to try it, or says in one sentence why not.

use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;

use serde_json::json;

use super::process::{Served, command, fails, run, text};
use crate::fixture::zone;
use crate::folder::Folder;

#[tokio::test]
async fn it_says_where_it_serves_and_how_to_try_it() {
    let folder = Folder::new();
    let served = Served::start(&folder, &[]).await;
    let url = format!("http://{}", served.address);
    let lines: Vec<_> = served.said.lines().collect();
    assert_eq!(lines[0], format!("p2p-coordinator {} serves {url}", env!("CARGO_PKG_VERSION")));
    assert!(served.said.contains("data/coordinator.db"), "{}", served.said);
    let try_it: Vec<_> = lines.iter().skip_while(|line| **line != "try it:").collect();
    assert!(try_it.len() >= 5 && try_it[1].contains(&format!("curl {url}/ready")), "{try_it:?}");
    assert_eq!(served.get("/ready").await["status"], "ready");
    assert!(folder.file("data/coordinator.db").is_file());
    let lines: Vec<_> = served.said.lines().filter(|line| line.contains("curl -H")).collect();
    let body = lines[0].split(" -d '").nth(1).expect("a body").trim_end_matches('\'');
    let body = serde_json::from_str(body).expect("JSON");
    served.post("/zones/", body).await.is(201);
}

#[tokio::test]
async fn in_memory_it_touches_no_file() {
    let folder = Folder::new();
    let served = Served::start(&folder, &["--memory"]).await;
    served.post("/zones/", zone("z")).await.is(201);
    assert!(served.said.contains("in memory"), "{}", served.said);
    assert_eq!(std::fs::read_dir(folder.path()).expect("a folder").count(), 0);
}

#[tokio::test]
async fn the_door_for_peers_has_a_ticket_that_stays() {
    let folder = Folder::new();
    let ticket = |served: &Served| {
        let line = served.said.lines().find(|line| line.contains("for peers")).expect("a line");
        line.split_whitespace().last().expect("a word").to_owned()
    };
    let signs = |served: &Served| {
        let line = served.said.lines().find(|line| line.contains("signs as")).expect("a line");
        line.split_whitespace().last().expect("a word").to_owned()
    };
    let served = Served::start(&folder, &["--p2p", "127.0.0.1:0"]).await;
    let addr: p2p_core::PeerAddr = ticket(&served).parse().expect("a ticket");
    let issuer = signs(&served);
    assert_eq!(addr.id().to_string(), issuer);
    let key = folder.file("data/coordinator.key");
    let mode = std::fs::metadata(&key).expect("the key").permissions().mode();
    assert_eq!(mode & 0o777, 0o600, "{mode:o}");
    let before = std::fs::read(&key).expect("the key");
    served.signal("TERM");
    served.ended().await;
    let again = Served::start(&folder, &[]).await;
    assert_eq!(signs(&again), issuer);
    assert_eq!(std::fs::read(&key).expect("the key"), before);
    assert!(again.said.contains("closed"), "{}", again.said);
}

#[test]
fn a_taken_port_is_said_and_no_file_is_touched() {
    let folder = Folder::new();
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = taken.local_addr().expect("an address").to_string();
    let output = run(&folder, &["--listen", &address]);
    fails(&output, &[&address, "another program serves there", "--listen"]);
    assert!(output.stdout.is_empty(), "{}", text(&output.stdout));
    assert_eq!(std::fs::read_dir(folder.path()).expect("a folder").count(), 0);
    let taken = std::net::UdpSocket::bind("127.0.0.1:0").expect("a port");
    let address = taken.local_addr().expect("an address").to_string();
    let output = run(&folder, &["--memory", "--listen", "127.0.0.1:0", "--p2p", &address]);
    fails(&output, &["--p2p"]);
}

#[test]
fn a_database_that_cannot_be_used_is_said() {
    let folder = Folder::new();
    folder.write("file", "no folder");
    folder.write(
        "text.db",
        "this is no database, and long enough to be read as the head of one....".repeat(20),
    );
    std::fs::create_dir(folder.file("folder.db")).expect("a folder");
    let newer = folder.file("newer.db");
    let sql = rusqlite::Connection::open(&newer).expect("a database");
    sql.pragma_update(None, "user_version", 99).expect("a version");
    drop(sql);
    let cases: [(&str, &[&str]); 4] = [
        ("file/below.db", &["file"]),
        ("text.db", &["text.db", "damaged or no SQLite database"]),
        ("folder.db", &["folder.db", "can be written"]),
        ("newer.db", &["newer.db", "newer version", "99"]),
    ];
    for (path, words) in cases {
        let output = run(&folder, &["--listen", "127.0.0.1:0", "--database", path]);
        fails(&output, words);
        assert!(output.stdout.is_empty());
    }
    // Nothing was made of them.
    assert_eq!(std::fs::read_to_string(folder.file("file")).expect("text"), "no folder");
    assert!(
        std::fs::read_to_string(folder.file("text.db")).expect("text").starts_with("this is no")
    );
}

#[test]
fn a_damaged_page_is_found_at_the_start() {
    let folder = Folder::new();
    let path = folder.file("test.db");
    let sql = rusqlite::Connection::open(&path).expect("a database");
    sql.execute_batch("CREATE TABLE t (x); CREATE INDEX i ON t (x)").expect("a table");
    for number in 0..500 {
        sql.execute("INSERT INTO t VALUES (?1)", [format!("{number:0100}")]).expect("a row");
    }
    drop(sql);
    let mut bytes = std::fs::read(&path).expect("the file");
    for byte in &mut bytes[4096..8192] {
        *byte = 0xa5;
    }
    folder.write("test.db", bytes);
    let output = run(&folder, &["--listen", "127.0.0.1:0", "--database", "test.db"]);
    fails(&output, &["test.db", "damaged"]);
}

#[test]
fn a_damaged_key_is_not_replaced() {
    let folder = Folder::new();
    for content in ["", "short", &"g".repeat(64), &"é".repeat(32)] {
        folder.write("test.key", content);
        let output = run(&folder, &["--listen", "127.0.0.1:0", "--database", "test.db"]);
        fails(&output, &["test.key", "no signing key"]);
        assert_eq!(std::fs::read_to_string(folder.file("test.key")).expect("text"), content);
    }
}

#[tokio::test]
async fn status_tells_a_running_one_from_none_and_from_a_stranger() {
    let folder = Folder::new();
    let served = Served::start(&folder, &["--memory"]).await;
    let address = served.address.to_string();
    served.post("/zones/", zone("z")).await.is(201);
    let asked = run(&folder, &["--status", "--listen", &address]);
    let said = text(&asked.stdout);
    assert!(asked.status.success(), "{said} {}", text(&asked.stderr));
    assert!(said.contains(&address) && said.contains("ready"), "{said}");
    assert!(said.contains("zones open to peers: 1") && said.contains("memory: ok"), "{said}");
    served.signal("TERM");
    served.ended().await;
    fails(
        &run(&folder, &["--status", "--listen", &address]),
        &["no coordinator answers", &address],
    );

    for page in ["HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi", "SSH-2.0-OpenSSH\r\n", ""] {
        let stranger = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = stranger.local_addr().expect("an address").to_string();
        let answering = tokio::spawn(async move {
            while let Ok((mut stream, _)) = stranger.accept().await {
                use tokio::io::{AsyncReadExt, AsyncWriteExt};
                let _ = stream.read(&mut [0; 1024]).await;
                let _ = stream.write_all(page.as_bytes()).await;
            }
        });
        let mut command = command(&folder);
        command.args(["--status", "--listen", &address]);
        let asked = tokio::process::Command::from(command).output().await.expect("it runs");
        fails(&asked, &["coordinator", &address]);
        answering.abort();
    }
    assert_eq!(json!(std::fs::read_dir(folder.path()).expect("a folder").count()), 0);
}

#[tokio::test]
async fn behind_tls_it_is_asked_how_it_is_by_its_certificate_and_another_is_refused() {
    let folder = Folder::new();
    let certificate = |name: &str| {
        let made = rcgen::generate_simple_self_signed([name.to_owned()]).expect("a certificate");
        folder.write("cert.pem", made.cert.pem());
        folder.write("key.pem", made.signing_key.serialize_pem());
    };
    certificate("coordinator.example");
    let files = [("TLS_CERT_FILE", "cert.pem"), ("TLS_KEY_FILE", "key.pem")];
    let mut starts = command(&folder);
    starts.args(["--memory", "--listen", "127.0.0.1:0"]).envs(files);
    let served = Served::spawn(starts).await;
    assert!(served.said.contains(" serves https://"), "{}", served.said);
    let ask = || {
        let mut asks = command(&folder);
        asks.args(["--status", "--listen", &served.address.to_string()]).envs(files);
        asks.output().expect("it runs")
    };
    let told = ask();
    let said = text(&told.stdout);
    assert!(told.status.success() && said.contains("at https://"), "{said}");
    assert!(said.contains(": ready"), "{said}");
    // Whoever has another certificate is not the coordinator of this configuration.
    certificate("other.example");
    fails(&ask(), &["no coordinator answers at https://"]);
}
