//! The thread that owns the database.
//!
//! Requests come by a bounded queue and are done in order. A write begins a group: what else is
//! waiting joins it, all are committed at once, and only then does anybody hear of it. So a flush of
//! the disk, where one is asked for, is paid once for all who wait, and nobody is told of what is not
//! kept. A request that fails is undone by itself (a savepoint); a commit that fails undoes all, and so
//! does a request after which SQLite has ended the transaction, as it does on a full disk.

use std::io;
use std::sync::{Mutex, PoisonError};

use rusqlite::Connection;
use tokio::sync::{mpsc, oneshot, watch};

use super::checkpoint::Checkpoints;
use super::failed;
use crate::store::StoreError;

/// Whether a request changes anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Read,
    Write,
}

/// Does the work, unless no transaction could be begun; gives back whether it is to be kept, and how
/// to answer once that is known.
type Job = Box<dyn FnOnce(Option<&Connection>) -> (bool, Answer) + Send>;
type Answer = Box<dyn FnOnce(Result<(), StoreError>) + Send>;

struct Request {
    kind: Kind,
    job: Job,
}

/// The most requests that wait for the thread; further callers wait in line.
const QUEUE: usize = 1024;

/// The most requests in one group: bounds how long the first waits for the last.
const GROUP: usize = 128;

pub(super) struct Worker {
    requests: Mutex<Option<mpsc::Sender<Request>>>,
    ended: watch::Receiver<()>,
}

impl Worker {
    pub(super) fn start(connection: Connection, mut checkpoints: Checkpoints) -> io::Result<Self> {
        let (requests, queue) = mpsc::channel(QUEUE);
        let (ending, ended) = watch::channel(());
        // SQLite blocks, and a simulation uses the memory store.
        std::thread::Builder::new().name("p2p-coordinator-sqlite".into()).spawn(move || {
            serve(&connection, queue, &mut checkpoints);
            drop(checkpoints);
            // The journal goes into the file; if that fails now, it does at the next start.
            let _ = connection.execute_batch("PRAGMA wal_checkpoint(TRUNCATE)");
            drop(connection);
            drop(ending);
        })?;
        Ok(Self { requests: Mutex::new(Some(requests)), ended })
    }

    pub(super) async fn call<T: Send + 'static>(
        &self,
        kind: Kind,
        work: impl FnOnce(&Connection) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let (reply, answer) = oneshot::channel();
        let job: Job = Box::new(move |connection| {
            let result = connection.map(work);
            let keep = matches!(result, Some(Ok(_)));
            let answer: Answer = Box::new(move |committed| {
                let answer = match (committed, result) {
                    // Its own failure says more than what that did to the others.
                    (_, Some(Err(error))) | (Err(error), _) => Err(error),
                    (Ok(()), Some(Ok(value))) => Ok(value),
                    (Ok(()), None) => Err(closed()),
                };
                // Whoever asked may have gone.
                let _ = reply.send(answer);
            });
            (keep, answer)
        });
        let requests = self.requests.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let Some(requests) = requests else { return Err(closed()) };
        requests.send(Request { kind, job }).await.map_err(|_| closed())?;
        drop(requests);
        answer.await.map_err(|_| closed())?
    }

    /// Takes no more requests, and waits for those that were taken.
    pub(super) async fn close(&self) {
        drop(self.requests.lock().unwrap_or_else(PoisonError::into_inner).take());
        // It never changes; its sender is dropped at the end.
        let _ = self.ended.clone().changed().await;
    }
}

fn closed() -> StoreError {
    StoreError::Failed { what: "it has been closed".into(), source: None }
}

fn serve(
    connection: &Connection,
    mut queue: mpsc::Receiver<Request>,
    checkpoints: &mut Checkpoints,
) {
    while let Some(request) = queue.blocking_recv() {
        let mut waiting = Vec::new();
        let begin = match request.kind {
            Kind::Read => "BEGIN DEFERRED",
            Kind::Write => "BEGIN IMMEDIATE",
        };
        let writes = request.kind == Kind::Write;
        let mut group = connection.execute_batch(begin);
        let begun = group.is_ok();
        let mut next = Some(request);
        while let Some(Request { job, .. }) = next.take() {
            waiting.push(match group {
                Ok(()) => {
                    let (answer, stepped) = step(connection, job);
                    group = stepped;
                    answer
                }
                // What went wrong is told below.
                Err(_) => job(None).1,
            });
            // If none could begin, all who wait are told, or each would wait for as long in turn. If
            // one ended the group, the next begins another.
            if writes && waiting.len() < GROUP && (group.is_ok() || !begun) {
                next = queue.try_recv().ok();
            }
        }
        let committed = group.and_then(|()| connection.execute_batch("COMMIT"));
        if committed.is_err() {
            // Some failures have ended the transaction already.
            let _ = connection.execute_batch("ROLLBACK");
        }
        for answer in waiting {
            answer(match &committed {
                Ok(()) => Ok(()),
                Err(error) => Err(failed("to write", Copied(error.to_string()))),
            });
        }
        if writes && committed.is_ok() {
            checkpoints.committed(connection);
        }
    }
}

/// One request, undone by itself if it fails. Whether the group goes on: not if the request's
/// savepoint is gone, for then all before it is undone.
fn step(connection: &Connection, job: Job) -> (Answer, rusqlite::Result<()>) {
    if let Err(error) = execute(connection, "SAVEPOINT request") {
        return (job(None).1, Err(error));
    }
    let (keep, answer) = job(Some(connection));
    let undone = if keep { Ok(0) } else { execute(connection, "ROLLBACK TO request") };
    (answer, undone.and_then(|_| execute(connection, "RELEASE request")).map(|_| ()))
}

fn execute(connection: &Connection, statement: &str) -> rusqlite::Result<usize> {
    connection.prepare_cached(statement)?.execute([])
}

/// One failure of a commit is told to all who waited for it.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Copied(String);
