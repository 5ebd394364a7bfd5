//! Files that cannot be used, and others who use them.

use std::fs::{self, File, OpenOptions};
use std::io::{Seek, SeekFrom, Write};
use std::path::Path;

use p2p_coordinator::domain::{Change, Changes};
use p2p_coordinator::store::sqlite::{Durability, OpenError, SqliteStore};
use p2p_coordinator::store::{PROBE_BYTES, Store, StoreError};
use p2p_coordinator_api::{HostId, HostStatus};
use rusqlite::Connection;

use crate::folder::Folder;
use crate::records::{hold, insert, names, open};

fn refused(path: &Path) -> OpenError {
    let error = SqliteStore::open(path, Durability::Process).unwrap_err();
    assert!(error.to_string().contains(path.to_str().unwrap()), "it names the file: {error}");
    error
}

/// A closed file of more than a hundred pages.
async fn filled(path: &Path) {
    let store = open(path);
    for group in 0..20 {
        let hosts: Vec<_> = (0..50).map(|number| format!("host-{}", group * 50 + number)).collect();
        let hosts: Vec<_> = hosts.iter().map(String::as_str).collect();
        store.commit(insert(&hosts)).await.unwrap();
    }
    store.close().await;
    assert!(fs::metadata(path).unwrap().len() > 100 * PAGE);
}

/// SQLite's page size, unless told otherwise.
const PAGE: u64 = 4096;

#[tokio::test]
async fn a_file_that_is_no_database_is_named_and_left_alone() {
    let folder = Folder::new();
    let path = folder.fresh_file();
    let text = "not a database, but somebody's notes\n".repeat(100);
    fs::write(&path, &text).unwrap();
    let error = refused(&path);
    assert!(matches!(error, OpenError::Damaged { .. }), "{error:?}");
    assert_eq!(fs::read_to_string(&path).unwrap(), text);
}

#[tokio::test]
async fn an_empty_file_is_a_new_database() {
    let folder = Folder::new();
    let path = folder.fresh_file();
    File::create(&path).unwrap();
    let store = open(&path);
    store.commit(insert(&["a"])).await.unwrap();
    store.close().await;
}

#[tokio::test]
async fn pages_overwritten_in_the_middle_are_damage() {
    let folder = Folder::new();
    let path = folder.fresh_file();
    filled(&path).await;
    let mut file = OpenOptions::new().write(true).open(&path).unwrap();
    file.seek(SeekFrom::Start(50 * PAGE)).unwrap();
    file.write_all(&[0xa5; 4 * PAGE as usize]).unwrap();
    drop(file);
    let error = refused(&path);
    assert!(matches!(error, OpenError::Damaged { .. }), "{error:?}");
}

#[tokio::test]
async fn a_file_cut_short_is_damage() {
    let folder = Folder::new();
    let path = folder.fresh_file();
    filled(&path).await;
    let file = OpenOptions::new().write(true).open(&path).unwrap();
    file.set_len(50 * PAGE + 1000).unwrap();
    drop(file);
    let error = refused(&path);
    assert!(matches!(error, OpenError::Damaged { .. }), "{error:?}");
}

#[tokio::test]
async fn a_later_versions_file_is_refused_and_left_alone() {
    let folder = Folder::new();
    let path = folder.fresh_file();
    open(&path).close().await;
    let version = |path: &Path| {
        let connection = Connection::open(path).unwrap();
        connection.query_row("PRAGMA user_version", [], |row| row.get::<_, u32>(0)).unwrap()
    };
    let known = version(&path);
    Connection::open(&path).unwrap().pragma_update(None, "user_version", 99).unwrap();
    match refused(&path) {
        OpenError::Newer { found, known: ours, .. } => {
            assert_eq!((found, ours), (99, known as usize))
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(version(&path), 99);
}

#[tokio::test]
async fn a_folder_that_cannot_be_made_is_named() {
    let folder = Folder::new();
    let file = folder.fresh_file();
    fs::write(&file, "in the way").unwrap();
    let error = SqliteStore::open(file.join("sub/db.sqlite"), Durability::Process).unwrap_err();
    assert!(matches!(error, OpenError::Folder { .. }), "{error:?}");
    assert!(error.to_string().contains(file.to_str().unwrap()), "{error}");
}

#[tokio::test]
async fn a_folder_in_the_files_place_cannot_be_used() {
    let folder = Folder::new();
    let error = refused(folder.path());
    assert!(matches!(error, OpenError::Unusable { .. }), "{error:?}");
}

#[tokio::test]
async fn looking_whether_there_is_room_takes_up_no_more_of_it_each_time() {
    let folder = Folder::new();
    let path = folder.fresh_file();
    let store = open(&path);
    for _ in 0..100 {
        store.check().await.unwrap();
    }
    store.close().await;
    let taken = fs::metadata(&path).unwrap().len();
    assert!(taken < 4 * u64::from(PROBE_BYTES), "{taken}");
}

#[tokio::test]
async fn missing_folders_are_made() {
    let folder = Folder::new();
    let path = folder.path().join("some/where/db.sqlite");
    let store = open(&path);
    store.check().await.unwrap();
    store.close().await;
    assert!(path.is_file());
}

/// Takes as long as the store waits for others: five seconds.
#[tokio::test]
async fn a_file_that_another_process_holds_is_in_use() {
    let folder = Folder::new();
    let path = folder.fresh_file();
    open(&path).close().await;
    let holder = hold(&path);
    let error = refused(&path);
    assert!(matches!(error, OpenError::InUse { .. }), "{error:?}");
    drop(holder);
    open(&path).close().await;
}

/// Takes as long as the store waits for others: five seconds.
#[tokio::test]
async fn a_commit_fails_while_another_process_holds_the_file_and_later_ones_do_not() {
    let folder = Folder::new();
    let path = folder.fresh_file();
    let store = open(&path);
    store.commit(insert(&["before"])).await.unwrap();
    let holder = hold(&path);
    assert_eq!(names(&store).await, ["before"], "it can be read meanwhile");
    let error = store.commit(insert(&["meanwhile"])).await.unwrap_err();
    let StoreError::Failed { source: Some(source), .. } = error else { panic!("{error:?}") };
    assert!(source.to_string().contains("locked"), "{source}");
    drop(holder);
    store.commit(insert(&["after"])).await.unwrap();
    assert_eq!(names(&store).await, ["after", "before"], "what failed was not done");
    store.close().await;
}

#[tokio::test]
async fn two_stores_of_one_file_see_each_others_commits() {
    let folder = Folder::new();
    let path = folder.fresh_file();
    let (one, two) = (open(&path), open(&path));
    one.commit(insert(&["a"])).await.unwrap();
    two.commit(insert(&["b"])).await.unwrap();
    assert_eq!(names(&one).await, ["a", "b"]);
    let taken = two.commit(insert(&["a"])).await;
    assert!(matches!(taken, Err(StoreError::Conflict)), "{taken:?}");
    let id = HostId::new("a").unwrap();
    let mut row = one.host(&id).await.unwrap().unwrap().row;
    row.value.status = HostStatus::Busy;
    let busy = || Changes { hosts: vec![Change::Update(row.clone())], ..Changes::default() };
    two.commit(busy()).await.unwrap();
    let again = one.commit(busy()).await;
    assert!(matches!(again, Err(StoreError::Conflict)), "{again:?}");
    one.close().await;
    assert_eq!(names(&two).await, ["a", "b"], "one ends, and the other goes on");
    two.close().await;
}
