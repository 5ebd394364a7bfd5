//! What only a server does: several coordinators on one database, and a server that goes away.

use std::sync::Arc;
use std::time::Duration;

use p2p_coordinator::domain::{Change, Changes, Row, SessionRecord, ZoneRecord, zone};
use p2p_coordinator::store::postgres::{OpenError, PostgresConfig, PostgresStore};
use p2p_coordinator::store::{PROBE_BYTES, SessionKey, SessionQuery, Store, StoreError};
use p2p_coordinator_api::{DefineZone, PlayerId, SessionName, SessionStatus, Timestamp};
use tokio::task::JoinSet;
use tokio_postgres::NoTls;

use crate::records::{host, insert};
use crate::server::Server;

const NOW: Timestamp = Timestamp::from_millis(1_769_860_800_000);

async fn open(url: &str) -> PostgresStore {
    let mut config = PostgresConfig::new(url).unwrap();
    config.patience = Duration::from_millis(500);
    PostgresStore::open(config).await.unwrap()
}

async fn count(url: &str, what: &str) -> i64 {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await.unwrap();
    tokio::spawn(connection);
    client.query_one(what, &[]).await.unwrap().get(0)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_that_start_at_once_on_an_empty_database_all_start() {
    let url = Server::shared().fresh_database().await;
    let mut starts = JoinSet::new();
    for number in 0..8 {
        let url = url.clone();
        starts.spawn(async move {
            let store = open(&url).await;
            store.commit(insert(&[&format!("host-{number}")])).await.unwrap();
            store.close().await;
        });
    }
    starts.join_all().await;
    assert_eq!(count(&url, "SELECT count(*) FROM hosts").await, 8);
    assert_eq!(count(&url, "SELECT count(*) FROM p2p_schema").await, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_later_versions_tables_are_refused_and_left_alone() {
    let server = Server::shared();
    let url = server.fresh_database().await;
    open(&url).await.close().await;
    let name = url.rsplit('/').next().unwrap();
    server.execute(name, "UPDATE p2p_schema SET version = 99").await;
    let error = PostgresStore::open(PostgresConfig::new(&url).unwrap()).await.unwrap_err();
    assert!(matches!(error, OpenError::Newer { found: 99, .. }), "{error:?}");
    assert_eq!(count(&url, "SELECT version::bigint FROM p2p_schema").await, 99);
}

#[tokio::test]
async fn a_database_that_is_not_there_is_told_at_once() {
    let url = Server::shared().url("nowhere");
    let error = PostgresStore::open(PostgresConfig::new(&url).unwrap()).await.unwrap_err();
    assert!(matches!(error, OpenError::Unusable { .. }), "{error:?}");
    let error = PostgresConfig::new("postgresql://user:hidden@host:port/x").unwrap_err();
    assert!(matches!(error, OpenError::Url { .. }) && !format!("{error:?}").contains("hidden"));
}

#[tokio::test]
async fn the_password_is_not_shown() {
    let config = PostgresConfig::new("postgresql://user:hidden@localhost/x").unwrap();
    assert!(!format!("{config:?}").contains("hidden"));
}

/// Reads, changes, commits; again if another did so meanwhile.
async fn raise(store: &PostgresStore, key: &SessionKey) {
    loop {
        let mut row = store.session(key).await.unwrap().unwrap();
        row.value.epoch += 1;
        let sessions = vec![Change::Update(row)];
        match store.commit(Changes { sessions, ..Changes::default() }).await {
            Ok(_) => return,
            Err(StoreError::Conflict) => {}
            Err(other) => panic!("{other:?}"),
        }
    }
}

/// A zone and a session on a host that has none else.
async fn scene(store: &PostgresStore) -> (Row<ZoneRecord>, Row<SessionRecord>) {
    let hosts = store.commit(insert(&["host"])).await.unwrap().hosts;
    let definition = DefineZone { max_players: 1000, ..DefineZone::new("zone".parse().unwrap()) };
    let zones = vec![Change::Insert(zone::define(None, definition, NOW))];
    let zones = store.commit(Changes { zones, ..Changes::default() }).await.unwrap().zones;
    let session = SessionRecord::open(SessionName::from_bits(0), &hosts[0], &zones[0], NOW);
    let sessions = vec![Change::Insert(session)];
    let committed = store.commit(Changes { sessions, ..Changes::default() }).await.unwrap();
    (zones[0].clone(), committed.sessions[0].clone())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_stores_of_one_database_lose_no_update_of_each_other() {
    let url = Server::shared().fresh_database().await;
    let stores = [Arc::new(open(&url).await), Arc::new(open(&url).await)];
    let (_, session) = scene(&stores[0]).await;
    let key = SessionKey::Number(session.id);
    let mut tasks = JoinSet::new();
    for number in 0..40 {
        let (store, key) = (stores[number % 2].clone(), key.clone());
        tasks.spawn(async move { raise(&store, &key).await });
    }
    tasks.join_all().await;
    let read = stores[1].session(&key).await.unwrap().unwrap();
    assert_eq!(read.value.epoch, session.value.epoch + 40);
    for store in stores {
        store.close().await;
    }
}

/// Opens a session of a player, begins it, and ends it, on the one host.
async fn live(store: &PostgresStore, zone: &Row<ZoneRecord>, number: u64) {
    let host = store.host(&"host".parse().unwrap()).await.unwrap().unwrap().row;
    let name = SessionName::from_bits(number);
    let player: PlayerId = format!("player-{number}").parse().unwrap();
    let mut opened = SessionRecord::open(name.clone(), &host, zone, NOW);
    opened.add(player.clone(), NOW).unwrap();
    let mut changes = Changes::default();
    changes.seat(&opened, &player, None);
    changes.sessions.push(Change::Insert(opened));
    let mut row = store.commit(changes).await.unwrap().sessions.remove(0);
    if number.is_multiple_of(3) {
        return;
    }
    row.value.activate(NOW).unwrap();
    let sessions = vec![Change::Update(row)];
    let committed = store.commit(Changes { sessions, ..Changes::default() }).await.unwrap();
    let mut row = committed.sessions.into_iter().next().unwrap();
    if number % 3 == 1 {
        let mut changes = Changes::default();
        let freed = row.value.end(NOW);
        changes.free(&name, freed);
        changes.sessions.push(Change::Update(row));
        store.commit(changes).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn counters_are_true_when_two_stores_change_sessions_of_one_host() {
    let url = Server::shared().fresh_database().await;
    let stores = [Arc::new(open(&url).await), Arc::new(open(&url).await)];
    let (zone, _) = scene(&stores[0]).await;
    let mut tasks = JoinSet::new();
    for number in 1..=60 {
        let (store, zone) = (stores[(number % 2) as usize].clone(), zone.clone());
        tasks.spawn(async move { live(&store, &zone, number).await });
    }
    tasks.join_all().await;
    // Of sixty, a third each pending, over and active, and one without players.
    let view = stores[0].host(&"host".parse().unwrap()).await.unwrap().unwrap();
    assert_eq!((view.placed.players, view.placed.zones), (40, 1));
    let (_, counts) = stores[1].zone(&zone.value.definition.zone_id).await.unwrap().unwrap();
    let counts = (counts.total_sessions, counts.active_sessions, counts.total_players_served);
    assert_eq!(counts, (61, 20, 60));
    let mut active = SessionQuery::default();
    active.status = &[SessionStatus::Active];
    assert_eq!(stores[0].sessions(&active).await.unwrap().len(), 20);
    for store in stores {
        store.close().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_killed_server_acknowledged_is_kept_and_the_rest_is_told_as_unavailable() {
    let server = Server::start();
    let url = server.fresh_database().await;
    let store = Arc::new(open(&url).await);
    let (told, mut heard) = tokio::sync::mpsc::channel(1000);
    let mut tasks = JoinSet::new();
    for task in 0..8 {
        let (store, told) = (store.clone(), told.clone());
        tasks.spawn(async move {
            let mut kept = Vec::new();
            for number in 0..100_000 {
                let names = [format!("{task}-{number}-a"), format!("{task}-{number}-b")];
                match store.commit(insert(&[&names[0], &names[1]])).await {
                    Ok(_) => kept.push(names),
                    Err(StoreError::Unavailable { .. }) => break,
                    Err(other) => panic!("{other:?}"),
                }
                // Nobody listens any more.
                let _ = told.send(()).await;
            }
            kept
        });
    }
    for _ in 0..200 {
        heard.recv().await.unwrap();
    }
    server.kill();
    drop(heard);
    let kept = tasks.join_all().await.concat();
    assert!(kept.len() >= 192, "{}", kept.len());

    let host_id = "after".parse().unwrap();
    for _ in 0..3 {
        let read = store.host(&host_id).await;
        assert!(matches!(read, Err(StoreError::Unavailable { .. })), "{read:?}");
        let wrote = store.commit(insert(&["after"])).await;
        assert!(matches!(wrote, Err(StoreError::Unavailable { .. })), "{wrote:?}");
        let ready = store.check().await;
        assert!(matches!(ready, Err(StoreError::Unavailable { .. })), "{ready:?}");
    }

    server.start_again();
    // Within the longest pause between two attempts, which is longer than the patience.
    while let Err(error) = store.check().await {
        assert!(matches!(error, StoreError::Unavailable { .. }), "{error:?}");
        tokio::task::yield_now().await;
    }
    store.commit(insert(&["after"])).await.unwrap();
    assert!(store.host(&host_id).await.unwrap().is_some());
    for [one, two] in &kept {
        for name in [one, two] {
            let found = store.host(&name.parse().unwrap()).await.unwrap();
            assert!(found.is_some(), "{name} was acknowledged");
        }
    }
    let halves = "SELECT count(*) FROM hosts a WHERE host_id LIKE '%-a' AND NOT EXISTS
        (SELECT 1 FROM hosts b WHERE b.host_id = replace(a.host_id, '-a', '-b'))";
    assert_eq!(count(&url, halves).await, 0, "a commit was kept by half");
    store.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_that_is_not_up_yet_is_waited_for() {
    let server = Server::start();
    let url = server.fresh_database().await;
    server.kill();
    let mut config = PostgresConfig::new(&url).unwrap();
    config.start_patience = Duration::ZERO;
    let error = PostgresStore::open(config.clone()).await.unwrap_err();
    assert!(matches!(error, OpenError::Away { .. }), "{error:?}");
    config.start_patience = Duration::from_secs(60);
    let opening = tokio::spawn(PostgresStore::open(config));
    server.start_again();
    let store = opening.await.unwrap().unwrap();
    store.check().await.unwrap();
    store.close().await;
    let late = store.commit(insert(&["late"])).await;
    assert!(late.is_err() && store.host(&"late".parse().unwrap()).await.is_err(), "{late:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_commit_that_the_database_refuses_does_not_undo_its_neighbours() {
    let server = Server::shared();
    let url = server.fresh_database().await;
    let store = Arc::new(open(&url).await);
    let name = url.rsplit('/').next().unwrap();
    server.execute(name, "ALTER TABLE hosts ADD CHECK (host_id NOT LIKE 'no%')").await;
    let mut tasks = JoinSet::new();
    for number in 0..60 {
        let store = store.clone();
        let refused = number % 7 == 3;
        let name = if refused { format!("no-{number}") } else { format!("yes-{number}") };
        tasks.spawn(async move { (refused, store.commit(insert(&[&name])).await) });
    }
    for (refused, result) in tasks.join_all().await {
        match result {
            Ok(_) => assert!(!refused),
            Err(StoreError::Failed { .. }) => assert!(refused),
            Err(other) => panic!("{other:?}"),
        }
    }
    let kept = count(&url, "SELECT count(*) FROM hosts").await;
    assert_eq!(kept, (0..60).filter(|number| number % 7 != 3).count() as i64);
    let mut row = host("yes-0");
    row.port = 1;
    let again = Changes { hosts: vec![Change::Insert(row)], ..Changes::default() };
    assert!(matches!(store.commit(again).await, Err(StoreError::Conflict)));
    store.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_of_many_leads_and_another_when_it_is_gone() {
    let server = Server::shared();
    let url = server.fresh_database().await;
    let (one, two) = (open(&url).await, open(&url).await);
    for _ in 0..2 {
        assert!(one.lead().await.unwrap());
        assert!(!two.lead().await.unwrap());
    }
    let elsewhere = open(&server.fresh_database().await).await;
    assert!(elsewhere.lead().await.unwrap(), "of another database");
    one.close().await;
    while !two.lead().await.unwrap() {
        tokio::task::yield_now().await;
    }
    assert!(one.lead().await.is_err());
    two.close().await;
    elsewhere.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_only_reads_is_not_ready_until_it_writes_again() {
    let server = Server::start();
    let store = open(&server.fresh_database().await).await;
    store.check().await.unwrap();
    let set = async |value: &str| {
        let statement = format!("ALTER SYSTEM SET default_transaction_read_only = {value}");
        // Not in one go: that would be a transaction, which may not do it.
        server.execute("postgres", &statement).await;
        server.execute("postgres", "SELECT pg_reload_conf()").await;
    };
    set("on").await;
    // Each of its connections hears of it a moment later.
    let error = loop {
        if let Err(error) = store.check().await {
            break error;
        }
    };
    assert!(matches!(error, StoreError::Failed { .. }), "{error:?}");
    assert!(store.host(&"h".parse().unwrap()).await.is_ok(), "it can be read meanwhile");
    set("off").await;
    while store.check().await.is_err() {}
    while store.commit(insert(&["h"])).await.is_err() {}
    store.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn looking_whether_there_is_room_takes_new_pages_and_gives_them_up() {
    let url = Server::shared().fresh_database().await;
    let store = open(&url).await;
    let (mut last, mut most) = (0, 0);
    for _ in 0..40 {
        store.check().await.unwrap();
        let size = count(&url, "SELECT pg_relation_size('p2p_probe')").await;
        let added = size - last;
        assert!(size == 0 || added == i64::from(PROBE_BYTES), "{last}, then {size}");
        (last, most) = (size, most.max(size));
    }
    assert!(most <= 1 << 20, "{most}");
    store.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hosts_ice_servers_are_there_for_who_reads_the_tables() {
    let url = Server::shared().fresh_database().await;
    let store = open(&url).await;
    let mut with = host("with");
    with.ice_servers = Some(r#"{"urls":["stun:example.org"]}"#.into());
    let hosts = [with, host("without")].map(Change::Insert).into();
    store.commit(Changes { hosts, ..Changes::default() }).await.unwrap();
    let said = "SELECT count(*) FROM hosts WHERE ice_servers->'urls'->>0 = 'stun:example.org'";
    assert_eq!(count(&url, said).await, 1);
    assert_eq!(count(&url, "SELECT count(*) FROM hosts WHERE ice_servers IS NULL").await, 1);
    store.close().await;
}
