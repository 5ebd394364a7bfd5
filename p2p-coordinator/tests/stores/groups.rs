//! Commits that wait together are committed together: what that must not change.

use std::future::Future;
use std::path::Path;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use p2p_coordinator::domain::Changes;
use p2p_coordinator::store::sqlite::{Durability, SqliteStore};
use p2p_coordinator::store::{Committed, Store, StoreError};
use rusqlite::Connection;
use tokio::task::{JoinHandle, JoinSet, yield_now};

use crate::folder::Folder;
use crate::records::{hold, insert, names, open};

async fn five_hundred_at_once(durability: Durability) {
    let folder = Folder::new();
    let path = folder.fresh_file();
    let store = Arc::new(SqliteStore::open(&path, durability).unwrap());
    let mut commits = JoinSet::new();
    for number in 0..500 {
        let store = store.clone();
        commits.spawn(async move {
            let name = format!("host-{number:03}");
            store.commit(insert(&[&name])).await.map(|_| name)
        });
    }
    let mut acknowledged = Vec::new();
    while let Some(ended) = commits.join_next().await {
        acknowledged.push(ended.unwrap().unwrap());
    }
    assert_eq!(acknowledged.len(), 500);
    // Not closed: the process might have been killed here.
    drop(store);
    let again = open(&path);
    acknowledged.sort();
    assert_eq!(names(&again).await, acknowledged);
    again.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn five_hundred_commits_at_once_are_kept_without_a_close() {
    five_hundred_at_once(Durability::Process).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn five_hundred_commits_at_once_are_kept_without_a_close_on_the_disk() {
    five_hundred_at_once(Durability::Power).await;
}

type Commit = JoinHandle<Result<Committed, StoreError>>;

/// Begins commits while somebody else holds the file, so that they wait together.
async fn gather(store: &Arc<SqliteStore>, commits: Vec<Changes>) -> Vec<Commit> {
    let mut started = Vec::new();
    for changes in commits {
        let store = store.clone();
        started.push(tokio::spawn(async move { store.commit(changes).await }));
    }
    // The runtime has one thread: each is polled once, and is in the queue then.
    yield_now().await;
    started
}

async fn ended(commits: Vec<Commit>) -> Vec<Result<Committed, StoreError>> {
    let mut results = Vec::new();
    for commit in commits {
        results.push(commit.await.unwrap());
    }
    results
}

#[tokio::test]
async fn a_commit_that_fails_does_not_undo_its_neighbours() {
    let folder = Folder::new();
    let path = folder.fresh_file();
    let store = Arc::new(open(&path));
    store.commit(insert(&["taken"])).await.unwrap();
    let name = |number| format!("host-{number:02}");
    let commits = (0..60)
        .map(|number| match number % 3 {
            // What it wrote before it failed is to be undone with it.
            1 => insert(&[&name(number), "taken"]),
            _ => insert(&[&name(number)]),
        })
        .collect();
    let holder = hold(&path);
    let commits = gather(&store, commits).await;
    drop(holder);
    let mut expected = Vec::new();
    for (number, result) in ended(commits).await.into_iter().enumerate() {
        match (number % 3, result) {
            (1, Err(StoreError::Conflict)) => {}
            (0 | 2, Ok(_)) => expected.push(name(number)),
            (_, other) => panic!("commit {number}: {other:?}"),
        }
    }
    expected.push("taken".into());
    assert_eq!(names(&store).await, expected);
    store.close().await;
    let again = open(&path);
    assert_eq!(names(&again).await, expected);
    again.close().await;
}

/// Makes a host of this name end the whole transaction, as SQLite itself does when the disk is full
/// or cannot be read (<https://www.sqlite.org/lang_transaction.html>, section 3).
fn set_trap(path: &Path) {
    let connection = Connection::open(path).unwrap();
    connection
        .execute_batch(
            "CREATE TRIGGER trap BEFORE INSERT ON hosts WHEN NEW.host_id = 'trap'
             BEGIN SELECT RAISE(ROLLBACK, 'trapped'); END",
        )
        .unwrap();
}

#[tokio::test]
async fn what_sqlite_undid_is_not_acknowledged() {
    let folder = Folder::new();
    let path = folder.fresh_file();
    open(&path).close().await;
    set_trap(&path);
    let store = Arc::new(open(&path));
    let holder = hold(&path);
    let commits = ["a", "b", "trap", "c", "d"].map(|name| insert(&[name])).into();
    let commits = gather(&store, commits).await;
    drop(holder);
    let results = ended(commits).await;
    let acknowledged: Vec<_> = ["a", "b", "trap", "c", "d"]
        .into_iter()
        .zip(&results)
        .filter(|(_, result)| result.is_ok())
        .map(|(name, _)| name)
        .collect();
    assert_eq!(acknowledged, ["c", "d"], "those that were not in its group: {results:?}");
    assert!(matches!(results[0], Err(StoreError::Failed { .. })), "{:?}", results[0]);
    assert_eq!(names(&store).await, acknowledged);
    store.close().await;
}

#[tokio::test]
async fn a_commit_given_up_is_whole_or_not_done() {
    let folder = Folder::new();
    let path = folder.fresh_file();
    let store = open(&path);
    let mut context = Context::from_waker(Waker::noop());
    let holder = hold(&path);
    for number in 0..50 {
        let (one, two) = (format!("{number:02} one"), format!("{number:02} two"));
        let changes = insert(&[&one, &two]);
        let mut commit = pin!(store.commit(changes));
        assert!(commit.as_mut().poll(&mut context).is_pending());
    }
    drop(holder);
    store.close().await;
    let again = open(&path);
    let kept = names(&again).await;
    for pair in kept.chunks(2) {
        assert!(pair.len() == 2 && pair[0][..2] == pair[1][..2], "{pair:?}");
    }
    again.close().await;
}

#[tokio::test]
async fn each_close_waits_for_what_was_taken() {
    let folder = Folder::new();
    let path = folder.fresh_file();
    let store = Arc::new(open(&path));
    let holder = hold(&path);
    let commits = gather(&store, vec![insert(&["a"]), insert(&["b"])]).await;
    {
        let (mut first, mut second) = (pin!(store.close()), pin!(store.close()));
        let mut context = Context::from_waker(Waker::noop());
        assert_eq!(first.as_mut().poll(&mut context), Poll::Pending);
        assert_eq!(second.as_mut().poll(&mut context), Poll::Pending);
        drop(holder);
        second.await;
        first.await;
    }
    assert!(ended(commits).await.iter().all(Result::is_ok));
    store.close().await;
    let late = store.commit(insert(&["c"])).await.unwrap_err();
    assert!(late.to_string().contains("closed"), "{late}");
    assert!(store.check().await.is_err());
    let again = open(&path);
    assert_eq!(names(&again).await, ["a", "b"]);
    again.close().await;
}
