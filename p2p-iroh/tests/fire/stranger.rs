//! A stranger: an endpoint of plain iroh, with nothing of ours between its bytes and the network.

use std::net::Ipv4Addr;

use bytes::Bytes;
use iroh::endpoint::{
    Connection, ConnectionError, PortmapperConfig, QuicTransportConfig, RecvStream, SendStream,
    VarInt, presets,
};
use iroh::{Endpoint, EndpointAddr, NetReportConfig, PublicKey, RelayMode};
use p2p_core::PeerAddr;
use p2p_core::conformance::raw::Wire;
use p2p_core::transport::LinkClosed;

/// What the node's engine offers, as it stands in every packet.
pub(crate) const ALPN: &[u8] = b"p2p/1";

/// An endpoint on loopback.
pub(crate) async fn bind() -> Endpoint {
    // Little is kept of what was sent, so that what a flood takes up is the node's.
    let quic = QuicTransportConfig::builder().send_window(256 * 1024).build();
    let builder = Endpoint::builder(presets::Minimal)
        .transport_config(quic)
        .relay_mode(RelayMode::Disabled)
        .portmapper_config(PortmapperConfig::Disabled)
        .net_report_config(NetReportConfig::minimal())
        .clear_ip_transports()
        .bind_addr((Ipv4Addr::LOCALHOST, 0))
        .expect("an address");
    builder.bind().await.expect("a port on the loopback interface")
}

/// Where a node of ours is, for iroh.
pub(crate) fn addr_of(node: &PeerAddr) -> EndpointAddr {
    let key = PublicKey::from_bytes(node.id().as_bytes()).expect("a key");
    node.addresses().fold(EndpointAddr::new(key), EndpointAddr::with_ip_addr)
}

/// One QUIC connection, closed when dropped.
#[derive(Debug)]
pub(crate) struct Stranger(pub(crate) Connection);

impl Drop for Stranger {
    fn drop(&mut self) {
        // Streams hold it too.
        self.0.close(VarInt::from_u32(0), b"");
    }
}

impl Wire for Stranger {
    type Out = SendStream;
    type In = RecvStream;

    async fn open(&self) -> Option<SendStream> {
        self.0.open_uni().await.ok()
    }

    async fn open_both(&self) -> Option<(SendStream, RecvStream)> {
        self.0.open_bi().await.ok()
    }

    async fn accept(&self) -> Option<RecvStream> {
        self.0.accept_uni().await.ok()
    }

    async fn write(out: &mut SendStream, data: &mut Bytes) -> bool {
        while !data.is_empty() {
            match out.write(data).await {
                Ok(written) => drop(data.split_to(written)),
                Err(_) => return false,
            }
        }
        true
    }

    fn finish(out: &mut SendStream) {
        let _ = out.finish();
    }

    fn reset(out: &mut SendStream) {
        let _ = out.reset(VarInt::from_u32(3));
    }

    async fn read(from: &mut RecvStream, max: usize) -> Option<Bytes> {
        from.read_chunk(max).await.ok().flatten()
    }

    fn stop(from: &mut RecvStream) {
        let _ = from.stop(VarInt::from_u32(3));
    }

    fn datagram(&self, data: Bytes) {
        let _ = self.0.send_datagram(data);
    }

    fn end(&self) -> Option<LinkClosed> {
        self.0.close_reason().map(told)
    }

    async fn ended(&self) -> LinkClosed {
        told(self.0.closed().await)
    }
}

/// How it ended, in our words.
fn told(error: ConnectionError) -> LinkClosed {
    match error {
        ConnectionError::ApplicationClosed(close) => LinkClosed::Peer {
            code: close.error_code.into_inner(),
            message: String::from_utf8_lossy(&close.reason).into_owned(),
        },
        ConnectionError::TimedOut => LinkClosed::TimedOut,
        error => LinkClosed::Transport { message: error.to_string() },
    }
}
