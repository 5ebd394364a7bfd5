//! TLS with the database, as libpq's parameters `sslmode`, `sslrootcert`, `sslcert` and `sslkey` ask
//! for it.

mod verifier;

use std::error::Error as _;
use std::fmt::Display;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use percent_encoding::percent_decode_str;
use rustls::client::WebPkiServerVerifier;
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};
use rustls_platform_verifier::BuilderVerifierExt;
use tokio_postgres::config::SslMode;
use tokio_postgres_rustls::MakeRustlsConnect;

use super::OpenError;
use verifier::AnyName;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Mode {
    Disable,
    #[default]
    Prefer,
    Require,
    VerifyCa,
    VerifyFull,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Roots {
    File(PathBuf),
    System,
}

/// What is asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Wanted {
    mode: Mode,
    roots: Option<Roots>,
    /// The files with our own certificate and its key.
    certificate: Option<PathBuf>,
    key: Option<PathBuf>,
}

/// Takes what is said about TLS out of a URL, or out of pairs.
pub(super) fn split(url: &str) -> Result<(String, Wanted), OpenError> {
    let mut wanted = Wanted::default();
    let rest = if url.contains("://") {
        let Some((start, query)) = url.split_once('?') else { return Ok((url.into(), wanted)) };
        let rest = wanted.take(query.split('&'), |value| {
            percent_decode_str(value).decode_utf8_lossy().into_owned()
        })?;
        if rest.is_empty() { start.to_owned() } else { format!("{start}?{}", rest.join("&")) }
    } else {
        wanted
            .take(url.split_ascii_whitespace(), |value| value.trim_matches('\'').into())?
            .join(" ")
    };
    Ok((rest, wanted))
}

impl Wanted {
    fn take<'a>(
        &mut self,
        parts: impl Iterator<Item = &'a str>,
        plain: impl Fn(&str) -> String,
    ) -> Result<Vec<&'a str>, OpenError> {
        let mut rest = Vec::new();
        for part in parts {
            match part.split_once('=') {
                // The second is how Python's drivers call it.
                Some(("sslmode" | "ssl", value)) => self.mode = mode(&plain(value))?,
                Some(("sslrootcert", value)) => {
                    self.roots = Some(match plain(value).as_str() {
                        "system" => Roots::System,
                        path => Roots::File(path.into()),
                    });
                }
                Some(("sslcert", value)) => self.certificate = Some(plain(value).into()),
                Some(("sslkey", value)) => self.key = Some(plain(value).into()),
                _ => rest.push(part),
            }
        }
        Ok(rest)
    }

    pub(super) const fn ssl_mode(&self) -> SslMode {
        match self.mode {
            Mode::Disable => SslMode::Disable,
            Mode::Prefer => SslMode::Prefer,
            Mode::Require | Mode::VerifyCa | Mode::VerifyFull => SslMode::Require,
        }
    }

    /// Speaks TLS in this way.
    pub(super) fn connector(&self) -> Result<MakeRustlsConnect, OpenError> {
        let crypto = Arc::new(ring::default_provider());
        let builder = ClientConfig::builder_with_provider(crypto.clone())
            .with_safe_default_protocol_versions()
            .map_err(unfit)?;
        let builder = match (self.mode, &self.roots) {
            (Mode::VerifyFull, Some(Roots::System)) => {
                builder.with_platform_verifier().map_err(unfit)?
            }
            (Mode::VerifyFull, Some(Roots::File(path))) => {
                builder.with_root_certificates(roots(path)?)
            }
            (Mode::Require | Mode::VerifyCa, Some(Roots::File(path))) => {
                let roots = Arc::new(roots(path)?);
                let verifier =
                    WebPkiServerVerifier::builder_with_provider(roots, crypto.clone()).build();
                let verifier = verifier.map_err(|error| wrong(error.to_string()))?;
                let verifier = AnyName::new(&crypto, Some(verifier));
                builder.dangerous().with_custom_certificate_verifier(verifier)
            }
            (Mode::Require | Mode::VerifyCa, Some(Roots::System)) => {
                let what = "sslrootcert=system goes with sslmode=verify-full: anybody can have a \
                            certificate that the system trusts, for another name";
                return Err(wrong(what.into()));
            }
            (Mode::VerifyCa | Mode::VerifyFull, None) => {
                let what = "sslmode=verify-ca and verify-full need sslrootcert: the file with the \
                            certificates that are trusted, or system";
                return Err(wrong(what.into()));
            }
            (Mode::Disable | Mode::Prefer, _) | (Mode::Require, None) => {
                let verifier = AnyName::new(&crypto, None);
                builder.dangerous().with_custom_certificate_verifier(verifier)
            }
        };
        let config = match (&self.certificate, &self.key) {
            (None, None) => builder.with_no_client_auth(),
            (Some(certificate), Some(key)) => {
                let chain = chain("sslcert", certificate)?;
                let cannot = |what: &dyn Display| cannot("sslkey", key, what);
                let key = PrivateKeyDer::from_pem_file(key).map_err(|error| cannot(&error))?;
                builder.with_client_auth_cert(chain, key).map_err(|error| cannot(&error))?
            }
            _ => return Err(wrong("sslcert and sslkey go together: name both files".into())),
        };
        Ok(MakeRustlsConnect::new(config))
    }
}

fn mode(text: &str) -> Result<Mode, OpenError> {
    Ok(match text {
        "disable" => Mode::Disable,
        "allow" | "prefer" => Mode::Prefer,
        "require" | "true" => Mode::Require,
        "verify-ca" => Mode::VerifyCa,
        "verify-full" => Mode::VerifyFull,
        _ => {
            let what = "sslmode is disable, prefer, require, verify-ca or verify-full";
            return Err(wrong(format!("{what}, not '{text}'")));
        }
    })
}

fn roots(path: &Path) -> Result<RootCertStore, OpenError> {
    let mut roots = RootCertStore::empty();
    for certificate in chain("sslrootcert", path)? {
        roots.add(certificate).map_err(|error| cannot("sslrootcert", path, &error))?;
    }
    Ok(roots)
}

/// The certificates in a file, of which there has to be one.
fn chain(name: &str, path: &Path) -> Result<Vec<CertificateDer<'static>>, OpenError> {
    let text = fs::read(path).map_err(|error| cannot(name, path, &error))?;
    let chain = CertificateDer::pem_slice_iter(&text).collect::<Result<Vec<_>, _>>();
    let chain = chain.map_err(|error| cannot(name, path, &error))?;
    match chain.is_empty() {
        true => Err(cannot(name, path, &"there is no certificate in it")),
        false => Ok(chain),
    }
}

fn cannot(name: &str, path: &Path, what: &dyn Display) -> OpenError {
    wrong(format!("cannot use {name} {}: {what}", path.display()))
}

fn wrong(what: String) -> OpenError {
    OpenError::TlsSettings { what }
}

fn unfit(error: rustls::Error) -> OpenError {
    wrong(format!("TLS cannot be used here: {error}"))
}

/// Whether TLS is what did not come about: trying again would not change it.
pub(super) fn is_trouble(error: &tokio_postgres::Error) -> bool {
    let Some(source) = error.source() else { return false };
    let io = source.downcast_ref::<io::Error>();
    let by_rustls =
        io.and_then(io::Error::get_ref).is_some_and(|inner| inner.is::<rustls::Error>());
    by_rustls || source.to_string().contains("does not support TLS")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted(mode: Mode, roots: Option<Roots>) -> Wanted {
        Wanted { mode, roots, ..Wanted::default() }
    }

    #[test]
    fn what_is_said_about_tls_is_taken_out_of_both_forms() {
        let file = |path: &str| Some(Roots::File(path.into()));
        for (url, rest, what) in [
            ("postgresql://u@h/d", "postgresql://u@h/d", Wanted::default()),
            (
                "postgresql://u@h/d?sslmode=verify-full&connect_timeout=3&sslrootcert=%2Fa%20b.pem",
                "postgresql://u@h/d?connect_timeout=3",
                wanted(Mode::VerifyFull, file("/a b.pem")),
            ),
            ("postgresql://u@h/d?ssl=require", "postgresql://u@h/d", wanted(Mode::Require, None)),
            (
                "host=h sslmode=verify-ca user=u sslrootcert=system",
                "host=h user=u",
                wanted(Mode::VerifyCa, Some(Roots::System)),
            ),
            (
                "postgresql://u@h/d?sslcert=%2Fa.pem&sslkey=/a.key",
                "postgresql://u@h/d",
                Wanted {
                    certificate: Some("/a.pem".into()),
                    key: Some("/a.key".into()),
                    ..Wanted::default()
                },
            ),
        ] {
            let (left, found) = split(url).expect(url);
            assert_eq!((left.as_str(), found), (rest, what), "{url}");
        }
        assert!(split("postgresql://u@h/d?sslmode=sometimes").is_err());
    }

    #[test]
    fn what_would_look_at_nothing_is_refused() {
        for wanted in [
            wanted(Mode::VerifyFull, None),
            wanted(Mode::VerifyCa, None),
            wanted(Mode::VerifyCa, Some(Roots::System)),
            wanted(Mode::VerifyFull, Some(Roots::File("/nowhere.pem".into()))),
        ] {
            let refused = wanted.connector();
            assert!(matches!(refused, Err(OpenError::TlsSettings { .. })), "{wanted:?}");
        }
    }
}
