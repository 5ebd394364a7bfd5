//! What messages travel on: the raw link, or the public connection.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use p2p_benches::Result;
use p2p_core::transport::{Incoming, Link, Transport};
use p2p_core::{
    Backoff, ConnectOptions, ConnectionConfig, FailoverPolicy, Limited, LimitedConnection, Limits,
    ListenOptions, P2PConnection, P2PListener, P2PProvider, ProtocolName, ReconnectPolicy,
    RecvStream, SendStream,
};
use p2p_simulator::{
    Host, SimLink, SimRecvStream, SimSendStream, SimTransport, SimulatorConnection, SimulatorP2P,
};

/// A virtual year, the most that may be set: as long as any run.
const LONG: Duration = Duration::from_secs(365 * 24 * 3600);

/// Keep-alives off.
fn config() -> ConnectionConfig {
    let mut config = ConnectionConfig::default().with_idle_timeout(LONG);
    config.keep_alive_interval = LONG / 5;
    config
}

/// One of the two levels at which the simulator is used.
pub(crate) trait Wire: 'static {
    type Endpoint;
    type End: Send + 'static;
    type Sender: Sender;
    type Receiver: Receiver;

    /// Starts a host's endpoint.
    async fn endpoint(host: &Host) -> Result<Self::Endpoint>;

    /// The dialler's end of a new connection.
    async fn dial(from: &Self::Endpoint, to: &Self::Endpoint) -> Result<Self::End>;

    /// The acceptor's.
    async fn accept(to: &Self::Endpoint) -> Result<Self::End>;

    /// Both ends of a new connection.
    async fn connect(from: &Self::Endpoint, to: &Self::Endpoint) -> Result<(Self::End, Self::End)> {
        tokio::try_join!(biased; Self::dial(from, to), Self::accept(to))
    }

    /// An end's two directions.
    fn split(end: Self::End) -> (Self::Sender, Self::Receiver);
}

pub(crate) trait Sender: Send + 'static {
    /// A message as it is sent. One that is sent again and again is made once, as by the peers.
    fn frame(message: &[u8]) -> Result<Bytes>;

    fn send_framed(&mut self, framed: Bytes) -> impl Future<Output = Result<()>> + Send;

    fn send(&mut self, message: &[u8]) -> impl Future<Output = Result<()>> + Send {
        let framed = Self::frame(message);
        async { self.send_framed(framed?).await }
    }
}

pub(crate) trait Receiver: Send + 'static {
    fn recv(&mut self) -> impl Future<Output = Result<Bytes>> + Send;
}

/// Messages with a length before each, on one stream in each direction.
#[derive(Debug)]
pub(crate) struct Raw;

#[derive(Debug)]
pub(crate) struct RawEnd {
    link: SimLink,
    /// The acceptor's stream, with which it answers.
    early: Option<SimSendStream>,
}

#[derive(Debug)]
pub(crate) struct RawSender {
    link: Arc<SimLink>,
    stream: Option<SimSendStream>,
}

#[derive(Debug)]
pub(crate) struct RawReceiver {
    link: Arc<SimLink>,
    stream: Option<SimRecvStream>,
    /// What was read and not yet received.
    rest: Bytes,
}

impl Wire for Raw {
    type Endpoint = SimTransport;
    type End = RawEnd;
    type Sender = RawSender;
    type Receiver = RawReceiver;

    async fn endpoint(host: &Host) -> Result<SimTransport> {
        Ok(host.transport(&config())?)
    }

    async fn dial(from: &SimTransport, to: &SimTransport) -> Result<RawEnd> {
        Ok(RawEnd { link: from.dial(&to.local_addr()).await?, early: None })
    }

    async fn accept(to: &SimTransport) -> Result<RawEnd> {
        let mut incoming = to.accept().await.ok_or("the endpoint has closed")?;
        let early = incoming.open_early().await.map_err(|closed| closed.to_string())?;
        let link = incoming.authenticated().await.map_err(|closed| closed.to_string())?;
        Ok(RawEnd { link, early: Some(early) })
    }

    fn split(RawEnd { link, early }: RawEnd) -> (RawSender, RawReceiver) {
        let link = Arc::new(link);
        let receiver = RawReceiver { link: link.clone(), stream: None, rest: Bytes::new() };
        (RawSender { link, stream: early }, receiver)
    }
}

impl Sender for RawSender {
    fn frame(message: &[u8]) -> Result<Bytes> {
        let mut framed = Vec::with_capacity(4 + message.len());
        framed.extend_from_slice(&u32::try_from(message.len())?.to_be_bytes());
        framed.extend_from_slice(message);
        Ok(framed.into())
    }

    async fn send_framed(&mut self, framed: Bytes) -> Result<()> {
        let stream = match &mut self.stream {
            Some(stream) => stream,
            none => none.insert(self.link.open_uni().await.map_err(|closed| closed.to_string())?),
        };
        Ok(stream.write_all(framed).await?)
    }
}

impl RawReceiver {
    fn next(&mut self) -> Option<Bytes> {
        let length = u32::from_be_bytes(*self.rest.first_chunk()?) as usize;
        if self.rest.len() < 4 + length {
            return None;
        }
        self.rest.advance(4);
        // What most chunks are: one message.
        if self.rest.len() == length {
            return Some(std::mem::take(&mut self.rest));
        }
        Some(self.rest.split_to(length))
    }
}

impl Receiver for RawReceiver {
    async fn recv(&mut self) -> Result<Bytes> {
        loop {
            if let Some(message) = self.next() {
                return Ok(message);
            }
            let stream = match &mut self.stream {
                Some(stream) => stream,
                none => {
                    none.insert(self.link.accept_uni().await.map_err(|closed| closed.to_string())?)
                }
            };
            let chunk = stream.read_chunk(usize::MAX).await?.ok_or("the stream has ended")?;
            if self.rest.is_empty() {
                self.rest = chunk;
            } else {
                let mut joined = BytesMut::from(&self.rest[..]);
                joined.extend_from_slice(&chunk);
                self.rest = joined.freeze();
            }
        }
    }
}

/// The public connection's messages.
#[derive(Debug)]
pub(crate) struct Conn;

/// The same with everything on that can be: resumption and failover, compression of messages from 1 KiB
/// on, limits, and a handle to the metrics' text.
#[derive(Debug)]
pub(crate) struct Featured;

#[derive(Debug)]
pub(crate) struct ConnEndpoint<P: P2PProvider = SimulatorP2P> {
    provider: P,
    listener: P::Listener,
}

impl<P: P2PProvider> ConnEndpoint<P> {
    async fn new(provider: P) -> Result<Self> {
        let listener = provider.listen(ListenOptions::new(protocol()?)).await?;
        Ok(Self { provider, listener })
    }

    async fn dial(&self, to: &Self) -> Result<P::Connection> {
        let options = ConnectOptions::new(protocol()?);
        Ok(self.provider.connect(&to.provider.local_addr(), options).await?)
    }
}

fn protocol() -> Result<ProtocolName> {
    Ok("bench/1".parse()?)
}

impl Wire for Conn {
    type Endpoint = ConnEndpoint;
    type End = SimulatorConnection;
    type Sender = SimulatorConnection;
    type Receiver = SimulatorConnection;

    async fn endpoint(host: &Host) -> Result<ConnEndpoint> {
        ConnEndpoint::new(host.provider(config())?).await
    }

    async fn dial(from: &ConnEndpoint, to: &ConnEndpoint) -> Result<SimulatorConnection> {
        from.dial(to).await
    }

    async fn accept(to: &ConnEndpoint) -> Result<SimulatorConnection> {
        Ok(to.listener.accept().await?)
    }

    fn split(end: SimulatorConnection) -> (SimulatorConnection, SimulatorConnection) {
        (end.clone(), end)
    }
}

type FeaturedConnection = LimitedConnection<SimulatorConnection>;

impl Wire for Featured {
    type Endpoint = ConnEndpoint<Limited<SimulatorP2P>>;
    type End = FeaturedConnection;
    type Sender = FeaturedConnection;
    type Receiver = FeaturedConnection;

    async fn endpoint(host: &Host) -> Result<Self::Endpoint> {
        let config = config()
            .with_reconnect(ReconnectPolicy::Resume(Backoff::default()))
            .with_failover(FailoverPolicy::REDIAL)
            .with_compress_from(1024);
        let provider = host.provider(config)?;
        provider.metrics().ok_or("no metrics")?;
        ConnEndpoint::new(Limited::new(provider, Limits::default())?).await
    }

    async fn dial(from: &Self::Endpoint, to: &Self::Endpoint) -> Result<FeaturedConnection> {
        from.dial(to).await
    }

    async fn accept(to: &Self::Endpoint) -> Result<FeaturedConnection> {
        Ok(to.listener.accept().await?)
    }

    fn split(end: FeaturedConnection) -> (FeaturedConnection, FeaturedConnection) {
        (end.clone(), end)
    }
}

impl<C: P2PConnection> Sender for C {
    fn frame(message: &[u8]) -> Result<Bytes> {
        Ok(Bytes::copy_from_slice(message))
    }

    async fn send_framed(&mut self, message: Bytes) -> Result<()> {
        Ok(P2PConnection::send(self, message).await?)
    }
}

impl<C: P2PConnection> Receiver for C {
    async fn recv(&mut self) -> Result<Bytes> {
        Ok(P2PConnection::recv(self).await?)
    }
}
