//! The suite of promises that every store passes.
//!
//! What [`Store`] says, each check shows: what happens, and what must not. A store
//! supplies a [`Fixture`], which makes fresh ones and, if it keeps anything, opens one again;
//! [`store_conformance_suite!`](crate::store_conformance_suite) makes one `#[tokio::test]` of each
//! check, so that a failure names the promise that was broken.
//!
//! ```
//! use p2p_coordinator::store::MemoryStore;
//! use p2p_coordinator::store::conformance::{Fixture, Outcome};
//!
//! struct InMemory;
//!
//! impl Fixture for InMemory {
//!     type Store = MemoryStore;
//!
//!     async fn fresh(&self) -> Outcome<MemoryStore> {
//!         Ok(MemoryStore::new())
//!     }
//! }
//!
//! p2p_coordinator::store_conformance_suite!(InMemory);
//! # fn main() {}
//! ```
//!
//! # How checks are written
//!
//! A check makes the store it needs, empty, and the moments it needs: stores read no clock. Races
//! are run as tasks on a runtime with several threads, and yield between reading and writing, so
//! that they do overlap. There are no panics: a check returns a [`Failure`].
//!
//! # Layout
//!
//! - `sample`: records to write, plain ones and odd ones, and all that a store has;
//! - `step`: the usual steps with words for their failures;
//! - a file for each theme: `records`, `atomicity`, `seats`, `races`, `heard`, `hosts`, `zones`,
//!   `sessions`, `placement`, `candidates`, `grants`, `keeping`.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use super::Store;

mod atomicity;
mod candidates;
mod grants;
mod heard;
mod hosts;
mod keeping;
mod placement;
mod races;
mod records;
mod sample;
mod seats;
mod sessions;
mod step;
mod zones;

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

/// A kind of store under test.
pub trait Fixture: Sync {
    /// What is tested.
    type Store: Store;

    /// An empty one.
    fn fresh(&self) -> impl Future<Output = Outcome<Self::Store>> + Send;

    /// Ends this one and opens what it kept; `None` if it keeps nothing.
    fn reopen(
        &self,
        store: Self::Store,
    ) -> impl Future<Output = Outcome<Option<Self::Store>>> + Send {
        drop(store);
        async { Ok(None) }
    }
}

/// How long one check may take: the longest take some seconds on a slow disk.
const BOUND: Duration = Duration::from_secs(120);

type Run<F> = for<'a> fn(&'a F) -> Pin<Box<dyn Future<Output = Outcome> + Send + 'a>>;

struct Check<F> {
    name: &'static str,
    run: Run<F>,
}

/// From the one list of checks: the table of them, and the macro that makes tests of them. (`$d` is
/// a dollar sign, for the inner macro.)
macro_rules! suite {
    ($d:tt $($theme:ident { $($check:ident,)+ })+) => {
        /// The names of all checks, in the order of the suite.
        pub const NAMES: &[&str] =
            &[$($(concat!(stringify!($theme), "::", stringify!($check)),)+)+];

        fn checks<F: Fixture>() -> Vec<Check<F>> {
            vec![$($(Check {
                name: concat!(stringify!($theme), "::", stringify!($check)),
                run: |fixture| Box::pin($theme::$check(fixture)),
            },)+)+]
        }

        /// Makes a `#[tokio::test]` of each check of the [suite](crate::store::conformance), run on
        /// the given [`Fixture`](crate::store::conformance::Fixture).
        #[macro_export]
        macro_rules! store_conformance_suite {
            ($d fixture:expr) => {
                fn store_fixture() -> impl $d crate::store::conformance::Fixture {
                    $d fixture
                }

                $(mod $theme {
                    $(
                        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                        async fn $check() -> $d crate::store::conformance::Outcome {
                            $d crate::store::conformance::run_check(
                                &super::store_fixture(),
                                concat!(stringify!($theme), "::", stringify!($check)),
                            )
                            .await
                        }
                    )+
                })+
            };
        }
    };
}

suite! { $
    records {
        a_record_comes_back_as_it_was_written,
        numbers_and_versions_grow,
        a_taken_name_conflicts_and_changes_nothing,
        an_earlier_version_conflicts_and_changes_nothing,
        what_is_not_there_cannot_be_changed,
        what_is_deleted_is_gone,
        a_commit_tells_what_it_wrote,
        changes_of_one_commit_are_made_in_order,
        odd_text_in_names_is_text,
        odd_records_come_back_exactly,
    }
    atomicity {
        one_conflict_among_hosts_undoes_all,
        one_conflict_among_zones_undoes_all,
        one_conflict_among_sessions_undoes_all,
        one_conflict_among_seats_undoes_all,
        nothing_to_write_is_written,
        a_host_that_is_held_stays_and_has_the_next_version,
        a_stamp_changes_with_whatever_is_written,
    }
    seats {
        a_player_is_found_in_its_session,
        several_players_are_found_at_once,
        seats_are_in_the_order_of_coming,
        a_renewal_keeps_the_place_in_the_order,
        who_comes_again_is_last,
        a_move_is_out_of_one_and_into_the_other,
        a_seat_conflicts_unless_the_player_is_where_it_was,
        a_player_freed_is_nowhere,
    }
    races {
        two_sessions_cannot_both_seat_one_player,
        two_hundred_joins_fill_five_places,
        one_host_id_registered_in_parallel_is_one_host,
        parallel_updates_of_one_record_lose_none,
        a_read_shows_all_of_a_commit_or_nothing,
    }
    heard {
        signs_of_life_are_written_into_their_hosts,
        older_signs_and_those_of_strangers_change_nothing,
        signs_and_updates_lose_none_of_each_other,
    }
    hosts {
        hosts_are_listed_the_best_first_then_by_name,
        hosts_are_filtered_by_status_and_score,
        available_hosts_are_online_with_a_lease_and_room,
        lost_hosts_are_those_with_a_lease_over,
        hosts_come_in_pages,
        a_list_has_at_most_a_thousand,
        what_was_placed_is_of_live_sessions_and_different_zones,
        a_candidate_knows_the_zones_it_serves,
        what_was_placed_puts_a_host_behind_its_equals,
    }
    zones {
        zones_are_listed_by_priority_then_by_name,
        zones_are_filtered_by_status_and_peers,
        zones_come_in_pages,
        a_zone_counts_its_sessions,
        counters_follow_a_sessions_life_and_outlive_it,
        all_there_is_is_counted,
    }
    sessions {
        sessions_are_listed_by_number,
        sessions_are_filtered_by_host_zone_and_state,
        sessions_come_in_pages,
        a_session_has_two_names,
        sessions_are_filtered_by_when_they_changed,
        what_is_over_is_forgotten_by_age_and_by_number,
    }
    placement {
        an_unknown_zone_has_no_view,
        open_sessions_have_room_on_hosts_that_take_players,
        open_sessions_are_the_fullest_first_and_bounded,
        sessions_on_full_hosts_do_not_hide_others,
        a_place_that_is_free_again_is_shown,
        only_peers_are_shown_to_who_asks_for_them,
        a_players_present_session_is_shown,
        hosts_to_avoid_are_left_out,
        no_host_is_looked_for_when_a_session_will_do,
    }
    candidates {
        candidates_meet_the_zones_demands,
        candidates_are_the_best_first_and_as_many_as_are_asked_for,
        better_scored_hosts_that_are_unfit_do_not_hide_others,
        a_host_with_all_its_zones_is_a_candidate_for_those_it_serves,
        candidates_have_room_for_all_who_come,
    }
    grants {
        a_login_comes_back_and_of_two_rotations_one_conflicts,
        logins_are_filtered_and_those_that_end_last_come_first,
    }
    keeping {
        what_was_acknowledged_is_there_after_opening_again,
        numbers_are_not_given_again,
        the_order_of_coming_is_kept,
    }
}

/// Runs one check.
///
/// # Errors
///
/// [`Failure`], with the check's name and what went wrong; also if there is no such check.
pub async fn run_check(fixture: &impl Fixture, name: &str) -> Outcome {
    match checks().into_iter().find(|check| check.name == name) {
        Some(check) => run(fixture, check).await,
        None => Err(Failure(format!("there is no check {name:?}"))),
    }
}

/// Runs all checks, one after the other: to look at all that breaks, as the tests of the suite do.
pub async fn run_all<F: Fixture>(fixture: &F) -> Vec<(&'static str, Outcome)> {
    let mut outcomes = Vec::new();
    for check in checks() {
        outcomes.push((check.name, run(fixture, check).await));
    }
    outcomes
}

async fn run<F: Fixture>(fixture: &F, check: Check<F>) -> Outcome {
    let Check { name, run } = check;
    let done = tokio::time::timeout(BOUND, run(fixture)).await;
    let outcome = done.unwrap_or_else(|_| Err(Failure(format!("not done within {BOUND:?}"))));
    outcome.map_err(|Failure(words)| Failure(format!("{name}: {words}")))
}
