//! Asks a running coordinator how it is.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::process::ExitCode;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, StatusCode};
use http_body_util::{BodyExt, Empty, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use p2p_coordinator_api::paths;
use p2p_coordinator_api::service::{Readiness, ServiceInfo};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use crate::config::Config;
use crate::{Failure, say};

mod pinned;

/// How long it may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// The most bytes of an answer.
const MAX_ANSWER: usize = 4 << 20;

/// Prints what it says. Success if it is ready.
pub(crate) async fn ask(config: &Config) -> Result<ExitCode, Failure> {
    let mut address = config.listen;
    if address.ip().is_unspecified() {
        address.set_ip(IpAddr::V4(Ipv4Addr::LOCALHOST));
    }
    let tls = config.tls.cert_file.as_deref().map(pinned::connector).transpose()?;
    let scheme = if tls.is_some() { "https" } else { "http" };
    let at = format!("{scheme}://{address}");
    let silent = || {
        Failure::new(format!(
            "no coordinator answers at {at} within {} s: start it, or name its address with --listen",
            PATIENCE.as_secs()
        ))
    };
    let asked = async {
        let info = get(address, tls.as_ref(), paths::ROOT).await?;
        let ready = get(address, tls.as_ref(), paths::READY).await?;
        Ok::<_, Box<dyn std::error::Error + Send + Sync>>((info, ready))
    };
    let ((_, info), (status, ready)) =
        timeout(PATIENCE, asked).await.map_err(|_| silent())?.map_err(|_| silent())?;
    let stranger =
        |_| Failure::new(format!("what answers at {at} is no coordinator: check --listen"));
    let ready: Readiness = serde_json::from_slice(&ready).map_err(stranger)?;
    match serde_json::from_slice::<ServiceInfo>(&info) {
        Ok(info) => {
            say(&format!("{} {} at {at}: {}", info.service, info.version, ready.status));
            say(&format!("  zones open to peers: {}", info.enabled_zones.len()));
        }
        Err(_) => say(&format!("coordinator at {at}: {}", ready.status)),
    }
    for (what, how) in &ready.checks {
        say(&format!("  {what}: {how}"));
    }
    Ok(if status == StatusCode::OK { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

async fn get(
    address: SocketAddr,
    tls: Option<&TlsConnector>,
    path: &str,
) -> Result<(StatusCode, Bytes), Box<dyn std::error::Error + Send + Sync>> {
    let stream = TcpStream::connect(address).await?;
    match tls {
        None => exchange(stream, address, path).await,
        Some(tls) => exchange(pinned::secure(tls, stream).await?, address, path).await,
    }
}

async fn exchange(
    stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
    address: SocketAddr,
    path: &str,
) -> Result<(StatusCode, Bytes), Box<dyn std::error::Error + Send + Sync>> {
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    let request = Request::get(path)
        .header("host", address.to_string())
        .header("connection", "close")
        .body(Empty::<Bytes>::new())?;
    let answer = async {
        let response = sender.send_request(request).await?;
        let status = response.status();
        let body = Limited::new(response.into_body(), MAX_ANSWER).collect().await?.to_bytes();
        Ok::<_, Box<dyn std::error::Error + Send + Sync>>((status, body))
    };
    let (answer, _) = tokio::join!(answer, connection);
    answer
}
