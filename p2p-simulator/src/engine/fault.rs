//! What is done to the network: links changed, ways cut and repaired, hosts crashed and restarted.

use p2p_core::transport::LinkClosed;

use super::trace::TraceKind;
use super::{Engine, Nanos, nanos};
use crate::profile::LinkProfile;

impl Engine {
    /// Sets what the link from one host to another is like, for packets sent from now on; `None`
    /// makes it like every other.
    pub(crate) fn set_link(&mut self, from: u32, to: u32, profile: Option<&LinkProfile>) {
        self.net.set_link(from, to, profile);
    }

    /// Cuts the way from one host to another, also for what is on it now.
    pub(crate) fn cut(&mut self, now: Nanos, from: u32, to: u32) {
        let link = self.net.link(from, to);
        if self.net.links[link].cut_since.is_none() {
            self.net.links[link].cut_since = Some(now);
            self.net.trace.mark(now, TraceKind::Cut, from, to);
            self.expect_silence(now, from, to);
        }
    }

    /// Repairs it. What waited is sent again, after as long as a sender's probe takes: one round
    /// trip (RFC 9002, section 6.2, without the back-off).
    pub(crate) fn repair(&mut self, now: Nanos, from: u32, to: u32) {
        let link = self.net.link(from, to);
        if self.net.links[link].cut_since.take().is_none() {
            return;
        }
        self.net.trace.mark(now, TraceKind::Repaired, from, to);
        let mut held = std::mem::take(&mut self.net.links[link].held);
        // A packet that was on its way met the cut later than one that was sent into it.
        held.sort_by_key(|held| held.order);
        for held in held {
            let probe = now + nanos(self.net.round_trip(held.route));
            self.net.transmit(now, held.route, held.order, held.packet, probe);
        }
    }

    /// Ends everything on a host at once, without a word to anybody.
    pub(crate) fn crash(&mut self, now: Nanos, host: u32) {
        let place = &mut self.hosts[host as usize];
        if place.down_since.is_some() {
            return;
        }
        place.down_since = Some(now);
        self.net.trace.mark(now, TraceKind::Crashed, host, host);
        self.close_endpoints(host);
        for (id, side) in self.ends_where(|_, _| true) {
            let Some(route) = self.conns.get(id).map(|conn| conn.route(id, side)) else { continue };
            if route.from_host == host {
                let message = "the host crashed".to_owned();
                self.expect_silence_of(now, id, side);
                self.end(now, id, side, LinkClosed::Transport { message });
            }
        }
    }

    /// Starts a host again, with its identity and nothing else.
    pub(crate) fn restart(&mut self, now: Nanos, host: u32) {
        if self.hosts[host as usize].down_since.take().is_some() {
            self.net.trace.mark(now, TraceKind::Restarted, host, host);
        }
    }
}
