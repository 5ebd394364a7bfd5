//! What a peer that means harm comes to: closed with a reason, or left to wait; beside it, an honest
//! peer of the same node goes on as if it were not there.
//!
//! The attackers are made of bytes ([`raw`](super::raw)) on bare links. A backend supplies a
//! [`Hostile`] world, in which strangers reach nodes without our engine, and
//! [`malice_suite!`](crate::malice_suite) makes one `#[test]` of each attack.

use crate::close::CloseCause;

mod control;
mod floods;
mod hellos;
mod lanes;
mod returning;
mod siege;

pub use siege::{Hostile, Siege};

const VIOLATION: CloseCause = CloseCause::ProtocolViolation;

/// What a stream's window holds, on any backend, and what may be on the way to being read.
const POURED: usize = 2 << 20;

/// A packed message of a few kilobytes that unpacks to a mebibyte, which is allowed.
fn bomb() -> Vec<u8> {
    // A literal; a match of 19 bytes, 4 112 times 255, and 130: a mebibyte less 6 bytes. Then the
    // literals that a block ends with.
    let mut bomb = [super::raw::length(1 << 20), vec![0x1f, 0, 1, 0]].concat();
    let rest = (1 << 20) - 1 - 19 - 5;
    bomb.extend(vec![0xff; rest / 255]);
    bomb.push((rest % 255) as u8);
    bomb.extend([0x50, 0, 0, 0, 0, 0]);
    bomb
}

super::suite! { $ malice_suite Hostile (conformance::malice)
    hellos {
        what_is_no_hello_is_named,
        a_hello_that_cannot_be_meant_is_named,
        slow_ones_of_one_peer_leave_room_for_others,
        one_that_never_ends_takes_a_place_only_until_its_time_is_over,
    }
    lanes {
        one_that_ends_inside_a_message_is_named,
        one_that_is_given_up_is_named,
        one_that_the_reader_refuses_is_named,
        a_message_over_the_bound_is_named_before_it_comes,
        one_that_leaves_a_gap_is_named,
        one_that_is_opened_again_is_named,
        one_that_was_not_agreed_is_named,
        those_that_come_byte_by_byte_hold_up_nobody,
        empty_messages_wait_in_the_transport_until_they_are_taken,
        a_bomb_is_refused_for_what_it_states,
        a_bomb_that_states_too_little_is_refused,
        bombs_within_the_bound_are_not_unpacked_before_they_are_wanted,
        those_that_are_dropped_inside_a_message_leave_nothing,
        unknown_words_are_ignored_however_many,
    }
    control {
        a_report_of_more_than_was_sent_is_named,
        a_frame_too_large_is_named,
        a_control_stream_that_ends_is_named,
        who_does_not_want_to_hear_of_its_admission_is_told_why,
        a_second_control_stream_is_named,
        a_programs_stream_in_one_direction_is_named,
    }
    returning {
        nobody_comes_back_to_a_connection_of_somebody_else,
        a_standing_that_cannot_be_is_named,
        an_attempt_out_of_order_or_without_a_standing_changes_nothing,
        a_message_of_a_former_link_is_not_taken_twice,
    }
    floods {
        streams_of_unknown_kinds_are_stopped_however_many,
        streams_that_never_say_what_they_are_find_an_end,
        programs_streams_that_nobody_takes_find_an_end,
        probes_are_answered_as_far_as_the_answers_are_taken,
        datagrams_that_nobody_takes_are_dropped,
        links_that_come_and_go_leave_nothing,
    }
}
