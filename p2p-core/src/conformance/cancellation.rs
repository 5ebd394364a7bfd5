//! Calls that begin and end something may be given up: what comes of it is what the promises say.

use std::collections::BTreeSet;
use std::time::Duration;

use tokio::time::Instant;

use super::cancelled_transfers::large;
use super::closing::ensure_end;
use super::step::{
    MOMENTS, Pair, both, dialling, done, ensure, give_up_after, meet, serving, spawn, speech, step,
    talk,
};
use super::{Failure, Outcome, World};
use crate::close::{CloseCause, ClosedBy};
use crate::options::{ConnectOptions, ConnectReady};
use crate::provider::{P2PConnection, P2PListener, P2PProvider};

/// To connect, recognizable at the other side.
fn showing(number: u8) -> Outcome<ConnectOptions> {
    let mut options = ConnectOptions::new(speech()?);
    options.credential = vec![number].into();
    Ok(options)
}

pub(super) async fn connect_given_up_leaves_nothing<W: World>(world: &W) -> Outcome {
    const EIGHTHS: u32 = 8;
    let Pair { alice, bob: _bob, listener, to_bob, to_alice } = Pair::new(world).await?;
    let addr = listener.local_addr();
    let accepting = spawn(async move {
        let mut given_up = Vec::new();
        loop {
            let accepted = step("to accept", listener.accept()).await?;
            if &accepted.peer().credential[..] == b"\xff" {
                return Ok((given_up, accepted, listener));
            }
            given_up.push(accepted);
        }
    });
    for &polls in &MOMENTS {
        let connect = alice.connect(&addr, showing(0)?);
        drop(give_up_after(polls, connect).await);
    }
    // Given up after each eighth of the time that it usually takes.
    let start = Instant::now();
    drop(step("to connect", alice.connect(&addr, showing(1)?)).await?);
    let usual = start.elapsed();
    for eighth in 0..EIGHTHS {
        let connect = alice.connect(&addr, showing(2)?);
        let _ = tokio::time::timeout(usual * eighth / EIGHTHS, connect).await;
    }
    let last = step("to connect at last", alice.connect(&addr, showing(0xff)?)).await?;
    let (given_up, accepted, _listener) = accepting.end("to accept all").await?;
    talk(&last, &accepted, "after those given up").await?;
    for connection in given_up {
        let end = done("one that was given up to end", connection.closed()).await?;
        ensure_end(&end, ClosedBy::Peer, CloseCause::Dropped, "")?;
    }
    talk(&to_bob, &to_alice, "on the first connection").await
}

pub(super) async fn accept_given_up_loses_no_connection<W: World>(world: &W) -> Outcome {
    const CONNECTIONS: u8 = 12;
    let Pair { alice, bob: _bob, listener, .. } = Pair::new(world).await?;
    let addr = listener.local_addr();
    let mut connected = Vec::new();
    // Some wait already when the first accept is given up, others come between any two.
    for number in 0..CONNECTIONS / 2 {
        let options = showing(number)?.with_ready(ConnectReady::Admitted);
        connected.push(step("to connect", alice.connect(&addr, options)).await?);
    }
    let connecting = spawn(async move {
        for number in CONNECTIONS / 2..CONNECTIONS {
            connected.push(step("to connect", alice.connect(&addr, showing(number)?)).await?);
        }
        Ok((alice, connected))
    });
    let accepting = async {
        let (mut moments, mut accepted) = (MOMENTS.iter().cycle(), Vec::new());
        while accepted.len() < usize::from(CONNECTIONS) {
            let polls = moments.next().copied().unwrap_or(1);
            if let Some(connection) = give_up_after(polls, listener.accept()).await {
                accepted.push(step("to accept", async { connection }).await?);
            } else {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        }
        Ok::<_, Failure>(accepted)
    };
    let accepted = step("to accept all, with pauses", accepting).await?;
    let (_alice, connected) = connecting.end("to connect").await?;
    let mut seen = BTreeSet::new();
    for accepted in accepted {
        let number = accepted.peer().credential[0];
        ensure!(seen.insert(number), "connection {number} was accepted twice");
        talk(&connected[usize::from(number)], &accepted, "after all pauses").await?;
    }
    Ok(())
}

pub(super) async fn listen_given_up_leaves_nothing<W: World>(world: &W) -> Outcome {
    let Pair { alice, bob, listener, .. } = Pair::new(world).await?;
    drop(listener);
    for &polls in &MOMENTS {
        drop(give_up_after(polls, bob.listen(serving()?)).await);
    }
    let listener = step("to listen", bob.listen(serving()?)).await?;
    let (to_bob, to_alice) = meet(&alice, &listener, dialling()?).await?;
    talk(&to_bob, &to_alice, "after all that was given up").await
}

pub(super) async fn close_given_up_can_be_called_again<W: World>(world: &W) -> Outcome {
    // The close has to come about by itself: its timeout is too far away to help.
    let timers = world.timers().with_close_timeout(Duration::from_secs(3600));
    let pair = Pair::with(world, timers.clone(), timers).await?;
    // A message of which a part waits for the peer to receive.
    let mut number = 0;
    while give_up_after(20, pair.to_bob.send(large(number))).await.is_some() {
        number += 1;
        ensure!(number < 200, "{number} messages went, unread: no limit");
    }
    for &polls in &MOMENTS {
        // Whether there is something to wait for, and how long, is the backend's business.
        let _ = give_up_after(polls, pair.to_bob.close(1, "bye")).await;
    }
    let closing = async { done("to close", pair.to_bob.close(1, "bye")).await };
    let receiving = async {
        let mut expected = 0;
        while let Ok(message) = done("to receive", pair.to_alice.recv()).await? {
            ensure!(message == large(expected), "message {expected} is not what it was");
            expected += 1;
        }
        ensure!(expected >= number, "of {number} messages before the close, {expected} came");
        Ok(())
    };
    both(closing, receiving).await?;
    for (connection, by) in [(&pair.to_bob, ClosedBy::Local), (&pair.to_alice, ClosedBy::Peer)] {
        let end = done("to see the end", connection.closed()).await?;
        ensure_end(&end, by, CloseCause::Application(1), "bye")?;
    }
    Ok(())
}

pub(super) async fn closed_given_up_can_be_asked_again<W: World>(world: &W) -> Outcome {
    let pair = Pair::new(world).await?;
    for &polls in &MOMENTS {
        let early = give_up_after(polls, pair.to_alice.closed()).await;
        ensure!(early.is_none(), "it ended before it was closed");
    }
    pair.talk("after all that was given up").await?;
    done("to close", pair.to_bob.close(1, "")).await?;
    done("Bob to see the end", pair.to_alice.closed()).await?;
    Ok(())
}

pub(super) async fn path_events_given_up_lose_nothing<W: World>(world: &W) -> Outcome {
    let pair = Pair::new(world).await?;
    let mut events = pair.to_alice.path_events();
    ensure!(done("the present path", events.next()).await?.is_some(), "no present path");
    for &polls in &MOMENTS {
        if give_up_after(polls, events.next()).await == Some(None) {
            return Err(Failure::new("the path's events ended before the connection"));
        }
    }
    done("to close", pair.to_bob.close(1, "")).await?;
    while done("the end of the path's events", events.next()).await?.is_some() {}
    Ok(())
}

pub(super) async fn shutdown_given_up_can_be_called_again<W: World>(world: &W) -> Outcome {
    for &polls in &MOMENTS[..3] {
        let pair = Pair::new(world).await?;
        let _ = give_up_after(polls, pair.bob.shutdown()).await;
        done("to shut down", pair.bob.shutdown()).await?;
        let end = done("Alice to see the end", pair.to_bob.closed()).await?;
        ensure_end(&end, ClosedBy::Peer, CloseCause::Shutdown, "")?;
    }
    Ok(())
}
