//! A connection that stops being HTTP.
//!
//! A handler that has agreed to an upgrade puts what follows into its answer; who serves the connection
//! takes it out, and does it when HTTP has ended. So the connection keeps its place among those that
//! its door counts, waits for and ends.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};

use http::Extensions;

use super::Closing;

type Work = Pin<Box<dyn Future<Output = ()> + Send>>;
type Start = Box<dyn FnOnce(Closing) -> Work + Send>;

/// What follows on HTTP. In an answer's extensions.
#[derive(Clone, Default)]
pub(super) struct Handover(Arc<Mutex<Option<Start>>>);

impl Handover {
    /// Puts into an answer what is to be done with its connection, until the door closes.
    pub(super) fn put<F>(
        extensions: &mut Extensions,
        work: impl FnOnce(Closing) -> F + Send + 'static,
    ) where
        F: Future<Output = ()> + Send + 'static,
    {
        let start: Start = Box::new(|closing| Box::pin(work(closing)));
        extensions.insert(Self(Arc::new(Mutex::new(Some(start)))));
    }

    /// Takes over what an answer has.
    pub(super) fn take_from(&self, extensions: &mut Extensions) {
        if let Some(other) = extensions.remove::<Self>() {
            *self.start() = other.start().take();
        }
    }

    /// Begins with it, if there is something.
    pub(super) fn begin(&self, closing: Closing) -> Option<Work> {
        let start = self.start().take();
        start.map(|start| start(closing))
    }

    fn start(&self) -> std::sync::MutexGuard<'_, Option<Start>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Handover {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Handover")
    }
}
