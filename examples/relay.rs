//! A relay of one's own, with address discovery: peers behind NATs meet on it and find out how the
//! world sees them. Its certificate is made anew at each start and vouches for itself.
//!
//! ```sh
//! cargo run --example relay -- --host 192.0.2.7 --cert-out relay.pem
//! ```

use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, UdpSocket};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use clap::Parser;
use iroh_relay::server::{CertConfig, QuicConfig, RelayConfig, Server, ServerConfig, TlsConfig};
use rustls::pki_types::PrivateKeyDer;

#[allow(dead_code, unused_imports, reason = "each program uses a part of it")]
mod common;

use common::{Event, Failure, Output, Stop, discard, finish, parse, write_whole};

/// Runs a relay with address discovery
#[derive(Parser)]
struct Args {
    /// Address for relaying (HTTPS, so TCP)
    #[arg(long, value_name = "IP:PORT", default_value = "0.0.0.0:3443")]
    listen: SocketAddr,
    /// UDP port for address discovery; peers expect 7842
    #[arg(long, value_name = "PORT", default_value_t = 7842)]
    quic: u16,
    /// Name or IP address under which peers reach it, the first in the URL; may be given several
    /// times. Without it: the address it listens on, or this machine's
    #[arg(long = "host", value_name = "NAME|IP")]
    hosts: Vec<String>,
    /// File for the certificate (PEM), which peers want as --relay-ca
    #[arg(long, value_name = "FILE")]
    cert_out: Option<PathBuf>,
    /// One JSON object per line instead of text
    #[arg(long)]
    json: bool,
}

#[tokio::main]
async fn main() -> ExitCode {
    match parse::<Args>() {
        Ok(args) => finish(Output::new(args.json), run(args).await.map(|()| None)),
        Err(code) => code,
    }
}

async fn run(args: Args) -> Result<(), Failure> {
    let mut stop = Stop::catch()?;
    if let Some(path) = &args.cert_out {
        discard(path)?;
    }
    let quic = SocketAddr::new(args.listen.ip(), args.quic);
    check(args.listen, quic)?;
    let hosts = if args.hosts.is_empty() { own_hosts(args.listen.ip()) } else { args.hosts };
    if let Some(host) = hosts.iter().find(|host| !is_host(host)) {
        let what =
            format!("'{host}' is no name for a machine: give --host a DNS name or an address");
        return Err(Failure::new(what));
    }
    let (tls, pem) = certificate(&hosts)?;
    let (server, url, quic) = serve(args.listen, quic, tls, &hosts).await?;
    if let Some(path) = &args.cert_out {
        write_whole(path, &pem)?;
    }
    Output::new(args.json).emit(&Event::Serving { url: &url, quic });
    stop.requested().await;
    let stopped = server.shutdown().await;
    stopped.map_err(|error| Failure::new(format!("the relay failed: {error:#}")))
}

/// The relay would say what failed, but not which address it was.
fn check(listen: SocketAddr, quic: SocketAddr) -> Result<(), Failure> {
    let cannot = |kind, address, error| {
        let what = "choose another port, or 0 for any";
        Failure::new(format!("cannot listen on {kind} address {address} ({error}): {what}"))
    };
    TcpListener::bind(listen).map_err(|error| cannot("TCP", listen, error))?;
    UdpSocket::bind(quic).map_err(|error| cannot("UDP", quic, error))?;
    Ok(())
}

/// Whether this can stand in a URL and in a certificate.
fn is_host(host: &str) -> bool {
    let is_label = |label: &str| {
        let mut bytes = label.bytes();
        !label.is_empty() && bytes.all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
    };
    host.parse::<IpAddr>().is_ok() || host.split('.').all(is_label)
}

/// What to call a machine that was not told.
fn own_hosts(listen: IpAddr) -> Vec<String> {
    if !listen.is_unspecified() {
        return vec![listen.to_string()];
    }
    // The address from which packets would go out; connecting a UDP socket sends none.
    let outward = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).and_then(|socket| {
        socket.connect((Ipv4Addr::new(192, 0, 2, 1), 9))?;
        socket.local_addr()
    });
    let outward = outward.ok().map(|address| address.ip().to_string());
    outward.into_iter().chain(["127.0.0.1".to_owned(), "localhost".to_owned()]).collect()
}

/// A certificate for these names, for the server and as PEM.
fn certificate(hosts: &[String]) -> Result<(rustls::ServerConfig, String), Failure> {
    let wrong = |error: &dyn std::fmt::Display| {
        let hosts = hosts.join(", ");
        Failure::new(format!("cannot make a certificate for {hosts} ({error}): check --host"))
    };
    let signed = rcgen::generate_simple_self_signed(hosts).map_err(|error| wrong(&error))?;
    let key = PrivateKeyDer::Pkcs8(signed.signing_key.serialize_der().into());
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let tls = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map(|builder| builder.with_no_client_auth())
        .and_then(|builder| builder.with_single_cert(vec![signed.cert.der().clone()], key))
        .map_err(|error| wrong(&error))?;
    Ok((tls, signed.cert.pem()))
}

/// Starts the relay; also its URL, and the UDP port of address discovery.
async fn serve(
    listen: SocketAddr,
    quic: SocketAddr,
    tls: rustls::ServerConfig,
    hosts: &[String],
) -> Result<(Server, String, u16), Failure> {
    // Without TLS there is only the check for captive portals, which our peers do not make.
    let mut relay = RelayConfig::new((Ipv4Addr::LOCALHOST, 0));
    relay.tls = Some(TlsConfig::new(listen, CertConfig::Manual { server_config: tls }));
    let mut config = ServerConfig::default();
    config.relay = Some(relay);
    config.quic = Some(QuicConfig::new(quic));
    let server = Server::spawn(config).await;
    let server =
        server.map_err(|error| Failure::new(format!("the relay does not start: {error:#}")))?;
    let https = server.https_addr().unwrap_or(listen);
    let port = https.port();
    let host = match hosts.first() {
        Some(host) if host.contains(':') => format!("[{host}]"),
        Some(host) => host.clone(),
        None => https.ip().to_string(),
    };
    let quic = server.quic_addr().map_or(quic.port(), |address| address.port());
    Ok((server, format!("https://{host}:{port}/"), quic))
}
