//! A reserved place that was paid for.

use std::sync::Arc;

use bytes::Bytes;

use super::Party;
use crate::error::Result;
use crate::permit::{ReservedPlace, SendPermit};
use crate::priority::Priority;

/// What is given back when this goes: all that was paid, less what a message has used.
#[derive(Debug)]
pub(super) struct Paid {
    party: Option<Arc<Party>>,
    messages: u64,
    bytes: usize,
}

impl Paid {
    pub(super) fn new(party: &Arc<Party>, bytes: usize) -> Self {
        Self { party: Some(party.clone()), messages: 1, bytes }
    }

    /// Nothing was paid.
    pub(super) const fn none() -> Self {
        Self { party: None, messages: 0, bytes: 0 }
    }
}

impl Drop for Paid {
    fn drop(&mut self) {
        if let Some(party) = &self.party {
            let Party { shared, peer, .. } = &**party;
            let (messages, bytes) = (self.messages, self.bytes as u64);
            shared.ledger().unsend(*peer, messages, bytes, shared.now());
        }
    }
}

#[derive(Debug)]
pub(super) struct LimitedPlace {
    pub(super) inner: SendPermit,
    pub(super) paid: Paid,
}

impl ReservedPlace for LimitedPlace {
    fn priority(&self) -> Priority {
        self.inner.priority()
    }

    fn size(&self) -> usize {
        self.inner.size()
    }

    fn send(self: Box<Self>, message: Bytes) -> Result<()> {
        let Self { inner, mut paid } = *self;
        let used = message.len();
        inner.send(message)?;
        paid.messages = 0;
        paid.bytes = paid.bytes.saturating_sub(used);
        Ok(())
    }
}
