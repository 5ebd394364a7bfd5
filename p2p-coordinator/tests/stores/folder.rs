//! Folders for files of a test.

use std::fs;
use std::path::{Path, PathBuf};
use std::process;
use std::sync::atomic::{AtomicU32, Ordering};

/// A folder of its own, removed at the end.
pub(crate) struct Folder {
    path: PathBuf,
    files: AtomicU32,
}

impl Folder {
    pub(crate) fn new() -> Self {
        static FOLDERS: AtomicU32 = AtomicU32::new(0);
        let number = FOLDERS.fetch_add(1, Ordering::Relaxed);
        let name = format!("p2p-coordinator-stores-{}-{number}", process::id());
        let path = std::env::temp_dir().join(name);
        fs::create_dir_all(&path).expect("a folder for temporary files");
        Self { path, files: AtomicU32::new(0) }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The path of a file that is not there yet.
    pub(crate) fn fresh_file(&self) -> PathBuf {
        self.file(self.files.fetch_add(1, Ordering::Relaxed) + 1)
    }

    /// The path that was given last.
    pub(crate) fn last_file(&self) -> PathBuf {
        self.file(self.files.load(Ordering::Relaxed))
    }

    fn file(&self, number: u32) -> PathBuf {
        self.path.join(format!("{number}.sqlite"))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // A store that was dropped may still be writing; what is left is in the system's folder for
        // such things.
        let _ = fs::remove_dir_all(&self.path);
    }
}
