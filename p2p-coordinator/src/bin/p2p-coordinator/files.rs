//! The signing key.

use std::fs::{self, OpenOptions};
use std::io::{ErrorKind, Write};
use std::path::Path;

use p2p_core::SecretKey;

use crate::Failure;

/// Reads the key, or makes one: 64 hexadecimal digits that nobody but the owner may read.
pub(crate) fn signing_key(path: &Path) -> Result<SecretKey, Failure> {
    let name = path.display();
    match fs::read_to_string(path) {
        Ok(text) => parse(text.trim()).ok_or_else(|| {
            Failure::new(format!(
                "'{name}' holds no signing key (64 hexadecimal digits): restore it, or move it away \
                 to get a new one, which makes tokens of the old one void"
            ))
        }),
        Err(error) if error.kind() == ErrorKind::NotFound => make(path)
            .map_err(|error| Failure::new(format!("cannot write the signing key '{name}': {error}"))),
        Err(error) => Err(Failure::new(format!("cannot read the signing key '{name}': {error}"))),
    }
}

fn make(path: &Path) -> std::io::Result<SecretKey> {
    if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        fs::create_dir_all(folder)?;
    }
    let key = p2p_iroh::generate_secret_key();
    let text: String = key.to_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
    // Whole or not at all: the name is given when the content is there.
    let part = path.with_extension("key.part");
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(&part)?;
    writeln!(file, "{text}")?;
    file.sync_all()?;
    fs::rename(&part, path)?;
    Ok(key)
}

fn parse(text: &str) -> Option<SecretKey> {
    if text.len() != 64 || !text.is_ascii() {
        return None;
    }
    let mut bytes = [0; 32];
    for (at, byte) in bytes.iter_mut().enumerate() {
        *byte = u8::from_str_radix(&text[2 * at..2 * at + 2], 16).ok()?;
    }
    Some(SecretKey::from_bytes(&bytes))
}
