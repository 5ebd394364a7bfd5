//! Signs of life, written many at once.

use std::sync::Arc;

use p2p_coordinator_api::{Heartbeat, HostStatus, Timestamp};
use tokio::task::JoinSet;

use super::sample::{self, LEASE, later};
use super::step::{add_host, ensure, ensure_eq, found, hosts, only};
use super::{Failure, Fixture, Outcome};
use crate::domain::{Beat, Change, HostRecord, Load, Terms};
use crate::store::{HostQuery, Store, StoreError};

fn beat(host: &str, heard: Timestamp, current_players: u32) -> Outcome<Beat> {
    let measured = Heartbeat { latency_ms: 50.0, current_players, ..Heartbeat::default() };
    Ok(Beat { host: host.parse()?, measured, heard })
}

pub(super) async fn signs_of_life_are_written_into_their_hosts(fixture: &impl Fixture) -> Outcome {
    let (store, terms) = (fixture.fresh().await?, Terms::default());
    let lost = HostRecord { status: HostStatus::Offline, ..sample::host("lost")? };
    let lost = add_host(&store, lost).await?;
    let heard = add_host(&store, sample::host("heard")?).await?;
    let silent = add_host(&store, sample::host("silent")?).await?;
    let (first, second) = (beat("lost", later(10), 1)?, beat("heard", later(20), 2)?);
    let third = beat("heard", later(30), 3)?;
    let mut written = store.hear(vec![first.clone(), second, third.clone()], &terms).await?;
    written.sort_by_key(|view| view.row.id);
    ensure_eq!(written.len(), 2, "hosts that were written");
    ensure_eq!(Some(&written[0]), store.host(&lost.value.host_id).await?.as_ref(), "the one");
    ensure_eq!(Some(&written[1]), store.host(&heard.value.host_id).await?.as_ref(), "the other");
    for (row, last) in [(&lost, &first), (&heard, &third)] {
        let mut expected = row.value.clone();
        expected.heartbeat(&last.measured, &terms, last.heard);
        let read = found("the host", store.host(&row.value.host_id).await?)?.row;
        ensure_eq!(read.value, expected, "a host that was heard");
        ensure!(read.version > row.version, "{} follows {}", read.version, row.version);
    }
    let read = found("the host", store.host(&silent.value.host_id).await?)?;
    ensure_eq!(read.row, silent, "a host that was not");
    // Lists go by what was written.
    let query = HostQuery { available_at: Some(LEASE), ..HostQuery::default() };
    let listed = store.hosts(&query).await?;
    let names: Vec<_> = listed.iter().map(|host| host.row.value.host_id.as_str()).collect();
    ensure_eq!(names, ["lost", "heard"], "the less loaded first, and not the silent one");
    Ok(())
}

pub(super) async fn older_signs_and_those_of_strangers_change_nothing(
    fixture: &impl Fixture,
) -> Outcome {
    let (store, terms) = (fixture.fresh().await?, Terms::default());
    let host = HostRecord { last_heard: later(100), ..sample::host("host")? };
    let host = add_host(&store, host).await?;
    let beats = vec![beat("stranger", later(200), 1)?, beat("host", later(99), 1)?];
    let there = store.hear(beats, &terms).await?;
    ensure_eq!(store.hear(Vec::new(), &terms).await?, [], "nobody heard");
    let read = only("host", store.hosts(&HostQuery::default()).await?)?;
    ensure_eq!(there.len(), 1, "hosts that are there");
    ensure_eq!(there[0], read, "the host that is there");
    ensure_eq!(read.row, host, "the one host");
    Ok(())
}

const SIGNS: u32 = 30;

pub(super) async fn signs_and_updates_lose_none_of_each_other(fixture: &impl Fixture) -> Outcome {
    let store = Arc::new(fixture.fresh().await?);
    let first = add_host(&*store, sample::host("host")?).await?;
    let id = first.value.host_id.clone();
    let mut tasks: JoinSet<Outcome> = JoinSet::new();
    for number in 1..=SIGNS {
        let other = store.clone();
        let (store, beat) = (store.clone(), beat("host", later(number.into()), number)?);
        tasks.spawn(async move {
            store.hear(vec![beat], &Terms::default()).await?;
            Ok(())
        });
        let (store, id) = (other, id.clone());
        tasks.spawn(async move {
            loop {
                let mut row = found("the host", store.host(&id).await?)?.row;
                row.value.max_zones += 1;
                match store.commit(hosts([Change::Update(row)])).await {
                    Ok(_) => return Ok(()),
                    Err(StoreError::Conflict) => {}
                    Err(other) => return Err(other.into()),
                }
            }
        });
    }
    while let Some(ended) = tasks.join_next().await {
        ended.map_err(|error| Failure::new(format!("a task: {error}")))??;
    }
    let read = found("the host", store.host(&id).await?)?.row.value;
    ensure_eq!(read.max_zones, first.value.max_zones + SIGNS, "updates");
    ensure_eq!(read.reported, Load { players: SIGNS, zones: 0 }, "the last sign");
    ensure_eq!(read.last_heard, later(SIGNS.into()), "when it was heard");
    Ok(())
}
