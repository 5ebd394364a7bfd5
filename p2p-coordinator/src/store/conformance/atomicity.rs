//! All of a commit, or nothing.

use p2p_coordinator_api::{Heartbeat, HostStatus, SessionName, ZoneStatus};

use super::sample::{self, NOW, later};
use super::step::{
    Everything, add_host, add_session, add_zone, conflicts, ensure, ensure_eq, everything, found,
    hosts, unchanged,
};
use super::{Fixture, Outcome};
use crate::domain::{
    Beat, Change, Changes, HostRecord, Row, SeatChange, SessionRecord, Terms, ZoneRecord,
};
use crate::store::{Committed, SessionKey, Store};

/// A store with something in each table, and a commit that would change all of them.
struct Scene<S> {
    store: S,
    before: Everything,
    host: Row<HostRecord>,
    zone: Row<ZoneRecord>,
    session: Row<SessionRecord>,
}

impl<S: Store> Scene<S> {
    async fn set(fixture: &impl Fixture<Store = S>) -> Outcome<Self> {
        let store = fixture.fresh().await?;
        let host = add_host(&store, sample::host("host")?).await?;
        let zone = add_zone(&store, sample::zone("zone")?).await?;
        let session = sample::session(1, &host, &zone, &["stays", "goes"])?;
        let session = add_session(&store, session).await?;
        let before = everything(&store).await?;
        Ok(Self { store, before, host, zone, session })
    }

    fn changes(&self) -> Outcome<Changes> {
        let (mut host, mut zone) = (self.host.clone(), self.zone.clone());
        host.value.status = HostStatus::Busy;
        zone.value.status = ZoneStatus::Disabled;
        let mut session = self.session.clone();
        session.value.remove(&sample::player("goes")?, None, NOW)?;
        session.value.add(sample::player("comes")?, NOW)?;
        let other = sample::session(2, &self.host, &self.zone, &["elsewhere"])?;
        let mut changes = Changes {
            hosts: vec![Change::Insert(sample::host("new")?), Change::Update(host)],
            zones: vec![Change::Insert(sample::zone("new")?), Change::Update(zone)],
            ..Changes::default()
        };
        changes.free(&session.value.name, [sample::player("goes")?]);
        changes.seat(&session.value, &sample::player("comes")?, None);
        changes.seat(&other, &sample::player("elsewhere")?, None);
        changes.sessions = vec![Change::Insert(other), Change::Update(session)];
        Ok(changes)
    }

    /// That the changes are refused with one more that conflicts, and then done without it.
    async fn undone(self, what: &str, spoil: impl FnOnce(&mut Changes)) -> Outcome {
        let mut spoilt = self.changes()?;
        spoil(&mut spoilt);
        conflicts(what, &self.store, spoilt).await?;
        unchanged(&self.store, &self.before).await?;
        for player in ["comes", "elsewhere"] {
            let found = self.store.session_of(&sample::player(player)?).await?;
            ensure_eq!(found, None, "where {player} is");
        }
        let committed = self.store.commit(self.changes()?).await?;
        let written = (committed.hosts.len(), committed.zones.len(), committed.sessions.len());
        ensure_eq!(written, (2, 2, 2), "what is written without the conflict");
        Ok(())
    }
}

pub(super) async fn one_conflict_among_hosts_undoes_all(fixture: &impl Fixture) -> Outcome {
    let scene = Scene::set(fixture).await?;
    let (taken, stale) = (sample::host("host")?, Row { version: 9, ..scene.host.clone() });
    scene.undone("a host's name", |changes| changes.hosts.push(Change::Insert(taken))).await?;
    let scene = Scene::set(fixture).await?;
    scene.undone("a host's version", |changes| changes.hosts.push(Change::Update(stale))).await
}

pub(super) async fn one_conflict_among_zones_undoes_all(fixture: &impl Fixture) -> Outcome {
    let scene = Scene::set(fixture).await?;
    let (taken, stale) = (sample::zone("zone")?, Row { version: 9, ..scene.zone.clone() });
    scene.undone("a zone's name", |changes| changes.zones.push(Change::Insert(taken))).await?;
    let scene = Scene::set(fixture).await?;
    scene.undone("a zone's version", |changes| changes.zones.push(Change::Update(stale))).await
}

pub(super) async fn one_conflict_among_sessions_undoes_all(fixture: &impl Fixture) -> Outcome {
    let scene = Scene::set(fixture).await?;
    let taken = scene.session.value.clone();
    let undone = |changes: &mut Changes| changes.sessions.push(Change::Insert(taken));
    scene.undone("a session's name", undone).await?;
    let scene = Scene::set(fixture).await?;
    let id = scene.session.id;
    scene
        .undone("a session's version", |changes| {
            changes.sessions.push(Change::Delete { id, version: 9 });
        })
        .await
}

pub(super) async fn one_conflict_among_seats_undoes_all(fixture: &impl Fixture) -> Outcome {
    let here = |name: &SessionName| Some((name.clone(), None));
    let cases = [
        ("a seat of who is elsewhere", "stays", None),
        ("a seat of who is not where it says", "stays", Some(SessionName::from_bits(2))),
        ("a seat of who is nowhere", "nobody", Some(SessionName::from_bits(1))),
    ];
    for (what, player, from) in cases {
        let scene = Scene::set(fixture).await?;
        let (player, to) = (sample::player(player)?, here(&scene.session.value.name));
        let seat = SeatChange { player, from, to };
        scene.undone(what, |changes| changes.seats.push(seat)).await?;
    }
    Ok(())
}

pub(super) async fn nothing_to_write_is_written(fixture: &impl Fixture) -> Outcome {
    let scene = Scene::set(fixture).await?;
    let committed = scene.store.commit(Changes::default()).await?;
    ensure_eq!(committed, Committed::default(), "what was written");
    unchanged(&scene.store, &scene.before).await
}

pub(super) async fn a_host_that_is_held_stays_and_has_the_next_version(
    fixture: &impl Fixture,
) -> Outcome {
    let scene = Scene::set(fixture).await?;
    let (id, version) = (scene.host.id, scene.host.version);
    let hold = |version| Changes { held: vec![(id, version)], ..Changes::default() };
    for wrong in [hold(version + 1), Changes { held: vec![(id + 1, 1)], ..Changes::default() }] {
        conflicts("a host that is not as it was read", &scene.store, wrong).await?;
    }
    let committed = scene.store.commit(hold(version)).await?;
    ensure_eq!(committed, Committed::default(), "rows that were written");
    let held = found("the host", scene.store.host(&scene.host.value.host_id).await?)?.row;
    ensure_eq!(held, Row { version: version + 1, ..scene.host.clone() }, "the host");
    conflicts("the same again", &scene.store, hold(version)).await?;
    conflicts("an update", &scene.store, hosts([Change::Update(scene.host.clone())])).await?;
    let scene = Scene::set(fixture).await?;
    scene.undone("a host that is held", |changes| changes.held.push((id, 9))).await
}

pub(super) async fn a_stamp_changes_with_whatever_is_written(fixture: &impl Fixture) -> Outcome {
    let scene = Scene::set(fixture).await?;
    let store = &scene.store;
    let mut last = store.stamp().await?;
    if last.is_none() {
        return Ok(());
    }
    let beat = Beat {
        host: scene.host.value.host_id.clone(),
        measured: Heartbeat::default(),
        heard: later(100),
    };
    everything(store).await?;
    ensure_eq!(store.stamp().await?, last, "after reading");
    for step in 0..4 {
        match step {
            0 => drop(store.commit(scene.changes()?).await?),
            1 => drop(store.hear(vec![beat.clone()], &Terms::default()).await?),
            2 => drop(add_host(store, sample::host("another")?).await?),
            _ => {
                let over = store.session(&SessionKey::Number(scene.session.id)).await?;
                let mut row = found("the session", over)?;
                row.value.end(NOW);
                let mut changes = Changes::default();
                changes.free(&row.value.name, [sample::player("stays")?, sample::player("comes")?]);
                changes.sessions.push(Change::Update(row));
                store.commit(changes).await?;
                let before = store.stamp().await?;
                ensure_eq!(store.prune(NOW, 0, 9).await?, 1, "sessions that were forgotten");
                ensure!(store.stamp().await? != before, "forgetting leaves the stamp as it was");
            }
        }
        let next = store.stamp().await?;
        ensure!(next != last, "step {step} leaves the stamp as it was");
        ensure_eq!(store.stamp().await?, next, "when nothing is written");
        last = next;
    }
    Ok(())
}
