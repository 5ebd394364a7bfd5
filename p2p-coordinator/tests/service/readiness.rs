//! Readiness: asked by anybody, as often as they like.

use std::time::Duration;

use p2p_coordinator::store::Store;
use p2p_coordinator::store::sqlite::{Durability, SqliteStore};
use rusqlite::Connection;
use tokio::time::{Instant, advance, timeout};

use crate::fixture::coordinator;
use crate::folder::Folder;

fn store(folder: &Folder) -> SqliteStore {
    SqliteStore::open(folder.file("test.db"), Durability::Process).expect("a database")
}

#[tokio::test(start_paused = true)]
async fn the_store_is_asked_once_a_second_however_many_ask() {
    let folder = Folder::new();
    let coordinator = coordinator(store(&folder), 1);
    for _ in 0..3 {
        let before = coordinator.store().stamp().await.expect("a stamp");
        assert_eq!(coordinator.readiness().await.status, "ready");
        let asked = coordinator.store().stamp().await.expect("a stamp");
        assert_ne!(asked, before, "it has written");
        advance(Duration::from_millis(999)).await;
        for _ in 0..100 {
            assert_eq!(coordinator.readiness().await.status, "ready");
            assert_eq!(coordinator.store().stamp().await.expect("a stamp"), asked);
        }
        advance(Duration::from_millis(1)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn who_asks_and_goes_away_does_not_make_the_store_work_for_each() {
    let folder = Folder::new();
    let coordinator = coordinator(store(&folder), 1);
    // Another holds the file, so that the store cannot answer.
    let holder = Connection::open(folder.file("test.db")).expect("the file");
    holder.execute_batch("BEGIN IMMEDIATE").expect("held");
    let began = Instant::now();
    for _ in 0..10 {
        let asked = timeout(Duration::ZERO, coordinator.readiness()).await;
        assert!(asked.is_err(), "polled once, and dropped");
    }
    drop(holder);
    assert_eq!(coordinator.readiness().await.status, "ready");
    assert_eq!(began.elapsed().as_millis(), 1000, "one was asked for all ten");
}

#[tokio::test(start_paused = true)]
async fn a_store_that_fails_is_heard_of_a_second_later_at_most() {
    let folder = Folder::new();
    let coordinator = coordinator(store(&folder), 1);
    assert_eq!(coordinator.readiness().await.status, "ready");
    coordinator.store().close().await;
    advance(Duration::from_secs(1)).await;
    assert_eq!(coordinator.readiness().await.status, "unavailable");
}
