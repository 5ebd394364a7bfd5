//! The timers and bounds of a node and of every connection on it.

use std::time::Duration;

use crate::connection::{BUFFER, MAX_BUFFERS, MAX_UNKNOWN, READ_CHUNKS, READ_UP_TO};
use crate::datagram::{DatagramDrop, DatagramOptions};
use crate::engine::hello::MAX_HELLO;
use crate::engine::{credit, frame, packets};
use crate::error::ConfigError;
use crate::priority::Priority;
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
    /// times this much, once each. Default 2 MiB; less than 16 KiB counts as that.
    pub receive_window: usize,
    /// Bytes of messages of each priority that may be waiting for the transport before `send` waits
    /// and `try_send` fails; the message that crosses it is taken. Default 256 KiB.
    pub send_queue: usize,
    /// Bytes of datagrams that may wait for the program's `recv_datagram`, each counted with 64 bytes
    /// besides its own; past it, datagrams are dropped and counted. Default 1 MiB.
    pub datagram_queue: usize,
    /// Which datagrams are dropped then. Default [`DatagramDrop::Oldest`].
    pub datagram_drop: DatagramDrop,
    /// From which size on messages are packed with LZ4, if the peer understands that; those that do
    /// not shrink go as they are. Bytes; default `None`: never.
    pub compress_from: Option<usize>,
    /// Whether connections outlive their links; both sides must want it. Default
    /// [`ReconnectPolicy::Off`].
    pub reconnect: ReconnectPolicy,
    /// Whether such connections find dead links themselves, and keep a second one ready; each side
    /// decides for itself, but only the side that dialled can dial again, or dial a second link. Default [`FailoverPolicy::Off`].
    pub failover: FailoverPolicy,
    /// Streams that a peer may have open at once, of either kind. Default 128.
    pub max_streams: u32,
    /// Inbound connections that may be between their first packet and admission at once; further
    /// ones wait in the transport. Default 256.
    pub max_handshakes: usize,
    /// How many of these may come from one network address, where the transport knows it (of IPv6,
    /// from one network of 64 bits; over a relay, from one peer); further ones are refused. Peers
    /// behind one NAT share it. Default 128.
    pub max_handshakes_per_address: usize,
    /// How many of these may be with one peer, once it has proven who it is; further ones are refused
    /// as [`Busy`](crate::CloseCause::Busy), with the limit in the words. Default 32.
    pub max_handshakes_per_peer: usize,
    /// Listeners, and so protocol names, of one node. At most [`ConnectionConfig::MAX_LISTENERS`],
    /// because the names travel in the hello. Default that.
    pub max_listeners: usize,
}

impl ConnectionConfig {
    /// The largest message that the framing between peers allows: 64 MiB.
    pub const MAX_MESSAGE_SIZE: usize = frame::MAX_PAYLOAD;
    /// The most listeners a node can have.
    pub const MAX_LISTENERS: usize = 16;
    /// The largest window or queue that can be set: 1 GiB.
    pub const MAX_WINDOW: usize = 1 << 30;

    /// Checks that every value can be meant. Each backend does so before it makes a node.
    ///
    /// # Errors
    ///
    /// [`ConfigError`], with the setting, its value, and what it should be: a duration of zero or of
    /// more than a year, a keep-alive that comes after the idle timeout, waits that shrink, a failover
    /// to links that are never dialled, a size of zero or above its bound.
    pub fn validate(&self) -> Result<(), ConfigError> {
        let durations = [
            ("connect_timeout", self.connect_timeout),
            ("handshake_timeout", self.handshake_timeout),
            ("close_timeout", self.close_timeout),
            ("idle_timeout", self.idle_timeout),
            ("keep_alive_interval", self.keep_alive_interval),
        ];
        for (setting, value) in durations {
            ConfigError::check_duration(setting, value)?;
        }
        if self.keep_alive_interval >= self.idle_timeout {
            return Err(ConfigError::new(
                "keep_alive_interval",
                format!("{:?}", self.keep_alive_interval),
                "it must be shorter than idle_timeout",
            ));
        }
        if self.max_message_size == 0 || self.max_message_size > Self::MAX_MESSAGE_SIZE {
            let expected = "it must be at least 1 and at most 67108864 bytes";
            let value = self.max_message_size.to_string();
            return Err(ConfigError::new("max_message_size", value, expected));
        }
        let windows = [
            ("receive_window", self.receive_window),
            ("send_queue", self.send_queue),
            ("datagram_queue", self.datagram_queue),
        ];
        for (setting, value) in windows {
            if value == 0 || value > Self::MAX_WINDOW {
                let expected = "it must be at least 1 and at most 1073741824 bytes";
                return Err(ConfigError::new(setting, value.to_string(), expected));
            }
        }
        if let ReconnectPolicy::Resume(backoff) = &self.reconnect {
            backoff.validate()?;
        }
        self.failover.validate()?;
        if self.failover != FailoverPolicy::Off && self.reconnect == ReconnectPolicy::Off {
            let value = self.failover.to_string();
            let expected =
                "it needs a reconnect policy that resumes: there is no next link otherwise";
            return Err(ConfigError::new("failover", value, expected));
        }
        if self.max_streams == 0 {
            return Err(ConfigError::zero("max_streams"));
        }
        ConfigError::check_size("max_handshakes", self.max_handshakes)?;
        ConfigError::check_size("max_handshakes_per_address", self.max_handshakes_per_address)?;
        ConfigError::check_size("max_handshakes_per_peer", self.max_handshakes_per_peer)?;
        if self.max_listeners > Self::MAX_LISTENERS {
            let value = self.max_listeners.to_string();
            return Err(ConfigError::new("max_listeners", value, "it must be at most 16"));
        }
        Ok(())
    }

    /// How many links a connection may have at once: with [`ReconnectPolicy::Resume`] two. There it is
    /// the peer that decides: whoever accepts takes a standby from a peer that announces one, whatever
    /// `failover` is here and whichever path it comes over.
    pub const fn max_links_per_connection(&self) -> usize {
        match self.reconnect {
            ReconnectPolicy::Off => 1,
            ReconnectPolicy::Resume(_) => 2,
        }
    }

    /// The most memory, in bytes, that a peer can make the engine hold for one connection, whatever
    /// it sends and does not take: for each lane what waits to be received, a frame that comes on each
    /// of its links, what was sent and is kept, and what waits to be sent; then datagrams, those that
    /// come on streams among them. What the transport below holds for each link
    /// ([`max_links_per_connection`](Self::max_links_per_connection)) comes on top. Programs hold what
    /// they hold.
    pub const fn max_memory_per_connection(&self) -> usize {
        let links = self.max_links_per_connection();
        let window = self.receive_window + credit::MIN_WINDOW as usize;
        // What has come before, and the message that crosses the window.
        let waiting = window + self.max_message_size;
        // Packed, growing, and whole.
        let coming = 3 * self.max_message_size + READ_CHUNKS * READ_UP_TO;
        let kept = packets::MAX_KEPT + self.max_message_size;
        let queued = self.send_queue + self.max_message_size;
        let lanes = Priority::COUNT * (waiting + links * coming + kept + queued);
        let on_streams = 2 * DatagramOptions::MAX_WAITING * DatagramOptions::MAX_ON_STREAM;
        let unsorted = links * (MAX_UNKNOWN * READ_UP_TO + MAX_HELLO);
        let datagrams = self.datagram_queue + MAX_BUFFERS * BUFFER + on_streams;
        lanes + datagrams + unsorted
    }

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
    pub const fn with_max_message_size(mut self, bytes: usize) -> Self {
        self.max_message_size = bytes;
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

    /// Sets how many bytes of datagrams may wait for the program, and which are dropped past it.
    #[must_use]
    pub const fn with_datagram_queue(mut self, bytes: usize, drops: DatagramDrop) -> Self {
        self.datagram_queue = bytes;
        self.datagram_drop = drops;
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
            ReconnectPolicy::Off => {
                Capabilities::ALL.without(Capabilities::RESUME).without(Capabilities::STANDBY)
            }
            ReconnectPolicy::Resume(_) => Capabilities::ALL,
        }
    }

    /// Sets how many inbound connections may be unfinished at once: in all, from one address, and
    /// with one peer.
    #[must_use]
    pub const fn with_max_handshakes(mut self, all: usize, address: usize, peer: usize) -> Self {
        self.max_handshakes = all;
        self.max_handshakes_per_address = address;
        self.max_handshakes_per_peer = peer;
        self
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
            receive_window: 2 << 20,
            send_queue: 256 * 1024,
            datagram_queue: 1 << 20,
            datagram_drop: DatagramDrop::Oldest,
            compress_from: None,
            reconnect: ReconnectPolicy::Off,
            failover: FailoverPolicy::Off,
            max_streams: 128,
            max_handshakes: 256,
            max_handshakes_per_address: 128,
            max_handshakes_per_peer: 32,
            max_listeners: Self::MAX_LISTENERS,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reconnect::{Backoff, StandbyOptions};

    /// That this change makes a configuration that cannot be meant, and that the error says so.
    fn check(setting: &str, value: &str, change: impl FnOnce(&mut ConnectionConfig)) {
        let mut config = ConnectionConfig::default();
        change(&mut config);
        let error = config.validate().expect_err(setting);
        assert_eq!((error.setting, error.value.as_str()), (setting, value), "{error}");
    }

    #[test]
    fn the_defaults_can_be_meant() {
        assert_eq!(ConnectionConfig::default().validate(), Ok(()));
        let lasting = ConnectionConfig::default()
            .with_reconnect(ReconnectPolicy::Resume(Backoff::default()))
            .with_failover(FailoverPolicy::REDIAL);
        assert_eq!(lasting.validate(), Ok(()));
    }

    #[test]
    fn no_duration_is_zero_or_beyond_a_year() {
        check("connect_timeout", "0ns", |config| config.connect_timeout = Duration::ZERO);
        check("handshake_timeout", "0ns", |config| config.handshake_timeout = Duration::ZERO);
        check("close_timeout", "0ns", |config| config.close_timeout = Duration::ZERO);
        check("idle_timeout", "0ns", |config| config.idle_timeout = Duration::ZERO);
        check("keep_alive_interval", "0ns", |config| config.keep_alive_interval = Duration::ZERO);
        let years = Duration::from_secs(2 * 365 * 86_400);
        check("idle_timeout", "63072000s", |config| config.idle_timeout = years);
        check("failover.after", "0ns", |config| {
            config.failover = FailoverPolicy::Redial { after: Duration::ZERO };
        });
        check("failover.hedge_after", "0ns", |config| {
            let never = StandbyOptions::default().with_hedge_after(Duration::ZERO);
            config.failover = FailoverPolicy::Standby(never);
        });
        check("failover.heal_after", "1ms", |config| {
            let hasty = StandbyOptions::default().with_heal_after(Duration::from_millis(1));
            config.failover = FailoverPolicy::Standby(hasty);
        });
        check("failover.redial_after", "63072000s", |config| {
            let late = StandbyOptions::default().with_redial_after(years);
            config.failover = FailoverPolicy::Standby(late);
        });
    }

    #[test]
    fn who_fails_over_resumes() {
        check("failover", "redial", |config| config.failover = FailoverPolicy::REDIAL);
        check("failover", "standby", |config| config.failover = FailoverPolicy::STANDBY);
    }

    #[test]
    fn a_sign_of_life_comes_before_the_idle_timeout() {
        check("keep_alive_interval", "30s", |config| {
            config.keep_alive_interval = config.idle_timeout;
        });
    }

    #[test]
    fn no_size_is_zero_or_above_its_bound() {
        check("max_message_size", "0", |config| config.max_message_size = 0);
        check("max_message_size", "67108865", |config| config.max_message_size = (64 << 20) + 1);
        check("receive_window", "0", |config| config.receive_window = 0);
        check("receive_window", "1073741825", |config| config.receive_window = (1 << 30) + 1);
        check("send_queue", "0", |config| config.send_queue = 0);
        check("datagram_queue", "0", |config| config.datagram_queue = 0);
        check("max_streams", "0", |config| config.max_streams = 0);
        check("max_handshakes", "0", |config| config.max_handshakes = 0);
        check("max_handshakes_per_address", "0", |config| config.max_handshakes_per_address = 0);
        check("max_handshakes_per_peer", "0", |config| config.max_handshakes_per_peer = 0);
        check("max_listeners", "17", |config| config.max_listeners = 17);
    }

    #[test]
    fn what_may_come_over_a_standby_is_counted_where_there_may_be_one() {
        let brief = ConnectionConfig::default();
        let lasting = brief.clone().with_reconnect(ReconnectPolicy::Resume(Backoff::default()));
        assert_eq!((brief.max_links_per_connection(), lasting.max_links_per_connection()), (1, 2));
        // In each lane, a message that has come but for its end.
        let coming = Priority::COUNT * brief.max_message_size;
        let more = lasting.max_memory_per_connection() - brief.max_memory_per_connection();
        assert!(more >= coming, "{more} bytes more for a standby, over which {coming} can come");
    }

    #[test]
    fn waits_between_attempts_do_not_shrink() {
        let second = Duration::from_secs(1);
        let backoff = Backoff::default().with_first(second).with_max(second / 2);
        check("backoff.max", "500ms", |config| config.reconnect = ReconnectPolicy::Resume(backoff));
        let never = Backoff::default().with_attempt(Duration::ZERO);
        check("backoff.attempt", "0ns", |config| config.reconnect = ReconnectPolicy::Resume(never));
    }
}
