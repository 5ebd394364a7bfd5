//! The door for everybody: HTTP/1.1 over TCP.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use super::crowd::Crowd;
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
    let (places, crowd) = (Arc::new(Semaphore::new(limits.connections)), Crowd::new());
    let mut connections = JoinSet::new();
    // Who has come, and has no place yet.
    let mut next = None;
    loop {
        let place = tokio::select! {
            biased;
            () = closing.closed() => break,
            Some(_) = connections.join_next() => continue,
            accepted = accept(&listener), if next.is_none() => {
                next = accepted;
                continue;
            }
            place = crowd.place(&places), if next.is_some() => place,
        };
        let Some((stream, remote)) = next.take() else { continue };
        let (router, closing, handshake) = (router.clone(), closing.clone(), handshake.clone());
        let visitor = crowd.visitor();
        connections.spawn(async move {
            let shaken = tokio::select! {
                biased;
                shaken = handshake.shake(stream) => shaken,
                () = visitor.leaves() => None,
            };
            let Some(stream) = shaken else { return };
            serve(stream, router, limits, remote, closing, visitor).await;
            drop(place);
        });
    }
    drop(listener);
    let ended = async { while connections.join_next().await.is_some() {} };
    timeout(limits.drain, ended).await.is_ok()
}

/// The next connection; `None` if there was none. Cancel safe.
async fn accept(listener: &TcpListener) -> Option<(TcpStream, Remote)> {
    match listener.accept().await {
        Ok((stream, address)) => {
            // Answers are small and whole; one that waits for company helps nobody.
            let _ = stream.set_nodelay(true);
            Some((stream, Remote::Address(address.ip())))
        }
        Err(error) => {
            // Out of descriptors, most often: it passes, and trying at once would only burn time.
            tracing::warn!(%error, "cannot accept a connection");
            sleep(PAUSE).await;
            None
        }
    }
}

const PAUSE: Duration = Duration::from_millis(100);
