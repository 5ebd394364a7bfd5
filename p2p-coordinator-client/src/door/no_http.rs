//! In place of the door to URLs, in a build without it.

use super::{Call, Reply};
use crate::client::ClientConfig;
use crate::error::RequestError;

/// Never there.
#[derive(Debug)]
pub(crate) enum HttpDoor {}

impl HttpDoor {
    pub(super) fn new(url: &str, _config: ClientConfig) -> Result<Self, RequestError> {
        let what = format!(
            "{url} is a URL, and this build has no HTTP: enable the feature 'http', or give the \
             coordinator's ticket"
        );
        Err(RequestError::Unsupported { what })
    }

    pub(super) async fn request(&self, _call: Call) -> Result<Reply, RequestError> {
        match *self {}
    }
}
