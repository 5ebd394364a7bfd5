//! Who waits for what, in words: for a run that has come to a standstill.

use super::conn::{Conn, End, Wait};
use super::streams::Stream;
use super::{ConnId, Direction, Engine, Side};

/// The lines that a report may have; a network of thousands stands still in thousands of ways.
const MAX_LINES: usize = 40;

impl Engine {
    /// Who waits for what on this network.
    pub(crate) fn waits(&self) -> Vec<String> {
        let mut lines = Vec::new();
        for endpoint in self.endpoints.iter().filter(|endpoint| endpoint.is_waited_at()) {
            let host = self.name(endpoint.host);
            lines.push(format!("{host} waits for somebody to connect"));
        }
        for id in self.conns.ids() {
            if let Some(conn) = self.conns.get(id) {
                self.waits_on(id, conn, &mut lines);
            }
        }
        for (&(from, to), &link) in &self.net.by_hosts {
            let link = &self.net.links[link as usize];
            if link.cut_since.is_none() {
                continue;
            }
            let (from, to, held) = (self.name(from), self.name(to), link.held.len());
            lines.push(format!("{held} packet(s) from {from} to {to} wait for a cut's repair"));
        }
        let down = self.hosts.iter().filter(|host| host.down_since.is_some());
        lines.extend(down.map(|host| format!("{} has crashed and was not restarted", host.name)));
        if lines.is_empty() {
            let why = "nobody waits for the network: tasks wait for each other, or for a thread of the \
                       program's own, for which a simulation does not wait";
            lines.push(why.to_owned());
        }
        if lines.len() > MAX_LINES {
            let more = lines.len() - MAX_LINES;
            lines.truncate(MAX_LINES);
            lines.push(format!("and {more} more"));
        }
        lines
    }

    fn waits_on(&self, id: ConnId, conn: &Conn, lines: &mut Vec<String>) {
        for side in [Side::Dialler, Side::Acceptor] {
            let what = self.waits_at(conn, side);
            if !what.is_empty() {
                let route = conn.route(id, side);
                let (from, to) = (self.name(route.from_host), self.name(route.to_host));
                let what = what.join(", ");
                lines
                    .push(format!("{from}, on connection {} with {to}, waits for {what}", id.slot));
            }
        }
    }

    fn waits_at(&self, conn: &Conn, side: Side) -> Vec<String> {
        let end: &End = &conn.ends[side as usize];
        let other = &conn.ends[side.other() as usize];
        let mut what = Vec::new();
        if end.waiting.is_waited_for(Wait::Established) {
            let answering = "the connection to be answered";
            what.push(if side == Side::Dialler { answering } else { "the dialler's proof" }.into());
        }
        for direction in [Direction::Uni, Direction::Bi] {
            let kind = if direction == Direction::Uni { "unidirectional" } else { "bidirectional" };
            if end.waiting.is_waited_for(Wait::Accept(direction)) {
                what.push(format!("a {kind} stream to be opened by the peer"));
            }
            if end.waiting.is_waited_for(Wait::Open(direction)) {
                what.push(format!("room to open a {kind} stream"));
            }
        }
        if end.waiting.is_waited_for(Wait::Datagram) {
            what.push("a datagram".to_owned());
        }
        for slot in self.streams.in_order(end.streams) {
            let Some(stream) = self.streams.at(slot) else { continue };
            let peer = self.streams.find(other.streams, stream.id);
            let unread = peer.and_then(|slot| self.streams.at(slot)).map_or(0, Stream::unread);
            what.extend(stream.waits(unread));
        }
        what
    }

    fn name(&self, host: u32) -> &str {
        self.hosts.get(host as usize).map_or("?", |host| host.name.as_str())
    }
}
