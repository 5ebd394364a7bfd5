//! What a backend writes: the QUIC-shaped minimum below the connection engine.
//!
//! [`Transport`] dials and accepts *links*; a [`Link`] has streams, datagrams, a path and an end.
//! [`Node`](crate::Node) makes a [`P2PProvider`](crate::P2PProvider) of it. A backend translates and
//! simulates; it decides nothing that the engine could decide.
//!
//! # Contract for implementers
//!
//! - Streams of one kind are accepted in the order in which they were opened, even if a later one's
//!   data comes first. A stream may stay invisible to the peer until its first byte: the engine
//!   always writes one.
//! - Loss delays streams and never loses a byte of them; order holds within a stream, and a stream
//!   that waits for lost data does not hold up another.
//! - Flow control: what a reader does not take, its writer cannot send, past a fixed window.
//! - What had arrived before a link closed can still be read after it.
//! - A link closes when it is dropped; streams do not keep it open.
//! - Every waiting call returns when the link closes; every async method's doc says what is lost when
//!   its future is dropped.

use std::fmt;
use std::fmt::Debug;
use std::future::Future;
use std::net::{IpAddr, Ipv6Addr};
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker};

use bytes::Bytes;

use crate::address::PeerAddr;
use crate::close::{CloseCause, CloseReason, ClosedBy};
use crate::error::{P2PError, StreamError};
use crate::identity::PeerId;
use crate::path::{PathEvents, PathInfo};
use crate::stream::{RecvStream, SendStream};

/// The name of the protocol between engines, with its major version: what a QUIC backend offers as
/// its ALPN.
pub const ALPN: &[u8] = b"p2p/1";

/// A task of the engine's own, which runs beside the program's.
pub type EngineTask = Pin<Box<dyn Future<Output = ()> + Send>>;

/// An endpoint of a network.
pub trait Transport: Debug + Send + Sync + 'static {
    /// What dialling gives.
    type Link: Link;
    /// What accepting gives, at first.
    type Incoming: Incoming<Link = Self::Link>;

    /// The name that this endpoint can prove.
    fn local_peer_id(&self) -> PeerId;

    /// Where it can be reached, as far as is known now.
    fn local_addr(&self) -> PeerAddr;

    /// Makes a link to `peer`, which has proven to be it when this returns. The engine sets the
    /// bound on how long it may take.
    ///
    /// # Errors
    ///
    /// [`P2PError::PeerNotFound`], [`P2PError::ConnectionFailed`] or
    /// [`P2PError::AuthenticationFailed`].
    ///
    /// # Cancel safety
    ///
    /// Dropping the future gives the attempt up.
    fn dial(&self, peer: &PeerAddr) -> impl Future<Output = Result<Self::Link, P2PError>> + Send;

    /// The next inbound link, or `None` when the transport has closed.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses nothing.
    fn accept(&self) -> impl Future<Output = Option<Self::Incoming>> + Send;

    /// A number drawn at random, uniform over all: for the spread of attempts to come back, not for
    /// secrets. A simulated transport draws it from its seed.
    fn random(&self) -> u64;

    /// A link was given up as dead, and the same peer is dialled again at the same time: finds out anew
    /// what may have changed around this endpoint. Nothing by default.
    fn refresh(&self) -> impl Future<Output = ()> + Send {
        async {}
    }

    /// What this transport has for links that stand by for others: see
    /// [`FailoverPolicy::Standby`](crate::FailoverPolicy::Standby). Nothing by default.
    fn standby(&self) -> StandbySupport {
        StandbySupport::None
    }

    /// The name that standby links from here prove, which is not that of this endpoint. Called only
    /// where [`standby`](Transport::standby) says that there are any; may make what it takes.
    ///
    /// # Errors
    ///
    /// [`P2PError`]: it cannot be had now. The engine asks again later.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses nothing.
    fn standby_id(&self) -> impl Future<Output = Result<PeerId, P2PError>> + Send {
        async { Err(no_standby()) }
    }

    /// As [`dial`](Transport::dial), for a link that stands by: whatever becomes of the paths of those
    /// that `dial` makes, it is not affected, as far as the network lets it.
    ///
    /// # Errors
    ///
    /// As [`dial`](Transport::dial).
    ///
    /// # Cancel safety
    ///
    /// Dropping the future gives the attempt up.
    fn dial_standby(
        &self,
        peer: &PeerAddr,
    ) -> impl Future<Output = Result<Self::Link, P2PError>> + Send {
        let _ = peer;
        async { Err(no_standby()) }
    }

    /// Gives the endpoint back, waiting until peers can have been told of the links that the engine
    /// closed before. Called once or more.
    fn close(&self) -> impl Future<Output = ()> + Send;

    /// Takes a task that the engine is about to spawn for this endpoint, and returns what it spawns:
    /// for backends that tell the engine's tasks from the program's. If not written, the task itself.
    fn task(&self, task: EngineTask) -> EngineTask {
        task
    }
}

/// Where an inbound link comes from, as far as the transport knows before the peer has proven
/// anything: whoever is there shares a bound on unfinished handshakes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Origin {
    /// An address of the network: see [`Origin::of_ip`].
    Ip(IpAddr),
    /// A peer, in the words of somebody who had it prove its name: a relay.
    Peer(PeerId),
}

impl Origin {
    /// Whoever is at this address. IPv6 addresses that differ in their last 64 bits alone are one, for
    /// whoever has one of them has them all.
    pub fn of_ip(address: IpAddr) -> Self {
        Self::Ip(match address.to_canonical() {
            IpAddr::V4(address) => address.into(),
            IpAddr::V6(address) => {
                Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX)).into()
            }
        })
    }
}

/// What a transport has for links that stand by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum StandbySupport {
    /// Nothing.
    None,
    /// Links over relays, from an endpoint of their own.
    Relayed,
}

fn no_standby() -> P2PError {
    P2PError::Network { what: "this transport has no standby links".to_owned(), source: None }
}

/// An inbound link whose peer has not proven yet who it is. Dropped, it is refused.
pub trait Incoming: Debug + Send + 'static {
    /// What becomes of it.
    type Link: Link;

    /// Where it comes from. If not written, nobody knows.
    fn origin(&self) -> Option<Origin> {
        None
    }

    /// Opens a unidirectional stream before the peer is authenticated (0.5-RTT data in QUIC's
    /// terms, RFC 9001 section 4.1.1): whoever dialled may read it, so nothing secret goes there.
    ///
    /// # Errors
    ///
    /// How the link ended.
    fn open_early(
        &mut self,
    ) -> impl Future<Output = Result<<Self::Link as Link>::SendStream, LinkClosed>> + Send;

    /// Waits until the peer has proven who it is.
    ///
    /// # Errors
    ///
    /// How the link ended.
    fn authenticated(self) -> impl Future<Output = Result<Self::Link, LinkClosed>> + Send;
}

/// One connection of the transport, to a proven peer.
pub trait Link: Debug + Send + Sync + 'static {
    /// The writing half of its streams.
    type SendStream: SendStream;
    /// The reading half of its streams.
    type RecvStream: RecvStream;

    /// The peer at the other end.
    fn peer_id(&self) -> PeerId;

    /// Opens a stream in one direction, waiting while the peer allows no more.
    ///
    /// # Errors
    ///
    /// How the link ended.
    fn open_uni(&self) -> impl Future<Output = Result<Self::SendStream, LinkClosed>> + Send;

    /// The next such stream from the peer. Cancel safe.
    ///
    /// # Errors
    ///
    /// How the link ended.
    fn accept_uni(&self) -> impl Future<Output = Result<Self::RecvStream, LinkClosed>> + Send;

    /// Opens a stream in both directions, waiting while the peer allows no more.
    ///
    /// # Errors
    ///
    /// How the link ended.
    fn open_bi(
        &self,
    ) -> impl Future<Output = Result<(Self::SendStream, Self::RecvStream), LinkClosed>> + Send;

    /// The next such stream from the peer. Cancel safe.
    ///
    /// # Errors
    ///
    /// How the link ended.
    fn accept_bi(
        &self,
    ) -> impl Future<Output = Result<(Self::SendStream, Self::RecvStream), LinkClosed>> + Send;

    /// Sends a datagram, at once or never. Past the bound on queued datagrams the oldest go.
    ///
    /// # Errors
    ///
    /// [`DatagramError`].
    fn send_datagram(&self, datagram: Bytes) -> Result<(), DatagramError>;

    /// The next datagram. Cancel safe.
    ///
    /// # Errors
    ///
    /// How the link ended.
    fn recv_datagram(&self) -> impl Future<Output = Result<Bytes, LinkClosed>> + Send;

    /// Datagrams that have come, as many as there are places for, from the first place on; how many they
    /// are. Does not wait, and does not say how the link ended. A transport that takes a lock for each
    /// overrides this, to take one for all.
    fn try_recv_datagrams(&self, places: &mut [Bytes]) -> usize {
        let mut cx = Context::from_waker(Waker::noop());
        let come = places.iter_mut().map_while(|place| {
            let Poll::Ready(come) = pin!(self.recv_datagram()).poll(&mut cx) else { return None };
            *place = come.ok()?;
            Some(())
        });
        come.count()
    }

    /// The most bytes in a datagram now; `None` if the peer takes none.
    fn max_datagram_size(&self) -> Option<usize>;

    /// Datagrams that it has taken and dropped before they left, as far as it knows: newer ones came
    /// first. If not written, none.
    fn datagrams_dropped(&self) -> u64 {
        0
    }

    /// The path that carries the data now.
    fn path(&self) -> PathInfo;

    /// The path's changes, the present one first.
    fn path_events(&self) -> PathEvents;

    /// Ends the link at once. What the peer has not read may be lost. A second call does nothing.
    fn close(&self, code: u64, message: &str);

    /// How the link ended, if it has.
    fn close_reason(&self) -> Option<LinkClosed>;

    /// Waits for the end of the link. Cancel safe.
    fn closed(&self) -> impl Future<Output = LinkClosed> + Send;

    /// As [`Transport::task`], for tasks of this link.
    fn task(&self, task: EngineTask) -> EngineTask {
        task
    }
}

/// How a link ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LinkClosed {
    /// This side closed or dropped it.
    Local {
        /// The code given.
        code: u64,
        /// The words given.
        message: String,
    },
    /// The peer closed or dropped it.
    Peer {
        /// The code it gave.
        code: u64,
        /// The words it gave.
        message: String,
    },
    /// Nothing came for the idle timeout.
    TimedOut,
    /// The transport failed.
    Transport {
        /// In its words.
        message: String,
    },
}

impl From<LinkClosed> for CloseReason {
    fn from(closed: LinkClosed) -> Self {
        match closed {
            LinkClosed::Local { code, message } => {
                Self::new(ClosedBy::Local, CloseCause::from_wire(code), message)
            }
            LinkClosed::Peer { code, message } => {
                Self::new(ClosedBy::Peer, CloseCause::from_wire(code), message)
            }
            LinkClosed::TimedOut => {
                Self::new(ClosedBy::Network, CloseCause::TimedOut, "nothing heard from the peer")
            }
            LinkClosed::Transport { message } => {
                Self::new(ClosedBy::Network, CloseCause::Transport, message)
            }
        }
    }
}

impl From<LinkClosed> for StreamError {
    fn from(closed: LinkClosed) -> Self {
        Self::Closed(closed.into())
    }
}

impl fmt::Display for LinkClosed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&CloseReason::from(self.clone()), f)
    }
}

/// Why a datagram was not sent.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum DatagramError {
    /// The link has ended.
    Closed(LinkClosed),
    /// Larger than the path carries.
    TooLarge {
        /// The most bytes now.
        max: usize,
    },
    /// The peer takes none.
    Unsupported,
}
