//! How the coordinator is reached.

use p2p_coordinator_api::paths;
use p2p_core::{BoxError, ConnectOptions, P2PConnection, P2PProvider, ProtocolNameError, StreamIo};
use tokio::net::TcpStream;

use super::socket::Io;
use crate::addr::CoordinatorAddr;
use crate::client::Client;

/// A way to the coordinator.
pub(super) struct Way {
    pub(super) io: Box<dyn Io>,
    /// The host that it is called by.
    pub(super) host: String,
    /// What its paths begin with.
    pub(super) path: String,
    /// What has to be there as long as the way is used.
    pub(super) held: Box<dyn Send>,
}

pub(super) async fn dial<P: P2PProvider>(client: &Client<P>) -> Result<Way, BoxError> {
    match client.coordinator() {
        CoordinatorAddr::Url(url) => {
            let (secure, rest) = match url.strip_prefix("https://") {
                Some(rest) => (true, rest),
                None => (false, url.strip_prefix("http://").unwrap_or(url)),
            };
            let (host, path) = match rest.split_once('/') {
                Some((host, path)) => (host, format!("/{path}")),
                None => (rest, String::new()),
            };
            let name = host.rsplit_once(':').filter(|(_, port)| port.parse::<u16>().is_ok());
            let port = if secure { 443 } else { 80 };
            let target = name.map_or_else(|| format!("{host}:{port}"), |_| host.to_owned());
            let stream = TcpStream::connect(target).await?;
            stream.set_nodelay(true)?;
            let io: Box<dyn Io> = match secure {
                false => Box::new(stream),
                true => {
                    let name = name.map_or(host, |(name, _)| name);
                    crate::door::secure(stream, name.trim_matches(['[', ']'])).await?
                }
            };
            Ok(Way { io, host: host.to_owned(), path, held: Box::new(()) })
        }
        CoordinatorAddr::Peer(addr) => {
            let protocol = paths::PROTOCOL.parse().map_err(|error: ProtocolNameError| error)?;
            let options = ConnectOptions::new(protocol);
            let connection = client.provider().connect(addr, options).await?;
            let (send, recv) = connection.open_stream().await?;
            let io = Box::new(StreamIo::new(send, recv));
            Ok(Way {
                io,
                host: "coordinator".into(),
                path: String::new(),
                held: Box::new(connection),
            })
        }
    }
}
