//! Ours: `P2PConnection` over the iroh backend, with its default configuration, or with everything
//! switched on.
//!
//! Messages are the connection's own, bulk is one of its streams. The windows are the backend's
//! defaults, which are iroh's own.

use std::future::Future;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use bytes::Bytes;
use p2p_benches::Result;
use p2p_transport::iroh::{IrohConfig, IrohP2P};
use p2p_transport::{
    Backoff, ConnectOptions, ConnectionConfig, FailoverPolicy, Limited, Limits, ListenOptions,
    P2PConnection, P2PListener, P2PProvider, PeerAddr, Priority, ProtocolName, ReconnectPolicy,
    RecvStream, SendStream,
};

use crate::CHUNK;
use crate::stack::{Apart, Connection, Ends, Lanes, Stack};

/// As it comes, or otherwise.
pub(crate) trait Setup: Send + Sync + 'static {
    /// What it is called in the report.
    const NAME: &'static str;
    type Provider: P2PProvider;

    /// A node, with its socket at this address.
    fn bind(at: IpAddr) -> impl Future<Output = Result<Self::Provider>> + Send;
}

/// The default configuration.
#[derive(Debug)]
pub(crate) struct Plain;

/// Everything on that can be: resumption and failover, compression of messages from 1 KiB on, limits,
/// and a handle to the metrics' text. None of it comes into use on a good path with small messages.
#[derive(Debug)]
pub(crate) struct Everything;

impl Setup for Plain {
    const NAME: &'static str = "ours";
    type Provider = IrohP2P;

    async fn bind(at: IpAddr) -> Result<IrohP2P> {
        Ok(IrohConfig::default().with_bind_address((at, 0).into()).bind().await?)
    }
}

impl Setup for Everything {
    const NAME: &'static str = "ours, everything on";
    type Provider = Limited<IrohP2P>;

    async fn bind(at: IpAddr) -> Result<Limited<IrohP2P>> {
        let connection = ConnectionConfig::default()
            .with_reconnect(ReconnectPolicy::Resume(Backoff::default()))
            .with_failover(FailoverPolicy::REDIAL)
            .with_compress_from(1024);
        let config = IrohConfig::default().with_bind_address((at, 0).into());
        let provider = config.with_connection(connection).bind().await?;
        provider.metrics().ok_or("no metrics")?;
        Ok(Limited::new(provider, Limits::default())?)
    }
}

pub(crate) struct Ours<S: Setup = Plain> {
    dialler: S::Provider,
    acceptor: S::Provider,
    listener: <S::Provider as P2PProvider>::Listener,
    protocol: ProtocolName,
}

type Streams<C> = (<C as P2PConnection>::SendStream, <C as P2PConnection>::RecvStream);

pub(crate) struct OurConnection<C: P2PConnection> {
    connection: C,
    /// Of the messages sent.
    priority: Priority,
    streams: Option<Streams<C>>,
}

impl<C: P2PConnection> OurConnection<C> {
    const fn new(connection: C, priority: Priority) -> Self {
        Self { connection, priority, streams: None }
    }
}

impl<S: Setup> Ours<S> {
    async fn bind_at(dialler: IpAddr, acceptor: IpAddr) -> Result<Self> {
        let (dialler, acceptor) = (S::bind(dialler).await?, S::bind(acceptor).await?);
        let protocol: ProtocolName = "bench/1".parse()?;
        let listener = acceptor.listen(ListenOptions::new(protocol.clone())).await?;
        Ok(Self { dialler, acceptor, listener, protocol })
    }

    async fn dial_addr(&self, addr: &PeerAddr) -> Result<EndOf<S>> {
        let options = ConnectOptions::new(self.protocol.clone());
        let connection = self.dialler.connect(addr, options).await?;
        Ok(OurConnection::new(connection, Priority::Normal))
    }
}

type EndOf<S> = OurConnection<<<S as Setup>::Provider as P2PProvider>::Connection>;

impl<S: Setup> Stack for Ours<S> {
    const NAME: &'static str = S::NAME;
    type Connection = EndOf<S>;

    async fn bind() -> Result<Self> {
        Self::bind_at(Ipv4Addr::LOCALHOST.into(), Ipv4Addr::LOCALHOST.into()).await
    }

    async fn connect(&self) -> Result<Ends<Self::Connection>> {
        let addr = self.acceptor.local_addr();
        let (dialler, acceptor) = tokio::try_join!(self.dial_addr(&addr), self.accept())?;
        Ok(Ends { dialler, acceptor })
    }

    async fn shutdown(self) -> Result<()> {
        tokio::join!(self.dialler.shutdown(), self.acceptor.shutdown());
        Ok(())
    }
}

impl<S: Setup> Apart for Ours<S> {
    async fn bind_apart() -> Result<Self> {
        Self::bind_at(Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()).await
    }

    fn acceptor_addr(&self) -> Result<SocketAddr> {
        let addr = self.acceptor.local_addr();
        Ok(addr.addresses().next().ok_or("no address")?)
    }

    async fn dial(&self, at: SocketAddr) -> Result<Self::Connection> {
        let id = self.acceptor.local_peer_id();
        self.dial_addr(&PeerAddr::new(id).with_address(at)).await
    }

    async fn accept(&self) -> Result<Self::Connection> {
        Ok(OurConnection::new(self.listener.accept().await?, Priority::Normal))
    }

    async fn lanes(ends: Ends<Self::Connection>) -> Result<Lanes<Self::Connection>> {
        let (near, far) = (ends.dialler.connection, ends.acceptor.connection);
        Ok(Lanes {
            bulk: OurConnection::new(near.clone(), Priority::Bulk),
            urgent: OurConnection::new(near.clone(), Priority::Realtime),
            echoes: OurConnection::new(near, Priority::Realtime),
            takers: vec![OurConnection::new(far.clone(), Priority::Realtime)],
            echo: OurConnection::new(far, Priority::Realtime),
        })
    }
}

impl<C: P2PConnection> Connection for OurConnection<C> {
    async fn open(ends: &mut Ends<Self>) -> Result<()> {
        ends.dialler.streams = Some(ends.dialler.connection.open_stream().await?);
        ends.acceptor.streams = Some(ends.acceptor.connection.accept_stream().await?);
        Ok(())
    }

    async fn send(&mut self, message: &Bytes) -> Result<()> {
        Ok(self.connection.send_with(self.priority, message.clone()).await?)
    }

    async fn recv(&mut self) -> Result<Bytes> {
        Ok(self.connection.recv().await?)
    }

    async fn write(&mut self, chunk: Bytes) -> Result<()> {
        let (send, _) = self.streams.as_mut().ok_or("no stream")?;
        Ok(send.write_all(chunk).await?)
    }

    async fn finish(&mut self) -> Result<()> {
        let (send, _) = self.streams.as_mut().ok_or("no stream")?;
        Ok(send.finish()?)
    }

    async fn read(&mut self) -> Result<usize> {
        let (_, recv) = self.streams.as_mut().ok_or("no stream")?;
        Ok(recv.read_chunk(CHUNK).await?.map_or(0, |chunk| chunk.len()))
    }

    fn send_datagram(&mut self, datagram: Bytes) -> Result<()> {
        Ok(self.connection.send_datagram(datagram)?)
    }

    async fn recv_datagram(&mut self) -> Result<Bytes> {
        Ok(self.connection.recv_datagram().await?)
    }
}
