//! The changes of a connection's path, over all its links.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use futures_core::Stream;

use super::Core;
use crate::path::{PathEvents, PathInfo};
use crate::transport::Link;

/// The path as it is, then each change of way; between two links there is none.
pub(super) fn events<L: Link>(core: &Arc<Core<L>>) -> PathEvents {
    if core.reconnect.is_none() {
        return core.link().path_events();
    }
    let links = core.lost_links();
    let at = At::Link(core.link().path_events());
    PathEvents::new(LastingPaths { core: core.clone(), links, at, last: None })
}

struct LastingPaths<L: Link> {
    core: Arc<Core<L>>,
    /// How many links had been lost when the present one was taken.
    links: u64,
    at: At,
    last: Option<PathInfo>,
}

enum At {
    Link(PathEvents),
    /// Waiting for the next link, or for `false`: the end.
    Between(Pin<Box<dyn Future<Output = bool> + Send>>),
}

impl<L: Link> Stream for LastingPaths<L> {
    type Item = PathInfo;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<PathInfo>> {
        let Self { core, links, at, last } = &mut *self;
        loop {
            let path = match at {
                At::Link(events) => match ready!(Pin::new(events).poll_next(cx)) {
                    Some(path) => path,
                    None => {
                        let (core, before) = (core.clone(), *links);
                        *at = At::Between(Box::pin(
                            async move { core.next_link(before).await.is_ok() },
                        ));
                        PathInfo::NONE
                    }
                },
                At::Between(next) => {
                    if !ready!(next.as_mut().poll(cx)) {
                        return Poll::Ready(None);
                    }
                    *links = core.lost_links();
                    *at = At::Link(core.link().path_events());
                    continue;
                }
            };
            if last.as_ref().is_none_or(|last| !last.is_same_way(&path)) && !core.is_over() {
                *last = Some(path.clone());
                return Poll::Ready(Some(path));
            }
        }
    }
}
