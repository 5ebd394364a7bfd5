//! The suite is tested itself: backends that break one promise each fail the check that is named
//! after it, and the same decorator with nothing broken passes.

use std::sync::atomic::{AtomicU64, Ordering};
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

mod admission;
mod paths;
mod streams;

use admission::BrokenDoor;
use streams::{BrokenRecvStream, BrokenSendStream};

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
    /// Some datagrams come twice.
    DoublesDatagrams,
    /// Some datagrams lack their last byte.
    CutsDatagrams,
    /// Datagrams that are dropped count nowhere.
    HidesDrops,
    /// A stream that was reset or dropped looks complete.
    LooksComplete,
    /// A stream whose connection or link has ended looks complete.
    OutlivesItsConnection,
    /// Resets and stops say nothing of their codes.
    LosesCodes,
    /// A finished stream counts as read at once.
    FinishesUnheard,
    /// The judge is asked, and its no is not heard.
    LetsAnybodyIn,
    /// What the judge gave a connection to hold is dropped at once.
    ForgetsPasses,
    /// Some connections are admitted and never accepted.
    LosesGuests,
    /// An accept that is given up takes its connection with it.
    ForgetsGuests,
    /// An ended connection has the path it had.
    KeepsItsPath,
    /// The first path is the only one that is ever told.
    MissesPaths,
    /// Who follows the path does not hear of the end.
    PathsNeverEnd,
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

    async fn listen(&self, mut options: ListenOptions) -> Result<Self::Listener> {
        let fault = self.fault;
        options.admission = Arc::new(BrokenDoor { judge: options.admission, fault });
        let inner = self.inner.listen(options).await?;
        Ok(BrokenListener { inner, fault, accepted: AtomicU64::new(0) })
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
    accepted: AtomicU64,
}

#[async_trait]
impl<N: P2PListener> P2PListener for BrokenListener<N> {
    type Connection = BrokenConnection<N::Connection>;

    async fn accept(&self) -> Result<Self::Connection> {
        let mut inner = self.inner.accept().await?;
        match self.fault {
            Fault::ForgetsGuests => tokio::task::yield_now().await,
            Fault::LosesGuests if self.accepted.fetch_add(1, Ordering::Relaxed) % 3 == 2 => {
                inner = self.inner.accept().await?;
            }
            _ => {}
        }
        Ok(BrokenConnection::new(inner, self.fault))
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

type Streams<C> = (
    BrokenSendStream<<C as P2PConnection>::SendStream>,
    BrokenRecvStream<<C as P2PConnection>::RecvStream>,
);

#[derive(Debug, Default)]
struct State {
    sent: u64,
    received: u64,
    /// To be received next.
    held: Option<Message>,
    held_datagram: Option<Bytes>,
    path: Option<PathInfo>,
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

    /// Waits for ever if it is time for that.
    async fn miss_links(&self) {
        let between = matches!(self.inner.state(), ConnectionState::Reconnecting { .. });
        if between && self.fault == Fault::MissesLinks {
            std::future::pending().await
        }
    }

    fn streams(&self, (send, recv): (C::SendStream, C::RecvStream)) -> Streams<C> {
        let fault = self.fault;
        (BrokenSendStream { inner: send, fault }, BrokenRecvStream { inner: recv, fault })
    }

    /// The next message, if it is there already.
    fn recv_now(&self) -> Option<Message> {
        let mut next = Box::pin(self.inner.recv_message());
        match next.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(Ok(message)) => Some(message),
            _ => None,
        }
    }
}

impl<C: P2PConnection> P2PConnection for BrokenConnection<C> {
    type SendStream = BrokenSendStream<C::SendStream>;
    type RecvStream = BrokenRecvStream<C::RecvStream>;

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
        if let Some(held) = self.state().held_datagram.take() {
            return Ok(held);
        }
        let datagram = self.inner.recv_datagram().await?;
        match self.fault {
            Fault::DoublesDatagrams if self.is_due(|state| &mut state.received) => {
                self.state().held_datagram = Some(datagram.clone());
            }
            Fault::CutsDatagrams if self.is_due(|state| &mut state.received) => {
                return Ok(datagram.slice(..datagram.len().saturating_sub(1)));
            }
            _ => {}
        }
        Ok(datagram)
    }

    fn max_datagram_size(&self) -> Option<usize> {
        self.inner.max_datagram_size()
    }

    async fn open_stream(&self) -> Result<(Self::SendStream, Self::RecvStream)> {
        self.miss_links().await;
        Ok(self.streams(self.inner.open_stream().await?))
    }

    async fn accept_stream(&self) -> Result<(Self::SendStream, Self::RecvStream)> {
        self.miss_links().await;
        Ok(self.streams(self.inner.accept_stream().await?))
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
        let path = self.inner.path();
        if self.fault != Fault::KeepsItsPath {
            return path;
        }
        let mut state = self.state();
        if path != PathInfo::NONE {
            state.path = Some(path);
        }
        state.path.clone().unwrap_or(PathInfo::NONE)
    }

    fn path_events(&self) -> PathEvents {
        paths::events(self.inner.path_events(), self.fault)
    }

    fn stats(&self) -> ConnectionStats {
        let mut stats = self.inner.stats();
        if self.fault == Fault::HidesDrops {
            (stats.datagrams_dropped, stats.datagrams_unread) = (0, 0);
        }
        stats
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

#[test]
fn a_backend_that_doubles_or_cuts_datagrams_is_caught() {
    for fault in [Fault::DoublesDatagrams, Fault::CutsDatagrams] {
        caught(fault, &["datagrams::datagrams_arrive_once_and_unaltered"]);
    }
}

#[test]
fn a_backend_that_hides_what_it_dropped_is_caught() {
    caught(Fault::HidesDrops, &["datagrams::what_nobody_takes_is_dropped_by_policy_and_counted"]);
}

#[test]
fn a_backend_whose_broken_streams_look_complete_is_caught() {
    caught(
        Fault::LooksComplete,
        &[
            "stream_ends::a_dropped_writer_never_looks_complete",
            "stream_ends::a_reset_carries_its_code",
        ],
    );
    caught(
        Fault::OutlivesItsConnection,
        &["vanishing::streams_end_when_the_peer_vanishes", "resuming::streams_end_with_their_link"],
    );
}

#[test]
fn a_backend_that_loses_the_codes_of_streams_is_caught() {
    caught(
        Fault::LosesCodes,
        &["stream_ends::a_reset_carries_its_code", "stream_ends::a_stop_carries_its_code"],
    );
}

#[test]
fn a_backend_that_says_too_early_that_the_peer_has_it_is_caught() {
    caught(
        Fault::FinishesUnheard,
        &[
            "stream_ends::finished_means_that_the_peer_has_it",
            "stream_ends::a_stop_carries_its_code",
        ],
    );
}

#[test]
fn a_backend_that_does_not_hear_the_judges_no_is_caught() {
    caught(
        Fault::LetsAnybodyIn,
        &[
            "admission::a_refusal_fails_a_connect_that_waits_for_it",
            "admission::a_refusal_ends_a_connection_that_did_not_wait",
            "admission::the_refused_are_never_accepted_and_take_no_place",
        ],
    );
}

#[test]
fn a_backend_that_drops_passes_at_once_is_caught() {
    caught(Fault::ForgetsPasses, &["admission::a_pass_is_kept_as_long_as_its_connection"]);
}

#[test]
fn a_backend_whose_listener_loses_connections_is_caught() {
    caught(
        Fault::LosesGuests,
        &["listening::waiting_callers_of_accept_take_turns", "listening::a_full_backlog_is_busy"],
    );
    caught(Fault::ForgetsGuests, &["cancellation::accept_given_up_loses_no_connection"]);
}

#[test]
fn a_backend_whose_ended_connections_have_a_path_is_caught() {
    caught(Fault::KeepsItsPath, &["paths::a_connection_has_a_path_and_an_ended_one_none"]);
}

#[test]
fn a_backend_that_does_not_tell_how_the_path_changes_is_caught() {
    caught(Fault::MissesPaths, &["resuming::path_events_go_on_over_the_next_link"]);
    caught(
        Fault::PathsNeverEnd,
        &[
            "paths::the_present_path_is_the_first_event",
            "resuming::path_events_go_on_over_the_next_link",
        ],
    );
}
