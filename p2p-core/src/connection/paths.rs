//! The watch over a link's path, for connections that may not take any.

use tokio::time::{Instant, timeout_at};

use super::Core;
use crate::close::CloseCause;
use crate::engine::path_rule::{PathRule, PathVerdict};
use crate::path::PathPolicy;
use crate::transport::Link;

/// Ends the connection when its path is none that is allowed.
pub(super) async fn judge<L: Link>(core: &Core<L>, link: &L) {
    if core.path_policy == PathPolicy::PreferDirect {
        return;
    }
    // In a box: most connections take any path, and need no room for it.
    Box::pin(keep_to_rule(core, link)).await;
}

async fn keep_to_rule<L: Link>(core: &Core<L>, link: &L) {
    let mut rule = PathRule::new(core.path_policy, Instant::now());
    let mut events = link.path_events();
    // Before time counts: the path as it is.
    let Some(path) = events.next().await else { return };
    rule.on_path(path.kind, Instant::now());
    loop {
        let path = match rule.look(Instant::now()) {
            PathVerdict::Close(words) => return core.close(CloseCause::PathPolicy, &words),
            PathVerdict::Keep(None) => events.next().await,
            PathVerdict::Keep(Some(until)) => match timeout_at(until, events.next()).await {
                Ok(path) => path,
                Err(_) => continue,
            },
        };
        let Some(path) = path else { return };
        rule.on_path(path.kind, Instant::now());
    }
}
