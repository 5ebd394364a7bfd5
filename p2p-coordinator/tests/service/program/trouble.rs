//! The disk is full; two serve one file.

use std::process::Command;

use serde_json::json;
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::process::{PATIENCE, Served, prepared, run, text};
use crate::fixture::{host, with, zone};
use crate::folder::Folder;

#[tokio::test]
async fn on_a_full_disk_writes_fail_reads_go_on_and_nothing_is_lost() {
    let folder = Folder::new();
    let program = env!("CARGO_BIN_EXE_p2p-coordinator");
    // No file may grow past so many blocks of 512 bytes, and it is no reason to be killed.
    let script = format!("trap '' XFSZ; ulimit -S -f 1024; exec '{program}' --listen 127.0.0.1:0");
    let mut shell = Command::new("sh");
    shell.args(["-c", &script]);
    let served = Served::spawn(prepared(shell, folder.path())).await;
    let mut kept = 0;
    let full = loop {
        let id = format!("z{kept}");
        let zone = with(zone(&id), "description", json!("x".repeat(3000)));
        let answer = served.post("/zones/", zone).await;
        if answer.status != 201 {
            break answer;
        }
        kept += 1;
        assert!(kept < 2000, "the limit is not in force");
    };
    full.says(500, "Database error occurred");
    for _ in 0..3 {
        let zone = with(zone("more"), "description", json!("x".repeat(3000)));
        served.post("/zones/", zone).await.says(500, "Database error occurred");
    }
    // It lives, says what it cannot do, and has what it acknowledged.
    served.get("/health").await;
    let ready = served.ask("GET", "/ready", None).await.is(503);
    assert_eq!(ready, json!({ "status": "unavailable", "checks": { "sqlite": "unavailable" } }));
    let status = run(&folder, &["--status", "--listen", &served.address.to_string()]);
    assert_eq!(status.status.code(), Some(1), "{status:?}");
    assert!(text(&status.stdout).contains("sqlite: unavailable"), "{status:?}");
    served.get(&format!("/api/v1/zones/z{}", kept - 1)).await;
    let refused = served.ask("GET", "/api/v1/zones/more", None).await;
    refused.says(404, "Zone not found: more");
    // There is room again: without a restart it does its work, and says so within moments.
    let unlimited = ["--fsize=unlimited:", "--pid", &served.id()];
    assert!(Command::new("prlimit").args(unlimited).status().expect("prlimit runs").success());
    let is_ready = async { while served.ask("GET", "/ready", None).await.status != 200 {} };
    timeout(PATIENCE, is_ready).await.expect("it is ready again");
    served.post("/zones/", zone("later")).await.is(201);
    served.signal("TERM");
    let (status, said) = served.ended().await;
    assert_eq!(status.code(), Some(0), "{said}");
    let again = Served::start(&folder, &[]).await;
    for number in [0, kept / 2, kept - 1] {
        again.get(&format!("/api/v1/zones/z{number}")).await;
    }
    again.post("/zones/", zone("more")).await.is(201);
}

#[tokio::test]
async fn two_on_one_file_keep_one_capacity() {
    let folder = Folder::new();
    let both = [Served::start(&folder, &[]).await, Served::start(&folder, &[]).await];
    both[0].post("/hosts/register", host("h")).await.is(201);
    both[1].post("/zones/", with(zone("z"), "max_players", json!(5))).await.is(201);
    let body = json!({ "host_id": "h", "zone_id": "z", "player_ids": [] });
    let id = both[0].post("/sessions/", body).await.is(201)["id"].clone();
    let adds: JoinSet<_> = (0..40)
        .map(|number| {
            let address = both[number % 2].address;
            let body = json!({ "player_id": format!("p{number}") });
            let path = format!("/api/v1/sessions/{id}/players");
            async move {
                let request = crate::ask::request("POST", &path, Some(&body));
                crate::ask::over_tcp(address, request).await.expect("an answer").status
            }
        })
        .collect();
    let statuses = adds.join_all().await;
    let admitted = statuses.iter().filter(|status| **status == 200).count();
    assert_eq!(admitted, 5, "{statuses:?}");
    assert!(statuses.iter().all(|status| [200, 400].contains(status)), "{statuses:?}");
    let path = format!("/api/v1/sessions/{id}");
    let seen = [both[0].get(&path).await, both[1].get(&path).await];
    assert_eq!(seen[0], seen[1]);
    assert_eq!(seen[0]["current_players"], 5);
}
