//! Tells all who serve at a door that it closes.

use std::sync::Arc;

use tokio::sync::Semaphore;

/// Whether a door closes. A handle: clones are of the same door.
///
/// Who waits is woken in the order of waiting, so that a simulation that closes a door repeats to the
/// byte.
#[derive(Clone, Debug)]
pub struct Closing(Arc<Semaphore>);

impl Closing {
    /// Of a door that is open.
    pub fn new() -> Self {
        Self(Arc::new(Semaphore::new(0)))
    }

    /// Closes the door: nobody is let in any more, and requests that are being done are finished.
    pub fn close(&self) {
        self.0.close();
    }

    /// Waits until the door closes. Cancel safe.
    pub async fn closed(&self) {
        // It never has permits: this ends by the closing only.
        let _ = self.0.acquire().await;
    }
}

impl Default for Closing {
    fn default() -> Self {
        Self::new()
    }
}
