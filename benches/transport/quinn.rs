//! quinn, with its default transport settings.
//!
//! One certificate, made anew, that the dialler trusts: the acceptor proves itself and the dialler
//! does not, where iroh proves both. That is quinn's custom, and cheaper at each connect.

use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use p2p_benches::Result;
use quinn::crypto::rustls::QuicClientConfig;
use quinn::{ClientConfig, Endpoint, RecvStream, SendStream, ServerConfig, VarInt};
use rustls::RootCertStore;
use rustls::crypto::ring;
use rustls::pki_types::PrivateKeyDer;

use crate::CHUNK;
use crate::framing::{self, BATCH, Frames};
use crate::stack::{Connection, Ends, Stack};

const SERVER_NAME: &str = "localhost";

pub(crate) struct Quinn {
    dialler: Endpoint,
    acceptor: Endpoint,
}

pub(crate) struct QuinnConnection {
    connection: quinn::Connection,
    streams: Option<(SendStream, RecvStream)>,
    buffer: Vec<u8>,
    frames: Frames,
}

impl QuinnConnection {
    fn new(connection: quinn::Connection) -> Self {
        Self { connection, streams: None, buffer: Vec::new(), frames: Frames::default() }
    }

    fn send_stream(&mut self) -> Result<&mut SendStream> {
        Ok(&mut self.streams.as_mut().ok_or("no stream")?.0)
    }

    async fn read_chunk(&mut self) -> Result<Option<Bytes>> {
        let (_, recv) = self.streams.as_mut().ok_or("no stream")?;
        Ok(recv.read_chunk(CHUNK, true).await?.map(|chunk| chunk.bytes))
    }
}

impl Stack for Quinn {
    const NAME: &'static str = "quinn";
    type Connection = QuinnConnection;

    async fn bind() -> Result<Self> {
        let made = rcgen::generate_simple_self_signed([SERVER_NAME.to_owned()])?;
        let certificate = made.cert.der().clone();
        let key = PrivateKeyDer::Pkcs8(made.signing_key.serialize_der().into());
        let mut roots = RootCertStore::empty();
        roots.add(certificate.clone())?;
        let tls = rustls::ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_protocol_versions(&[&rustls::version::TLS13])?
            .with_root_certificates(roots)
            .with_no_client_auth();

        let loopback = SocketAddr::from(([127, 0, 0, 1], 0));
        let server = ServerConfig::with_single_cert(vec![certificate], key)?;
        let acceptor = Endpoint::server(server, loopback)?;
        let mut dialler = Endpoint::client(loopback)?;
        let tls = QuicClientConfig::try_from(tls)?;
        dialler.set_default_client_config(ClientConfig::new(Arc::new(tls)));
        Ok(Self { dialler, acceptor })
    }

    async fn connect(&self) -> Result<Ends<QuinnConnection>> {
        let connecting = self.dialler.connect(self.acceptor.local_addr()?, SERVER_NAME)?;
        let connect = async { Result::<_>::Ok(connecting.await?) };
        let accept = async {
            let incoming = self.acceptor.accept().await.ok_or("the endpoint is closed")?;
            Result::<_>::Ok(incoming.await?)
        };
        let (dialler, acceptor) = tokio::try_join!(connect, accept)?;
        Ok(Ends {
            dialler: QuinnConnection::new(dialler),
            acceptor: QuinnConnection::new(acceptor),
        })
    }

    async fn shutdown(self) -> Result<()> {
        for endpoint in [&self.dialler, &self.acceptor] {
            endpoint.close(VarInt::from_u32(0), b"");
        }
        tokio::join!(self.dialler.wait_idle(), self.acceptor.wait_idle());
        Ok(())
    }
}

impl Connection for QuinnConnection {
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
            let chunk = self.read_chunk().await?;
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
        Ok(self.read_chunk().await?.map_or(0, |chunk| chunk.len()))
    }

    fn send_datagram(&mut self, datagram: Bytes) -> Result<()> {
        Ok(self.connection.send_datagram(datagram)?)
    }

    async fn recv_datagram(&mut self) -> Result<Bytes> {
        Ok(self.connection.read_datagram().await?)
    }
}
