//! From one link to the next.

use std::future::poll_fn;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Poll, Waker};
use std::time::Duration;

use async_trait::async_trait;

use crate::close::CloseCause;
use crate::error::Result;
use crate::handshake::ControlReader;
use crate::identity::PeerId;
use crate::priority::Priority;
use crate::reconnect::LostReason;
use crate::transport::Link;

/// A link's control streams, this side's and the peer's. In a box: they pass through many hands, and
/// each would have room for them in its future.
pub(crate) type Control<L> = Box<(<L as Link>::SendStream, ControlReader<<L as Link>::RecvStream>)>;

/// A link whose handshake is done.
pub(crate) struct Relinked<L: Link> {
    pub(crate) link: L,
    pub(crate) control: Control<L>,
    /// Where the peer's receiving lanes stand, from a peer that said so.
    pub(crate) standing: Option<[(u64, u64); Priority::COUNT]>,
}

/// Why there is no next link.
pub(crate) enum RedialError {
    /// There may be one later.
    Later(String),
    /// There never will be.
    Never(LostReason),
}

/// How the connection has ended, if it has.
pub(crate) type End<'a> = &'a (dyn Fn() -> Option<(CloseCause, String)> + Sync);

/// What the side that dialled needs to dial again.
#[async_trait]
pub(crate) trait Redial<L: Link>: Send + Sync {
    /// Dials the peer for the same connection once more. `standing` is where this side's receiving
    /// lanes stand. What comes too late leaves the connection to the next attempt; dropping the
    /// future ends it as `end` says, should the peer have gone on with it.
    async fn redial(
        &self,
        attempt: u32,
        standing: [(u64, u64); Priority::COUNT],
        or_new: bool,
        within: Duration,
        end: End<'_>,
    ) -> Result<Relinked<L>, RedialError>;

    /// A number drawn at random.
    fn random(&self) -> u64;

    /// Whether there are links that stand by for others.
    fn has_standby(&self) -> bool;

    /// The name that such links prove.
    async fn standby_id(&self) -> Result<PeerId>;

    /// Dials the peer for a link that stands by for the connection's.
    async fn stand_by(
        &self,
        attempt: u32,
        within: Duration,
        end: End<'_>,
    ) -> Result<Relinked<L>, RedialError>;
}

/// Where the accepting task leaves a link for a connection that waits for one.
pub(crate) struct Handover<L: Link>(Mutex<State<L>>);

struct State<L: Link> {
    /// In a box: it is seldom there.
    next: Option<Box<Relinked<L>>>,
    /// The newest attempt that came through: an older one that comes later is void.
    attempt: u32,
    /// The connection has ended.
    over: bool,
    waker: Option<Waker>,
}

impl<L: Link> Default for Handover<L> {
    fn default() -> Self {
        Self(Mutex::new(State { next: None, attempt: 0, over: false, waker: None }))
    }
}

impl<L: Link> Handover<L> {
    fn state(&self) -> MutexGuard<'_, State<L>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Leaves the link of an attempt, unless a newer one has come through or the connection has
    /// ended: then the link comes back.
    pub(crate) fn put(&self, attempt: u32, next: Box<Relinked<L>>) -> Option<Box<Relinked<L>>> {
        let (older, waker) = {
            let mut state = self.state();
            if state.over || attempt <= state.attempt {
                return Some(next);
            }
            state.attempt = attempt;
            (state.next.replace(next), state.waker.take())
        };
        drop(older);
        waker.into_iter().for_each(Waker::wake);
        None
    }

    /// The connection has ended: a link that came too late comes back.
    pub(crate) fn end(&self) -> Option<Box<Relinked<L>>> {
        let mut state = self.state();
        state.over = true;
        state.next.take()
    }

    /// Waits for a link. Cancel safe.
    pub(crate) async fn take(&self) -> Box<Relinked<L>> {
        poll_fn(|cx| {
            let mut state = self.state();
            if let Some(next) = state.next.take() {
                return Poll::Ready(next);
            }
            state.waker = Some(cx.waker().clone());
            Poll::Pending
        })
        .await
    }
}
