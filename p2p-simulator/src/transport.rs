//! The shell around the engine: the core's [`Transport`] and [`Link`](p2p_core::transport::Link).

use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use p2p_core::transport::{EngineTask, Incoming, LinkClosed, StandbySupport, Transport};
use p2p_core::{P2PError, PeerAddr, PeerId};

use crate::engine::endpoint::EndpointLimits;
use crate::engine::{ConnId, Direction, Engine, Nanos, Side};
use crate::host::task::{OfHost, note_stray};
use crate::shared::Shared;

mod link;
mod stream;

pub use link::SimLink;
pub use stream::{SimRecvStream, SimSendStream};

/// An endpoint on a simulated host.
#[derive(Debug)]
pub struct SimTransport {
    shared: Arc<Shared>,
    endpoint: u32,
    host: u32,
    peer: PeerId,
    /// Random numbers drawn so far.
    draws: AtomicU32,
    limits: EndpointLimits,
    /// The endpoint of links that stand by, once there is one.
    standby: Mutex<Option<u32>>,
}

impl SimTransport {
    pub(crate) fn new(shared: Arc<Shared>, endpoint: u32, limits: EndpointLimits) -> Self {
        let (host, peer) =
            shared.with(|engine, _| (engine.host_of(endpoint), engine.peer_of(endpoint)));
        let (draws, standby) = (AtomicU32::new(0), Mutex::new(None));
        Self { shared, endpoint, host, peer, draws, limits, standby }
    }

    /// The endpoint of links that stand by, made at first use.
    fn standby_endpoint(&self) -> Result<u32, P2PError> {
        let mut standby = self.standby.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(endpoint) = *standby {
            return Ok(endpoint);
        }
        let (host, limits) = (self.host, self.limits);
        let bound = self.shared.with(|engine, now| {
            // One that a former process of the host left is gone with it.
            engine.bind_standby(now, host, limits)
        });
        let endpoint = bound.map_err(|error| P2PError::Network {
            what: format!("no second endpoint for standby links: {error:?}"),
            source: None,
        })?;
        *standby = Some(endpoint);
        Ok(endpoint)
    }

    async fn dial_from(&self, endpoint: u32, peer: PeerId) -> Result<SimLink, P2PError> {
        let dialled = self.shared.with(|engine, now| engine.dial(now, endpoint, peer));
        let (conn, to) = dialled.ok_or(P2PError::PeerNotFound { peer })?;
        // From here on dropping the future drops the link, which closes it.
        let link = SimLink::new(self.shared.clone(), self.host, conn, Side::Dialler, to);
        link.established().await.map_err(|closed| P2PError::ConnectionFailed {
            peer,
            reason: closed.to_string(),
            source: None,
        })?;
        Ok(link)
    }

    /// Ends both endpoints.
    fn unbind(&self) {
        let standby = *self.standby.lock().unwrap_or_else(PoisonError::into_inner);
        self.shared.with(|engine, now| {
            engine.unbind(now, self.endpoint);
            if let Some(standby) = standby {
                engine.unbind(now, standby);
            }
        });
    }

    fn note_stray(&self) {
        note_stray(&self.shared, self.host);
    }
}

impl Drop for SimTransport {
    fn drop(&mut self) {
        self.unbind();
    }
}

impl Transport for SimTransport {
    type Link = SimLink;
    type Incoming = SimIncoming;

    fn local_peer_id(&self) -> PeerId {
        self.peer
    }

    fn local_addr(&self) -> PeerAddr {
        let address = self.shared.with(|engine, _| engine.address_of(self.endpoint));
        PeerAddr::new(self.peer).with_address(address)
    }

    async fn dial(&self, peer: &PeerAddr) -> Result<SimLink, P2PError> {
        self.note_stray();
        self.dial_from(self.endpoint, peer.id()).await
    }

    async fn accept(&self) -> Option<SimIncoming> {
        self.note_stray();
        let (conn, from) = AcceptIncoming { transport: self, ticket: None }.await?;
        let link = SimLink::new(self.shared.clone(), self.host, conn, Side::Acceptor, from);
        Some(SimIncoming { link })
    }

    fn random(&self) -> u64 {
        let draws = self.draws.fetch_add(1, Ordering::Relaxed);
        self.shared.with(|engine, _| engine.drawn_by(self.endpoint, draws))
    }

    async fn refresh(&self) {
        self.shared.with(|engine, now| engine.report_addresses(now, self.host));
    }

    fn standby(&self) -> StandbySupport {
        match self.shared.with(|engine, _| engine.has_relay(self.host)) {
            true => StandbySupport::Relayed,
            false => StandbySupport::None,
        }
    }

    async fn standby_id(&self) -> Result<PeerId, P2PError> {
        self.note_stray();
        let endpoint = self.standby_endpoint()?;
        Ok(self.shared.with(|engine, _| engine.peer_of(endpoint)))
    }

    async fn dial_standby(&self, peer: &PeerAddr) -> Result<SimLink, P2PError> {
        self.note_stray();
        let (endpoint, peer) = (self.standby_endpoint()?, peer.id());
        if !self.shared.with(|engine, _| engine.has_relay_to(self.host, peer)) {
            let reason = "no relay leads to it".to_owned();
            return Err(P2PError::ConnectionFailed { peer, reason, source: None });
        }
        self.dial_from(endpoint, peer).await
    }

    async fn close(&self) {
        self.note_stray();
        self.unbind();
    }

    fn task(&self, task: EngineTask) -> EngineTask {
        OfHost::boxed(&self.shared, self.host, task)
    }
}

struct AcceptIncoming<'a> {
    transport: &'a SimTransport,
    ticket: Option<u64>,
}

impl Future for AcceptIncoming<'_> {
    type Output = Option<(ConnId, u32)>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let SimTransport { shared, endpoint, .. } = self.transport;
        shared.with(|engine, _| engine.poll_incoming(*endpoint, &mut self.ticket, cx))
    }
}

impl Drop for AcceptIncoming<'_> {
    fn drop(&mut self) {
        if let Some(ticket) = self.ticket {
            let SimTransport { shared, endpoint, .. } = self.transport;
            shared.with(|engine, _| engine.leave_incoming(*endpoint, ticket));
        }
    }
}

/// An inbound link whose dialler has not proven yet who it is.
#[derive(Debug)]
pub struct SimIncoming {
    link: SimLink,
}

impl Incoming for SimIncoming {
    type Link = SimLink;

    async fn open_early(&mut self) -> Result<SimSendStream, LinkClosed> {
        self.link.note_stray();
        self.link.with(|engine, now, conn, _| engine.answer(now, conn));
        let stream = self.link.open(Direction::Uni).await?;
        Ok(self.link.send_stream(stream))
    }

    async fn authenticated(self) -> Result<SimLink, LinkClosed> {
        self.link.note_stray();
        self.link.established().await?;
        Ok(self.link)
    }
}

/// Waits at one end of a connection until `poll` is ready; leaves nothing behind when dropped.
struct WaitAtEnd<'a, F> {
    shared: &'a Shared,
    conn: ConnId,
    side: Side,
    ticket: Option<u64>,
    poll: F,
}

impl<'a, F> WaitAtEnd<'a, F> {
    const fn new(shared: &'a Shared, conn: ConnId, side: Side, poll: F) -> Self {
        Self { shared, conn, side, ticket: None, poll }
    }
}

impl<R, F> Future for WaitAtEnd<'_, F>
where
    F: FnMut(&mut Engine, Nanos, &mut Option<u64>, &Context<'_>) -> Poll<R> + Unpin,
{
    type Output = R;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<R> {
        let Self { shared, ticket, poll, .. } = self.get_mut();
        shared.with(|engine, now| poll(engine, now, ticket, cx))
    }
}

impl<F> Drop for WaitAtEnd<'_, F> {
    fn drop(&mut self) {
        if let Some(ticket) = self.ticket {
            self.shared.with(|engine, _| engine.leave(self.conn, self.side, ticket));
        }
    }
}
