//! `close`, `closed`, and the drop of the last handle.

use std::time::Duration;

use bytes::Bytes;
use tokio::time::Instant;

use super::backpressure::Flood;
use super::step::{
    ConnectionOf, MARGIN, Pair, RecvStreamOf, STEP, SendStreamOf, Stream, Task, both, dialling,
    done, ensure, ensure_matches, fails, meet, number_of, numbered, pattern, spawn, step, stream,
    talk,
};
use super::stream_ends::write_error;
use super::{Outcome, World};
use crate::close::{CloseCause, CloseReason, ClosedBy};
use crate::error::{P2PError, StreamError};
use crate::priority::Priority;
use crate::provider::P2PConnection;
use crate::stream::{RecvStream, SendStream};

/// That an end is what it should be.
pub(super) fn ensure_end(
    end: &CloseReason,
    by: ClosedBy,
    cause: CloseCause,
    message: &str,
) -> Outcome {
    let expected = CloseReason::new(by, cause, message);
    ensure!(*end == expected, "it should have been {expected}, and was {end}");
    Ok(())
}

/// The end that an error speaks of.
pub(super) fn end_in(error: P2PError) -> Outcome<CloseReason> {
    match error {
        P2PError::Stream(StreamError::Closed(end)) => Ok(end),
        error => Ok(ensure_matches!(error, P2PError::Closed(end) => end, "the error")),
    }
}

pub(super) async fn the_peer_gets_the_code_and_the_words<W: World>(world: &W) -> Outcome {
    let mut pair = Pair::new(world).await?;
    for (code, words) in [(0, ""), (7, "enough"), (u32::MAX, "ünïcödé ✓")] {
        (pair.to_bob, pair.to_alice) = pair.meet_again().await?;
        done("to close", pair.to_bob.close(code, words)).await?;
        let cause = CloseCause::Application(code);
        let end = done("Bob to see the end", pair.to_alice.closed()).await?;
        ensure_end(&end, ClosedBy::Peer, cause, words)?;
        let end = done("Alice to see the end", pair.to_bob.closed()).await?;
        ensure_end(&end, ClosedBy::Local, cause, words)?;
        let error = fails("Bob to receive", pair.to_alice.recv()).await?;
        ensure!(!error.is_retryable(), "the program meant it: {error}");
        ensure_end(&end_in(error)?, ClosedBy::Peer, cause, words)?;
    }
    Ok(())
}

pub(super) async fn messages_before_a_close_arrive<W: World>(world: &W) -> Outcome {
    let pair = Pair::new(world).await?;
    for number in 0..200 {
        step("to send", pair.to_bob.send(numbered(0, number))).await?;
    }
    done("to close", pair.to_bob.close(3, "all said")).await?;
    // Bob looks only now.
    let end = done("Bob to see the end", pair.to_alice.closed()).await?;
    ensure_end(&end, ClosedBy::Peer, CloseCause::Application(3), "all said")?;
    for expected in 0..200 {
        let got = step("to receive after the close", pair.to_alice.recv()).await?;
        let (_, number) = number_of(&got)?;
        ensure!(number == expected, "message {number} came where {expected} should have");
    }
    for _ in 0..3 {
        let error = fails("to receive more", pair.to_alice.recv()).await?;
        let end = end_in(error)?;
        ensure_end(&end, ClosedBy::Peer, CloseCause::Application(3), "all said")?;
    }
    Ok(())
}

pub(super) async fn messages_arrive_before_a_local_close_shows<W: World>(world: &W) -> Outcome {
    let pair = Pair::new(world).await?;
    for number in 0..20 {
        step("to send", pair.to_alice.send(numbered(0, number))).await?;
    }
    let first = step("to receive", pair.to_bob.recv()).await?;
    ensure!(number_of(&first)? == (0, 0), "{:?} came first", number_of(&first)?);
    done("to close", pair.to_bob.close(0, "")).await?;
    // What had arrived can still be had; how much that is, only the network knows.
    let mut expected = 1;
    let error = loop {
        match done("to receive after the close", pair.to_bob.recv()).await? {
            Ok(message) => {
                let (_, number) = number_of(&message)?;
                ensure!(number == expected, "message {number} came instead of {expected}");
                expected += 1;
            }
            Err(error) => break error,
        }
    };
    ensure_end(&end_in(error)?, ClosedBy::Local, CloseCause::Application(0), "")?;
    let error = fails("to receive more", pair.to_bob.recv()).await?;
    ensure_end(&end_in(error)?, ClosedBy::Local, CloseCause::Application(0), "")
}

pub(super) async fn closing_again_changes_nothing<W: World>(world: &W) -> Outcome {
    let pair = Pair::new(world).await?;
    let clone = pair.to_bob.clone();
    step("to send", pair.to_bob.send("last".into())).await?;
    let first = async { done("to close", pair.to_bob.close(1, "first")).await };
    let second = async { done("to close at the same time", clone.close(2, "second")).await };
    both(first, second).await?;
    done("to close once more", pair.to_bob.close(3, "third")).await?;
    let local = done("Alice to see the end", pair.to_bob.closed()).await?;
    ensure_end(&local, ClosedBy::Local, CloseCause::Application(1), "first")?;
    let last = step("to receive", pair.to_alice.recv()).await?;
    ensure!(last == "last", "{last:?} came instead of what was sent before the close");
    let end = done("Bob to see the end", pair.to_alice.closed()).await?;
    ensure_end(&end, ClosedBy::Peer, CloseCause::Application(1), "first")?;
    // The other side's close comes too late to change anything.
    done("Bob to close", pair.to_alice.close(4, "fourth")).await?;
    let again = done("Bob to see the end", pair.to_alice.closed()).await?;
    ensure!(again == end, "it was {end}, and then {again}");
    let again = done("Alice to see the end", pair.to_bob.closed()).await?;
    ensure!(again == local, "it was {local}, and then {again}");
    Ok(())
}

/// Starts to close, and waits until that shows; gives how many messages it still took before.
async fn begin_to_close<C: P2PConnection>(
    connection: &C,
    code: u32,
    sent: u32,
) -> Outcome<(Task<()>, u32)> {
    let closing = spawn({
        let connection = connection.clone();
        async move {
            connection.close(code, "").await;
            Ok(())
        }
    });
    let mut sent = sent;
    // Whoever does not know goes on to send.
    while done("to send", connection.send(numbered(0, sent))).await?.is_ok() {
        sent += 1;
        tokio::task::yield_now().await;
    }
    Ok((closing, sent))
}

pub(super) async fn who_sends_during_a_close_cuts_nothing_off<W: World>(world: &W) -> Outcome {
    let pair = Pair::new(world).await?;
    let mut sent = 0;
    while pair.to_bob.try_send(Priority::Normal, numbered(0, sent)).is_ok() {
        sent += 1;
    }
    let (closing, sent) = begin_to_close(&pair.to_bob, 7, sent).await?;
    for number in 0..sent {
        let got = step("to receive what was taken", pair.to_alice.recv()).await?;
        ensure!(number_of(&got)? == (0, number), "{got:?} came instead of {number} of {sent}");
    }
    let end = done("Bob to see the end", pair.to_alice.closed()).await?;
    ensure_end(&end, ClosedBy::Peer, CloseCause::Application(7), "")?;
    closing.end("to close").await
}

pub(super) async fn the_first_of_two_closes_counts<W: World>(world: &W) -> Outcome {
    // Whoever waits for what does not come waits longer than a step may take.
    let mut timers = world.timers();
    timers.close_timeout = STEP * 2;
    let pair = Pair::with(world, timers.clone(), timers).await?;
    let (first, _) = begin_to_close(&pair.to_bob, 1, 0).await?;
    let second = spawn({
        let connection = pair.to_bob.clone();
        async move {
            connection.close(2, "").await;
            Ok(())
        }
    });
    let end = done("Bob to see the end", async {
        while pair.to_alice.recv().await.is_ok() {}
        pair.to_alice.closed().await
    });
    ensure_end(&end.await?, ClosedBy::Peer, CloseCause::Application(1), "")?;
    first.end("to close").await?;
    second.end("to close as well").await
}

pub(super) async fn both_sides_may_close_at_once<W: World>(world: &W) -> Outcome {
    let pair = Pair::new(world).await?;
    let alice = async { done("Alice to close", pair.to_bob.close(1, "Alice")).await };
    let bob = async { done("Bob to close", pair.to_alice.close(2, "Bob")).await };
    both(alice, bob).await?;
    let by_alice = CloseCause::Application(1);
    let by_bob = CloseCause::Application(2);
    for (connection, own, other) in
        [(&pair.to_bob, by_alice, by_bob), (&pair.to_alice, by_bob, by_alice)]
    {
        let end = done("to see the end", connection.closed()).await?;
        let fits = match end.by {
            ClosedBy::Local => end.cause == own,
            ClosedBy::Peer => end.cause == other,
            ClosedBy::Network => false,
        };
        ensure!(fits, "it ended so: {end}");
    }
    Ok(())
}

pub(super) async fn every_observer_sees_the_end<W: World>(world: &W) -> Outcome {
    let pair = Pair::new(world).await?;
    let observe = |connection: &ConnectionOf<W>| {
        let connection = connection.clone();
        spawn(async move { done("to see the end", connection.closed()).await })
    };
    let (alices, bobs): (Vec<_>, Vec<_>) =
        (0..3).map(|_| (observe(&pair.to_bob), observe(&pair.to_alice))).unzip();
    pair.talk("while they wait").await?;
    ensure!(
        alices.iter().chain(&bobs).all(|task| !task.is_over()),
        "it ended before it was closed"
    );
    done("to close", pair.to_alice.close(9, "over")).await?;
    for task in alices {
        let end = task.end("an observer at Alice's").await?;
        ensure_end(&end, ClosedBy::Peer, CloseCause::Application(9), "over")?;
    }
    for task in bobs {
        let end = task.end("an observer at Bob's").await?;
        ensure_end(&end, ClosedBy::Local, CloseCause::Application(9), "over")?;
    }
    let late = done("to see the end, late", pair.to_bob.clone().closed()).await?;
    ensure_end(&late, ClosedBy::Peer, CloseCause::Application(9), "over")
}

pub(super) async fn long_words_are_cut_at_a_character<W: World>(world: &W) -> Outcome {
    let pair = Pair::new(world).await?;
    // Three bytes a character, so that the bound of 256 falls into one.
    let words = "✓".repeat(500);
    done("to close", pair.to_bob.close(1, &words)).await?;
    let cut = "✓".repeat(CloseReason::MAX_MESSAGE / 3);
    for (connection, by) in [(&pair.to_bob, ClosedBy::Local), (&pair.to_alice, ClosedBy::Peer)] {
        let end = done("to see the end", connection.closed()).await?;
        ensure_end(&end, by, CloseCause::Application(1), &cut)?;
    }
    Ok(())
}

pub(super) async fn nothing_goes_over_a_closed_connection<W: World>(world: &W) -> Outcome {
    let pair = Pair::new(world).await?;
    done("to close", pair.to_bob.close(5, "closed")).await?;
    done("Bob to see the end", pair.to_alice.closed()).await?;
    for (connection, by) in [(&pair.to_bob, ClosedBy::Local), (&pair.to_alice, ClosedBy::Peer)] {
        ensure!(!connection.is_connected(), "still connected");
        let datagram = async { connection.send_datagram("x".into()) };
        let errors = [
            fails("to send", connection.send("x".into())).await?,
            fails("to send nothing", connection.send(Bytes::new())).await?,
            fails("to receive", connection.recv()).await?,
            fails("to open a stream", connection.open_stream()).await?,
            fails("to accept a stream", connection.accept_stream()).await?,
            fails("to send a datagram", datagram).await?,
            fails("to receive a datagram", connection.recv_datagram()).await?,
        ];
        for error in errors {
            ensure_end(&end_in(error)?, by, CloseCause::Application(5), "closed")?;
        }
    }
    Ok(())
}

/// One of each kind of waiting on a connection, and on a stream that it opened.
fn waiters<W: World>(
    connection: &ConnectionOf<W>,
    mut send: SendStreamOf<W>,
    mut recv: RecvStreamOf<W>,
) -> [Task<P2PError>; 6] {
    let [c1, c2, c3, c4] = [(); 4].map(|()| connection.clone());
    [
        spawn(async move { fails("to receive", c1.recv()).await }),
        spawn(async move { fails("to accept a stream", c2.accept_stream()).await }),
        spawn(async move { fails("to open one too many", c3.open_stream()).await }),
        spawn(async move { fails("to receive a datagram", c4.recv_datagram()).await }),
        spawn(async move { Ok(fails("to read", recv.read_chunk(10)).await?.into()) }),
        spawn(async move { Ok(write_error(&mut send).await?.into()) }),
    ]
}

pub(super) async fn whoever_waits_is_told<W: World>(world: &W) -> Outcome {
    let timers = world.timers().with_max_streams(2);
    let pair = Pair::with(world, timers.clone(), timers).await?;
    let (one, other) = pair.meet_again().await?;
    // As many streams as may be open, both ways.
    let (to_bob, to_alice) = (&pair.to_bob, &pair.to_alice);
    let mut open = Vec::new();
    for (opener, acceptor) in
        [(to_bob, to_alice), (to_bob, to_alice), (to_alice, to_bob), (to_alice, to_bob)]
    {
        open.push(stream::<W>(opener, acceptor).await?);
    }
    let (bobs, alices) = (open.swap_remove(2), open.swap_remove(0));
    let alices = (waiters::<W>(to_bob, alices.send, alices.recv), (alices.reply, alices.arrive));
    let bobs = (waiters::<W>(to_alice, bobs.send, bobs.recv), (bobs.reply, bobs.arrive));
    talk(&one, &other, "while they wait").await?;
    ensure!(alices.0.iter().chain(&bobs.0).all(|task| !task.is_over()), "somebody did not wait");
    done("Bob to close", to_alice.close(6, "go")).await?;
    for (tasks, by) in [(alices.0, ClosedBy::Peer), (bobs.0, ClosedBy::Local)] {
        for task in tasks {
            let error = task.end("somebody who waits").await?;
            ensure_end(&end_in(error)?, by, CloseCause::Application(6), "go")?;
        }
    }
    Ok(())
}

pub(super) async fn a_close_waits_no_longer_than_its_timeout<W: World>(world: &W) -> Outcome {
    let bound = Duration::from_millis(500);
    let timers = world.timers().with_close_timeout(bound);
    let pair = Pair::with(world, timers.clone(), timers).await?;
    let (one, other) = pair.meet_again().await?;
    // More than the peer's transport takes, with nobody receiving: it cannot all be delivered.
    let flood = Flood::of_messages(&pair.to_bob).stalls(&one, &other).await?;
    let start = Instant::now();
    done("to close", pair.to_bob.close(8, "now")).await?;
    let took = start.elapsed();
    ensure!(took <= bound + MARGIN, "the close took {took:?} instead of {bound:?}");
    let end = done("Bob to see the end", pair.to_alice.closed()).await?;
    ensure_end(&end, ClosedBy::Peer, CloseCause::Application(8), "now")?;
    flood.fails_to_send().await
}

pub(super) async fn the_last_handle_dropped_is_seen<W: World>(world: &W) -> Outcome {
    let Pair { alice, bob, listener, to_bob, to_alice } = Pair::new(world).await?;
    let waiting = spawn({
        let to_alice = to_alice.clone();
        async move { fails("to receive", to_alice.recv()).await }
    });
    drop(to_bob);
    let end = done("Bob to see the end", to_alice.closed()).await?;
    ensure_end(&end, ClosedBy::Peer, CloseCause::Dropped, "")?;
    ensure!(end.is_retryable(), "Alice may come back");
    let error = waiting.end("Bob's recv").await?;
    ensure_end(&end_in(error)?, ClosedBy::Peer, CloseCause::Dropped, "")?;
    // The same from the side that accepted; and the endpoints live on.
    let (to_bob, to_alice) = meet(&alice, &listener, dialling()?).await?;
    drop(to_alice);
    let end = done("Alice to see the end", to_bob.closed()).await?;
    ensure_end(&end, ClosedBy::Peer, CloseCause::Dropped, "")?;
    drop((alice, bob));
    Ok(())
}

pub(super) async fn one_handle_of_several_dropped_is_not<W: World>(world: &W) -> Outcome {
    let pair = Pair::new(world).await?;
    drop(pair.to_bob.clone());
    let clone = pair.to_alice.clone();
    let Pair { alice: _alice, bob: _bob, listener: _listener, to_bob, to_alice } = pair;
    drop(to_alice);
    talk(&to_bob, &clone, "over the handles that are left").await
}

pub(super) async fn streams_do_not_keep_a_connection_open<W: World>(world: &W) -> Outcome {
    let pair = Pair::new(world).await?;
    let Stream { mut send, mut recv, mut reply, mut arrive } = pair.stream().await?;
    step("to write", send.write_all("before".into())).await?;
    let Pair { alice: _alice, bob: _bob, listener: _listener, to_bob, to_alice } = pair;
    drop(to_bob);
    let end = done("Bob to see the end", to_alice.closed()).await?;
    ensure_end(&end, ClosedBy::Peer, CloseCause::Dropped, "")?;
    let error = fails("Alice to read", recv.read_chunk(10)).await?;
    ensure!(matches!(error, StreamError::Closed(_)), "Alice's read says {error:?}");
    let error = fails("Alice to write", send.write_all(pattern(1, 100))).await?;
    ensure!(matches!(error, StreamError::Closed(_)), "Alice's write says {error:?}");
    let _ = send.finish();
    let error = fails("Bob to have it all", send.finished()).await?;
    ensure!(matches!(error, StreamError::Closed(_)), "finished says {error:?}");
    // What had arrived may still be read; an end that looks complete may not.
    let error = loop {
        match done("Bob to read", arrive.read_chunk(10)).await? {
            Ok(Some(_)) => {}
            Ok(None) => ensure!(false, "the stream looks complete"),
            Err(error) => break error,
        }
    };
    ensure!(matches!(error, StreamError::Closed(_)), "Bob's read says {error:?}");
    let error = fails("Bob to write", reply.write_all(pattern(1, 100))).await?;
    ensure!(matches!(error, StreamError::Closed(_)), "Bob's write says {error:?}");
    Ok(())
}
