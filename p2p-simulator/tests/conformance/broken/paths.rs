//! Path events that do not tell all.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures_core::Stream;
use p2p_core::{PathEvents, PathInfo};

use super::Fault;

pub(super) fn events(inner: PathEvents, fault: Fault) -> PathEvents {
    PathEvents::new(BrokenPaths { inner, fault, begun: false })
}

struct BrokenPaths {
    inner: PathEvents,
    fault: Fault,
    begun: bool,
}

impl Stream for BrokenPaths {
    type Item = PathInfo;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<PathInfo>> {
        loop {
            let event = ready!(Pin::new(&mut self.inner).poll_next(cx));
            match (&event, self.fault) {
                (Some(_), Fault::MissesPaths) if self.begun => {}
                (None, Fault::PathsNeverEnd) => return Poll::Pending,
                _ => {
                    self.begun = true;
                    return Poll::Ready(event);
                }
            }
        }
    }
}
