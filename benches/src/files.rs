//! Where reports are written, and how.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::{env, fs, process};

/// The folder of the reports: `measure` in cargo's target directory.
///
/// That is `CARGO_TARGET_DIR` if it is an absolute path (a relative one was meant from where cargo
/// was started, and nobody knows that here); otherwise the directory above this program that cargo
/// has tagged as its own; otherwise `target` of this workspace.
pub fn measure_dir() -> PathBuf {
    let named = env::var_os("CARGO_TARGET_DIR").map(PathBuf::from).filter(|dir| dir.is_absolute());
    let workspace = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../target");
    named.or_else(tagged_above_program).unwrap_or_else(workspace).join("measure")
}

fn tagged_above_program() -> Option<PathBuf> {
    let program = env::current_exe().ok()?;
    program.ancestors().find(|dir| dir.join("CACHEDIR.TAG").is_file()).map(Path::to_path_buf)
}

/// Writes a file whole or not at all: whoever reads it meanwhile sees the old one. An error names
/// the path.
pub(crate) fn write(path: &Path, content: &str) -> io::Result<()> {
    let written = replace(path, content);
    written.map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", path.display())))
}

fn replace(path: &Path, content: &str) -> io::Result<()> {
    if let Some(dir) = path.parent() {
        fs::create_dir_all(dir)?;
    }
    let temporary = path.with_extension(format!("{}.tmp", process::id()));
    let mut file = fs::File::create(&temporary)?;
    let written = file.write_all(content.as_bytes()).and_then(|()| file.sync_all());
    written.and_then(|()| fs::rename(&temporary, path)).inspect_err(|_| {
        // The first error is the one to tell.
        let _ = fs::remove_file(&temporary);
    })
}
