//! Lanes that are cut short, too large, contradictory, repeated or packed with harm.

use super::super::raw::{BULK, EVERYTHING, LANES, NORMAL, Wire, Words, length, marked, preamble};
use super::super::step::{done, ensure};
use super::super::{Failure, Outcome};
use super::siege::{Attacker, Hostile, SPEECH, Siege};
use super::{POURED, VIOLATION};

/// A lane with these bytes ends the link, for these words.
async fn named<W: Hostile>(world: &W, lane: &[u8], words: &str) -> Outcome {
    let siege = Siege::lay(world).await?;
    let attacker = siege.attack(&Words::new(SPEECH)).await?;
    let _lane = attacker.open(lane).await;
    attacker.closed_for(VIOLATION, words).await?;
    siege.withstood().await
}

pub(super) async fn one_that_ends_inside_a_message_is_named<W: Hostile>(world: &W) -> Outcome {
    let siege = Siege::lay(world).await?;
    let attacker = siege.attack(&Words::new(SPEECH)).await?;
    let lane = attacker.lane(&[length(200), vec![1; 99]].concat()).await;
    W::Wire::finish(&mut lane.ok_or_else(ended)?);
    attacker.closed_for(VIOLATION, "a lane ended inside a message").await?;
    siege.withstood().await
}

pub(super) async fn one_that_is_given_up_is_named<W: Hostile>(world: &W) -> Outcome {
    let siege = Siege::lay(world).await?;
    let mut attacker = siege.attack(&Words::new(SPEECH)).await?;
    let one = marked(b"one", false);
    let mut lane = attacker.lane(&one).await.ok_or_else(ended)?;
    let _echo = attacker.hears(&[preamble(NORMAL, 0), one].concat()).await?;
    W::Wire::reset(&mut lane);
    attacker.closed_for(VIOLATION, "an engine's stream").await?;
    siege.withstood().await
}

pub(super) async fn one_that_the_reader_refuses_is_named<W: Hostile>(world: &W) -> Outcome {
    let siege = Siege::lay(world).await?;
    let mut attacker = siege.attack(&Words::new(SPEECH)).await?;
    let one = marked(b"one", false);
    let mut lane = attacker.lane(&one).await.ok_or_else(ended)?;
    let mut echo = attacker.hears(&[preamble(NORMAL, 0), one].concat()).await?;
    W::Wire::stop(&mut echo);
    // Until the node writes again, it need not know.
    attacker.pour(&mut lane, &marked(b"more", false)).await;
    attacker.closed_for(VIOLATION, "an engine's stream").await?;
    siege.withstood().await
}

pub(super) async fn a_message_over_the_bound_is_named_before_it_comes<W: Hostile>(
    world: &W,
) -> Outcome {
    let lane = [preamble(NORMAL, 0), length(4 << 20)].concat();
    named(world, &lane, "a frame of 2097152 bytes").await
}

pub(super) async fn one_that_leaves_a_gap_is_named<W: Hostile>(world: &W) -> Outcome {
    named(world, &preamble(NORMAL, 100), "begins at offset 100").await
}

pub(super) async fn one_that_is_opened_again_is_named<W: Hostile>(world: &W) -> Outcome {
    let siege = Siege::lay(world).await?;
    let mut attacker = siege.attack(&Words::new(SPEECH)).await?;
    let one = marked(b"one", false);
    let _first = attacker.lane(&one).await;
    let _echo = attacker.hears(&[preamble(NORMAL, 0), one.clone()].concat()).await?;
    let _second = attacker.lane(&[one, marked(b"two", false)].concat()).await;
    attacker.closed_for(VIOLATION, "a second stream for the normal lane").await?;
    siege.withstood().await
}

pub(super) async fn one_that_was_not_agreed_is_named<W: Hostile>(world: &W) -> Outcome {
    let without_lanes = Words { capabilities: EVERYTHING & !LANES, ..Words::new(SPEECH) };
    for (hello, lane) in [(without_lanes, preamble(BULK, 0)), (Words::old(SPEECH), vec![BULK])] {
        let siege = Siege::lay(world).await?;
        let attacker = siege.attack(&hello).await?;
        let _lane = attacker.open(&lane).await;
        attacker.closed_for(VIOLATION, "the bulk lane, which was not agreed").await?;
        siege.withstood().await?;
    }
    Ok(())
}

/// The first bytes come one by one, those of two lanes by turns: nothing of that is forbidden.
pub(super) async fn those_that_come_byte_by_byte_hold_up_nobody<W: Hostile>(world: &W) -> Outcome {
    let siege = Siege::lay(world).await?;
    let mut attacker = siege.attack(&Words::new(SPEECH)).await?;
    let message = marked(&[7; 100], false);
    let words = [preamble(NORMAL, 0), message.clone()].concat();
    let urgent = preamble(BULK, 0);
    let mut lanes =
        [attacker.open(&words[..1]).await, attacker.open(&urgent[..1]).await].map(|lane| lane);
    for at in 1..words.len() {
        for (lane, bytes) in lanes.iter_mut().zip([&words, &urgent]) {
            if let (Some(lane), Some(byte)) = (lane, bytes.get(at..=at)) {
                W::Wire::write(lane, &mut byte.to_vec().into()).await;
                tokio::task::yield_now().await;
            }
        }
    }
    let _echo = attacker.hears(&words).await?;
    attacker.is_open()?;
    siege.withstood().await
}

pub(super) async fn empty_messages_wait_in_the_transport_until_they_are_taken<W: Hostile>(
    world: &W,
) -> Outcome {
    // The node echoes them, and nobody takes the echoes.
    flood(world, &[0; 64 * 1024]).await
}

/// Pours these frames into the normal lane: either they wait, or the link is closed for them.
async fn flood<W: Hostile>(world: &W, frames: &[u8]) -> Outcome {
    let siege = Siege::lay(world).await?;
    let attacker = siege.attack(&Words::new(SPEECH)).await?;
    let mut lane = attacker.lane(&[]).await.ok_or_else(ended)?;
    let poured = attacker.pour(&mut lane, frames).await;
    ensure!(poured <= POURED, "{poured} bytes were taken");
    if attacker.is_open().is_err() {
        attacker.closed_for(VIOLATION, "more messages were sent than the receive queue").await?;
    }
    siege.withstood().await
}

pub(super) async fn a_bomb_is_refused_for_what_it_states<W: Hostile>(world: &W) -> Outcome {
    let bomb = [length(0x03ff_ffff), vec![0x1f, 0, 1, 0, 0xff, 0xff]].concat();
    let lane = [preamble(NORMAL, 0), marked(&bomb, true)].concat();
    named(world, &lane, "a packed message of 67108863 bytes").await
}

pub(super) async fn a_bomb_that_states_too_little_is_refused<W: Hostile>(world: &W) -> Outcome {
    // A literal, then a match of some thousand bytes.
    let bomb = [length(10), vec![0x1f, 0, 1, 0], vec![0xff; 20], vec![0]].concat();
    let lane = [preamble(NORMAL, 0), marked(&bomb, true)].concat();
    named(world, &lane, "does not unpack to the 10 bytes").await
}

pub(super) async fn bombs_within_the_bound_are_not_unpacked_before_they_are_wanted<W: Hostile>(
    world: &W,
) -> Outcome {
    // Each is a mebibyte; a window of echoes waits, and they wait as what they are.
    flood(world, &marked(&super::bomb(), true)).await
}

/// Ten lanes of one link, and ten links, each with one: what is left of them is nothing.
pub(super) async fn those_that_are_dropped_inside_a_message_leave_nothing<W: Hostile>(
    world: &W,
) -> Outcome {
    let siege = Siege::lay(world).await?;
    for _ in 0..10 {
        let attacker = siege.attack(&Words::new(SPEECH)).await?;
        let _lane = attacker.lane(&[length(2 * 90_000), vec![1; 20_000]].concat()).await;
        // The link goes with its stream, in whatever state.
        drop(attacker);
    }
    siege.withstood().await
}

pub(super) fn ended() -> Failure {
    Failure::new("the link has ended")
}

/// A frame of control streams says as much as it wants: what is unknown is ignored.
pub(super) async fn unknown_words_are_ignored_however_many<W: Hostile>(world: &W) -> Outcome {
    let siege = Siege::lay(world).await?;
    let mut attacker: Attacker<W::Wire> = siege.attack(&Words::new(SPEECH)).await?;
    attacker.admitted().await?;
    let one = [vec![0x09], vec![0x7f; 9]].concat();
    let mut words = one.repeat(1000);
    // An admission, which only the other side has to give; a count for a lane that is none.
    words.extend([1, 1]);
    words.extend([10, 3, 0, 0, 0, 0, 0, 0, 0, 1, 77]);
    // Frames without a kind.
    words.extend([0; 1000]);
    done("to write", attacker.raw.say(&words)).await?;
    let one = marked(b"one", false);
    let _lane = attacker.lane(&one).await;
    let _echo = attacker.hears(&[preamble(NORMAL, 0), one].concat()).await?;
    attacker.is_open()?;
    siege.withstood().await
}
