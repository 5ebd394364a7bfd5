//! The handle on one machine of a network.

use std::fmt;
use std::sync::Arc;

use p2p_core::{BoxError, ConnectionConfig, Node, P2PError, PeerId, SecretKey};

use crate::SimulatorP2P;
use crate::clock::HostClock;
use crate::engine::endpoint::{BindError, EndpointLimits};
use crate::shared::Shared;
use crate::transport::SimTransport;

mod boot;
pub(crate) mod task;

/// A machine on a simulated network. A handle: clones are the same machine.
#[derive(Clone)]
pub struct Host {
    pub(crate) shared: Arc<Shared>,
    pub(crate) number: u32,
}

impl Host {
    /// What it was called.
    pub fn name(&self) -> String {
        self.shared.with(|engine, _| engine.hosts[self.number as usize].name.clone())
    }

    /// Its number in traces: hosts are counted from 0.
    pub const fn number(&self) -> u32 {
        self.number
    }

    /// Whether it has a runtime of its own: see [`Network::isolated_host`](crate::Network::isolated_host).
    pub fn is_isolated(&self) -> bool {
        self.shared.isolated.contains(self.number)
    }

    /// Its identity's secret half, for what is to be signed outside the network.
    pub fn secret_key(&self) -> SecretKey {
        self.shared.with(|engine, _| engine.hosts[self.number as usize].secret_key())
    }

    /// Its identity.
    pub fn peer_id(&self) -> PeerId {
        self.shared.with(|engine, _| engine.hosts[self.number as usize].peer_id())
    }

    /// Starts the host's endpoint. It has one at a time.
    ///
    /// # Errors
    ///
    /// [`P2PError::Network`] if it has one, or has crashed; [`P2PError::Config`] if a value cannot be
    /// meant (see [`ConnectionConfig::validate`]).
    ///
    /// # Panics
    ///
    /// Outside of a tokio runtime.
    pub fn provider(&self, config: ConnectionConfig) -> Result<SimulatorP2P, P2PError> {
        config.validate()?;
        Ok(Node::new(self.transport(&config)?, config, []))
    }

    /// Starts the host's endpoint without the connection engine on top: for engines of one's own, and
    /// to measure the network alone.
    ///
    /// # Errors
    ///
    /// As [`provider`](Host::provider).
    pub fn transport(&self, config: &ConnectionConfig) -> Result<SimTransport, P2PError> {
        let limits = EndpointLimits::from(config);
        let bound = self.shared.with(|engine, now| engine.bind(now, self.number, limits));
        let endpoint = bound.map_err(|error| {
            let why = match error {
                BindError::HostDown => "has crashed: restart it first",
                BindError::InUse => "has an endpoint already: shut that down first",
            };
            let what = format!("simulated host '{}' {why}", self.name());
            P2PError::Network { what, source: None::<BoxError> }
        })?;
        Ok(SimTransport::new(self.shared.clone(), endpoint, limits))
    }

    /// Ends everything the host has on the network at once, without a word to anybody: its peers
    /// find out by silence. Tasks that [`Host::spawn`] spawned are dropped; others go on, and find
    /// their connections gone.
    pub fn crash(&self) {
        self.shared.with(|engine, now| engine.crash(now, self.number));
    }

    /// Starts it again after a crash, with its identity and without an endpoint.
    pub fn restart(&self) {
        self.shared.with(|engine, now| engine.restart(now, self.number));
    }

    /// Lets it stand still: see [`NamedFault::pause`](crate::NamedFault::pause).
    pub fn pause(&self) {
        self.shared.with(|engine, now| engine.pause(now, self.number));
    }

    /// Lets it go on after a pause.
    pub fn resume(&self) {
        self.shared.with(|engine, now| engine.resume(now, self.number));
    }

    /// Its wall clock.
    pub fn clock(&self) -> HostClock {
        HostClock { shared: self.shared.clone(), host: self.number }
    }
}

impl fmt::Debug for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Host").field(&self.name()).finish()
    }
}
