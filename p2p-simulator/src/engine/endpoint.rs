//! Hosts and endpoints: who is on the network, and who waits to be let in.

use std::collections::VecDeque;
use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};
use std::task::{Context, Poll};

use p2p_core::{ConnectionConfig, PeerId, SecretKey};

use super::fault::hosts::HostTasks;
use super::random::{Purpose, Random};
use super::trace::TraceKind;
use super::wakers::WakerSet;
use super::{ConnId, Engine, Nanos, Side, nanos};
use crate::clock::ClockState;

/// Inbound connections that may wait at an endpoint; further ones get no answer.
const MAX_INCOMING: usize = 1024;

/// A machine on the network.
#[derive(Debug)]
pub(crate) struct Host {
    pub(crate) name: String,
    secret: Secret,
    peer: PeerId,
    pub(crate) down_since: Option<Nanos>,
    pub(crate) tasks: HostTasks,
    pub(crate) clock: ClockState,
}

/// An identity's secret half, in a seventh of the room that a key takes which is ready to sign.
struct Secret([u8; 32]);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}

impl Host {
    pub(crate) fn secret_key(&self) -> SecretKey {
        SecretKey::from_bytes(&self.secret.0)
    }

    pub(crate) const fn peer_id(&self) -> PeerId {
        self.peer
    }
}

/// What dials and accepts on a host.
#[derive(Debug)]
pub(super) struct Endpoint {
    pub(super) host: u32,
    peer: PeerId,
    /// Whether it never takes a direct path.
    pub(super) relays_only: bool,
    pub(super) closed: bool,
    pub(super) limits: EndpointLimits,
    incoming: VecDeque<ConnId>,
    accept: WakerSet,
    /// Its connections, in the order of dialling; some of them may be gone.
    conns: Vec<ConnId>,
    /// With how many of them those that are gone are looked for.
    full: usize,
}

impl Endpoint {
    /// Its connections; some of them may be gone.
    pub(super) fn conns(&self) -> &[ConnId] {
        &self.conns
    }

    /// Whether somebody waits for inbound connections.
    pub(super) fn is_waited_at(&self) -> bool {
        !self.accept.is_empty()
    }
}

/// What an endpoint goes by of its configuration.
#[derive(Clone, Copy, Debug)]
pub(crate) struct EndpointLimits {
    pub(super) idle_timeout: Nanos,
    pub(super) max_streams: u32,
}

impl From<&ConnectionConfig> for EndpointLimits {
    fn from(config: &ConnectionConfig) -> Self {
        Self { idle_timeout: nanos(config.idle_timeout), max_streams: config.max_streams }
    }
}

/// So few are not worth looking at.
const MIN_FULL: usize = 16;

/// Why an endpoint cannot be had.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BindError {
    HostDown,
    InUse,
}

impl Engine {
    /// The number that this endpoint's program draws after so many others.
    pub(crate) fn drawn_by(&self, endpoint: u32, draws: u32) -> u64 {
        Random::new(self.net.seed, Purpose::Program, endpoint, draws).up_to(u64::MAX)
    }

    /// A new host, with this identity or one that follows from the seed and its number.
    pub(crate) fn add_host(&mut self, now: Nanos, name: &str, secret: Option<SecretKey>) -> u32 {
        let number = self.hosts.len() as u32;
        let secret = secret.unwrap_or_else(|| {
            let mut random = Random::new(self.net.seed, Purpose::Identity, number, 0);
            SecretKey::from_bytes(&random.bytes())
        });
        self.net.trace.words(now, TraceKind::HostAdded, number, name);
        self.hosts.push(Host {
            name: name.to_owned(),
            secret: Secret(secret.to_bytes()),
            peer: secret.peer_id(),
            down_since: None,
            tasks: HostTasks::default(),
            clock: ClockState::default(),
        });
        number
    }

    /// Starts a host's second endpoint, which goes by relays only and has an identity of its own.
    pub(crate) fn bind_standby(
        &mut self,
        now: Nanos,
        host: u32,
        limits: EndpointLimits,
    ) -> Result<u32, BindError> {
        let mut random = Random::new(self.net.seed, Purpose::Identity, host, 1);
        let peer = SecretKey::from_bytes(&random.bytes()).peer_id();
        self.bind_as(now, host, peer, true, limits)
    }

    /// Starts an endpoint with the host's identity.
    pub(crate) fn bind(
        &mut self,
        now: Nanos,
        host: u32,
        limits: EndpointLimits,
    ) -> Result<u32, BindError> {
        let peer = self.hosts[host as usize].peer;
        self.bind_as(now, host, peer, false, limits)
    }

    fn bind_as(
        &mut self,
        now: Nanos,
        host: u32,
        peer: PeerId,
        relays_only: bool,
        limits: EndpointLimits,
    ) -> Result<u32, BindError> {
        if self.hosts[host as usize].down_since.is_some() {
            return Err(BindError::HostDown);
        }
        let taken = self.by_peer.get(&peer).map(|&endpoint| &self.endpoints[endpoint as usize]);
        if taken.is_some_and(|endpoint| !endpoint.closed) {
            return Err(BindError::InUse);
        }
        let number = self.endpoints.len() as u32;
        self.by_peer.insert(peer, number);
        self.net.trace.mark(now, TraceKind::Bound, host, host);
        self.endpoints.push(Endpoint {
            host,
            peer,
            relays_only,
            closed: false,
            limits,
            incoming: VecDeque::new(),
            accept: WakerSet::default(),
            conns: Vec::new(),
            full: MIN_FULL,
        });
        Ok(number)
    }

    pub(crate) fn peer_of(&self, endpoint: u32) -> PeerId {
        self.endpoints[endpoint as usize].peer
    }

    /// An address for tickets and tables: the network finds peers by name.
    pub(crate) fn address_of(&self, endpoint: u32) -> SocketAddr {
        host_address(self.endpoints[endpoint as usize].host)
    }

    /// Ends an endpoint and all its connections, with a word to their peers if it has the time.
    pub(crate) fn unbind(&mut self, now: Nanos, endpoint: u32) {
        let place = &mut self.endpoints[endpoint as usize];
        if !place.closed {
            self.net.trace.mark(now, TraceKind::Unbound, place.host, place.host);
        }
        place.closed = true;
        place.accept.wake_all(&mut self.wakers);
        place.incoming.clear();
        for id in std::mem::take(&mut self.endpoints[endpoint as usize].conns) {
            for side in [Side::Dialler, Side::Acceptor] {
                let conn = self.conns.get(id);
                if conn.is_some_and(|conn| conn.ends[side as usize].endpoint == endpoint) {
                    self.close(now, id, side, 0, "");
                }
            }
        }
    }

    /// An endpoint has one more connection.
    pub(super) fn note_conn(&mut self, endpoint: u32, id: ConnId) {
        let (place, conns) = (&mut self.endpoints[endpoint as usize], &self.conns);
        if place.conns.len() >= place.full {
            place.conns.retain(|id| conns.get(*id).is_some());
            place.full = (2 * place.conns.len()).max(MIN_FULL);
        }
        place.conns.push(id);
    }

    /// Ends all endpoints of a host, without a word.
    pub(super) fn close_endpoints(&mut self, host: u32) {
        for endpoint in self.endpoints.iter_mut().filter(|endpoint| endpoint.host == host) {
            endpoint.closed = true;
            endpoint.incoming.clear();
            endpoint.accept.wake_all(&mut self.wakers);
        }
    }

    pub(super) fn on_dial(&mut self, now: Nanos, id: ConnId) {
        let Some(conn) = self.conns.get(id) else { return };
        let endpoint = &mut self.endpoints[conn.ends[Side::Acceptor as usize].endpoint as usize];
        if endpoint.closed || endpoint.incoming.len() >= MAX_INCOMING {
            self.mark_gone(now, id, Side::Acceptor);
            return;
        }
        endpoint.incoming.push_back(id);
        endpoint.accept.wake_all(&mut self.wakers);
    }

    /// The next inbound connection of an endpoint, and which endpoint dialled; `None` when it has closed.
    pub(crate) fn poll_incoming(
        &mut self,
        endpoint: u32,
        ticket: &mut Option<u64>,
        cx: &Context<'_>,
    ) -> Poll<Option<(ConnId, u32)>> {
        while let Some(id) = self.endpoints[endpoint as usize].incoming.pop_front() {
            let incoming = &mut self.endpoints[endpoint as usize].incoming;
            if incoming.is_empty() {
                *incoming = VecDeque::new();
            }
            // One that was given up in the meantime is not there any more.
            if let Some(conn) = self.conns.get_mut(id) {
                conn.ends[Side::Acceptor as usize].handles = 1;
                let dialler = conn.ends[Side::Dialler as usize].endpoint;
                return Poll::Ready(Some((id, dialler)));
            }
        }
        let endpoint = &mut self.endpoints[endpoint as usize];
        if endpoint.closed {
            return Poll::Ready(None);
        }
        endpoint.accept.wait(ticket, cx);
        Poll::Pending
    }

    pub(crate) fn leave_incoming(&mut self, endpoint: u32, ticket: u64) {
        self.endpoints[endpoint as usize].accept.leave(ticket);
    }
}

pub(super) fn host_address(host: u32) -> SocketAddr {
    let [_, a, b, c] = (host + 1).to_be_bytes();
    (Ipv4Addr::new(10, a, b, c), 4433).into()
}
