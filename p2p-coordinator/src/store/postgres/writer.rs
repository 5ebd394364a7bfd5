//! The tasks that write: what waits together is committed together.
//!
//! So the database's flush of its disk, and the journeys to it, are paid once for all who wait.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use p2p_coordinator_api::Timestamp;
use tokio::sync::{Mutex as AsyncMutex, mpsc, oneshot, watch};
use tokio::time::timeout;
use tokio_postgres::Row;

use super::group::Commit;
use super::hear;
use super::link::{Link, Params, Session, failed, is_lost, unavailable};
use super::read::moment;
use super::write::{self, Results, Trouble};
use crate::domain::{Beat, HostView, Terms};
use crate::store::{Committed, PROBE_BYTES, StoreError};

/// The most requests that wait for the task; further callers wait in line.
const QUEUE: usize = 1024;

/// The most requests in one group: bounds how long the first waits for the last.
const GROUP: usize = 256;

/// How often a group is tried that others' writes come in the way of, each commit by itself at last.
const ATTEMPTS: u32 = 4;

/// How long one group may take; after that its connection is given up.
const BOUND: Duration = Duration::from_secs(15);

enum Request {
    Commit(Commit, oneshot::Sender<Result<Committed, StoreError>>),
    Hear(Vec<Beat>, Terms, oneshot::Sender<Result<Vec<HostView>, StoreError>>),
    Prune(Prune, oneshot::Sender<Result<usize, StoreError>>),
    Check(oneshot::Sender<Result<(), StoreError>>),
}

/// Which sessions are to be forgotten.
pub(super) struct Prune {
    pub(super) ended_by: Timestamp,
    pub(super) keep: u32,
    pub(super) at_most: u32,
}

pub(super) struct Writer {
    requests: Mutex<Option<mpsc::Sender<Request>>>,
    ended: watch::Receiver<()>,
}

impl Writer {
    /// With a task for each connection. While one waits for the database's disk, the next takes what
    /// came meanwhile.
    pub(super) fn start(links: impl IntoIterator<Item = Link>) -> Self {
        let (requests, queue) = mpsc::channel(QUEUE);
        let queue = Arc::new(AsyncMutex::new(queue));
        let (ending, ended) = watch::channel(());
        for link in links {
            let (queue, ending) = (queue.clone(), ending.clone());
            // It ends when the last who may ask is gone, or at the close.
            tokio::spawn(async move {
                loop {
                    let mut waiting = Vec::new();
                    if queue.lock().await.recv_many(&mut waiting, GROUP).await == 0 {
                        break;
                    }
                    serve(&link, waiting).await;
                }
                link.close().await;
                drop(ending);
            });
        }
        Self { requests: Mutex::new(Some(requests)), ended }
    }

    pub(super) async fn commit(&self, commit: Commit) -> Result<Committed, StoreError> {
        let (reply, answer) = oneshot::channel();
        self.ask(Request::Commit(commit, reply)).await?;
        answer.await.map_err(|_| unavailable("it has been closed"))?
    }

    pub(super) async fn hear(
        &self,
        beats: Vec<Beat>,
        terms: Terms,
    ) -> Result<Vec<HostView>, StoreError> {
        let (reply, answer) = oneshot::channel();
        self.ask(Request::Hear(beats, terms, reply)).await?;
        answer.await.map_err(|_| unavailable("it has been closed"))?
    }

    pub(super) async fn prune(&self, prune: Prune) -> Result<usize, StoreError> {
        let (reply, answer) = oneshot::channel();
        self.ask(Request::Prune(prune, reply)).await?;
        answer.await.map_err(|_| unavailable("it has been closed"))?
    }

    pub(super) async fn check(&self) -> Result<(), StoreError> {
        let (reply, answer) = oneshot::channel();
        self.ask(Request::Check(reply)).await?;
        answer.await.map_err(|_| unavailable("it has been closed"))?
    }

    async fn ask(&self, request: Request) -> Result<(), StoreError> {
        let requests = self.requests.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let closed = || unavailable("it has been closed");
        requests.ok_or_else(closed)?.send(request).await.map_err(|_| closed())
    }

    /// Takes no more requests, and waits for those that were taken.
    pub(super) async fn close(&self) {
        drop(self.requests.lock().unwrap_or_else(PoisonError::into_inner).take());
        // It never changes; its sender is dropped at the end.
        let _ = self.ended.clone().changed().await;
    }
}

async fn serve(link: &Link, requests: Vec<Request>) {
    let (mut commits, mut replies) = (Vec::new(), Vec::new());
    let (mut heard, mut checks) = (Vec::new(), Vec::new());
    for request in requests {
        match request {
            Request::Commit(commit, reply) => {
                commits.push(commit);
                replies.push(reply);
            }
            Request::Hear(beats, terms, reply) => heard.push((beats, terms, reply)),
            // Rare, and not about what the others write.
            Request::Prune(sessions, reply) => {
                let _ = reply.send(prune(link, &sessions).await);
            }
            Request::Check(reply) => checks.push(reply),
        }
    }
    if !commits.is_empty() {
        let results = write(link, commits).await;
        for (reply, result) in replies.into_iter().zip(results) {
            // Whoever asked may have gone.
            let _ = reply.send(result);
        }
    }
    for (beats, terms, reply) in heard {
        let _ = reply.send(hear(link, &beats, &terms).await);
    }
    for reply in checks {
        let _ = reply.send(check(link).await);
    }
}

/// Takes new pages, so that a server that only reads, or a full disk, is noticed: room that there is
/// in other tables is not asked for. One in so many times the table is emptied.
async fn check(link: &Link) -> Result<(), StoreError> {
    let session = link.session().await?;
    let text = "INSERT INTO p2p_probe (filler)
        SELECT repeat('x', 7000) FROM generate_series(1, $1) RETURNING id";
    let rows = run(&session, text, &[&PROBE_PAGES]).await?;
    let number = |row: &Row| row.get::<_, i64>(0);
    if rows.iter().map(number).any(|number| number % (PROBES * i64::from(PROBE_PAGES)) == 0) {
        run(&session, "TRUNCATE p2p_probe", &[]).await?;
    }
    Ok(())
}

/// The pages that one check takes, of 8 KiB.
const PROBE_PAGES: i32 = (PROBE_BYTES / (8 << 10)) as i32;

/// After so many checks, of all coordinators on the database, their pages are given up: up to 1 MiB.
const PROBES: i64 = 16;

/// One statement that is a transaction by itself.
async fn run(session: &Session, text: &str, params: Params<'_>) -> Result<Vec<Row>, StoreError> {
    match timeout(BOUND, session.query(text, params)).await {
        Ok(Ok(rows)) => Ok(rows),
        Ok(Err(error)) => {
            if is_lost(&error) {
                session.give_up();
            }
            Err(failed("to write", error))
        }
        Err(_) => Err(late(session)),
    }
}

async fn prune(link: &Link, sessions: &Prune) -> Result<usize, StoreError> {
    let session = link.session().await?;
    let (by, keep, most) =
        (moment(sessions.ended_by), i64::from(sessions.keep), i64::from(sessions.at_most));
    let text = "DELETE FROM p2p_sessions WHERE id IN (
            SELECT id FROM p2p_sessions
            WHERE status IN ('ENDED', 'FAILED') AND ended_at <= GREATEST($1,
                (SELECT ended_at FROM p2p_sessions
                 WHERE status IN ('ENDED', 'FAILED') AND ended_at IS NOT NULL
                 ORDER BY ended_at DESC, id DESC LIMIT 1 OFFSET $2))
            ORDER BY ended_at, id LIMIT $3)
        RETURNING id";
    Ok(run(&session, text, &[&by, &keep, &most]).await?.len())
}

/// Leads whose connection holds a lock, which the server frees when the connection ends: always the
/// same connection therefore.
pub(super) async fn lead(link: &Link) -> Result<bool, StoreError> {
    let session = link.session().await?;
    if session.leads() {
        return Ok(true);
    }
    let rows = run(&session, "SELECT pg_try_advisory_lock($1)", &[&LEAD]).await?;
    let leads = rows.first().is_some_and(|row| row.get(0));
    session.set_leads(leads);
    Ok(leads)
}

/// The lock of who looks after the records: any number that others are unlikely to choose.
const LEAD: i64 = 0x7032_706c_6561_6472;

/// Signs of life may be written twice, so it is tried again.
async fn hear(link: &Link, beats: &[Beat], terms: &Terms) -> Result<Vec<HostView>, StoreError> {
    for _ in 1..ATTEMPTS {
        let session = link.session().await?;
        match timeout(BOUND, hear::hear(&session, beats, terms)).await {
            Ok(Ok(hosts)) => return Ok(hosts),
            Ok(Err(Trouble::Refused(error))) => return Err(error),
            Ok(Err(_)) => {}
            Err(_) => return Err(late(&session)),
        }
    }
    Err(unavailable("it went away each time"))
}

fn late(session: &Session) -> StoreError {
    session.give_up();
    unavailable("no answer in time")
}

async fn write(link: &Link, commits: Vec<Commit>) -> Results {
    let count = commits.len();
    for attempt in 1..=ATTEMPTS {
        let last = attempt == ATTEMPTS;
        match attempt_group(link, commits.clone()).await {
            Ok(results) => return results,
            // One alone lost to others each time.
            Err(Trouble::Raced) if last && count == 1 => return vec![Err(StoreError::Conflict)],
            Err(Trouble::Raced) if last => break,
            Err(Trouble::Raced) => {}
            Err(Trouble::Early(error)) if last => return all(count, error),
            Err(Trouble::Early(error @ StoreError::Unavailable { .. })) => {
                // Somebody waited for the connection already; one that was lost is made again.
                if link.session().await.is_err() {
                    return all(count, error);
                }
            }
            Err(Trouble::Early(error) | Trouble::Unknown(error)) => return all(count, error),
            Err(Trouble::Refused(error)) if count == 1 => return vec![Err(error)],
            Err(Trouble::Refused(_)) => break,
        }
    }
    // One of them is the reason: it is to fail alone.
    let mut results = Vec::new();
    for commit in commits {
        results.extend(Box::pin(write(link, vec![commit])).await);
    }
    results
}

async fn attempt_group(link: &Link, commits: Vec<Commit>) -> Result<Results, Trouble> {
    let session = link.session().await.map_err(Trouble::Early)?;
    match timeout(BOUND, write::group(&session, commits)).await {
        Ok(result) => result,
        Err(_) => Err(Trouble::Unknown(late(&session))),
    }
}

/// One failure is told to all who waited.
fn all(count: usize, error: StoreError) -> Results {
    let what = error.to_string();
    let others = std::iter::repeat_with(|| unavailable(&what));
    std::iter::once(error).chain(others).take(count).map(Err).collect()
}
