//! What happens at the same time.

use std::sync::Arc;

use p2p_coordinator_api::{HostId, Nonce, PlayerId, SessionName, SessionStatus};
use tokio::task::{JoinSet, yield_now};

use super::sample::{self, NOW, later};
use super::step::{
    add_host, add_session, add_zone, ensure, ensure_eq, found, hosts, players, seated, session,
};
use super::{Failure, Fixture, Outcome};
use crate::domain::{Change, Refusal, Row, SessionRecord};
use crate::store::{HostQuery, PlacementQuery, SessionKey, SessionQuery, Store, StoreError};

/// What all tasks come to, in the order in which they end.
async fn all<T: 'static>(mut tasks: JoinSet<Outcome<T>>) -> Outcome<Vec<T>> {
    let mut outcomes = Vec::new();
    while let Some(ended) = tasks.join_next().await {
        outcomes.push(ended.map_err(|error| Failure::new(format!("a task: {error}")))??);
    }
    Ok(outcomes)
}

/// Whether it was written; `false` if it conflicts.
fn written<T>(result: Result<T, StoreError>) -> Outcome<bool> {
    match result {
        Ok(_) => Ok(true),
        Err(StoreError::Conflict) => Ok(false),
        Err(other) => Err(other.into()),
    }
}

pub(super) async fn two_sessions_cannot_both_seat_one_player(fixture: &impl Fixture) -> Outcome {
    let store = Arc::new(fixture.fresh().await?);
    let host = add_host(&*store, sample::host("host")?).await?;
    let zone = add_zone(&*store, sample::zone("zone")?).await?;
    for round in 0..20 {
        let player = sample::player(&format!("player-{round}"))?;
        let mut tasks = JoinSet::new();
        for number in 0..8 {
            let session = sample::session(round * 10 + number, &host, &zone, &[])?;
            let mut row = add_session(&*store, session).await?;
            row.value.add(player.clone(), NOW)?;
            let (store, changes) = (store.clone(), seated(row, &player, None));
            tasks.spawn(async move { written(store.commit(changes).await) });
        }
        let seated = all(tasks).await?.into_iter().filter(|seated| *seated).count();
        ensure_eq!(seated, 1, "sessions that seated the player of round {round}");
        let all = store.sessions(&SessionQuery::default()).await?;
        let places = all.iter().filter(|row| row.value.seats(&player)).count();
        ensure_eq!(places, 1, "places of the player of round {round}");
    }
    Ok(())
}

const PLACES: u32 = 5;

/// Reads, decides, commits, and again if something changed meanwhile. Whether there was a place.
async fn join<S: Store>(store: Arc<S>, name: SessionName, who: u8) -> Outcome<bool> {
    let player = PlayerId::new(format!("player-{who}"))?;
    // Each conflict is another's place, so there are no more of them than places.
    for _ in 0..=PLACES {
        let mut row = session(&*store, &name).await?;
        let come = if who.is_multiple_of(2) {
            row.value.add(player.clone(), NOW)
        } else {
            row.value.reserve(player.clone(), Nonce([who; 16]), later(1), NOW)
        };
        match come {
            Ok(new) => ensure!(new, "{player} has a place already"),
            Err(Refusal::Full { .. }) => return Ok(false),
            Err(other) => return Err(other.into()),
        }
        yield_now().await;
        if written(store.commit(seated(row, &player, None)).await)? {
            return Ok(true);
        }
    }
    Err(Failure::new(format!("{player} met more conflicts than there are places")))
}

pub(super) async fn two_hundred_joins_fill_five_places(fixture: &impl Fixture) -> Outcome {
    let store = Arc::new(fixture.fresh().await?);
    let host = add_host(&*store, sample::host("host")?).await?;
    let zone = add_zone(&*store, sample::zone("zone")?).await?;
    let row = add_session(&*store, sample::session(1, &host, &zone, &[])?).await?;
    ensure_eq!(row.value.max_players, PLACES, "places");
    let mut tasks = JoinSet::new();
    for who in 0..200 {
        tasks.spawn(join(store.clone(), row.value.name.clone(), who));
    }
    let admitted = all(tasks).await?.into_iter().filter(|admitted| *admitted).count();
    ensure_eq!(admitted, 5, "who were told that they have a place");
    let read = session(&*store, &row.value.name).await?.value;
    ensure_eq!((read.seats.len(), read.served), (5, 5), "who have one, and places ever taken");
    let mut found = 0;
    for who in 0..200 {
        let player = PlayerId::new(format!("player-{who}"))?;
        let there = store.session_of(&player).await?.is_some();
        ensure_eq!(there, read.seats(&player), "whether {player} is found");
        found += u32::from(there);
    }
    ensure_eq!(found, PLACES, "players that are found");
    let placed = store.host(&host.value.host_id).await?.map(|view| view.placed.players);
    ensure_eq!(placed, Some(PLACES), "players placed on the host");
    Ok(())
}

pub(super) async fn one_host_id_registered_in_parallel_is_one_host(
    fixture: &impl Fixture,
) -> Outcome {
    let store = Arc::new(fixture.fresh().await?);
    let id = HostId::new("host")?;
    let mut tasks = JoinSet::new();
    for port in 1..=50 {
        let (store, id) = (store.clone(), id.clone());
        let record = crate::domain::HostRecord { port, ..sample::host("host")? };
        tasks.spawn(async move {
            // Each conflict is another's registration.
            for _ in 0..50 {
                let known = store.host(&id).await?.map(|view| (view.row.id, view.row.version));
                yield_now().await;
                let change = hosts([Change::upsert(known, record.clone())]);
                if written(store.commit(change).await)? {
                    return Ok(known.is_none());
                }
            }
            Err(Failure::new("more conflicts than others"))
        });
    }
    let first = all(tasks).await?.into_iter().filter(|first| *first).count();
    ensure_eq!(first, 1, "who made the host");
    let listed = store.hosts(&HostQuery::default()).await?;
    ensure_eq!(listed.len(), 1, "hosts");
    let view = found("the host", listed.into_iter().next())?;
    ensure_eq!(view.row.version, 50, "versions, one of each registration");
    Ok(())
}

pub(super) async fn parallel_updates_of_one_record_lose_none(fixture: &impl Fixture) -> Outcome {
    let store = Arc::new(fixture.fresh().await?);
    let host = add_host(&*store, sample::host("host")?).await?;
    let zone = add_zone(&*store, sample::zone("zone")?).await?;
    let row = add_session(&*store, sample::session(1, &host, &zone, &[])?).await?;
    let key = SessionKey::Name(row.value.name);
    let mut tasks = JoinSet::new();
    for _ in 0..40 {
        let (store, key) = (store.clone(), key.clone());
        tasks.spawn(async move {
            for _ in 0..40 {
                let mut row = found("the session", store.session(&key).await?)?;
                row.value.epoch += 1;
                yield_now().await;
                let changes = super::step::sessions([Change::Update(row)]);
                if written(store.commit(changes).await)? {
                    return Ok(());
                }
            }
            Err(Failure::new("more conflicts than others"))
        });
    }
    all(tasks).await?;
    let read = found("the session", store.session(&key).await?)?;
    ensure_eq!(read.value.epoch, 1 + 40, "the first epoch, and one of each task");
    Ok(())
}

/// Moves a player to and fro, often.
async fn commute<S: Store>(
    store: Arc<S>,
    player: PlayerId,
    mut here: Row<SessionRecord>,
    mut there: Row<SessionRecord>,
) -> Outcome {
    for _ in 0..MOVES {
        here.value.remove(&player, None, NOW)?;
        here.value.status = SessionStatus::Paused;
        there.value.status = SessionStatus::Active;
        there.value.add(player.clone(), NOW)?;
        let mut changes = seated(there, &player, Some(&here.value.name));
        changes.sessions.push(Change::Update(here));
        let committed = store.commit(changes).await?;
        let [now_here, now_there] = <[_; 2]>::try_from(committed.sessions)
            .map_err(|rows| Failure::new(format!("two sessions were written, not {rows:?}")))?;
        (here, there) = (now_here, now_there);
        yield_now().await;
    }
    Ok(())
}

const MOVES: u32 = 200;

pub(super) async fn a_read_shows_all_of_a_commit_or_nothing(fixture: &impl Fixture) -> Outcome {
    let store = Arc::new(fixture.fresh().await?);
    let host = add_host(&*store, sample::host("host")?).await?;
    let zone = add_zone(&*store, sample::zone("zone")?).await?;
    let mut here = sample::session(1, &host, &zone, &["commuter"])?;
    here.status = SessionStatus::Active;
    let mut there = sample::session(2, &host, &zone, &[])?;
    there.status = SessionStatus::Paused;
    let (here, there) = (add_session(&*store, here).await?, add_session(&*store, there).await?);
    let player = sample::player("commuter")?;
    let query = PlacementQuery { player: Some(player.clone()), ..super::placement::query(&zone) };
    let mut tasks = JoinSet::new();
    tasks.spawn(commute(store.clone(), player.clone(), here, there));
    while tasks.try_join_next().map_or(Ok(true), |ended| {
        ended.map_err(|error| Failure::new(format!("a task: {error}")))?.map(|()| false)
    })? {
        let all = store.sessions(&SessionQuery::default()).await?;
        let full: Vec<_> = all.iter().filter(|row| !row.value.seats.is_empty()).collect();
        ensure!(full.len() == 1, "the player is in one session, not in {}", full.len());
        for row in full {
            ensure_eq!(players(&row.value), ["commuter"], "who is there");
            ensure_eq!(row.value.status, SessionStatus::Active, "the state of where it is");
        }
        let view = found("the zone", store.placement(&query).await?)?;
        let present = found("its session", view.present)?;
        ensure!(present.session.value.seats(&player), "it is where it is found");
        ensure_eq!(view.open, [present], "the one session that is active");
        yield_now().await;
    }
    Ok(())
}
