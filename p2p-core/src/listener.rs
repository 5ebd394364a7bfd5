//! [`Listener`]: the connections of one protocol.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use tokio::sync::OwnedSemaphorePermit;

use crate::address::PeerAddr;
use crate::close::{CloseCause, CloseReason, ClosedBy};
use crate::connection::Connection;
use crate::error::{P2PError, Result};
use crate::node::Node;
use crate::pass::Pass;
use crate::protocol::ProtocolName;
use crate::provider::{P2PListener, P2PProvider};
use crate::transport::Transport;

pub(crate) mod backlog;
pub(crate) mod slot;

use backlog::Backlog;

/// The [`P2PListener`] of a [`Node`].
pub struct Listener<T: Transport> {
    node: Node<T>,
    protocol: ProtocolName,
    /// It also tells this listener from a later one of the same name.
    backlog: Arc<Backlog<Connection<T::Link>>>,
}

impl<T: Transport> Listener<T> {
    pub(crate) fn new(
        node: Node<T>,
        protocol: ProtocolName,
        backlog: Arc<Backlog<Connection<T::Link>>>,
    ) -> Self {
        Self { node, protocol, backlog }
    }
}

#[async_trait]
impl<T: Transport> P2PListener for Listener<T> {
    type Connection = Connection<T::Link>;

    async fn accept(&self) -> Result<Self::Connection> {
        self.backlog.next().await.ok_or_else(|| {
            let reason = CloseReason::new(ClosedBy::Local, CloseCause::Shutdown, "listener closed");
            P2PError::Closed(reason)
        })
    }

    fn local_addr(&self) -> PeerAddr {
        self.node.local_addr()
    }

    fn protocol(&self) -> &ProtocolName {
        &self.protocol
    }

    fn close(&self) {
        self.node.shared.remove_listener(&self.protocol, &self.backlog);
        self.backlog.close();
    }
}

impl<T: Transport> Drop for Listener<T> {
    fn drop(&mut self) {
        self.close();
    }
}

impl<T: Transport> fmt::Debug for Listener<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Listener").field("protocol", &self.protocol).finish_non_exhaustive()
    }
}

/// What an accepted connection takes up for as long as it is there.
#[derive(Debug)]
pub(crate) struct Seat {
    /// Among the connections of its listener.
    _place: OwnedSemaphorePermit,
    /// With whoever let it in.
    _pass: Pass,
}

impl Seat {
    pub(crate) const fn new(place: OwnedSemaphorePermit, pass: Pass) -> Self {
        Self { _place: place, _pass: pass }
    }
}
