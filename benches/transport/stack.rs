//! What is compared: one trait for each, so that the measuring code exists once.

use std::future::Future;

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

    /// Sends a message.
    fn send(&mut self, message: &Bytes) -> impl Future<Output = Result<()>> + Send;

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
