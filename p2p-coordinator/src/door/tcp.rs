//! The door for everybody: HTTP/1.1 over TCP.

use std::future::Future;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use super::serve::serve;
use super::{Closing, Limits, Remote};

/// Serves `router` on `listener` until the door closes; then requests that are being done have
/// the time of [`Limits::drain`]. Whether all of them ended by themselves.
///
/// # Cancel safety
///
/// Dropping the future ends all connections at once.
pub async fn run(listener: TcpListener, router: Router, limits: Limits, closing: Closing) -> bool {
    run_with(Plain, listener, router, limits, closing).await
}

/// From a connection to what requests are read from.
pub(super) trait Handshake: Clone + Send + Sync + 'static {
    type Io: AsyncRead + AsyncWrite + Send + Unpin + 'static;

    /// `None` if there is nobody to talk to.
    fn shake(self, stream: TcpStream) -> impl Future<Output = Option<Self::Io>> + Send;
}

/// None.
#[derive(Clone)]
struct Plain;

impl Handshake for Plain {
    type Io = TcpStream;

    async fn shake(self, stream: TcpStream) -> Option<TcpStream> {
        Some(stream)
    }
}

pub(super) async fn run_with(
    handshake: impl Handshake,
    listener: TcpListener,
    router: Router,
    limits: Limits,
    closing: Closing,
) -> bool {
    let places = Arc::new(Semaphore::new(limits.connections));
    let mut connections = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            biased;
            () = closing.closed() => break,
            Some(_) = connections.join_next() => continue,
            accepted = accept(&listener, &places) => accepted,
        };
        let Ok((stream, remote, place)) = accepted else { continue };
        let (router, closing, handshake) = (router.clone(), closing.clone(), handshake.clone());
        connections.spawn(async move {
            let Some(stream) = handshake.shake(stream).await else { return };
            serve(stream, router, limits, remote, closing).await;
            drop(place);
        });
    }
    drop(listener);
    let ended = async { while connections.join_next().await.is_some() {} };
    timeout(limits.drain, ended).await.is_ok()
}

async fn accept(
    listener: &TcpListener,
    places: &Arc<Semaphore>,
) -> io::Result<(TcpStream, Remote, OwnedSemaphorePermit)> {
    let place = places.clone().acquire_owned().await.map_err(io::Error::other)?;
    match listener.accept().await {
        Ok((stream, address)) => {
            // Answers are small and whole; one that waits for company helps nobody.
            let _ = stream.set_nodelay(true);
            Ok((stream, Remote::Address(address.ip()), place))
        }
        Err(error) => {
            // Out of descriptors, most often: it passes, and trying at once would only burn time.
            tracing::warn!(%error, "cannot accept a connection");
            sleep(PAUSE).await;
            Err(error)
        }
    }
}

const PAUSE: Duration = Duration::from_millis(100);
