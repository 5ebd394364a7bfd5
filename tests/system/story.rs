//! One story: who plays, what goes wrong, and how it ends.

use std::time::Duration;

use p2p_coordinator::store::{MemoryStore, SessionQuery, Store};
use p2p_transport::P2PConnection;
use p2p_transport::coordinator::CoordinatorAddr;
use p2p_transport::coordinator::JoinOptions;
use p2p_transport::coordinator::api::{DefineZone, PlayerId, SessionName, ZoneId};
use p2p_transport::simulator::{Host, LinkProfile, Network, Simulation, TraceHash};
use rand_chacha::ChaCha12Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, interval, sleep, timeout};

use crate::cast::{CoordinatorHost, GameHost, PROTOCOL, client, config};
use crate::rules::{Ledger, Place, ZONES};

const HOSTS: usize = 5;
const PLAYERS: usize = 50;

/// How long things go wrong.
const TROUBLE: Duration = Duration::from_secs(30);

/// How long the system has afterwards: what was reserved for players who never came is free again
/// after a token's life and a lease.
const CALM: Duration = Duration::from_secs(60);

/// What a join may take.
const DEADLINE: Duration = Duration::from_secs(10);

/// What happened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Told {
    pub(crate) joined: u64,
    pub(crate) not_joined: u64,
    pub(crate) host_crashes: u64,
    pub(crate) coordinator_crashes: u64,
    pub(crate) player_crashes: u64,
    pub(crate) moved_silently: u64,
    pub(crate) hosts_cut_off: u64,
    pub(crate) sessions_ended: u64,
    pub(crate) full_sessions_seen: u64,
}

impl Told {
    pub(crate) fn add(&mut self, other: &Self) {
        self.joined += other.joined;
        self.not_joined += other.not_joined;
        self.host_crashes += other.host_crashes;
        self.coordinator_crashes += other.coordinator_crashes;
        self.player_crashes += other.player_crashes;
        self.moved_silently += other.moved_silently;
        self.hosts_cut_off += other.hosts_cut_off;
        self.sessions_ended += other.sessions_ended;
        self.full_sessions_seen += other.full_sessions_seen;
    }
}

/// Tells the story of a seed. It panics if a rule breaks.
pub(crate) fn tell(seed: u64) -> (Told, TraceHash) {
    let link = LinkProfile::new()
        .with_latency(Duration::from_millis(20))
        .with_jitter(Duration::from_millis(5))
        .with_loss(0.01);
    let simulation = Simulation::new(seed).with_link(link);
    let outcome = simulation.run(async |network| story(network, seed).await);
    let outcome = outcome.expect("the story ends");
    (outcome.output, outcome.trace_hash)
}

async fn story(network: Network, seed: u64) -> Told {
    let mut random = Chance::new(seed, 0);
    let mut coordinator = CoordinatorHost::new(&network);
    coordinator.start().await;
    let addr = coordinator.addr();
    let ledger = Ledger::default();

    let node = network.host("server").provider(config()).expect("the machine is up");
    let server = client(&node, &addr);
    let zones: Vec<ZoneId> = ZONES.map(|(id, _)| id.parse().expect("an id")).into();
    for (zone, (_, max_players)) in zones.iter().zip(ZONES) {
        let definition = DefineZone { max_players, ..DefineZone::new(zone.clone()) };
        server.define_zone(&definition).await.expect("the coordinator is up");
    }
    let host = |number| GameHost::new(&network, number, addr.clone(), &ledger);
    let mut hosts: Vec<GameHost> = (0..HOSTS).map(host).collect();
    hosts.iter_mut().for_each(GameHost::start);

    let (calm, is_calm) = watch::channel(false);
    let mut players = JoinSet::new();
    for number in 0..PLAYERS {
        let player = Player {
            id: format!("player-{number}").parse().expect("an id"),
            host: network.host(&format!("player-{number}")),
            coordinator: addr.clone(),
            zones: zones.clone(),
            ledger: ledger.clone(),
            random: Chance::new(seed, 1 + number as u64),
        };
        players.spawn(player.play(is_calm.clone()));
    }

    let until = Instant::now() + TROUBLE;
    let (store, watched) = (coordinator.store.clone(), ledger.clone());
    let mut watching = JoinSet::new();
    watching.spawn(async move {
        let mut clock = interval(Duration::from_millis(100));
        loop {
            clock.tick().await;
            watched.check(&store).await;
        }
    });

    while Instant::now() < until {
        let trouble = async {
            sleep(random.millis(300, 2500)).await;
            let host = &mut hosts[random.below(HOSTS as u32) as usize];
            match random.below(8) {
                0 | 1 => {
                    ledger.book().told.coordinator_crashes += 1;
                    coordinator.crash();
                    sleep(random.millis(200, 6000)).await;
                    coordinator.restart().await;
                }
                2 => {
                    ledger.book().told.hosts_cut_off += 1;
                    host.cut_off(&network, &coordinator);
                    // Some for longer than their lease.
                    sleep(random.millis(1000, 25_000)).await;
                    host.reconnect(&network, &coordinator);
                }
                3 => {
                    if let Some(session) = some_session(&coordinator.store, &mut random).await {
                        let ended = |place: &Place| place.session == session;
                        ledger.book().places.retain(|_, place| !ended(place));
                        // Whether it is heard or not.
                        let done = server.end_session(&session).await.is_ok();
                        ledger.book().places.retain(|_, place| !ended(place));
                        ledger.book().told.sessions_ended += u64::from(done);
                    }
                }
                _ if host.is_up => {
                    ledger.book().told.host_crashes += 1;
                    host.crash();
                }
                _ => host.restart(),
            }
        };
        // A rule that breaks ends the story at once.
        tokio::select! {
            biased;
            broken = watching.join_next() => broken.expect("it watches").expect("no rule broke"),
            () = trouble => {}
        }
    }
    for host in hosts.iter_mut().filter(|host| !host.is_up) {
        host.restart();
    }
    calm.send_replace(true);
    // Now everybody finds a place, and keeps it.
    let ended = async {
        while let Some(ended) = players.join_next().await {
            ended.expect("no rule broke");
        }
    };
    tokio::select! {
        biased;
        broken = watching.join_next() => broken.expect("it watches").expect("no rule broke"),
        ended = timeout(CALM + 3 * DEADLINE, ended) => ended.expect("players come to their end"),
    }
    ledger.check(&coordinator.store).await;
    let book = ledger.book();
    assert_eq!(book.places.len(), PLAYERS, "everybody plays at the end");
    book.told
}

/// One of the sessions that are not over.
async fn some_session(store: &MemoryStore, random: &mut Chance) -> Option<SessionName> {
    let mut query = SessionQuery::default();
    query.status = SessionQuery::LIVE;
    let sessions = store.sessions(&query).await.expect("memory does not fail");
    let count = u32::try_from(sessions.len()).expect("few");
    (count > 0).then(|| sessions[random.below(count) as usize].value.name.clone())
}

struct Player {
    id: PlayerId,
    host: Host,
    coordinator: CoordinatorAddr,
    zones: Vec<ZoneId>,
    ledger: Ledger,
    random: Chance,
}

impl Player {
    /// Joins, plays, leaves or vanishes, again and again; in the calm it joins once more and stays.
    async fn play(mut self, is_calm: watch::Receiver<bool>) {
        let mut node = self.host.provider(config()).expect("the machine is up");
        let mut coordinator = client(&node, &self.coordinator);
        sleep(self.random.millis(0, 3000)).await;
        let mut calm_since = None;
        let mut left_behind = None;
        loop {
            if *is_calm.borrow() {
                calm_since.get_or_insert_with(Instant::now);
            }
            let zone = &self.zones[self.random.below(self.zones.len() as u32) as usize];
            let options = JoinOptions::new(PROTOCOL.parse().expect("a name"))
                .with_timeout(DEADLINE)
                .with_attempt_timeout(Duration::from_millis(1500))
                .with_jitter_seed(self.random.seed());
            let (begun, lives) = (Instant::now(), self.ledger.book().lives.clone());
            let joined = coordinator.join(zone, &self.id, options).await;
            self.ledger.ended(begun.elapsed(), DEADLINE);
            drop(left_behind.take());
            let joined = match joined {
                Ok(joined) => joined,
                Err(why) => {
                    self.ledger.book().told.not_joined += 1;
                    let patience = calm_since.is_none_or(|since| since.elapsed() < CALM);
                    assert!(patience, "{} finds no place in the calm: {why:?}", self.id);
                    continue;
                }
            };
            {
                let mut book = self.ledger.book();
                book.told.joined += 1;
                // Of a host that crashed meanwhile nobody knows which of its lives answered: the
                // rules ask for the places of those that did not.
                let life = lives.get(&joined.host_id).copied();
                let life = life.filter(|life| book.lives.get(&joined.host_id) == Some(life));
                let place = Place {
                    session: joined.session.session_id.clone(),
                    host: joined.host_id.clone(),
                    life: life.unwrap_or(0),
                    connection: joined.connection.clone(),
                };
                book.places.insert(self.id.clone(), place);
            }
            let echoed = async {
                joined.connection.send("hello".into()).await.ok()?;
                joined.connection.recv().await.ok()
            };
            let answered = timeout(Duration::from_secs(5), echoed).await.ok().flatten().is_some();
            if answered && calm_since.is_some() {
                // The place stays in the book, and the connection with it.
                return;
            }
            sleep(self.random.millis(500, 9000)).await;
            self.ledger.book().places.remove(&self.id);
            if self.random.one_in(5) {
                // Goes elsewhere without a word to the host.
                self.ledger.book().told.moved_silently += 1;
                left_behind = Some(joined);
                continue;
            }
            if self.random.one_in(4) {
                self.ledger.book().told.player_crashes += 1;
                self.host.crash();
                drop((joined, coordinator, node));
                sleep(self.random.millis(100, 5000)).await;
                self.host.restart();
                node = self.host.provider(config()).expect("the machine is up");
                coordinator = client(&node, &self.coordinator);
            } else {
                joined.connection.close(0, "leaving").await;
                sleep(self.random.millis(0, 2000)).await;
            }
        }
    }
}

/// A stream of chance of one's own, so that one more draw in one place moves nothing elsewhere.
struct Chance(ChaCha12Rng);

impl Chance {
    fn new(seed: u64, stream: u64) -> Self {
        let mut random = ChaCha12Rng::seed_from_u64(seed);
        random.set_stream(stream);
        Self(random)
    }

    fn below(&mut self, bound: u32) -> u32 {
        self.0.next_u32() % bound
    }

    fn one_in(&mut self, number: u32) -> bool {
        self.below(number) == 0
    }

    fn millis(&mut self, from: u32, to: u32) -> Duration {
        Duration::from_millis(u64::from(from + self.below(to - from)))
    }

    fn seed(&mut self) -> u64 {
        self.0.next_u64()
    }
}
