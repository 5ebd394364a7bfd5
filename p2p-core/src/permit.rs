//! A place among the messages that are to be sent.

use std::fmt::Debug;

use bytes::Bytes;

use crate::error::{Limit, P2PError, Result};
use crate::priority::Priority;

/// A place for one message, by [`reserve`](crate::P2PConnection::reserve). Dropping it gives the place
/// back. It holds the connection as a handle does.
#[derive(Debug)]
#[must_use = "the place is given back when this is dropped"]
pub struct SendPermit(Box<dyn ReservedPlace>);

impl SendPermit {
    /// Of a connection's own making.
    pub fn new(place: impl ReservedPlace) -> Self {
        Self(Box::new(place))
    }

    /// The lane in which the place is.
    pub fn priority(&self) -> Priority {
        self.0.priority()
    }

    /// For how many bytes it is.
    pub fn size(&self) -> usize {
        self.0.size()
    }

    /// Sends a message as [`try_send`](crate::P2PConnection::try_send) does; there is room for it. What
    /// the place had for more bytes is given back. In the order of the lane, it is now that it counts.
    ///
    /// # Errors
    ///
    /// [`LimitExceeded`](P2PError::LimitExceeded) with [`Limit::Reserved`] if it is larger than the
    /// place, or why the connection has ended. The place is given back.
    pub fn send(self, message: Bytes) -> Result<()> {
        let (max, actual) = (self.size(), message.len());
        if actual > max {
            let (max, actual) = (max as u64, actual as u64);
            return Err(P2PError::LimitExceeded { limit: Limit::Reserved, max, actual });
        }
        self.0.send(message)
    }
}

/// What a [`SendPermit`] is made of, by those who implement [`P2PConnection`](crate::P2PConnection).
///
/// # Contract for implementers
///
/// Dropping it unused gives the place back.
pub trait ReservedPlace: Debug + Send + Sync + 'static {
    /// The lane.
    fn priority(&self) -> Priority;

    /// For how many bytes.
    fn size(&self) -> usize;

    /// Sends a message of at most so many bytes, at once.
    ///
    /// # Errors
    ///
    /// Why the connection has ended.
    fn send(self: Box<Self>, message: Bytes) -> Result<()>;
}
