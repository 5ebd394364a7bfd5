//! The agent's one task.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use p2p_coordinator_api::HeartbeatReply;
use p2p_core::{P2PConnection, P2PError, P2PListener, P2PProvider, PeerAddr};
use tokio::sync::{Notify, mpsc};
use tokio::time::{Instant, sleep_until, timeout};

use super::HostAgent;
use super::duty::{Answer, Told, heartbeat};
use super::errand::{Errand, Errands};
use super::guest::Guest;
use super::hall::Shared;
use super::register::{Registered, Registrar};
use super::rhythm::{Duty, Rhythm};

/// How long the coordinator has to hear that the host is gone.
pub(super) const GOODBYE: Duration = Duration::from_secs(2);

/// What the task waits for besides new guests. Their number is bounded: two for each connection of
/// the listener, which are bounded, the running errands, and one duty.
type Waiting = FuturesUnordered<Pin<Box<dyn Future<Output = Event> + Send>>>;

#[derive(Debug)]
enum Event {
    /// A guest's connection has ended.
    Ended(u64),
    /// This side has closed a connection.
    Closed,
    /// An errand has been run.
    Told,
    /// When it was begun, what it was, and what came of it.
    Duty(Instant, Duty, Box<Answer>),
}

/// Owns the guests' connections and everything that is under way for the host.
pub(super) struct Owner<P: P2PProvider> {
    registrar: Registrar<P>,
    provider: P,
    shared: Arc<Shared>,
    listener: Arc<P::Listener>,
    to_program: mpsc::Sender<Guest<P::Connection>>,
    connections: BTreeMap<u64, P::Connection>,
    waiting: Waiting,
    errands: Errands,
    rhythm: Rhythm,
    on_duty: bool,
    /// Where the coordinator thinks that the host is.
    registered_addr: PeerAddr,
}

impl<P: P2PProvider> Owner<P> {
    pub(super) fn new(
        registrar: Registrar<P>,
        provider: P,
        shared: Arc<Shared>,
        listener: Arc<P::Listener>,
        to_program: mpsc::Sender<Guest<P::Connection>>,
        registered: &Registered,
    ) -> Self {
        // The peer id is as good a seed as any: what matters is that hosts have different ones.
        let seed = provider.local_peer_id().as_bytes().first_chunk().copied();
        let seed = u64::from_be_bytes(seed.unwrap_or_default());
        let lease = Duration::from_millis(registered.terms.lease_ms);
        Self {
            registrar,
            provider,
            shared,
            listener,
            to_program,
            connections: BTreeMap::new(),
            waiting: FuturesUnordered::new(),
            errands: Errands::default(),
            rhythm: Rhythm::new(registered.at, lease, seed),
            on_duty: false,
            registered_addr: registered.addr.clone(),
        }
    }

    /// Runs until it is told to stop, or until the provider is shut down; then says goodbye.
    pub(super) async fn run(mut self, stop: Arc<Notify>) {
        loop {
            self.run_errands();
            tokio::select! {
                biased;
                () = stop.notified() => break,
                () = self.shared.changed.notified() => self.let_go(),
                Some(event) = self.waiting.next() => self.on_event(event),
                accepted = next_guest(&*self.listener, &self.to_program) => match accepted {
                    Ok(connection) => self.welcome(connection),
                    Err(error) => {
                        self.shared.hall().failed(error.to_string(), false);
                        break;
                    }
                },
                () = sleep_until(self.rhythm.due()), if !self.on_duty => self.do_duty(),
            }
        }
        self.listener.close();
        let client = self.registrar.client();
        let goodbye = client.remove_host(&self.registrar.config().host_id);
        // If it is not heard, the lease ends.
        let _ = timeout(GOODBYE, goodbye).await;
        self.shared.hall().failed("the host agent has ended".into(), true);
    }

    fn wait_for(&self, event: impl Future<Output = Event> + Send + 'static) {
        self.waiting.push(Box::pin(event));
    }

    fn welcome(&mut self, connection: P::Connection) {
        let credential = connection.peer().credential.clone();
        let arrival = self.shared.hall().guests.arrive(Instant::now(), &credential);
        let Some(arrival) = arrival else {
            self.close(connection, HostAgent::<P>::TOO_LATE, "not accepted in time: join again");
            return;
        };
        for number in arrival.replaced {
            if let Some(before) = self.connections.remove(&number) {
                let words = "taken over by a newer connection";
                self.close(before, HostAgent::<P>::TAKEN_OVER, words);
            }
        }
        let number = arrival.number;
        self.connections.insert(number, connection.clone());
        let ends = connection.clone();
        self.wait_for(async move {
            ends.closed().await;
            Event::Ended(number)
        });
        let guest = Guest::new(connection, number, arrival.claims, self.shared.clone());
        // There is room: it was waited for, and nobody else sends. If the program's end is gone, the
        // guest is dropped, and let go.
        let _ = self.to_program.try_send(guest);
    }

    /// Closes the connections of guests whom the program dropped.
    fn let_go(&mut self) {
        for number in self.shared.take_let_go() {
            if let Some(connection) = self.connections.remove(&number) {
                self.close(connection, HostAgent::<P>::LET_GO, "the host let the guest go");
            }
        }
    }

    fn close(&self, connection: P::Connection, code: u32, words: &'static str) {
        self.wait_for(async move {
            connection.close(code, words).await;
            Event::Closed
        });
    }

    fn on_event(&mut self, event: Event) {
        match event {
            Event::Closed => {}
            Event::Ended(number) => {
                self.connections.remove(&number);
                let left = self.shared.hall().guests.leave(number);
                if let Some(claims) = left {
                    let (session, player, nonce) = (claims.session, claims.player, claims.nonce);
                    self.errands.add(Errand { session, player, nonce });
                }
            }
            Event::Told => self.errands.done(),
            Event::Duty(begun, duty, answer) => self.on_answer(begun, duty, &answer),
        }
    }

    fn do_duty(&mut self) {
        let (now, addr) = (Instant::now(), self.provider.local_addr());
        let outdated = addr != self.registered_addr
            || self.shared.hall().doubts_issuer
            || self.registrar.wants_access(now);
        let duty = self.rhythm.duty(outdated);
        let told = match duty {
            Duty::Beat => {
                let hall = &mut self.shared.hall();
                Told::Beat(heartbeat(now, hall, self.connections.values()))
            }
            Duty::Register => Told::Register(addr),
        };
        self.on_duty = true;
        let registrar = self.registrar.clone();
        self.wait_for(async move {
            let answer = Box::new(told.tell(&registrar).await);
            Event::Duty(now, duty, answer)
        });
    }

    fn on_answer(&mut self, begun: Instant, duty: Duty, answer: &Answer) {
        self.on_duty = false;
        let now = Instant::now();
        let outcome = self.shared.hall().note(now, answer);
        if let Answer::Register(Ok(Some(registered))) = answer {
            self.registered_addr = registered.addr.clone();
            self.rhythm.set_lease(Duration::from_millis(registered.terms.lease_ms));
        }
        self.rhythm.done(begun, now, duty, outcome);
        if let Answer::Beat(Ok(HeartbeatReply { p2p: Some(news), .. })) = answer {
            let gone = self.shared.hall().learn(news, now);
            for number in gone {
                if let Some(connection) = self.connections.remove(&number) {
                    let words = "the place is somebody else's now: join again";
                    self.close(connection, HostAgent::<P>::PLACE_GONE, words);
                }
            }
        }
    }

    fn run_errands(&mut self) {
        while let Some(errand) = self.errands.start() {
            let client = self.registrar.client();
            self.wait_for(async move {
                // If it is not heard, the next heartbeat makes up for it.
                let _ = errand.run(&client).await;
                Event::Told
            });
        }
    }
}

/// The next connection, once the program has room for it. Cancel safe.
async fn next_guest<L: P2PListener>(
    listener: &L,
    to_program: &mpsc::Sender<Guest<L::Connection>>,
) -> Result<L::Connection, P2PError> {
    // An error says that the program's end is gone, and then this task is about to be.
    drop(to_program.reserve().await);
    listener.accept().await
}
