//! Connections that outlive their links.

use std::time::Duration;

use bytes::Bytes;

use super::datagrams::until_one_arrives;
use super::step::{Pair, both, done, ensure, ensure_matches, fails, number_of, numbered, step};
use super::stream_ends::write_error;
use super::{Outcome, World};
use crate::close::{CloseCause, ClosedBy};
use crate::config::ConnectionConfig;
use crate::error::StreamError;
use crate::path::PathKind;
use crate::priority::Priority;
use crate::provider::{P2PConnection, P2PProvider};
use crate::reconnect::{Backoff, ConnectionState, LostReason, ReconnectPolicy};
use crate::stream::{RecvStream, SendStream};

/// Patience of a connection in these checks.
const GIVE_UP: Duration = Duration::from_secs(2);

pub(super) fn lasting<W: World>(world: &W) -> ConnectionConfig {
    let backoff = Backoff::default()
        .with_first(Duration::from_millis(20))
        .with_attempt(Duration::from_secs(1))
        .with_give_up(GIVE_UP);
    world.timers().with_reconnect(ReconnectPolicy::Resume(backoff))
}

async fn lasting_pair<W: World>(world: &W) -> Outcome<Pair<W>> {
    Pair::with(world, lasting(world), lasting(world)).await
}

/// Waits until a connection has had so many links, the present one included.
pub(super) async fn has_had<C: P2PConnection>(connection: &C, links: u64) -> Outcome {
    let mut states = connection.state_events();
    done("to have another link", async {
        while connection.stats().links < links
            || matches!(connection.state(), ConnectionState::Reconnecting { .. })
        {
            if states.next().await.is_none() {
                break;
            }
        }
    })
    .await?;
    let (state, had) = (connection.state(), connection.stats().links);
    ensure!(had >= links && !state.is_over(), "after {had} links, it is {state}");
    Ok(())
}

/// Messages of each priority in one direction.
const EACH: u32 = 150;

/// Sends them, and gives the link up now and then if it `breaks`.
pub(super) async fn send_all<C: P2PConnection>(from: &C, breaks: bool) -> Outcome {
    for number in 0..EACH {
        for (lane, priority) in (0..).zip(Priority::ALL) {
            step("to send", from.send_with(priority, numbered(lane, number))).await?;
        }
        if breaks && number % 40 == 20 {
            from.renew_link();
        }
    }
    Ok(())
}

/// Receives them, each once and in the order of its priority.
pub(super) async fn receive_all<C: P2PConnection>(at: &C) -> Outcome {
    let mut next = [0; Priority::COUNT];
    while next != [EACH; Priority::COUNT] {
        let got = step("to receive", at.recv_message()).await?;
        let (lane, number) = number_of(&got.payload)?;
        let lane = lane as usize;
        ensure!(Priority::ALL.get(lane) == Some(&got.priority), "it changed its priority");
        ensure!(number == next[lane], "{} {number} came, not {}", got.priority, next[lane]);
        next[lane] += 1;
    }
    Ok(())
}

pub(super) async fn messages_survive_the_loss_of_links<W: World>(world: &W) -> Outcome {
    let pair = lasting_pair(world).await?;
    let there = both(send_all(&pair.to_bob, true), receive_all(&pair.to_alice));
    let back = both(send_all(&pair.to_alice, false), receive_all(&pair.to_bob));
    both(there, back).await?;
    pair.talk("after all links").await?;
    let links = pair.to_bob.stats().links;
    ensure!(links > 1, "it had {links} link");
    Ok(())
}

pub(super) async fn either_side_may_renew_the_link<W: World>(world: &W) -> Outcome {
    let pair = lasting_pair(world).await?;
    pair.talk("on the first link").await?;
    pair.to_bob.renew_link();
    pair.talk("on the second link").await?;
    has_had(&pair.to_alice, 2).await?;
    pair.to_alice.renew_link();
    pair.talk("on the third link").await?;
    has_had(&pair.to_bob, 3).await
}

pub(super) async fn a_connection_says_how_it_is_doing<W: World>(world: &W) -> Outcome {
    let pair = lasting_pair(world).await?;
    let mut states = pair.to_bob.state_events();
    let first = done("the present state", states.next()).await?;
    ensure!(first == Some(ConnectionState::Connected), "it is {first:?} at first");
    pair.to_bob.renew_link();
    let second = done("the second state", states.next()).await?;
    ensure!(
        matches!(second, Some(ConnectionState::Reconnecting { attempt: 1, .. })),
        "without a link it is {second:?}"
    );
    loop {
        match done("the next state", states.next()).await? {
            Some(ConnectionState::Resumed) => break,
            Some(ConnectionState::Reconnecting { .. }) => {}
            other => ensure!(false, "on the way to the next link it is {other:?}"),
        }
    }
    pair.talk("on the next link").await?;
    done("to close", pair.to_bob.close(3, "enough")).await?;
    let last = done("the last state", states.next()).await?;
    let reason = ensure_matches!(
        last,
        Some(ConnectionState::Closed(reason)) => reason,
        "the last state"
    );
    ensure!(reason.cause == CloseCause::Application(3), "it was {reason}");
    let end = done("the end of the states", states.next()).await?;
    ensure!(end.is_none(), "after the end it is {end:?}");
    let end = done("Bob to see the end", pair.to_alice.closed()).await?;
    ensure!(end.by == ClosedBy::Peer && end.cause == CloseCause::Application(3), "it was {end}");
    Ok(())
}

pub(super) async fn streams_end_with_their_link<W: World>(world: &W) -> Outcome {
    let pair = lasting_pair(world).await?;
    let mut stream = pair.stream().await?;
    pair.to_bob.renew_link();
    has_had(&pair.to_alice, 2).await?;
    let error = write_error(&mut stream.send).await?;
    ensure!(error == StreamError::LinkReplaced, "the writer is told: {error}");
    let read = done("to read", async {
        loop {
            match stream.arrive.read_chunk(100).await {
                Ok(Some(_)) => {}
                Ok(None) => break Ok(()),
                Err(error) => break Err(error),
            }
        }
    });
    ensure!(read.await? == Err(StreamError::LinkReplaced), "the reader is told something else");
    let next = pair.stream().await?;
    drop(next);
    pair.talk("beside a stream of the next link").await
}

pub(super) async fn path_events_go_on_over_the_next_link<W: World>(world: &W) -> Outcome {
    let pair = lasting_pair(world).await?;
    let mut paths = pair.to_bob.path_events();
    let first = done("the present path", paths.next()).await?;
    ensure!(first.is_some_and(|path| path.kind != PathKind::None), "there is no path at first");
    pair.to_bob.renew_link();
    pair.talk("on the next link").await?;
    loop {
        match done("the next path", paths.next()).await? {
            Some(path) if path.kind == PathKind::None => {}
            Some(_) => break,
            None => ensure!(false, "the events ended with the first link"),
        }
    }
    done("to close", pair.to_bob.close(0, "")).await?;
    while done("the end of the events", paths.next()).await?.is_some() {}
    Ok(())
}

/// Waits until a connection has no link.
async fn is_between_links<C: P2PConnection>(connection: &C) -> Outcome {
    let mut states = connection.state_events();
    done("to lose the link", async {
        while let Some(state) = states.next().await {
            if matches!(state, ConnectionState::Reconnecting { .. }) {
                break;
            }
        }
    })
    .await
}

pub(super) async fn what_begins_between_two_links_goes_on_over_the_next<W: World>(
    world: &W,
) -> Outcome {
    let pair = lasting_pair(world).await?;
    pair.talk("on the first link").await?;
    pair.to_bob.renew_link();
    let opened = async {
        is_between_links(&pair.to_bob).await?;
        let mut paths = pair.to_bob.path_events();
        let (mut send, _recv) = step("to open a stream", pair.to_bob.open_stream()).await?;
        step("to write", send.write_all(Bytes::from_static(b"over the next"))).await?;
        step("to finish", async { send.finish() }).await?;
        while done("the next path", paths.next())
            .await?
            .is_some_and(|path| path.kind == PathKind::None)
        {}
        step("to have it arrive", send.finished()).await
    };
    let accepted = async {
        is_between_links(&pair.to_alice).await?;
        let (_send, mut recv) = step("to accept it", pair.to_alice.accept_stream()).await?;
        let mut got = Vec::new();
        while let Some(chunk) = step("to read", recv.read_chunk(100)).await? {
            got.extend_from_slice(&chunk);
        }
        ensure!(got == b"over the next", "{} bytes arrived", got.len());
        Ok(())
    };
    both(opened, accepted).await?;
    pair.to_alice.renew_link();
    is_between_links(&pair.to_bob).await?;
    until_one_arrives(&pair.to_alice, &pair.to_bob, 100, &mut 0).await?;
    pair.talk("on the third link").await
}

pub(super) async fn a_peer_that_does_not_come_back_is_lost<W: World>(world: &W) -> Outcome {
    let pair = lasting_pair(world).await?;
    pair.talk("before").await?;
    done("to vanish", world.vanish(pair.alice.local_peer_id())).await?;
    step("to send", pair.to_alice.send("into the void".into())).await?;
    let end = done("Bob to see the end", pair.to_alice.closed()).await?;
    ensure!(end.by == ClosedBy::Network && end.cause == CloseCause::Lost, "it ended so: {end}");
    ensure!(end.is_retryable(), "it may come back one day: {end}");
    let lost = ensure_matches!(
        pair.to_alice.state(),
        ConnectionState::Lost(lost) => lost,
        "the last state"
    );
    ensure_matches!(&lost.reason, LostReason::GaveUp { .. } => (), "the reason");
    let lane = lost.lanes[Priority::Normal.index()];
    ensure!(lane.acknowledged <= lane.unknown, "{lane:?}");
    ensure!(lane.unknown <= lane.never_sent && lane.never_sent == 2, "of two messages: {lane:?}");
    let error = fails("to send", pair.to_alice.send(Bytes::new())).await?;
    ensure!(error.to_string().contains("lost"), "to send fails so: {error}");
    Ok(())
}

pub(super) async fn who_dials_and_finds_nobody_gives_up<W: World>(world: &W) -> Outcome {
    let pair = lasting_pair(world).await?;
    done("to vanish", world.vanish(pair.bob.local_peer_id())).await?;
    pair.to_bob.renew_link();
    let error = fails("to receive", pair.to_bob.recv()).await?;
    ensure!(error.to_string().contains("lost"), "to receive fails so: {error}");
    let lost = ensure_matches!(
        pair.to_bob.state(),
        ConnectionState::Lost(lost) => lost,
        "the last state"
    );
    ensure_matches!(lost.reason, LostReason::GaveUp { attempts: 1.., .. } => (), "the reason");
    Ok(())
}

pub(super) async fn a_connection_lasts_only_if_both_want_it<W: World>(world: &W) -> Outcome {
    let pair = Pair::with(world, lasting(world), world.timers()).await?;
    pair.to_bob.renew_link();
    pair.talk("on the only link").await?;
    done("to vanish", world.vanish(pair.bob.local_peer_id())).await?;
    let end = done("Alice to see the end", pair.to_bob.closed()).await?;
    ensure!(end.cause == CloseCause::TimedOut, "it ended so: {end}");
    Ok(())
}

pub(super) async fn closing_ends_the_search_for_a_link<W: World>(world: &W) -> Outcome {
    let pair = lasting_pair(world).await?;
    done("to vanish", world.vanish(pair.bob.local_peer_id())).await?;
    pair.to_bob.renew_link();
    done("to close", pair.to_bob.close(9, "never mind")).await?;
    let end = done("Alice to see the end", pair.to_bob.closed()).await?;
    ensure!(end.by == ClosedBy::Local && end.cause == CloseCause::Application(9), "it was {end}");
    ensure!(!pair.to_bob.is_connected(), "still connected");
    Ok(())
}
