//! Sends and receives may be given up: nothing is lost but what was given up, and nothing is halved.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};
use tokio::sync::Semaphore;

use super::backpressure::Flood;
use super::step::{
    ConnectionOf, MOMENTS, Pair, Stream, both, done, ensure, give_up_after, number_of, numbered,
    pattern, spawn, step,
};
use super::streams::{reads, write_and_finish};
use super::{Failure, Outcome, World};
use crate::provider::P2PConnection;
use crate::stream::{RecvStream, SendStream};

/// A large message with its number in it.
pub(super) fn large(number: u32) -> Bytes {
    const SIZE: usize = 200_003;
    let mut message = BytesMut::with_capacity(SIZE);
    message.put_u32(number);
    message.extend_from_slice(&pattern(number.into(), SIZE - 4));
    message.freeze()
}

pub(super) async fn send_given_up_is_whole_or_nothing<W: World>(world: &W) -> Outcome {
    const GIVEN_UP: usize = 24;
    const MOST: u32 = 200;
    let pair = Pair::new(world).await?;
    let begin = Arc::new(Semaphore::new(0));
    let receiving = spawn({
        let (begin, to_alice) = (begin.clone(), pair.to_alice.clone());
        async move {
            let (mut came, mut next) = (BTreeSet::new(), 0);
            step("to begin", begin.acquire()).await?.forget();
            loop {
                let message = step("to receive", to_alice.recv()).await?;
                if message.is_empty() {
                    return Ok(came);
                }
                ensure!(message.len() > 4, "a part of a message came");
                let number = u32::from_be_bytes([message[0], message[1], message[2], message[3]]);
                ensure!(message == large(number), "message {number} is not what it was");
                ensure!(number >= next, "message {number} came after {}", next - 1);
                next = number + 1;
                came.insert(number);
            }
        }
    });
    // With nobody receiving, sends soon have to wait, and are given up in the middle; then
    // somebody receives, and some are given up at other places.
    let (mut sent, mut given_up, mut number) = (BTreeSet::new(), 0, 0);
    for &polls in MOMENTS.iter().cycle() {
        ensure!(number < MOST, "{MOST} messages went, unread: no limit");
        if given_up == GIVEN_UP {
            break;
        }
        if given_up == GIVEN_UP / 2 {
            begin.add_permits(1);
        }
        match give_up_after(polls, pair.to_bob.send(large(number))).await {
            Some(outcome) => {
                step("to send", async { outcome }).await?;
                sent.insert(number);
            }
            None => given_up += 1,
        }
        number += 1;
        if given_up >= GIVEN_UP / 2 && number > MOST / 2 {
            // A network so fast that nobody has to wait any more.
            break;
        }
    }
    step("to send the end", pair.to_bob.send(Bytes::new())).await?;
    let came = receiving.end("to receive").await?;
    let lost: Vec<_> = sent.difference(&came).collect();
    ensure!(lost.is_empty(), "these were sent, not given up, and lost: {lost:?}");
    pair.talk("after all of them").await
}

pub(super) async fn send_given_up_in_the_queue_lets_others_pass<W: World>(world: &W) -> Outcome {
    let pair = Pair::new(world).await?;
    let (one, other) = pair.meet_again().await?;
    let flood = Flood::of_messages(&pair.to_bob).stalls(&one, &other).await?;
    for &polls in &MOMENTS {
        // They wait behind the flood's message.
        let early = give_up_after(polls, pair.to_bob.send("given up".into())).await;
        ensure!(early.is_none(), "it overtook what was sent before");
    }
    let waiting = spawn({
        let to_bob = pair.to_bob.clone();
        async move { step("to send", to_bob.send("kept".into())).await }
    });
    flood.stop();
    let (mut kept, mut end) = (false, false);
    while !(kept && end) {
        let message = step("to receive", pair.to_alice.recv()).await?;
        match &message[..] {
            b"kept" => {
                ensure!(!kept, "one message came twice");
                kept = true;
            }
            // Nothing else is allowed to be lost, but this may have been sent.
            b"given up" => {}
            b"" => end = true,
            piece => ensure!(piece.len() > 1000, "a part of a message came: {message:?}"),
        }
    }
    waiting.end("to send").await?;
    pair.talk("after the flood").await
}

pub(super) async fn recv_given_up_loses_nothing<W: World>(world: &W) -> Outcome {
    const MESSAGES: u32 = 300;
    let pair = Pair::new(world).await?;
    let sending = async {
        for number in 0..MESSAGES {
            let mut message = numbered(0, number).to_vec();
            // Some are so large that they come in several chunks.
            message.resize(8 + (number as usize % 7) * 15_000, 0);
            step("to send", pair.to_bob.send(message.into())).await?;
        }
        Ok(())
    };
    let receiving = async {
        let mut moments = MOMENTS.iter().cycle();
        let mut expected = 0;
        while expected < MESSAGES {
            let polls = moments.next().copied().unwrap_or(1);
            let Some(message) = give_up_after(polls, pair.to_alice.recv()).await else {
                tokio::time::sleep(Duration::from_millis(1)).await;
                continue;
            };
            let message = step("to receive", async { message }).await?;
            let size = 8 + (expected as usize % 7) * 15_000;
            ensure!(message.len() == size, "{} bytes came instead of {size}", message.len());
            let (_, number) = number_of(&message.slice(..8))?;
            ensure!(number == expected, "message {number} came instead of {expected}");
            expected += 1;
        }
        Ok::<_, Failure>(())
    };
    both(sending, step("to receive all, with pauses", receiving)).await?;
    pair.talk("after all of them").await
}

pub(super) async fn open_stream_given_up_takes_no_place<W: World>(world: &W) -> Outcome {
    const MAX: u32 = 4;
    let timers = world.timers().with_max_streams(MAX);
    let pair = Pair::with(world, timers.clone(), timers).await?;
    // Bob reads what each stream says and answers; those given up say nothing.
    let answering = spawn({
        let to_alice: ConnectionOf<W> = pair.to_alice.clone();
        async move {
            loop {
                let (mut reply, mut arrive) = step("to accept", to_alice.accept_stream()).await?;
                match done("to read", arrive.read_to_end(100)).await? {
                    Ok(said) if said == "the end" => return Ok(()),
                    Ok(said) => write_and_finish(&mut reply, said).await?,
                    Err(_) => {}
                }
            }
        }
    });
    for round in 0..2u64 {
        for &polls in MOMENTS.iter().cycle().take(3 * MAX as usize) {
            drop(give_up_after(polls, pair.to_bob.open_stream()).await);
        }
        // All places are free again, for as many streams at once as before.
        let mut streams = Vec::new();
        for _ in 0..MAX {
            streams.push(step("to open", pair.to_bob.open_stream()).await?);
        }
        for &polls in &MOMENTS {
            let early = give_up_after(polls, pair.to_bob.open_stream()).await;
            ensure!(early.is_none(), "one more than {MAX} could be opened");
        }
        for (number, (mut send, mut recv)) in streams.into_iter().enumerate() {
            let question = pattern(round * 100 + number as u64, 50);
            write_and_finish(&mut send, question.clone()).await?;
            reads(&mut recv, &question).await?;
        }
    }
    let (mut send, _recv) = step("to open", pair.to_bob.open_stream()).await?;
    write_and_finish(&mut send, "the end".into()).await?;
    answering.end("Bob, who answers").await
}

pub(super) async fn accept_stream_given_up_loses_no_stream<W: World>(world: &W) -> Outcome {
    const STREAMS: u64 = 40;
    let pair = Pair::new(world).await?;
    let opening = async {
        for number in 0..STREAMS {
            let (mut send, recv) = step("to open", pair.to_bob.open_stream()).await?;
            write_and_finish(&mut send, pattern(number, 20)).await?;
            drop(recv);
        }
        Ok(())
    };
    let accepting = async {
        let mut moments = MOMENTS.iter().cycle();
        let mut expected = 0;
        while expected < STREAMS {
            let polls = moments.next().copied().unwrap_or(1);
            match give_up_after(polls, pair.to_alice.accept_stream()).await {
                Some(accepted) => {
                    let (_, mut arrive) = step("to accept", async { accepted }).await?;
                    reads(&mut arrive, &pattern(expected, 20)).await?;
                    expected += 1;
                }
                None => tokio::time::sleep(Duration::from_millis(1)).await,
            }
        }
        Ok::<_, Failure>(())
    };
    both(opening, step("to accept all, with pauses", accepting)).await?;
    Ok(())
}

pub(super) async fn write_given_up_wrote_nothing<W: World>(world: &W) -> Outcome {
    const GIVEN_UP: u32 = 24;
    let pair = Pair::new(world).await?;
    let Stream { mut send, recv: _recv, reply: _reply, mut arrive } = pair.stream().await?;
    let begin = Arc::new(Semaphore::new(0));
    let all = pattern(1, 16 << 20);
    let reading = spawn({
        let begin = begin.clone();
        async move {
            step("to begin", begin.acquire()).await?.forget();
            step("to read to the end", arrive.read_to_end(usize::MAX)).await
        }
    });
    let (mut rest, mut given_up) = (all.clone(), 0);
    for &polls in MOMENTS.iter().cycle() {
        if given_up == GIVEN_UP {
            break;
        }
        if given_up == GIVEN_UP / 2 {
            begin.add_permits(1);
        }
        ensure!(!rest.is_empty(), "{} bytes went, unread: no limit", all.len());
        let before = rest.len();
        match give_up_after(polls, send.write(&mut rest)).await {
            Some(outcome) => {
                step("to write", async { outcome }).await?;
                ensure!(rest.len() < before, "a write that wrote nothing");
            }
            None => {
                ensure!(rest.len() == before, "given up, it took {}", before - rest.len());
                given_up += 1;
            }
        }
        if given_up > GIVEN_UP / 2 && all.len() - rest.len() > 8 << 20 {
            // A network so fast that nobody has to wait any more.
            break;
        }
    }
    begin.add_permits(1);
    step("to finish", async { send.finish() }).await?;
    let written = all.slice(..all.len() - rest.len());
    let read = reading.end("to read").await?;
    let (sent, came) = (written.len(), read.len());
    ensure!(read == written, "{sent} bytes were written, other {came} were read");
    Ok(())
}

pub(super) async fn read_given_up_loses_nothing<W: World>(world: &W) -> Outcome {
    let pair = Pair::new(world).await?;
    let Stream { mut send, recv: _recv, reply: _reply, mut arrive } = pair.stream().await?;
    let all = pattern(1, 500_003);
    let writing = async {
        let mut rest = all.clone();
        while !rest.is_empty() {
            let piece = rest.split_to(rest.len().min(20_011));
            step("to write", send.write_all(piece)).await?;
            tokio::task::yield_now().await;
        }
        step("to finish", async { send.finish() }).await
    };
    let reading = async {
        let (mut moments, mut whole) = (MOMENTS.iter().cycle(), BytesMut::new());
        loop {
            let polls = moments.next().copied().unwrap_or(1);
            match give_up_after(polls, arrive.read_chunk(10_007)).await {
                Some(chunk) => match step("to read", async { chunk }).await? {
                    Some(chunk) => whole.extend_from_slice(&chunk),
                    None => break,
                },
                None => tokio::time::sleep(Duration::from_millis(1)).await,
            }
        }
        ensure!(whole == all, "{} bytes were written, other {} came", all.len(), whole.len());
        Ok::<_, Failure>(())
    };
    both(writing, step("to read all, with pauses", reading)).await?;
    Ok(())
}

pub(super) async fn finished_given_up_can_be_asked_again<W: World>(world: &W) -> Outcome {
    let pair = Pair::new(world).await?;
    for &polls in &MOMENTS {
        let mut stream = pair.stream().await?;
        write_and_finish(&mut stream.send, pattern(1, 1000)).await?;
        drop(give_up_after(polls, stream.send.finished()).await);
        step("the peer to have it", stream.send.finished()).await?;
        reads(&mut stream.arrive, &pattern(1, 1000)).await?;
    }
    Ok(())
}

pub(super) async fn recv_datagram_given_up_loses_nothing<W: World>(world: &W) -> Outcome {
    const DATAGRAMS: u32 = 60;
    let pair = Pair::new(world).await?;
    let mut seen = BTreeSet::new();
    let mut moments = MOMENTS.iter().cycle();
    for number in 0..DATAGRAMS {
        let datagram = numbered(0, number);
        step("to send", async { pair.to_bob.send_datagram(datagram) }).await?;
        let polls = moments.next().copied().unwrap_or(1);
        if let Some(got) = give_up_after(polls, pair.to_alice.recv_datagram()).await {
            let (_, got) = number_of(&step("to receive", async { got }).await?)?;
            ensure!(seen.insert(got), "datagram {got} came twice");
        }
    }
    // The network itself may lose some, or all at once, but not most of them one by one.
    let rest = pair.to_alice.recv_datagram();
    let mut next = Some(rest);
    while let Some(rest) = next.take() {
        if let Ok(got) = tokio::time::timeout(Duration::from_millis(500), rest).await {
            let (_, got) = number_of(&step("to receive", async { got }).await?)?;
            ensure!(seen.insert(got), "datagram {got} came twice");
            next = Some(pair.to_alice.recv_datagram());
        }
    }
    let came = seen.len();
    ensure!(came > DATAGRAMS as usize / 2, "of {DATAGRAMS} datagrams, {came} came");
    Ok(())
}
