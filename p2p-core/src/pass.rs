//! What is held for an inbound connection for as long as it is there.

use std::any::Any;
use std::fmt;

/// What an applicant is let in with, by [`Admission::judge`](crate::Admission::judge): it is dropped
/// with the connection's last handle, or as soon as no connection comes of it. So a hook that counts
/// whom it lets in puts something here that counts down when it is dropped.
///
/// ```
/// use std::sync::Arc;
/// use p2p_core::Pass;
/// use tokio::sync::Semaphore;
///
/// let seats = Arc::new(Semaphore::new(1));
/// let seat = seats.clone().try_acquire_owned()?;
/// let pass = Pass::holding(seat);
/// assert_eq!(seats.available_permits(), 0);
/// drop(pass);
/// assert_eq!(seats.available_permits(), 1);
/// # Ok::<(), tokio::sync::TryAcquireError>(())
/// ```
#[derive(Default)]
#[must_use = "what it holds is given back when it is dropped"]
pub struct Pass(Option<Box<dyn Any + Send + Sync>>);

impl Pass {
    /// One that holds nothing.
    pub const fn free() -> Self {
        Self(None)
    }

    /// One that holds this.
    pub fn holding(held: impl Send + Sync + 'static) -> Self {
        Self(Some(Box::new(held)))
    }
}

impl fmt::Debug for Pass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_some() { "Pass(held)" } else { "Pass(free)" })
    }
}
