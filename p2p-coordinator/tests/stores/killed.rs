//! A process that is killed keeps what it acknowledged.
//!
//! The test starts itself as a child that commits and says what was acknowledged, and kills it.

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use p2p_coordinator::domain::{Change, Changes};
use p2p_coordinator::store::Store;
use p2p_coordinator::store::sqlite::{Durability, SqliteStore};
use tokio::task::JoinSet;

use crate::folder::Folder;
use crate::records::{host, insert, names, open};

const FILE: &str = "P2P_COORDINATOR_TEST_KILLED_FILE";
const DURABILITY: &str = "P2P_COORDINATOR_TEST_KILLED_DURABILITY";

/// Before each acknowledged name: the harness prints on the same stream.
const KEPT: &str = "kept:";

/// Enough for many groups.
const ENOUGH: usize = 300;

/// The child's part; in a run of all tests it has nothing to do.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn commits_until_it_is_killed() {
    let Some(path) = std::env::var_os(FILE).map(PathBuf::from) else { return };
    let durability = match std::env::var(DURABILITY).as_deref() {
        Ok("power") => Durability::Power,
        _ => Durability::Process,
    };
    let store = Arc::new(SqliteStore::open(path, durability).unwrap());
    let mut tasks = JoinSet::new();
    for task in 0..8 {
        let store = store.clone();
        tasks.spawn(async move {
            let name = format!("task-{task}");
            let committed = store.commit(insert(&[&name])).await.unwrap();
            let mut row = committed.hosts.into_iter().next().unwrap();
            // Bounded, should nobody be there to kill it.
            for count in 1..100_000_u32 {
                row.value.reported.players = count;
                let both = Changes {
                    hosts: vec![
                        Change::Update(row),
                        Change::Insert(host(&format!("{task}-{count}"))),
                    ],
                    ..Changes::default()
                };
                let committed = store.commit(both).await.unwrap();
                row = committed.hosts.into_iter().next().unwrap();
                let mut out = std::io::stdout().lock();
                writeln!(out, "{KEPT}{task}-{count}").unwrap();
                out.flush().unwrap();
            }
        });
    }
    tasks.join_all().await;
}

fn start(path: &Path, durability: &str) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "killed::commits_until_it_is_killed", "--nocapture"])
        .env(FILE, path)
        .env(DURABILITY, durability)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap()
}

async fn everything_acknowledged_is_kept(durability: &str) {
    let folder = Folder::new();
    let path = folder.fresh_file();
    let mut child = start(&path, durability);
    let mut lines = BufReader::new(child.stdout.take().unwrap());
    let (mut acknowledged, mut killed) = (Vec::new(), false);
    loop {
        let mut line = String::new();
        lines.read_line(&mut line).unwrap();
        // Killed while it wrote the last one.
        let Some(line) = line.strip_suffix('\n') else { break };
        if let Some((_, name)) = line.split_once(KEPT) {
            acknowledged.push(name.to_owned());
        }
        if acknowledged.len() == ENOUGH && !killed {
            // SIGKILL on Unix: nothing of it runs any more.
            child.kill().unwrap();
            killed = true;
        }
    }
    let status = child.wait().unwrap();
    assert!(killed && !status.success(), "it ended by itself: {status}");
    check(&path, &acknowledged).await;
}

async fn check(path: &Path, acknowledged: &[String]) {
    let store = open(path);
    let kept = names(&store).await;
    for name in acknowledged {
        assert!(kept.contains(name), "{name} was acknowledged");
    }
    for task in 0..8 {
        // Each commit wrote two hosts: neither is there without the other.
        let view = store.host(&format!("task-{task}").parse().unwrap()).await.unwrap();
        let counted = view.map_or(0, |view| view.row.value.reported.players);
        let own = kept.iter().filter(|name| name.starts_with(&format!("{task}-"))).count();
        assert_eq!(counted as usize, own, "commits of task {task}");
    }
    let other = store.commit(insert(&["after"])).await;
    assert!(other.is_ok(), "it goes on: {other:?}");
    store.close().await;
}

#[tokio::test]
async fn what_a_killed_process_acknowledged_is_kept() {
    everything_acknowledged_is_kept("process").await;
}

#[tokio::test]
async fn what_a_killed_process_acknowledged_is_kept_on_the_disk() {
    everything_acknowledged_is_kept("power").await;
}
