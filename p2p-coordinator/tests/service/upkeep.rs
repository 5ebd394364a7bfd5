//! What is done from time to time: by activity, not by age, and in bounds.

use std::time::Duration;

use p2p_coordinator::service::{Coordinator, Settings};
use p2p_coordinator::store::{MemoryStore, SessionKey, SessionQuery, Store};
use p2p_coordinator::world::{Clock, Randomness};
use p2p_coordinator_api::{
    CreateSession, DefineZone, Heartbeat, HostId, HostStatus, RegisterHost, Session, SessionStatus,
};
use tokio::time::sleep;

use crate::fixture::{EPOCH, Service, host, key};

type Memory = Coordinator<MemoryStore>;

const MINUTE: Duration = Duration::from_secs(60);

/// A coordinator that is looked after, with a host and a zone.
async fn scene(store: MemoryStore, change: impl Fn(&mut Settings)) -> Memory {
    let mut settings = Settings::default();
    change(&mut settings);
    let (clock, random) = (Clock::starting_at(EPOCH), Randomness::new([1; 32]));
    let coordinator = Coordinator::new(store, key(), clock, random, settings);
    let upkeep = coordinator.clone();
    tokio::spawn(async move { upkeep.upkeep().await });
    let host: RegisterHost = serde_json::from_value(host("h")).expect("a registration");
    coordinator.register_host(host).await.expect("registered");
    coordinator.define_zone(DefineZone::new("z".parse().expect("an id"))).await.expect("a zone");
    coordinator
}

async fn session(coordinator: &Memory, players: &[&str]) -> Session {
    let player_ids = players.iter().map(|id| id.parse().expect("an id")).collect();
    let zone_id = "z".parse().expect("an id");
    let request = CreateSession { host_id: Some(h()), zone_id, player_ids };
    coordinator.create_session(&request).await.expect("a session")
}

fn h() -> HostId {
    "h".parse().expect("an id")
}

async fn beat(coordinator: &Memory) {
    coordinator.heartbeat(&h(), &Heartbeat::default()).await.expect("heard");
}

async fn status(coordinator: &Memory, session: &Session) -> SessionStatus {
    coordinator.session(&SessionKey::Number(session.id)).await.expect("the session").status
}

#[tokio::test(start_paused = true)]
async fn a_session_fails_by_what_does_not_happen_in_it_and_not_by_its_age() {
    let coordinator = scene(MemoryStore::new(), |_| {}).await;
    let (played, empty) = (session(&coordinator, &["p"]).await, session(&coordinator, &[]).await);
    let changed = session(&coordinator, &[]).await;
    for minute in 1..=90 {
        sleep(MINUTE).await;
        beat(&coordinator).await;
        if minute == 25 {
            let key = SessionKey::Number(changed.id);
            coordinator.activate_session(&key).await.expect("begun");
        }
        // A minute more or less for the rhythm in which sessions are looked at.
        if minute < 30 {
            assert_eq!(status(&coordinator, &empty).await, SessionStatus::Pending);
        }
        if minute > 31 {
            assert_eq!(status(&coordinator, &empty).await, SessionStatus::Failed);
        }
        if (26..55).contains(&minute) {
            assert_eq!(status(&coordinator, &changed).await, SessionStatus::Active);
        }
    }
    assert_eq!(status(&coordinator, &changed).await, SessionStatus::Failed);
    assert_eq!(status(&coordinator, &played).await, SessionStatus::Pending, "its host is heard");
}

#[tokio::test(start_paused = true)]
async fn a_dead_host_goes_offline_with_its_sessions_and_returns_by_a_heartbeat() {
    let coordinator = scene(MemoryStore::new(), |_| {}).await;
    let session = session(&coordinator, &["p"]).await;
    sleep(4 * MINUTE).await;
    assert_eq!(coordinator.host(&h()).await.expect("the host").status, HostStatus::Online);
    sleep(2 * MINUTE).await;
    assert_eq!(coordinator.host(&h()).await.expect("the host").status, HostStatus::Offline);
    assert_eq!(status(&coordinator, &session).await, SessionStatus::Failed);
    beat(&coordinator).await;
    assert_eq!(coordinator.host(&h()).await.expect("the host").status, HostStatus::Online);
}

#[tokio::test(start_paused = true)]
async fn of_what_is_over_so_much_is_remembered_as_is_configured() {
    let store = MemoryStore::new();
    let coordinator = scene(store.clone(), |settings| {
        settings.session_history = 10 * MINUTE;
        settings.session_history_max = 3;
    })
    .await;
    for _ in 0..5 {
        let session = session(&coordinator, &[]).await;
        let key = SessionKey::Number(session.id);
        coordinator.end_session(&key).await.expect("ended");
        sleep(Duration::from_secs(1)).await;
    }
    sleep(MINUTE).await;
    let all = async || store.sessions(&SessionQuery::default()).await.expect("memory").len();
    assert_eq!(all().await, 3);
    sleep(8 * MINUTE).await;
    assert_eq!(all().await, 3);
    sleep(2 * MINUTE).await;
    assert_eq!(all().await, 0);
    let zone = coordinator.zone(&"z".parse().expect("an id")).await.expect("the zone");
    assert_eq!(zone.total_sessions, 5, "what is forgotten was");
}

#[tokio::test(start_paused = true)]
async fn a_coordinator_that_was_away_fails_no_session_at_once() {
    let store = MemoryStore::new();
    let before = scene(store.clone(), |_| {}).await;
    let session = session(&before, &["p"]).await;
    let (clock, random) = (Clock::starting_at(EPOCH.after(60 * MINUTE)), Randomness::new([2; 32]));
    let after = Coordinator::new(store, key(), clock, random, Settings::default());
    let upkeep = after.clone();
    tokio::spawn(async move { upkeep.upkeep().await });
    sleep(MINUTE).await;
    beat(&after).await;
    sleep(4 * MINUTE).await;
    assert_eq!(status(&after, &session).await, SessionStatus::Pending);
}

#[tokio::test(start_paused = true)]
async fn by_request_sessions_fail_in_which_nothing_happened_for_so_many_minutes() {
    let day = |settings: &mut Settings| settings.session_timeout = 24 * 60 * MINUTE;
    let coordinator = scene(MemoryStore::new(), day).await;
    let service = Service::of(coordinator.clone(), None);
    let (idle, begun) = (session(&coordinator, &[]).await, session(&coordinator, &[]).await);
    let clean_up = async |query: &str| {
        let answer = service.post_nothing(&format!("/sessions/cleanup{query}")).await.is(200);
        answer["message"].as_str().expect("text").to_owned()
    };
    let wait = async |minutes: u32| {
        for _ in 0..minutes {
            sleep(MINUTE).await;
            beat(&coordinator).await;
        }
    };
    wait(20).await;
    coordinator.activate_session(&SessionKey::Number(begun.id)).await.expect("begun");
    assert_eq!(clean_up("").await, "Cleaned up 0 stale sessions", "30 if not given");
    assert_eq!(clean_up("?timeout_minutes=20").await, "Cleaned up 1 stale sessions");
    assert_eq!(status(&coordinator, &idle).await, SessionStatus::Failed);
    assert_eq!(status(&coordinator, &begun).await, SessionStatus::Active);
    wait(30).await;
    assert_eq!(clean_up("").await, "Cleaned up 1 stale sessions");
    assert_eq!(status(&coordinator, &begun).await, SessionStatus::Failed);
    service.post_nothing("/sessions/cleanup?timeout_minutes=0").await.is(422);
}

#[tokio::test(start_paused = true)]
async fn a_session_that_all_have_left_ends_after_ten_minutes() {
    let coordinator = scene(MemoryStore::new(), |_| {}).await;
    let left = session(&coordinator, &["p"]).await;
    let (entered, played) =
        (session(&coordinator, &["q"]).await, session(&coordinator, &["r"]).await);
    for (session, player) in [(&left, "p"), (&entered, "q")] {
        let (key, player) = (SessionKey::Number(session.id), player.parse().expect("an id"));
        coordinator.remove_player(&key, &player, None).await.expect("left");
    }
    let passes = async |minutes| {
        for _ in 0..minutes {
            sleep(MINUTE).await;
            beat(&coordinator).await;
        }
    };
    passes(9).await;
    let (key, player) = (SessionKey::Number(entered.id), "s".parse().expect("an id"));
    coordinator.add_player(&key, &player).await.expect("entered");
    assert_eq!(status(&coordinator, &left).await, SessionStatus::Pending, "others may come");
    passes(2).await;
    assert_eq!(status(&coordinator, &left).await, SessionStatus::Ended);
    assert_eq!(status(&coordinator, &entered).await, SessionStatus::Pending);
    assert_eq!(status(&coordinator, &played).await, SessionStatus::Pending);
}

#[tokio::test(start_paused = true)]
async fn a_thousand_sessions_in_which_all_is_well_do_not_hide_one_in_which_nothing_is() {
    let coordinator = scene(MemoryStore::new(), |_| {}).await;
    let mut large: RegisterHost = serde_json::from_value(host("h")).expect("a registration");
    large.max_players = Some(10_000);
    coordinator.register_host(large).await.expect("registered");
    for number in 0..1000 {
        session(&coordinator, &[&format!("p{number}")]).await;
    }
    let empty = session(&coordinator, &[]).await;
    for _ in 0..33 {
        sleep(MINUTE).await;
        beat(&coordinator).await;
    }
    assert_eq!(status(&coordinator, &empty).await, SessionStatus::Failed);
}
