//! What strangers made of plain iroh come to, on real nodes over loopback.

#[path = "support/endpoints.rs"]
mod endpoints;

mod fire {
    mod memory;
    mod quic;
    pub(crate) mod stranger;
}

use std::alloc::System;
use std::collections::BTreeMap;
use std::sync::Arc;

use iroh::Endpoint;
use p2p_core::conformance::malice::Hostile;
use p2p_core::conformance::{Failure, Fixture, Outcome, World};
use p2p_core::{ConnectionConfig, PeerAddr, PeerId};
use p2p_iroh::IrohP2P;
use tokio::runtime::Builder;
use tokio::sync::Mutex;

use endpoints::Endpoints;
use fire::stranger::{self, ALPN, Stranger};

/// Counts what is allocated. No limit: a test that goes over the bound is to say so.
#[global_allocator]
static ALLOCATOR: cap::Cap<System> = cap::Cap::new(System, usize::MAX);

/// Nodes of ours, and strangers.
#[derive(Default)]
struct Field {
    nodes: Endpoints,
    strangers: Mutex<BTreeMap<u32, Arc<Endpoint>>>,
}

impl World for Field {
    type Provider = IrohP2P;

    async fn provider(&self, config: ConnectionConfig) -> IrohP2P {
        self.nodes.provider(config).await
    }

    async fn vanish(&self, peer: PeerId) {
        self.nodes.vanish(peer).await;
    }
}

impl Hostile for Field {
    type Wire = Stranger;

    async fn dial(&self, stranger: u32, node: &PeerAddr) -> Outcome<Stranger> {
        let endpoint = {
            let mut strangers = self.strangers.lock().await;
            match strangers.get(&stranger) {
                Some(endpoint) => endpoint.clone(),
                None => {
                    strangers.entry(stranger).or_insert(Arc::new(stranger::bind().await)).clone()
                }
            }
        };
        let dialled = endpoint.connect(stranger::addr_of(node), ALPN).await;
        dialled.map(Stranger).map_err(|error| Failure::new(format!("{error:#}")))
    }
}

struct OverLoopback;

impl Fixture for OverLoopback {
    type World = Field;

    fn run<F>(&self, check: impl FnOnce(Field) -> F + Send + 'static) -> Outcome
    where
        F: Future<Output = Outcome> + Send + 'static,
    {
        let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build();
        let runtime = runtime.map_err(|error| Failure::new(error.to_string()))?;
        let outcome = runtime.block_on(check(Field::default()));
        runtime.shutdown_background();
        outcome
    }
}

p2p_core::malice_suite!(OverLoopback);
