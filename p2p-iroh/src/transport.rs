//! [`IrohTransport`]: an endpoint that dials and accepts.

use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::{BoxFuture, Shared};
use iroh::dns::DnsResolver;
use iroh::endpoint::{
    BindOpts, Builder, IdleTimeout, PortmapperConfig, QuicTransportConfig, VarInt, presets,
};
use iroh::tls::CaTlsConfig;
use iroh::{Endpoint, EndpointAddr, NetReportConfig, RelayConfig, RelayMap, RelayMode};
use iroh_relay::RelayQuicConfig;
use p2p_core::transport::{ALPN, StandbySupport, Transport};
use p2p_core::{ConnectionConfig, P2PError, PeerAddr, PeerId};
use tokio::runtime::Handle;
use tokio::sync::OnceCell;
use tokio::task::JoinSet;

use crate::address;
use crate::config::{DirectPaths, IrohConfig};
use crate::error;
use crate::incoming::IrohIncoming;
use crate::link::IrohLink;
use crate::relay;

/// iroh's timer for a path from which nothing comes, which cannot be longer.
const PATH_IDLE_MAX: Duration = Duration::from_secs(15);
/// iroh's interval of signs of life on each path, which cannot be longer.
const PATH_KEEP_ALIVE_MAX: Duration = Duration::from_secs(5);
/// Unidirectional streams that a peer may always open: the engine's, for control, messages and
/// probes.
const ENGINE_STREAMS: u32 = 32;

/// An iroh endpoint.
///
/// Dropped without [`close`](Transport::close), it closes in a task of its own, for about 3 s at
/// most, if a tokio runtime is there to run it.
pub struct IrohTransport {
    endpoint: Endpoint,
    id: PeerId,
    relays: Vec<RelayConfig>,
    idle_timeout: Duration,
    /// How the second endpoint is made, for links that stand by, and it.
    standby_config: IrohConfig,
    standby: OnceCell<Standby>,
    closing: OnceLock<Shared<BoxFuture<'static, ()>>>,
}

impl IrohTransport {
    /// Binds the sockets, and waits for a relay if any is configured. `known_peers` are the
    /// business of the node above.
    ///
    /// # Errors
    ///
    /// As [`IrohConfig::bind`].
    pub async fn bind(config: &IrohConfig) -> Result<Self, P2PError> {
        config.validate()?;
        let relays = relay::parse(&config.relays)?;
        let builder = sockets(builder(config, &relays)?, config)?;
        let bound = builder.bind().await;
        let endpoint = bound.map_err(|error| error::bind(error, &addresses(config)))?;
        let Some(id) = address::id_from_iroh(&endpoint.id()) else {
            // A secret key always has a usable public half.
            return Err(P2PError::Network { what: "unusable secret key".into(), source: None });
        };
        let transport = Self {
            endpoint,
            id,
            relays: relay_configs(config, &relays),
            idle_timeout: config.connection.idle_timeout,
            // A relay lets in one endpoint of a name: this one has a key of its own.
            standby_config: IrohConfig { secret_key: None, ..config.clone() }
                .with_direct_paths(DirectPaths::Forbid),
            standby: OnceCell::new(),
            closing: OnceLock::new(),
        };
        if !transport.relays.is_empty() {
            let home = relay::home(&transport.endpoint, &relays, config.relay_timeout).await;
            if let Err(error) = home {
                transport.close().await;
                return Err(error);
            }
        }
        Ok(transport)
    }

    /// The endpoint below, for what only iroh has: metrics, address lookup services.
    pub const fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// The endpoint of links that stand by: one for all peers, relays only, made at first use. All
    /// connections of an endpoint to a peer share one selected path, so that only a second endpoint's
    /// are not affected when that is dead.
    async fn standby_endpoint(&self) -> Result<&Endpoint, P2PError> {
        let make = async || {
            let config = &self.standby_config;
            let relays = relay::parse(&config.relays)?;
            let bound = sockets(builder(config, &relays)?, config)?.bind().await;
            let endpoint = bound.map_err(|error| error::bind(error, &[]))?;
            if let Err(error) = relay::home(&endpoint, &relays, config.relay_timeout).await {
                endpoint.close().await;
                return Err(error);
            }
            Ok(Standby::new(endpoint))
        };
        Ok(&self.standby.get_or_try_init(make).await?.endpoint)
    }

    async fn connect(
        &self,
        endpoint: &Endpoint,
        id: PeerId,
        addr: EndpointAddr,
    ) -> Result<IrohLink, P2PError> {
        let connected = endpoint.connect(addr, ALPN).await;
        let connection = connected.map_err(|error| error::dial(id, self.idle_timeout, error))?;
        IrohLink::new(connection, Default::default())
            .map_err(|closed| error::failed(id, closed.to_string()))
    }

    /// The one attempt to close, which goes on when its callers do not.
    fn closing(&self, runtime: &Handle) -> Shared<BoxFuture<'static, ()>> {
        let start = || {
            let standby = self.standby.get().map(|standby| standby.endpoint.clone());
            let endpoint = self.endpoint.clone();
            let closing = runtime.spawn(async move {
                let standby = async {
                    if let Some(standby) = standby {
                        standby.close().await;
                    }
                };
                tokio::join!(endpoint.close(), standby);
            });
            closing.map(|_| ()).boxed().shared()
        };
        self.closing.get_or_init(start).clone()
    }
}

impl Transport for IrohTransport {
    type Link = IrohLink;
    type Incoming = IrohIncoming;

    fn local_peer_id(&self) -> PeerId {
        self.id
    }

    fn local_addr(&self) -> PeerAddr {
        address::addr_from_iroh(self.id, &self.endpoint.addr())
    }

    async fn dial(&self, peer: &PeerAddr) -> Result<IrohLink, P2PError> {
        let id = peer.id();
        if peer.is_id_only() {
            return Err(P2PError::PeerNotFound { peer: id });
        }
        if peer.addresses().len() == 0 && self.relays.is_empty() {
            return Err(error::failed(id, "only relays lead to it, and this node has none"));
        }
        let key = address::id_to_iroh(id).ok_or_else(|| error::failed(id, "unusable key"))?;
        let addr = address::addr_to_iroh(key, peer);
        if addr.is_empty() {
            return Err(error::failed(id, "the URL of its relay is damaged"));
        }
        self.connect(&self.endpoint, id, addr).await
    }

    fn standby(&self) -> StandbySupport {
        if self.relays.is_empty() { StandbySupport::None } else { StandbySupport::Relayed }
    }

    async fn standby_id(&self) -> Result<PeerId, P2PError> {
        let id = address::id_from_iroh(&self.standby_endpoint().await?.id());
        id.ok_or_else(|| P2PError::Network { what: "unusable secret key".into(), source: None })
    }

    async fn dial_standby(&self, peer: &PeerAddr) -> Result<IrohLink, P2PError> {
        let id = peer.id();
        let key = address::id_to_iroh(id).ok_or_else(|| error::failed(id, "unusable key"))?;
        let relays = peer.relays().cloned().fold(PeerAddr::new(id), PeerAddr::with_relay);
        let addr = address::addr_to_iroh(key, &relays);
        if addr.is_empty() {
            return Err(error::failed(id, "no relay leads to it"));
        }
        self.connect(self.standby_endpoint().await?, id, addr).await
    }

    async fn accept(&self) -> Option<IrohIncoming> {
        self.endpoint.accept().await.map(IrohIncoming::new)
    }

    fn random(&self) -> u64 {
        // Without randomness the attempts of many peers coincide, which is no reason to fail.
        getrandom::u64().unwrap_or_default()
    }

    async fn refresh(&self) {
        // A relay that is there already: what this does is to have this endpoint's own addresses
        // looked up again at once, instead of within half a minute.
        for relay in &self.relays {
            let url = relay.url.clone();
            self.endpoint.insert_relay(url, Arc::new(relay.clone())).await;
        }
    }

    async fn close(&self) {
        self.closing(&Handle::current()).await;
    }
}

impl Drop for IrohTransport {
    fn drop(&mut self) {
        // An endpoint dropped open leaves its peers to time out, and complains in the log.
        if let Ok(runtime) = Handle::try_current() {
            drop(self.closing(&runtime));
        }
    }
}

impl fmt::Debug for IrohTransport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IrohTransport")
            .field("id", &self.id)
            .field("sockets", &self.endpoint.bound_sockets())
            .finish_non_exhaustive()
    }
}

/// The endpoint of links that stand by, which dials only.
struct Standby {
    endpoint: Endpoint,
    /// Refuses who dials it. It ends with the endpoint, or with this.
    _refusing: JoinSet<()>,
}

impl Standby {
    /// Peers learn the endpoint's name, and QUIC answers whoever dials it: what nobody takes it keeps
    /// for ever. iroh knows no endpoint without a server, so somebody has to say no.
    fn new(endpoint: Endpoint) -> Self {
        let mut refusing = JoinSet::new();
        let dialled = endpoint.clone();
        refusing.spawn(async move {
            while let Some(incoming) = dialled.accept().await {
                incoming.refuse();
            }
        });
        Self { endpoint, _refusing: refusing }
    }
}

/// Everything but the sockets.
fn builder(config: &IrohConfig, relays: &[iroh::RelayUrl]) -> Result<Builder, P2PError> {
    let mut report = NetReportConfig::minimal();
    let mut mode = RelayMode::Disabled;
    if !relays.is_empty() {
        // Address discovery (UDP) can be blocked; then only this probe finds the relay. The check
        // for captive portals stays off: it asks port 80 of the relay's host, which is not ours.
        report.https_probes = true;
        mode = RelayMode::Custom(RelayMap::from_iter(relay_configs(config, relays)));
    }
    let mut builder = Endpoint::builder(presets::Minimal)
        .alpns(vec![ALPN.to_vec()])
        .transport_config(quic_config(config))
        .relay_mode(mode)
        .portmapper_config(PortmapperConfig::Disabled)
        .net_report_config(report)
        // The names of relays are the system's business: its name servers and its hosts file, and
        // no public name server behind its back.
        .dns_resolver(DnsResolver::builder().with_system_defaults().disable_fallback().build())
        .ca_tls_config(trust(&config.relay_ca)?);
    if let Some(key) = &config.secret_key {
        builder = builder.secret_key(iroh::SecretKey::from_bytes(&key.to_bytes()));
    }
    Ok(builder)
}

fn relay_configs(config: &IrohConfig, relays: &[iroh::RelayUrl]) -> Vec<RelayConfig> {
    let quic = config.relay_quic_port.map(RelayQuicConfig::new);
    relays.iter().map(|url| RelayConfig::new(url.clone(), quic.clone())).collect()
}

/// The public certificate authorities and the configured ones.
fn trust(certificates: &[Vec<u8>]) -> Result<CaTlsConfig, P2PError> {
    for (index, der) in certificates.iter().enumerate() {
        // What cannot be read is otherwise skipped in silence; alone, it is an error.
        let alone = CaTlsConfig::custom_roots([der.clone().into()]);
        if let Err(error) = alone.server_cert_verifier(iroh::tls::default_provider()) {
            let what = format!(
                "relay CA {} of {} is not a certificate in DER: convert it first",
                index + 1,
                certificates.len()
            );
            return Err(P2PError::Network { what, source: Some(error.into()) });
        }
    }
    let extra = certificates.iter().cloned().map(Into::into);
    Ok(CaTlsConfig::embedded().with_extra_roots(extra))
}

/// Where sockets are bound.
fn addresses(config: &IrohConfig) -> Vec<SocketAddr> {
    if !config.bind_addresses.is_empty() {
        return config.bind_addresses.clone();
    }
    let port = config.listen_port;
    vec![(Ipv4Addr::UNSPECIFIED, port).into(), (Ipv6Addr::UNSPECIFIED, port).into()]
}

fn sockets(builder: Builder, config: &IrohConfig) -> Result<Builder, P2PError> {
    let chosen = !config.bind_addresses.is_empty();
    let mut builder = builder.clear_ip_transports();
    if config.direct_paths == DirectPaths::Forbid {
        return Ok(builder);
    }
    for address in addresses(config) {
        // A machine without IPv6 is fine, unless IPv6 was asked for.
        let required = chosen || address.is_ipv4();
        let options = BindOpts::default().set_is_required(required);
        builder = builder.bind_addr_with_opts(address, options).map_err(|error| {
            let what = format!("cannot bind {address}: at most one address of each family");
            P2PError::Network { what, source: Some(error.into()) }
        })?;
    }
    Ok(builder)
}

fn quic_config(config: &IrohConfig) -> QuicTransportConfig {
    let ConnectionConfig { idle_timeout, keep_alive_interval, max_streams, .. } = config.connection;
    // A dead path is given up at half of the connection's time, so that there is time left to go
    // on over another one; 15 s of 30 s are iroh's own values.
    let path_idle = (idle_timeout / 2).min(PATH_IDLE_MAX);
    QuicTransportConfig::builder()
        .max_idle_timeout(Some(idle(idle_timeout)))
        .keep_alive_interval(at_least_a_millisecond(keep_alive_interval))
        .default_path_max_idle_timeout(at_least_a_millisecond(path_idle))
        .default_path_keep_alive_interval(at_least_a_millisecond(
            keep_alive_interval.min(PATH_KEEP_ALIVE_MAX),
        ))
        .max_concurrent_bidi_streams(max_streams.into())
        .max_concurrent_uni_streams(max_streams.max(ENGINE_STREAMS).into())
        .stream_receive_window(config.stream_window.into())
        .receive_window(config.receive_window.into())
        .send_window(config.send_window.into())
        .build()
}

/// QUIC counts in milliseconds and takes zero as "never".
fn idle(timeout: Duration) -> IdleTimeout {
    let timeout = at_least_a_millisecond(timeout);
    IdleTimeout::try_from(timeout).unwrap_or_else(|_| VarInt::MAX.into())
}

fn at_least_a_millisecond(duration: Duration) -> Duration {
    duration.max(Duration::from_millis(1))
}
