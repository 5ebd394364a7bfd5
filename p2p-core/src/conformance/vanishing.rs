//! A peer that is gone without a word, and one that has nothing to say.

use tokio::time::Instant;

use super::closing::{end_in, ensure_end};
use super::step::{MARGIN, Pair, Stream, Task, done, ensure, fails, pattern, spawn, step};
use super::stream_ends::write_error;
use super::{Outcome, World};
use crate::close::{CloseCause, CloseReason, ClosedBy};
use crate::error::P2PError;
use crate::provider::{P2PConnection, P2PProvider};
use crate::stream::{RecvStream, SendStream};

/// That this is what a connection looks like whose peer fell silent.
fn timed_out(end: &CloseReason) -> Outcome {
    ensure!(
        end.by == ClosedBy::Network && end.cause == CloseCause::TimedOut,
        "the peer fell silent, and it ended so: {end}"
    );
    ensure!(end.is_retryable(), "the peer may come back: {end}");
    Ok(())
}

async fn all_time_out(waiting: Vec<Task<P2PError>>) -> Outcome {
    for task in waiting {
        timed_out(&end_in(task.end("somebody who waits").await?)?)?;
    }
    Ok(())
}

pub(super) async fn a_peer_that_vanishes_times_out<W: World>(world: &W) -> Outcome {
    let pair = Pair::new(world).await?;
    let idle = world.timers().idle_timeout;
    let [c1, c2, c3] = [(); 3].map(|()| pair.to_alice.clone());
    let waiting = vec![
        spawn(async move { fails("to receive", c1.recv()).await }),
        spawn(async move { fails("to accept a stream", c2.accept_stream()).await }),
        spawn(async move { fails("to receive a datagram", c3.recv_datagram()).await }),
    ];
    let start = Instant::now();
    done("to vanish", world.vanish(pair.alice.local_peer_id())).await?;
    let end = done("Bob to see the end", pair.to_alice.closed()).await?;
    let took = start.elapsed();
    timed_out(&end)?;
    ensure!(took <= idle + MARGIN, "it took {took:?} instead of {idle:?}");
    all_time_out(waiting).await?;
    ensure!(!pair.to_alice.is_connected(), "still connected");
    let error = fails("to send", pair.to_alice.send("x".into())).await?;
    timed_out(&end_in(error)?)?;
    // Too late to be more than a formality.
    done("to close", pair.to_alice.close(1, "late")).await?;
    let again = done("Bob to see the end", pair.to_alice.closed()).await?;
    ensure!(again == end, "it was {end}, and then {again}");
    Ok(())
}

pub(super) async fn streams_end_when_the_peer_vanishes<W: World>(world: &W) -> Outcome {
    let pair = Pair::new(world).await?;
    let Stream { mut send, recv: _recv, mut reply, mut arrive } = pair.stream().await?;
    step("to write", send.write_all("before".into())).await?;
    let before = step("to read", arrive.read_chunk(100)).await?;
    ensure!(before.as_deref().is_some_and(|read| b"before".starts_with(read)), "{before:?} came");
    done("to vanish", world.vanish(pair.alice.local_peer_id())).await?;
    let reading = spawn(async move {
        loop {
            match done("to read", arrive.read_chunk(100)).await? {
                Ok(Some(_)) => {}
                Ok(None) => ensure!(false, "the stream looks complete"),
                Err(error) => return Ok(P2PError::from(error)),
            }
        }
    });
    let writing = spawn(async move { Ok(write_error(&mut reply).await?.into()) });
    let sending = spawn({
        let to_alice = pair.to_alice.clone();
        async move {
            loop {
                // Until nothing more fits, and then until the end.
                let sent = done("to send", to_alice.send(pattern(1, 64 * 1024))).await?;
                if let Err(error) = sent {
                    return Ok(error);
                }
            }
        }
    });
    all_time_out(vec![reading, writing, sending]).await
}

pub(super) async fn an_idle_connection_lives_on<W: World>(world: &W) -> Outcome {
    let pair = Pair::new(world).await?;
    // This promise is about time: well past the idle timeout, and nothing said.
    tokio::time::sleep(world.timers().idle_timeout * 5 / 2).await;
    ensure!(pair.to_bob.is_connected() && pair.to_alice.is_connected(), "it ended");
    pair.talk("after a long silence").await?;
    done("to close", pair.to_bob.close(0, "")).await?;
    let end = done("Bob to see the end", pair.to_alice.closed()).await?;
    ensure_end(&end, ClosedBy::Peer, CloseCause::Application(0), "")?;
    Ok(())
}
