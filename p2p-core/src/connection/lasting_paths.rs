//! The changes of a connection's path, over all its links.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures_core::Stream;

use super::Core;
use crate::path::{PathEvents, PathInfo};
use crate::reconnect::StateEvents;
use crate::transport::Link;

/// The path as it is, then each change of way; between two links there is none, unless a standby
/// carries the data.
pub(super) fn events<L: Link>(core: &Arc<Core<L>>) -> PathEvents {
    if core.reconnect.is_none() {
        return core.link().path_events();
    }
    PathEvents::new(LastingPaths {
        links: core.former_links(),
        at: At::Link(core.link().path_events()),
        states: core.state.events(),
        core: core.clone(),
        main: None,
        last: None,
    })
}

struct LastingPaths<L: Link> {
    core: Arc<Core<L>>,
    /// How many links there had been before the one that is followed.
    links: u64,
    at: At,
    /// Which link carries the data changes with them.
    states: StateEvents,
    /// The main link's path, once it is known.
    main: Option<PathInfo>,
    last: Option<PathInfo>,
}

enum At {
    Link(PathEvents),
    /// Waiting for the next link, or for `false`: the end.
    Between(Pin<Box<dyn Future<Output = bool> + Send>>),
}

impl<L: Link> LastingPaths<L> {
    /// Goes on with the main link. Ready with `false` at the end.
    fn poll_main(&mut self, cx: &mut Context<'_>) -> Poll<bool> {
        match &mut self.at {
            At::Link(events) => Pin::new(events).poll_next(cx).map(|path| {
                if path.is_none() {
                    let (core, before) = (self.core.clone(), self.links);
                    self.at =
                        At::Between(Box::pin(async move { core.has_next_link(before).await }));
                }
                self.main = Some(path.unwrap_or(PathInfo::NONE));
                true
            }),
            At::Between(next) => next.as_mut().poll(cx).map(|goes_on| {
                self.links = self.core.former_links();
                // Not known before the next link says so.
                self.main = None;
                self.at = At::Link(self.core.link().path_events());
                goes_on
            }),
        }
    }

    /// The path that carries the data, if it is another than the last.
    fn news(&mut self) -> Option<PathInfo> {
        let path = match self.core.standby_in_charge() {
            Some(standby) => standby.path(),
            None => self.main.clone()?,
        };
        let is_same = self.last.as_ref().is_some_and(|last| last.is_same_way(&path));
        if is_same || self.core.is_over() {
            return None;
        }
        self.last = Some(path.clone());
        Some(path)
    }
}

impl<L: Link> Stream for LastingPaths<L> {
    type Item = PathInfo;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<PathInfo>> {
        let this = &mut *self;
        while let Poll::Ready(Some(_)) = Pin::new(&mut this.states).poll_next(cx) {}
        loop {
            match this.poll_main(cx) {
                Poll::Ready(false) => return Poll::Ready(None),
                Poll::Ready(true) => {
                    if let Some(path) = this.news() {
                        return Poll::Ready(Some(path));
                    }
                }
                Poll::Pending => {
                    return this.news().map_or(Poll::Pending, |path| Poll::Ready(Some(path)));
                }
            }
        }
    }
}
