//! libp2p: QUIC with raw streams, by `libp2p-stream`.
//!
//! A swarm does nothing unless somebody polls it, so each end has a task that does. There are no
//! datagrams, and a second dial to a peer is not a second connection to it, hence no warm connect.

use bytes::Bytes;
use futures_util::{AsyncReadExt, AsyncWriteExt, StreamExt};
use libp2p::swarm::{ConnectionId, SwarmEvent};
use libp2p::{Multiaddr, PeerId, Stream, StreamProtocol, Swarm, SwarmBuilder};
use libp2p_stream::{Behaviour, Control, IncomingStreams};
use p2p_benches::Result;
use tokio::sync::{Mutex, mpsc};
use tokio::task::JoinHandle;

use crate::CHUNK;
use crate::framing::{self, BATCH, Frames};
use crate::stack::{Connection, Ends, Stack};

const PROTOCOL: StreamProtocol = StreamProtocol::new("/bench/1");

pub(crate) struct Libp2p {
    dialler: End,
    acceptor: End,
}

/// One end: a swarm in a task.
struct End {
    peer: PeerId,
    addr: Multiaddr,
    control: Control,
    dials: mpsc::UnboundedSender<Multiaddr>,
    established: Mutex<mpsc::UnboundedReceiver<Result<ConnectionId>>>,
    task: JoinHandle<()>,
}

impl End {
    async fn bind() -> Result<Self> {
        let mut swarm = SwarmBuilder::with_new_identity()
            .with_tokio()
            .with_quic()
            .with_behaviour(|_| Behaviour::new())?
            .build();
        swarm.listen_on("/ip4/127.0.0.1/udp/0/quic-v1".parse()?)?;
        let addr = loop {
            if let SwarmEvent::NewListenAddr { address, .. } = swarm.select_next_some().await {
                break address;
            }
        };
        let (peer, control) = (*swarm.local_peer_id(), swarm.behaviour().new_control());
        let (dials, to_dial) = mpsc::unbounded_channel();
        let (establish, established) = mpsc::unbounded_channel();
        let task = tokio::spawn(drive(swarm, to_dial, establish));
        Ok(Self { peer, addr, control, dials, established: Mutex::new(established), task })
    }

    async fn established(&self) -> Result<ConnectionId> {
        let mut established = self.established.lock().await;
        established.recv().await.ok_or("the swarm is gone")?
    }
}

impl Drop for End {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn drive(
    mut swarm: Swarm<Behaviour>,
    mut dials: mpsc::UnboundedReceiver<Multiaddr>,
    establish: mpsc::UnboundedSender<Result<ConnectionId>>,
) {
    loop {
        let told = tokio::select! {
            addr = dials.recv() => match addr.map(|addr| swarm.dial(addr)) {
                Some(Err(error)) => Err(error.into()),
                Some(Ok(())) => continue,
                None => return,
            },
            event = swarm.select_next_some() => match event {
                SwarmEvent::ConnectionEstablished { connection_id, .. } => Ok(connection_id),
                SwarmEvent::OutgoingConnectionError { error, .. } => Err(error.into()),
                SwarmEvent::IncomingConnectionError { error, .. } => Err(error.into()),
                _ => continue,
            },
        };
        // Nobody listens any more once both ends are connected; the swarm goes on.
        let _ = establish.send(told);
    }
}

pub(crate) struct Libp2pConnection {
    peer: PeerId,
    control: Control,
    incoming: IncomingStreams,
    stream: Option<Stream>,
    outbound: Vec<u8>,
    inbound: Vec<u8>,
    frames: Frames,
}

impl Libp2pConnection {
    fn new(end: &End, peer: PeerId) -> Result<Self> {
        let mut control = end.control.clone();
        let incoming = control.accept(PROTOCOL)?;
        let (outbound, inbound) = (Vec::new(), vec![0; CHUNK]);
        let frames = Frames::default();
        Ok(Self { peer, control, incoming, stream: None, outbound, inbound, frames })
    }

    fn stream(&mut self) -> Result<&mut Stream> {
        Ok(self.stream.as_mut().ok_or("no stream")?)
    }

    /// Reads into `inbound`, in place of what was there.
    async fn read_chunk(&mut self) -> Result<usize> {
        let stream = self.stream.as_mut().ok_or("no stream")?;
        Ok(stream.read(&mut self.inbound).await?)
    }
}

impl Stack for Libp2p {
    const NAME: &'static str = "libp2p";
    const DATAGRAMS: bool = false;
    const SECOND_CONNECTION: bool = false;
    type Connection = Libp2pConnection;

    async fn bind() -> Result<Self> {
        Ok(Self { dialler: End::bind().await?, acceptor: End::bind().await? })
    }

    async fn connect(&self) -> Result<Ends<Libp2pConnection>> {
        let Self { dialler, acceptor } = self;
        dialler.dials.send(acceptor.addr.clone())?;
        tokio::try_join!(dialler.established(), acceptor.established())?;
        Ok(Ends {
            dialler: Libp2pConnection::new(dialler, acceptor.peer)?,
            acceptor: Libp2pConnection::new(acceptor, dialler.peer)?,
        })
    }

    async fn shutdown(self) -> Result<()> {
        Ok(())
    }
}

impl Connection for Libp2pConnection {
    async fn open(ends: &mut Ends<Self>) -> Result<()> {
        let Ends { dialler, acceptor } = ends;
        // Neither side's negotiation ends before the first message is on its way.
        let open = async {
            dialler.stream = Some(dialler.control.open_stream(dialler.peer, PROTOCOL).await?);
            dialler.send(&Bytes::new()).await
        };
        let accept = async {
            let (_, stream) = acceptor.incoming.next().await.ok_or("the swarm is gone")?;
            acceptor.stream = Some(stream);
            Result::<_>::Ok(())
        };
        tokio::try_join!(open, accept)?;
        acceptor.recv().await?;
        Ok(())
    }

    async fn send(&mut self, message: &Bytes) -> Result<()> {
        framing::append(&mut self.outbound, message);
        self.flush().await
    }

    async fn queue(&mut self, message: &Bytes) -> Result<()> {
        framing::append(&mut self.outbound, message);
        if self.outbound.len() >= BATCH { self.flush().await } else { Ok(()) }
    }

    async fn flush(&mut self) -> Result<()> {
        let stream = self.stream.as_mut().ok_or("no stream")?;
        stream.write_all(&self.outbound).await?;
        self.outbound.clear();
        Ok(())
    }

    async fn recv(&mut self) -> Result<Bytes> {
        loop {
            if let Some(message) = self.frames.next() {
                return Ok(message);
            }
            match self.read_chunk().await? {
                0 => return Err("the stream has ended".into()),
                read => self.frames.push(Bytes::copy_from_slice(&self.inbound[..read])),
            }
        }
    }

    async fn write(&mut self, chunk: Bytes) -> Result<()> {
        Ok(self.stream()?.write_all(&chunk).await?)
    }

    async fn finish(&mut self) -> Result<()> {
        Ok(self.stream()?.close().await?)
    }

    async fn read(&mut self) -> Result<usize> {
        self.read_chunk().await
    }

    fn send_datagram(&mut self, _datagram: Bytes) -> Result<()> {
        Err("libp2p has no datagrams".into())
    }

    async fn recv_datagram(&mut self) -> Result<Bytes> {
        Err("libp2p has no datagrams".into())
    }
}
