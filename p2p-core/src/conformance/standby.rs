//! Connections that keep a second link ready, where the backend has one, and where it has none.

use std::time::Duration;

use super::resuming::{has_had, lasting, receive_all, send_all};
use super::step::{Pair, both, done, ensure, number_of, numbered, step};
use super::{Outcome, World};
use crate::config::ConnectionConfig;
use crate::options::{ConnectOptions, ListenOptions};
use crate::provider::{P2PConnection, P2PListener, P2PProvider};
use crate::reconnect::{FailoverPolicy, StandbyState};

fn with_standby<W: World>(world: &W) -> ConnectionConfig {
    lasting(world).with_failover(FailoverPolicy::STANDBY)
}

/// Talks until the standby is there, if there is going to be one; whether it is.
async fn ready<W: World>(pair: &Pair<W>) -> Outcome<bool> {
    done("to have a standby", async {
        while pair.to_bob.stats().standby == StandbyState::Pending {
            pair.talk("while the standby is on its way").await?;
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        Ok(())
    })
    .await??;
    let state = pair.to_bob.stats().standby;
    ensure!(state != StandbyState::Off, "it was asked for, and is {state}");
    Ok(state != StandbyState::Unavailable)
}

pub(super) async fn messages_survive_the_loss_of_links_beside_a_standby<W: World>(
    world: &W,
) -> Outcome {
    for accepts in [lasting(world), with_standby(world)] {
        let pair = Pair::with(world, with_standby(world), accepts).await?;
        let has_standby = ready(&pair).await?;
        let there = both(send_all(&pair.to_bob, true), receive_all(&pair.to_alice));
        let back = both(send_all(&pair.to_alice, true), receive_all(&pair.to_bob));
        both(there, back).await?;
        pair.talk("after all links").await?;
        has_had(&pair.to_bob, 2).await?;
        let stats = pair.to_bob.stats();
        let over = stats.messages_hedged + stats.messages_on_standby;
        ensure!(has_standby || over == 0, "{over} messages went over a standby that is none");
        done("to close", pair.to_bob.close(5, "enough")).await?;
        let end = done("Bob to see the end", pair.to_alice.closed()).await?;
        ensure!(end.cause == crate::CloseCause::Application(5), "it ended so: {end}");
    }
    Ok(())
}

pub(super) async fn messages_go_over_the_standby_while_there_is_no_other_link<W: World>(
    world: &W,
) -> Outcome {
    const MESSAGES: u32 = 200;
    let pair = Pair::with(world, with_standby(world), with_standby(world)).await?;
    if !ready(&pair).await? {
        return Ok(());
    }
    let (bob, alice) = (&pair.to_bob, &pair.to_alice);
    let sending = async {
        for number in 0..MESSAGES {
            if number % 50 == 10 {
                bob.renew_link();
            }
            step("to send", bob.send(numbered(0, number))).await?;
            // Where the next link takes a round trip of more, some of them are sent meanwhile.
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        Ok(())
    };
    let receiving = async {
        for number in 0..MESSAGES {
            let (_, got) = number_of(&step("to receive", alice.recv()).await?)?;
            ensure!(got == number, "{got} came, not {number}");
        }
        Ok(())
    };
    both(sending, receiving).await?;
    let stats = bob.stats();
    let over = stats.messages_hedged + stats.messages_on_standby;
    ensure!(over > 0, "none went over the standby: {stats:?}");
    Ok(())
}

pub(super) async fn a_standby_is_no_connection_of_its_own<W: World>(world: &W) -> Outcome {
    let alice = world.provider(with_standby(world)).await;
    let bob = world.provider(with_standby(world)).await;
    let protocol = || "standby/1".parse().map_err(|_| super::Failure::new("a name"));
    let listener = step("to listen", bob.listen(ListenOptions::new(protocol()?))).await?;
    let options = ConnectOptions::new(protocol()?);
    let dialled = step("to connect", alice.connect(&bob.local_addr(), options.clone())).await?;
    let accepted = step("to accept", listener.accept()).await?;
    step("to send", dialled.send("hello".into())).await?;
    step("to receive", accepted.recv()).await?;
    done("to have a standby", async {
        while dialled.stats().standby == StandbyState::Pending {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await?;
    // A marker: the next connection is Carol's.
    let carol = world.provider(world.timers()).await;
    let other = step("to connect", carol.connect(&bob.local_addr(), options)).await?;
    let next = step("to accept", listener.accept()).await?;
    ensure!(next.peer_id() == carol.local_peer_id(), "somebody came in between");
    ensure!(accepted.peer_id() == alice.local_peer_id(), "the peer has another name");
    drop(other);
    Ok(())
}
