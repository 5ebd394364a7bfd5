//! A backend chosen at run time.

use p2p_core::dynamic::AnyProvider;
use p2p_core::{P2PError, Result};

use crate::settings::{Implementation, Settings};

/// A backend that was chosen at run time. Providers from one backend can reach each other: on the
/// simulator they share a network.
///
/// ```
/// # use p2p_transport::{Backend, P2PProvider, Settings};
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// let backend = Backend::new(Settings::from_env()?)?;
/// let provider = backend.provider().await?;
/// println!("{}", provider.local_addr());
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Backend {
    settings: Settings,
    #[cfg(feature = "simulator")]
    network: Option<p2p_simulator::Network>,
}

impl Backend {
    /// Sets the backend up. The simulator starts its network here, in wall-clock time, which needs a
    /// tokio runtime.
    ///
    /// # Errors
    ///
    /// [`P2PError::Network`] if this build lacks the backend's feature.
    ///
    /// # Panics
    ///
    /// With the simulator, outside of a tokio runtime.
    pub fn new(settings: Settings) -> Result<Self> {
        let missing = match settings.implementation {
            Implementation::Iroh => !cfg!(feature = "iroh"),
            Implementation::Simulator => !cfg!(feature = "simulator"),
        };
        if missing {
            let name = settings.implementation;
            let what = format!("this build has no {name} backend: build it with feature '{name}'");
            return Err(P2PError::Network { what, source: None });
        }
        Ok(Self {
            #[cfg(feature = "simulator")]
            network: (settings.implementation == Implementation::Simulator)
                .then(|| p2p_simulator::Network::live(&settings.network)),
            settings,
        })
    }

    /// A new provider. With a secret key in the settings it has that identity, so that there can be
    /// one at a time; otherwise each has a new one.
    ///
    /// # Errors
    ///
    /// As the backend's: a port in use, a relay that does not answer.
    pub async fn provider(&self) -> Result<AnyProvider> {
        #[cfg(feature = "simulator")]
        if let Some(network) = &self.network {
            let host = match self.settings.secret_key.clone() {
                Some(secret) => network.host_with_key("host", secret),
                None => network.host("host"),
            };
            return host.provider(self.settings.connection.clone()).map(AnyProvider::new);
        }
        self.iroh().await
    }

    #[cfg(feature = "iroh")]
    async fn iroh(&self) -> Result<AnyProvider> {
        let settings = &self.settings;
        let mut config = p2p_iroh::IrohConfig::default()
            .with_listen_port(settings.listen_port)
            .with_connection(settings.connection.clone());
        config.secret_key.clone_from(&settings.secret_key);
        config.relays.clone_from(&settings.relay_servers);
        config.known_peers.clone_from(&settings.bootstrap_peers);
        config.bind().await.map(AnyProvider::new)
    }

    #[cfg(not(feature = "iroh"))]
    async fn iroh(&self) -> Result<AnyProvider> {
        // `new` refuses settings for which there is nothing here.
        Err(P2PError::Network { what: "this build has no backend".into(), source: None })
    }
}
