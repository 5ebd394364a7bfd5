//! What is compared: one trait for each, so that the measuring code exists once.

use std::future::Future;
use std::net::SocketAddr;

use bytes::Bytes;
use p2p_benches::Result;

/// A way to get bytes from one end to another: both ends of it, in this process, on loopback.
pub(crate) trait Stack: Sized + Send + Sync + 'static {
    /// What it is called in the report.
    const NAME: &'static str;
    /// Whether it has datagrams.
    const DATAGRAMS: bool = true;
    /// Whether two ends can have a second connection beside the first.
    const SECOND_CONNECTION: bool = true;

    /// One end of a connection.
    type Connection: Connection;

    /// Makes two new ends that know nothing of each other but an address.
    fn bind() -> impl Future<Output = Result<Self>> + Send;

    /// Connects them. Both sides of the connection are usable: authenticated, where the stack does
    /// that, and with the hello of either side received, where there is one.
    fn connect(&self) -> impl Future<Output = Result<Ends<Self::Connection>>> + Send;

    /// Gives everything back, so that the next to be measured has the machine for itself.
    fn shutdown(self) -> impl Future<Output = Result<()>> + Send;
}

/// Both sides of a connection.
pub(crate) struct Ends<C> {
    pub(crate) dialler: C,
    pub(crate) acceptor: C,
}

/// One side of a connection. The dialler sends and writes first.
pub(crate) trait Connection: Sized + Send + 'static {
    /// Opens what messages and bulk travel on, so that neither pays for it.
    fn open(ends: &mut Ends<Self>) -> impl Future<Output = Result<()>> + Send;

    /// Sends a message, which no other follows.
    fn send(&mut self, message: &Bytes) -> impl Future<Output = Result<()>> + Send;

    /// Sends one of many messages. Where a program frames them itself, it may collect them until
    /// [`flush`](Connection::flush).
    fn queue(&mut self, message: &Bytes) -> impl Future<Output = Result<()>> + Send {
        self.send(message)
    }

    /// Sends what `queue` has collected.
    fn flush(&mut self) -> impl Future<Output = Result<()>> + Send {
        async { Ok(()) }
    }

    /// Receives a message, as an owned value that a program could pass on.
    fn recv(&mut self) -> impl Future<Output = Result<Bytes>> + Send;

    /// Writes a chunk of bulk.
    fn write(&mut self, chunk: Bytes) -> impl Future<Output = Result<()>> + Send;

    /// Says that no more bulk follows.
    fn finish(&mut self) -> impl Future<Output = Result<()>> + Send;

    /// Takes some bulk and tells how many bytes it was; 0 at the end.
    fn read(&mut self) -> impl Future<Output = Result<usize>> + Send;

    /// Sends a datagram.
    fn send_datagram(&mut self, datagram: Bytes) -> Result<()>;

    /// Receives a datagram.
    fn recv_datagram(&mut self) -> impl Future<Output = Result<Bytes>> + Send;
}

/// A stack whose ends can be kept apart, so that all that goes between them takes a detour.
///
/// One end has an IPv4 socket only, the other an IPv6 socket only: neither can reach the other by
/// itself, whatever addresses they tell each other, as iroh's ends do to find a shorter path.
pub(crate) trait Apart: Stack {
    /// Makes two new ends: the dialler on IPv4, the acceptor on IPv6.
    fn bind_apart() -> impl Future<Output = Result<Self>> + Send;

    /// Where the acceptor is.
    fn acceptor_addr(&self) -> Result<SocketAddr>;

    /// Dials the acceptor at this address.
    fn dial(&self, at: SocketAddr) -> impl Future<Output = Result<Self::Connection>> + Send;

    /// Accepts a connection.
    fn accept(&self) -> impl Future<Output = Result<Self::Connection>> + Send;

    /// What carries urgent messages beside bulk, as well as the stack can.
    fn lanes(
        ends: Ends<Self::Connection>,
    ) -> impl Future<Output = Result<Lanes<Self::Connection>>> + Send;
}

/// A connection's parts, each for a task of its own.
pub(crate) struct Lanes<C> {
    /// Sends bulk, from the dialler.
    pub(crate) bulk: C,
    /// Sends urgent messages, from the dialler.
    pub(crate) urgent: C,
    /// Receives their echoes, at the dialler.
    pub(crate) echoes: C,
    /// Receive all that, at the acceptor.
    pub(crate) takers: Vec<C>,
    /// Sends echoes, from the acceptor.
    pub(crate) echo: C,
}
