//! Streams: opening, accepting, and what they carry.

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::task::{Poll, ready};

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::step::{
    ConnectionOf, Pair, Stream, both, ensure, give_up_after, pattern, spawn, step, stream,
};
use super::{Outcome, World};
use crate::provider::P2PConnection;
use crate::stream::{RecvStream, SendStream, StreamIo};

/// Writes it all and says that nothing follows.
pub(super) async fn write_and_finish(stream: &mut impl SendStream, data: Bytes) -> Outcome {
    step("to write", stream.write_all(data)).await?;
    step("to finish", async { stream.finish() }).await
}

/// That this comes, and then a clean end.
pub(super) async fn reads(stream: &mut impl RecvStream, expected: &Bytes) -> Outcome {
    let got = step("to read to the end", stream.read_to_end(expected.len())).await?;
    let (sent, came) = (expected.len(), got.len());
    ensure!(got == *expected, "{sent} bytes were written, other {came} were read");
    Ok(())
}

pub(super) async fn a_stream_is_seen_before_anything_is_written<W: World>(world: &W) -> Outcome {
    let pair = Pair::new(world).await?;
    let Stream { mut send, mut recv, mut reply, mut arrive } = pair.stream().await?;
    // Nor does the acceptor have to wait for the opener before it writes.
    write_and_finish(&mut reply, "welcome".into()).await?;
    reads(&mut recv, &"welcome".into()).await?;
    write_and_finish(&mut send, "thanks".into()).await?;
    reads(&mut arrive, &"thanks".into()).await
}

pub(super) async fn streams_are_accepted_in_the_order_of_opening<W: World>(world: &W) -> Outcome {
    let pair = Pair::new(world).await?;
    let mut opened = Vec::new();
    for _ in 0..50 {
        opened.push(step("to open", pair.to_bob.open_stream()).await?);
    }
    // Written to in another order.
    for (number, (send, _)) in opened.iter_mut().enumerate().rev() {
        write_and_finish(send, pattern(number as u64, 100)).await?;
    }
    for number in 0..opened.len() {
        let (_reply, mut arrive) = step("to accept", pair.to_alice.accept_stream()).await?;
        reads(&mut arrive, &pattern(number as u64, 100)).await?;
    }
    Ok(())
}

pub(super) async fn both_sides_open_streams<W: World>(world: &W) -> Outcome {
    let pair = Pair::new(world).await?;
    let (mut by_alice, mut by_bob) =
        both(stream::<W>(&pair.to_bob, &pair.to_alice), stream::<W>(&pair.to_alice, &pair.to_bob))
            .await?;
    write_and_finish(&mut by_alice.send, "Alice's".into()).await?;
    write_and_finish(&mut by_bob.send, "Bob's".into()).await?;
    reads(&mut by_bob.arrive, &"Bob's".into()).await?;
    reads(&mut by_alice.arrive, &"Alice's".into()).await
}

pub(super) async fn both_directions_carry_data<W: World>(world: &W) -> Outcome {
    let pair = Pair::new(world).await?;
    let Stream { mut send, mut recv, mut reply, mut arrive } = pair.stream().await?;
    // One direction ended, the other goes on: a question and its answer.
    write_and_finish(&mut send, "question".into()).await?;
    reads(&mut arrive, &"question".into()).await?;
    let answer = pattern(1, 300_000);
    both(write_and_finish(&mut reply, answer.clone()), reads(&mut recv, &answer)).await?;
    Ok(())
}

/// A question and an answer over a stream of its own.
async fn exchange<W: World>(pair: &Pair<W>, number: u64) -> Outcome {
    let Stream { mut send, mut recv, mut reply, mut arrive } = pair.stream().await?;
    let (question, answer) = (pattern(number, 30), pattern(number + 1, 50));
    write_and_finish(&mut send, question.clone()).await?;
    reads(&mut arrive, &question).await?;
    write_and_finish(&mut reply, answer.clone()).await?;
    reads(&mut recv, &answer).await
}

pub(super) async fn hundreds_of_streams_follow_each_other<W: World>(world: &W) -> Outcome {
    // Many times more than may be open at once: each leaves its place to the next.
    let timers = world.timers().with_max_streams(16);
    let pair = Pair::with(world, timers.clone(), timers).await?;
    for number in 0..400 {
        exchange(&pair, number).await?;
    }
    pair.talk("after all of them").await
}

pub(super) async fn one_stream_too_many_waits_until_others_end<W: World>(world: &W) -> Outcome {
    const MAX: usize = 8;
    let timers = world.timers().with_max_streams(MAX as u32);
    let pair = Pair::with(world, timers.clone(), timers).await?;
    let mut streams = Vec::new();
    for _ in 0..MAX {
        streams.push(pair.stream().await?);
    }
    let early = give_up_after(3, pair.to_bob.open_stream()).await;
    ensure!(early.is_none(), "one more than {MAX} could be opened");
    let waiting = spawn({
        let to_bob: ConnectionOf<W> = pair.to_bob.clone();
        async move { step("to open one more", to_bob.open_stream()).await }
    });
    pair.talk("while it waits").await?;
    ensure!(!waiting.is_over(), "one more than {MAX} could be opened");
    // The other side has its own places.
    exchange_back(&pair).await?;
    // An eighth may have ended before the peer says that there is room again.
    for mut ended in streams.drain(3..=3 + MAX / 8) {
        write_and_finish(&mut ended.send, "done".into()).await?;
        reads(&mut ended.arrive, &"done".into()).await?;
        write_and_finish(&mut ended.reply, "done".into()).await?;
        reads(&mut ended.recv, &"done".into()).await?;
    }
    let (mut send, _recv) = waiting.end("to open in the free place").await?;
    let (_reply, mut arrive) = step("to accept", pair.to_alice.accept_stream()).await?;
    write_and_finish(&mut send, "last".into()).await?;
    reads(&mut arrive, &"last".into()).await
}

/// A stream that Bob opens.
async fn exchange_back<W: World>(pair: &Pair<W>) -> Outcome {
    let mut stream = stream::<W>(&pair.to_alice, &pair.to_bob).await?;
    write_and_finish(&mut stream.send, "back".into()).await?;
    reads(&mut stream.arrive, &"back".into()).await
}

pub(super) async fn libraries_read_and_write_streams_by_tokios_traits<W: World>(
    world: &W,
) -> Outcome {
    let pair = Pair::new(world).await?;
    let Stream { send, recv, reply, arrive } = pair.stream().await?;
    let (mut near, mut far) = (StreamIo::new(send, recv), StreamIo::new(reply, arrive));
    // Several windows' worth, so that writing waits for reading.
    let sent = pattern(1, 3_000_017);
    let came = both(
        step("to write it all and to shut down", write_to(&mut near, &sent)),
        step("to read to the end", read_from(&mut far)),
    );
    let ((), came) = came.await?;
    ensure!(came == sent, "{} bytes were written, other {} were read", sent.len(), came.len());
    // One direction is shut down, the other is not.
    step("to answer", write_to(&mut far, b"answer")).await?;
    let answer = step("to read the answer", read_from(&mut near)).await?;
    ensure!(answer == b"answer"[..], "the answer came as {answer:?}");
    step("to shut down again", poll_fn(|cx| Pin::new(&mut far).poll_shutdown(cx))).await
}

async fn write_to(stream: &mut (impl AsyncWrite + Unpin), mut data: &[u8]) -> io::Result<()> {
    poll_fn(|cx| {
        while !data.is_empty() {
            let written = ready!(Pin::new(&mut *stream).poll_write(cx, data))?;
            data = &data[written..];
        }
        ready!(Pin::new(&mut *stream).poll_flush(cx))?;
        Pin::new(&mut *stream).poll_shutdown(cx)
    })
    .await
}

async fn read_from(stream: &mut (impl AsyncRead + Unpin)) -> io::Result<Vec<u8>> {
    let (mut whole, mut space) = (Vec::new(), [0; 10_000]);
    poll_fn(|cx| {
        loop {
            let mut buffer = ReadBuf::new(&mut space);
            ready!(Pin::new(&mut *stream).poll_read(cx, &mut buffer))?;
            if buffer.filled().is_empty() {
                return Poll::Ready(Ok(()));
            }
            whole.extend_from_slice(buffer.filled());
        }
    })
    .await
    .map(|()| whole)
}

pub(super) async fn large_data_arrives_whole<W: World>(world: &W) -> Outcome {
    let pair = Pair::new(world).await?;
    let Stream { mut send, mut recv, mut reply, mut arrive } = pair.stream().await?;
    // Several windows' worth, and no multiple of anything.
    let (there, back) = (pattern(1, 4_000_003), pattern(2, 4_000_003));
    let writing = both(
        write_and_finish(&mut send, there.clone()),
        write_and_finish(&mut reply, back.clone()),
    );
    let reading = both(reads(&mut arrive, &there), reads(&mut recv, &back));
    both(writing, reading).await?;
    Ok(())
}

pub(super) async fn chunks_keep_to_their_bound<W: World>(world: &W) -> Outcome {
    let pair = Pair::new(world).await?;
    let Stream { mut send, recv: _recv, reply: _reply, mut arrive } = pair.stream().await?;
    let data = pattern(1, 20_000);
    // Writing nothing is nothing.
    step("to write nothing", send.write(&mut Bytes::new())).await?;
    write_and_finish(&mut send, data.clone()).await?;
    let mut rest = data;
    for max in [0, 1, 2, 7, 1000, 0, 100_000].into_iter().cycle() {
        match step("to read", arrive.read_chunk(max)).await? {
            Some(chunk) => {
                let (size, bound) = (chunk.len(), max.max(1));
                ensure!(
                    (1..=bound).contains(&size),
                    "a chunk of {size}, where {max} were asked for"
                );
                ensure!(size <= rest.len(), "more was read than was written");
                ensure!(chunk == rest.split_to(size), "something else was read");
            }
            None => break,
        }
    }
    ensure!(rest.is_empty(), "{} bytes are missing", rest.len());
    Ok(())
}

pub(super) async fn streams_and_messages_share_a_connection<W: World>(world: &W) -> Outcome {
    let pair = Pair::new(world).await?;
    let Stream { mut send, recv: _recv, reply: _reply, mut arrive } = pair.stream().await?;
    let data = pattern(1, 1_000_003);
    let talking = async {
        for number in 0..100 {
            pair.talk(&format!("line {number}")).await?;
        }
        Ok(())
    };
    let carrying = both(write_and_finish(&mut send, data.clone()), reads(&mut arrive, &data));
    both(talking, carrying).await?;
    Ok(())
}

pub(super) async fn priorities_are_only_a_hint<W: World>(world: &W) -> Outcome {
    let pair = Pair::new(world).await?;
    let mut streams = Vec::new();
    for priority in [i32::MIN, -1, 0, 1, i32::MAX] {
        let mut stream = pair.stream().await?;
        stream.send.set_priority(priority);
        step("to write", stream.send.write_all(pattern(1, 10_000))).await?;
        stream.send.set_priority(-priority.max(-i32::MAX));
        step("to finish", async { stream.send.finish() }).await?;
        streams.push(stream);
    }
    for stream in &mut streams {
        reads(&mut stream.arrive, &pattern(1, 10_000)).await?;
    }
    Ok(())
}
