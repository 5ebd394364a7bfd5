//! The program on PostgreSQL, which goes away and comes back.

use super::process::{Served, command, text};
use crate::fixture::{host, zone};
use crate::folder::Folder;
use crate::server::Server;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_fail_while_the_database_is_away_and_go_on_when_it_is_back() {
    let server = Server::start();
    let url = server.fresh_database().await;
    let folder = Folder::new();
    let settings = folder.write("c.toml", "[store]\npatience_seconds = 1\n");
    let settings = settings.to_str().expect("text");
    let served = Served::start(&folder, &["--config", settings, "--database", &url]).await;
    assert!(served.said.contains("records    in postgresql://"), "{}", served.said);
    served.post("/hosts/register", host("h")).await.is(201);
    served.post("/zones/", zone("z")).await.is(201);
    assert_eq!(served.get("/ready").await["checks"]["postgres"], "ok");
    assert_eq!(served.get("/health").await["database"]["postgres"], "connected");

    server.kill();
    for _ in 0..2 {
        let away = "The database cannot be reached at this moment: try again";
        served.post("/zones/", zone("other")).await.says(503, away);
        served.ask("GET", "/api/v1/hosts/h", None).await.says(503, away);
        served.ask("GET", "/ready", None).await.is(503);
        assert_eq!(served.get("/health").await["database"]["postgres"], "unavailable");
        let metrics = served.ask("GET", "/metrics", None).await;
        assert_eq!(metrics.status, 200);
        assert!(metrics.text.ends_with("\np2p_coordinator_up 0\n"), "{metrics:?}");
        assert_eq!(metrics.text.lines().filter(|line| !line.starts_with('#')).count(), 1);
    }

    server.start_again();
    while served.ask("GET", "/ready", None).await.status != 200 {}
    served.get("/api/v1/hosts/h").await;
    served.post("/zones/", zone("other")).await.is(201);
    let metrics = served.ask("GET", "/metrics", None).await.text;
    let errors = metrics.lines().find_map(|line| {
        line.strip_prefix("p2p_store_errors_total{kind=\"unavailable\"} ")?.parse::<u64>().ok()
    });
    // Two requests, the look whether it is ready, and the metrics, each twice.
    assert!(errors >= Some(8), "{metrics}");
    served.signal("TERM");
    let (status, said) = served.ended().await;
    assert_eq!(status.code(), Some(0), "{said}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_start_waits_for_the_database_and_says_so() {
    let server = Server::start();
    let url = server.fresh_database().await;
    server.kill();
    let folder = Folder::new();
    let settings = folder.write("c.toml", "[store]\nstart_seconds = 1\n");
    let mut program = command(&folder);
    program.args(["--listen", "127.0.0.1:0", "--config"]).arg(settings);
    program.env("DATABASE_URL", &url);
    let output = program.output().expect("it runs");
    let said = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    for words in ["waiting for the database", "the database does not answer"] {
        assert!(said.contains(words), "{words} in {said}");
    }
    let arguments = ["--database", url.as_str()];
    let starting = Served::start(&folder, &arguments);
    let (started, ()) = tokio::join!(starting, async { server.start_again() });
    started.get("/ready").await;
}
