//! iroh itself, with its default transport settings: the baseline, because it is what a user would
//! have without us.
//!
//! As with ours, relays, lookups and port mapping are off and sockets are bound on loopback only.

use bytes::Bytes;
use iroh::endpoint::{self, PortmapperConfig, RecvStream, RelayMode, SendStream, presets};
use iroh::{Endpoint, NetReportConfig};
use p2p_benches::Result;

use crate::CHUNK;
use crate::framing::{self, Frames};
use crate::stack::{Connection, Ends, Stack};

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

    fn send_stream(&mut self) -> Result<&mut SendStream> {
        Ok(&mut self.streams.as_mut().ok_or("no stream")?.0)
    }

    fn recv_stream(&mut self) -> Result<&mut RecvStream> {
        Ok(&mut self.streams.as_mut().ok_or("no stream")?.1)
    }
}

async fn bind() -> Result<Endpoint> {
    let endpoint = Endpoint::builder(presets::Minimal)
        .relay_mode(RelayMode::Disabled)
        .portmapper_config(PortmapperConfig::Disabled)
        .net_report_config(NetReportConfig::minimal())
        .clear_ip_transports()
        .bind_addr("127.0.0.1:0")?
        .alpns(vec![ALPN.to_vec()])
        .bind();
    Ok(endpoint.await?)
}

impl Stack for RawIroh {
    const NAME: &'static str = "raw iroh";
    type Connection = IrohConnection;

    async fn bind() -> Result<Self> {
        Ok(Self { dialler: bind().await?, acceptor: bind().await? })
    }

    async fn connect(&self) -> Result<Ends<IrohConnection>> {
        let connect =
            async { Result::<_>::Ok(self.dialler.connect(self.acceptor.addr(), ALPN).await?) };
        let accept = async {
            let incoming = self.acceptor.accept().await.ok_or("the endpoint is closed")?;
            Result::<_>::Ok(incoming.await?)
        };
        let (dialler, acceptor) = tokio::try_join!(connect, accept)?;
        Ok(Ends { dialler: IrohConnection::new(dialler), acceptor: IrohConnection::new(acceptor) })
    }

    async fn shutdown(self) -> Result<()> {
        tokio::join!(self.dialler.close(), self.acceptor.close());
        Ok(())
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
        framing::encode(&mut self.buffer, message);
        let (send, _) = self.streams.as_mut().ok_or("no stream")?;
        Ok(send.write_all(&self.buffer).await?)
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
