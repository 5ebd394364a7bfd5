//! Endpoints, clients, and a host that answers.

use p2p_benches::Result;
use p2p_transport::coordinator::api::{DefineZone, ZoneId};
use p2p_transport::coordinator::{
    Client, ClientConfig, CoordinatorAddr, Guest, HostAgent, HostConfig,
};
use p2p_transport::iroh::{IrohConfig, IrohConnection, IrohP2P, generate_secret_key};
use p2p_transport::{P2PConnection, P2PProvider, ProtocolName, SecretKey};
use tokio::task::JoinHandle;

/// What host and players speak: each message comes back.
pub(crate) fn protocol() -> Result<ProtocolName> {
    Ok("bench/1".parse()?)
}

pub(crate) async fn endpoint(secret: SecretKey) -> Result<IrohP2P> {
    let config = IrohConfig::default().with_secret_key(secret);
    Ok(config.with_bind_address(([127, 0, 0, 1], 0).into()).bind().await?)
}

pub(crate) fn client(endpoint: &IrohP2P, addr: &CoordinatorAddr) -> Result<Client<IrohP2P>> {
    Ok(Client::new(endpoint.clone(), addr.clone(), ClientConfig::default())?)
}

/// A client on a new endpoint.
pub(crate) async fn new_client(addr: &CoordinatorAddr) -> Result<Client<IrohP2P>> {
    client(&endpoint(generate_secret_key()).await?, addr)
}

/// A host that lets in who has a token, and the zone it is for.
pub(crate) struct Host {
    pub(crate) zone: ZoneId,
    endpoint: IrohP2P,
    hosting: JoinHandle<()>,
}

impl Host {
    pub(crate) async fn start(addr: &CoordinatorAddr) -> Result<Self> {
        let secret = generate_secret_key();
        let endpoint = endpoint(secret.clone()).await?;
        let client = client(&endpoint, addr)?;
        let zone: ZoneId = "zone".parse()?;
        client.define_zone(&DefineZone::new(zone.clone())).await?;
        let config = HostConfig::new("host".parse()?, "owner".parse()?, protocol()?)
            .with_max_players(MANY)
            .with_max_zones(MANY);
        let agent = HostAgent::start(client, endpoint.clone(), secret, config).await?;
        let hosting = tokio::spawn(async move {
            // Until the endpoint is shut down; that ends the guests, too.
            while let Ok(guest) = agent.accept().await {
                tokio::spawn(echo(guest));
            }
            agent.shutdown().await;
        });
        Ok(Self { zone, endpoint, hosting })
    }

    pub(crate) async fn stop(self) -> Result<()> {
        self.endpoint.shutdown().await;
        Ok(self.hosting.await?)
    }
}

/// More places than anybody takes in the time of a measurement.
pub(crate) const MANY: u32 = 1_000_000;

async fn echo(guest: Guest<IrohConnection>) {
    while let Ok(message) = guest.connection.recv().await {
        if guest.connection.send(message).await.is_err() {
            break;
        }
    }
}
