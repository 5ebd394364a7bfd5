//! Single records: written, read, changed, deleted.

use p2p_coordinator_api::{HostId, HostStatus, PlayerId, SessionStatus, ZoneId, ZoneStatus};

use super::sample::{self, Draw, NOW, later};
use super::step::{
    add_host, add_session, add_zone, conflicts, ensure, ensure_eq, everything, found, hosts, only,
    save_session, sessions, unchanged, zones,
};
use super::{Fixture, Outcome};
use crate::domain::zone::ZoneCounts;
use crate::domain::{Change, Changes, HostView, Load, Row};
use crate::store::{PlacementQuery, SessionKey, Store};

pub(super) async fn a_record_comes_back_as_it_was_written(fixture: &impl Fixture) -> Outcome {
    let store = fixture.fresh().await?;
    let host = add_host(&store, sample::host("host")?).await?;
    let zone = add_zone(&store, sample::zone("zone")?).await?;
    let session = add_session(&store, sample::session(1, &host, &zone, &["a", "b"])?).await?;
    ensure_eq!(host.value, sample::host("host")?, "the host that was committed");
    ensure_eq!(zone.value, sample::zone("zone")?, "the zone that was committed");
    let placed = Load { players: 2, zones: 1 };
    let view = store.host(&host.value.host_id).await?;
    ensure_eq!(view, Some(HostView { row: host, placed }), "the host that was read");
    let counted = ZoneCounts { total_sessions: 1, active_sessions: 0, total_players_served: 2 };
    let read = store.zone(&zone.value.definition.zone_id).await?;
    ensure_eq!(read, Some((zone, counted)), "the zone that was read");
    let read = store.session(&SessionKey::Number(session.id)).await?;
    ensure_eq!(read, Some(session), "the session that was read");
    ensure_eq!(store.host(&HostId::new("other")?).await?, None, "a host that is not there");
    ensure_eq!(store.candidate(&HostId::new("other")?).await?, None, "a host that is not there");
    ensure_eq!(store.zone(&ZoneId::new("other")?).await?, None, "a zone that is not there");
    let read = store.session(&SessionKey::Number(99)).await?;
    ensure_eq!(read, None, "a session that is not there");
    ensure_eq!(store.session_of(&PlayerId::new("other")?).await?, None, "who is nowhere");
    store.check().await?;
    Ok(())
}

pub(super) async fn numbers_and_versions_grow(fixture: &impl Fixture) -> Outcome {
    let store = fixture.fresh().await?;
    let (first, second) =
        (add_host(&store, sample::host("b")?).await?, add_host(&store, sample::host("a")?).await?);
    ensure!(second.id > first.id, "{} follows {}", second.id, first.id);
    let mut row = first;
    for _ in 0..3 {
        let written =
            only("host", store.commit(hosts([Change::Update(row.clone())])).await?.hosts)?;
        ensure!(written.version > row.version, "{} follows {}", written.version, row.version);
        ensure_eq!(written.id, row.id, "a host keeps its number");
        row = written;
    }
    let read = found("the host", store.host(&row.value.host_id).await?)?;
    ensure_eq!(read.row, row, "the version that is read");
    let (zone, other) =
        (add_zone(&store, sample::zone("b")?).await?, add_zone(&store, sample::zone("a")?).await?);
    ensure!(other.id > zone.id, "{} follows {}", other.id, zone.id);
    let session = add_session(&store, sample::session(2, &row, &zone, &[])?).await?;
    let other = add_session(&store, sample::session(1, &row, &zone, &[])?).await?;
    ensure!(other.id > session.id, "{} follows {}", other.id, session.id);
    let written = save_session(&store, session.clone()).await?;
    ensure!(written.version > session.version, "a session's version grows");
    Ok(())
}

pub(super) async fn a_taken_name_conflicts_and_changes_nothing(fixture: &impl Fixture) -> Outcome {
    let store = fixture.fresh().await?;
    let host = add_host(&store, sample::host("taken")?).await?;
    let zone = add_zone(&store, sample::zone("taken")?).await?;
    add_session(&store, sample::session(1, &host, &zone, &["a"])?).await?;
    let before = everything(&store).await?;
    let mut other = sample::host("taken")?;
    other.port = 1;
    conflicts("a host", &store, hosts([Change::Insert(other)])).await?;
    let mut other = sample::zone("taken")?;
    other.status = ZoneStatus::Maintenance;
    conflicts("a zone", &store, zones([Change::Insert(other)])).await?;
    let mut other = sample::session(1, &host, &zone, &[])?;
    other.status = SessionStatus::Active;
    conflicts("a session", &store, sessions([Change::Insert(other)])).await?;
    let (one, two) = (sample::host("twice")?, sample::host("twice")?);
    let twice = hosts([Change::Insert(one), Change::Insert(two)]);
    conflicts("two hosts in one commit", &store, twice).await?;
    unchanged(&store, &before).await
}

pub(super) async fn an_earlier_version_conflicts_and_changes_nothing(
    fixture: &impl Fixture,
) -> Outcome {
    let store = fixture.fresh().await?;
    let host = add_host(&store, sample::host("host")?).await?;
    let zone = add_zone(&store, sample::zone("zone")?).await?;
    let session = add_session(&store, sample::session(1, &host, &zone, &[])?).await?;
    store.commit(hosts([Change::Update(host.clone())])).await?;
    store.commit(zones([Change::Update(zone.clone())])).await?;
    store.commit(sessions([Change::Update(session.clone())])).await?;
    let before = everything(&store).await?;
    let (id, version) = (host.id, host.version);
    conflicts("host", &store, hosts([Change::Update(host.clone())])).await?;
    conflicts("host", &store, hosts([Change::Delete { id, version }])).await?;
    let later = Row { version: version + 2, ..host };
    conflicts("host of a version to come", &store, hosts([Change::Update(later)])).await?;
    let (id, version) = (zone.id, zone.version);
    conflicts("zone", &store, zones([Change::Update(zone)])).await?;
    conflicts("zone", &store, zones([Change::Delete { id, version }])).await?;
    let (id, version) = (session.id, session.version);
    conflicts("session", &store, sessions([Change::Update(session)])).await?;
    conflicts("session", &store, sessions([Change::Delete { id, version }])).await?;
    unchanged(&store, &before).await
}

pub(super) async fn what_is_not_there_cannot_be_changed(fixture: &impl Fixture) -> Outcome {
    let store = fixture.fresh().await?;
    let host = Row { id: 7, version: 1, value: sample::host("host")? };
    let zone = Row { id: 7, version: 1, value: sample::zone("zone")? };
    let session = Row { id: 7, version: 1, value: sample::session(1, &host, &zone, &[])? };
    let before = everything(&store).await?;
    conflicts("a host", &store, hosts([Change::Update(host)])).await?;
    conflicts("a zone", &store, zones([Change::Update(zone)])).await?;
    conflicts("a session", &store, sessions([Change::Update(session)])).await?;
    let (id, version) = (7, 1);
    conflicts("a host", &store, hosts([Change::Delete { id, version }])).await?;
    conflicts("a zone", &store, zones([Change::Delete { id, version }])).await?;
    conflicts("a session", &store, sessions([Change::Delete { id, version }])).await?;
    unchanged(&store, &before).await
}

pub(super) async fn what_is_deleted_is_gone(fixture: &impl Fixture) -> Outcome {
    let store = fixture.fresh().await?;
    let before = everything(&store).await?;
    let host = add_host(&store, sample::host("host")?).await?;
    let zone = add_zone(&store, sample::zone("zone")?).await?;
    let session = add_session(&store, sample::session(1, &host, &zone, &["a"])?).await?;
    let mut changes = Changes::default();
    changes.hosts.push(Change::Delete { id: host.id, version: host.version });
    changes.zones.push(Change::Delete { id: zone.id, version: zone.version });
    changes.sessions.push(Change::Delete { id: session.id, version: session.version });
    changes.free(&session.value.name, [sample::player("a")?]);
    let committed = store.commit(changes).await?;
    ensure_eq!(committed, crate::store::Committed::default(), "deleted rows are left out");
    unchanged(&store, &before).await?;
    ensure_eq!(store.host(&host.value.host_id).await?, None, "by its name");
    ensure_eq!(store.session(&SessionKey::Number(session.id)).await?, None, "by its number");
    ensure_eq!(store.session_of(&sample::player("a")?).await?, None, "by its player");
    let again = add_host(&store, sample::host("host")?).await?;
    ensure!(again.id > host.id, "the name is free, and has a new number: {}", again.id);
    Ok(())
}

pub(super) async fn a_commit_tells_what_it_wrote(fixture: &impl Fixture) -> Outcome {
    let store = fixture.fresh().await?;
    let old = add_host(&store, sample::host("old")?).await?;
    let gone = add_host(&store, sample::host("gone")?).await?;
    let zone = add_zone(&store, sample::zone("zone")?).await?;
    let held = add_session(&store, sample::session(1, &old, &zone, &["a", "b"])?).await?;
    let mut busy = old.clone();
    busy.value.status = HostStatus::Busy;
    let mut active = held.clone();
    active.value.activate(NOW)?;
    let changes = Changes {
        hosts: vec![
            Change::Insert(sample::host("new")?),
            Change::Delete { id: gone.id, version: gone.version },
            Change::Update(busy.clone()),
        ],
        sessions: vec![Change::Update(active.clone())],
        ..Changes::default()
    };
    let committed = store.commit(changes).await?;
    let new = found("the new host", store.host(&HostId::new("new")?).await?)?;
    busy.version += 1;
    active.version += 1;
    ensure_eq!(committed.hosts, [new.row, busy], "in the order of the changes");
    ensure_eq!(committed.sessions, [active], "with all who are seated");
    ensure_eq!(committed.zones, [], "no zone was written");
    Ok(())
}

pub(super) async fn changes_of_one_commit_are_made_in_order(fixture: &impl Fixture) -> Outcome {
    let store = fixture.fresh().await?;
    let row = add_host(&store, sample::host("host")?).await?;
    let (id, version) = (row.id, row.version);
    let mut anew = sample::host("host")?;
    anew.port = 1;
    let replace = hosts([Change::Delete { id, version }, Change::Insert(anew)]);
    let row = only("host", store.commit(replace).await?.hosts)?;
    ensure_eq!(row.value.port, 1, "deleted, then made anew");
    let before = everything(&store).await?;
    let twice = hosts([Change::Update(row.clone()), Change::Update(row)]);
    conflicts("the second of one version", &store, twice).await?;
    unchanged(&store, &before).await
}

pub(super) async fn odd_text_in_names_is_text(fixture: &impl Fixture) -> Outcome {
    let store = fixture.fresh().await?;
    let longest = "é".repeat(255);
    let odd = [
        "'; DROP TABLE hosts; --",
        "\" OR 1=1",
        "100%",
        "_",
        "back\\slash",
        "NULL",
        "17",
        " space ",
        "Ünïcödé 中文 🦀",
        "e\u{301}",
        "é",
        "\u{202e}right to left",
        "CASE",
        "case",
        &longest,
    ];
    for (number, text) in (1..).zip(odd) {
        let host = add_host(&store, sample::host(text)?).await?;
        let zone = add_zone(&store, sample::zone(text)?).await?;
        let session = sample::session(number, &host, &zone, &[text])?;
        let session = add_session(&store, session).await?;
        let read = found(text, store.candidate(&host.value.host_id).await?)?;
        ensure_eq!(read.host.row, host, "host {text:?}");
        ensure_eq!(read.served, [ZoneId::new(text)?], "served by {text:?}");
        let read = found(text, store.zone(&zone.value.definition.zone_id).await?)?;
        ensure_eq!(read.0, zone, "zone {text:?}");
        let read = store.session_of(&PlayerId::new(text)?).await?;
        ensure_eq!(read, Some(session), "player {text:?}");
        let player = Some(PlayerId::new(text)?);
        let query = PlacementQuery { player, ..PlacementQuery::new(ZoneId::new(text)?, NOW) };
        let view = found(text, store.placement(&query).await?)?;
        ensure!(view.present.is_some(), "player {text:?} is where it is");
    }
    let all = everything(&store).await?;
    ensure!(all.counts() == (odd.len(), odd.len(), odd.len()), "each is one: {:?}", all.counts());
    Ok(())
}

pub(super) async fn odd_records_come_back_exactly(fixture: &impl Fixture) -> Outcome {
    let store = fixture.fresh().await?;
    let mut draw = Draw::new(1);
    for number in 1..=100 {
        let (host, zone) = (draw.host(number)?, draw.zone(number)?);
        let (host_row, zone_row) =
            (add_host(&store, host.clone()).await?, add_zone(&store, zone.clone()).await?);
        let session = draw.session(number, &host_row, &zone_row)?;
        let row = add_session(&store, session.clone()).await?;
        let read = found("the host", store.host(&host.host_id).await?)?;
        ensure_eq!(read.row.value, host, "host {number}");
        let read = found("the zone", store.zone(&zone.definition.zone_id).await?)?;
        ensure_eq!(read.0.value, zone, "zone {number}");
        let read = found("the session", store.session(&SessionKey::Number(row.id)).await?)?;
        ensure_eq!(read.value, session, "session {number}");
        let mut changed = read;
        let seats = changed.value.seats.clone();
        changed.value = draw.session(number, &host_row, &zone_row)?;
        // What a session is of does not change, and seats do by their own changes.
        (changed.value.seats, changed.value.max_players) = (seats, session.max_players);
        changed.value.updated_at = later(number);
        let written = save_session(&store, changed.clone()).await?;
        ensure_eq!(written.value, changed.value, "session {number}, changed");
    }
    Ok(())
}
