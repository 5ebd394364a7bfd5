//! What is made once for a request that may be sent again.
//!
//! The names of what a request makes follow from its key and from who asks, so that whoever does it
//! again, this coordinator after its end or another on the store, finds what there is. Nothing more has
//! to be kept: a store lets no name be given twice.

use std::future::Future;
use std::sync::Arc;

use p2p_coordinator_api::SessionName;

use super::{Coordinator, Result};
use crate::store::StoreError;

impl<S> Coordinator<S> {
    /// The same coordinator, doing a request that is known by this key when it comes again.
    #[must_use]
    pub fn for_request(&self, key: Arc<str>) -> Self {
        Self { request: Some(key), ..self.clone() }
    }

    /// The name of what is made; by chance, if the request has no key.
    pub(super) fn name_of(&self, what: &str) -> [u8; 16] {
        match &self.request {
            None => self.inner.random.bytes(),
            Some(key) => {
                let scope = self.caller.scope();
                self.inner.names.name(&[what.as_bytes(), scope.as_bytes(), key.as_bytes()])
            }
        }
    }

    /// The same for what follows on something secret, whoever asks.
    pub(super) fn name_after(&self, secret: &[u8], what: &str) -> [u8; 16] {
        match &self.request {
            None => self.inner.random.bytes(),
            Some(key) => self.inner.names.name(&[what.as_bytes(), secret, key.as_bytes()]),
        }
    }

    pub(super) fn session_name(&self) -> SessionName {
        SessionName::from_bits(match &self.request {
            None => self.inner.random.bits(),
            Some(_) => {
                let bytes = self.name_of("session");
                u64::from_be_bytes(std::array::from_fn(|at| bytes[at]))
            }
        })
    }

    /// What the request has made before, if it has a key; looks only then.
    pub(super) async fn made_before<T>(
        &self,
        look: impl Future<Output = std::result::Result<Option<T>, StoreError>>,
    ) -> Result<Option<T>> {
        match self.request {
            None => Ok(None),
            Some(_) => Ok(look.await?),
        }
    }
}
