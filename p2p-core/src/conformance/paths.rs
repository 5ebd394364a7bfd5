//! Which way the data takes.

use super::step::{Pair, done, ensure};
use super::{Failure, Outcome, World};
use crate::path::{PathInfo, PathKind};
use crate::provider::P2PConnection;

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
