//! Datagrams: sent once, kept until somebody takes them.

use std::task::{Context, Poll};

use bytes::Bytes;
use p2p_core::transport::{DatagramError, LinkClosed};

use super::conn::{Wait, forgotten};
use super::{ConnId, Engine, Nanos, Packet, Side};

/// Datagrams that may wait to be received; then the oldest go.
const MAX_DATAGRAMS: usize = 1024;

impl Engine {
    pub(crate) fn max_datagram(&self, id: ConnId, side: Side) -> usize {
        self.conns.get(id).map_or(0, |conn| self.net.mtu(conn.route(id, side)))
    }

    pub(crate) fn send_datagram(
        &mut self,
        now: Nanos,
        id: ConnId,
        side: Side,
        datagram: Bytes,
    ) -> Result<(), DatagramError> {
        let Some(conn) = self.conns.get(id) else {
            return Err(DatagramError::Closed(forgotten()));
        };
        if let Some(closed) = &conn.ends[side as usize].closed {
            return Err(DatagramError::Closed(LinkClosed::clone(closed)));
        }
        let route = conn.route(id, side);
        let max = self.net.mtu(route);
        if datagram.len() > max {
            return Err(DatagramError::TooLarge { max });
        }
        self.net.send(now, route, Packet::Datagram(datagram));
        Ok(())
    }

    pub(super) fn on_datagram(&mut self, id: ConnId, side: Side, datagram: Bytes) {
        let Some(conn) = self.conns.get_mut(id) else { return };
        let end = &mut conn.ends[side as usize];
        if end.closed.is_some() {
            return;
        }
        let datagrams = end.datagrams.get_or_insert_default();
        if datagrams.len() >= MAX_DATAGRAMS {
            datagrams.pop_front();
        }
        datagrams.push_back(datagram);
        end.waiting.wake(Wait::Datagram, &mut self.wakers);
    }

    pub(crate) fn poll_datagram(
        &mut self,
        id: ConnId,
        side: Side,
        ticket: &mut Option<u64>,
        cx: &Context<'_>,
    ) -> Poll<Result<Bytes, LinkClosed>> {
        let Some(end) = self.end_mut(id, side) else { return Poll::Ready(Err(forgotten())) };
        if let Some(datagram) = end.datagrams.as_mut().and_then(|datagrams| datagrams.pop_front()) {
            return Poll::Ready(Ok(datagram));
        }
        if let Some(closed) = &end.closed {
            return Poll::Ready(Err(LinkClosed::clone(closed)));
        }
        end.waiting.wait_for(Wait::Datagram, ticket, cx);
        Poll::Pending
    }
}
