//! What a backend supplies.

use std::future::Future;
use std::time::Duration;

use super::Outcome;
use crate::config::ConnectionConfig;
use crate::identity::PeerId;
use crate::provider::P2PProvider;

/// A backend under test. It owns the runtime.
pub trait Fixture {
    /// The network that checks happen in.
    type World: World;

    /// Makes a runtime and a fresh world, and runs `check` in it to its end.
    fn run<F>(&self, check: impl FnOnce(Self::World) -> F + Send + 'static) -> Outcome
    where
        F: Future<Output = Outcome> + Send + 'static;
}

/// A network in which providers find each other.
pub trait World: Send + Sync + 'static {
    /// What is tested.
    type Provider: P2PProvider;

    /// A provider on an endpoint and with an identity of its own. The world keeps no handle of it:
    /// that the last handle's drop ends an endpoint is one of the promises.
    fn provider(&self, config: ConnectionConfig) -> impl Future<Output = Self::Provider> + Send;

    /// Cuts a provider's endpoint off from the network, without any goodbye.
    fn vanish(&self, peer: PeerId) -> impl Future<Output = ()> + Send;

    /// The timers of most checks: short, because some checks wait for them, and long enough for a
    /// busy machine to keep them.
    fn timers(&self) -> ConnectionConfig {
        ConnectionConfig::default()
            .with_connect_timeout(Duration::from_secs(3))
            .with_handshake_timeout(Duration::from_secs(3))
            .with_close_timeout(Duration::from_secs(1))
            .with_idle_timeout(Duration::from_secs(3))
    }
}

/// A fixture whose providers are built on another's: to hold what wraps a provider to the same
/// promises. `M` makes the one of the other.
#[derive(Clone, Debug)]
pub struct Wrapped<F, M> {
    inner: F,
    wrap: M,
}

impl<F, M> Wrapped<F, M> {
    /// Wraps each provider of `inner` with `wrap`.
    pub const fn new(inner: F, wrap: M) -> Self {
        Self { inner, wrap }
    }
}

impl<F, M, P> Fixture for Wrapped<F, M>
where
    F: Fixture,
    M: Fn(<F::World as World>::Provider) -> P + Clone + Send + Sync + 'static,
    P: P2PProvider,
{
    type World = WrappedWorld<F::World, M>;

    fn run<R>(&self, check: impl FnOnce(Self::World) -> R + Send + 'static) -> Outcome
    where
        R: Future<Output = Outcome> + Send + 'static,
    {
        let wrap = self.wrap.clone();
        self.inner.run(move |inner| check(WrappedWorld { inner, wrap }))
    }
}

/// The world of a [`Wrapped`] fixture.
#[derive(Clone, Debug)]
pub struct WrappedWorld<W, M> {
    inner: W,
    wrap: M,
}

impl<W, M, P> World for WrappedWorld<W, M>
where
    W: World,
    M: Fn(W::Provider) -> P + Send + Sync + 'static,
    P: P2PProvider,
{
    type Provider = P;

    async fn provider(&self, config: ConnectionConfig) -> P {
        (self.wrap)(self.inner.provider(config).await)
    }

    async fn vanish(&self, peer: PeerId) {
        self.inner.vanish(peer).await;
    }

    fn timers(&self) -> ConnectionConfig {
        self.inner.timers()
    }
}
