//! The suite of promises on real connections, over this machine's loopback interface.

#[path = "support/endpoints.rs"]
mod endpoints;

use p2p_core::conformance::{Failure, Fixture, Outcome};
use tokio::runtime::Builder;

use endpoints::Endpoints;

struct OverLoopback;

impl Fixture for OverLoopback {
    type World = Endpoints;

    fn run<F>(&self, check: impl FnOnce(Endpoints) -> F + Send + 'static) -> Outcome
    where
        F: Future<Output = Outcome> + Send + 'static,
    {
        let runtime = Builder::new_multi_thread().worker_threads(2).enable_all().build();
        let runtime = runtime.map_err(|error| Failure::new(error.to_string()))?;
        runtime.block_on(check(Endpoints::default()))
    }
}

p2p_core::conformance_suite!(OverLoopback);
