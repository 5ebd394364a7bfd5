//! A place in a lane, from a `reserve` until its message or its end.

use std::fmt;

use bytes::Bytes;

use super::Connection;
use crate::error::Result;
use crate::permit::ReservedPlace;
use crate::priority::Priority;
use crate::transport::Link;

pub(super) struct Place<L: Link> {
    pub(super) connection: Connection<L>,
    pub(super) priority: Priority,
    pub(super) size: usize,
    /// Its message has taken it.
    pub(super) used: bool,
}

impl<L: Link> ReservedPlace for Place<L> {
    fn priority(&self) -> Priority {
        self.priority
    }

    fn size(&self) -> usize {
        self.size
    }

    fn send(mut self: Box<Self>, message: Bytes) -> Result<()> {
        let inner = &self.connection.inner;
        let pushed = inner.core.outbox.push_reserved(self.priority, self.size, &message);
        pushed.map_err(|error| inner.core.not_taken(error))?;
        self.used = true;
        Ok(())
    }
}

impl<L: Link> Drop for Place<L> {
    fn drop(&mut self) {
        if !self.used {
            self.connection.inner.core.outbox.give_back(self.priority, self.size);
        }
    }
}

impl<L: Link> fmt::Debug for Place<L> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Place")
            .field("peer", &self.connection.inner.core.peer.id)
            .field("priority", &self.priority)
            .field("size", &self.size)
            .finish_non_exhaustive()
    }
}
