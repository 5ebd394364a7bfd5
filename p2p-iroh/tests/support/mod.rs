//! Nodes on loopback, and a relay of one's own in the same process.

pub(crate) mod shaper;

use std::future::Future;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use iroh_relay::server::{
    AccessControl, CertConfig, ClientRequest, QuicConfig, RelayConfig, Server, ServerConfig,
    TlsConfig,
};
use p2p_core::{ConnectOptions, ListenOptions, P2PListener, P2PProvider, RelayUrl};
use p2p_iroh::{IrohConfig, IrohConnection, IrohListener, IrohP2P};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

const PROTOCOL: &str = "test/1";

/// A node that only this machine reaches.
pub(crate) fn loopback() -> IrohConfig {
    IrohConfig::default().with_bind_address((Ipv4Addr::LOCALHOST, 0).into())
}

pub(crate) fn options() -> ConnectOptions {
    ConnectOptions::new(PROTOCOL.parse().expect("a name"))
}

pub(crate) fn listen() -> ListenOptions {
    ListenOptions::new(PROTOCOL.parse().expect("a name"))
}

/// A hang is a failure: nothing in these tests takes nearly this long, even on a busy machine.
pub(crate) async fn within<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(20), future).await.expect("it hangs")
}

/// A connection, seen from both ends, and what keeps it alive.
pub(crate) async fn pair(
    guest: IrohConfig,
    host: IrohConfig,
) -> (IrohConnection, IrohConnection, (IrohP2P, IrohListener)) {
    let (guest, host) = (guest.bind().await.expect("bound"), host.bind().await.expect("bound"));
    let listener = host.listen(listen()).await.expect("listening");
    let ticket = host.local_addr();
    let (near, far) =
        within(async { tokio::join!(guest.connect(&ticket, options()), listener.accept()) }).await;
    (near.expect("connected"), far.expect("accepted"), (guest, listener))
}

/// The URL of a port of this machine where nobody listens.
pub(crate) async fn unusable_port(ip: [u8; 4]) -> RelayUrl {
    let any = SocketAddr::from((ip, 0));
    let listener = tokio::net::TcpListener::bind(any).await.expect("bound");
    let address = listener.local_addr().expect("bound");
    format!("https://{address}").parse().expect("a URL")
}

/// Whom a relay admits.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Access {
    Allow,
    Deny,
}

impl AccessControl for Access {
    async fn on_connect(&self, _request: &ClientRequest) -> iroh_relay::server::Access {
        match self {
            Self::Allow => iroh_relay::server::Access::Allow,
            Self::Deny => {
                iroh_relay::server::Access::Deny { reason: Some("members only".to_owned()) }
            }
        }
    }
}

/// A relay with address discovery and a self-signed certificate.
pub(crate) struct Relay {
    server: Server,
    certificate: CertificateDer<'static>,
}

impl Relay {
    pub(crate) async fn spawn() -> Self {
        Self::with_access(Access::Allow).await
    }

    pub(crate) async fn with_access(access: Access) -> Self {
        let any: SocketAddr = (Ipv4Addr::LOCALHOST, 0).into();
        let signed = rcgen::generate_simple_self_signed(vec!["127.0.0.1".to_owned()]);
        let signed = signed.expect("a certificate");
        let certificate = signed.cert.der().clone();
        let key = PrivateKeyDer::Pkcs8(signed.signing_key.serialize_der().into());
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let tls = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_no_client_auth()
            .with_single_cert(vec![certificate.clone()], key)
            .expect("a key that fits");
        let mut relay = RelayConfig::new(any);
        relay.tls = Some(TlsConfig::new(any, CertConfig::Manual { server_config: tls }));
        relay.access = Arc::new(access);
        let mut config = ServerConfig::default();
        config.relay = Some(relay);
        config.quic = Some(QuicConfig::new(any));
        let server = Server::spawn(config).await.expect("a relay");
        Self { server, certificate }
    }

    pub(crate) fn url(&self) -> RelayUrl {
        let address = self.server.https_addr().expect("TLS is on");
        format!("https://{address}").parse().expect("a URL")
    }

    pub(crate) fn quic_port(&self) -> Option<u16> {
        self.server.quic_addr().map(|address| address.port())
    }

    /// The configuration of a node that uses this relay and trusts it.
    pub(crate) fn join(&self, config: IrohConfig) -> IrohConfig {
        config
            .with_relay(self.url())
            .with_relay_quic_port(self.quic_port())
            .with_relay_ca(self.certificate.to_vec())
    }
}
