//! Logins.

use std::fmt::Debug;

use p2p_coordinator_api::Nonce;

use super::sample::{self, later};
use super::step::{conflicts, ensure_eq, found};
use super::{Fixture, Outcome};
use crate::domain::{Change, Changes, Row};
use crate::security::{GrantRecord, Role};
use crate::store::{GrantQuery, Store};

fn grant(number: u8, player: &str, seconds: u64) -> Outcome<GrantRecord> {
    Ok(GrantRecord {
        family: Nonce([number; 16]),
        player: sample::player(player)?,
        role: Role::Player,
        user: number.is_multiple_of(2).then(|| "user".into()),
        current: Nonce([number + 100; 16]),
        revoked: false,
        expires_at: later(1000 * seconds),
    })
}

fn grants(grants: impl IntoIterator<Item = Change<GrantRecord>>) -> Changes {
    Changes { grants: grants.into_iter().collect(), ..Changes::default() }
}

async fn read(store: &impl Store, number: u8) -> Outcome<Row<GrantRecord>> {
    found("the login", store.grant(&Nonce([number; 16])).await?)
}

async fn listed(store: &impl Store, query: GrantQuery) -> Outcome<Vec<u8>> {
    Ok(store.grants(&query).await?.iter().map(|row| row.value.family.0[0]).collect())
}

fn eq<T: PartialEq + Debug>(found: T, expected: T, what: &str) -> Outcome {
    ensure_eq!(found, expected, "{what}");
    Ok(())
}

pub(super) async fn a_login_comes_back_and_of_two_rotations_one_conflicts(
    fixture: &impl Fixture,
) -> Outcome {
    let store = fixture.fresh().await?;
    eq(store.grant(&Nonce([1; 16])).await?, None, "before it was written")?;
    let first = grant(1, "alice", 10)?;
    store.commit(grants([Change::Insert(first.clone())])).await?;
    let row = read(&store, 1).await?;
    eq(&row.value, &first, "as it was written")?;
    let taken = grants([Change::Insert(grant(1, "bob", 20)?)]);
    conflicts("a login of the same name", &store, taken).await?;

    let (mut once, mut again) = (row.clone(), row);
    once.value.rotate(first.current, Nonce([7; 16]), later(20_000));
    again.value.rotate(first.current, Nonce([8; 16]), later(30_000));
    store.commit(grants([Change::Update(once.clone())])).await?;
    let twice = grants([Change::Update(again)]);
    conflicts("a rotation of what was rotated", &store, twice).await?;
    eq(read(&store, 1).await?.value, once.value, "the first rotation")?;

    let Some(store) = fixture.reopen(store).await? else { return Ok(()) };
    let row = read(&store, 1).await?;
    eq(row.value.current, Nonce([7; 16]), "after opening again")?;
    let gone = Change::Delete { id: row.id, version: row.version };
    store.commit(grants([gone])).await?;
    eq(store.grant(&Nonce([1; 16])).await?, None, "after it was deleted")
}

pub(super) async fn logins_are_filtered_and_those_that_end_last_come_first(
    fixture: &impl Fixture,
) -> Outcome {
    let store = fixture.fresh().await?;
    let mut void = grant(3, "bob", 5)?;
    void.revoke(later(15_000));
    let all = [grant(1, "alice", 10)?, grant(2, "alice", 30)?, void, grant(4, "bob", 30)?];
    store.commit(grants(all.map(Change::Insert))).await?;
    let any = GrantQuery::default();
    eq(listed(&store, any.clone()).await?, vec![2, 4, 3, 1], "all, by end and number")?;
    let player = Some(sample::player("alice")?);
    let query = GrantQuery { player, ..any.clone() };
    eq(listed(&store, query).await?, vec![2, 1], "of one player")?;
    let query = GrantQuery { revoked: Some(true), ..any.clone() };
    eq(listed(&store, query).await?, vec![3], "those taken back")?;
    let query = GrantQuery { revoked: Some(false), ..any.clone() };
    eq(listed(&store, query).await?, vec![2, 4, 1], "those not taken back")?;
    let query = GrantQuery { expired_at: Some(later(15_000)), ..any.clone() };
    eq(listed(&store, query).await?, vec![3, 1], "those that have ended, at the moment too")?;
    let query = GrantQuery { offset: 1, limit: Some(2), ..any };
    eq(listed(&store, query).await?, vec![4, 3], "a page")
}
