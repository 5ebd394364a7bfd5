//! The thread that brings the journal into the file.
//!
//! It waits for the disk, so the worker does not. A checkpoint of this kind (`PASSIVE`) stands in
//! nobody's way; what is committed meanwhile it leaves to the next. So while there is no pause the
//! journal grows; past [`LONG`] the worker brings in the rest itself, which is little then, and
//! begins the journal anew.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{SyncSender, sync_channel};

use rusqlite::Connection;

/// After so many groups of commits there is a checkpoint: not after each, because a page that is
/// written often is brought in once, and not after many more, because what then waits for the disk
/// holds up whoever writes: with one in half a second, the slowest of new sessions took several times as
/// long.
const GROUPS: u32 = 32;

/// The most pages in the journal until the worker lends a hand: 64 MiB.
const LONG: i64 = 16_384;

/// Counts what is committed.
pub(super) struct Checkpoints {
    wake: SyncSender<()>,
    groups: u32,
    long: Arc<AtomicBool>,
}

impl Checkpoints {
    /// By this connection, until it is dropped.
    pub(super) fn start(connection: Connection) -> io::Result<Self> {
        let (wake, woken) = sync_channel(1);
        let long = Arc::new(AtomicBool::new(false));
        let found = long.clone();
        std::thread::Builder::new().name("p2p-coordinator-checkpoint".into()).spawn(move || {
            while woken.recv().is_ok() {
                match checkpoint(&connection) {
                    Ok(pages) => found.store(pages > LONG, Ordering::Relaxed),
                    // The next tries again; meanwhile all is in the journal.
                    Err(error) => tracing::warn!(%error, "cannot bring the journal into the file"),
                }
            }
        })?;
        Ok(Self { wake, groups: 0, long })
    }

    /// A group was committed on this connection, which is between two.
    pub(super) fn committed(&mut self, connection: &Connection) {
        self.groups += 1;
        if self.groups >= GROUPS {
            self.groups = 0;
            // If it is at work, it is woken again after that.
            let _ = self.wake.try_send(());
        }
        if self.long.swap(false, Ordering::Relaxed)
            && let Err(error) = checkpoint(connection)
        {
            tracing::warn!(%error, "cannot bring the long journal into the file");
        }
    }
}

/// How many pages the journal had.
fn checkpoint(connection: &Connection) -> rusqlite::Result<i64> {
    connection.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |row| row.get(1))
}
