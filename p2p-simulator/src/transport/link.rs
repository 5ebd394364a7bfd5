//! One end of a simulated connection.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use futures_core::Stream;
use p2p_core::transport::{DatagramError, EngineTask, Link, LinkClosed};
use p2p_core::{PathEvents, PathInfo, PeerId, RelayUrl};

use super::stream::Place;
use super::{SimRecvStream, SimSendStream, WaitAtEnd};
use crate::engine::{ConnId, Direction, Engine, Nanos, Side, StreamAt};
use crate::host::task::{OfHost, note_stray};
use crate::shared::Shared;

/// One end of a simulated connection. Dropping it closes the connection.
#[derive(Debug)]
pub struct SimLink {
    shared: Arc<Shared>,
    host: u32,
    conn: ConnId,
    side: Side,
    /// The other end's endpoint.
    peer: u32,
}

impl SimLink {
    pub(super) const fn new(
        shared: Arc<Shared>,
        host: u32,
        conn: ConnId,
        side: Side,
        peer: u32,
    ) -> Self {
        Self { shared, host, conn, side, peer }
    }

    pub(super) fn with<R>(&self, f: impl FnOnce(&mut Engine, Nanos, ConnId, Side) -> R) -> R {
        self.shared.with(|engine, now| f(engine, now, self.conn, self.side))
    }

    fn wait<R, F>(&self, poll: F) -> WaitAtEnd<'_, F>
    where
        F: FnMut(&mut Engine, Nanos, &mut Option<u64>, &Context<'_>) -> Poll<R> + Unpin,
    {
        WaitAtEnd::new(&self.shared, self.conn, self.side, poll)
    }

    /// Waits until the other side has proven who it is.
    pub(super) fn established(&self) -> impl Future<Output = Result<(), LinkClosed>> + Send {
        let (conn, side) = (self.conn, self.side);
        self.wait(move |engine, _, ticket, cx| engine.poll_established(conn, side, ticket, cx))
    }

    pub(super) fn open(
        &self,
        direction: Direction,
    ) -> impl Future<Output = Result<StreamAt, LinkClosed>> + Send {
        let (conn, side) = (self.conn, self.side);
        self.wait(move |engine, _, ticket, cx| engine.poll_open(conn, side, direction, ticket, cx))
    }

    pub(super) fn note_stray(&self) {
        note_stray(&self.shared, self.host);
    }

    fn accept(
        &self,
        direction: Direction,
    ) -> impl Future<Output = Result<StreamAt, LinkClosed>> + Send {
        let (conn, side) = (self.conn, self.side);
        self.wait(move |engine, _, ticket, cx| {
            engine.poll_accept(conn, side, direction, ticket, cx)
        })
    }

    pub(super) fn send_stream(&self, at: StreamAt) -> SimSendStream {
        SimSendStream::new(self.place(at))
    }

    fn place(&self, at: StreamAt) -> Place {
        let link = self.with(|engine, _, conn, side| engine.link_from(conn, side));
        Place { shared: self.shared.clone(), host: self.host, link, at }
    }

    fn recv_stream(&self, at: StreamAt) -> SimRecvStream {
        SimRecvStream::new(self.place(at))
    }
}

impl Link for SimLink {
    type SendStream = SimSendStream;
    type RecvStream = SimRecvStream;

    fn peer_id(&self) -> PeerId {
        self.shared.with(|engine, _| engine.peer_of(self.peer))
    }

    async fn open_uni(&self) -> Result<SimSendStream, LinkClosed> {
        self.note_stray();
        Ok(self.send_stream(self.open(Direction::Uni).await?))
    }

    async fn accept_uni(&self) -> Result<SimRecvStream, LinkClosed> {
        self.note_stray();
        Ok(self.recv_stream(self.accept(Direction::Uni).await?))
    }

    async fn open_bi(&self) -> Result<(SimSendStream, SimRecvStream), LinkClosed> {
        self.note_stray();
        let stream = self.open(Direction::Bi).await?;
        Ok((self.send_stream(stream), self.recv_stream(stream)))
    }

    async fn accept_bi(&self) -> Result<(SimSendStream, SimRecvStream), LinkClosed> {
        self.note_stray();
        let stream = self.accept(Direction::Bi).await?;
        Ok((self.send_stream(stream), self.recv_stream(stream)))
    }

    fn send_datagram(&self, datagram: Bytes) -> Result<(), DatagramError> {
        self.note_stray();
        self.with(|engine, now, conn, side| engine.send_datagram(now, conn, side, datagram))
    }

    async fn recv_datagram(&self) -> Result<Bytes, LinkClosed> {
        self.note_stray();
        let (conn, side) = (self.conn, self.side);
        self.wait(move |engine, _, ticket, cx| engine.poll_datagram(conn, side, ticket, cx)).await
    }

    fn max_datagram_size(&self) -> Option<usize> {
        Some(self.with(|engine, _, conn, side| engine.max_datagram(conn, side)))
    }

    fn path(&self) -> PathInfo {
        self.with(|engine, _, conn, side| path(engine, conn, side))
    }

    fn path_events(&self) -> PathEvents {
        let (shared, conn, side) = (self.shared.clone(), self.conn, self.side);
        PathEvents::new(SimPathEvents {
            shared,
            conn,
            side,
            last: None,
            ticket: None,
            path_ticket: None,
        })
    }

    fn close(&self, code: u64, message: &str) {
        self.note_stray();
        self.with(|engine, now, conn, side| engine.close(now, conn, side, code, message));
    }

    fn close_reason(&self) -> Option<LinkClosed> {
        self.with(|engine, _, conn, side| engine.close_reason(conn, side))
    }

    async fn closed(&self) -> LinkClosed {
        let (conn, side) = (self.conn, self.side);
        self.wait(move |engine, _, ticket, cx| engine.poll_closed(conn, side, ticket, cx)).await
    }

    fn task(&self, task: EngineTask) -> EngineTask {
        OfHost::boxed(&self.shared, self.host, task)
    }
}

impl Drop for SimLink {
    fn drop(&mut self) {
        let (conn, side) = (self.conn, self.side);
        self.shared.release(|engine, now| engine.release(now, conn, side));
    }
}

fn path(engine: &Engine, conn: ConnId, side: Side) -> PathInfo {
    match engine.path(conn, side) {
        Some((remote, rtt)) if engine.close_reason(conn, side).is_none() => {
            match relay().filter(|_| engine.is_relayed(conn, side)) {
                Some(relay) => PathInfo::relayed(relay, Some(rtt)),
                None => PathInfo::direct(remote, Some(rtt)),
            }
        }
        _ => PathInfo::NONE,
    }
}

/// What a relay is called: there is one in each network.
fn relay() -> Option<RelayUrl> {
    "https://relay.invalid".parse().ok()
}

/// The path as it is, its changes, and the end.
struct SimPathEvents {
    shared: Arc<Shared>,
    conn: ConnId,
    side: Side,
    /// Whether the last one was over a relay.
    last: Option<bool>,
    ticket: Option<u64>,
    path_ticket: Option<u64>,
}

impl Stream for SimPathEvents {
    type Item = PathInfo;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<PathInfo>> {
        let Self { shared, conn, side, last, ticket, path_ticket } = self.get_mut();
        shared.with(|engine, _| {
            if engine.poll_closed(*conn, *side, ticket, cx).is_ready() {
                return Poll::Ready(None);
            }
            if let Some(last) = *last {
                ready!(engine.poll_path(*conn, *side, last, path_ticket, cx));
            }
            *last = Some(engine.is_relayed(*conn, *side));
            Poll::Ready(Some(path(engine, *conn, *side)))
        })
    }
}

impl Drop for SimPathEvents {
    fn drop(&mut self) {
        for ticket in [self.ticket, self.path_ticket].into_iter().flatten() {
            self.shared.with(|engine, _| engine.leave(self.conn, self.side, ticket));
        }
    }
}
