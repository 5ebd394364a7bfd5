//! The door for everybody, behind TLS: certificate and key in files, read again when they change.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use axum::Router;
use rustls::ServerConfig;
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, pem};
use sha2::{Digest, Sha256};
use thiserror::Error;
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{MissedTickBehavior, interval, timeout};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::tcp::{self, Handshake};
use super::{Closing, Limits};

/// How often the files are looked at.
pub const LOOK_EVERY: Duration = Duration::from_secs(10);

/// A certificate chain and its key, in two PEM files.
pub struct Certificates {
    chain: PathBuf,
    key: PathBuf,
    /// What is in force, and the digest of the files that it was made of.
    current: RwLock<(Arc<ServerConfig>, [u8; 32])>,
}

impl Certificates {
    /// Reads both files.
    ///
    /// # Errors
    ///
    /// [`TlsError`], which names the file.
    pub fn load(chain: impl Into<PathBuf>, key: impl Into<PathBuf>) -> Result<Self, TlsError> {
        let (chain, key) = (chain.into(), key.into());
        let texts = read(&chain, &key)?;
        let config = configured(&chain, &key, &texts)?;
        Ok(Self { chain, key, current: RwLock::new((config, texts.digest)) })
    }

    /// Looks at the files; connections from now on are served with what is in them. Whether it is
    /// something new.
    ///
    /// # Errors
    ///
    /// [`TlsError`]; what was in force stays.
    pub fn reload(&self) -> Result<bool, TlsError> {
        let known = self.current.read().unwrap_or_else(PoisonError::into_inner).1;
        let texts = read(&self.chain, &self.key)?;
        if texts.digest == known {
            return Ok(false);
        }
        let config = configured(&self.chain, &self.key, &texts)?;
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = (config, texts.digest);
        Ok(true)
    }

    fn config(&self) -> Arc<ServerConfig> {
        self.current.read().unwrap_or_else(PoisonError::into_inner).0.clone()
    }
}

impl fmt::Debug for Certificates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Certificates").field("chain", &self.chain).finish_non_exhaustive()
    }
}

/// What the files hold.
struct Texts {
    chain: Vec<u8>,
    key: Vec<u8>,
    digest: [u8; 32],
}

fn read(chain: &Path, key: &Path) -> Result<Texts, TlsError> {
    let text = |path: &Path| {
        // Two small files every few seconds: not worth a thread.
        std::fs::read(path).map_err(|source| TlsError::Read { path: path.to_owned(), source })
    };
    let (chain, key) = (text(chain)?, text(key)?);
    let both = Sha256::new().chain_update(&chain).chain_update([0]).chain_update(&key);
    Ok(Texts { chain, key, digest: both.finalize().into() })
}

fn configured(chain: &Path, key: &Path, texts: &Texts) -> Result<Arc<ServerConfig>, TlsError> {
    let parse = |path: &Path| {
        let path = path.to_owned();
        move |source: pem::Error| TlsError::Parse { path, what: source.to_string() }
    };
    let certificates = CertificateDer::pem_slice_iter(&texts.chain).collect::<Result<Vec<_>, _>>();
    let certificates = certificates.map_err(parse(chain))?;
    if certificates.is_empty() {
        let what = "there is no certificate in it".into();
        return Err(TlsError::Parse { path: chain.to_owned(), what });
    }
    let secret = PrivateKeyDer::from_pem_slice(&texts.key).map_err(parse(key))?;
    let provider = Arc::new(ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .and_then(|builder| builder.with_no_client_auth().with_single_cert(certificates, secret));
    let mut config = config.map_err(|source| TlsError::Unfit {
        chain: chain.to_owned(),
        key: key.to_owned(),
        source,
    })?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

/// Why TLS cannot be served.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum TlsError {
    /// A file has not the form.
    #[error("'{}' holds no PEM that can be used: {what}", path.display())]
    Parse {
        /// Which.
        path: PathBuf,
        /// What is wrong.
        what: String,
    },
    /// A file cannot be read.
    #[error("cannot read '{}'", path.display())]
    Read {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The two do not belong together, or cannot be used.
    #[error("the certificate '{}' and the key '{}' cannot be used", chain.display(), key.display())]
    Unfit {
        /// The certificates.
        chain: PathBuf,
        /// The key.
        key: PathBuf,
        /// Why.
        source: rustls::Error,
    },
}

/// Serves as [`tcp::run`] does, behind TLS, and looks for new certificates meanwhile.
///
/// # Cancel safety
///
/// Dropping the future ends all connections at once.
pub async fn run(
    listener: TcpListener,
    certificates: Certificates,
    router: Router,
    limits: Limits,
    closing: Closing,
) -> bool {
    let certificates = Arc::new(certificates);
    let secure = Secure { certificates: certificates.clone(), limit: limits.header_timeout };
    let serving = tcp::run_with(secure, listener, router, limits, closing);
    tokio::select! {
        biased;
        ended = serving => ended,
        () = watch(&certificates) => true,
    }
}

/// Never ends.
async fn watch(certificates: &Certificates) {
    let mut clock = interval(LOOK_EVERY);
    clock.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        clock.tick().await;
        match certificates.reload() {
            Ok(true) => tracing::info!("new certificates are in force"),
            Ok(false) => {}
            Err(error) => {
                let error = &error as &dyn std::error::Error;
                tracing::error!(error, "new certificates cannot be used; the old ones stay");
            }
        }
    }
}

#[derive(Clone)]
struct Secure {
    certificates: Arc<Certificates>,
    limit: Duration,
}

impl Handshake for Secure {
    type Io = TlsStream<TcpStream>;

    async fn shake(self, stream: TcpStream) -> Option<Self::Io> {
        let acceptor = TlsAcceptor::from(self.certificates.config());
        // Who speaks no TLS, or takes too long, is nobody to answer.
        timeout(self.limit, acceptor.accept(stream)).await.ok()?.ok()
    }
}
