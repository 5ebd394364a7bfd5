//! Tokens: given and checked.

use super::Coordinator;
use crate::security::{Claims, Kind, TokenRefusal};
use crate::store::Store;

impl<S: Store> Coordinator<S> {
    /// Who shows this access token, if it is good now.
    ///
    /// # Errors
    ///
    /// [`TokenRefusal`].
    pub fn verify_access(&self, token: &str) -> Result<Claims, TokenRefusal> {
        self.inner.tokens.verify(self.now(), Kind::Access, token)
    }
}
