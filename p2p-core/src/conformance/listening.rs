//! `listen`, `accept` and the end of a listener.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;

use super::resuming::lasting;
use super::step::{
    Pair, STEP, both, dialling, done, ensure, ensure_matches, fails, give_up_after, meet,
    number_of, numbered, protocol, serving, spawn, speech, step, talk,
};
use super::{Outcome, World};
use crate::close::{CloseCause, ClosedBy};
use crate::config::ConnectionConfig;
use crate::error::{Limit, P2PError, ProtocolError};
use crate::options::{ConnectOptions, ConnectReady, ListenOptions, admission_fn};
use crate::provider::{P2PConnection, P2PListener, P2PProvider};

pub(super) async fn two_protocols_go_to_their_own_listeners<W: World>(world: &W) -> Outcome {
    let pair = Pair::new(world).await?;
    let name = protocol("conformance/other")?;
    let other = step("to listen", pair.bob.listen(ListenOptions::new(name.clone()))).await?;
    ensure!(*other.protocol() == name, "it serves {}", other.protocol());
    let (there, here) = meet(&pair.alice, &other, ConnectOptions::new(name.clone())).await?;
    let (to_bob, to_alice) = pair.meet_again().await?;
    for (connection, expected) in
        [(&there, &name), (&here, &name), (&to_bob, &speech()?), (&to_alice, &speech()?)]
    {
        let got = &connection.peer().protocol;
        ensure!(got == expected, "{got} where {expected} was asked for");
    }
    talk(&there, &here, "in the other protocol").await?;
    talk(&to_bob, &to_alice, "in the first protocol").await
}

pub(super) async fn a_name_serves_once<W: World>(world: &W) -> Outcome {
    let pair = Pair::new(world).await?;
    let error = fails("to listen for the same", pair.bob.listen(serving()?)).await?;
    let error = ensure_matches!(error, P2PError::Protocol(error) => error, "the error");
    ensure!(error == ProtocolError::InUse { name: speech()? }, "the error is {error:?}");
    // The first listener does not mind, and another endpoint may have one of the same name.
    pair.meet_again().await?;
    step("to listen elsewhere", pair.alice.listen(serving()?)).await?;
    Ok(())
}

pub(super) async fn a_name_is_free_after_close_and_after_drop<W: World>(world: &W) -> Outcome {
    let Pair { alice, bob, listener, .. } = Pair::new(world).await?;
    listener.close();
    let second = step("to listen after close", bob.listen(serving()?)).await?;
    // Closed again, the old one does not take the new one with it.
    listener.close();
    drop(listener);
    meet(&alice, &second, dialling()?).await?;
    drop(second);
    let third = step("to listen after drop", bob.listen(serving()?)).await?;
    meet(&alice, &third, dialling()?).await?;
    Ok(())
}

pub(super) async fn listeners_are_bounded<W: World>(world: &W) -> Outcome {
    let provider = done("to make a provider", world.provider(world.timers())).await?;
    let max = ConnectionConfig::MAX_LISTENERS;
    let options = |number| Ok(ListenOptions::new(protocol(&format!("conformance/{number}"))?));
    let mut listeners = Vec::new();
    for number in 0..max {
        listeners.push(step("to listen", provider.listen(options(number)?)).await?);
    }
    let error = fails("to listen once more", provider.listen(options(max)?)).await?;
    let (limit, bound, actual) = ensure_matches!(
        error,
        P2PError::LimitExceeded { limit, max, actual } => (limit, max, actual),
        "the error"
    );
    ensure!(
        (limit, bound, actual) == (Limit::Listeners, max as u64, max as u64 + 1),
        "the error says {limit:?}, {bound}, {actual}"
    );
    listeners.pop();
    step("to listen in the free place", provider.listen(options(max)?)).await?;
    Ok(())
}

pub(super) async fn waiting_callers_of_accept_take_turns<W: World>(world: &W) -> Outcome {
    let Pair { alice, listener, .. } = Pair::new(world).await?;
    let addr = listener.local_addr();
    let listener = Arc::new(listener);
    let callers: Vec<_> = (0..4)
        .map(|_| {
            let listener = listener.clone();
            spawn(async move { step("to accept", listener.accept()).await })
        })
        .collect();
    let mut connected = Vec::new();
    for number in 0..4u8 {
        let options = ConnectOptions::new(speech()?).with_credential(vec![number]);
        let options = step("to show a credential", async { options }).await?;
        connected.push(step("to connect", alice.connect(&addr, options)).await?);
    }
    let mut seen = Vec::new();
    for caller in callers {
        let connection = caller.end("a caller of accept").await?;
        seen.push(connection.peer().credential[0]);
    }
    seen.sort_unstable();
    ensure!(seen == [0, 1, 2, 3], "they accepted {seen:?}");
    Ok(())
}

pub(super) async fn a_close_ends_accept<W: World>(world: &W) -> Outcome {
    let Pair { alice, listener, .. } = Pair::new(world).await?;
    let (addr, listener) = (listener.local_addr(), Arc::new(listener));
    let callers: Vec<_> = (0..2)
        .map(|_| {
            let listener = listener.clone();
            spawn(async move { fails("to accept", listener.accept()).await })
        })
        .collect();
    let early = give_up_after(3, listener.accept()).await;
    ensure!(early.is_none(), "accept ended before the close");
    listener.close();
    listener.close();
    for caller in callers {
        let error = caller.end("a waiting caller of accept").await?;
        ensure!(matches!(error, P2PError::Closed(_)), "accept ended with {error:?}");
    }
    let error = fails("to accept after the close", listener.accept()).await?;
    ensure!(matches!(error, P2PError::Closed(_)), "accept ended with {error:?}");
    let error = fails("to connect after the close", alice.connect(&addr, dialling()?)).await?;
    let unknown = P2PError::Protocol(ProtocolError::UnknownProtocol { name: speech()? });
    ensure!(error.to_string() == unknown.to_string(), "the error is {error:?}");
    Ok(())
}

pub(super) async fn a_close_ends_accept_with_an_applicant_at_the_door<W: World>(
    world: &W,
) -> Outcome {
    let Pair { alice, bob, .. } = Pair::new(world).await?;
    let name = protocol("conformance/door")?;
    // For each waiting `accept`, and for a listener that is merely kept.
    for waiting in [true, false] {
        let (called, open) = (Arc::new(Semaphore::new(0)), Arc::new(Semaphore::new(0)));
        let judge = admission_fn({
            let (called, open) = (called.clone(), open.clone());
            move |_| {
                let (called, open) = (called.clone(), open.clone());
                async move {
                    called.add_permits(1);
                    let _ = open.acquire().await;
                    Ok(())
                }
            }
        });
        let options = ListenOptions::new(name.clone()).with_admission(judge);
        let listener = Arc::new(step("to listen", bob.listen(options)).await?);
        let connecting = spawn({
            let (alice, addr) = (alice.clone(), listener.local_addr());
            let options = ConnectOptions::new(name.clone()).with_ready(ConnectReady::Admitted);
            async move { Ok(alice.connect(&addr, options).await) }
        });
        let accepting = spawn({
            let listener = listener.clone();
            async move {
                if waiting {
                    fails("to accept", listener.accept()).await?;
                }
                Ok(())
            }
        });
        step("the judge to be asked", called.acquire()).await?.forget();
        listener.close();
        accepting.end("a waiting caller of accept").await?;
        open.add_permits(1);
        match connecting.end("to connect").await? {
            Err(_) => {}
            // Let in at the last moment: then it is a connection that nobody accepted.
            Ok(connection) => {
                let end = done("to be closed, unaccepted", connection.closed()).await?;
                ensure!(end.by != ClosedBy::Local, "closed by Alice herself");
            }
        }
        let error = fails("to accept after the close", listener.accept()).await?;
        ensure!(matches!(error, P2PError::Closed(_)), "accept ended with {error:?}");
    }
    Ok(())
}

pub(super) async fn a_close_leaves_connections_alive<W: World>(world: &W) -> Outcome {
    let pair = Pair::new(world).await?;
    pair.listener.close();
    pair.talk("after the close").await?;
    let Pair { alice: _alice, bob: _bob, listener, to_bob, to_alice } = pair;
    drop(listener);
    talk(&to_bob, &to_alice, "after the drop").await
}

pub(super) async fn a_close_ends_what_nobody_accepted<W: World>(world: &W) -> Outcome {
    let pair = Pair::new(world).await?;
    let addr = pair.listener.local_addr();
    let options = dialling()?.with_ready(ConnectReady::Admitted);
    let waiting = step("to connect", pair.alice.connect(&addr, options)).await?;
    pair.listener.close();
    let end = done("to be closed, unaccepted", waiting.closed()).await?;
    ensure!(end.by == ClosedBy::Peer, "it ended so: {end}");
    let error = fails("to receive", waiting.recv()).await?;
    ensure!(matches!(error, P2PError::Closed(_)), "recv says {error:?}");
    pair.talk("on the accepted one").await
}

/// What a refusal for want of room looks like, whether `connect` waits for it or not.
async fn busy<P: P2PProvider>(dialler: &P, listener: &P::Listener, name: &str) -> Outcome {
    let addr = listener.local_addr();
    let options = ConnectOptions::new(protocol(name)?);
    let waits = options.clone().with_ready(ConnectReady::Admitted);
    let error = fails("to connect where no place is", dialler.connect(&addr, waits)).await?;
    let end = ensure_matches!(&error, P2PError::Closed(end) => end, "the error");
    ensure!(end.cause == CloseCause::Busy && end.by == ClosedBy::Peer, "it ended so: {end}");
    ensure!(error.is_retryable(), "a place may be free later: {error}");
    ensure!(end.message.contains("at most 2"), "it does not name the bound: {end}");
    match done("to connect where no place is", dialler.connect(&addr, options)).await? {
        Ok(connection) => {
            let end = done("to be sent away", connection.closed()).await?;
            ensure!(end.cause == CloseCause::Busy && end.by == ClosedBy::Peer, "so: {end}");
        }
        Err(P2PError::Closed(end)) => ensure!(end.cause == CloseCause::Busy, "so: {end}"),
        Err(other) => ensure!(false, "the error is {other:?}"),
    }
    Ok(())
}

pub(super) async fn a_bound_of_zero_is_refused<W: World>(world: &W) -> Outcome {
    let bob = world.provider(world.timers()).await;
    for (setting, options) in [
        ("backlog", serving()?.with_backlog(0)),
        ("max_connections", serving()?.with_max_connections(0)),
    ] {
        let error = fails("to listen", bob.listen(options)).await?;
        let error = ensure_matches!(&error, P2PError::Config(error) => error, "the error");
        ensure!(error.setting == setting && error.value == "0", "it is about {error}");
    }
    step("to listen", bob.listen(serving()?)).await?;
    Ok(())
}

pub(super) async fn a_full_backlog_is_busy<W: World>(world: &W) -> Outcome {
    let pair = Pair::new(world).await?;
    let name = "conformance/backlog";
    let options = ListenOptions::new(protocol(name)?).with_backlog(2);
    let listener = step("to listen", pair.bob.listen(options)).await?;
    let addr = listener.local_addr();
    let options = ConnectOptions::new(protocol(name)?).with_ready(ConnectReady::Admitted);
    let first = step("to connect", pair.alice.connect(&addr, options.clone())).await?;
    let second = step("to connect", pair.alice.connect(&addr, options.clone())).await?;
    busy(&pair.alice, &listener, name).await?;
    let mut accepted = vec![step("to accept", listener.accept()).await?];
    let third = step("to connect", pair.alice.connect(&addr, options)).await?;
    // Those refused are nowhere between.
    for _ in [&second, &third] {
        accepted.push(step("to accept", listener.accept()).await?);
    }
    // Whoever was let in at the same time may have come in in any order.
    let dialled = [first, second, third];
    for (number, dialled) in (0..).zip(&dialled) {
        step("to send", dialled.send(numbered(0, number))).await?;
    }
    let mut came = BTreeSet::new();
    for accepted in &accepted {
        let (_, number) = number_of(&step("to receive", accepted.recv()).await?)?;
        ensure!(came.insert(number), "number {number} was accepted twice");
        let Some(dialled) = dialled.get(number as usize) else { continue };
        talk(dialled, accepted, "on one of three").await?;
    }
    Ok(())
}

pub(super) async fn connections_are_bounded_and_places_come_back<W: World>(world: &W) -> Outcome {
    let pair = Pair::new(world).await?;
    let name = "conformance/places";
    let options = ListenOptions::new(protocol(name)?).with_max_connections(2);
    let listener = step("to listen", pair.bob.listen(options)).await?;
    let options = ConnectOptions::new(protocol(name)?).with_ready(ConnectReady::Admitted);
    let (first, accepted) = meet(&pair.alice, &listener, options.clone()).await?;
    let (second, _kept) = meet(&pair.alice, &listener, options.clone()).await?;
    busy(&pair.alice, &listener, name).await?;
    // A place is taken as long as Bob holds the connection.
    drop(accepted);
    done("to see the drop", first.closed()).await?;
    let (third, accepted) = meet(&pair.alice, &listener, options).await?;
    busy(&pair.alice, &listener, name).await?;
    both(
        talk(&third, &accepted, "on the third"),
        step("to send on the second", second.send("x".into())),
    )
    .await?;
    pair.talk("in another protocol").await
}

pub(super) async fn a_dialler_that_gave_up_stands_in_nobodys_way<W: World>(world: &W) -> Outcome {
    let lasts = lasting(world);
    for config in [world.timers(), lasts] {
        let pair = Pair::with(world, config.clone(), config).await?;
        let name = "conformance/given-up";
        let options = ListenOptions::new(protocol(name)?).with_max_connections(1).with_backlog(1);
        let listener = step("to listen", pair.bob.listen(options)).await?;
        let addr = listener.local_addr();
        let options = ConnectOptions::new(protocol(name)?).with_ready(ConnectReady::Admitted);
        for polls in 1..20 {
            // Some of these are let in, and nobody has accepted them when they are gone.
            if give_up_after(polls, pair.alice.connect(&addr, options.clone())).await.is_some() {
                break;
            }
            let next = done("a place", async {
                loop {
                    match pair.alice.connect(&addr, options.clone()).await {
                        Err(P2PError::Closed(end)) if end.cause == CloseCause::Busy => {
                            tokio::time::sleep(Duration::from_millis(5)).await;
                        }
                        other => break other,
                    }
                }
            });
            let next = step("to connect", async { next.await.map_err(|_| full())? }).await?;
            let accepted = step("to accept", listener.accept()).await?;
            talk(&next, &accepted, "after one was given up").await?;
            drop(accepted);
            done("to see the drop", next.closed()).await?;
        }
    }
    Ok(())
}

/// What has no place for so long never will.
fn full() -> P2PError {
    P2PError::Timeout { what: "a place".into(), after: STEP }
}
