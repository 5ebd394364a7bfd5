//! Files: read with a sentence if they cannot be, written whole or not at all.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use p2p_transport::coordinator::P2pConfig;
use p2p_transport::iroh::{IrohConfig, generate_secret_key};
use p2p_transport::{PeerAddr, SecretKey};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use tracing_subscriber::filter::LevelFilter;

use super::{Event, Failure, Output};

/// More than any ticket, key or chain of certificates has.
const MAX_FILE: u64 = 1 << 20;

fn read(path: &Path) -> Result<Vec<u8>, Failure> {
    let name = path.display();
    let cannot = |error| Failure::new(format!("cannot read {name} ({error}): check the file"));
    let file = File::open(path).map_err(cannot)?;
    let mut content = Vec::new();
    file.take(MAX_FILE + 1).read_to_end(&mut content).map_err(cannot)?;
    if content.len() as u64 > MAX_FILE {
        let what = format!("{name} has more than {MAX_FILE} bytes: that is another file");
        return Err(Failure::new(what));
    }
    Ok(content)
}

/// A ticket, or the file that holds one.
pub(crate) fn read_ticket(given: &str) -> Result<PeerAddr, Failure> {
    let path = Path::new(given);
    if path.try_exists().unwrap_or(false) {
        let content = read(path)?;
        let text = String::from_utf8_lossy(&content);
        return text.parse().map_err(|error| Failure::new(format!("{given}: {error}")));
    }
    given.parse().map_err(|error| {
        if given.starts_with("p2p") {
            return Failure::new(error);
        }
        Failure::new(format!(
            "'{given}' is neither a file nor a ticket: give what the host printed, it begins with \
             'p2p'"
        ))
    })
}

/// What a game client's `p2p_config.json` says. What in it has no effect is told.
pub(crate) fn read_p2p_config(path: &Path, output: Output) -> Result<P2pConfig, Failure> {
    let content = read(path)?;
    let config = P2pConfig::from_json(&String::from_utf8_lossy(&content))
        .map_err(|error| Failure::new(format!("{}: {error}", path.display())))?;
    for refused in config.refused() {
        output.emit(&Event::Note { what: &refused.to_string() });
    }
    log(&config);
    Ok(config)
}

/// Logs to standard error as the configuration says.
fn log(config: &P2pConfig) {
    if config.console_output
        && let Ok(level) = config.log_level.as_str().parse::<LevelFilter>()
    {
        let lines = tracing_subscriber::fmt().with_max_level(level).with_writer(io::stderr);
        // There may be one already.
        let _ = lines.try_init();
    }
}

/// The certificates in a file, PEM or DER, added to those that may vouch for relays.
pub(super) fn trust(mut config: IrohConfig, path: &Path) -> Result<IrohConfig, Failure> {
    let content = read(path)?;
    let wrong = || {
        let name = path.display();
        let what =
            format!("{name} is not a certificate in PEM or DER: give the relay's --cert-out");
        Failure::new(what)
    };
    let certificates = if content.starts_with(b"\x30") {
        vec![CertificateDer::from(content)]
    } else {
        let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&content).collect();
        found.map_err(|_| wrong())?
    };
    let mut roots = rustls::RootCertStore::empty();
    for certificate in &certificates {
        roots.add(certificate.clone()).map_err(|_| wrong())?;
        config = config.with_relay_ca(certificate.to_vec());
    }
    if roots.is_empty() { Err(wrong()) } else { Ok(config) }
}

/// The secret in a file; a new one, kept there for next time, if there is no such file.
pub(super) fn identity(path: &Path) -> Result<SecretKey, Failure> {
    if !path.try_exists().unwrap_or(true) {
        let secret = generate_secret_key().to_bytes();
        let text = secret.iter().map(|byte| format!("{byte:02x}")).collect::<String>() + "\n";
        let written = write_temporary(path, text.as_bytes(), Access::Owner).and_then(|temporary| {
            // A link, unlike a rename, does not replace what another process has put there since.
            let linked = fs::hard_link(&temporary, path);
            let _ = fs::remove_file(&temporary);
            linked.or_else(|error| match error.kind() {
                io::ErrorKind::AlreadyExists => Ok(()),
                _ => Err(error),
            })
        });
        written.map_err(|error| cannot_write(path, &error))?;
    }
    let content = read(path)?;
    let secret = parse_secret(content.trim_ascii()).ok_or_else(|| {
        Failure::new(format!(
            "{} is not an identity (64 hexadecimal digits): give another file, or remove it to \
             have a new identity made",
            path.display()
        ))
    })?;
    Ok(SecretKey::from_bytes(&secret))
}

fn parse_secret(digits: &[u8]) -> Option<[u8; 32]> {
    let digits = std::str::from_utf8(digits).ok()?;
    if digits.len() != 64 || !digits.bytes().all(|digit| digit.is_ascii_hexdigit()) {
        return None;
    }
    let mut secret = [0; 32];
    for (byte, pair) in secret.iter_mut().zip((0..64).step_by(2)) {
        *byte = u8::from_str_radix(&digits[pair..pair + 2], 16).ok()?;
    }
    Some(secret)
}

/// Writes a file that appears whole or not at all.
pub(crate) fn write_whole(path: &Path, content: &str) -> Result<(), Failure> {
    let written = write_temporary(path, content.as_bytes(), Access::Everybody);
    let renamed = written.and_then(|temporary| {
        fs::rename(&temporary, path).inspect_err(|_| drop(fs::remove_file(&temporary)))
    });
    renamed.map_err(|error| cannot_write(path, &error))
}

/// Takes away what an earlier run wrote, so that the file's appearance means something.
pub(crate) fn discard(path: &Path) -> Result<(), Failure> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(cannot_write(path, &error)),
        _ => Ok(()),
    }
}

fn cannot_write(path: &Path, error: &io::Error) -> Failure {
    let name = path.display();
    Failure::new(format!("cannot write {name} ({error}): choose a place that can be written"))
}

#[derive(Clone, Copy)]
enum Access {
    Everybody,
    Owner,
}

/// The content in a file beside `path`, safely on the disk.
fn write_temporary(path: &Path, content: &[u8], access: Access) -> io::Result<PathBuf> {
    let name = path.file_name().ok_or(io::ErrorKind::IsADirectory)?.to_string_lossy();
    let temporary = path.with_file_name(format!(".{name}.{}", std::process::id()));
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    if let Access::Owner = access {
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    }
    #[cfg(not(unix))]
    let _ = access;
    let written = options.open(&temporary).and_then(|mut file| {
        file.write_all(content)?;
        file.sync_all()
    });
    match written {
        Ok(()) => Ok(temporary),
        Err(error) => {
            if error.kind() != io::ErrorKind::AlreadyExists {
                let _ = fs::remove_file(&temporary);
            }
            Err(error)
        }
    }
}
