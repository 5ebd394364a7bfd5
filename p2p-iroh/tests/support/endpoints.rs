//! Nodes on this machine's loopback interface, each on a runtime of its own: what makes one vanish is
//! that its runtime goes.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::sync::{Mutex, MutexGuard, PoisonError};

use p2p_core::conformance::World;
use p2p_core::{ConnectionConfig, P2PProvider, PeerId};
use p2p_iroh::{IrohConfig, IrohP2P};
use tokio::runtime::{Builder, Runtime};

#[derive(Default)]
pub(crate) struct Endpoints(Mutex<BTreeMap<PeerId, Runtime>>);

impl Endpoints {
    fn runtimes(&self) -> MutexGuard<'_, BTreeMap<PeerId, Runtime>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl World for Endpoints {
    type Provider = IrohP2P;

    async fn provider(&self, config: ConnectionConfig) -> IrohP2P {
        let config = IrohConfig::default()
            .with_bind_address((Ipv4Addr::LOCALHOST, 0).into())
            .with_connection(config);
        let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build();
        let runtime = runtime.expect("a runtime");
        let bound = runtime.spawn(config.bind()).await.expect("no panic");
        let provider = bound.expect("a port on the loopback interface");
        self.runtimes().insert(provider.local_peer_id(), runtime);
        provider
    }

    async fn vanish(&self, peer: PeerId) {
        if let Some(runtime) = self.runtimes().remove(&peer) {
            runtime.shutdown_background();
        }
    }
}

impl Drop for Endpoints {
    fn drop(&mut self) {
        for (_, runtime) in std::mem::take(&mut *self.runtimes()) {
            runtime.shutdown_background();
        }
    }
}
