//! The suite of promises that every backend passes.
//!
//! What the traits say, each check shows: what happens, and what must not. A backend supplies a
//! [`Fixture`], which owns the runtime, and a [`World`], which makes providers in a fresh network;
//! [`conformance_suite!`](crate::conformance_suite) makes one `#[test]` of each check, so that a
//! failure names the promise that was broken.
//!
//! ```
//! # use p2p_core::{ConnectionConfig, PeerId, dynamic::AnyProvider};
//! # mod network {
//! #     use p2p_core::{ConnectionConfig, PeerId, dynamic::AnyProvider};
//! #     pub async fn bind(_config: ConnectionConfig) -> AnyProvider { std::future::pending().await }
//! #     pub fn unplug(_peer: PeerId) {}
//! # }
//! # use network::{bind, unplug};
//! use p2p_core::conformance::{Fixture, Outcome, World};
//!
//! struct Network;
//!
//! impl World for Network {
//!     type Provider = AnyProvider; // your backend's
//!
//!     async fn provider(&self, config: ConnectionConfig) -> AnyProvider {
//!         bind(config).await
//!     }
//!
//!     async fn vanish(&self, peer: PeerId) {
//!         unplug(peer);
//!     }
//! }
//!
//! struct Backend;
//!
//! impl Fixture for Backend {
//!     type World = Network;
//!
//!     fn run<F>(&self, check: impl FnOnce(Network) -> F + Send + 'static) -> Outcome
//!     where
//!         F: Future<Output = Outcome> + Send + 'static,
//!     {
//!         let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
//!         runtime.expect("a runtime").block_on(check(Network))
//!     }
//! }
//!
//! p2p_core::conformance_suite!(Backend);
//! # fn main() {}
//! ```
//!
//! # How checks are written
//!
//! A check waits for events, each within a bound, and says in words what it waited for. That
//! something does *not* happen is shown by a marker: something later that does happen, with nothing
//! in between. Time is only measured where a promise is about time, with tokio's clock, so that a
//! simulated network takes none. There are no panics: a check returns a [`Failure`].
//!
//! # Layout
//!
//! - `fixture`: what a backend supplies, and [`Wrapped`], to run the suite on what is built on top
//!   of one;
//! - `step`: bounded waiting, cancelled futures, and two peers that have met;
//! - a file for each theme: `connecting`, `listening`, `admission`, `messages`, `backpressure`,
//!   `datagrams`, `streams`, `stream_ends`, `closing`, `vanishing`, `shutdown`, `cancellation`,
//!   `cancelled_transfers`, `lanes`, `resuming`, `standby`, `paths`;
//! - [`malice`]: a second suite, of attacks; [`raw`]: the bytes that they are made of.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

mod admission;
mod backpressure;
mod cancellation;
mod cancelled_transfers;
mod closing;
mod connecting;
mod datagrams;
mod fixture;
mod health;
mod lanes;
mod listening;
pub mod malice;
mod messages;
mod paths;
pub mod raw;
mod resuming;
mod shutdown;
mod standby;
mod step;
mod stream_ends;
mod streams;
mod vanishing;

pub use fixture::{Fixture, World, Wrapped, WrappedWorld};

/// What a check comes to.
pub type Outcome<T = ()> = Result<T, Failure>;

/// A broken promise, in words.
#[derive(Clone, PartialEq, Eq)]
pub struct Failure(String);

impl Failure {
    /// A failure with these words.
    pub fn new(words: impl Into<String>) -> Self {
        Self(words.into())
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Failure {}

/// As [`Display`](fmt::Display): this is what a `#[test]` prints that returns one.
impl fmt::Debug for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// How long one check may take, by tokio's clock. On a real network most take well under a second;
/// this is for machines that do much else at the same time.
const BOUND: Duration = Duration::from_secs(60);

type Run<W> = for<'a> fn(&'a W) -> Pin<Box<dyn Future<Output = Outcome> + Send + 'a>>;

struct Check<W> {
    name: &'static str,
    run: Run<W>,
}

/// From the one list of checks: the table of them, and the macro that makes tests of them. (`$d` is
/// a dollar sign, for the inner macro.)
macro_rules! suite {
    (
        $d:tt $suite:ident $world:ident ($($at:tt)+)
        $($theme:ident { $($check:ident,)+ })+
    ) => {
        /// The names of all checks, in the order of the suite.
        pub const NAMES: &[&str] =
            &[$($(concat!(stringify!($theme), "::", stringify!($check)),)+)+];

        fn checks<W: $world>() -> Vec<$crate::conformance::Check<W>> {
            vec![$($($crate::conformance::Check {
                name: concat!(stringify!($theme), "::", stringify!($check)),
                run: |world| Box::pin($theme::$check(world)),
            },)+)+]
        }

        /// Runs one check.
        ///
        /// # Errors
        ///
        /// [`Failure`](crate::conformance::Failure), with the check's name and what went wrong; also
        /// if there is no such check.
        pub fn run_check<F>(
            fixture: &F,
            name: &str,
        ) -> $crate::conformance::Outcome
        where
            F: $crate::conformance::Fixture<World: $world>,
        {
            $crate::conformance::run_one_of(checks(), fixture, name)
        }

        /// Makes a `#[test]` of each check of this suite, run on the given
        /// [`Fixture`](crate::conformance::Fixture).
        #[macro_export]
        macro_rules! $suite {
            ($d fixture:expr) => {
                fn run_suites_check(name: &str) -> $d crate::conformance::Outcome {
                    $d crate::$($at)+::run_check(&$d fixture, name)
                }

                $(mod $theme {
                    $(
                        #[test]
                        fn $check() -> $d crate::conformance::Outcome {
                            super::run_suites_check(
                                concat!(stringify!($theme), "::", stringify!($check)),
                            )
                        }
                    )+
                })+
            };
        }
    };
}

pub(crate) use suite;

suite! { $ conformance_suite World (conformance)
    connecting {
        both_sides_know_who_and_what,
        a_ticket_leads_to_the_peer,
        each_connect_is_a_connection_of_its_own,
        both_sides_may_connect_at_once,
        an_unknown_peer_is_not_found,
        somebody_else_is_not_the_peer,
        an_unreachable_peer_times_out,
        one_call_may_have_a_shorter_timeout,
        oneself_is_refused,
        an_unknown_protocol_is_named,
        an_endpoint_lives_as_long_as_its_last_handle,
    }
    listening {
        two_protocols_go_to_their_own_listeners,
        a_name_serves_once,
        a_name_is_free_after_close_and_after_drop,
        listeners_are_bounded,
        waiting_callers_of_accept_take_turns,
        a_close_ends_accept,
        a_close_ends_accept_with_an_applicant_at_the_door,
        a_close_leaves_connections_alive,
        a_close_ends_what_nobody_accepted,
        a_bound_of_zero_is_refused,
        a_full_backlog_is_busy,
        connections_are_bounded_and_places_come_back,
        a_dialler_that_gave_up_stands_in_nobodys_way,
    }
    admission {
        the_judge_sees_who_and_the_credential,
        the_largest_credential_fits_and_one_more_byte_is_typed,
        a_refusal_fails_a_connect_that_waits_for_it,
        a_refusal_ends_a_connection_that_did_not_wait,
        the_refused_are_never_accepted_and_take_no_place,
        admitted_waits_for_the_judge_and_answered_does_not,
        a_slow_judge_holds_up_nobody_else,
        a_judge_too_slow_counts_as_no,
        a_pass_is_kept_as_long_as_its_connection,
    }
    messages {
        sizes_at_every_edge_arrive_whole,
        a_message_over_the_limit_is_typed_and_the_connection_goes_on,
        the_peers_smaller_limit_counts,
        order_holds_both_ways_at_once,
        concurrent_senders_keep_their_order,
        concurrent_receivers_take_turns,
        kept_messages_stay_as_they_were,
        counters_count_messages,
    }
    backpressure {
        a_sender_waits_for_a_slow_receiver,
        the_receive_window_bounds_what_waits,
        a_message_larger_than_the_window_passes,
        a_full_lane_does_not_hold_up_the_other_way,
        a_full_lane_does_not_hold_up_streams,
        a_slow_reader_of_a_stream_stalls_its_writer_only,
    }
    datagrams {
        datagrams_arrive_once_and_unaltered,
        the_largest_fits_and_one_more_byte_is_typed,
        a_full_queue_lets_the_newest_through,
        counters_count_datagrams,
        what_nobody_takes_is_dropped_by_policy_and_counted,
        a_datagram_too_large_may_travel_on_a_stream,
    }
    streams {
        a_stream_is_seen_before_anything_is_written,
        streams_are_accepted_in_the_order_of_opening,
        both_sides_open_streams,
        both_directions_carry_data,
        hundreds_of_streams_follow_each_other,
        one_stream_too_many_waits_until_others_end,
        large_data_arrives_whole,
        libraries_read_and_write_streams_by_tokios_traits,
        chunks_keep_to_their_bound,
        streams_and_messages_share_a_connection,
        priorities_are_only_a_hint,
    }
    stream_ends {
        finished_means_that_the_peer_has_it,
        nothing_follows_a_finish,
        a_reset_carries_its_code,
        a_stop_carries_its_code,
        a_dropped_writer_never_looks_complete,
        a_dropped_reader_stops_the_writer,
        reading_to_the_end_keeps_to_its_limit,
        one_stream_ends_and_the_rest_goes_on,
    }
    closing {
        the_peer_gets_the_code_and_the_words,
        messages_before_a_close_arrive,
        messages_arrive_before_a_local_close_shows,
        closing_again_changes_nothing,
        who_sends_during_a_close_cuts_nothing_off,
        the_first_of_two_closes_counts,
        both_sides_may_close_at_once,
        every_observer_sees_the_end,
        long_words_are_cut_at_a_character,
        nothing_goes_over_a_closed_connection,
        whoever_waits_is_told,
        a_close_waits_no_longer_than_its_timeout,
        the_last_handle_dropped_is_seen,
        one_handle_of_several_dropped_is_not,
        streams_do_not_keep_a_connection_open,
    }
    vanishing {
        a_peer_that_vanishes_times_out,
        streams_end_when_the_peer_vanishes,
        an_idle_connection_lives_on,
    }
    shutdown {
        peers_see_a_shutdown,
        it_ends_what_this_side_waits_for,
        nothing_starts_after_it,
        it_ends_the_listeners,
        applicants_see_it_too,
        again_does_nothing,
    }
    health {
        a_provider_knows_what_it_has,
        a_change_of_settings_holds_or_changes_nothing,
        a_failure_is_remembered,
    }
    cancellation {
        connect_given_up_leaves_nothing,
        accept_given_up_loses_no_connection,
        listen_given_up_leaves_nothing,
        close_given_up_can_be_called_again,
        closed_given_up_can_be_asked_again,
        path_events_given_up_lose_nothing,
        shutdown_given_up_can_be_called_again,
    }
    cancelled_transfers {
        send_given_up_is_whole_or_nothing,
        send_given_up_in_the_queue_lets_others_pass,
        recv_given_up_loses_nothing,
        open_stream_given_up_takes_no_place,
        accept_stream_given_up_loses_no_stream,
        write_given_up_wrote_nothing,
        read_given_up_loses_nothing,
        finished_given_up_can_be_asked_again,
        recv_datagram_given_up_loses_nothing,
    }
    lanes {
        a_message_keeps_its_priority,
        order_holds_within_each_priority,
        a_full_lane_does_not_hold_up_another,
        who_does_not_want_to_wait_is_told_and_loses_nothing,
        who_is_held_back_by_the_peers_window_is_told_so,
        packed_messages_arrive_as_they_were_sent,
        a_reserved_place_never_waits,
        a_place_given_back_is_anybodys,
        places_are_given_in_the_order_of_the_calls,
    }
    resuming {
        messages_survive_the_loss_of_links,
        either_side_may_renew_the_link,
        a_connection_says_how_it_is_doing,
        streams_end_with_their_link,
        path_events_go_on_over_the_next_link,
        what_begins_between_two_links_goes_on_over_the_next,
        a_peer_that_does_not_come_back_is_lost,
        who_dials_and_finds_nobody_gives_up,
        a_connection_lasts_only_if_both_want_it,
        closing_ends_the_search_for_a_link,
    }
    standby {
        messages_survive_the_loss_of_links_beside_a_standby,
        messages_go_over_the_standby_while_there_is_no_other_link,
        a_standby_is_no_connection_of_its_own,
    }
    paths {
        a_connection_has_a_path_and_an_ended_one_none,
        the_present_path_is_the_first_event,
        who_wants_relays_only_takes_no_direct_path,
        who_requires_a_direct_path_keeps_it,
    }
}

fn run_one_of<F: Fixture>(checks: Vec<Check<F::World>>, fixture: &F, name: &str) -> Outcome {
    match checks.into_iter().find(|check| check.name == name) {
        Some(check) => run(fixture, check),
        None => Err(Failure(format!("there is no check {name:?}"))),
    }
}

/// Runs all checks, one after the other: to look at all that breaks, as the tests of the suite do.
pub fn run_all<F: Fixture>(fixture: &F) -> Vec<(&'static str, Outcome)> {
    checks::<F::World>().into_iter().map(|check| (check.name, run(fixture, check))).collect()
}

fn run<F: Fixture>(fixture: &F, check: Check<F::World>) -> Outcome {
    let Check { name, run } = check;
    let outcome = fixture.run(move |world| async move {
        let done = tokio::time::timeout(BOUND, run(&world)).await;
        done.unwrap_or_else(|_| Err(Failure(format!("not done within {BOUND:?}"))))
    });
    outcome.map_err(|Failure(words)| Failure(format!("{name}: {words}")))
}
