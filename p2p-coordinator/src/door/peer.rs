//! The door for peers: HTTP/1.1 on the streams of a listener's connections.
//!
//! No socket, no thread, no wall clock: over a simulated listener it is part of the simulation.

use axum::Router;
use p2p_coordinator_api::paths::PROTOCOL;
use p2p_core::{
    ListenOptions, P2PConnection, P2PError, P2PListener, P2PProvider, ProtocolName,
    ProtocolNameError, StreamIo,
};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use super::crowd::Crowd;
use super::serve::serve;
use super::{Closing, Limits, Remote};

/// Opens the door at a provider: listens for the coordinator's protocol.
///
/// # Errors
///
/// Those of [`P2PProvider::listen`].
pub async fn open<P: P2PProvider>(provider: &P, limits: Limits) -> Result<P::Listener, P2PError> {
    let protocol: ProtocolName = PROTOCOL.parse().map_err(|error: ProtocolNameError| {
        P2PError::Network { what: error.to_string(), source: None }
    })?;
    let options = ListenOptions::new(protocol).with_max_connections(limits.connections);
    provider.listen(options).await
}

/// Serves `router` on the streams of all connections of `listener`, until the door closes or the
/// provider is shut down; then requests that are being done have the time of [`Limits::drain`].
/// Whether all of them ended by themselves.
///
/// # Cancel safety
///
/// Dropping the future ends all connections at once.
pub async fn run<L: P2PListener>(
    listener: L,
    router: Router,
    limits: Limits,
    closing: Closing,
) -> bool {
    let mut peers = JoinSet::new();
    loop {
        tokio::select! {
            biased;
            () = closing.closed() => break,
            Some(_) = peers.join_next() => {}
            accepted = listener.accept() => match accepted {
                Ok(connection) => {
                    peers.spawn(guest(connection, router.clone(), limits, closing.clone()));
                }
                Err(error) => {
                    tracing::error!(%error, "no more peers can come");
                    break;
                }
            },
        }
    }
    listener.close();
    let ended = async { while peers.join_next().await.is_some() {} };
    timeout(limits.drain, ended).await.is_ok()
}

/// One peer: each stream of it carries requests.
async fn guest<C: P2PConnection>(connection: C, router: Router, limits: Limits, closing: Closing) {
    let mut streams = JoinSet::new();
    loop {
        // Past the bound the peer's next stream waits until one ends.
        let full = streams.len() >= limits.peer_streams.max(1);
        tokio::select! {
            biased;
            () = closing.closed() => break,
            Some(_) = streams.join_next() => {}
            accepted = connection.accept_stream(), if !full => {
                let Ok((send, recv)) = accepted else { return };
                let io = StreamIo::new(send, recv);
                let (router, closing) = (router.clone(), closing.clone());
                let remote = Remote::Peer(connection.peer_id());
                streams.spawn(serve(io, router, limits, remote, closing, Crowd::new().visitor()));
            }
            // Connections are few, and whoever has more to ask makes another.
            () = sleep(limits.header_timeout), if streams.is_empty() => {
                return connection.close(0, "nothing was asked: connect again").await;
            }
        }
    }
    while streams.join_next().await.is_some() {}
    connection.close(0, "the coordinator is closing").await;
}
