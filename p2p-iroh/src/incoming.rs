//! [`IrohIncoming`]: an inbound link before its peer is authenticated.

use std::fmt;
use std::sync::Arc;

use iroh::endpoint::{
    ConnectionError, Incoming as QuicIncoming, IncomingAddr, IncomingZeroRttConnection,
};
use p2p_core::CloseCause;
use p2p_core::transport::{Incoming, LinkClosed, Origin};

use crate::address;
use crate::ending::Ending;
use crate::link::IrohLink;
use crate::stream::IrohSendStream;

/// An inbound QUIC connection, from its first packet to the end of the handshake. Dropping it
/// refuses or closes the connection.
pub struct IrohIncoming {
    stage: Stage,
    ending: Arc<Ending>,
}

enum Stage {
    /// Nothing was answered yet.
    First(Box<QuicIncoming>),
    /// The handshake runs; our side can write already.
    Early(IncomingZeroRttConnection),
    /// It went to the link, or to nothing.
    Gone,
}

impl IrohIncoming {
    pub(crate) fn new(incoming: QuicIncoming) -> Self {
        Self { stage: Stage::First(Box::new(incoming)), ending: Arc::default() }
    }

    /// Starts the handshake, if it has not been started before.
    fn start(&mut self) -> Result<IncomingZeroRttConnection, LinkClosed> {
        match std::mem::replace(&mut self.stage, Stage::Gone) {
            Stage::First(incoming) => {
                let accepting = incoming.accept().map_err(|error| self.ending.tell(&error))?;
                let connection = accepting.into_0rtt();
                self.stage = Stage::Early(connection.clone());
                Ok(connection)
            }
            Stage::Early(connection) => {
                self.stage = Stage::Early(connection.clone());
                Ok(connection)
            }
            Stage::Gone => Err(self.ending.tell(&ConnectionError::LocallyClosed)),
        }
    }
}

impl Incoming for IrohIncoming {
    type Link = IrohLink;

    fn origin(&self) -> Option<Origin> {
        let Stage::First(incoming) = &self.stage else { return None };
        match incoming.remote_addr() {
            IncomingAddr::Ip(address) => Some(Origin::of_ip(address.ip())),
            // The relay has had it prove its name.
            IncomingAddr::Relay { endpoint_id, .. } => {
                address::id_from_iroh(&endpoint_id).map(Origin::Peer)
            }
            _ => None,
        }
    }

    async fn open_early(&mut self) -> Result<IrohSendStream, LinkClosed> {
        let connection = self.start()?;
        let stream = connection.open_uni().await.map_err(|error| self.ending.tell(&error))?;
        Ok(IrohSendStream::new(stream, self.ending.clone()))
    }

    async fn authenticated(mut self) -> Result<IrohLink, LinkClosed> {
        let early = self.start()?;
        let connection = early.handshake_completed().await;
        let connection = connection.map_err(|error| self.ending.tell_connecting(&error))?;
        self.stage = Stage::Gone;
        IrohLink::new(connection, self.ending.clone())
    }
}

impl Drop for IrohIncoming {
    fn drop(&mut self) {
        if let Stage::Early(connection) = &self.stage {
            self.ending.close(connection, CloseCause::Dropped.to_wire(), "");
        }
    }
}

impl fmt::Debug for IrohIncoming {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let stage = match &self.stage {
            Stage::First(_) => "first packet",
            Stage::Early(_) => "handshake",
            Stage::Gone => "gone",
        };
        f.debug_struct("IrohIncoming").field("stage", &stage).finish_non_exhaustive()
    }
}
