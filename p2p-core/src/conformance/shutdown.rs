//! The end of an endpoint.

use super::admission::waiting_judge;
use super::closing::{end_in, ensure_end};
use super::step::{
    Pair, both, dialling, done, ensure, fails, give_up_after, meet, protocol, serving, spawn, step,
    talk,
};
use super::{Outcome, World};
use crate::close::{CloseCause, ClosedBy};
use crate::error::P2PError;
use crate::options::{ConnectOptions, ConnectReady, ListenOptions};
use crate::provider::{P2PConnection, P2PListener, P2PProvider};

/// That this is what a call says whose own provider was shut down.
fn shut_down(error: P2PError) -> Outcome {
    let end = end_in(error)?;
    ensure!(
        end.by == ClosedBy::Local && end.cause == CloseCause::Shutdown,
        "the provider was shut down, and it says {end}"
    );
    Ok(())
}

pub(super) async fn peers_see_a_shutdown<W: World>(world: &W) -> Outcome {
    let pair = Pair::new(world).await?;
    let (second, _kept) = pair.meet_again().await?;
    let carol = done("to make a provider", world.provider(world.timers())).await?;
    let carols = step("to listen", carol.listen(serving()?)).await?;
    let (to_carol, by_alice) = meet(&pair.alice, &carols, dialling()?).await?;
    let waiting = spawn({
        let to_bob = pair.to_bob.clone();
        async move { fails("to receive", to_bob.recv()).await }
    });
    done("to shut Bob down", pair.bob.shutdown()).await?;
    for connection in [&pair.to_bob, &second] {
        let end = done("Alice to see the end", connection.closed()).await?;
        ensure_end(&end, ClosedBy::Peer, CloseCause::Shutdown, "")?;
        ensure!(end.is_retryable(), "Bob may come back: {end}");
    }
    let end = end_in(waiting.end("Alice's recv").await?)?;
    ensure_end(&end, ClosedBy::Peer, CloseCause::Shutdown, "")?;
    // Alice is not shut down by that.
    talk(&to_carol, &by_alice, "among those who are left").await
}

pub(super) async fn it_ends_what_this_side_waits_for<W: World>(world: &W) -> Outcome {
    let Pair { alice: _alice, bob, listener, to_bob: _to_bob, to_alice } = Pair::new(world).await?;
    let gone = done("to make a provider", world.provider(world.timers())).await?;
    let addr = gone.local_addr();
    done("to vanish", world.vanish(addr.id())).await?;
    let [c1, c2] = [(); 2].map(|()| to_alice.clone());
    let waiting = [
        spawn(async move { fails("to accept", listener.accept()).await }),
        spawn(async move { fails("to receive", c1.recv()).await }),
        spawn(async move { fails("to accept a stream", c2.accept_stream()).await }),
        spawn({
            let (bob, options) = (bob.clone(), dialling()?);
            async move { fails("to connect", bob.connect(&addr, options)).await }
        }),
    ];
    let early = give_up_after(3, to_alice.recv()).await;
    ensure!(early.is_none() && waiting.iter().all(|task| !task.is_over()), "somebody did not wait");
    done("to shut down", bob.shutdown()).await?;
    for task in waiting {
        shut_down(task.end("somebody who waits").await?)?;
    }
    let end = done("to see the end", to_alice.closed()).await?;
    ensure_end(&end, ClosedBy::Local, CloseCause::Shutdown, "")
}

pub(super) async fn nothing_starts_after_it<W: World>(world: &W) -> Outcome {
    let pair = Pair::new(world).await?;
    let addr = pair.bob.local_addr();
    let clone = pair.bob.clone();
    done("to shut down", pair.bob.shutdown()).await?;
    for bob in [pair.bob, clone] {
        shut_down(fails("to connect", bob.connect(&pair.alice.local_addr(), dialling()?)).await?)?;
        let other = ListenOptions::new(protocol("conformance/late")?);
        shut_down(fails("to listen", bob.listen(other)).await?)?;
    }
    shut_down(fails("to accept", pair.listener.accept()).await?)?;
    shut_down(fails("to send", pair.to_alice.send("x".into())).await?)?;
    let error = fails("to connect to Bob", pair.alice.connect(&addr, dialling()?)).await?;
    ensure!(
        matches!(error, P2PError::Timeout { .. } | P2PError::ConnectionFailed { .. }),
        "the error is {error:?}"
    );
    Ok(())
}

pub(super) async fn it_ends_the_listeners<W: World>(world: &W) -> Outcome {
    let pair = Pair::new(world).await?;
    let options = dialling()?.with_ready(ConnectReady::Admitted);
    let addr = pair.listener.local_addr();
    let unaccepted = step("to connect", pair.alice.connect(&addr, options)).await?;
    done("to shut down", pair.bob.shutdown()).await?;
    let end = done("Alice to see the end", unaccepted.closed()).await?;
    ensure!(end.by == ClosedBy::Peer, "it ended so: {end}");
    // What waited to be accepted went with it.
    shut_down(fails("to accept", pair.listener.accept()).await?)?;
    pair.listener.close();
    shut_down(fails("to accept", pair.listener.accept()).await?)
}

pub(super) async fn applicants_see_it_too<W: World>(world: &W) -> Outcome {
    let pair = Pair::new(world).await?;
    let (asked, _answer, judge) = waiting_judge();
    let name = protocol("conformance/guarded")?;
    let options = ListenOptions::new(name.clone()).with_admission(judge);
    let listener = step("to listen", pair.bob.listen(options)).await?;
    let addr = listener.local_addr();
    let answered = pair.alice.connect(&addr, ConnectOptions::new(name.clone()));
    let answered = step("to connect, unjudged", answered).await?;
    let waiting = spawn({
        let options = ConnectOptions::new(name).with_ready(ConnectReady::Admitted);
        let alice = pair.alice.clone();
        async move { fails("to connect, judged", alice.connect(&addr, options)).await }
    });
    step("the judge to be asked by both", asked.acquire_many(2)).await?.forget();
    done("to shut down", pair.bob.shutdown()).await?;
    let end = done("the unjudged to see the end", answered.closed()).await?;
    ensure_end(&end, ClosedBy::Peer, CloseCause::Shutdown, "")?;
    let error = waiting.end("the one who waits").await?;
    ensure!(matches!(error, P2PError::ConnectionFailed { .. }), "the error is {error:?}");
    ensure!(error.is_retryable(), "Bob may come back: {error:?}");
    Ok(())
}

pub(super) async fn again_does_nothing<W: World>(world: &W) -> Outcome {
    let pair = Pair::new(world).await?;
    let clone = pair.bob.clone();
    both(async { done("to shut down", pair.bob.shutdown()).await }, async {
        done("to shut down at the same time", clone.shutdown()).await
    })
    .await?;
    done("to shut down once more", pair.bob.shutdown()).await?;
    let end = done("Alice to see the end", pair.to_bob.closed()).await?;
    ensure_end(&end, ClosedBy::Peer, CloseCause::Shutdown, "")?;
    // Nor does a close of what has ended.
    done("to close", pair.to_alice.close(1, "late")).await?;
    let end = done("Bob to see the end", pair.to_alice.closed()).await?;
    ensure_end(&end, ClosedBy::Local, CloseCause::Shutdown, "")?;
    done("to shut Alice down", pair.alice.shutdown()).await
}
