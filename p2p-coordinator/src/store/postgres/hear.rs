//! Signs of life, many in one transaction.

use std::collections::BTreeMap;

use super::batch::Batch;
use super::columns::{Entry, Values, number, update, values};
use super::link::{Session, failed};
use super::read::{HOST, host_view};
use super::write::{Trouble, undo};
use crate::domain::{Beat, HostRecord, HostView, Terms};
use crate::store::StoreError;

/// Writes signs of life into their hosts, locked in the same order as everywhere. The hosts then.
pub(super) async fn hear(
    session: &Session,
    beats: &[Beat],
    terms: &Terms,
) -> Result<Vec<HostView>, Trouble> {
    let names: Vec<String> = beats.iter().map(|beat| beat.host.as_str().to_owned()).collect();
    let mut reading = Batch::default();
    let text =
        format!("SELECT {HOST} FROM hosts h WHERE h.host_id = ANY ($1) ORDER BY h.id FOR UPDATE");
    reading.add(text, vec![Box::new(names)]);
    let rows = match reading.send(session, Some("BEGIN"), None).await {
        Ok(rows) => rows,
        Err(error) => return Err(undo(session, error, Trouble::Early).await),
    };
    let views = rows.iter().flatten().map(host_view).collect::<Result<Vec<_>, _>>();
    let (views, heard) = match views.and_then(|views| apply(views, beats, terms)) {
        Ok(heard) => heard,
        Err(error) => {
            // What cannot be read is not written; the connection is as it was.
            if session.client().batch_execute("ROLLBACK").await.is_err() {
                session.give_up();
            }
            return Err(Trouble::Refused(error));
        }
    };
    if heard.ids.is_empty() {
        let ended = session.client().batch_execute("ROLLBACK").await;
        ended.map_err(|error| Trouble::Early(failed("to end a transaction", error)))?;
        return Ok(views);
    }
    let mut writing = Batch::default();
    let mut params: Vec<Values> = vec![Box::new(heard.ids), Box::new(heard.versions)];
    params.extend(values(&heard.entries.iter().collect::<Vec<_>>()));
    writing.add(update::<HostRecord>(), params);
    match writing.send(session, None, Some("COMMIT")).await {
        Ok(_) => Ok(views),
        Err(error) => Err(undo(session, error, Trouble::Unknown).await),
    }
}

/// The hosts to which it is news, in their next versions.
#[derive(Default)]
struct Heard {
    ids: Vec<i64>,
    versions: Vec<i64>,
    entries: Vec<Entry<HostRecord>>,
}

fn apply(
    mut views: Vec<HostView>,
    beats: &[Beat],
    terms: &Terms,
) -> Result<(Vec<HostView>, Heard), StoreError> {
    let mut by_host: BTreeMap<&str, Vec<&Beat>> = BTreeMap::new();
    for beat in beats {
        by_host.entry(beat.host.as_str()).or_default().push(beat);
    }
    let mut heard = Heard::default();
    for HostView { row, .. } in &mut views {
        let own = by_host.remove(row.value.host_id.as_str()).unwrap_or_default();
        let mut news = false;
        for beat in own {
            news |= row.value.hear(beat, terms);
        }
        if news {
            row.version += 1;
            heard.ids.push(row.id);
            heard.versions.push(number(row.version));
            heard.entries.push(Entry::new(row.value.clone())?);
        }
    }
    Ok((views, heard))
}
