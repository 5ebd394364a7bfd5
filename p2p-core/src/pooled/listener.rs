//! Accepted connections, which nobody shares.

use async_trait::async_trait;

use super::PooledConnection;
use crate::address::PeerAddr;
use crate::error::Result;
use crate::protocol::ProtocolName;
use crate::provider::P2PListener;

/// The listener of a [`Pooled`](crate::Pooled) provider.
#[derive(Debug)]
pub struct PooledListener<N>(N);

impl<N: P2PListener> PooledListener<N> {
    pub(super) const fn new(inner: N) -> Self {
        Self(inner)
    }
}

#[async_trait]
impl<N: P2PListener> P2PListener for PooledListener<N> {
    type Connection = PooledConnection<N::Connection>;

    async fn accept(&self) -> Result<Self::Connection> {
        self.0.accept().await.map(PooledConnection::accepted)
    }

    fn local_addr(&self) -> PeerAddr {
        self.0.local_addr()
    }

    fn protocol(&self) -> &ProtocolName {
        self.0.protocol()
    }

    fn close(&self) {
        self.0.close();
    }
}
