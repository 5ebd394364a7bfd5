//! Signs of life, many in one transaction.

use std::collections::BTreeMap;

use super::batch::Batch;
use super::columns::{Entry, Values, number, update, values};
use super::link::{Session, failed};
use super::read::{get, json};
use super::write::{Trouble, undo};
use crate::domain::{Beat, HostRecord, Terms};
use crate::store::StoreError;

/// Writes signs of life into their hosts, locked in the same order as everywhere.
pub(super) async fn hear(session: &Session, beats: &[Beat], terms: &Terms) -> Result<(), Trouble> {
    let names: Vec<String> = beats.iter().map(|beat| beat.host.as_str().to_owned()).collect();
    let mut reading = Batch::default();
    let text =
        "SELECT id, version, record FROM hosts WHERE host_id = ANY ($1) ORDER BY id FOR UPDATE";
    reading.add(text, vec![Box::new(names)]);
    let rows = match reading.send(session, Some("BEGIN"), None).await {
        Ok(rows) => rows,
        Err(error) => return Err(undo(session, error, Trouble::Early).await),
    };
    let rows = rows.iter().flatten().map(|row| {
        Ok((get::<i64>(row, 0)?, get::<i64>(row, 1)?, json::<HostRecord>(&get::<String>(row, 2)?)?))
    });
    let heard = rows.collect::<Result<Vec<_>, _>>().and_then(|rows| apply(rows, beats, terms));
    let (ids, versions, entries) = match heard {
        Ok(heard) => heard,
        Err(error) => {
            // What cannot be read is not written; the connection is as it was.
            if session.client().batch_execute("ROLLBACK").await.is_err() {
                session.give_up();
            }
            return Err(Trouble::Refused(error));
        }
    };
    if ids.is_empty() {
        let ended = session.client().batch_execute("ROLLBACK").await;
        return ended.map_err(|error| Trouble::Early(failed("to end a transaction", error)));
    }
    let mut writing = Batch::default();
    let mut params: Vec<Values> = vec![Box::new(ids), Box::new(versions)];
    params.extend(values(&entries.iter().collect::<Vec<_>>()));
    writing.add(update::<HostRecord>(), params);
    match writing.send(session, None, Some("COMMIT")).await {
        Ok(_) => Ok(()),
        Err(error) => Err(undo(session, error, Trouble::Unknown).await),
    }
}

type Heard = (Vec<i64>, Vec<i64>, Vec<Entry<HostRecord>>);

/// The hosts to which it is news, in their next versions.
fn apply(
    rows: Vec<(i64, i64, HostRecord)>,
    beats: &[Beat],
    terms: &Terms,
) -> Result<Heard, StoreError> {
    let mut by_host: BTreeMap<&str, Vec<&Beat>> = BTreeMap::new();
    for beat in beats {
        by_host.entry(beat.host.as_str()).or_default().push(beat);
    }
    let (mut ids, mut versions, mut entries) = (Vec::new(), Vec::new(), Vec::new());
    for (id, version, mut host) in rows {
        let own = by_host.remove(host.host_id.as_str()).unwrap_or_default();
        let mut news = false;
        for beat in own {
            news |= host.hear(beat, terms);
        }
        if news {
            ids.push(id);
            versions.push(number(version.unsigned_abs()) + 1);
            entries.push(Entry::new(host)?);
        }
    }
    Ok((ids, versions, entries))
}
