//! What programs hold: a provider, its connections, its listeners.

use std::fmt::Debug;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;

use crate::address::PeerAddr;
use crate::close::CloseReason;
use crate::config::ConnectionConfig;
use crate::datagram::DatagramOptions;
use crate::error::{ConfigError, Result};
use crate::identity::PeerId;
use crate::observe::Health;
use crate::options::{ConnectOptions, ListenOptions};
use crate::path::{PathEvents, PathInfo};
use crate::permit::SendPermit;
use crate::priority::Priority;
use crate::protocol::{Capabilities, ProtocolName};
use crate::reconnect::{ConnectionState, StandbyState, StateEvents};
use crate::stream::{RecvStream, SendStream};

/// An endpoint with an identity: connects to peers and listens for them.
///
/// A handle: clones are the same endpoint. It lives until it is shut down, or until the last handle,
/// listener and connection of it is dropped.
#[async_trait]
pub trait P2PProvider: Clone + Debug + Send + Sync + 'static {
    /// What `connect` and `accept` give.
    type Connection: P2PConnection;
    /// What `listen` gives.
    type Listener: P2PListener<Connection = Self::Connection>;

    /// This endpoint's name.
    fn local_peer_id(&self) -> PeerId;

    /// What to hand to others so that they can connect; prints as a ticket. It may grow while the
    /// endpoint learns about itself.
    fn local_addr(&self) -> PeerAddr;

    /// A number drawn at random, uniform over all: to spread attempts and to tell requests apart, not
    /// for secrets. A simulated endpoint draws it from its seed.
    fn random(&self) -> u64;

    /// Connects to a peer. With [`ConnectReady::Answered`], the default, it takes one round trip.
    ///
    /// # Errors
    ///
    /// - [`PeerNotFound`]: nothing says where the peer is;
    /// - [`ConnectionFailed`]: it is not there, or `peer` is this endpoint;
    /// - [`Timeout`]: it did not answer in time;
    /// - [`AuthenticationFailed`]: it is somebody else, or (with [`ConnectReady::Admitted`]) it does
    ///   not let us in;
    /// - [`Protocol`]: it does not serve the protocol, or no common version;
    /// - [`RefusedForNow`]: with [`ConnectReady::Admitted`], a limit of the peer's leaves no room, and
    ///   it said when to try again;
    /// - [`Closed`]: this provider was shut down; with the cause
    ///   [`PathPolicy`](crate::CloseCause::PathPolicy), the way to the peer is none that the options
    ///   (or, with [`ConnectReady::Admitted`], the peer's) allow; or, with
    ///   [`ConnectReady::Admitted`] and the cause [`Busy`](crate::CloseCause::Busy), the peer has no
    ///   place left.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future gives the attempt up; a peer that had accepted it sees a close.
    ///
    /// [`ConnectReady::Answered`]: crate::ConnectReady::Answered
    /// [`ConnectReady::Admitted`]: crate::ConnectReady::Admitted
    /// [`PeerNotFound`]: crate::P2PError::PeerNotFound
    /// [`ConnectionFailed`]: crate::P2PError::ConnectionFailed
    /// [`Timeout`]: crate::P2PError::Timeout
    /// [`AuthenticationFailed`]: crate::P2PError::AuthenticationFailed
    /// [`Protocol`]: crate::P2PError::Protocol
    /// [`RefusedForNow`]: crate::P2PError::RefusedForNow
    /// [`Closed`]: crate::P2PError::Closed
    async fn connect(&self, peer: &PeerAddr, options: ConnectOptions) -> Result<Self::Connection>;

    /// Starts to serve a protocol. One endpoint serves several, each by a listener of its own.
    ///
    /// # Errors
    ///
    /// [`Protocol`](crate::P2PError::Protocol) if the name has a listener already,
    /// [`LimitExceeded`](crate::P2PError::LimitExceeded) past the node's `max_listeners`,
    /// [`Config`](crate::P2PError::Config) for a backlog or a bound on connections of zero,
    /// [`Closed`](crate::P2PError::Closed) after `shutdown`.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future leaves nothing behind.
    async fn listen(&self, options: ListenOptions) -> Result<Self::Listener>;

    /// The timers and bounds in force.
    fn config(&self) -> Arc<ConnectionConfig>;

    /// Changes the timers and bounds, all at once, for all handles of this endpoint, and returns those in
    /// force from now on. `change` is called once; it must not ask this endpoint for anything. Which
    /// settings hold for connections that are there, and which for new ones only, is listed under
    /// [changes while running](crate::observe#changes-while-running).
    ///
    /// ```
    /// use std::time::Duration;
    /// use p2p_core::{ConfigError, P2PProvider};
    ///
    /// fn be_patient(provider: &impl P2PProvider) -> Result<(), ConfigError> {
    ///     provider.reconfigure(&mut |config| config.connect_timeout = Duration::from_secs(30))?;
    ///     Ok(())
    /// }
    /// ```
    ///
    /// # Errors
    ///
    /// [`ConfigError`] for a value that cannot be meant, and for a setting that cannot change; then
    /// nothing has changed.
    fn reconfigure(
        &self,
        change: &mut dyn FnMut(&mut ConnectionConfig),
    ) -> Result<Arc<ConnectionConfig>, ConfigError>;

    /// How this endpoint is doing now. It looks at each connection: for people and probes, not for
    /// every message.
    fn health(&self) -> Health;

    /// The metrics of this endpoint, which it shares with no other; `None` where there are none.
    #[cfg(feature = "metrics")]
    fn metrics(&self) -> Option<crate::observe::Metrics> {
        None
    }

    /// Closes all connections and listeners and gives the endpoint back. Peers see
    /// [`CloseCause::Shutdown`](crate::CloseCause::Shutdown). Waits until they can have been told;
    /// further calls do nothing.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future may leave the shutdown half done; call it again.
    async fn shutdown(&self);
}

/// A connection to a peer: messages, datagrams and streams, and the truth about its state.
///
/// A handle: clones are the same connection. When the last is dropped, the connection closes at
/// once, its streams with it, and the peer sees
/// [`CloseCause::Dropped`](crate::CloseCause::Dropped); what was not delivered by then may be lost:
/// [`close`](P2PConnection::close) is the polite way.
pub trait P2PConnection: Clone + Debug + Send + Sync + 'static {
    /// The writing half of its streams.
    type SendStream: SendStream;
    /// The reading half of its streams.
    type RecvStream: RecvStream;

    /// The peer; it has proven to be it.
    fn peer_id(&self) -> PeerId;

    /// The peer and what was agreed with it.
    fn peer(&self) -> &PeerInfo;

    /// Sends a message with [`Priority::Normal`]; see [`send_with`](P2PConnection::send_with).
    ///
    /// # Errors
    ///
    /// As [`send_with`](P2PConnection::send_with).
    ///
    /// # Cancel safety
    ///
    /// As [`send_with`](P2PConnection::send_with).
    fn send(&self, message: Bytes) -> impl Future<Output = Result<()>> + Send {
        self.send_with(Priority::Normal, message)
    }

    /// Sends a message: reliable, whole, in order with this side's other messages of this priority.
    /// Waits while the peer is behind with those; it does not wait for others to make a packet full.
    /// An empty message is a message. With a peer of version 1 all priorities are one.
    ///
    /// # Errors
    ///
    /// [`LimitExceeded`](crate::P2PError::LimitExceeded) if it is larger than both sides allow (the
    /// connection goes on); otherwise why the connection has ended.
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped, the message was either not sent at all, or it will arrive whole,
    /// no later than the next message of its priority or the close. Never a part of it, and order
    /// holds.
    fn send_with(
        &self,
        priority: Priority,
        message: Bytes,
    ) -> impl Future<Output = Result<()>> + Send;

    /// Sends a message if that is possible at once; never waits.
    ///
    /// # Errors
    ///
    /// [`LimitExceeded`](crate::P2PError::LimitExceeded): with
    /// [`Limit::SendQueue`](crate::Limit::SendQueue) or
    /// [`Limit::ReceiveWindow`](crate::Limit::ReceiveWindow) if a send of this priority would have to wait,
    /// otherwise as [`send_with`](P2PConnection::send_with).
    fn try_send(&self, priority: Priority, message: Bytes) -> Result<()>;

    /// Waits until a message of this priority and of up to `size` bytes can be sent, and keeps its place
    /// until it is: the permit's `send` never waits. Places are given in the order of the calls, in
    /// turn with `send`s of this priority; nobody else has what they keep, so do not keep them for
    /// long.
    ///
    /// # Errors
    ///
    /// As [`send_with`](P2PConnection::send_with) of a message of that size.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future keeps no place.
    fn reserve(
        &self,
        priority: Priority,
        size: usize,
    ) -> impl Future<Output = Result<SendPermit>> + Send;

    /// Bytes of this priority that `send` has taken and the transport has not, with a few for each
    /// message. At most the node's `send_queue` and one message, while there is a link.
    fn queue_depth(&self, priority: Priority) -> usize;

    /// Receives the next message, whatever its priority; of those that wait, the most urgent. Several
    /// callers take turns.
    ///
    /// # Errors
    ///
    /// Why the connection has ended, after all messages that arrived before the end.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses nothing.
    fn recv(&self) -> impl Future<Output = Result<Bytes>> + Send {
        async { self.recv_message().await.map(|message| message.payload) }
    }

    /// Receives the next message as [`recv`](P2PConnection::recv) does, with its priority.
    ///
    /// # Errors
    ///
    /// As [`recv`](P2PConnection::recv).
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses nothing.
    fn recv_message(&self) -> impl Future<Output = Result<Message>> + Send;

    /// Sends a datagram: it arrives once, or not at all, in any order. Never waits.
    ///
    /// # Errors
    ///
    /// [`LimitExceeded`](crate::P2PError::LimitExceeded) if it is larger than
    /// [`max_datagram_size`](P2PConnection::max_datagram_size),
    /// [`Protocol`](crate::P2PError::Protocol) if the peer takes none, or why the connection has
    /// ended.
    fn send_datagram(&self, datagram: Bytes) -> Result<()> {
        self.send_datagram_with(datagram, DatagramOptions::default())
    }

    /// Sends a datagram as [`send_datagram`](P2PConnection::send_datagram) does; one that is larger
    /// than the path carries may travel on a stream instead, if the options say so.
    ///
    /// # Errors
    ///
    /// As [`send_datagram`](P2PConnection::send_datagram). On a stream:
    /// [`LimitExceeded`](crate::P2PError::LimitExceeded) with
    /// [`Limit::Datagram`](crate::Limit::Datagram) past [`DatagramOptions::MAX_ON_STREAM`] bytes, with
    /// [`Limit::DatagramStreams`](crate::Limit::DatagramStreams) while
    /// [`DatagramOptions::MAX_WAITING`] wait for the transport, and
    /// [`Protocol`](crate::P2PError::Protocol) if the peer does not know of it.
    fn send_datagram_with(&self, datagram: Bytes, options: DatagramOptions) -> Result<()>;

    /// Receives the next datagram. A bounded number of bytes waits, by the node's `datagram_queue`;
    /// past it datagrams are dropped, by its `datagram_drop`, and counted.
    ///
    /// # Errors
    ///
    /// Why the connection has ended.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses nothing.
    fn recv_datagram(&self) -> impl Future<Output = Result<Bytes>> + Send;

    /// The most bytes in a datagram now, or `None` if the peer takes none. It changes with the path.
    fn max_datagram_size(&self) -> Option<usize>;

    /// Opens a stream, waiting while the peer has as many open as it allows; of those that end, up
    /// to an eighth of that number may go by before the peer says so. The peer learns of the stream
    /// at once, even if nothing is written.
    ///
    /// # Errors
    ///
    /// Why the connection has ended.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future opens no stream, or one that is reset at once.
    fn open_stream(
        &self,
    ) -> impl Future<Output = Result<(Self::SendStream, Self::RecvStream)>> + Send;

    /// Opens a stream as [`open_stream`](P2PConnection::open_stream) does, with a priority: see
    /// [`SendStream::set_priority`].
    ///
    /// # Errors
    ///
    /// As [`open_stream`](P2PConnection::open_stream).
    ///
    /// # Cancel safety
    ///
    /// As [`open_stream`](P2PConnection::open_stream).
    fn open_stream_with(
        &self,
        priority: i32,
    ) -> impl Future<Output = Result<(Self::SendStream, Self::RecvStream)>> + Send {
        async move {
            let (mut send, recv) = self.open_stream().await?;
            send.set_priority(priority);
            Ok((send, recv))
        }
    }

    /// Takes the next stream that the peer opened, in the order in which it did.
    ///
    /// # Errors
    ///
    /// Why the connection has ended.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses no stream.
    fn accept_stream(
        &self,
    ) -> impl Future<Output = Result<(Self::SendStream, Self::RecvStream)>> + Send;

    /// Whether the connection has not ended. That the peer is still there, only an answer proves.
    fn is_connected(&self) -> bool;

    /// How the connection is doing.
    fn state(&self) -> ConnectionState;

    /// The changes of its state, the present one first.
    fn state_events(&self) -> StateEvents;

    /// Gives the present link up and goes on with a next one: for a program that knows of a change
    /// of network before any timer does. A connection that does not resume is left as it is.
    fn renew_link(&self);

    /// The path that carries the data now.
    fn path(&self) -> PathInfo;

    /// The path's changes, the present path first.
    fn path_events(&self) -> PathEvents;

    /// What went over the connection so far.
    fn stats(&self) -> ConnectionStats;

    /// Ends the connection with a code and words for the peer, of at most
    /// [`CloseReason::MAX_MESSAGE`] bytes. Waits, up to the node's `close_timeout`, until the peer's
    /// transport has all messages sent before; streams end at once. Further calls wait for the same
    /// end and change nothing.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future before it resolves may leave the connection open; call it again, or drop
    /// the connection.
    fn close(&self, code: u32, message: &str) -> impl Future<Output = ()> + Send;

    /// Waits for the end of the connection, whoever ends it, and tells the reason.
    ///
    /// # Cancel safety
    ///
    /// Safe.
    fn closed(&self) -> impl Future<Output = CloseReason> + Send;
}

/// Takes the connections of one protocol, each admitted and authenticated. Dropping it is closing it.
#[async_trait]
pub trait P2PListener: Debug + Send + Sync + 'static {
    /// What `accept` gives.
    type Connection: P2PConnection;

    /// The next connection. Several callers take turns.
    ///
    /// # Errors
    ///
    /// [`Closed`](crate::P2PError::Closed) when the listener or its provider was, or when the
    /// transport below has ended by itself.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses no connection.
    async fn accept(&self) -> Result<Self::Connection>;

    /// What to hand to others so that they can connect; prints as a ticket.
    fn local_addr(&self) -> PeerAddr;

    /// What it serves.
    fn protocol(&self) -> &ProtocolName;

    /// Stops serving. Connections that nobody has accepted are closed, the others live on; the name
    /// is free again. Further calls do nothing.
    fn close(&self);
}

/// A message as it was received.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// With which priority it was sent.
    pub priority: Priority,
    /// What was sent.
    pub payload: Bytes,
}

/// A peer, and what was agreed with it in the hello.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct PeerInfo {
    /// Its name.
    pub id: PeerId,
    /// What is spoken.
    pub protocol: ProtocolName,
    /// The version of the protocol between the engines.
    pub version: u16,
    /// What both sides can do.
    pub capabilities: Capabilities,
    /// The largest message that both sides allow, in bytes.
    pub max_message_size: usize,
    /// What it showed when connecting; empty on the side that connected.
    pub credential: Bytes,
}

/// Counters of one connection, from its start. Bytes are payload: what programs gave and got.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ConnectionStats {
    /// Messages given to the transport.
    pub messages_sent: u64,
    /// Messages received.
    pub messages_received: u64,
    /// Bytes in the messages sent.
    pub message_bytes_sent: u64,
    /// Bytes in the messages received.
    pub message_bytes_received: u64,
    /// Datagrams given to the transport, on streams or not.
    pub datagrams_sent: u64,
    /// Datagrams that the program took.
    pub datagrams_received: u64,
    /// Datagrams that this side dropped instead of sending them: there was no link, or (if the
    /// transport says so) newer ones came before they could go.
    pub datagrams_dropped: u64,
    /// The messages by [`Priority::index`].
    pub lanes: [LaneStats; Priority::COUNT],
    /// Datagrams that came and that this side dropped, because the program did not take them in time.
    /// A transport may drop a few more in the first 20 ms after the program last looked.
    pub datagrams_unread: u64,
    /// Links that carried the connection, the present one included.
    pub links: u64,
    /// The round trip as the transport estimates it now.
    pub rtt: Option<Duration>,
    /// How its standby is doing.
    pub standby: StandbyState,
    /// Messages that went over the standby as well, or at first, because the link was late.
    pub messages_hedged: u64,
    /// Messages that went over the standby because it stood for the link.
    pub messages_on_standby: u64,
}

#[cfg(feature = "metrics")]
impl ConnectionStats {
    /// Adds the counters of another connection.
    pub(crate) fn add(&mut self, other: &Self) {
        self.messages_sent += other.messages_sent;
        self.messages_received += other.messages_received;
        self.message_bytes_sent += other.message_bytes_sent;
        self.message_bytes_received += other.message_bytes_received;
        self.datagrams_sent += other.datagrams_sent;
        self.datagrams_received += other.datagrams_received;
        self.datagrams_dropped += other.datagrams_dropped;
        self.datagrams_unread += other.datagrams_unread;
        self.messages_hedged += other.messages_hedged;
        self.messages_on_standby += other.messages_on_standby;
        for (lane, other) in self.lanes.iter_mut().zip(&other.lanes) {
            lane.messages_sent += other.messages_sent;
            lane.messages_received += other.messages_received;
            lane.message_bytes_sent += other.message_bytes_sent;
            lane.message_bytes_received += other.message_bytes_received;
        }
    }
}

/// Counters of the messages of one priority.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct LaneStats {
    /// Messages given to the transport.
    pub messages_sent: u64,
    /// Messages received.
    pub messages_received: u64,
    /// Bytes in the messages sent.
    pub message_bytes_sent: u64,
    /// Bytes in the messages received.
    pub message_bytes_received: u64,
}
