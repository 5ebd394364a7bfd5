//! What durable stores keep. One that keeps nothing passes.

use p2p_coordinator_api::Nonce;

use super::sample::{self, Draw, NOW, later};
use super::step::{
    add_host, add_session, add_zone, commit_each, ensure, ensure_eq, everything, hosts, players,
    seated, session, unchanged,
};
use super::{Fixture, Outcome};
use crate::domain::Change;
use crate::store::{SessionKey, Store};

pub(super) async fn what_was_acknowledged_is_there_after_opening_again(
    fixture: &impl Fixture,
) -> Outcome {
    let mut store = fixture.fresh().await?;
    let mut draw = Draw::new(2);
    for round in 0..3 {
        for number in round * 30 + 1..=round * 30 + 30 {
            let host = add_host(&store, draw.host(number)?).await?;
            let zone = add_zone(&store, draw.zone(number)?).await?;
            add_session(&store, draw.session(number, &host, &zone)?).await?;
        }
        let before = everything(&store).await?;
        let Some(again) = fixture.reopen(store).await? else { return Ok(()) };
        unchanged(&again, &before).await?;
        store = again;
    }
    Ok(())
}

pub(super) async fn numbers_are_not_given_again(fixture: &impl Fixture) -> Outcome {
    let store = fixture.fresh().await?;
    let host = add_host(&store, sample::host("host")?).await?;
    let (id, version) = (host.id, host.version);
    commit_each(&store, [hosts([Change::Delete { id, version }])]).await?;
    let Some(store) = fixture.reopen(store).await? else { return Ok(()) };
    let again = add_host(&store, sample::host("host")?).await?;
    ensure!(again.id > id, "host {} comes after {id}, which was deleted", again.id);
    Ok(())
}

pub(super) async fn the_order_of_coming_is_kept(fixture: &impl Fixture) -> Outcome {
    let store = fixture.fresh().await?;
    let host = add_host(&store, sample::host("host")?).await?;
    let zone = add_zone(&store, sample::zone("zone")?).await?;
    let row = add_session(&store, sample::session(1, &host, &zone, &["c", "a"])?).await?;
    let name = row.value.name.clone();
    let Some(store) = fixture.reopen(store).await? else { return Ok(()) };
    let mut row = session(&store, &name).await?;
    let player = sample::player("b")?;
    row.value.reserve(player.clone(), Nonce([1; 16]), later(9), NOW)?;
    store.commit(seated(row, &player, None)).await?;
    let Some(store) = fixture.reopen(store).await? else { return Ok(()) };
    let row = session(&store, &name).await?;
    ensure_eq!(players(&row.value), ["c", "a", "b"], "who came before and after");
    let found = store.session_of(&player).await?;
    ensure_eq!(found.as_ref(), Some(&row), "the session of the last");
    ensure_eq!(store.session(&SessionKey::Number(row.id)).await?, Some(row), "by its number");
    Ok(())
}
