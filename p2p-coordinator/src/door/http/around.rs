//! What is around each request, from the outermost: it is watched, pages of other sites are kept out,
//! and who asks is found out.
//!
//! One layer for all of it: each would cost an allocation for its future and one for each layer below
//! it, which were a third of what `/health` takes.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::Response;
use tracing::Instrument as _;

use super::cors;
use super::gate::Gate;
use super::monitoring::Watch;
use super::repeat::Repeated;
use crate::service::Coordinator;
use crate::store::Store;

pub(super) struct Around<S> {
    pub(super) coordinator: Coordinator<S>,
    pub(super) gate: Gate<S>,
    pub(super) watch: Watch<S>,
}

pub(super) async fn around<S: Store>(
    State(around): State<Arc<Around<S>>>,
    mut request: Request,
    next: Next,
) -> Response {
    let watched = around.watch.begin(&request);
    let span = watched.span.clone();
    let answered = async {
        let page = match cors::admit(&around.coordinator, &request) {
            Ok(page) => page,
            Err(response) => return *response,
        };
        let mut response = match around.gate.pass(&mut request) {
            Ok(passed) => {
                let mut response = match Repeated::concerns(&request) {
                    // In a box: few have a key, and it would be a part of every request's future.
                    true => {
                        let repeated = &around.gate.repeated;
                        Box::pin(repeated.run(&around.coordinator, request, next)).await
                    }
                    false => next.run(request).await,
                };
                around.gate.tell(passed, &mut response);
                response
            }
            Err(response) => *response,
        };
        page.tell(&mut response);
        response
    };
    let mut response = answered.instrument(span).await;
    around.watch.end(watched, &mut response);
    response
}
