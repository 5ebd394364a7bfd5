//! What ends without a word: silence, and how an end finds out.

use p2p_core::transport::LinkClosed;

use super::trace::TraceKind;
use super::{ConnId, Engine, Event, Nanos, Side};

impl Engine {
    /// Ends this end if it has heard nothing for its idle timeout. Keep-alives are not simulated one
    /// by one: an end hears the other as long as there is a way and somebody there.
    pub(super) fn check_silence(&mut self, now: Nanos, id: ConnId, side: Side) {
        let Some(conn) = self.conns.get(id) else { return };
        let route = conn.route(id, side);
        let silent_since = [
            self.net.links[route.back as usize].cut_since,
            self.hosts[route.to_host as usize].down_since,
            self.hosts[route.to_host as usize].tasks.paused_since(),
            conn.ends[side.other() as usize].gone_since,
        ];
        let end = &conn.ends[side as usize];
        let since = silent_since.into_iter().flatten().min();
        if end.closed.is_none() && since.is_some_and(|since| now - since >= end.idle_timeout) {
            self.net.trace.mark(now, TraceKind::TimedOut, route.to_host, route.from_host);
            self.net.faults.hit_silence(route.to_host, route.from_host);
            self.expect_silence_of(now, id, side);
            self.end(now, id, side, LinkClosed::TimedOut);
        }
    }

    /// This end says nothing any more: begins to count the silence at the other.
    pub(super) fn expect_silence_of(&mut self, now: Nanos, conn: ConnId, side: Side) {
        let side = side.other();
        if let Some(end) = self.end_mut(conn, side).filter(|end| end.closed.is_none()) {
            let at = now + end.idle_timeout;
            self.net.queue.push(at, Event::CheckSilence { conn, side });
        }
    }

    /// Begins to count the silence of those ends that can no longer hear.
    pub(super) fn expect_silence(&mut self, now: Nanos, from: u32, to: u32) {
        for id in self.conns.ids() {
            let Some(conn) = self.conns.get(id) else { continue };
            if let Some(side) = conn.joins(from, to) {
                let idle = conn.ends[side as usize].idle_timeout;
                self.net.queue.push(now + idle, Event::CheckSilence { conn: id, side });
            }
        }
    }
}
