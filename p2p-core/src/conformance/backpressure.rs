//! Whoever is ahead waits, and holds up nobody else.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use bytes::Bytes;

use super::step::{Pair, Stream, Task, both, ensure, let_pass, pattern, spawn, step, talk};
use super::{Failure, Outcome, World};
use crate::provider::P2PConnection;
use crate::stream::{RecvStream, SendStream};

/// What one flood sends at a time.
const PIECE: usize = 64 * 1024;
/// More than any sane window: who gets rid of all this with nobody reading is not held back.
const PIECES: u32 = 512;
/// Round trips without progress after which a flood counts as stalled.
const STALLED: u32 = 30;

/// Somebody who sends until it is told to stop.
pub(super) struct Flood {
    task: Task<()>,
    sent: Arc<AtomicU32>,
    stop: Arc<AtomicBool>,
    size: usize,
}

impl Flood {
    /// Sends messages that nobody receives yet, each of its number's pattern.
    pub(super) fn of_messages<C: P2PConnection>(connection: &C) -> Self {
        Self::of_messages_of(PIECE, connection)
    }

    /// The same with messages of this size.
    fn of_messages_of<C: P2PConnection>(size: usize, connection: &C) -> Self {
        let (sent, stop) = (Arc::new(AtomicU32::new(0)), Arc::new(AtomicBool::new(false)));
        let task = spawn({
            let (sent, stop, connection) = (sent.clone(), stop.clone(), connection.clone());
            async move {
                for number in 0..PIECES {
                    if stop.load(Ordering::Relaxed) {
                        break;
                    }
                    // It waits as long as the check wants it to: no bound of its own.
                    let sent_one = connection.send(pattern(number.into(), size)).await;
                    step("to send", async { sent_one }).await?;
                    sent.fetch_add(1, Ordering::Relaxed);
                }
                step("to send the end", connection.send(Bytes::new())).await
            }
        });
        Self { task, sent, stop, size }
    }

    /// The same on a stream, finished at the end.
    fn of_stream<S: SendStream>(mut stream: S) -> Self {
        let (sent, stop) = (Arc::new(AtomicU32::new(0)), Arc::new(AtomicBool::new(false)));
        let task = spawn({
            let (sent, stop) = (sent.clone(), stop.clone());
            async move {
                for number in 0..PIECES {
                    if stop.load(Ordering::Relaxed) {
                        break;
                    }
                    let written = stream.write_all(pattern(number.into(), PIECE)).await;
                    step("to write", async { written }).await?;
                    sent.fetch_add(1, Ordering::Relaxed);
                }
                step("to finish", async { stream.finish() }).await?;
                let finished = stream.finished().await;
                step("the peer to have it", async { finished }).await
            }
        });
        Self { task, sent, stop, size: PIECE }
    }

    /// Waits, in round trips over another connection, until nothing moves any more.
    pub(super) async fn stalls<C: P2PConnection>(self, one: &C, other: &C) -> Outcome<Self> {
        let (mut last, mut quiet) = (u32::MAX, 0);
        while quiet < STALLED {
            talk(one, other, "while the flood rises").await?;
            let_pass().await;
            let sent = self.sent.load(Ordering::Relaxed);
            if self.task.is_over() {
                self.task.end("the flood").await?;
                return Err(Failure::new(format!("{sent} pieces went, unread: no limit")));
            }
            quiet = if sent == last && sent > 0 { quiet + 1 } else { 0 };
            last = sent;
        }
        Ok(self)
    }

    /// Lets the sender end after the piece that it waits with.
    pub(super) fn stop(&self) {
        self.stop.store(true, Ordering::Relaxed);
    }

    /// Waits until the connection's end has reached the sender.
    pub(super) async fn fails_to_send(self) -> Outcome {
        match self.task.end("the flood").await {
            Ok(()) => Err(Failure::new("what could not be sent counts as sent")),
            Err(_) => Ok(()),
        }
    }

    /// Receives everything that was sent, up to the empty message at the end.
    pub(super) async fn drain<C: P2PConnection>(self, connection: &C) -> Outcome {
        self.stop();
        let mut number = 0;
        loop {
            let got = step("to receive what piled up", connection.recv()).await?;
            if got.is_empty() {
                break;
            }
            ensure!(got == pattern(number, self.size), "piece {number} is not what was sent");
            number += 1;
        }
        let sent = self.sent.load(Ordering::Relaxed);
        ensure!(number == u64::from(sent), "of {sent} messages, {number} arrived");
        self.task.end("the flood").await
    }
}

pub(super) async fn a_sender_waits_for_a_slow_receiver<W: World>(world: &W) -> Outcome {
    let pair = Pair::new(world).await?;
    let (one, other) = pair.meet_again().await?;
    let flood = Flood::of_messages(&pair.to_bob).stalls(&one, &other).await?;
    flood.drain(&pair.to_alice).await?;
    pair.talk("after the flood").await
}

pub(super) async fn the_receive_window_bounds_what_waits<W: World>(world: &W) -> Outcome {
    const WINDOW: usize = 20_000;
    // What a message counts besides its own bytes.
    const OVERHEAD: usize = 64;
    let timers = world.timers().with_receive_window(WINDOW);
    let pair = Pair::with(world, timers.clone(), timers).await?;
    let (one, other) = pair.meet_again().await?;
    for size in [1, 1000, 30_000] {
        let (to_bob, to_alice) = pair.meet_again().await?;
        let flood = Flood::of_messages_of(size, &to_bob).stalls(&one, &other).await?;
        let sent = flood.sent.load(Ordering::Relaxed) as usize;
        // And one message more, so that those larger than the window pass.
        let most = WINDOW / (size + OVERHEAD) + 1;
        ensure!(sent <= most, "{sent} messages of {size} bytes went, unread, not {most}");
        flood.drain(&to_alice).await?;
        talk(&to_bob, &to_alice, "after the flood").await?;
    }
    Ok(())
}

pub(super) async fn a_message_larger_than_the_window_passes<W: World>(world: &W) -> Outcome {
    let timers = world.timers().with_receive_window(1);
    let pair = Pair::with(world, timers.clone(), timers).await?;
    for number in 0..5 {
        let message = pattern(number, 200_000);
        let sending = step("to send", pair.to_bob.send(message.clone()));
        let (_, got) = both(sending, step("to receive", pair.to_alice.recv())).await?;
        ensure!(got == message, "message {number} is not what was sent");
    }
    pair.talk("after all of them").await
}

pub(super) async fn a_full_lane_does_not_hold_up_the_other_way<W: World>(world: &W) -> Outcome {
    let pair = Pair::new(world).await?;
    let (one, other) = pair.meet_again().await?;
    let flood = Flood::of_messages(&pair.to_bob).stalls(&one, &other).await?;
    for number in 0..100 {
        step("to answer", pair.to_alice.send(pattern(number, 2000))).await?;
        let got = step("to receive the answer", pair.to_bob.recv()).await?;
        ensure!(got == pattern(number, 2000), "answer {number} is not what was sent");
    }
    flood.drain(&pair.to_alice).await
}

pub(super) async fn a_full_lane_does_not_hold_up_streams<W: World>(world: &W) -> Outcome {
    let pair = Pair::new(world).await?;
    let (one, other) = pair.meet_again().await?;
    let flood = Flood::of_messages(&pair.to_bob).stalls(&one, &other).await?;
    for number in 0..10 {
        let Stream { mut send, mut recv, mut reply, mut arrive } = pair.stream().await?;
        step("to write", send.write_all(pattern(number, 20_000))).await?;
        step("to finish", async { send.finish() }).await?;
        let got = step("to read", arrive.read_to_end(20_000)).await?;
        ensure!(got == pattern(number, 20_000), "stream {number} carried something else");
        step("to write back", reply.write_all(got)).await?;
        step("to finish", async { reply.finish() }).await?;
        let got = step("to read the reply", recv.read_to_end(20_000)).await?;
        ensure!(got == pattern(number, 20_000), "stream {number} carried something else back");
    }
    flood.drain(&pair.to_alice).await
}

pub(super) async fn a_slow_reader_of_a_stream_stalls_its_writer_only<W: World>(
    world: &W,
) -> Outcome {
    let pair = Pair::new(world).await?;
    let (one, other) = pair.meet_again().await?;
    let Stream { send, recv: _recv, reply: _reply, mut arrive } = pair.stream().await?;
    let flood = Flood::of_stream(send).stalls(&one, &other).await?;
    // Messages go on, and so do other streams.
    pair.talk("beside the stalled stream").await?;
    let mut second = pair.stream().await?;
    step("to write", second.send.write_all(Bytes::from_static(b"beside"))).await?;
    step("to finish", async { second.send.finish() }).await?;
    let got = step("to read", second.arrive.read_to_end(100)).await?;
    ensure!(got == "beside", "{got:?} came on the other stream");
    flood.stop();
    // Everything arrives once it is read, up to the clean end.
    let mut number = 0;
    let mut rest = Bytes::new();
    while let Some(mut chunk) = step("to read what piled up", arrive.read_chunk(PIECE)).await? {
        while !chunk.is_empty() {
            if rest.is_empty() {
                rest = pattern(number, PIECE);
                number += 1;
            }
            let size = rest.len().min(chunk.len());
            ensure!(chunk.split_to(size) == rest.split_to(size), "piece {number} was altered");
        }
    }
    let sent = flood.sent.load(Ordering::Relaxed);
    ensure!(rest.is_empty() && number == u64::from(sent), "of {sent} pieces, {number} arrived");
    flood.task.end("the flood").await
}
