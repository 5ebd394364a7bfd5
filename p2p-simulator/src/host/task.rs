//! Tasks that belong to a host: they end when it crashes, and stand still when it is paused.

use std::cell::Cell;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use p2p_core::transport::EngineTask;
use thiserror::Error;
use tokio::task::JoinHandle;

use super::Host;
use crate::engine::fault::hosts::Gate;
use crate::shared::Shared;

thread_local! {
    /// The host whose task is being polled on this thread: the network it is of, and its number.
    static CURRENT: Cell<Option<(usize, u32)>> = const { Cell::new(None) };
}

impl Host {
    /// Runs a future as a task of this host, as a process runs on a machine: when the host crashes,
    /// the task is dropped at that time, and [`HostTaskError::Crashed`] is what comes of it; while the
    /// host is paused, the task is not polled, and goes on afterwards, late for its timers.
    ///
    /// A task of plain `tokio::spawn` belongs to no host: after a crash it still runs, though it finds
    /// its connections gone. As soon as a run has spawned one task here, others that use a host's
    /// endpoint are *strays*: counted, named in the [`FaultReport`](crate::FaultReport), and an error in
    /// a simulation that is [strict](crate::Simulation::with_strict). To use it is to dial, to accept,
    /// to open a stream, to read, write or end one, to send or receive a datagram or a message, and to
    /// close. The program that the simulation runs is no stray: it plays fate; nor are the tasks that
    /// a connection has for itself.
    ///
    /// On an [isolated](crate::Network::isolated_host) host, what plain `tokio::spawn` spawns in a task
    /// of the host is the host's too.
    ///
    /// # Panics
    ///
    /// Outside of a tokio runtime.
    pub fn spawn<F>(&self, future: F) -> HostTask<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        let (shared, host) = (self.shared.clone(), self.number);
        shared.expect_strays();
        let life = shared.with(|engine, _| engine.enter_task(host));
        let future = life.map(|_| Box::pin(future));
        let own = life.and_then(|life| shared.isolated.runtime(&shared, host, life));
        let life = life.unwrap_or(0);
        let gated = Gated { shared, host, life, ticket: None, future };
        let task = match own {
            Some(runtime) => runtime.spawn(gated),
            None => tokio::spawn(gated),
        };
        HostTask { task, host: self.clone(), life }
    }

    fn has_crashed_since(&self, life: u64) -> bool {
        self.shared.with(|engine, _| engine.hosts[self.number as usize].tasks.life() != life)
    }
}

/// Waits for a task of a host: a future. Dropping it lets the task go on.
#[derive(Debug)]
pub struct HostTask<T> {
    task: JoinHandle<Option<T>>,
    host: Host,
    life: u64,
}

impl<T> HostTask<T> {
    /// Drops the task where it is.
    pub fn abort(&self) {
        self.task.abort();
    }

    /// Whether it is over.
    pub fn is_finished(&self) -> bool {
        self.task.is_finished()
    }
}

impl<T> Future for HostTask<T> {
    type Output = Result<T, HostTaskError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.task).poll(cx).map(|joined| match joined {
            Ok(Some(output)) => Ok(output),
            Ok(None) => Err(HostTaskError::Crashed { host: self.host.name() }),
            Err(error) if error.is_panic() => {
                Err(HostTaskError::Panicked { host: self.host.name(), what: error.to_string() })
            }
            // A runtime that ends cancels its tasks.
            Err(_) if self.host.has_crashed_since(self.life) => {
                Err(HostTaskError::Crashed { host: self.host.name() })
            }
            Err(_) => Err(HostTaskError::Aborted),
        })
    }
}

/// Why a task of a host gave nothing.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum HostTaskError {
    /// It was aborted.
    #[error("the task was aborted")]
    Aborted,
    /// Its host crashed.
    #[error("the task's host '{host}' crashed")]
    Crashed {
        /// The host's name.
        host: String,
    },
    /// It panicked.
    #[error("a task of host '{host}' panicked: {what}")]
    Panicked {
        /// The host's name.
        host: String,
        /// What it said.
        what: String,
    },
}

/// A future that runs only while its host does.
struct Gated<F> {
    shared: Arc<Shared>,
    host: u32,
    life: u64,
    ticket: Option<u64>,
    /// `None` when it is over.
    future: Option<Pin<Box<F>>>,
}

impl<F: Future> Future for Gated<F> {
    type Output = Option<F::Output>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let Self { shared, host, life, ticket, future } = &mut *self;
        let Some(running) = future else { return Poll::Ready(None) };
        let gate = shared.with(|engine, _| engine.poll_gate(*host, *life, ticket, cx));
        let marked = Marked::new(shared, *host);
        match gate {
            Poll::Pending => return Poll::Pending,
            Poll::Ready(Gate::Run) => {
                let Poll::Ready(output) = running.as_mut().poll(cx) else { return Poll::Pending };
                *future = None;
                drop(marked);
                return Poll::Ready(Some(output));
            }
            Poll::Ready(Gate::Ended) => {}
        }
        // What the task held is dropped as the host's own.
        *future = None;
        Poll::Ready(None)
    }
}

impl<F> Drop for Gated<F> {
    fn drop(&mut self) {
        let (host, life, ticket) = (self.host, self.life, self.ticket);
        self.shared.with(|engine, _| engine.leave_task(host, life, ticket));
    }
}

/// Marks what runs on this thread as a host's until it is dropped.
pub(crate) struct Marked(Option<(usize, u32)>);

impl Marked {
    pub(crate) fn new(shared: &Arc<Shared>, host: u32) -> Self {
        Self(CURRENT.replace(Some((Arc::as_ptr(shared) as usize, host))))
    }
}

impl Drop for Marked {
    fn drop(&mut self) {
        CURRENT.set(self.0);
    }
}

/// The number of the host whose task runs on this thread.
pub(crate) fn current_host() -> Option<u32> {
    CURRENT.try_with(Cell::get).ok().flatten().map(|(_, host)| host)
}

/// A task of the engine's, as one of the host's.
pub(crate) struct OfHost {
    shared: Arc<Shared>,
    host: u32,
    task: EngineTask,
}

impl OfHost {
    pub(crate) fn boxed(shared: &Arc<Shared>, host: u32, task: EngineTask) -> EngineTask {
        Box::pin(Self { shared: shared.clone(), host, task })
    }
}

impl Future for OfHost {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let Self { shared, host, task } = &mut *self;
        let _marked = Marked::new(shared, *host);
        task.as_mut().poll(cx)
    }
}

/// Counts the present task as a stray if it is not one of the host's. At every call on the network, so
/// what is no stray costs a comparison.
#[inline]
pub(crate) fn note_stray(shared: &Arc<Shared>, host: u32) {
    if shared.expects_strays() && CURRENT.get() != Some((Arc::as_ptr(shared) as usize, host)) {
        note_foreign(shared, host);
    }
}

#[cold]
fn note_foreign(shared: &Arc<Shared>, host: u32) {
    let current = CURRENT.get().filter(|(network, _)| *network == Arc::as_ptr(shared) as usize);
    let Some(task) = tokio::task::try_id() else { return };
    shared.with(|engine, _| {
        let task = match current {
            Some((_, of)) => format!("a task of '{}'", engine.hosts[of as usize].name),
            None => engine.net.faults.number_of(task),
        };
        engine.net.faults.stray(host, task);
    });
}

impl<F> fmt::Debug for Gated<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Gated").field("host", &self.host).finish_non_exhaustive()
    }
}
