//! Datagrams: once or not at all, never altered.

use std::collections::BTreeSet;
use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};

use super::step::{Pair, done, ensure, ensure_matches, fails, pattern, step};
use super::{Failure, Outcome, World};
use crate::datagram::{DatagramDrop, DatagramFallback, DatagramOptions};
use crate::error::{Limit, P2PError};
use crate::provider::P2PConnection;

/// How long to wait for one datagram before it counts as lost: they may be.
const LOST: Duration = Duration::from_millis(300);
/// How many may be lost in a row before it is not by chance: checks run on networks that lose
/// nothing, or little.
const TRIES: u32 = 40;

/// A datagram with its number in it, and with a content that follows from number and size: one that
/// was cut does not look like a smaller one.
fn datagram(number: u32, size: usize) -> Bytes {
    let mut bytes = BytesMut::with_capacity(size);
    bytes.put_u32(number);
    let seed = u64::from(number) << 32 | size as u64;
    bytes.extend_from_slice(&pattern(seed, size.saturating_sub(4)));
    bytes.freeze()
}

/// The number of a datagram that is as it was sent, whole and alone.
fn number_of(got: &Bytes) -> Outcome<u32> {
    ensure!(got.len() >= 4, "a datagram of {} bytes that nobody had sent", got.len());
    let number = u32::from_be_bytes([got[0], got[1], got[2], got[3]]);
    ensure!(*got == datagram(number, got.len()), "datagram {number} was altered");
    Ok(number)
}

/// Sends datagrams of one size until one arrives; gives the numbers of all that arrived.
pub(super) async fn until_one_arrives<C: P2PConnection>(
    from: &C,
    to: &C,
    size: usize,
    next: &mut u32,
) -> Outcome<Vec<u32>> {
    let mut arrived = Vec::new();
    for _ in 0..TRIES {
        let number = *next;
        *next += 1;
        step("to send a datagram", async { from.send_datagram(datagram(number, size)) }).await?;
        while let Ok(got) = tokio::time::timeout(LOST, to.recv_datagram()).await {
            let got = step("to receive a datagram", async { got }).await?;
            arrived.push(number_of(&got)?);
            if arrived.last() == Some(&number) {
                ensure!(got.len() == size, "{} bytes arrived instead of {size}", got.len());
                return Ok(arrived);
            }
        }
    }
    Err(Failure::new(format!("of {TRIES} datagrams of {size} bytes, none arrived")))
}

fn largest<C: P2PConnection>(connection: &C) -> Outcome<usize> {
    let Some(max) = connection.max_datagram_size() else {
        return Err(Failure::new("the peer takes no datagrams"));
    };
    // What QUIC's smallest packets leave (RFC 9000, section 14.1), less a generous header.
    ensure!(max >= 1000, "at most {max} bytes fit into a datagram");
    Ok(max)
}

pub(super) async fn datagrams_arrive_once_and_unaltered<W: World>(world: &W) -> Outcome {
    let pair = Pair::new(world).await?;
    let (mut next, mut seen) = (0, BTreeSet::new());
    for (from, to) in [(&pair.to_bob, &pair.to_alice), (&pair.to_alice, &pair.to_bob)] {
        seen.clear();
        for size in [4, 5, 64, 100, 500, 1000] {
            for number in until_one_arrives(from, to, size, &mut next).await? {
                ensure!(seen.insert(number), "datagram {number} arrived twice");
            }
        }
        // A burst, of which any may be lost and none may come twice.
        let first = next;
        for number in first..first + 50 {
            let size = 4 + number as usize % 300;
            step("to send", async { from.send_datagram(datagram(number, size)) }).await?;
        }
        next += 50;
        for number in until_one_arrives(from, to, 8, &mut next).await? {
            ensure!(number < next, "datagram {number} was never sent");
            ensure!(seen.insert(number), "datagram {number} arrived twice");
        }
    }
    // None of them was taken for a message.
    pair.talk("after the datagrams").await
}

pub(super) async fn the_largest_fits_and_one_more_byte_is_typed<W: World>(world: &W) -> Outcome {
    let pair = Pair::new(world).await?;
    let mut next = 0;
    for (from, to) in [(&pair.to_bob, &pair.to_alice), (&pair.to_alice, &pair.to_bob)] {
        let max = largest(from)?;
        until_one_arrives(from, to, max, &mut next).await?;
        // The path may have grown in the meantime.
        let max = largest(from)?;
        let error = fails("to send one byte too many", async {
            from.send_datagram(datagram(next, max + 1))
        })
        .await?;
        let (limit, bound, actual) = ensure_matches!(
            error,
            P2PError::LimitExceeded { limit, max, actual } => (limit, max, actual),
            "the error"
        );
        ensure!(
            (limit, bound, actual) == (Limit::Datagram, max as u64, max as u64 + 1),
            "the error says {limit:?}, {bound}, {actual}, where {max} fit"
        );
    }
    pair.talk("after the error").await
}

pub(super) async fn a_full_queue_lets_the_newest_through<W: World>(world: &W) -> Outcome {
    let pair = Pair::new(world).await?;
    let size = largest(&pair.to_bob)?;
    // Several times what anybody should keep for a program that does not look.
    const FLOOD: u32 = 10_000;
    for number in 0..FLOOD {
        step("to send", async { pair.to_bob.send_datagram(datagram(number, size)) }).await?;
        if number % 100 == 0 {
            tokio::task::yield_now().await;
        }
    }
    // The connection does not mind, and what is sent from now on gets through.
    pair.talk("after the flood").await?;
    let mut next = FLOOD;
    let arrived = until_one_arrives(&pair.to_bob, &pair.to_alice, size, &mut next).await?;
    let old = arrived.iter().filter(|&&number| number < FLOOD).count();
    ensure!(old < FLOOD as usize, "ten megabytes were kept for a program that did not look");
    let once: BTreeSet<_> = arrived.iter().collect();
    ensure!(once.len() == arrived.len(), "some of them arrived twice");
    Ok(())
}

pub(super) async fn counters_count_datagrams<W: World>(world: &W) -> Outcome {
    let pair = Pair::new(world).await?;
    let mut next = 0;
    let arrived = until_one_arrives(&pair.to_bob, &pair.to_alice, 100, &mut next).await?;
    let (alices, bobs) = (pair.to_bob.stats(), pair.to_alice.stats());
    ensure!(
        alices.datagrams_sent == next.into() && alices.datagrams_received == 0,
        "{next} sent datagrams were counted as {alices:?}"
    );
    ensure!(
        bobs.datagrams_received == arrived.len() as u64 && bobs.datagrams_sent == 0,
        "{} received datagrams were counted as {bobs:?}",
        arrived.len()
    );
    done("to close", pair.to_bob.close(0, "")).await?;
    let error = fails("to send after the close", async {
        pair.to_bob.send_datagram(Bytes::from_static(b"late"))
    })
    .await?;
    ensure!(matches!(error, P2PError::Closed(_)), "the error is {error:?}");
    ensure!(pair.to_bob.stats().datagrams_sent == next.into(), "what was not sent was counted");
    Ok(())
}

pub(super) async fn what_nobody_takes_is_dropped_by_policy_and_counted<W: World>(
    world: &W,
) -> Outcome {
    const FLOOD: u32 = 600;
    const SIZE: usize = 1000;
    for drops in [DatagramDrop::Newest, DatagramDrop::Oldest] {
        // About a hundred fit.
        let few = world.timers().with_datagram_queue(100 * 1064, drops);
        let pair = Pair::with(world, world.timers(), few).await?;
        for number in 0..FLOOD {
            step("to send", async { pair.to_bob.send_datagram(datagram(number, SIZE)) }).await?;
            if number % 20 == 0 {
                pair.talk("so that nothing piles up before it has come").await?;
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        }
        tokio::time::sleep(LOST).await;
        let unread = pair.to_alice.stats().datagrams_unread;
        let mut numbers = Vec::new();
        while let Ok(got) = tokio::time::timeout(LOST, pair.to_alice.recv_datagram()).await {
            numbers.push(number_of(&step("to receive a datagram", async { got }).await?)?);
        }
        let kept = numbers.len() as u64;
        ensure!((50..=100).contains(&kept), "{kept} were kept where 100 fit");
        let lost = u64::from(FLOOD) - kept;
        // The network may have lost a few as well.
        ensure!(unread <= lost && unread >= lost / 2, "of {lost}, {unread} were counted");
        let (first, last) = (u64::from(numbers[0]), u64::from(numbers[numbers.len() - 1]));
        match drops {
            DatagramDrop::Newest => ensure!(last < 300, "number {last} was kept"),
            DatagramDrop::Oldest => ensure!(first > 300, "number {first} was kept"),
        }
    }
    Ok(())
}

pub(super) async fn a_datagram_too_large_may_travel_on_a_stream<W: World>(world: &W) -> Outcome {
    let pair = Pair::new(world).await?;
    let on_stream = DatagramOptions::default().with_fallback(DatagramFallback::Stream);
    for (from, to) in [(&pair.to_bob, &pair.to_alice), (&pair.to_alice, &pair.to_bob)] {
        let size = largest(from)? + 1;
        for (number, size) in (0..).zip([size, 3 * size, DatagramOptions::MAX_ON_STREAM]) {
            let sent = datagram(number, size);
            step("to send", async { from.send_datagram_with(sent, on_stream) }).await?;
            let got = step("to receive what travels reliably", to.recv_datagram()).await?;
            ensure!(number_of(&got)? == number, "another datagram came");
            ensure!(got.len() == size, "{} bytes arrived instead of {size}", got.len());
        }
        let most = DatagramOptions::MAX_ON_STREAM;
        let error = fails("to send too much even so", async {
            from.send_datagram_with(datagram(9, most + 1), on_stream)
        })
        .await?;
        let max = ensure_matches!(
            error,
            P2PError::LimitExceeded { limit: Limit::Datagram, max, .. } => max,
            "the error"
        );
        ensure!(max == most as u64, "the bound is {max}");
    }
    // Only so many wait.
    let size = largest(&pair.to_bob)? + 1;
    let mut sent = 0;
    let full = loop {
        match pair.to_bob.send_datagram_with(datagram(sent, size), on_stream) {
            Ok(()) => sent += 1,
            Err(error) => break error,
        }
        ensure!(sent < 10_000, "{sent} datagrams went without a turn for anybody else");
    };
    let max = ensure_matches!(
        full,
        P2PError::LimitExceeded { limit: Limit::DatagramStreams, max, .. } => max,
        "the error"
    );
    ensure!(max == DatagramOptions::MAX_WAITING as u64, "the bound is {max}");
    ensure!(pair.to_bob.stats().datagrams_sent == u64::from(sent) + 3, "not all were counted");
    pair.talk("beside them").await
}
