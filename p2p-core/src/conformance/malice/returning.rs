//! Coming back to connections that are somebody else's, or in ways that cannot be.

use super::super::Outcome;
use super::super::raw::{NORMAL, Words, marked, preamble};
use super::VIOLATION;
use super::siege::{Hostile, SPEECH, Siege};
use crate::close::CloseCause;

/// Claims the attacker's own connection.
fn again(attempt: u64, standing: Vec<(u64, u64)>) -> Words {
    Words { claim: Some((1, attempt, standing)), ..Words::new(SPEECH) }
}

pub(super) async fn nobody_comes_back_to_a_connection_of_somebody_else<W: Hostile>(
    world: &W,
) -> Outcome {
    let siege = Siege::lay(world).await?;
    // Whatever number the honest peer's connection has: names are compared first.
    for number in (0..20).chain([u64::MAX]) {
        let claim = Some((number, 1, vec![(0, 0); 4]));
        let attacker = siege.attack(&Words { claim, ..Words::new(SPEECH) }).await?;
        attacker.closed_for(CloseCause::NotResumable, "").await?;
    }
    siege.withstood().await
}

pub(super) async fn a_standing_that_cannot_be_is_named<W: Hostile>(world: &W) -> Outcome {
    let siege = Siege::lay(world).await?;
    let mut first = siege.attack(&Words::new(SPEECH)).await?;
    first.admitted().await?;
    let next = siege.attack(&again(1, vec![(1 << 40, 0); 4])).await?;
    next.closed_for(VIOLATION, "more was reported read than was sent").await?;
    siege.withstood().await
}

pub(super) async fn an_attempt_out_of_order_or_without_a_standing_changes_nothing<W: Hostile>(
    world: &W,
) -> Outcome {
    let siege = Siege::lay(world).await?;
    let mut first = siege.attack(&Words::new(SPEECH)).await?;
    first.admitted().await?;
    let mut current = siege.attack(&again(7, vec![(0, 0); 4])).await?;
    current.admitted().await?;
    for attempt in [7, 6, 1] {
        let late = siege.attack(&again(attempt, vec![(0, 0); 4])).await?;
        late.closed_for(CloseCause::NotResumable, "").await?;
    }
    let lacking = siege.attack(&again(8, vec![(0, 0); 3])).await?;
    lacking.closed_for(CloseCause::NotResumable, "").await?;
    current.is_open()?;
    siege.withstood().await
}

pub(super) async fn a_message_of_a_former_link_is_not_taken_twice<W: Hostile>(
    world: &W,
) -> Outcome {
    let siege = Siege::lay(world).await?;
    let mut first = siege.attack(&Words::new(SPEECH)).await?;
    let mut lane = [preamble(NORMAL, 0), marked(b"one", false)].concat();
    let _lane = first.open(&lane).await;
    let _echo = first.hears(&lane).await?;
    // A link that is dropped is closed, and its connection with it.
    let mut former = Vec::new();
    for attempt in 1..10 {
        let mut next = siege.attack(&again(attempt, vec![(0, 0); 4])).await?;
        // From the beginning, with one message that is new. The node sends all its echoes again, for
        // it does not hear that they came; no former message has two.
        lane.extend(marked(&[attempt as u8], false));
        let stream = next.open(&lane).await;
        let echo = next.hears(&lane).await?;
        former.push((next, stream, echo));
    }
    siege.withstood().await
}
