//! More of everything than anybody wants.

use bytes::Bytes;
use tokio::time::{Duration, timeout};

use super::super::Outcome;
use super::super::raw::{DATAGRAM, NORMAL, PROBE, PROGRAM, Wire, Words, marked, preamble};
use super::super::step::ensure;
use super::siege::{Hostile, SPEECH, Siege};

/// How many streams a peer may have open.
const STREAMS: usize = 128;
/// So long without room for one more, and there is none.
const STALL: Duration = Duration::from_secs(1);

pub(super) async fn streams_of_unknown_kinds_are_stopped_however_many<W: Hostile>(
    world: &W,
) -> Outcome {
    let siege = Siege::lay(world).await?;
    let attacker = siege.attack(&Words::new(SPEECH)).await?;
    for number in 0..2000 {
        let opened = attacker.open(&[0x7f, 1, 2, 3]).await;
        ensure!(opened.is_some(), "stream {number} was not taken");
        // Dropping it ends it: places are for those that are open.
    }
    attacker.is_open()?;
    siege.withstood().await
}

pub(super) async fn streams_that_never_say_what_they_are_find_an_end<W: Hostile>(
    world: &W,
) -> Outcome {
    let siege = Siege::lay(world).await?;
    let attacker = siege.attack(&Words::new(SPEECH)).await?;
    let mut held = Vec::new();
    while let Ok(Some(stream)) = timeout(STALL, attacker.open(&[NORMAL, 0, 0])).await {
        held.push(stream);
        ensure!(held.len() <= STREAMS, "more than {STREAMS} are open");
    }
    attacker.is_open()?;
    siege.withstood().await
}

pub(super) async fn programs_streams_that_nobody_takes_find_an_end<W: Hostile>(
    world: &W,
) -> Outcome {
    let siege = Siege::lay(world).await?;
    let attacker = siege.attack(&Words::new(SPEECH)).await?;
    let mut held = Vec::new();
    while let Ok(Some((mut out, from))) = timeout(STALL, attacker.raw.wire.open_both()).await {
        let mut first = Bytes::copy_from_slice(&[PROGRAM, 1, 2, 3]);
        ensure!(W::Wire::write(&mut out, &mut first).await, "a stream was refused");
        held.push((out, from));
        ensure!(held.len() <= STREAMS, "more than {STREAMS} are open");
    }
    attacker.is_open()?;
    siege.withstood().await
}

pub(super) async fn probes_are_answered_as_far_as_the_answers_are_taken<W: Hostile>(
    world: &W,
) -> Outcome {
    let siege = Siege::lay(world).await?;
    let attacker = siege.attack(&Words::new(SPEECH)).await?;
    for number in 0..3000 {
        let opened = attacker.open(&preamble(PROBE, number)).await;
        ensure!(opened.is_some(), "probe {number} was not taken");
    }
    let mut answers = 0;
    while let Ok(Some(mut stream)) = timeout(STALL, attacker.raw.wire.accept()).await {
        W::Wire::stop(&mut stream);
        answers += 1;
    }
    // As many as may be open, then as many as wait, besides the node's own two. Those that were
    // taken while the flood went on came on top.
    ensure!(answers <= 3000 + 2, "{answers} streams came for 3000 probes");
    attacker.is_open()?;
    siege.withstood().await
}

pub(super) async fn datagrams_that_nobody_takes_are_dropped<W: Hostile>(world: &W) -> Outcome {
    let siege = Siege::lay(world).await?;
    let attacker = siege.attack(&Words::new(SPEECH)).await?;
    for number in 0..5000_u32 {
        attacker.raw.wire.datagram(Bytes::from(vec![number as u8; 1000]));
        if number % 50 == 0 {
            tokio::task::yield_now().await;
        }
    }
    // Those on streams: nine that never end, of which eight are read, and one that is too large.
    let mut held = Vec::new();
    for _ in 0..9 {
        held.push(attacker.open(&[DATAGRAM, 1, 2, 3]).await);
    }
    let mut large = attacker.open(&[DATAGRAM]).await;
    if let Some(large) = &mut large {
        W::Wire::write(large, &mut Bytes::from(vec![0; 100 * 1024])).await;
    }
    let one = marked(b"one", false);
    let mut attacker = attacker;
    let _lane = attacker.lane(&one).await;
    let _echo = attacker.hears(&[preamble(NORMAL, 0), one].concat()).await?;
    attacker.is_open()?;
    siege.withstood().await
}

pub(super) async fn links_that_come_and_go_leave_nothing<W: Hostile>(world: &W) -> Outcome {
    let siege = Siege::lay(world).await?;
    for _ in 0..50 {
        let attacker = siege.attack(&Words::new(SPEECH)).await?;
        drop(attacker);
    }
    siege.lets_in().await?;
    siege.withstood().await
}
