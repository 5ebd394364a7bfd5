//! A pool keeps all promises but those that sharing breaks on purpose.

use std::sync::Arc;

use async_trait::async_trait;
use p2p_core::conformance::{Fixture, Wrapped, run_all};
use p2p_core::{
    ConfigError, ConnectOptions, ConnectionConfig, Health, ListenOptions, P2PProvider, PeerAddr,
    PeerId, PoolConfig, Pooled, PooledConnection, PooledListener, Result,
};
use p2p_simulator::{SimulatorConnection, SimulatorListener, SimulatorP2P};

use super::super::simulated;

/// That exactly these checks fail.
fn fails(fixture: &impl Fixture, expected: &[&str]) {
    let mut wrong = Vec::new();
    for (name, outcome) in run_all(fixture) {
        match (outcome, expected.contains(&name)) {
            (Ok(()), false) | (Err(_), true) => {}
            (Ok(()), true) => wrong.push(format!("{name} holds: take it from the list")),
            (Err(failure), false) => wrong.push(failure.to_string()),
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

fn pool(inner: SimulatorP2P) -> Pooled<SimulatorP2P> {
    Pooled::new(inner, PoolConfig::default()).expect("the default can be meant")
}

/// `connect` waits for admission, whatever the options say: nobody shares a connection that is refused
/// a moment later. So these, which begin with one that is not judged yet, cannot begin.
const ALWAYS_ADMITTED: [&str; 4] = [
    "admission::admitted_waits_for_the_judge_and_answered_does_not",
    "admission::a_slow_judge_holds_up_nobody_else",
    "admission::a_judge_too_slow_counts_as_no",
    "shutdown::applicants_see_it_too",
];

/// A stream is a use of a connection, even when no handle is left.
const STREAMS_ARE_USERS: &str = "closing::streams_do_not_keep_a_connection_open";

/// Gives each connection a pool of its own, which ends at once, so that nobody shares. What is left of
/// a pool are its handles and streams: they keep every promise that is not about `connect`.
#[derive(Clone, Debug)]
struct Alone(SimulatorP2P);

#[async_trait]
impl P2PProvider for Alone {
    type Connection = PooledConnection<SimulatorConnection>;
    type Listener = PooledListener<SimulatorListener>;

    fn local_peer_id(&self) -> PeerId {
        self.0.local_peer_id()
    }

    fn local_addr(&self) -> PeerAddr {
        self.0.local_addr()
    }

    fn random(&self) -> u64 {
        self.0.random()
    }

    async fn connect(&self, peer: &PeerAddr, options: ConnectOptions) -> Result<Self::Connection> {
        pool(self.0.clone()).connect(peer, options).await
    }

    async fn listen(&self, options: ListenOptions) -> Result<Self::Listener> {
        pool(self.0.clone()).listen(options).await
    }

    fn config(&self) -> Arc<ConnectionConfig> {
        self.0.config()
    }

    fn reconfigure(
        &self,
        change: &mut dyn FnMut(&mut ConnectionConfig),
    ) -> Result<Arc<ConnectionConfig>, ConfigError> {
        self.0.reconfigure(change)
    }

    fn health(&self) -> Health {
        self.0.health()
    }

    async fn shutdown(&self) {
        pool(self.0.clone()).shutdown().await;
    }
}

#[test]
fn handles_and_streams_of_a_pool_keep_the_promises() {
    let mut expected = ALWAYS_ADMITTED.to_vec();
    expected.push(STREAMS_ARE_USERS);
    fails(&Wrapped::new(simulated(), Alone), &expected);
}

#[test]
fn a_pool_keeps_the_promises_that_sharing_allows() {
    let shared = [
        // A second `connect` gives the same connection: there is nothing more to accept. Most of these
        // are about something else, and want a second connection to show it.
        "connecting::a_ticket_leads_to_the_peer",
        "connecting::an_endpoint_lives_as_long_as_its_last_handle",
        "connecting::an_unknown_protocol_is_named",
        "connecting::both_sides_may_connect_at_once",
        "connecting::each_connect_is_a_connection_of_its_own",
        "connecting::oneself_is_refused",
        "admission::a_pass_is_kept_as_long_as_its_connection",
        "listening::a_close_ends_what_nobody_accepted",
        "listening::a_full_backlog_is_busy",
        "listening::a_name_is_free_after_close_and_after_drop",
        "listening::a_name_serves_once",
        "listening::connections_are_bounded_and_places_come_back",
        "listening::two_protocols_go_to_their_own_listeners",
        "lanes::a_full_lane_does_not_hold_up_another",
        "lanes::a_reserved_place_never_waits",
        "lanes::who_does_not_want_to_wait_is_told_and_loses_nothing",
        "messages::counters_count_messages",
        "backpressure::a_full_lane_does_not_hold_up_streams",
        "backpressure::a_full_lane_does_not_hold_up_the_other_way",
        "backpressure::a_sender_waits_for_a_slow_receiver",
        "backpressure::a_slow_reader_of_a_stream_stalls_its_writer_only",
        "backpressure::the_receive_window_bounds_what_waits",
        "closing::a_close_waits_no_longer_than_its_timeout",
        "closing::the_peer_gets_the_code_and_the_words",
        "closing::whoever_waits_is_told",
        "shutdown::peers_see_a_shutdown",
        "cancellation::listen_given_up_leaves_nothing",
        "cancelled_transfers::send_given_up_in_the_queue_lets_others_pass",
        // It is there, and so it is given, until this side has heard of its end.
        "shutdown::nothing_starts_after_it",
        // The last handle goes, and the connection waits in the pool for another.
        "cancellation::connect_given_up_leaves_nothing",
        "closing::the_last_handle_dropped_is_seen",
        STREAMS_ARE_USERS,
    ];
    let expected: Vec<_> = shared.into_iter().chain(ALWAYS_ADMITTED).collect();
    fails(&Wrapped::new(simulated(), pool), &expected);
}
