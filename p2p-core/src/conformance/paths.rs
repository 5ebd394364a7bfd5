//! Which way the data takes.

use std::time::Duration;

use super::step::{
    Pair, dialling, done, ensure, ensure_matches, fails, meet, protocol, step, talk,
};
use super::{Failure, Outcome, World};
use crate::close::{CloseCause, ClosedBy};
use crate::error::P2PError;
use crate::options::{ConnectOptions, ConnectReady, ListenOptions};
use crate::path::{PathInfo, PathKind, PathPolicy};
use crate::provider::{P2PConnection, P2PListener, P2PProvider};

pub(super) async fn a_connection_has_a_path_and_an_ended_one_none<W: World>(world: &W) -> Outcome {
    let pair = Pair::new(world).await?;
    pair.talk("so that there has been a path").await?;
    for connection in [&pair.to_bob, &pair.to_alice] {
        let path = connection.path();
        ensure!(path.kind != PathKind::None, "connected over no path");
        ensure!(path.remote.is_some(), "the path {path:?} leads nowhere");
    }
    done("to close", pair.to_bob.close(0, "")).await?;
    done("Bob to see the end", pair.to_alice.closed()).await?;
    for connection in [&pair.to_bob, &pair.to_alice] {
        let path = connection.path();
        ensure!(path == PathInfo::NONE, "an ended connection has the path {path:?}");
    }
    Ok(())
}

pub(super) async fn the_present_path_is_the_first_event<W: World>(world: &W) -> Outcome {
    let pair = Pair::new(world).await?;
    pair.talk("so that there has been a path").await?;
    let mut watched = Vec::new();
    for connection in [&pair.to_bob, &pair.to_alice] {
        // Twice: each watcher begins with the present.
        for _ in 0..2 {
            let mut events = connection.path_events();
            let Some(first) = done("the present path", events.next()).await? else {
                return Err(Failure::new("the path's events ended before the connection"));
            };
            ensure!(first.kind != PathKind::None, "connected over no path");
            watched.push((events, first));
        }
    }
    done("to close", pair.to_bob.close(0, "")).await?;
    for (mut events, mut last) in watched {
        while let Some(next) = done("the end of the path's events", events.next()).await? {
            ensure!(!next.is_same_way(&last), "{next:?} is no change");
            last = next;
        }
    }
    let mut late = pair.to_bob.path_events();
    while done("the end of the path's events", late.next()).await?.is_some() {}
    Ok(())
}

pub(super) async fn who_wants_relays_only_takes_no_direct_path<W: World>(world: &W) -> Outcome {
    let pair = Pair::new(world).await?;
    let direct = pair.to_bob.path().kind == PathKind::Direct;
    let shy = protocol("shy/1")?;
    let options = ListenOptions::new(shy.clone()).with_path_policy(PathPolicy::RelayOnly);
    let shy_bob = step("to listen", pair.bob.listen(options)).await?;
    let bob = pair.listener.local_addr();
    let as_dialler = dialling()?.with_path_policy(PathPolicy::RelayOnly);
    let to_shy = ConnectOptions::new(shy).with_ready(ConnectReady::Admitted);
    if !direct {
        meet(&pair.alice, &pair.listener, as_dialler).await?;
        meet(&pair.alice, &shy_bob, to_shy).await?;
        return Ok(());
    }
    let refused = [
        (fails("to connect, shyly", pair.alice.connect(&bob, as_dialler)).await?, ClosedBy::Local),
        (fails("to connect to a shy one", pair.alice.connect(&bob, to_shy)).await?, ClosedBy::Peer),
    ];
    for (error, by) in refused {
        let reason = ensure_matches!(error, P2PError::Closed(reason) => reason, "a direct path");
        ensure!(reason.cause == CloseCause::PathPolicy, "the reason is {reason}");
        ensure!(reason.by == by, "the reason is {reason}");
        ensure!(reason.message.contains("direct"), "the reason is {reason}");
    }
    // Neither of them got anywhere; others do not mind.
    let accepted = tokio::time::timeout(Duration::from_millis(300), shy_bob.accept()).await;
    ensure!(accepted.is_err(), "a connection that was refused was accepted");
    pair.talk("beside those that were refused").await
}

pub(super) async fn who_requires_a_direct_path_keeps_it<W: World>(world: &W) -> Outcome {
    const GRACE: Duration = Duration::from_millis(500);
    let pair = Pair::new(world).await?;
    if pair.to_bob.path().kind != PathKind::Direct {
        return Ok(());
    }
    let strict = PathPolicy::RequireDirect { grace: GRACE };
    let options = ListenOptions::new(protocol("strict/1")?).with_path_policy(strict);
    let listener = step("to listen", pair.bob.listen(options)).await?;
    let options = ConnectOptions::new(protocol("strict/1")?).with_path_policy(strict);
    let (near, far) = meet(&pair.alice, &listener, options).await?;
    let ends = tokio::time::timeout(3 * GRACE, near.closed()).await;
    ensure!(ends.is_err(), "it was direct, and ended: {ends:?}");
    talk(&near, &far, "after the time in which it has to be direct").await
}
