//! Ours: `P2PConnection` over the iroh backend, with its default configuration.
//!
//! Messages are the connection's own, bulk is one of its streams. The windows are the backend's
//! defaults, which are iroh's own.

use bytes::Bytes;
use p2p_benches::Result;
use p2p_transport::iroh::{IrohConfig, IrohConnection, IrohListener, IrohP2P};
use p2p_transport::{
    ConnectOptions, ListenOptions, P2PConnection, P2PListener, P2PProvider, ProtocolName,
    RecvStream, SendStream,
};

use crate::CHUNK;
use crate::stack::{Connection, Ends, Stack};

pub(crate) struct Ours {
    dialler: IrohP2P,
    acceptor: IrohP2P,
    listener: IrohListener,
    protocol: ProtocolName,
}

type Streams = (<IrohConnection as P2PConnection>::SendStream, Recv);
type Recv = <IrohConnection as P2PConnection>::RecvStream;

pub(crate) struct OurConnection {
    connection: IrohConnection,
    streams: Option<Streams>,
}

impl Stack for Ours {
    const NAME: &'static str = "ours";
    type Connection = OurConnection;

    async fn bind() -> Result<Self> {
        let config = || IrohConfig::default().with_bind_address(([127, 0, 0, 1], 0).into());
        let (dialler, acceptor) = (config().bind().await?, config().bind().await?);
        let protocol: ProtocolName = "bench/1".parse()?;
        let listener = acceptor.listen(ListenOptions::new(protocol.clone())).await?;
        Ok(Self { dialler, acceptor, listener, protocol })
    }

    async fn connect(&self) -> Result<Ends<OurConnection>> {
        let addr = self.acceptor.local_addr();
        let connect = self.dialler.connect(&addr, ConnectOptions::new(self.protocol.clone()));
        let (dialler, acceptor) = tokio::try_join!(connect, self.listener.accept())?;
        let end = |connection| OurConnection { connection, streams: None };
        Ok(Ends { dialler: end(dialler), acceptor: end(acceptor) })
    }

    async fn shutdown(self) -> Result<()> {
        tokio::join!(self.dialler.shutdown(), self.acceptor.shutdown());
        Ok(())
    }
}

impl Connection for OurConnection {
    async fn open(ends: &mut Ends<Self>) -> Result<()> {
        ends.dialler.streams = Some(ends.dialler.connection.open_stream().await?);
        ends.acceptor.streams = Some(ends.acceptor.connection.accept_stream().await?);
        Ok(())
    }

    async fn send(&mut self, message: &Bytes) -> Result<()> {
        Ok(self.connection.send(message.clone()).await?)
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
