//! Faults by hand: each stands as long as its guard.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::{Bandwidth, Degrade, Fault, FaultError, FaultKind};
use crate::engine::fault::{Effect, FaultId, Spec, probability};
use crate::host::Host;
use crate::network::Network;
use crate::profile::LinkProfile;
use crate::shared::Shared;

/// A fault that stands until this is dropped.
///
/// Dropping it repairs what it broke, also when a test fails half way. Where several faults stand on
/// one place, it works again when the last has ended.
#[must_use = "the fault ends when its guard is dropped"]
pub struct FaultGuard {
    shared: Option<Arc<Shared>>,
    name: String,
    id: FaultId,
}

impl FaultGuard {
    /// What the fault is called.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// How much it has touched until now: packets, attempts to connect, connections, tasks.
    pub fn hits(&self) -> u64 {
        self.shared
            .as_ref()
            .map_or(0, |shared| shared.with(|engine, _| engine.net.faults.hits(self.id)))
    }

    /// Ends the fault. The same as dropping the guard, in words.
    pub fn repair(self) {
        drop(self);
    }

    /// Lets the fault stand for ever.
    pub fn forget(mut self) {
        self.shared = None;
    }
}

impl Drop for FaultGuard {
    fn drop(&mut self) {
        if let Some(shared) = self.shared.take() {
            shared.with(|engine, now| engine.end_fault(now, self.id));
        }
    }
}

impl fmt::Debug for FaultGuard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FaultGuard").field("name", &self.name).finish_non_exhaustive()
    }
}

/// A fault that has a name and waits to be told what it is.
#[derive(Clone, Debug)]
#[must_use = "it does nothing until it is told what fault it is"]
pub struct NamedFault<'a> {
    network: &'a Network,
    name: &'a str,
}

impl Network {
    /// A fault of this name. What it touches is counted under it; one that has touched nothing by the
    /// end of a [`Simulation`](crate::Simulation) fails it, by that name.
    ///
    /// ```
    /// # use p2p_simulator::{IdleFaults, Simulation};
    /// # Simulation::new(1).with_idle_faults(IdleFaults::Report).run(async |network| {
    /// # let (alice, bob) = (network.host("alice"), network.host("bob"));
    /// let cut = network.fault("the cable is out").partition([&alice], [&bob]);
    /// // What the program does without the other host.
    /// cut.repair();
    /// # }).unwrap();
    /// ```
    pub const fn fault<'a>(&'a self, name: &'a str) -> NamedFault<'a> {
        NamedFault { network: self, name }
    }

    /// Lets a fault of a schedule stand now, with its hosts by name.
    ///
    /// # Errors
    ///
    /// [`FaultError`], which names the fault and what is wrong with it.
    pub fn inject(&self, name: &str, fault: &Fault) -> Result<FaultGuard, FaultError> {
        let spec =
            self.shared.with(|engine, _| fault.resolve(name, |host| engine.hosts_named(host)))?;
        self.fault(name).begin(spec)
    }
}

impl NamedFault<'_> {
    /// Cuts two groups off from each other, also for what is on its way. Datagrams are lost; streams
    /// wait; connections time out if it lasts.
    pub fn partition<'h>(
        &self,
        a: impl IntoIterator<Item = &'h Host>,
        b: impl IntoIterator<Item = &'h Host>,
    ) -> FaultGuard {
        self.surely(FaultKind::Partition, numbers(a), numbers(b), Effect::Cut)
    }

    /// The same in one direction: nothing arrives at `to` from `from`, and all in return.
    pub fn one_way<'h>(
        &self,
        from: impl IntoIterator<Item = &'h Host>,
        to: impl IntoIterator<Item = &'h Host>,
    ) -> FaultGuard {
        self.surely(FaultKind::OneWay, numbers(from), numbers(to), Effect::Cut)
    }

    /// Lets packets between two groups wait, datagrams too (up to 65 536 in a direction). When it
    /// ends, those that were on their way arrive, and those that were sent since set out.
    /// [`Network::in_flight`] shows them.
    pub fn hold<'h>(
        &self,
        a: impl IntoIterator<Item = &'h Host>,
        b: impl IntoIterator<Item = &'h Host>,
    ) -> FaultGuard {
        self.surely(FaultKind::Hold, numbers(a), numbers(b), Effect::Hold)
    }

    /// Crashes a host: see [`Host::crash`]. At the end it is started again.
    pub fn crash(&self, host: &Host) -> FaultGuard {
        self.surely(FaultKind::Crash, vec![host.number], Vec::new(), Effect::Crash)
    }

    /// Lets a host stand still: its tasks ([`Host::spawn`]) do not run, nothing comes in or goes out,
    /// and its peers hear nothing. At the end it goes on, and what has come in the meantime arrives.
    pub fn pause(&self, host: &Host) -> FaultGuard {
        self.surely(FaultKind::Pause, vec![host.number], Vec::new(), Effect::Pause)
    }

    /// Gives the links between two groups another profile for a while.
    ///
    /// # Errors
    ///
    /// [`FaultError::Profile`] if no link can be like that.
    pub fn profile<'h>(
        &self,
        a: impl IntoIterator<Item = &'h Host>,
        b: impl IntoIterator<Item = &'h Host>,
        profile: &LinkProfile,
    ) -> Result<FaultGuard, FaultError> {
        let refused = |why| FaultError::Profile { fault: self.name.to_owned(), why };
        profile.check().map_err(refused)?;
        let effect = Effect::Profile(profile.clone());
        self.begin(self.spec(FaultKind::Profile, numbers(a), numbers(b), effect))
    }

    /// Makes the links between two groups worse than they are.
    ///
    /// # Errors
    ///
    /// [`FaultError::Impossible`] for more than all packets lost, for more than an hour, or for nothing
    /// at all.
    pub fn degrade<'h>(
        &self,
        a: impl IntoIterator<Item = &'h Host>,
        b: impl IntoIterator<Item = &'h Host>,
        by: Degrade,
    ) -> Result<FaultGuard, FaultError> {
        by.check().map_err(|why| self.impossible(why))?;
        self.begin(self.spec(FaultKind::Degrade, numbers(a), numbers(b), Effect::Degrade(by)))
    }

    /// Reduces the bandwidth between two groups.
    ///
    /// # Errors
    ///
    /// [`FaultError::Impossible`] for none at all, or for a share of one without bound.
    pub fn bandwidth<'h>(
        &self,
        a: impl IntoIterator<Item = &'h Host>,
        b: impl IntoIterator<Item = &'h Host>,
        limit: Bandwidth,
    ) -> Result<FaultGuard, FaultError> {
        if matches!(limit, Bandwidth::BitsPerSecond(0) | Bandwidth::Permille(0)) {
            return Err(self.impossible("a bandwidth of zero lets nothing pass: cut the link"));
        }
        self.begin(self.spec(
            FaultKind::Bandwidth,
            numbers(a),
            numbers(b),
            Effect::Bandwidth(limit),
        ))
    }

    /// Lets a share of all attempts to connect from one group to the other fail, in millionths.
    ///
    /// # Errors
    ///
    /// [`FaultError::Impossible`] for more than all.
    pub fn connect_failures<'h>(
        &self,
        from: impl IntoIterator<Item = &'h Host>,
        to: impl IntoIterator<Item = &'h Host>,
        share_ppm: u32,
    ) -> Result<FaultGuard, FaultError> {
        if share_ppm > 1_000_000 {
            return Err(self.impossible("more than a million millionths cannot fail"));
        }
        let effect = Effect::Connect(probability(share_ppm));
        self.begin(self.spec(FaultKind::ConnectFailures, numbers(from), numbers(to), effect))
    }

    fn impossible(&self, why: &'static str) -> FaultError {
        FaultError::Impossible { fault: self.name.to_owned(), why }
    }

    fn spec(&self, kind: FaultKind, from: Vec<u32>, to: Vec<u32>, effect: Effect) -> Spec {
        let both_ways = !matches!(kind, FaultKind::ConnectFailures | FaultKind::OneWay);
        Spec { name: self.name.to_owned(), kind, from, to, both_ways, effect }
    }

    fn begin(&self, spec: Spec) -> Result<FaultGuard, FaultError> {
        let shared = self.network.shared.clone();
        let id = shared.with(|engine, now| engine.begin_fault(now, spec))?;
        Ok(FaultGuard { shared: Some(shared), name: self.name.to_owned(), id })
    }

    /// One that no network refuses.
    fn surely(&self, kind: FaultKind, from: Vec<u32>, to: Vec<u32>, effect: Effect) -> FaultGuard {
        let spec = self.spec(kind, from, to, effect);
        let shared = self.network.shared.clone();
        let id = shared.with(|engine, now| engine.stand(now, spec));
        FaultGuard { shared: Some(shared), name: self.name.to_owned(), id }
    }
}

fn numbers<'h>(hosts: impl IntoIterator<Item = &'h Host>) -> Vec<u32> {
    hosts.into_iter().map(|host| host.number).collect()
}

/// A packet between two hosts.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct InFlight {
    /// Its number among all packets: the order in which they were sent.
    pub number: u64,
    /// The name of the host it comes from.
    pub from: String,
    /// The name of the host it goes to.
    pub to: String,
    /// What it is.
    pub kind: &'static str,
    /// Bytes of payload.
    pub bytes: usize,
    /// When it was sent, by the network's time: for a packet that was lost and is sent again, the last
    /// time; for one that a hold let go on, when that was.
    pub sent_at: Duration,
    /// When it arrives, by the network's time; `None` while something holds it.
    pub arrives_at: Option<Duration>,
}

impl Network {
    /// The packets that are between hosts now, in the order in which they were sent.
    pub fn in_flight(&self) -> Vec<InFlight> {
        self.shared.with(|engine, _| {
            let name = |host: u32| engine.hosts[host as usize].name.clone();
            let flying = engine.in_flight().into_iter();
            flying
                .map(|packet| InFlight {
                    number: packet.order,
                    from: name(packet.from),
                    to: name(packet.to),
                    kind: kind(packet.kind),
                    bytes: packet.bytes,
                    sent_at: Duration::from_nanos(packet.sent_at),
                    arrives_at: packet.arrives_at.map(Duration::from_nanos),
                })
                .collect()
        })
    }
}

/// The packets' kinds in words, by their numbers in traces.
const fn kind(number: u8) -> &'static str {
    match number {
        1 => "dial",
        2 => "answer",
        3 => "confirm",
        4 => "data",
        5 => "reset",
        6 => "stop",
        7 => "window",
        8 => "received",
        9 => "stream ended",
        10 => "datagram",
        11 => "close",
        _ => "other",
    }
}
