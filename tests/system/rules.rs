//! What holds at every moment of every story.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use p2p_coordinator::store::{MemoryStore, SessionQuery, Store};
use p2p_transport::P2PConnection;
use p2p_transport::coordinator::api::{HostId, PlayerId, SessionName};
use p2p_transport::simulator::SimulatorConnection;

use crate::cast::HOST_PLAYERS;
use crate::story::Told;

/// What players know, and which life each host is in.
#[derive(Clone, Default)]
pub(crate) struct Ledger(Arc<Mutex<Book>>);

#[derive(Default)]
pub(crate) struct Book {
    pub(crate) places: BTreeMap<PlayerId, Place>,
    /// Each host's life, while it is up.
    pub(crate) lives: BTreeMap<HostId, u32>,
    pub(crate) told: Told,
}

/// A place that was acknowledged to a player, who is connected.
#[derive(Clone)]
pub(crate) struct Place {
    pub(crate) session: SessionName,
    pub(crate) max_players: u32,
    pub(crate) host: HostId,
    pub(crate) life: u32,
    pub(crate) connection: SimulatorConnection,
}

impl Ledger {
    pub(crate) fn book(&self) -> MutexGuard<'_, Book> {
        self.0.lock().expect("no rule broke before")
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
        let mut book = self.book();
        book.told.full_sessions_seen += full;
        let mut connected: BTreeMap<&SessionName, (u32, BTreeSet<&PlayerId>)> = BTreeMap::new();
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
            let (max, players) =
                connected.entry(&place.session).or_insert((place.max_players, BTreeSet::new()));
            players.insert(player);
            let count = players.len();
            assert!(count <= *max as usize, "{count} players are connected in {}", place.session);
        }
    }
}
