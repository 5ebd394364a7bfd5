//! iroh itself, with its default transport settings: the baseline, because it is what a user would
//! have without us.
//!
//! As with ours, relays, lookups and port mapping are off and sockets are bound on loopback only.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use bytes::Bytes;
use iroh::endpoint::{self, PortmapperConfig, RecvStream, RelayMode, SendStream, presets};
use iroh::{Endpoint, EndpointAddr, NetReportConfig};
use p2p_benches::Result;

use crate::CHUNK;
use crate::framing::{self, BATCH, Frames};
use crate::stack::{Apart, Connection, Ends, Lanes, Stack};

const ALPN: &[u8] = b"bench/1";

pub(crate) struct RawIroh {
    dialler: Endpoint,
    acceptor: Endpoint,
}

pub(crate) struct IrohConnection {
    connection: endpoint::Connection,
    streams: Option<(SendStream, RecvStream)>,
    buffer: Vec<u8>,
    frames: Frames,
}

impl IrohConnection {
    fn new(connection: endpoint::Connection) -> Self {
        Self { connection, streams: None, buffer: Vec::new(), frames: Frames::default() }
    }

    /// The same, for another stream.
    fn another(&self) -> Self {
        Self::new(self.connection.clone())
    }

    fn send_stream(&mut self) -> Result<&mut SendStream> {
        Ok(&mut self.streams.as_mut().ok_or("no stream")?.0)
    }

    fn recv_stream(&mut self) -> Result<&mut RecvStream> {
        Ok(&mut self.streams.as_mut().ok_or("no stream")?.1)
    }
}

impl RawIroh {
    async fn dial_addr(&self, addr: EndpointAddr) -> Result<IrohConnection> {
        Ok(IrohConnection::new(self.dialler.connect(addr, ALPN).await?))
    }
}

async fn bind(at: IpAddr) -> Result<Endpoint> {
    let endpoint = Endpoint::builder(presets::Minimal)
        .relay_mode(RelayMode::Disabled)
        .portmapper_config(PortmapperConfig::Disabled)
        .net_report_config(NetReportConfig::minimal())
        .clear_ip_transports()
        .bind_addr((at, 0))?
        .alpns(vec![ALPN.to_vec()])
        .bind();
    Ok(endpoint.await?)
}

impl Stack for RawIroh {
    const NAME: &'static str = "raw iroh";
    type Connection = IrohConnection;

    async fn bind() -> Result<Self> {
        let at = Ipv4Addr::LOCALHOST.into();
        Ok(Self { dialler: bind(at).await?, acceptor: bind(at).await? })
    }

    async fn connect(&self) -> Result<Ends<IrohConnection>> {
        let dial = self.dial_addr(self.acceptor.addr());
        let (dialler, acceptor) = tokio::try_join!(dial, self.accept())?;
        Ok(Ends { dialler, acceptor })
    }

    async fn shutdown(self) -> Result<()> {
        tokio::join!(self.dialler.close(), self.acceptor.close());
        Ok(())
    }
}

impl Apart for RawIroh {
    async fn bind_apart() -> Result<Self> {
        let dialler = bind(Ipv4Addr::LOCALHOST.into()).await?;
        Ok(Self { dialler, acceptor: bind(Ipv6Addr::LOCALHOST.into()).await? })
    }

    fn acceptor_addr(&self) -> Result<SocketAddr> {
        Ok(self.acceptor.bound_sockets().first().copied().ok_or("no socket")?)
    }

    async fn dial(&self, at: SocketAddr) -> Result<IrohConnection> {
        self.dial_addr(EndpointAddr::new(self.acceptor.id()).with_ip_addr(at)).await
    }

    async fn accept(&self) -> Result<IrohConnection> {
        let incoming = self.acceptor.accept().await.ok_or("the endpoint is closed")?;
        Ok(IrohConnection::new(incoming.await?))
    }

    async fn lanes(ends: Ends<IrohConnection>) -> Result<Lanes<IrohConnection>> {
        let Ends { dialler, acceptor } = ends;
        let pair = async |priority| {
            let mut ends = Ends { dialler: dialler.another(), acceptor: acceptor.another() };
            IrohConnection::open(&mut ends).await?;
            for end in [&mut ends.dialler, &mut ends.acceptor] {
                end.send_stream()?.set_priority(priority)?;
            }
            Result::<_>::Ok(ends)
        };
        // A stream for each, because one task cannot send on a stream while another receives.
        let (bulk, urgent, echoes) = (pair(-1).await?, pair(1).await?, pair(1).await?);
        Ok(Lanes {
            bulk: bulk.dialler,
            urgent: urgent.dialler,
            echoes: echoes.dialler,
            takers: vec![bulk.acceptor, urgent.acceptor],
            echo: echoes.acceptor,
        })
    }
}

impl Connection for IrohConnection {
    async fn open(ends: &mut Ends<Self>) -> Result<()> {
        // A stream is invisible to the peer until its first byte: an empty message.
        ends.dialler.streams = Some(ends.dialler.connection.open_bi().await?);
        ends.dialler.send(&Bytes::new()).await?;
        ends.acceptor.streams = Some(ends.acceptor.connection.accept_bi().await?);
        ends.acceptor.recv().await?;
        Ok(())
    }

    async fn send(&mut self, message: &Bytes) -> Result<()> {
        framing::append(&mut self.buffer, message);
        self.flush().await
    }

    async fn queue(&mut self, message: &Bytes) -> Result<()> {
        framing::append(&mut self.buffer, message);
        if self.buffer.len() >= BATCH { self.flush().await } else { Ok(()) }
    }

    async fn flush(&mut self) -> Result<()> {
        let (send, _) = self.streams.as_mut().ok_or("no stream")?;
        send.write_all(&self.buffer).await?;
        self.buffer.clear();
        Ok(())
    }

    async fn recv(&mut self) -> Result<Bytes> {
        loop {
            if let Some(message) = self.frames.next() {
                return Ok(message);
            }
            let chunk = self.recv_stream()?.read_chunk(CHUNK).await?;
            self.frames.push(chunk.ok_or("the stream has ended")?);
        }
    }

    async fn write(&mut self, chunk: Bytes) -> Result<()> {
        Ok(self.send_stream()?.write_chunk(chunk).await?)
    }

    async fn finish(&mut self) -> Result<()> {
        Ok(self.send_stream()?.finish()?)
    }

    async fn read(&mut self) -> Result<usize> {
        let chunk = self.recv_stream()?.read_chunk(CHUNK).await?;
        Ok(chunk.map_or(0, |chunk| chunk.len()))
    }

    fn send_datagram(&mut self, datagram: Bytes) -> Result<()> {
        Ok(self.connection.send_datagram(datagram)?)
    }

    async fn recv_datagram(&mut self) -> Result<Bytes> {
        Ok(self.connection.read_datagram().await?)
    }
}
