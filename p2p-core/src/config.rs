//! The timers and bounds of a node and of every connection on it.

use std::time::Duration;

use crate::engine::frame;
use crate::protocol::Capabilities;
use crate::reconnect::{FailoverPolicy, ReconnectPolicy};

pub(crate) mod live;

/// The timers and bounds that every backend keeps. [`ConnectionConfig::default`] is a sane start.
/// Most can be changed [while running](crate::observe#changes-while-running).
///
/// ```
/// use std::time::Duration;
/// use p2p_core::ConnectionConfig;
///
/// let config = ConnectionConfig::default()
///     .with_idle_timeout(Duration::from_secs(10))
///     .with_max_message_size(64 * 1024);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ConnectionConfig {
    /// How long `connect` may take, from the call to the peer's answer. Default 10 s.
    pub connect_timeout: Duration,
    /// How long an inbound connection may take to prove itself, say hello and be admitted.
    /// Default 10 s.
    pub handshake_timeout: Duration,
    /// How long `close` waits for the peer to have what was sent before. Default 3 s.
    pub close_timeout: Duration,
    /// After this long without a word from the peer the connection counts as lost. Default 30 s.
    pub idle_timeout: Duration,
    /// How often an idle connection says that it lives; smaller than the idle timeout. Default 5 s.
    pub keep_alive_interval: Duration,
    /// The largest message accepted, and, as the peer has such a bound too, sent. Bytes; default
    /// 1 MiB, at most [`ConnectionConfig::MAX_MESSAGE_SIZE`].
    pub max_message_size: usize,
    /// Bytes of messages that may be between the peer's `send` and this side's `recv`, for each
    /// [`Priority`](crate::Priority), each message counted with 64 bytes besides its own; then the
    /// peer's `send` waits (up to one message more, so that a message may be larger than this). It
    /// bounds the messages' speed to this much per round trip, and the memory of both sides to four
    /// times this much, once each. Default 1 MiB; less than 16 KiB counts as that.
    pub receive_window: usize,
    /// Bytes of messages of each priority that may be waiting for the transport before `send` waits
    /// and `try_send` fails; the message that crosses it is taken. Default 64 KiB.
    pub send_queue: usize,
    /// From which size on messages are packed with LZ4, if the peer understands that; those that do
    /// not shrink go as they are. Bytes; default `None`: never.
    pub compress_from: Option<usize>,
    /// Whether connections outlive their links; both sides must want it. Default
    /// [`ReconnectPolicy::Off`].
    pub reconnect: ReconnectPolicy,
    /// Whether such connections find dead links themselves; each side decides for itself, but only
    /// the side that dialled can dial again. Default [`FailoverPolicy::Off`].
    pub failover: FailoverPolicy,
    /// Streams that a peer may have open at once, of either kind. Default 128.
    pub max_streams: u32,
    /// Inbound connections that may be between their first packet and admission at once; further
    /// ones wait in the transport. Default 256.
    pub max_handshakes: usize,
    /// Listeners, and so protocol names, of one node. At most [`ConnectionConfig::MAX_LISTENERS`],
    /// because the names travel in the hello. Default that.
    pub max_listeners: usize,
}

impl ConnectionConfig {
    /// The largest message that the framing between peers allows: 64 MiB.
    pub const MAX_MESSAGE_SIZE: usize = frame::MAX_PAYLOAD;
    /// The most listeners a node can have.
    pub const MAX_LISTENERS: usize = 16;

    /// Sets how long `connect` may take.
    #[must_use]
    pub const fn with_connect_timeout(mut self, timeout: Duration) -> Self {
        self.connect_timeout = timeout;
        self
    }

    /// Sets how long an inbound connection may take to be admitted.
    #[must_use]
    pub const fn with_handshake_timeout(mut self, timeout: Duration) -> Self {
        self.handshake_timeout = timeout;
        self
    }

    /// Sets how long `close` waits for the peer to have everything.
    #[must_use]
    pub const fn with_close_timeout(mut self, timeout: Duration) -> Self {
        self.close_timeout = timeout;
        self
    }

    /// Sets the idle timeout, and a keep-alive of a fifth of it unless the present one is shorter.
    #[must_use]
    pub fn with_idle_timeout(mut self, timeout: Duration) -> Self {
        self.idle_timeout = timeout;
        self.keep_alive_interval = self.keep_alive_interval.min(timeout / 5);
        self
    }

    /// Sets the largest message, up to [`ConnectionConfig::MAX_MESSAGE_SIZE`].
    #[must_use]
    pub fn with_max_message_size(mut self, bytes: usize) -> Self {
        self.max_message_size = bytes.min(Self::MAX_MESSAGE_SIZE);
        self
    }

    /// Sets how many bytes of messages may wait to be taken by `recv`.
    #[must_use]
    pub const fn with_receive_window(mut self, bytes: usize) -> Self {
        self.receive_window = bytes;
        self
    }

    /// Sets how many bytes of messages of each priority may wait for the transport.
    #[must_use]
    pub const fn with_send_queue(mut self, bytes: usize) -> Self {
        self.send_queue = bytes;
        self
    }

    /// Packs messages from this size on.
    #[must_use]
    pub const fn with_compress_from(mut self, bytes: usize) -> Self {
        self.compress_from = Some(bytes);
        self
    }

    /// Sets whether connections outlive their links.
    #[must_use]
    pub const fn with_reconnect(mut self, policy: ReconnectPolicy) -> Self {
        self.reconnect = policy;
        self
    }

    /// Sets whether connections that outlive their links find dead ones themselves.
    #[must_use]
    pub const fn with_failover(mut self, policy: FailoverPolicy) -> Self {
        self.failover = policy;
        self
    }

    /// What this side can do.
    pub(crate) const fn capabilities(&self) -> Capabilities {
        match self.reconnect {
            ReconnectPolicy::Off => Capabilities::ALL.without(Capabilities::RESUME),
            ReconnectPolicy::Resume(_) => Capabilities::ALL,
        }
    }

    /// Sets how many streams a peer may have open at once.
    #[must_use]
    pub const fn with_max_streams(mut self, streams: u32) -> Self {
        self.max_streams = streams;
        self
    }
}

impl Default for ConnectionConfig {
    fn default() -> Self {
        Self {
            connect_timeout: Duration::from_secs(10),
            handshake_timeout: Duration::from_secs(10),
            close_timeout: Duration::from_secs(3),
            // QUIC's customary value, and iroh's.
            idle_timeout: Duration::from_secs(30),
            keep_alive_interval: Duration::from_secs(5),
            max_message_size: 1 << 20,
            receive_window: 1 << 20,
            send_queue: 64 * 1024,
            compress_from: None,
            reconnect: ReconnectPolicy::Off,
            failover: FailoverPolicy::Off,
            max_streams: 128,
            max_handshakes: 256,
            max_listeners: Self::MAX_LISTENERS,
        }
    }
}
