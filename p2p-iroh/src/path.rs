//! Which way a link's data takes.
//!
//! An iroh connection has several paths open at once, relayed ones as a backup. Exactly one is
//! *selected* to carry data, or none for a moment, and only that one is the truth about the link.

use futures_util::StreamExt;
use futures_util::stream;
use iroh::TransportAddr;
use iroh::endpoint::{Connection, WeakConnectionHandle};
use p2p_core::{PathEvents, PathInfo, PathKind};

use crate::address;

/// The path that carries the data now; none once the link has ended.
pub(crate) fn selected(connection: &Connection) -> PathInfo {
    if connection.close_reason().is_some() {
        return PathInfo::NONE;
    }
    let paths = connection.paths();
    let Some(path) = paths.iter().find(|path| path.is_selected()) else { return PathInfo::NONE };
    let rtt = Some(path.rtt());
    let mut info = PathInfo::NONE;
    info.rtt = rtt;
    match path.remote_addr() {
        TransportAddr::Ip(addr) => return PathInfo::direct(*addr, rtt),
        TransportAddr::Relay(url) => match address::relay_from_iroh(url) {
            Some(relay) => return PathInfo::relayed(relay, rtt),
            // Longer than the core's bound on such URLs: still a relay.
            None => info.kind = PathKind::Relayed,
        },
        // A user-defined transport, and whatever later versions add: no relay between.
        _ => info.kind = PathKind::Direct,
    }
    info
}

/// The path as it is, then each change of way. Does not keep the connection open.
pub(crate) fn events(connection: &Connection) -> PathEvents {
    // Subscribed before the first look, so that no change falls between the two.
    let changes = connection.path_events();
    let handle = connection.weak_handle();
    let ended = Box::pin(handle.closed());
    let last: Option<PathInfo> = None;
    PathEvents::new(stream::unfold(
        (changes, ended, handle, last),
        async |(mut changes, mut ended, handle, last)| loop {
            let now = look(&handle)?;
            if last.as_ref().is_none_or(|last| !last.is_same_way(&now)) {
                return Some((now.clone(), (changes, ended, handle, Some(now))));
            }
            // What the event says does not matter, not even that some were missed: the snapshot
            // is at least as new.
            tokio::select! {
                biased;
                _ = &mut ended => return None,
                change = changes.next() => change?,
            };
        },
    ))
}

/// The path now, or `None` if the connection has ended.
fn look(handle: &WeakConnectionHandle) -> Option<PathInfo> {
    let connection = handle.upgrade()?;
    connection.close_reason().is_none().then(|| selected(&connection))
}
