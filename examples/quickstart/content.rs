//! What the host gives: a file, or generated data.

use std::fs::File;
use std::io::Read;
use std::path::PathBuf;

use bytes::Bytes;

use crate::AnyError;

const GENERATED_BYTES: u64 = 256 << 20;

/// How much is handed to a stream at once.
pub(crate) const CHUNK: usize = 256 * 1024;

/// What is sent: a file, or as many bytes of a pattern.
#[derive(Clone)]
pub(crate) struct Content {
    file: Option<PathBuf>,
    pub(crate) bytes: u64,
    /// Pseudo-random bytes, repeated. A prime length, so that no two chunks are the same.
    pattern: Bytes,
}

impl Content {
    pub(crate) fn new(file: Option<PathBuf>) -> Result<Self, AnyError> {
        let Some(path) = file else {
            let mut pattern = vec![0; 1_048_573];
            blake3::Hasher::new().finalize_xof().fill(&mut pattern);
            return Ok(Self { file: None, bytes: GENERATED_BYTES, pattern: pattern.into() });
        };
        let unreadable = |error| format!("cannot read '{}': {error}", path.display());
        let metadata = File::open(&path).and_then(|file| file.metadata()).map_err(unreadable)?;
        if !metadata.is_file() {
            return Err(format!("'{}' is not a file: name one", path.display()).into());
        }
        Ok(Self { bytes: metadata.len(), file: Some(path), pattern: Bytes::new() })
    }

    pub(crate) fn open(&self) -> Result<Source<'_>, AnyError> {
        let file = self.file.as_ref().map(File::open).transpose()?;
        Ok(Source { content: self, file, done: 0 })
    }
}

/// Reads content from its beginning.
pub(crate) struct Source<'a> {
    content: &'a Content,
    file: Option<File>,
    done: u64,
}

impl Source<'_> {
    /// The next chunk. A file is read in place, not in a thread: in a simulation there are none.
    pub(crate) fn next(&mut self) -> Result<Option<Bytes>, AnyError> {
        let Some(file) = &mut self.file else {
            let from = (self.done % self.content.pattern.len() as u64) as usize;
            let left = (self.content.bytes - self.done) as usize;
            let to = self.content.pattern.len().min(from + CHUNK.min(left));
            self.done += (to - from) as u64;
            return Ok((to > from).then(|| self.content.pattern.slice(from..to)));
        };
        let mut chunk = vec![0; CHUNK];
        let read = file.read(&mut chunk)?;
        chunk.truncate(read);
        Ok((read > 0).then(|| chunk.into()))
    }
}
