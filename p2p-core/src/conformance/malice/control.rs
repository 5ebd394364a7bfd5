//! What a peer says on its control stream, and streams that must not be.

use super::super::raw::{BULK, NORMAL, PROGRAM, READ, TAKEN, Wire, Words, count, length};
use super::super::step::done;
use super::super::{Failure, Outcome};
use super::VIOLATION;
use super::siege::{Hostile, SPEECH, Siege};

/// These words after the hello end the link, with these in the close.
async fn named<W: Hostile>(world: &W, said: &[u8], words: &str) -> Outcome {
    let siege = Siege::lay(world).await?;
    let mut attacker = siege.attack(&Words::new(SPEECH)).await?;
    attacker.raw.say(said).await;
    attacker.closed_for(VIOLATION, words).await?;
    siege.withstood().await
}

pub(super) async fn a_report_of_more_than_was_sent_is_named<W: Hostile>(world: &W) -> Outcome {
    let read = count(READ, 1 << 40, BULK);
    named(world, &read, "more was reported read than was sent").await?;
    let taken = count(TAKEN, 64, NORMAL);
    named(world, &taken, "more messages were reported taken than were sent").await
}

pub(super) async fn a_frame_too_large_is_named<W: Hostile>(world: &W) -> Outcome {
    named(world, &length(5000), "control stream: a frame of 5000 bytes").await
}

pub(super) async fn a_control_stream_that_ends_is_named<W: Hostile>(world: &W) -> Outcome {
    let siege = Siege::lay(world).await?;
    let mut attacker = siege.attack(&Words::new(SPEECH)).await?;
    W::Wire::finish(&mut attacker.raw.control);
    attacker.closed_for(VIOLATION, "the control stream ended").await?;
    siege.withstood().await?;

    let siege = Siege::lay(world).await?;
    let mut attacker = siege.attack(&Words::new(SPEECH)).await?;
    attacker.admitted().await?;
    W::Wire::reset(&mut attacker.raw.control);
    attacker.closed_for(VIOLATION, "an engine's stream").await?;
    siege.withstood().await
}

pub(super) async fn who_does_not_want_to_hear_of_its_admission_is_told_why<W: Hostile>(
    world: &W,
) -> Outcome {
    let siege = Siege::lay(world).await?;
    let hello = Words::new(SPEECH).encode();
    let (first, rest) = hello.split_at(1);
    let mut attacker = siege.attack_with(0, first).await?;
    let control = done("the node's control stream", attacker.raw.wire.accept()).await?;
    W::Wire::stop(&mut control.ok_or_else(|| Failure::new("no control stream"))?);
    // So that the node has heard of it before it lets the attacker in.
    let probe = siege.silent(0).await?;
    drop(probe);
    attacker.raw.say(rest).await;
    attacker.closed_for(VIOLATION, "stopped").await?;
    siege.withstood().await
}

pub(super) async fn a_second_control_stream_is_named<W: Hostile>(world: &W) -> Outcome {
    let hello = Words::new(SPEECH).encode();
    stream(world, &hello, "a second control stream").await
}

pub(super) async fn a_programs_stream_in_one_direction_is_named<W: Hostile>(world: &W) -> Outcome {
    stream(world, &[PROGRAM, 1, 2, 3], "a program's stream in one direction").await
}

/// A stream that begins so ends the link, with these words in the close.
async fn stream<W: Hostile>(world: &W, bytes: &[u8], words: &str) -> Outcome {
    let siege = Siege::lay(world).await?;
    let attacker = siege.attack(&Words::new(SPEECH)).await?;
    let _stream = attacker.open(bytes).await;
    attacker.closed_for(VIOLATION, words).await?;
    siege.withstood().await
}
