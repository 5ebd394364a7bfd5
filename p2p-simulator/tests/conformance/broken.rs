//! The suite is tested itself: backends that break one promise each fail the check that is named
//! after it, and the same decorator with nothing broken passes.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use async_trait::async_trait;
use bytes::Bytes;
use p2p_core::conformance::{Fixture, Wrapped, run_all, run_check};
use p2p_core::{
    CloseReason, ConfigError, ConnectOptions, ConnectionConfig, ConnectionState, ConnectionStats,
    DatagramOptions, Health, ListenOptions, Message, P2PConnection, P2PListener, P2PProvider,
    PathEvents, PathInfo, PeerAddr, PeerId, PeerInfo, Priority, ProtocolName, Result, SendPermit,
    StandbyState, StateEvents,
};

use super::super::{Hosts, relayed, simulated};

/// The one promise that is broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    /// None.
    Nothing,
    /// Some messages are never sent.
    Drops,
    /// Some messages come twice.
    Duplicates,
    /// A receive that is given up takes its message with it.
    Forgets,
    /// Whatever happens, it has nothing to tell.
    LooksFine,
    /// A close does nothing.
    NeverCloses,
    /// Some messages change places, if two are there.
    Reorders,
    /// A send never waits.
    TakesEverything,
    /// What begins between two links waits for ever.
    MissesLinks,
    /// What is sent while the standby is relied on is lost.
    StandbyDrops,
    /// What comes while the standby is relied on comes twice.
    StandbyDuplicates,
}

/// Every so many messages, something goes wrong.
const EVERY: u64 = 7;

#[derive(Clone, Debug)]
struct Broken<P> {
    inner: P,
    fault: Fault,
}

#[async_trait]
impl<P: P2PProvider> P2PProvider for Broken<P> {
    type Connection = BrokenConnection<P::Connection>;
    type Listener = BrokenListener<P::Listener>;

    fn local_peer_id(&self) -> PeerId {
        self.inner.local_peer_id()
    }

    fn local_addr(&self) -> PeerAddr {
        self.inner.local_addr()
    }

    fn random(&self) -> u64 {
        self.inner.random()
    }

    async fn connect(&self, peer: &PeerAddr, options: ConnectOptions) -> Result<Self::Connection> {
        let inner = self.inner.connect(peer, options).await?;
        Ok(BrokenConnection::new(inner, self.fault))
    }

    async fn listen(&self, options: ListenOptions) -> Result<Self::Listener> {
        let inner = self.inner.listen(options).await?;
        Ok(BrokenListener { inner, fault: self.fault })
    }

    fn config(&self) -> Arc<ConnectionConfig> {
        self.inner.config()
    }

    fn reconfigure(
        &self,
        change: &mut dyn FnMut(&mut ConnectionConfig),
    ) -> Result<Arc<ConnectionConfig>, ConfigError> {
        self.inner.reconfigure(change)
    }

    fn health(&self) -> Health {
        if self.fault == Fault::LooksFine { Health::default() } else { self.inner.health() }
    }

    async fn shutdown(&self) {
        self.inner.shutdown().await;
    }
}

#[derive(Debug)]
struct BrokenListener<N> {
    inner: N,
    fault: Fault,
}

#[async_trait]
impl<N: P2PListener> P2PListener for BrokenListener<N> {
    type Connection = BrokenConnection<N::Connection>;

    async fn accept(&self) -> Result<Self::Connection> {
        Ok(BrokenConnection::new(self.inner.accept().await?, self.fault))
    }

    fn local_addr(&self) -> PeerAddr {
        self.inner.local_addr()
    }

    fn protocol(&self) -> &ProtocolName {
        self.inner.protocol()
    }

    fn close(&self) {
        self.inner.close();
    }
}

#[derive(Clone, Debug)]
struct BrokenConnection<C> {
    inner: C,
    fault: Fault,
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    sent: u64,
    received: u64,
    /// To be received next.
    held: Option<Message>,
}

impl<C: P2PConnection> BrokenConnection<C> {
    fn new(inner: C, fault: Fault) -> Self {
        Self { inner, fault, state: Arc::default() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether it is time for something to go wrong.
    fn is_due(&self, counter: impl FnOnce(&mut State) -> &mut u64) -> bool {
        let mut state = self.state();
        let counter = counter(&mut state);
        *counter += 1;
        *counter % EVERY == 0
    }

    /// Whether messages go over the standby now.
    fn is_on_standby(&self) -> bool {
        matches!(self.inner.stats().standby, StandbyState::Active | StandbyState::Hedging)
    }

    /// The next message, if it is there already.
    async fn miss_links(&self) {
        let between = matches!(self.inner.state(), ConnectionState::Reconnecting { .. });
        if between && self.fault == Fault::MissesLinks {
            std::future::pending().await
        }
    }

    fn recv_now(&self) -> Option<Message> {
        let mut next = Box::pin(self.inner.recv_message());
        match next.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(Ok(message)) => Some(message),
            _ => None,
        }
    }
}

impl<C: P2PConnection> P2PConnection for BrokenConnection<C> {
    type SendStream = C::SendStream;
    type RecvStream = C::RecvStream;

    fn peer_id(&self) -> PeerId {
        self.inner.peer_id()
    }

    fn peer(&self) -> &PeerInfo {
        self.inner.peer()
    }

    async fn send_with(&self, priority: Priority, message: Bytes) -> Result<()> {
        match self.fault {
            Fault::Drops if self.is_due(|state| &mut state.sent) => Ok(()),
            Fault::StandbyDrops if self.is_on_standby() => Ok(()),
            Fault::TakesEverything if message.len() <= self.peer().max_message_size => {
                let inner = self.inner.clone();
                tokio::spawn(async move { inner.send_with(priority, message).await });
                Ok(())
            }
            _ => self.inner.send_with(priority, message).await,
        }
    }

    fn try_send(&self, priority: Priority, message: Bytes) -> Result<()> {
        self.inner.try_send(priority, message)
    }

    async fn reserve(&self, priority: Priority, size: usize) -> Result<SendPermit> {
        self.inner.reserve(priority, size).await
    }

    fn queue_depth(&self, priority: Priority) -> usize {
        self.inner.queue_depth(priority)
    }

    async fn recv_message(&self) -> Result<Message> {
        if let Some(held) = self.state().held.take() {
            return Ok(held);
        }
        let message = self.inner.recv_message().await?;
        match self.fault {
            Fault::Duplicates if self.is_due(|state| &mut state.received) => {
                self.state().held = Some(message.clone());
            }
            Fault::StandbyDuplicates if self.is_on_standby() => {
                self.state().held = Some(message.clone());
            }
            Fault::Forgets => tokio::task::yield_now().await,
            Fault::Reorders if self.is_due(|state| &mut state.received) => {
                if let Some(next) = self.recv_now() {
                    self.state().held = Some(message);
                    return Ok(next);
                }
            }
            _ => {}
        }
        Ok(message)
    }

    fn send_datagram_with(&self, datagram: Bytes, options: DatagramOptions) -> Result<()> {
        self.inner.send_datagram_with(datagram, options)
    }

    async fn recv_datagram(&self) -> Result<Bytes> {
        self.miss_links().await;
        self.inner.recv_datagram().await
    }

    fn max_datagram_size(&self) -> Option<usize> {
        self.inner.max_datagram_size()
    }

    async fn open_stream(&self) -> Result<(Self::SendStream, Self::RecvStream)> {
        self.miss_links().await;
        self.inner.open_stream().await
    }

    async fn accept_stream(&self) -> Result<(Self::SendStream, Self::RecvStream)> {
        self.miss_links().await;
        self.inner.accept_stream().await
    }

    fn is_connected(&self) -> bool {
        self.inner.is_connected()
    }

    fn state(&self) -> ConnectionState {
        self.inner.state()
    }

    fn state_events(&self) -> StateEvents {
        self.inner.state_events()
    }

    fn renew_link(&self) {
        self.inner.renew_link();
    }

    fn path(&self) -> PathInfo {
        self.inner.path()
    }

    fn path_events(&self) -> PathEvents {
        self.inner.path_events()
    }

    fn stats(&self) -> ConnectionStats {
        self.inner.stats()
    }

    async fn close(&self, code: u32, message: &str) {
        if self.fault != Fault::NeverCloses {
            self.inner.close(code, message).await;
        }
    }

    async fn closed(&self) -> CloseReason {
        self.inner.closed().await
    }
}

fn with(fault: Fault) -> impl Fixture {
    wrapped(simulated(), fault)
}

fn wrapped(fixture: impl Fixture<World = Hosts>, fault: Fault) -> impl Fixture {
    Wrapped::new(fixture, move |inner| Broken { inner, fault })
}

/// That these checks fail, which are about the promise that is broken.
fn caught(fault: Fault, by: &[&str]) {
    caught_on(simulated(), fault, by);
}

fn caught_on(fixture: impl Fixture<World = Hosts> + Clone, fault: Fault, by: &[&str]) {
    for name in by {
        let failure =
            run_check(&wrapped(fixture.clone(), fault), name).expect_err(name).to_string();
        // It says which check it was, in case nobody else does.
        assert!(failure.starts_with(name), "{failure}");
        println!("{fault:?} is caught by {failure}");
    }
}

#[test]
fn a_decorator_that_breaks_nothing_passes() {
    for (_, outcome) in run_all(&with(Fault::Nothing)) {
        outcome.expect("nothing is broken");
    }
}

#[test]
fn an_unknown_check_fails() {
    assert!(run_check(&simulated(), "messages::of_love").is_err());
}

#[test]
fn a_backend_that_drops_messages_is_caught() {
    caught(
        Fault::Drops,
        &["messages::order_holds_both_ways_at_once", "closing::messages_before_a_close_arrive"],
    );
}

#[test]
fn a_backend_that_reorders_messages_is_caught() {
    caught(
        Fault::Reorders,
        &[
            "messages::order_holds_both_ways_at_once",
            "messages::concurrent_senders_keep_their_order",
        ],
    );
}

#[test]
fn a_backend_that_duplicates_messages_is_caught() {
    caught(
        Fault::Duplicates,
        &["messages::order_holds_both_ways_at_once", "messages::concurrent_receivers_take_turns"],
    );
}

#[test]
fn a_backend_that_never_closes_is_caught() {
    caught(
        Fault::NeverCloses,
        &[
            "closing::the_peer_gets_the_code_and_the_words",
            "closing::every_observer_sees_the_end",
            "closing::whoever_waits_is_told",
        ],
    );
}

#[test]
fn a_backend_that_always_looks_fine_is_caught() {
    caught(
        Fault::LooksFine,
        &["health::a_provider_knows_what_it_has", "health::a_failure_is_remembered"],
    );
}

#[test]
fn a_backend_that_takes_everything_is_caught() {
    caught(Fault::TakesEverything, &["backpressure::a_sender_waits_for_a_slow_receiver"]);
}

#[test]
fn a_backend_that_forgets_what_was_given_up_is_caught() {
    caught(Fault::Forgets, &["cancelled_transfers::recv_given_up_loses_nothing"]);
}

#[test]
fn a_backend_that_misses_the_next_link_is_caught() {
    caught(Fault::MissesLinks, &["resuming::what_begins_between_two_links_goes_on_over_the_next"]);
}

#[test]
fn a_backend_whose_standby_loses_messages_is_caught() {
    caught_on(
        relayed(),
        Fault::StandbyDrops,
        &["standby::messages_go_over_the_standby_while_there_is_no_other_link"],
    );
}

#[test]
fn a_backend_whose_standby_doubles_messages_is_caught() {
    caught_on(
        relayed(),
        Fault::StandbyDuplicates,
        &[
            "standby::messages_survive_the_loss_of_links_beside_a_standby",
            "standby::messages_go_over_the_standby_while_there_is_no_other_link",
        ],
    );
}
