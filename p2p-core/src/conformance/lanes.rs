//! Messages of several priorities.

use bytes::Bytes;

use super::step::{
    MOMENTS, Pair, both, done, ensure, ensure_matches, fails, give_up_after, let_pass, number_of,
    numbered, pattern, step, talk,
};
use super::{Outcome, World};
use crate::error::{Limit, P2PError};
use crate::permit::SendPermit;
use crate::priority::Priority;
use crate::provider::P2PConnection;

pub(super) async fn a_message_keeps_its_priority<W: World>(world: &W) -> Outcome {
    let pair = Pair::new(world).await?;
    for priority in Priority::ALL {
        let text = Bytes::from(priority.to_string());
        let sending = step("to send", pair.to_bob.send_with(priority, text.clone()));
        let receiving = step("to receive", pair.to_alice.recv_message());
        let (_, got) = both(sending, receiving).await?;
        ensure!(got.priority == priority, "sent as {priority}, it came as {}", got.priority);
        ensure!(got.payload == text, "{text:?} was sent, and {:?} came", got.payload);
    }
    Ok(())
}

pub(super) async fn order_holds_within_each_priority<W: World>(world: &W) -> Outcome {
    const EACH: u32 = 100;
    let pair = Pair::new(world).await?;
    let sending = async {
        for number in 0..EACH {
            for (lane, priority) in (0..).zip(Priority::ALL) {
                let message = numbered(lane, number);
                step("to send", pair.to_bob.send_with(priority, message)).await?;
            }
        }
        Ok(())
    };
    let receiving = async {
        let mut next = [0; Priority::COUNT];
        while next != [EACH; Priority::COUNT] {
            let got = step("to receive", pair.to_alice.recv_message()).await?;
            let (lane, number) = number_of(&got.payload)?;
            let lane = lane as usize;
            ensure!(Priority::ALL.get(lane) == Some(&got.priority), "it changed its priority");
            ensure!(number == next[lane], "{} {number} came, not {}", got.priority, next[lane]);
            next[lane] += 1;
        }
        Ok(())
    };
    both(sending, receiving).await?;
    pair.talk("after all of them").await
}

/// Fills a lane until nothing more fits, and returns how many messages that took.
async fn fill<C: P2PConnection>(priority: Priority, from: &C, one: &C, other: &C) -> Outcome<u64> {
    let (mut sent, mut quiet) = (0, 0);
    // So many round trips without room, and there is none.
    while quiet < 30 {
        match from.try_send(priority, pattern(sent, 10_000)) {
            Ok(()) => (sent, quiet) = (sent + 1, 0),
            Err(P2PError::LimitExceeded { limit: Limit::SendQueue, .. }) => {
                talk(one, other, "while the lane is full").await?;
                let_pass().await;
                quiet += 1;
            }
            Err(error) => ensure!(false, "to send at once: {error}"),
        }
        ensure!(sent < 10_000, "{sent} messages went, unread: no limit");
    }
    Ok(sent)
}

pub(super) async fn a_full_lane_does_not_hold_up_another<W: World>(world: &W) -> Outcome {
    let pair = Pair::new(world).await?;
    let (one, other) = pair.meet_again().await?;
    let sent = fill(Priority::Bulk, &pair.to_bob, &one, &other).await?;
    for priority in [Priority::Control, Priority::Realtime, Priority::Normal] {
        let text = Bytes::from_static(b"beside");
        step("to send", pair.to_bob.send_with(priority, text.clone())).await?;
        // It has arrived when this has; nobody has received anything yet.
        for _ in 0..10 {
            talk(&one, &other, "while it arrives").await?;
            let_pass().await;
        }
        let got = step("to receive", pair.to_alice.recv_message()).await?;
        let (as_what, size) = (got.priority, got.payload.len());
        ensure!(as_what == priority, "not {priority}, but {as_what} came, {size} bytes");
        ensure!(got.payload == text, "{size} bytes came, which are not those that were sent");
    }
    for number in 0..sent {
        let got = step("to receive what piled up", pair.to_alice.recv_message()).await?;
        ensure!(got.priority == Priority::Bulk, "{} came", got.priority);
        ensure!(got.payload == pattern(number, 10_000), "message {number} is not what was sent");
    }
    pair.talk("after all of them").await
}

pub(super) async fn who_does_not_want_to_wait_is_told_and_loses_nothing<W: World>(
    world: &W,
) -> Outcome {
    let pair = Pair::new(world).await?;
    let (one, other) = pair.meet_again().await?;
    let sent = fill(Priority::Normal, &pair.to_bob, &one, &other).await?;
    let depth = pair.to_bob.queue_depth(Priority::Normal);
    ensure!(depth > 0, "the lane is full, and nothing waits");
    let error = fails("to send at once", async {
        pair.to_bob.try_send(Priority::Normal, pattern(0, 10_000))
    });
    let max = ensure_matches!(
        error.await?,
        P2PError::LimitExceeded { limit: Limit::SendQueue, max, .. } => max,
        "a full lane"
    );
    ensure!(max == world.timers().send_queue as u64, "the bound is {max}");
    for number in 0..sent {
        let got = step("to receive what piled up", pair.to_alice.recv()).await?;
        ensure!(got == pattern(number, 10_000), "message {number} is not what was sent");
    }
    pair.talk("after all of them").await?;
    let depth = pair.to_bob.queue_depth(Priority::Normal);
    ensure!(depth == 0, "all is received, and {depth} bytes wait");
    Ok(())
}

pub(super) async fn who_is_held_back_by_the_peers_window_is_told_so<W: World>(
    world: &W,
) -> Outcome {
    const WINDOW: usize = 20_000;
    let timers = world.timers().with_receive_window(WINDOW);
    let pair = Pair::with(world, timers.clone(), timers).await?;
    let (limit, max) = done("to fill the window", async {
        loop {
            match pair.to_bob.try_send(Priority::Normal, pattern(0, 1_000)) {
                Ok(()) => {}
                Err(P2PError::LimitExceeded { limit, max, actual }) => {
                    ensure!(actual > max, "{actual} is not more than {max}");
                    if pair.to_bob.queue_depth(Priority::Normal) == 0 {
                        return Ok((limit, max));
                    }
                    // What waits goes yet.
                    let_pass().await;
                }
                Err(error) => ensure!(false, "to send at once: {error}"),
            }
        }
    })
    .await??;
    ensure!(limit == Limit::ReceiveWindow, "it is held back by {limit}");
    ensure!(max == WINDOW as u64, "the window is {max}");
    Ok(())
}

pub(super) async fn packed_messages_arrive_as_they_were_sent<W: World>(world: &W) -> Outcome {
    let timers = world.timers().with_compress_from(100);
    let pair = Pair::with(world, timers.clone(), timers).await?;
    let mixed = |number: u64| {
        let mut message = vec![7; 3000 * number as usize % 50_000];
        message.extend_from_slice(&pattern(number, 1000));
        Bytes::from(message)
    };
    let sending = async {
        for number in 0..60 {
            step("to send", pair.to_bob.send(mixed(number))).await?;
            step("to send", pair.to_bob.send(pattern(number, 2000))).await?;
        }
        Ok(())
    };
    let receiving = async {
        for number in 0..60 {
            let got = step("to receive", pair.to_alice.recv()).await?;
            ensure!(got == mixed(number), "message {number}, which shrinks, was altered");
            let got = step("to receive", pair.to_alice.recv()).await?;
            ensure!(got == pattern(number, 2000), "message {number} was altered");
        }
        Ok(())
    };
    both(sending, receiving).await?;
    // One side may pack, and the other not.
    pair.talk("after all of them").await
}

pub(super) async fn a_reserved_place_never_waits<W: World>(world: &W) -> Outcome {
    let pair = Pair::new(world).await?;
    let (one, other) = pair.meet_again().await?;
    let permit = step("to reserve", pair.to_bob.reserve(Priority::Normal, 100)).await?;
    ensure!((permit.priority(), permit.size()) == (Priority::Normal, 100), "it is {permit:?}");
    let small = step("to reserve", pair.to_bob.reserve(Priority::Normal, 10)).await?;
    let sent = fill(Priority::Normal, &pair.to_bob, &one, &other).await?;
    let last = pattern(99, 60);
    step("to send in the reserved place", async { permit.send(last.clone()) }).await?;
    let error = fails("to send too much for a place", async { small.send(pattern(1, 11)) });
    let bounds = ensure_matches!(
        error.await?,
        P2PError::LimitExceeded { limit: Limit::Reserved, max, actual } => (max, actual),
        "a message larger than its place"
    );
    ensure!(bounds == (10, 11), "the error says {bounds:?}");
    for number in 0..sent {
        let got = step("to receive what piled up", pair.to_alice.recv()).await?;
        ensure!(got == pattern(number, 10_000), "message {number} is not what was sent");
    }
    let got = step("to receive what had a place", pair.to_alice.recv()).await?;
    ensure!(got == last, "{} bytes came, which are not those that were sent", got.len());
    let all = pair.to_bob.stats().messages_sent;
    ensure!(all == sent + 1, "{} messages were counted as {all}", sent + 1);
    pair.talk("after all of them").await?;

    let max = pair.to_bob.peer().max_message_size;
    let error = fails("to reserve too much", pair.to_bob.reserve(Priority::Bulk, max + 1)).await?;
    let bound = ensure_matches!(
        error,
        P2PError::LimitExceeded { limit: Limit::Message, max, .. } => max,
        "a place larger than any message"
    );
    ensure!(bound == max as u64, "the bound is {bound}");
    let permit = step("to reserve", pair.to_bob.reserve(Priority::Bulk, 1)).await?;
    done("to close", pair.to_bob.close(0, "")).await?;
    let late = fails("to send after the close", async { permit.send(Bytes::new()) }).await?;
    ensure!(matches!(late, P2PError::Closed(_)), "the error is {late:?}");
    let late = fails("to reserve after the close", pair.to_bob.reserve(Priority::Bulk, 1)).await?;
    ensure!(matches!(late, P2PError::Closed(_)), "the error is {late:?}");
    Ok(())
}

/// Reserves a lane's whole room.
async fn take_all<C: P2PConnection>(connection: &C) -> Outcome<SendPermit> {
    let max = connection.peer().max_message_size;
    let permit = step("to reserve all", connection.reserve(Priority::Bulk, max)).await?;
    let full =
        fails("to send beside it", async { connection.try_send(Priority::Bulk, Bytes::new()) });
    ensure_matches!(
        full.await?,
        P2PError::LimitExceeded { limit: Limit::SendQueue, .. } => (),
        "a lane that is taken"
    );
    Ok(permit)
}

pub(super) async fn a_place_given_back_is_anybodys<W: World>(world: &W) -> Outcome {
    let pair = Pair::new(world).await?;
    // Often enough that anything left behind would add up.
    for round in 0..20 {
        let all = take_all(&pair.to_bob).await?;
        for &polls in &MOMENTS[..2] {
            let waiting = pair.to_bob.reserve(Priority::Bulk, 10);
            ensure!(give_up_after(polls, waiting).await.is_none(), "there was a place after all");
        }
        if round % 2 == 0 {
            drop(all);
        } else {
            // A message smaller than its place gives the rest back.
            step("to send", async { all.send(pattern(round, 100)) }).await?;
        }
        let message = pattern(round, 1000);
        step("to send", async { pair.to_bob.try_send(Priority::Bulk, message) }).await?;
        if round % 2 == 1 {
            let got = step("to receive", pair.to_alice.recv()).await?;
            ensure!(got == pattern(round, 100), "{} bytes came", got.len());
        }
        let got = step("to receive", pair.to_alice.recv()).await?;
        ensure!(got == pattern(round, 1000), "{} bytes came", got.len());
    }
    pair.talk("after all of them").await
}

pub(super) async fn places_are_given_in_the_order_of_the_calls<W: World>(world: &W) -> Outcome {
    let pair = Pair::new(world).await?;
    let all = take_all(&pair.to_bob).await?;
    let connection = &pair.to_bob;
    let first = step("to send", connection.send_with(Priority::Bulk, numbered(0, 0)));
    let second = async {
        let permit = step("to reserve", connection.reserve(Priority::Bulk, 8)).await?;
        step("to send", async { permit.send(numbered(0, 1)) }).await
    };
    let third = step("to send", connection.send_with(Priority::Bulk, numbered(0, 2)));
    let giving = async {
        tokio::task::yield_now().await;
        drop(all);
        Ok(())
    };
    // Each is begun before the next one.
    both(first, both(second, both(third, giving))).await?;
    for number in 0..3 {
        let got = step("to receive", pair.to_alice.recv()).await?;
        ensure!(number_of(&got)? == (0, number), "not number {number}, but {got:?} came");
    }
    pair.talk("after all of them").await
}
