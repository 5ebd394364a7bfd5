//! [`Listener`]: the connections of one protocol.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use tokio::sync::{Mutex, Semaphore, mpsc};

use crate::address::PeerAddr;
use crate::close::{CloseCause, CloseReason, ClosedBy};
use crate::connection::Connection;
use crate::error::{P2PError, Result};
use crate::node::Node;
use crate::protocol::ProtocolName;
use crate::provider::{P2PListener, P2PProvider};
use crate::transport::Transport;

/// The [`P2PListener`] of a [`Node`].
pub struct Listener<T: Transport> {
    node: Node<T>,
    protocol: ProtocolName,
    queue: Mutex<mpsc::Receiver<Connection<T::Link>>>,
    /// Places left; closed when the listener is. It also tells this listener from a later one.
    places: Arc<Semaphore>,
}

impl<T: Transport> Listener<T> {
    pub(crate) fn new(
        node: Node<T>,
        protocol: ProtocolName,
        queue: mpsc::Receiver<Connection<T::Link>>,
        places: Arc<Semaphore>,
    ) -> Self {
        Self { node, protocol, queue: Mutex::new(queue), places }
    }
}

#[async_trait]
impl<T: Transport> P2PListener for Listener<T> {
    type Connection = Connection<T::Link>;

    async fn accept(&self) -> Result<Self::Connection> {
        let closed = || {
            let reason = CloseReason::new(ClosedBy::Local, CloseCause::Shutdown, "listener closed");
            P2PError::Closed(reason)
        };
        let mut queue = self.queue.lock().await;
        let connection = queue.recv().await.ok_or_else(closed)?;
        // What came before the close but was not taken is closed with it.
        if self.places.is_closed() { Err(closed()) } else { Ok(connection) }
    }

    fn local_addr(&self) -> PeerAddr {
        self.node.local_addr()
    }

    fn protocol(&self) -> &ProtocolName {
        &self.protocol
    }

    fn close(&self) {
        self.places.close();
        self.node.shared.remove_listener(&self.protocol, &self.places);
        // The queue ends with its last sender, which was in the node. Whoever waits in `accept`
        // holds the receiver and closes what is left; otherwise it is done here.
        if let Ok(mut queue) = self.queue.try_lock() {
            queue.close();
            while queue.try_recv().is_ok() {}
        }
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
