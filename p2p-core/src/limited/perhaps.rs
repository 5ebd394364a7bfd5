//! A future that is passed on as it is, or has something before it.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use pin_project_lite::pin_project;

pin_project! {
    /// Where nothing is limited, the future within: an `async` block around it would move each result
    /// once more, and that is a fourteenth of what a small message costs.
    #[project = Projected]
    pub(super) enum Perhaps<'a, F, T> {
        Free { #[pin] future: F },
        Limited { future: Pin<Box<dyn Future<Output = T> + Send + 'a>> },
    }
}

impl<'a, F, T> Perhaps<'a, F, T> {
    /// In a box: the other would be moved with the room for it.
    pub(super) fn limited(future: impl Future<Output = T> + Send + 'a) -> Self {
        Self::Limited { future: Box::pin(future) }
    }
}

impl<F: Future> Future for Perhaps<'_, F, F::Output> {
    type Output = F::Output;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        match self.project() {
            Projected::Free { future } => future.poll(cx),
            Projected::Limited { future } => future.as_mut().poll(cx),
        }
    }
}
