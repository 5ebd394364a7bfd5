//! The kernel's TCP, without encryption and with Nagle's algorithm off.
//!
//! A write is a system call, which is what makes it slow for small messages that nobody batches and
//! fast for everything else.

use std::net::SocketAddr;

use bytes::{Bytes, BytesMut};
use p2p_benches::Result;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::CHUNK;
use crate::framing::{self, BATCH, Frames};
use crate::stack::{Connection, Ends, Stack};

/// Room below which a new buffer is made to read messages into.
const READ_AT_LEAST: usize = 4 * 1024;

pub(crate) struct Tcp {
    listener: TcpListener,
    addr: SocketAddr,
}

pub(crate) struct TcpConnection {
    stream: TcpStream,
    outbound: Vec<u8>,
    inbound: BytesMut,
    frames: Frames,
}

impl TcpConnection {
    fn new(stream: TcpStream) -> Result<Self> {
        stream.set_nodelay(true)?;
        let (outbound, inbound) = (Vec::new(), BytesMut::new());
        Ok(Self { stream, outbound, inbound, frames: Frames::default() })
    }
}

impl Stack for Tcp {
    const NAME: &'static str = "tcp";
    const DATAGRAMS: bool = false;
    type Connection = TcpConnection;

    async fn bind() -> Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let addr = listener.local_addr()?;
        Ok(Self { listener, addr })
    }

    async fn connect(&self) -> Result<Ends<TcpConnection>> {
        let connected = tokio::try_join!(TcpStream::connect(self.addr), self.listener.accept());
        let (dialler, (acceptor, _)) = connected?;
        Ok(Ends { dialler: TcpConnection::new(dialler)?, acceptor: TcpConnection::new(acceptor)? })
    }

    async fn shutdown(self) -> Result<()> {
        Ok(())
    }
}

impl Connection for TcpConnection {
    async fn open(_ends: &mut Ends<Self>) -> Result<()> {
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
        self.stream.write_all(&self.outbound).await?;
        self.outbound.clear();
        Ok(())
    }

    async fn recv(&mut self) -> Result<Bytes> {
        loop {
            if let Some(message) = self.frames.next() {
                return Ok(message);
            }
            if self.inbound.capacity() < READ_AT_LEAST {
                self.inbound.reserve(CHUNK);
            }
            if self.stream.read_buf(&mut self.inbound).await? == 0 {
                return Err("the stream has ended".into());
            }
            self.frames.push(self.inbound.split().freeze());
        }
    }

    async fn write(&mut self, chunk: Bytes) -> Result<()> {
        Ok(self.stream.write_all(&chunk).await?)
    }

    async fn finish(&mut self) -> Result<()> {
        Ok(self.stream.shutdown().await?)
    }

    async fn read(&mut self) -> Result<usize> {
        self.inbound.clear();
        self.inbound.reserve(CHUNK);
        Ok(self.stream.read_buf(&mut self.inbound).await?)
    }

    fn send_datagram(&mut self, _datagram: Bytes) -> Result<()> {
        Err("TCP has no datagrams".into())
    }

    async fn recv_datagram(&mut self) -> Result<Bytes> {
        Err("TCP has no datagrams".into())
    }
}
