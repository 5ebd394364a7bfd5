//! The live driver: the same network in wall-clock time, on any tokio runtime.
//!
//! For demonstrations and for choosing the simulator where a real backend would run. Timers have a
//! resolution of one millisecond, tasks run when the scheduler lets them: **not deterministic**. What
//! has to be repeatable runs in a [`Simulation`](crate::Simulation).

use std::sync::{Arc, Weak};
use std::time::Duration;

use tokio::sync::Notify;

use crate::engine::Engine;
use crate::network::Network;
use crate::profile::NetworkConfig;
use crate::shared::Shared;

impl Network {
    /// Starts a network in wall-clock time on the present runtime. It ends with its last handle.
    ///
    /// # Panics
    ///
    /// Outside of a tokio runtime.
    pub fn live(config: &NetworkConfig) -> Self {
        let sooner = Arc::new(Notify::new());
        let shared = Arc::new(Shared::new(Engine::new(config, 0), Some(sooner.clone())));
        tokio::spawn(drive(Arc::downgrade(&shared), sooner));
        Self { shared }
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        if let Some(sooner) = &self.sooner {
            // The driver finds that there is nothing left to drive.
            sooner.notify_one();
        }
    }
}

async fn drive(shared: Weak<Shared>, sooner: Arc<Notify>) {
    loop {
        let wait = {
            let Some(shared) = shared.upgrade() else { return };
            let (_, next) = shared.advance();
            next.map(|next| shared.start() + Duration::from_nanos(next))
        };
        match wait {
            Some(until) => {
                let _ = tokio::time::timeout_at(until, sooner.notified()).await;
            }
            None => sooner.notified().await,
        }
    }
}
