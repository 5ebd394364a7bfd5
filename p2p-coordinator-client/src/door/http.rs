//! The door to a URL.

use std::sync::Arc;

use bytes::BytesMut;
use hyper::header::CONTENT_TYPE;
use p2p_core::BoxError;
use reqwest::redirect::Policy;
use rustls::crypto::ring;
use rustls::{ClientConfig as Tls, RootCertStore};
use rustls_platform_verifier::BuilderVerifierExt;
use tokio::time::timeout;

use super::{Aside, Call, Reply, too_large};
use crate::client::ClientConfig;
use crate::error::RequestError;

/// A pool of HTTP/1.1 connections to one URL.
#[derive(Debug)]
pub(crate) struct HttpDoor {
    client: reqwest::Client,
    url: String,
    config: ClientConfig,
}

impl HttpDoor {
    pub(super) fn new(url: &str, config: ClientConfig) -> Result<Self, RequestError> {
        let unsupported = |error: BoxError| {
            let why = crate::error::sentence(&*error);
            RequestError::Unsupported { what: format!("no TLS for {url}: {why}") }
        };
        let client = reqwest::Client::builder()
            // What is asked must not depend on the environment of the process.
            .no_proxy()
            .redirect(Policy::none())
            .tls_backend_preconfigured(
                tls(url.starts_with("https://")).map_err(|error| unsupported(error.into()))?,
            )
            .build()
            .map_err(|error| unsupported(error.into()))?;
        Ok(Self { client, url: url.to_owned(), config })
    }

    pub(super) async fn request(&self, call: Call) -> Result<Reply, RequestError> {
        let after = self.config.request_timeout;
        match timeout(after, self.exchange(call)).await {
            Ok(reply) => reply,
            Err(_) => Err(RequestError::TimedOut { coordinator: self.url.clone(), after }),
        }
    }

    async fn exchange(&self, call: Call) -> Result<Reply, RequestError> {
        let url = format!("{}{}", self.url, call.target);
        let mut request = self.client.request(call.method, url).headers(call.credentials);
        if let Some(body) = call.body {
            request = request.header(CONTENT_TYPE, "application/json").body(body);
        }
        let mut reply = request.send().await.map_err(|error| self.unreachable(error))?;
        let max = self.config.max_reply;
        if reply.content_length().is_some_and(|length| length > max as u64) {
            return Err(too_large(max));
        }
        let mut body = BytesMut::new();
        while let Some(chunk) = reply.chunk().await.map_err(|error| self.unreachable(error))? {
            if body.len() + chunk.len() > max {
                return Err(too_large(max));
            }
            body.extend_from_slice(&chunk);
        }
        let (status, aside) = (reply.status().as_u16(), Aside::of(reply.headers()));
        Ok(Reply { status, body: body.freeze(), aside })
    }

    fn unreachable(&self, error: reqwest::Error) -> RequestError {
        // Its text would repeat the URL.
        let source = error.without_url().into();
        RequestError::Unreachable { coordinator: self.url.clone(), source }
    }
}

/// TLS on a connection to this name.
#[cfg(feature = "signaling")]
pub(crate) async fn secure(
    stream: tokio::net::TcpStream,
    name: &str,
) -> Result<Box<tokio_rustls::client::TlsStream<tokio::net::TcpStream>>, BoxError> {
    let name = rustls::pki_types::ServerName::try_from(name.to_owned())?;
    let connector = tokio_rustls::TlsConnector::from(Arc::new(tls(true)?));
    Ok(Box::new(connector.connect(name, stream).await?))
}

/// TLS by ring, given along instead of installed for the whole process, which is the program's to
/// decide. Trusts what the system trusts; for a URL without TLS nobody, so that a system without
/// certificates is no obstacle.
fn tls(wanted: bool) -> Result<Tls, rustls::Error> {
    let builder = Tls::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()?;
    let builder = match wanted {
        true => builder.with_platform_verifier()?,
        false => builder.with_root_certificates(RootCertStore::empty()),
    };
    Ok(builder.with_no_client_auth())
}
