//! What holds at every moment of every story.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use p2p_coordinator::store::{MemoryStore, SessionQuery, Store};
use p2p_transport::P2PConnection;
use p2p_transport::coordinator::Guest;
use p2p_transport::coordinator::api::{HostId, PlayerId, SessionName, ZoneId};
use p2p_transport::simulator::SimulatorConnection;

use crate::cast::HOST_PLAYERS;
use crate::story::Told;

/// What players know, and which life each host is in.
#[derive(Clone, Default)]
pub(crate) struct Ledger(Arc<Mutex<Book>>);

#[derive(Default)]
pub(crate) struct Book {
    pub(crate) places: BTreeMap<PlayerId, Place>,
    /// In which life each host is that is up and can be heard by the coordinator.
    pub(crate) lives: BTreeMap<HostId, u32>,
    lives_begun: u32,
    /// Who is connected where, by the hosts' own account.
    visits: BTreeMap<u64, Visit>,
    visits_begun: u64,
    pub(crate) told: Told,
}

struct Visit {
    host: HostId,
    session: SessionName,
    zone: ZoneId,
    player: PlayerId,
}

/// A place that was acknowledged to a player, who is connected.
#[derive(Clone)]
pub(crate) struct Place {
    pub(crate) session: SessionName,
    pub(crate) host: HostId,
    pub(crate) life: u32,
    pub(crate) connection: SimulatorConnection,
}

/// How many play in a session of each zone.
pub(crate) const ZONES: [(&str, u32); 7] = [
    ("plaza", 8),
    ("harbour", 5),
    ("forest", 4),
    ("castle", 6),
    ("market", 8),
    ("river", 3),
    ("tavern", 5),
];

impl Ledger {
    pub(crate) fn book(&self) -> MutexGuard<'_, Book> {
        self.0.lock().expect("no rule broke before")
    }

    /// A host starts.
    pub(crate) fn begins(&self, host: &HostId) {
        self.begins_anew(host);
    }

    /// A host can be heard again: what was acknowledged before may have been given up meanwhile.
    pub(crate) fn begins_anew(&self, host: &HostId) {
        let book = &mut *self.book();
        book.lives_begun += 1;
        book.lives.insert(host.clone(), book.lives_begun);
    }

    /// The coordinator cannot hear a host, and will take it for lost.
    pub(crate) fn doubts(&self, host: &HostId) {
        self.book().lives.remove(host);
    }

    /// A host crashes, and its guests' connections with it.
    pub(crate) fn ends(&self, host: &HostId) {
        let book = &mut *self.book();
        book.lives.remove(host);
        book.visits.retain(|_, visit| visit.host != *host);
    }

    /// A host has a guest.
    pub(crate) fn comes<C>(&self, host: &HostId, guest: &Guest<C>) -> u64 {
        let book = &mut *self.book();
        book.visits_begun += 1;
        let visit = Visit {
            host: host.clone(),
            session: guest.session.clone(),
            zone: guest.zone.clone(),
            player: guest.player.clone(),
        };
        book.visits.insert(book.visits_begun, visit);
        book.visits_begun
    }

    /// A guest has gone.
    pub(crate) fn goes(&self, visit: u64) {
        self.book().visits.remove(&visit);
    }

    /// How long a join took, whatever came of it.
    pub(crate) fn ended(&self, took: Duration, deadline: Duration) {
        // Timers of the paused clock lie on whole milliseconds.
        assert!(
            took <= deadline + Duration::from_millis(1),
            "a join took {took:?} of {deadline:?}"
        );
    }

    /// Looks at everything.
    pub(crate) async fn check(&self, store: &MemoryStore) {
        let mut query = SessionQuery::default();
        query.status = SessionQuery::LIVE;
        let sessions = store.sessions(&query).await.expect("memory does not fail");
        let mut seen = BTreeMap::new();
        let mut on_hosts: BTreeMap<&HostId, usize> = BTreeMap::new();
        let mut full = 0;
        for row in &sessions {
            let session = &row.value;
            let (seats, max) = (session.seats.len(), session.max_players as usize);
            assert!(seats <= max, "{} has {seats} players of {max}", session.name);
            full += u64::from(seats == max);
            *on_hosts.entry(&session.host_id).or_default() += seats;
            for seat in &session.seats {
                let before = seen.insert(&seat.player, &session.name);
                let (player, here) = (&seat.player, &session.name);
                assert_eq!(before, None, "{player} is also in {here}");
            }
        }
        for (host, players) in on_hosts {
            assert!(players <= HOST_PLAYERS as usize, "{host} carries {players} players");
        }
        let book = &mut *self.book();
        book.told.full_sessions_seen += full;
        for (player, place) in &book.places {
            let host_lives_on = book.lives.get(&place.host) == Some(&place.life);
            if !host_lives_on || !place.connection.is_connected() {
                continue;
            }
            assert_eq!(
                seen.get(player),
                Some(&&place.session),
                "{player} was acknowledged {} and is connected to {}, which is up",
                place.session,
                place.host
            );
        }
        // By the hosts' own account: also who went elsewhere and did not say goodbye counts.
        let mut inside: BTreeMap<(&HostId, &SessionName), BTreeSet<&PlayerId>> = BTreeMap::new();
        let mut on_host: BTreeMap<&HostId, BTreeSet<&PlayerId>> = BTreeMap::new();
        for visit in book.visits.values() {
            on_host.entry(&visit.host).or_default().insert(&visit.player);
            let players = inside.entry((&visit.host, &visit.session)).or_default();
            players.insert(&visit.player);
            let max = ZONES.iter().find(|(zone, _)| *zone == visit.zone.as_str());
            let (max, count) = (max.expect("a zone").1, players.len());
            assert!(count <= max as usize, "{count} players are connected in {}", visit.session);
        }
        for (host, players) in on_host {
            let count = players.len();
            assert!(count <= HOST_PLAYERS as usize, "{count} players are connected to {host}");
        }
    }
}
