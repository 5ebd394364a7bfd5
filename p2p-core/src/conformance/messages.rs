//! Messages: whole, in order, each once.

use bytes::Bytes;

use super::step::{
    Pair, both, ensure, ensure_matches, fails, number_of, numbered, pattern, spawn, step,
};
use super::{Outcome, World};
use crate::error::{Limit, P2PError};
use crate::provider::P2PConnection;

/// A bound that is itself beyond every edge of the framing.
const LIMIT: usize = 100_000;

/// Sizes around every edge: a frame's length takes one, two or four bytes (64, 16 384); small
/// payloads are copied (1024 on receiving, 4096 on sending); chunks end at 64 KiB.
fn sizes() -> Vec<usize> {
    let edges = [64, 1024, 4096, 16_384, 65_536];
    let around = edges.iter().flat_map(|edge| edge - 2..=edge + 2);
    [0, 1, 2].into_iter().chain(around).chain([LIMIT - 1, LIMIT]).collect()
}

pub(super) async fn sizes_at_every_edge_arrive_whole<W: World>(world: &W) -> Outcome {
    let timers = world.timers().with_max_message_size(LIMIT);
    let pair = Pair::with(world, timers.clone(), timers).await?;
    for (from, to) in [(&pair.to_bob, &pair.to_alice), (&pair.to_alice, &pair.to_bob)] {
        let sending = async {
            for size in sizes() {
                let what = format!("to send {size} bytes");
                step(&what, from.send(pattern(size as u64, size))).await?;
            }
            Ok(())
        };
        let receiving = async {
            for size in sizes() {
                let what = format!("to receive {size} bytes");
                let got = step(&what, to.recv()).await?;
                ensure!(got.len() == size, "{} bytes arrived instead of {size}", got.len());
                ensure!(got == pattern(size as u64, size), "of {size} bytes, others arrived");
            }
            Ok(())
        };
        both(sending, receiving).await?;
    }
    pair.talk("after all of them").await
}

/// That a message of one byte too many is refused where it is sent, and only that.
async fn one_byte_too_many<C: P2PConnection>(from: &C, to: &C, max: usize) -> Outcome {
    step("to send before", from.send("before".into())).await?;
    let error = fails("to send one byte too many", from.send(pattern(1, max + 1))).await?;
    let (limit, bound, actual) = ensure_matches!(
        error,
        P2PError::LimitExceeded { limit, max, actual } => (limit, max, actual),
        "the error"
    );
    ensure!(
        (limit, bound, actual) == (Limit::Message, max as u64, max as u64 + 1),
        "the error says {limit:?}, {bound}, {actual}"
    );
    ensure!(from.is_connected() && to.is_connected(), "the connection ended over it");
    step("to send as much as goes", from.send(pattern(2, max))).await?;
    let before = step("to receive what was sent before", to.recv()).await?;
    ensure!(before == "before", "{} other bytes came", before.len());
    let next = step("to receive what was sent next", to.recv()).await?;
    ensure!(next == pattern(2, max), "{} other bytes came", next.len());
    Ok(())
}

pub(super) async fn a_message_over_the_limit_is_typed_and_the_connection_goes_on<W: World>(
    world: &W,
) -> Outcome {
    let timers = world.timers().with_max_message_size(LIMIT);
    let pair = Pair::with(world, timers.clone(), timers).await?;
    one_byte_too_many(&pair.to_bob, &pair.to_alice, LIMIT).await?;
    one_byte_too_many(&pair.to_alice, &pair.to_bob, LIMIT).await?;
    pair.talk("after the error").await
}

pub(super) async fn the_peers_smaller_limit_counts<W: World>(world: &W) -> Outcome {
    let (large, small) = (world.timers(), world.timers().with_max_message_size(5000));
    for (alices, bobs) in [(large.clone(), small.clone()), (small, large)] {
        let pair = Pair::with(world, alices, bobs).await?;
        one_byte_too_many(&pair.to_bob, &pair.to_alice, 5000).await?;
        one_byte_too_many(&pair.to_alice, &pair.to_bob, 5000).await?;
    }
    Ok(())
}

pub(super) async fn order_holds_both_ways_at_once<W: World>(world: &W) -> Outcome {
    const MESSAGES: u32 = 3000;
    async fn speak<C: P2PConnection>(connection: &C) -> Outcome {
        for number in 0..MESSAGES {
            step("to send", connection.send(numbered(0, number))).await?;
        }
        Ok(())
    }
    async fn hear<C: P2PConnection>(connection: &C) -> Outcome {
        for expected in 0..MESSAGES {
            let (_, got) = number_of(&step("to receive", connection.recv()).await?)?;
            ensure!(got == expected, "message {got} came where {expected} should have");
        }
        Ok(())
    }
    let pair = Pair::new(world).await?;
    let speaking = both(speak(&pair.to_bob), speak(&pair.to_alice));
    let hearing = both(hear(&pair.to_alice), hear(&pair.to_bob));
    both(speaking, hearing).await?;
    pair.talk("after all of them").await
}

pub(super) async fn concurrent_senders_keep_their_order<W: World>(world: &W) -> Outcome {
    const SENDERS: u32 = 8;
    const MESSAGES: u32 = 200;
    let pair = Pair::new(world).await?;
    let senders: Vec<_> = (0..SENDERS)
        .map(|sender| {
            let to_bob = pair.to_bob.clone();
            spawn(async move {
                for number in 0..MESSAGES {
                    // Of different sizes, so that they do not all take one path.
                    let mut message = numbered(sender, number).to_vec();
                    message.resize(8 + (number as usize * 97) % 9000, sender as u8);
                    step("to send", to_bob.send(message.into())).await?;
                }
                Ok(())
            })
        })
        .collect();
    let mut next = [0; SENDERS as usize];
    for _ in 0..SENDERS * MESSAGES {
        let message = step("to receive", pair.to_alice.recv()).await?;
        ensure!(message.len() >= 8, "{} bytes arrived that nobody had sent", message.len());
        let (sender, number) = number_of(&message.slice(..8))?;
        let filled = message[8..].iter().all(|&byte| u32::from(byte) == sender);
        let size = 8 + (number as usize * 97) % 9000;
        ensure!(filled && message.len() == size, "message {number} of {sender} is not what it was");
        let expected = &mut next[sender as usize];
        ensure!(number == *expected, "message {number} of {sender} came instead of {expected}");
        *expected += 1;
    }
    for sender in senders {
        sender.end("a sender").await?;
    }
    pair.talk("after all of them").await
}

pub(super) async fn concurrent_receivers_take_turns<W: World>(world: &W) -> Outcome {
    const RECEIVERS: u32 = 4;
    const MESSAGES: u32 = 400;
    let pair = Pair::new(world).await?;
    let receivers: Vec<_> = (0..RECEIVERS)
        .map(|_| {
            let to_alice = pair.to_alice.clone();
            spawn(async move {
                let mut got = Vec::new();
                loop {
                    match number_of(&step("to receive", to_alice.recv()).await?)? {
                        (0, number) => got.push(number),
                        // The end, one for each.
                        _ => return Ok(got),
                    }
                }
            })
        })
        .collect();
    for number in 0..MESSAGES {
        step("to send", pair.to_bob.send(numbered(0, number))).await?;
    }
    for number in 0..RECEIVERS {
        step("to send the end", pair.to_bob.send(numbered(1, number))).await?;
    }
    let mut all = Vec::new();
    for receiver in receivers {
        let got = receiver.end("a receiver").await?;
        ensure!(got.is_sorted(), "one of them got {got:?}");
        all.extend(got);
    }
    all.sort_unstable();
    let wrong = (0..MESSAGES).find(|&number| all.get(number as usize) != Some(&number));
    ensure!(wrong.is_none(), "message {wrong:?} was lost, or one before it came twice");
    ensure!(all.len() == MESSAGES as usize, "of {MESSAGES} messages, {} came", all.len());
    Ok(())
}

pub(super) async fn kept_messages_stay_as_they_were<W: World>(world: &W) -> Outcome {
    // A receiver may hand out slices of its buffers, and must not use those again.
    let pair = Pair::new(world).await?;
    let size = |number: u64| (number as usize * 613) % 7000;
    let sending = async {
        for number in 0..400 {
            step("to send", pair.to_bob.send(pattern(number, size(number)))).await?;
        }
        Ok(())
    };
    let receiving = async {
        let mut kept = Vec::new();
        for _ in 0..400 {
            kept.push(step("to receive", pair.to_alice.recv()).await?);
        }
        Ok(kept)
    };
    let ((), kept) = both(sending, receiving).await?;
    for (number, message) in (0..).zip(kept) {
        ensure!(message == pattern(number, size(number)), "message {number} changed afterwards");
    }
    Ok(())
}

pub(super) async fn counters_count_messages<W: World>(world: &W) -> Outcome {
    let pair = Pair::new(world).await?;
    let before = pair.to_bob.stats();
    ensure!(before.messages_sent + before.messages_received == 0, "something was counted before");
    for size in [0, 10, 5000] {
        step("to send", pair.to_bob.send(pattern(0, size))).await?;
        step("to receive", pair.to_alice.recv()).await?;
    }
    step("to answer", pair.to_alice.send(Bytes::from_static(b"seven b"))).await?;
    step("to receive the answer", pair.to_bob.recv()).await?;
    let (alices, bobs) = (pair.to_bob.stats(), pair.to_alice.stats());
    ensure!(
        (alices.messages_sent, alices.message_bytes_sent) == (3, 5010)
            && (bobs.messages_received, bobs.message_bytes_received) == (3, 5010),
        "three messages of 5010 bytes in all were counted as {alices:?} and {bobs:?}"
    );
    ensure!(
        (bobs.messages_sent, bobs.message_bytes_sent) == (1, 7)
            && (alices.messages_received, alices.message_bytes_received) == (1, 7),
        "one message of 7 bytes was counted as {bobs:?} and {alices:?}"
    );
    // Counters are a connection's own.
    let (other, _kept) = pair.meet_again().await?;
    ensure!(other.stats().messages_sent == 0, "another connection counts with it");
    Ok(())
}
