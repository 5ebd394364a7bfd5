//! Lists of sessions.

use p2p_coordinator_api::{SessionName, SessionStatus};

use super::sample::{self, NOW, later};
use super::step::{add_host, add_session, add_zone, ensure_eq, found, save_session};
use super::{Fixture, Outcome};
use crate::domain::{HostRecord, Row, RowId, SessionRecord, ZoneRecord};
use crate::store::{SessionKey, SessionQuery, Store};

async fn ids(store: &impl Store, query: SessionQuery) -> Outcome<Vec<RowId>> {
    Ok(store.sessions(&query).await?.iter().map(|session| session.id).collect())
}

/// One session of each state in each of two zones on each of two hosts, by number.
struct Many {
    hosts: [Row<HostRecord>; 2],
    zones: [Row<ZoneRecord>; 2],
    all: Vec<Row<SessionRecord>>,
}

impl Many {
    async fn add(store: &impl Store) -> Outcome<Self> {
        let hosts = [
            add_host(store, sample::host("one")?).await?,
            add_host(store, sample::host("two")?).await?,
        ];
        let zones = [
            add_zone(store, sample::zone("one")?).await?,
            add_zone(store, sample::zone("two")?).await?,
        ];
        let mut all = Vec::new();
        // Names in another order than numbers.
        let mut name = 100;
        for status in SessionStatus::ALL {
            for host in &hosts {
                for zone in &zones {
                    name -= 1;
                    let mut session = sample::session(name, host, zone, &[])?;
                    session.status = status;
                    all.push(add_session(store, session).await?);
                }
            }
        }
        Ok(Self { hosts, zones, all })
    }

    fn ids(&self, wanted: impl Fn(&SessionRecord) -> bool) -> Vec<RowId> {
        self.all.iter().filter(|row| wanted(&row.value)).map(|row| row.id).collect()
    }
}

pub(super) async fn sessions_are_listed_by_number(fixture: &impl Fixture) -> Outcome {
    let store = fixture.fresh().await?;
    let many = Many::add(&store).await?;
    ensure_eq!(store.sessions(&SessionQuery::default()).await?, many.all, "all sessions");
    Ok(())
}

pub(super) async fn sessions_are_filtered_by_host_zone_and_state(
    fixture: &impl Fixture,
) -> Outcome {
    let store = fixture.fresh().await?;
    let many = Many::add(&store).await?;
    let (host, zone) = (many.hosts[1].id, many.zones[0].id);
    let query = SessionQuery { host: Some(host), ..SessionQuery::default() };
    ensure_eq!(ids(&store, query).await?, many.ids(|row| row.host == host), "of a host");
    let query = SessionQuery { zone: Some(zone), ..SessionQuery::default() };
    ensure_eq!(ids(&store, query).await?, many.ids(|row| row.zone == zone), "of a zone");
    let live = SessionQuery { status: SessionQuery::LIVE, ..SessionQuery::default() };
    let expected = many.ids(|row| row.status.is_live());
    ensure_eq!(ids(&store, live.clone()).await?, expected, "that are live");
    let one: &[_] = &[SessionStatus::Failed];
    let query = SessionQuery { status: one, ..SessionQuery::default() };
    let expected = many.ids(|row| row.status == SessionStatus::Failed);
    ensure_eq!(ids(&store, query).await?, expected, "that failed");
    let query = SessionQuery { host: Some(host), zone: Some(zone), ..live };
    let expected = many.ids(|row| row.host == host && row.zone == zone && row.status.is_live());
    ensure_eq!(ids(&store, query).await?, expected, "of a host and a zone, and live");
    let query = SessionQuery { host: Some(999), ..SessionQuery::default() };
    ensure_eq!(ids(&store, query).await?, Vec::<RowId>::new(), "of no host");
    Ok(())
}

pub(super) async fn sessions_come_in_pages(fixture: &impl Fixture) -> Outcome {
    let store = fixture.fresh().await?;
    let all = Many::add(&store).await?.ids(|_| true);
    let count = all.len();
    let pages =
        [(0, Some(3), 0..3), (3, Some(3), 3..6), (18, Some(3), 18..count), (5, None, 5..count)];
    for (offset, limit, expected) in pages {
        let query = SessionQuery { offset, limit, ..SessionQuery::default() };
        let listed = ids(&store, query).await?;
        ensure_eq!(listed, all[expected], "{limit:?} sessions from {offset}");
    }
    let query = SessionQuery { offset: u32::MAX, limit: Some(u32::MAX), ..SessionQuery::default() };
    ensure_eq!(ids(&store, query).await?, Vec::<RowId>::new(), "sessions past the end");
    Ok(())
}

pub(super) async fn a_session_has_two_names(fixture: &impl Fixture) -> Outcome {
    let store = fixture.fresh().await?;
    let many = Many::add(&store).await?;
    for row in &many.all {
        let by_name = store.session(&SessionKey::Name(row.value.name.clone())).await?;
        let by_number = store.session(&SessionKey::Number(row.id)).await?;
        ensure_eq!(found("by its name", by_name)?, *row, "by its name");
        ensure_eq!(found("by its number", by_number)?, *row, "by its number");
    }
    let unknown = SessionKey::Name(SessionName::from_bits(7));
    ensure_eq!(store.session(&unknown).await?, None, "a session that is not there");
    Ok(())
}

pub(super) async fn sessions_are_filtered_by_when_they_changed(fixture: &impl Fixture) -> Outcome {
    let store = fixture.fresh().await?;
    let host = add_host(&store, sample::host("host")?).await?;
    let zone = add_zone(&store, sample::zone("zone")?).await?;
    let mut rows = Vec::new();
    for number in 0..4 {
        let session = sample::session(number, &host, &zone, &[])?;
        let updated_at = later(10 * number);
        rows.push(add_session(&store, SessionRecord { updated_at, ..session }).await?);
    }
    rows[3].value.end(NOW);
    rows[3] = save_session(&store, rows[3].clone()).await?;
    let idle = |millis, status| SessionQuery {
        idle_since: Some(later(millis)),
        status,
        ..SessionQuery::default()
    };
    for (millis, count) in [(0, 1), (9, 1), (10, 2), (19, 2), (99, 3)] {
        let listed = ids(&store, idle(millis, SessionQuery::LIVE)).await?;
        let expected: Vec<_> = rows.iter().take(count).map(|row| row.id).collect();
        ensure_eq!(listed, expected, "live sessions that are idle for long");
    }
    for (millis, count) in [(0, 2), (9, 2), (10, 1), (30, 0)] {
        let (changed_after, status) = (Some(later(millis)), SessionQuery::LIVE);
        let query = SessionQuery { changed_after, status, ..SessionQuery::default() };
        let expected: Vec<_> = rows[..3].iter().rev().take(count).rev().map(|row| row.id).collect();
        ensure_eq!(ids(&store, query).await?, expected, "live sessions that changed later");
    }
    let listed = ids(&store, idle(0, &[])).await?;
    ensure_eq!(listed, [rows[0].id, rows[3].id], "sessions of any state");
    rows[0].value.updated_at = later(50);
    save_session(&store, rows[0].clone()).await?;
    let listed = ids(&store, idle(10, SessionQuery::LIVE)).await?;
    ensure_eq!(listed, [rows[1].id], "without the one that changed");
    Ok(())
}

pub(super) async fn what_is_over_is_forgotten_by_age_and_by_number(
    fixture: &impl Fixture,
) -> Outcome {
    let store = fixture.fresh().await?;
    let host = add_host(&store, sample::host("host")?).await?;
    let zone = add_zone(&store, sample::zone("zone")?).await?;
    for number in 0..10 {
        let mut session = sample::session(number, &host, &zone, &[])?;
        match number {
            0 => {}
            number if number % 2 == 0 => drop(session.end(later(number))),
            number => drop(session.fail(later(number))),
        }
        add_session(&store, session).await?;
    }
    let left = async || {
        let all = store.sessions(&SessionQuery::default()).await?;
        let ended = |row: &Row<SessionRecord>| Some(row.value.ended_at?.since(NOW).as_millis());
        Outcome::Ok(all.iter().filter_map(ended).collect::<Vec<_>>())
    };
    ensure_eq!(store.prune(NOW, 9, 100).await?, 0, "all that may be kept");
    ensure_eq!(store.prune(later(3), 100, 2).await?, 2, "by age, two at most");
    ensure_eq!(left().await?, [3, 4, 5, 6, 7, 8, 9], "those over for longest went first");
    ensure_eq!(store.prune(later(3), 100, 2).await?, 1, "by age, the rest");
    ensure_eq!(store.prune(NOW, 4, 100).await?, 2, "by number");
    ensure_eq!(left().await?, [6, 7, 8, 9], "those that ended last are kept");
    ensure_eq!(store.prune(NOW, 0, 100).await?, 4, "all that are over");
    let all = store.sessions(&SessionQuery::default()).await?;
    ensure_eq!(all.len(), 1, "the one that lives");
    let id = &zone.value.definition.zone_id;
    let counts = found("the zone", store.zone(id).await?)?.1;
    ensure_eq!(counts.total_sessions, 10, "sessions there ever were");
    Ok(())
}
