//! What messages travel on: the raw link, or the public connection.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use p2p_benches::Result;
use p2p_core::transport::{Incoming, Link, Transport};
use p2p_core::{
    ConnectOptions, ConnectionConfig, ListenOptions, P2PConnection, P2PListener, P2PProvider,
    ProtocolName, RecvStream, SendStream,
};
use p2p_simulator::{
    Host, SimLink, SimRecvStream, SimSendStream, SimTransport, SimulatorConnection,
    SimulatorListener, SimulatorP2P,
};

/// More than a virtual year, for whom nothing is ever idle for too long.
const LONG: Duration = Duration::from_secs(2 * 365 * 24 * 3600);

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

    /// Both ends of a new connection.
    async fn connect(from: &Self::Endpoint, to: &Self::Endpoint) -> Result<(Self::End, Self::End)>;

    /// An end's two directions.
    fn split(end: Self::End) -> (Self::Sender, Self::Receiver);
}

pub(crate) trait Sender: Send + 'static {
    fn send(&mut self, message: &[u8]) -> impl Future<Output = Result<()>> + Send;
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

    async fn connect(from: &SimTransport, to: &SimTransport) -> Result<(RawEnd, RawEnd)> {
        let addr = to.local_addr();
        let accept = async {
            let mut incoming = to.accept().await.ok_or("the endpoint has closed")?;
            let early = incoming.open_early().await.map_err(|closed| closed.to_string())?;
            let link = incoming.authenticated().await.map_err(|closed| closed.to_string())?;
            Ok(RawEnd { link, early: Some(early) })
        };
        let dial = async { Ok(RawEnd { link: from.dial(&addr).await?, early: None }) };
        tokio::try_join!(biased; dial, accept)
    }

    fn split(RawEnd { link, early }: RawEnd) -> (RawSender, RawReceiver) {
        let link = Arc::new(link);
        let receiver = RawReceiver { link: link.clone(), stream: None, rest: Bytes::new() };
        (RawSender { link, stream: early }, receiver)
    }
}

impl Sender for RawSender {
    async fn send(&mut self, message: &[u8]) -> Result<()> {
        let mut framed = Vec::with_capacity(4 + message.len());
        framed.extend_from_slice(&u32::try_from(message.len())?.to_be_bytes());
        framed.extend_from_slice(message);
        let stream = match &mut self.stream {
            Some(stream) => stream,
            none => none.insert(self.link.open_uni().await.map_err(|closed| closed.to_string())?),
        };
        Ok(stream.write_all(framed.into()).await?)
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

#[derive(Debug)]
pub(crate) struct ConnEndpoint {
    provider: SimulatorP2P,
    listener: SimulatorListener,
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
        let provider = host.provider(config())?;
        let listener = provider.listen(ListenOptions::new(protocol()?)).await?;
        Ok(ConnEndpoint { provider, listener })
    }

    async fn connect(
        from: &ConnEndpoint,
        to: &ConnEndpoint,
    ) -> Result<(SimulatorConnection, SimulatorConnection)> {
        let addr = to.provider.local_addr();
        let connect = from.provider.connect(&addr, ConnectOptions::new(protocol()?));
        Ok(tokio::try_join!(biased; connect, to.listener.accept())?)
    }

    fn split(end: SimulatorConnection) -> (SimulatorConnection, SimulatorConnection) {
        (end.clone(), end)
    }
}

impl Sender for SimulatorConnection {
    async fn send(&mut self, message: &[u8]) -> Result<()> {
        Ok(P2PConnection::send(self, Bytes::copy_from_slice(message)).await?)
    }
}

impl Receiver for SimulatorConnection {
    async fn recv(&mut self) -> Result<Bytes> {
        Ok(P2PConnection::recv(self).await?)
    }
}
