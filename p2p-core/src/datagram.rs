//! What becomes of datagrams that do not fit, and of those that nobody takes.

/// Which datagrams go when more have come than wait at most: see
/// [`ConnectionConfig::datagram_queue`](crate::ConnectionConfig::datagram_queue).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum DatagramDrop {
    /// What comes, until there is room: for sequences whose beginning matters.
    Newest,
    /// What has waited longest: for states, of which the last one counts.
    #[default]
    Oldest,
}

/// How to send one datagram.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct DatagramOptions {
    /// What becomes of it if it is larger than the path carries. Default
    /// [`DatagramFallback::Fail`].
    pub fallback: DatagramFallback,
}

impl DatagramOptions {
    /// The most bytes of a datagram that travels on a stream.
    pub const MAX_ON_STREAM: usize = 64 * 1024;
    /// How many such datagrams may wait for the transport.
    pub const MAX_WAITING: usize = 8;

    /// Sets what becomes of a datagram that is too large.
    #[must_use]
    pub const fn with_fallback(mut self, fallback: DatagramFallback) -> Self {
        self.fallback = fallback;
        self
    }
}

/// What becomes of a datagram that is larger than the path carries.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum DatagramFallback {
    /// It is refused.
    #[default]
    Fail,
    /// It travels on a stream of its own, and arrives as a datagram: unless the link is lost, or the
    /// peer has as many on their way as it takes at once.
    Stream,
}
