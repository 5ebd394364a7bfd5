//! The traits behind pointers, for a backend that is chosen at run time.
//!
//! [`DynProvider`], [`DynConnection`] and [`DynListener`] are object-safe twins, implemented for every
//! type that implements the trait they are named after. [`AnyProvider`], [`AnyConnection`] and
//! [`AnyListener`] hold one each and implement the trait again, so that a program written for any
//! `P` of [`P2PProvider`] also runs on a backend that only the environment knows. The price is one
//! allocation per call.

use std::fmt;
use std::sync::Arc;
use std::task::{Context, Poll};

use async_trait::async_trait;
use bytes::Bytes;

use crate::address::PeerAddr;
use crate::close::CloseReason;
use crate::config::ConnectionConfig;
use crate::datagram::DatagramOptions;
use crate::error::{ConfigError, Result, StreamError};
use crate::identity::PeerId;
use crate::observe::Health;
use crate::options::{ConnectOptions, ListenOptions};
use crate::path::{PathEvents, PathInfo};
use crate::permit::SendPermit;
use crate::priority::Priority;
use crate::protocol::ProtocolName;
use crate::provider::{
    ConnectionStats, Message, P2PConnection, P2PListener, P2PProvider, PeerInfo,
};
use crate::reconnect::{ConnectionState, StateEvents};
use crate::stream::{RecvStream, SendStream};

/// [`P2PProvider`] behind a pointer; each method does what its namesake does.
#[async_trait]
pub trait DynProvider: fmt::Debug + Send + Sync + 'static {
    /// See [`P2PProvider::local_peer_id`].
    fn local_peer_id(&self) -> PeerId;
    /// See [`P2PProvider::local_addr`].
    fn local_addr(&self) -> PeerAddr;
    /// See [`P2PProvider::random`].
    fn random(&self) -> u64;
    /// See [`P2PProvider::connect`].
    async fn connect(&self, peer: &PeerAddr, options: ConnectOptions) -> Result<AnyConnection>;
    /// See [`P2PProvider::listen`].
    async fn listen(&self, options: ListenOptions) -> Result<AnyListener>;
    /// See [`P2PProvider::config`].
    fn config(&self) -> Arc<ConnectionConfig>;
    /// See [`P2PProvider::reconfigure`].
    fn reconfigure(
        &self,
        change: &mut dyn FnMut(&mut ConnectionConfig),
    ) -> Result<Arc<ConnectionConfig>, ConfigError>;
    /// See [`P2PProvider::health`].
    fn health(&self) -> Health;
    /// See [`P2PProvider::metrics`].
    #[cfg(feature = "metrics")]
    fn metrics(&self) -> Option<crate::observe::Metrics>;
    /// See [`P2PProvider::shutdown`].
    async fn shutdown(&self);
}

#[async_trait]
impl<P: P2PProvider> DynProvider for P {
    fn local_peer_id(&self) -> PeerId {
        P2PProvider::local_peer_id(self)
    }

    fn local_addr(&self) -> PeerAddr {
        P2PProvider::local_addr(self)
    }

    fn random(&self) -> u64 {
        P2PProvider::random(self)
    }

    async fn connect(&self, peer: &PeerAddr, options: ConnectOptions) -> Result<AnyConnection> {
        P2PProvider::connect(self, peer, options).await.map(AnyConnection::new)
    }

    async fn listen(&self, options: ListenOptions) -> Result<AnyListener> {
        P2PProvider::listen(self, options).await.map(AnyListener::new)
    }

    fn config(&self) -> Arc<ConnectionConfig> {
        P2PProvider::config(self)
    }

    fn reconfigure(
        &self,
        change: &mut dyn FnMut(&mut ConnectionConfig),
    ) -> Result<Arc<ConnectionConfig>, ConfigError> {
        P2PProvider::reconfigure(self, change)
    }

    fn health(&self) -> Health {
        P2PProvider::health(self)
    }

    #[cfg(feature = "metrics")]
    fn metrics(&self) -> Option<crate::observe::Metrics> {
        P2PProvider::metrics(self)
    }

    async fn shutdown(&self) {
        P2PProvider::shutdown(self).await;
    }
}

/// [`P2PConnection`] behind a pointer; each method does what its namesake does.
#[async_trait]
pub trait DynConnection: fmt::Debug + Send + Sync + 'static {
    /// See [`P2PConnection::peer_id`].
    fn peer_id(&self) -> PeerId;
    /// See [`P2PConnection::peer`].
    fn peer(&self) -> &PeerInfo;
    /// See [`P2PConnection::send_with`].
    async fn send_with(&self, priority: Priority, message: Bytes) -> Result<()>;
    /// See [`P2PConnection::try_send`].
    fn try_send(&self, priority: Priority, message: Bytes) -> Result<()>;
    /// See [`P2PConnection::reserve`].
    async fn reserve(&self, priority: Priority, size: usize) -> Result<SendPermit>;
    /// See [`P2PConnection::queue_depth`].
    fn queue_depth(&self, priority: Priority) -> usize;
    /// See [`P2PConnection::recv_message`].
    async fn recv_message(&self) -> Result<Message>;
    /// See [`P2PConnection::send_datagram_with`].
    fn send_datagram_with(&self, datagram: Bytes, options: DatagramOptions) -> Result<()>;
    /// See [`P2PConnection::recv_datagram`].
    async fn recv_datagram(&self) -> Result<Bytes>;
    /// See [`P2PConnection::max_datagram_size`].
    fn max_datagram_size(&self) -> Option<usize>;
    /// See [`P2PConnection::open_stream`].
    async fn open_stream(&self) -> Result<(AnySendStream, AnyRecvStream)>;
    /// See [`P2PConnection::accept_stream`].
    async fn accept_stream(&self) -> Result<(AnySendStream, AnyRecvStream)>;
    /// See [`P2PConnection::is_connected`].
    fn is_connected(&self) -> bool;
    /// See [`P2PConnection::state`].
    fn state(&self) -> ConnectionState;
    /// See [`P2PConnection::state_events`].
    fn state_events(&self) -> StateEvents;
    /// See [`P2PConnection::renew_link`].
    fn renew_link(&self);
    /// See [`P2PConnection::path`].
    fn path(&self) -> PathInfo;
    /// See [`P2PConnection::path_events`].
    fn path_events(&self) -> PathEvents;
    /// See [`P2PConnection::stats`].
    fn stats(&self) -> ConnectionStats;
    /// See [`P2PConnection::close`].
    async fn close(&self, code: u32, message: &str);
    /// See [`P2PConnection::closed`].
    async fn closed(&self) -> CloseReason;
}

#[async_trait]
impl<C: P2PConnection> DynConnection for C {
    fn peer_id(&self) -> PeerId {
        P2PConnection::peer_id(self)
    }

    fn peer(&self) -> &PeerInfo {
        P2PConnection::peer(self)
    }

    async fn send_with(&self, priority: Priority, message: Bytes) -> Result<()> {
        P2PConnection::send_with(self, priority, message).await
    }

    fn try_send(&self, priority: Priority, message: Bytes) -> Result<()> {
        P2PConnection::try_send(self, priority, message)
    }

    async fn reserve(&self, priority: Priority, size: usize) -> Result<SendPermit> {
        P2PConnection::reserve(self, priority, size).await
    }

    fn queue_depth(&self, priority: Priority) -> usize {
        P2PConnection::queue_depth(self, priority)
    }

    async fn recv_message(&self) -> Result<Message> {
        P2PConnection::recv_message(self).await
    }

    fn send_datagram_with(&self, datagram: Bytes, options: DatagramOptions) -> Result<()> {
        P2PConnection::send_datagram_with(self, datagram, options)
    }

    async fn recv_datagram(&self) -> Result<Bytes> {
        P2PConnection::recv_datagram(self).await
    }

    fn max_datagram_size(&self) -> Option<usize> {
        P2PConnection::max_datagram_size(self)
    }

    async fn open_stream(&self) -> Result<(AnySendStream, AnyRecvStream)> {
        let (send, recv) = P2PConnection::open_stream(self).await?;
        Ok((AnySendStream(Box::new(send)), AnyRecvStream(Box::new(recv))))
    }

    async fn accept_stream(&self) -> Result<(AnySendStream, AnyRecvStream)> {
        let (send, recv) = P2PConnection::accept_stream(self).await?;
        Ok((AnySendStream(Box::new(send)), AnyRecvStream(Box::new(recv))))
    }

    fn is_connected(&self) -> bool {
        P2PConnection::is_connected(self)
    }

    fn state(&self) -> ConnectionState {
        P2PConnection::state(self)
    }

    fn state_events(&self) -> StateEvents {
        P2PConnection::state_events(self)
    }

    fn renew_link(&self) {
        P2PConnection::renew_link(self);
    }

    fn path(&self) -> PathInfo {
        P2PConnection::path(self)
    }

    fn path_events(&self) -> PathEvents {
        P2PConnection::path_events(self)
    }

    fn stats(&self) -> ConnectionStats {
        P2PConnection::stats(self)
    }

    async fn close(&self, code: u32, message: &str) {
        P2PConnection::close(self, code, message).await;
    }

    async fn closed(&self) -> CloseReason {
        P2PConnection::closed(self).await
    }
}

/// [`P2PListener`] behind a pointer; each method does what its namesake does.
#[async_trait]
pub trait DynListener: fmt::Debug + Send + Sync + 'static {
    /// See [`P2PListener::accept`].
    async fn accept(&self) -> Result<AnyConnection>;
    /// See [`P2PListener::local_addr`].
    fn local_addr(&self) -> PeerAddr;
    /// See [`P2PListener::protocol`].
    fn protocol(&self) -> &ProtocolName;
    /// See [`P2PListener::close`].
    fn close(&self);
}

#[async_trait]
impl<N: P2PListener> DynListener for N {
    async fn accept(&self) -> Result<AnyConnection> {
        P2PListener::accept(self).await.map(AnyConnection::new)
    }

    fn local_addr(&self) -> PeerAddr {
        P2PListener::local_addr(self)
    }

    fn protocol(&self) -> &ProtocolName {
        P2PListener::protocol(self)
    }

    fn close(&self) {
        P2PListener::close(self);
    }
}

/// [`SendStream`] behind a pointer; each method does what its namesake does.
#[async_trait]
pub trait DynSendStream: fmt::Debug + Send + Sync + 'static {
    /// See [`SendStream::poll_write`].
    fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        data: &mut Bytes,
    ) -> Poll<Result<(), StreamError>>;
    /// See [`SendStream::finish`].
    fn finish(&mut self) -> Result<(), StreamError>;
    /// See [`SendStream::finished`].
    async fn finished(&mut self) -> Result<(), StreamError>;
    /// See [`SendStream::reset`].
    fn reset(&mut self, code: u64);
    /// See [`SendStream::set_priority`].
    fn set_priority(&mut self, priority: i32);
}

#[async_trait]
impl<S: SendStream> DynSendStream for S {
    fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        data: &mut Bytes,
    ) -> Poll<Result<(), StreamError>> {
        SendStream::poll_write(self, cx, data)
    }

    fn finish(&mut self) -> Result<(), StreamError> {
        SendStream::finish(self)
    }

    async fn finished(&mut self) -> Result<(), StreamError> {
        SendStream::finished(self).await
    }

    fn reset(&mut self, code: u64) {
        SendStream::reset(self, code);
    }

    fn set_priority(&mut self, priority: i32) {
        SendStream::set_priority(self, priority);
    }
}

/// [`RecvStream`] behind a pointer; each method does what its namesake does.
pub trait DynRecvStream: fmt::Debug + Send + Sync + 'static {
    /// See [`RecvStream::poll_read_chunk`].
    fn poll_read_chunk(
        &mut self,
        cx: &mut Context<'_>,
        max: usize,
    ) -> Poll<Result<Option<Bytes>, StreamError>>;
    /// See [`RecvStream::stop`].
    fn stop(&mut self, code: u64);
}

impl<R: RecvStream> DynRecvStream for R {
    fn poll_read_chunk(
        &mut self,
        cx: &mut Context<'_>,
        max: usize,
    ) -> Poll<Result<Option<Bytes>, StreamError>> {
        RecvStream::poll_read_chunk(self, cx, max)
    }

    fn stop(&mut self, code: u64) {
        RecvStream::stop(self, code);
    }
}

/// A provider of any backend.
#[derive(Clone, Debug)]
pub struct AnyProvider(Arc<dyn DynProvider>);

impl AnyProvider {
    /// Hides which backend it is.
    pub fn new(provider: impl P2PProvider) -> Self {
        Self(Arc::new(provider))
    }
}

#[async_trait]
impl P2PProvider for AnyProvider {
    type Connection = AnyConnection;
    type Listener = AnyListener;

    fn local_peer_id(&self) -> PeerId {
        self.0.local_peer_id()
    }

    fn local_addr(&self) -> PeerAddr {
        self.0.local_addr()
    }

    fn random(&self) -> u64 {
        self.0.random()
    }

    async fn connect(&self, peer: &PeerAddr, options: ConnectOptions) -> Result<AnyConnection> {
        self.0.connect(peer, options).await
    }

    async fn listen(&self, options: ListenOptions) -> Result<AnyListener> {
        self.0.listen(options).await
    }

    fn config(&self) -> Arc<ConnectionConfig> {
        self.0.config()
    }

    fn reconfigure(
        &self,
        change: &mut dyn FnMut(&mut ConnectionConfig),
    ) -> Result<Arc<ConnectionConfig>, ConfigError> {
        self.0.reconfigure(change)
    }

    fn health(&self) -> Health {
        self.0.health()
    }

    #[cfg(feature = "metrics")]
    fn metrics(&self) -> Option<crate::observe::Metrics> {
        self.0.metrics()
    }

    async fn shutdown(&self) {
        self.0.shutdown().await;
    }
}

/// A connection of any backend.
#[derive(Clone, Debug)]
pub struct AnyConnection(Arc<dyn DynConnection>);

impl AnyConnection {
    /// Hides which backend it is.
    pub fn new(connection: impl P2PConnection) -> Self {
        Self(Arc::new(connection))
    }
}

impl P2PConnection for AnyConnection {
    type SendStream = AnySendStream;
    type RecvStream = AnyRecvStream;

    fn peer_id(&self) -> PeerId {
        self.0.peer_id()
    }

    fn peer(&self) -> &PeerInfo {
        self.0.peer()
    }

    async fn send_with(&self, priority: Priority, message: Bytes) -> Result<()> {
        self.0.send_with(priority, message).await
    }

    fn try_send(&self, priority: Priority, message: Bytes) -> Result<()> {
        self.0.try_send(priority, message)
    }

    async fn reserve(&self, priority: Priority, size: usize) -> Result<SendPermit> {
        self.0.reserve(priority, size).await
    }

    fn queue_depth(&self, priority: Priority) -> usize {
        self.0.queue_depth(priority)
    }

    async fn recv_message(&self) -> Result<Message> {
        self.0.recv_message().await
    }

    fn send_datagram_with(&self, datagram: Bytes, options: DatagramOptions) -> Result<()> {
        self.0.send_datagram_with(datagram, options)
    }

    async fn recv_datagram(&self) -> Result<Bytes> {
        self.0.recv_datagram().await
    }

    fn max_datagram_size(&self) -> Option<usize> {
        self.0.max_datagram_size()
    }

    async fn open_stream(&self) -> Result<(AnySendStream, AnyRecvStream)> {
        self.0.open_stream().await
    }

    async fn accept_stream(&self) -> Result<(AnySendStream, AnyRecvStream)> {
        self.0.accept_stream().await
    }

    fn is_connected(&self) -> bool {
        self.0.is_connected()
    }

    fn state(&self) -> ConnectionState {
        self.0.state()
    }

    fn state_events(&self) -> StateEvents {
        self.0.state_events()
    }

    fn renew_link(&self) {
        self.0.renew_link();
    }

    fn path(&self) -> PathInfo {
        self.0.path()
    }

    fn path_events(&self) -> PathEvents {
        self.0.path_events()
    }

    fn stats(&self) -> ConnectionStats {
        self.0.stats()
    }

    async fn close(&self, code: u32, message: &str) {
        self.0.close(code, message).await;
    }

    async fn closed(&self) -> CloseReason {
        self.0.closed().await
    }
}

/// A listener of any backend.
#[derive(Debug)]
pub struct AnyListener(Box<dyn DynListener>);

impl AnyListener {
    /// Hides which backend it is.
    pub fn new(listener: impl P2PListener) -> Self {
        Self(Box::new(listener))
    }
}

#[async_trait]
impl P2PListener for AnyListener {
    type Connection = AnyConnection;

    async fn accept(&self) -> Result<AnyConnection> {
        self.0.accept().await
    }

    fn local_addr(&self) -> PeerAddr {
        self.0.local_addr()
    }

    fn protocol(&self) -> &ProtocolName {
        self.0.protocol()
    }

    fn close(&self) {
        self.0.close();
    }
}

/// The writing half of a stream of any backend.
#[derive(Debug)]
pub struct AnySendStream(Box<dyn DynSendStream>);

impl SendStream for AnySendStream {
    fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        data: &mut Bytes,
    ) -> Poll<Result<(), StreamError>> {
        self.0.poll_write(cx, data)
    }

    fn finish(&mut self) -> Result<(), StreamError> {
        self.0.finish()
    }

    async fn finished(&mut self) -> Result<(), StreamError> {
        self.0.finished().await
    }

    fn reset(&mut self, code: u64) {
        self.0.reset(code);
    }

    fn set_priority(&mut self, priority: i32) {
        self.0.set_priority(priority);
    }
}

/// The reading half of a stream of any backend.
#[derive(Debug)]
pub struct AnyRecvStream(Box<dyn DynRecvStream>);

impl RecvStream for AnyRecvStream {
    fn poll_read_chunk(
        &mut self,
        cx: &mut Context<'_>,
        max: usize,
    ) -> Poll<Result<Option<Bytes>, StreamError>> {
        self.0.poll_read_chunk(cx, max)
    }

    fn stop(&mut self, code: u64) {
        self.0.stop(code);
    }
}
