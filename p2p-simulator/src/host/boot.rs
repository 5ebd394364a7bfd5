//! Programs that a host runs from its start on, and again after each crash.

use std::future::{Future, poll_fn};

use super::Host;
use super::task::HostTaskError;
use crate::network::Network;
use crate::simulation::Every;

impl Host {
    /// Runs a program as a machine runs its services: now, and anew whenever the host is
    /// [restarted](Host::restart) after a crash, by hand or by a schedule. What outlives a crash, such as
    /// its disk, is what the closure holds. When the program ends by itself, that is all; if it panics,
    /// a [`Simulation`](crate::Simulation) fails as by an invariant, with the host's name.
    ///
    /// ```
    /// use std::sync::{Arc, Mutex};
    /// use std::time::Duration;
    /// use p2p_simulator::Simulation;
    /// use tokio::time::sleep;
    ///
    /// let run = Simulation::new(1).run(async |network| {
    ///     let host = network.host("counter");
    ///     let disk = Arc::new(Mutex::new(0));
    ///     let kept = disk.clone();
    ///     host.boot(move |_host| {
    ///         let disk = kept.clone();
    ///         async move {
    ///             loop {
    ///                 sleep(Duration::from_secs(1)).await;
    ///                 *disk.lock().unwrap() += 1;
    ///             }
    ///         }
    ///     });
    ///     sleep(Duration::from_millis(2500)).await;
    ///     host.crash();
    ///     sleep(Duration::from_secs(10)).await;
    ///     host.restart();
    ///     sleep(Duration::from_millis(2500)).await;
    ///     *disk.lock().unwrap()
    /// })?;
    /// assert_eq!(run.output, 4);
    /// # Ok::<(), p2p_simulator::SimulationError>(())
    /// ```
    ///
    /// To be called by the program that the simulation runs, not by tasks of hosts, with which it would
    /// end.
    ///
    /// # Panics
    ///
    /// Outside of a tokio runtime.
    pub fn boot<P, F>(&self, program: P)
    where
        P: Fn(Self) -> F + Send + 'static,
        F: Future<Output = ()> + Send + 'static,
    {
        let host = self.clone();
        tokio::spawn(async move {
            loop {
                host.up().await;
                match host.spawn(program(host.clone())).await {
                    Err(HostTaskError::Crashed { .. }) => {}
                    Err(HostTaskError::Panicked { what, .. }) => return host.fail(what),
                    Ok(()) | Err(HostTaskError::Aborted) => return,
                }
            }
        });
    }

    /// Waits until it is not down.
    async fn up(&self) {
        let mut ticket = None;
        poll_fn(|cx| self.shared.with(|engine, _| engine.poll_up(self.number, &mut ticket, cx)))
            .await;
    }

    fn fail(&self, what: String) {
        let network = Network { shared: self.shared.clone() };
        let name = format!("the program of host '{}' does not panic", self.name());
        network.invariant(&name, Every::Event, move |_| Err(what.clone()));
    }
}
