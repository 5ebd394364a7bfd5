//! A reserved place that was paid for.

use std::sync::Arc;

use bytes::Bytes;

use super::Place;
use crate::error::Result;
use crate::permit::{ReservedPlace, SendPermit};
use crate::priority::Priority;

/// What is given back when this goes: all that was paid, less what a message has used.
#[derive(Debug)]
pub(super) struct Paid {
    place: Option<Arc<Place>>,
    messages: u64,
    bytes: usize,
}

impl Paid {
    pub(super) fn new(place: &Arc<Place>, bytes: usize) -> Self {
        Self { place: Some(place.clone()), messages: 1, bytes }
    }

    /// Nothing was paid.
    pub(super) const fn none() -> Self {
        Self { place: None, messages: 0, bytes: 0 }
    }
}

impl Drop for Paid {
    fn drop(&mut self) {
        if let Some(place) = &self.place {
            let Place { shared, peer } = &**place;
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
