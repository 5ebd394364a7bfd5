//! The door to a peer.

use std::sync::{Mutex, MutexGuard, PoisonError};

use p2p_coordinator_api::paths;
use p2p_core::{
    BoxError, ConnectOptions, P2PConnection, P2PError, P2PProvider, PeerAddr, ProtocolName,
};
use tokio::time::{Instant, timeout_at};

use super::stream::{Failure, exchange};
use super::{Call, Reply, too_large};
use crate::addr::CoordinatorAddr;
use crate::client::ClientConfig;
use crate::error::RequestError;

/// One connection to the coordinator, made when it is needed, with a stream for each request.
#[derive(Debug)]
pub(crate) struct PeerDoor<P: P2PProvider> {
    provider: P,
    coordinator: PeerAddr,
    protocol: ProtocolName,
    config: ClientConfig,
    /// Whose turn it is to dial, so that requests that come together share one connection.
    dialling: tokio::sync::Mutex<()>,
    current: Mutex<Current<P::Connection>>,
}

#[derive(Debug)]
struct Current<C> {
    connection: Option<C>,
    /// Which one it is, so that a request that failed on an earlier one does not throw it away.
    number: u64,
}

impl<P: P2PProvider> PeerDoor<P> {
    pub(super) fn new(
        provider: P,
        coordinator: PeerAddr,
        config: ClientConfig,
    ) -> Result<Self, RequestError> {
        let protocol = paths::PROTOCOL.parse().map_err(|_| RequestError::Unsupported {
            what: format!("'{}' is no protocol name", paths::PROTOCOL),
        })?;
        Ok(Self {
            provider,
            coordinator,
            protocol,
            config,
            dialling: tokio::sync::Mutex::new(()),
            current: Mutex::new(Current { connection: None, number: 0 }),
        })
    }

    pub(super) async fn request(&self, call: Call) -> Result<Reply, RequestError> {
        let after = self.config.request_timeout;
        let deadline = Instant::now() + after;
        let timed_out = || RequestError::TimedOut { coordinator: self.name(), after };
        let dialled = timeout_at(deadline, self.connection()).await;
        let (number, connection) = match dialled {
            Ok(Ok(connection)) => connection,
            Ok(Err(error)) => return Err(self.unreachable(error.into())),
            Err(_) => return Err(timed_out()),
        };
        let max = self.config.max_reply;
        let asked = async {
            let (send, recv) =
                connection.open_stream().await.map_err(|error| Failure::Broken(error.into()))?;
            exchange(send, recv, call, max).await
        };
        match timeout_at(deadline, asked).await {
            Ok(Ok(reply)) => Ok(reply),
            Ok(Err(Failure::Broken(source))) => {
                self.forget(number);
                Err(self.unreachable(source))
            }
            Ok(Err(Failure::Garbage(error))) => {
                Err(RequestError::Unexpected { what: error.to_string() })
            }
            Ok(Err(Failure::TooLarge)) => Err(too_large(max)),
            Err(_) => {
                // A peer that vanished without a word looks connected until the idle timeout; the
                // next request is not to wait for that.
                self.forget(number);
                Err(timed_out())
            }
        }
    }

    /// The connection there is, or a new one.
    async fn connection(&self) -> Result<(u64, P::Connection), P2PError> {
        if let Some(current) = self.alive() {
            return Ok(current);
        }
        let _turn = self.dialling.lock().await;
        // Somebody else may have made it while this request waited for its turn.
        if let Some(current) = self.alive() {
            return Ok(current);
        }
        let options = ConnectOptions::new(self.protocol.clone());
        let connection = self.provider.connect(&self.coordinator, options).await?;
        let mut current = self.current();
        current.number += 1;
        current.connection = Some(connection.clone());
        Ok((current.number, connection))
    }

    fn alive(&self) -> Option<(u64, P::Connection)> {
        let current = self.current();
        let connection = current.connection.as_ref().filter(|c| c.is_connected())?;
        Some((current.number, connection.clone()))
    }

    fn forget(&self, number: u64) {
        let mut current = self.current();
        if current.number == number {
            let connection = current.connection.take();
            // Its end may run code of the backend: not under the lock.
            drop(current);
            drop(connection);
        }
    }

    fn current(&self) -> MutexGuard<'_, Current<P::Connection>> {
        self.current.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn name(&self) -> String {
        CoordinatorAddr::Peer(self.coordinator.clone()).name()
    }

    fn unreachable(&self, source: BoxError) -> RequestError {
        RequestError::Unreachable { coordinator: self.name(), source }
    }
}
