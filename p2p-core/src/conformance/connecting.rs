//! `connect`: who is reached, who is not, and in what time.

use std::time::Duration;

use tokio::time::Instant;

use super::step::{
    MARGIN, Pair, both, dialling, done, ensure, ensure_matches, fails, meet, nobody, protocol,
    serving, spawn, speech, step, talk,
};
use super::{Outcome, World};
use crate::address::PeerAddr;
use crate::error::{P2PError, ProtocolError};
use crate::options::{ConnectOptions, ConnectReady};
use crate::provider::{P2PConnection, P2PListener, P2PProvider};

pub(super) async fn both_sides_know_who_and_what<W: World>(world: &W) -> Outcome {
    let small = world.timers().with_max_message_size(10_000);
    let pair = Pair::with(world, world.timers().with_max_message_size(20_000), small).await?;
    let (alice, bob) = (pair.alice.local_peer_id(), pair.bob.local_peer_id());
    ensure!(alice != bob, "two providers have one identity");
    ensure!(pair.alice.local_addr().id() == alice, "the address is not the provider's");
    ensure!(pair.listener.local_addr().id() == bob, "the address is not the listener's");
    ensure!(*pair.listener.protocol() == speech()?, "the listener serves something else");
    ensure!(pair.to_bob.peer_id() == bob, "Alice's connection leads to somebody else");
    ensure!(pair.to_alice.peer_id() == alice, "Bob's connection came from somebody else");
    let (bobs, alices) = (pair.to_bob.peer(), pair.to_alice.peer());
    ensure!(bobs.id == bob && alices.id == alice, "peer() and peer_id() differ");
    for peer in [bobs, alices] {
        ensure!(peer.protocol == speech()?, "they speak {}", peer.protocol);
        ensure!(peer.max_message_size == 10_000, "{} was agreed on", peer.max_message_size);
        ensure!(peer.credential.is_empty(), "a credential that nobody showed");
    }
    ensure!(bobs.version == alices.version, "each side speaks a version of its own");
    ensure!(bobs.capabilities == alices.capabilities, "each side has capabilities of its own");
    ensure!(pair.to_bob.is_connected() && pair.to_alice.is_connected(), "not connected");
    pair.talk("first words").await
}

pub(super) async fn a_ticket_leads_to_the_peer<W: World>(world: &W) -> Outcome {
    let pair = Pair::new(world).await?;
    let ticket = pair.listener.local_addr().to_string();
    let addr: Result<PeerAddr, _> = ticket.parse();
    let addr = step("to read the ticket", async { addr }).await?;
    let (again, accepted) = both(
        step("to connect by ticket", pair.alice.connect(&addr, dialling()?)),
        step("to accept", pair.listener.accept()),
    )
    .await?;
    talk(&again, &accepted, "by ticket").await
}

pub(super) async fn each_connect_is_a_connection_of_its_own<W: World>(world: &W) -> Outcome {
    let pair = Pair::new(world).await?;
    let (to_bob, to_alice) = pair.meet_again().await?;
    step("to send on the first", pair.to_bob.send("first".into())).await?;
    step("to send on the second", to_bob.send("second".into())).await?;
    let second = step("to receive on the second", to_alice.recv()).await?;
    ensure!(second == "second", "{second:?} came over the second connection");
    let first = step("to receive on the first", pair.to_alice.recv()).await?;
    ensure!(first == "first", "{first:?} came over the first connection");
    done("to close the first", pair.to_bob.close(0, "")).await?;
    done("the first to close", pair.to_alice.closed()).await?;
    talk(&to_bob, &to_alice, "after the first was closed").await
}

pub(super) async fn both_sides_may_connect_at_once<W: World>(world: &W) -> Outcome {
    let pair = Pair::new(world).await?;
    let alices = step("to listen", pair.alice.listen(serving()?)).await?;
    let ((to_bob, by_alice), (to_alice, by_bob)) =
        both(meet(&pair.alice, &pair.listener, dialling()?), meet(&pair.bob, &alices, dialling()?))
            .await?;
    talk(&to_bob, &by_alice, "on Alice's").await?;
    talk(&to_alice, &by_bob, "on Bob's").await
}

pub(super) async fn an_unknown_peer_is_not_found<W: World>(world: &W) -> Outcome {
    let pair = Pair::new(world).await?;
    let addr = nobody();
    let connect = pair.alice.connect(&addr, dialling()?);
    let error = fails("to connect to nobody", connect).await?;
    let named = ensure_matches!(error, P2PError::PeerNotFound { peer } => peer, "the error");
    ensure!(named == addr.id(), "it names {named}");
    pair.talk("after the error").await
}

pub(super) async fn somebody_else_is_not_the_peer<W: World>(world: &W) -> Outcome {
    let pair = Pair::new(world).await?;
    // Bob's places under another name. A network that goes by names alone knows none such.
    let bob = pair.listener.local_addr();
    let addr = bob.addresses().fold(nobody(), PeerAddr::with_address);
    let addr = bob.relays().cloned().fold(addr, PeerAddr::with_relay);
    let error = fails("to connect to an impostor", pair.alice.connect(&addr, dialling()?)).await?;
    let peer = ensure_matches!(
        error,
        P2PError::AuthenticationFailed { peer, .. } | P2PError::PeerNotFound { peer } => peer,
        "the error"
    );
    ensure!(peer == addr.id(), "it names {peer}");
    // Nothing came of it: the next to be accepted is one who knows whom it wants.
    let options = dialling()?.with_credential("Bob");
    let options = step("to show a credential", async { options }).await?;
    let (_to_bob, to_alice) = meet(&pair.alice, &pair.listener, options).await?;
    ensure!(to_alice.peer().credential == "Bob", "a connection to somebody else was accepted");
    Ok(())
}

/// Somebody whose address is known, and who is not there any more.
async fn gone<W: World>(world: &W) -> Outcome<PeerAddr> {
    let provider = done("to make a provider", world.provider(world.timers())).await?;
    let addr = provider.local_addr();
    done("to vanish", world.vanish(addr.id())).await?;
    Ok(addr)
}

pub(super) async fn an_unreachable_peer_times_out<W: World>(world: &W) -> Outcome {
    let pair = Pair::new(world).await?;
    let (addr, bound) = (gone(world).await?, world.timers().connect_timeout);
    let start = Instant::now();
    let error = fails("to connect", pair.alice.connect(&addr, dialling()?)).await?;
    let took = start.elapsed();
    ensure!(
        matches!(error, P2PError::Timeout { .. } | P2PError::ConnectionFailed { .. }),
        "the error is {error:?}"
    );
    ensure!(error.is_retryable(), "it should be worth another try: {error:?}");
    ensure!(took <= bound + MARGIN, "it took {took:?} instead of {bound:?}");
    pair.talk("after the error").await
}

pub(super) async fn one_call_may_have_a_shorter_timeout<W: World>(world: &W) -> Outcome {
    let timers = world.timers().with_connect_timeout(Duration::from_secs(3600));
    let pair = Pair::with(world, timers, world.timers()).await?;
    let addr = gone(world).await?;
    let (start, bound) = (Instant::now(), Duration::from_millis(300));
    let connect = pair.alice.connect(&addr, dialling()?.with_timeout(bound));
    let error = fails("to connect", connect).await?;
    let took = start.elapsed();
    match error {
        P2PError::ConnectionFailed { .. } => {}
        P2PError::Timeout { after, .. } => ensure!(after == bound, "it says {after:?}"),
        other => ensure!(false, "the error is {other:?}"),
    }
    ensure!(took <= bound + MARGIN, "it took {took:?} instead of {bound:?}");
    Ok(())
}

pub(super) async fn oneself_is_refused<W: World>(world: &W) -> Outcome {
    let pair = Pair::new(world).await?;
    let own = pair.listener.local_addr();
    for addr in [own.clone(), own.id().into()] {
        let error = fails("to connect to oneself", pair.bob.connect(&addr, dialling()?)).await?;
        let peer = ensure_matches!(error, P2PError::ConnectionFailed { peer, .. } => peer, "error");
        ensure!(peer == own.id(), "it names {peer}");
    }
    // Nothing came of it: the next to be accepted is Alice.
    let (_to_bob, to_alice) = pair.meet_again().await?;
    ensure!(to_alice.peer_id() == pair.alice.local_peer_id(), "somebody else was accepted");
    Ok(())
}

pub(super) async fn an_unknown_protocol_is_named<W: World>(world: &W) -> Outcome {
    let pair = Pair::new(world).await?;
    let other = protocol("conformance/none")?;
    // Bob serves something else, Alice nothing at all.
    let ways = [(&pair.alice, pair.bob.local_addr()), (&pair.bob, pair.alice.local_addr())];
    for (dialler, addr) in &ways {
        for ready in [ConnectReady::Answered, ConnectReady::Admitted] {
            let options = ConnectOptions::new(other.clone()).with_ready(ready);
            let error = fails("to connect", dialler.connect(addr, options)).await?;
            let unknown = ProtocolError::UnknownProtocol { name: other.clone() };
            let error = ensure_matches!(error, P2PError::Protocol(error) => error, "the error");
            ensure!(error == unknown, "the error is {error:?}");
        }
    }
    // Nothing came of it: what Bob accepts next is what he serves.
    let (_to_bob, to_alice) = pair.meet_again().await?;
    ensure!(to_alice.peer().protocol == speech()?, "something unknown was accepted");
    pair.talk("after the errors").await
}

pub(super) async fn an_endpoint_lives_as_long_as_its_last_handle<W: World>(world: &W) -> Outcome {
    let Pair { alice, bob, listener, to_bob, to_alice } = Pair::new(world).await?;
    let addr = bob.local_addr();
    let clone = bob.clone();
    drop(bob);
    drop(clone);
    let (again, accepted) = meet(&alice, &listener, dialling()?).await?;
    talk(&again, &accepted, "over the listener that is left").await?;
    drop(listener);
    talk(&to_bob, &to_alice, "over the connections that are left").await?;
    drop(accepted);
    done("to see the drop", again.closed()).await?;
    talk(&to_bob, &to_alice, "over the connection that is left").await?;
    let waiting = spawn({
        let to_bob = to_bob.clone();
        async move { done("to see the drop", to_bob.closed()).await }
    });
    drop(to_alice);
    waiting.end("to see the last drop").await?;
    let error = fails("to connect to what is gone", alice.connect(&addr, dialling()?)).await?;
    ensure!(
        matches!(error, P2PError::Timeout { .. } | P2PError::ConnectionFailed { .. }),
        "the error is {error:?}"
    );
    Ok(())
}
