//! Zones: groups of hosts between which links are alike.

use std::fmt;
use std::sync::Arc;

use p2p_core::SecretKey;

use crate::host::Host;
use crate::network::Network;
use crate::profile::{LinkProfile, ProfileError};
use crate::shared::Shared;

/// A region, a provider, a data centre: hosts that see the rest of the network alike. A handle:
/// clones are the same zone.
///
/// What a link is like is looked up in this order: what was said of its two hosts
/// ([`Network::set_link`]); what was said of their zones ([`Network::set_zone_link`]); what the network
/// is like. Nothing is kept for pairs of hosts that never met.
///
/// ```
/// use p2p_simulator::{Preset, Simulation};
///
/// let run = Simulation::new(1).run(async |network| {
///     let (eu, us) = (network.zone("eu"), network.zone("us"));
///     network.set_zone_link(&eu, &us, &Preset::Intercontinental.down())?;
///     network.set_zone_link(&us, &eu, &Preset::Intercontinental.up())?;
///     network.set_zone_link(&eu, &eu, &Preset::Lan.down())?;
///     let hosts: Vec<_> = (0..1000).map(|number| eu.host(&format!("eu-{number}"))).collect();
///     Ok::<_, p2p_simulator::ProfileError>(hosts.len())
/// })?;
/// assert_eq!(run.output, Ok(1000));
/// # Ok::<(), p2p_simulator::SimulationError>(())
/// ```
#[derive(Clone)]
pub struct Zone {
    shared: Arc<Shared>,
    number: u32,
}

impl Zone {
    /// A new host in this zone; else as [`Network::host`].
    pub fn host(&self, name: &str) -> Host {
        self.put(self.network().host(name))
    }

    /// A new host in this zone; else as [`Network::host_with_key`].
    pub fn host_with_key(&self, name: &str, secret: SecretKey) -> Host {
        self.put(self.network().host_with_key(name, secret))
    }

    /// What it is called.
    pub fn name(&self) -> String {
        self.shared.with(|engine, _| engine.zone_name(self.number))
    }

    fn network(&self) -> Network {
        Network { shared: self.shared.clone() }
    }

    fn put(&self, host: Host) -> Host {
        self.shared.with(|engine, _| engine.put_into_zone(host.number(), self.number));
        host
    }
}

impl fmt::Debug for Zone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Zone").field(&self.name()).finish()
    }
}

impl Network {
    /// The zone of this name, made if there is none yet.
    pub fn zone(&self, name: &str) -> Zone {
        let number = self.shared.with(|engine, _| engine.zone(name));
        Zone { shared: self.shared.clone(), number }
    }

    /// Sets what links from hosts of one zone to hosts of another (or the same) are like, for packets
    /// sent from now on, but for links of which something else was said. One direction only.
    ///
    /// # Errors
    ///
    /// [`ProfileError`]: a link cannot be like that. Nothing is changed then.
    pub fn set_zone_link(
        &self,
        from: &Zone,
        to: &Zone,
        profile: &LinkProfile,
    ) -> Result<(), ProfileError> {
        profile.check()?;
        self.shared.with(|engine, _| engine.set_zone_link(from.number, to.number, profile));
        Ok(())
    }
}
