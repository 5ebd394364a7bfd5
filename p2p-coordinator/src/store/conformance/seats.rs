//! Who has a place where: one place for each player, in the order of coming.

use std::collections::BTreeMap;

use p2p_coordinator_api::{Nonce, PlayerId};

use super::sample::{self, NOW, later};
use super::step::{
    add_host, add_session, add_zone, conflicts, ensure_eq, everything, found, players, save_seat,
    seated, session, unchanged,
};
use super::{Fixture, Outcome};
use crate::domain::{Change, Changes, Row, SeatChange, SessionRecord};
use crate::store::Store;

/// Two sessions on one host, with these players in them.
async fn two_sessions(
    store: &impl Store,
    first: &[&str],
    second: &[&str],
) -> Outcome<(Row<SessionRecord>, Row<SessionRecord>)> {
    let host = add_host(store, sample::host("host")?).await?;
    let zone = add_zone(store, sample::zone("zone")?).await?;
    let first = add_session(store, sample::session(1, &host, &zone, first)?).await?;
    let second = add_session(store, sample::session(2, &host, &zone, second)?).await?;
    Ok((first, second))
}

async fn where_is(store: &impl Store, player: &PlayerId) -> Outcome<Option<String>> {
    let session = store.session_of(player).await?;
    Ok(session.map(|session| session.value.name.to_string()))
}

pub(super) async fn a_player_is_found_in_its_session(fixture: &impl Fixture) -> Outcome {
    let store = fixture.fresh().await?;
    let (first, second) = two_sessions(&store, &["a", "b"], &["c"]).await?;
    for (player, row) in [("a", &first), ("b", &first), ("c", &second)] {
        let found = store.session_of(&sample::player(player)?).await?;
        ensure_eq!(found.as_ref(), Some(row), "the session of {player}");
    }
    ensure_eq!(store.session_of(&sample::player("d")?).await?, None, "the session of nobody");
    Ok(())
}

pub(super) async fn several_players_are_found_at_once(fixture: &impl Fixture) -> Outcome {
    let store = fixture.fresh().await?;
    let (first, second) = two_sessions(&store, &["a", "b"], &["c"]).await?;
    let (a, c, d) = (sample::player("a")?, sample::player("c")?, sample::player("d")?);
    let sessions = store.sessions_of(&[d, c.clone(), a.clone(), a.clone()]).await?;
    ensure_eq!(sessions, [(a, first), (c, second)].into(), "where they are");
    ensure_eq!(store.sessions_of(&[]).await?, BTreeMap::new(), "where nobody is");
    Ok(())
}

pub(super) async fn seats_are_in_the_order_of_coming(fixture: &impl Fixture) -> Outcome {
    let store = fixture.fresh().await?;
    let (mut row, mut other) = two_sessions(&store, &["m"], &[]).await?;
    for (here, there) in [("z", "y"), ("a", "b"), ("k", "x")] {
        let (here, there) = (sample::player(here)?, sample::player(there)?);
        row.value.add(here.clone(), NOW)?;
        row = save_seat(&store, row, &here).await?;
        other.value.add(there.clone(), NOW)?;
        other = save_seat(&store, other, &there).await?;
    }
    ensure_eq!(players(&row.value), ["m", "z", "a", "k"], "as committed");
    let read = session(&store, &row.value.name).await?;
    ensure_eq!(players(&read.value), ["m", "z", "a", "k"], "as read");
    let read = session(&store, &other.value.name).await?;
    ensure_eq!(players(&read.value), ["y", "b", "x"], "of the other session");
    Ok(())
}

pub(super) async fn a_renewal_keeps_the_place_in_the_order(fixture: &impl Fixture) -> Outcome {
    let store = fixture.fresh().await?;
    let (mut row, _) = two_sessions(&store, &["c", "b", "a"], &[]).await?;
    let player = sample::player("c")?;
    for byte in 1..=3 {
        row.value.reserve(player.clone(), Nonce([byte; 16]), later(byte.into()), NOW)?;
        let from = row.value.name.clone();
        store.commit(seated(row.clone(), &player, Some(&from))).await?;
        let read = session(&store, &from).await?;
        ensure_eq!(players(&read.value), ["c", "b", "a"], "after renewal {byte}");
        ensure_eq!(read.value.seats, row.value.seats, "what keeps the places");
        row = read;
    }
    Ok(())
}

pub(super) async fn who_comes_again_is_last(fixture: &impl Fixture) -> Outcome {
    let store = fixture.fresh().await?;
    let (mut row, _) = two_sessions(&store, &["a", "b"], &[]).await?;
    let player = sample::player("a")?;
    row.value.remove(&player, None, NOW)?;
    let mut changes = Changes::default();
    changes.free(&row.value.name, [player.clone()]);
    changes.sessions.push(Change::Update(row.clone()));
    store.commit(changes).await?;
    let mut row = session(&store, &row.value.name).await?;
    ensure_eq!(players(&row.value), ["b"], "without who went");
    row.value.add(player.clone(), NOW)?;
    let row = save_seat(&store, row, &player).await?;
    ensure_eq!(players(&row.value), ["b", "a"], "with who came again");
    Ok(())
}

pub(super) async fn a_move_is_out_of_one_and_into_the_other(fixture: &impl Fixture) -> Outcome {
    let store = fixture.fresh().await?;
    let (mut here, mut there) = two_sessions(&store, &["a", "b"], &["c"]).await?;
    let player = sample::player("a")?;
    here.value.remove(&player, None, NOW)?;
    there.value.add(player.clone(), NOW)?;
    let (from, to) = (here.value.name.clone(), there.value.name.clone());
    let mut changes = seated(there, &player, Some(&from));
    changes.sessions.push(Change::Update(here));
    store.commit(changes).await?;
    ensure_eq!(players(&session(&store, &from).await?.value), ["b"], "where it was");
    ensure_eq!(players(&session(&store, &to).await?.value), ["c", "a"], "where it is");
    ensure_eq!(where_is(&store, &player).await?, Some(to.to_string()), "its session");
    Ok(())
}

pub(super) async fn a_seat_conflicts_unless_the_player_is_where_it_was(
    fixture: &impl Fixture,
) -> Outcome {
    let store = fixture.fresh().await?;
    let (first, second) = two_sessions(&store, &["a"], &["b"]).await?;
    let before = everything(&store).await?;
    let (one, two) = (&first.value.name, &second.value.name);
    let cases = [
        ("a place for who has one", "a", None, Some(one)),
        ("another place for who has one", "a", None, Some(two)),
        ("a move from where the player is not", "a", Some(two), Some(one)),
        ("a move of who is nowhere", "c", Some(one), Some(two)),
        ("a place taken from who is elsewhere", "a", Some(two), None),
        ("a place taken from who is nowhere", "c", Some(one), None),
        ("nothing taken from who is somewhere", "a", None, None),
    ];
    for (what, player, from, to) in cases {
        let player = sample::player(player)?;
        let to = to.map(|to| (to.clone(), None));
        let seats = vec![SeatChange { player, from: from.cloned(), to }];
        conflicts(what, &store, Changes { seats, ..Changes::default() }).await?;
        unchanged(&store, &before).await?;
    }
    let player = sample::player("c")?;
    let twice = [one, two].map(|to| SeatChange {
        player: player.clone(),
        from: None,
        to: Some((to.clone(), None)),
    });
    let twice = Changes { seats: twice.into(), ..Changes::default() };
    conflicts("two places in one commit", &store, twice).await?;
    unchanged(&store, &before).await
}

pub(super) async fn a_player_freed_is_nowhere(fixture: &impl Fixture) -> Outcome {
    let store = fixture.fresh().await?;
    let (mut row, other) = two_sessions(&store, &["a", "b"], &["c"]).await?;
    let freed = row.value.end(NOW);
    ensure_eq!(freed.len(), 2, "who had a place");
    let mut changes = Changes::default();
    changes.free(&row.value.name, freed);
    changes.sessions.push(Change::Update(row.clone()));
    store.commit(changes).await?;
    for player in ["a", "b"] {
        ensure_eq!(where_is(&store, &sample::player(player)?).await?, None, "where {player} is");
    }
    let there = where_is(&store, &sample::player("c")?).await?;
    ensure_eq!(found("c", there)?, other.value.name.to_string(), "where c is");
    let read = session(&store, &row.value.name).await?;
    ensure_eq!(players(&read.value), Vec::<&str>::new(), "who is in what is over");
    Ok(())
}
