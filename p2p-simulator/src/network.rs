//! The handle that programs and tests hold on a network.

use std::sync::Arc;
use std::time::Duration;

use p2p_core::SecretKey;

use crate::engine::trace::{TraceEvent, TraceHash, TraceKind};
use crate::fault::report::FaultReport;
use crate::host::Host;
use crate::profile::{LinkProfile, ProfileError};
use crate::shared::Shared;
use crate::simulation::{Every, Invariant};

/// A simulated network. A handle: clones are the same network.
#[derive(Clone, Debug)]
pub struct Network {
    pub(crate) shared: Arc<Shared>,
}

impl Network {
    /// A new host. Its identity follows from the network's seed and the number of hosts before it.
    pub fn host(&self, name: &str) -> Host {
        self.add_host(name, None)
    }

    /// A new host with an identity of one's own. Of two with the same, the one that starts its
    /// endpoint first has it.
    pub fn host_with_key(&self, name: &str, secret: SecretKey) -> Host {
        self.add_host(name, Some(secret))
    }

    /// A new host with a runtime of its own: [`Host::spawn`] runs tasks there, and whatever those
    /// spawn by plain `tokio::spawn` is the host's too. A [crash](Host::crash) drops all of it at once,
    /// whether spawned here or there, and tokio's timers on it go by the [host's clock](Host::clock):
    /// with its drift, though not where it is put forward or back.
    ///
    /// Packets, channels and locks reach its tasks at once, to the nanosecond. Its timers are looked at
    /// once in a millisecond of the network's time, which takes one to two microseconds as long as
    /// the host has any task: 4 to 9 s of CPU time for a virtual hour. A standstill is not
    /// seen before the limit of virtual time.
    ///
    /// A tokio `Instant` means nothing on another host than the one that took it, as between machines;
    /// [`Network::elapsed`] is the same for all. Endpoints are to be started by a task of the host, for
    /// their tasks run where they are started.
    ///
    /// A [live](Network::live) network has no driver for it: there it is a host as others are.
    pub fn isolated_host(&self, name: &str) -> Host {
        let host = self.add_host(name, None);
        self.shared.isolated.add(host.number);
        host
    }

    fn add_host(&self, name: &str, secret: Option<SecretKey>) -> Host {
        let number = self.shared.with(|engine, now| engine.add_host(now, name, secret));
        Host { shared: self.shared.clone(), number }
    }

    /// Sets what the links between two hosts are like, in both directions, for packets sent from now
    /// on.
    ///
    /// # Errors
    ///
    /// [`ProfileError`]: a link cannot be like that. Nothing is changed then.
    pub fn set_link(&self, a: &Host, b: &Host, profile: &LinkProfile) -> Result<(), ProfileError> {
        self.set_link_one_way(a, b, profile)?;
        self.set_link_one_way(b, a, profile)
    }

    /// The same for one direction.
    ///
    /// # Errors
    ///
    /// As [`set_link`](Network::set_link).
    pub fn set_link_one_way(
        &self,
        from: &Host,
        to: &Host,
        profile: &LinkProfile,
    ) -> Result<(), ProfileError> {
        profile.check()?;
        self.shared.with(|engine, _| engine.set_link(from.number, to.number, Some(profile)));
        Ok(())
    }

    /// Cuts the hosts of one group off from those of the other, in both directions, also for what is
    /// on its way. Datagrams are lost; streams wait; connections time out if it lasts.
    pub fn partition<'a>(
        &self,
        group: impl IntoIterator<Item = &'a Host>,
        from: impl IntoIterator<Item = &'a Host> + Clone,
    ) {
        self.for_pairs(group, from, |shared, a, b| {
            shared.with(|engine, now| {
                engine.cut(now, a, b);
                engine.cut(now, b, a);
            });
        });
    }

    /// Repairs what [`partition`](Network::partition) cut.
    pub fn repair<'a>(
        &self,
        group: impl IntoIterator<Item = &'a Host>,
        from: impl IntoIterator<Item = &'a Host> + Clone,
    ) {
        self.for_pairs(group, from, |shared, a, b| {
            shared.with(|engine, now| {
                engine.repair(now, a, b);
                engine.repair(now, b, a);
            });
        });
    }

    fn for_pairs<'a>(
        &self,
        group: impl IntoIterator<Item = &'a Host>,
        from: impl IntoIterator<Item = &'a Host> + Clone,
        each: impl Fn(&Shared, u32, u32),
    ) {
        for a in group {
            for b in from.clone() {
                if a.number != b.number {
                    each(&self.shared, a.number, b.number);
                }
            }
        }
    }

    /// The time since the network began: virtual in a [`Simulation`](crate::Simulation).
    pub fn elapsed(&self) -> Duration {
        self.shared.elapsed()
    }

    /// The hash over everything that happened so far.
    pub fn trace_hash(&self) -> TraceHash {
        self.shared.with(|engine, _| engine.trace().hash())
    }

    /// How many things happened so far.
    pub fn trace_count(&self) -> u64 {
        self.shared.with(|engine, _| engine.trace().count())
    }

    /// The names of its hosts, by number.
    pub fn host_names(&self) -> Vec<String> {
        self.shared.with(|engine, _| engine.hosts.iter().map(|host| host.name.clone()).collect())
    }

    /// Puts words of the program's own into the trace: what it decided, what it saw. Where two runs
    /// differ, the first note that differs says more than the packets after it.
    pub fn note(&self, words: &str) {
        self.shared.with(|engine, now| engine.trace_mut().words(now, TraceKind::Noted, 0, words));
    }

    /// From now on `check` must hold, or the run fails with its name, the virtual time and the seed.
    /// Checked by [`Simulation`](crate::Simulation) only; a [live](Network::live) network never does.
    ///
    /// It sees the program between two steps, when all tasks wait. What it looks at is best shared
    /// by an `Arc<Mutex<_>>` that no task holds locked while it waits.
    pub fn invariant(
        &self,
        name: &str,
        every: Every,
        check: impl Fn(&Self) -> Result<(), String> + Send + Sync + 'static,
    ) {
        self.shared.add_invariant(Invariant::new(name, every, check));
    }

    /// The first things that happened, as many as the network was told to record.
    pub fn recorded(&self) -> Vec<TraceEvent> {
        self.shared.with(|engine, _| engine.trace().recorded().to_vec())
    }

    /// The faults until now, and what each has touched.
    pub fn fault_report(&self) -> FaultReport {
        self.shared.with(|engine, _| FaultReport::of(engine))
    }
}
