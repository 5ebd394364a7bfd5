//! All of a commit, or nothing.

use p2p_coordinator_api::{HostStatus, SessionName, ZoneStatus};

use super::sample::{self, NOW};
use super::step::{
    Everything, add_host, add_session, add_zone, conflicts, ensure_eq, everything, unchanged,
};
use super::{Fixture, Outcome};
use crate::domain::{Change, Changes, HostRecord, Row, SeatChange, SessionRecord, ZoneRecord};
use crate::store::{Committed, Store};

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
