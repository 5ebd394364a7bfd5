//! What is done to the network: links changed, ways cut and repaired, hosts crashed and restarted.
//!
//! Each fault that has a name is a [`Record`], which counts what it touched. Several may stand on one
//! place at once: a way is open again when the last that closes it has ended. Inside: [`block`], ways
//! that nothing passes; [`hosts`], crashes, pauses and the tasks of hosts; [`table`], who stands where.

use super::random::{Probability, Purpose, Random};
use super::trace::TraceKind;
use super::{Engine, Event, Nanos, Route, nanos};
use crate::fault::schedule::ScheduledFault;
use crate::fault::{Bandwidth, FaultError, FaultKind};
use crate::profile::LinkProfile;
pub(crate) use table::{Effect, FaultId, Faults, Record, Spec, Stray};

pub(crate) mod block;
pub(crate) mod hosts;
mod table;

impl Engine {
    /// Sets what the link from one host to another is like, for packets sent from now on; `None`
    /// makes it like every other. A fault that changes the link stays on top of it.
    pub(crate) fn set_link(&mut self, from: u32, to: u32, profile: Option<&LinkProfile>) {
        match profile {
            Some(profile) => self.net.faults.set.insert((from, to), profile.clone()),
            None => self.net.faults.set.remove(&(from, to)),
        };
        self.refit(from, to);
    }

    /// Lets a fault stand, from now until [`Engine::end_fault`].
    pub(crate) fn begin_fault(&mut self, now: Nanos, spec: Spec) -> Result<FaultId, FaultError> {
        self.check_spec(&spec)?;
        Ok(self.stand(now, spec))
    }

    /// The same for one that is possible on every network.
    pub(crate) fn stand(&mut self, now: Nanos, spec: Spec) -> FaultId {
        let id = self.net.faults.add(Record::new(spec));
        self.start(now, id);
        id
    }

    /// Lets a fault begin when its time has come, and end after as long as it shall last.
    pub(crate) fn plan_fault(&mut self, now: Nanos, fault: ScheduledFault) {
        let at = now.saturating_add(nanos(fault.at));
        let id = self.net.faults.add(Record::planned(fault));
        self.net.queue.push(at, Event::BeginFault { fault: id });
    }

    pub(super) fn begin_planned(&mut self, now: Nanos, id: FaultId) {
        let Some(planned) = self.net.faults.record(id).and_then(|record| record.planned.take())
        else {
            return;
        };
        let spec = planned.fault.resolve(&planned.name, |name| self.hosts_named(name));
        match spec.and_then(|spec| self.check_spec(&spec).map(|()| spec)) {
            Ok(spec) => {
                if let Some(record) = self.net.faults.record(id) {
                    record.spec = Some(spec);
                }
                self.start(now, id);
                if let Some(lasting) = planned.lasting {
                    let at = now.saturating_add(nanos(lasting));
                    self.net.queue.push(at, Event::EndFault { fault: id });
                }
            }
            Err(error) => self.net.faults.refused.push(error),
        }
    }

    /// The numbers of the hosts of this name.
    pub(crate) fn hosts_named(&self, name: &str) -> Vec<u32> {
        let all = self.hosts.iter().enumerate();
        all.filter(|(_, host)| host.name == name).map(|(number, _)| number as u32).collect()
    }

    /// Whether the fault can be done to this network.
    pub(crate) fn check_spec(&self, spec: &Spec) -> Result<(), FaultError> {
        let divides = matches!(spec.effect, Effect::Bandwidth(Bandwidth::Permille(_)));
        if divides && spec.pairs().iter().any(|&pair| self.unshaped(pair).bandwidth.is_none()) {
            let why = "a share of a bandwidth without bound is no bound either: give bits per \
                       second, or give the link a bandwidth first";
            return Err(FaultError::Impossible { fault: spec.name.clone(), why });
        }
        Ok(())
    }

    /// What a direction is like without any fault.
    fn unshaped(&self, (from, to): (u32, u32)) -> &LinkProfile {
        let set = self.net.faults.set.get(&(from, to));
        set.unwrap_or_else(|| self.net.class_profile(from, to))
    }

    /// Links of zones have changed: those that faults shape are shaped from what they are like now.
    pub(super) fn refit_all(&mut self) {
        for (from, to) in self.net.faults.pairs() {
            self.refit(from, to);
        }
    }

    fn start(&mut self, now: Nanos, id: FaultId) {
        let Some(spec) = self.net.faults.begin(now, id) else { return };
        match &spec.effect {
            Effect::Cut => self.block_all(now, &spec, TraceKind::Cut),
            Effect::CutDirect => {
                for (from, to) in spec.pairs() {
                    self.block_direct(now, from, to, TraceKind::Cut);
                }
            }
            Effect::Rebind => {
                for &host in &spec.from {
                    let touched = self.rebind(now, host);
                    self.net
                        .faults
                        .hit_host(host, touched, |effect| matches!(effect, Effect::Rebind));
                }
            }
            Effect::Hold => self.block_all(now, &spec, TraceKind::FaultBegan),
            Effect::Bandwidth(_) | Effect::Degrade(_) | Effect::Profile(_) => {
                for (from, to) in spec.pairs() {
                    self.net.trace.mark(now, TraceKind::FaultBegan, from, to);
                    self.refit(from, to);
                }
            }
            Effect::Connect(_) => self.mark_all(now, &spec, TraceKind::FaultBegan),
            Effect::Crash => {
                for &host in &spec.from {
                    self.crash(now, host);
                }
            }
            Effect::Pause => {
                for &host in &spec.from {
                    self.pause(now, host);
                }
            }
            Effect::Clock { offset, drift_ppm } => {
                for &host in &spec.from {
                    let clock = &mut self.hosts[host as usize].clock;
                    clock.step(now, *offset);
                    clock.set_drift(now, clock.drift_ppm().saturating_add(*drift_ppm));
                    self.net.trace.mark(now, TraceKind::FaultBegan, host, host);
                }
            }
        }
    }

    /// Ends a fault; once is enough, more often does nothing.
    pub(crate) fn end_fault(&mut self, now: Nanos, id: FaultId) {
        let Some(spec) = self.net.faults.finish(now, id) else { return };
        match &spec.effect {
            Effect::Cut | Effect::CutDirect | Effect::Hold => {
                for (from, to) in spec.pairs() {
                    self.unblock(now, from, to);
                }
            }
            // What it did is done.
            Effect::Rebind => {}
            Effect::Bandwidth(_) | Effect::Degrade(_) | Effect::Profile(_) => {
                for (from, to) in spec.pairs() {
                    self.net.trace.mark(now, TraceKind::FaultEnded, from, to);
                    self.refit(from, to);
                }
            }
            Effect::Connect(_) => self.mark_all(now, &spec, TraceKind::FaultEnded),
            Effect::Crash => {
                for &host in &spec.from {
                    if !self
                        .net
                        .faults
                        .stands_on_host(host, |effect| matches!(effect, Effect::Crash))
                    {
                        self.restart(now, host);
                    }
                }
            }
            Effect::Pause => {
                for &host in &spec.from {
                    if !self
                        .net
                        .faults
                        .stands_on_host(host, |effect| matches!(effect, Effect::Pause))
                    {
                        self.resume(now, host);
                    }
                }
            }
            Effect::Clock { offset, drift_ppm } => {
                for &host in &spec.from {
                    let clock = &mut self.hosts[host as usize].clock;
                    clock.set_drift(now, clock.drift_ppm().saturating_sub(*drift_ppm));
                    clock.step(now, offset.saturating_neg());
                    self.net.trace.mark(now, TraceKind::FaultEnded, host, host);
                }
            }
        }
    }

    fn mark_all(&mut self, now: Nanos, spec: &Spec, kind: TraceKind) {
        for (from, to) in spec.pairs() {
            self.net.trace.mark(now, kind, from, to);
        }
    }

    fn block_all(&mut self, now: Nanos, spec: &Spec, kind: TraceKind) {
        for (from, to) in spec.pairs() {
            self.block(now, from, to, kind);
        }
    }

    /// Gives a link what it is like under the faults that stand on it.
    fn refit(&mut self, from: u32, to: u32) {
        let profile = self.net.faults.shaped((from, to), self.net.class_profile(from, to));
        self.net.set_link(from, to, profile.as_ref());
    }

    /// Whether a fault lets this attempt to connect fail.
    pub(super) fn dial_fails(&mut self, route: Route) -> bool {
        let pair = (route.from_host, route.to_host);
        let seed = self.net.seed;
        self.net.faults.dial_fails(pair, || Random::new(seed, Purpose::FaultDial, pair.0, pair.1))
    }
}

impl Engine {
    /// A program looks at a host's clock.
    pub(crate) fn read_clock(&mut self, host: u32) {
        self.net.faults.hit_host(host, 1, |effect| matches!(effect, Effect::Clock { .. }));
    }
}

/// A share in millionths as a probability.
pub(crate) fn probability(ppm: u32) -> Probability {
    Probability::new(f64::from(ppm) / 1e6)
}

/// What a record says of itself in a report.
impl Record {
    pub(crate) fn kind(&self) -> FaultKind {
        self.spec.as_ref().map_or(self.kind, |spec| spec.kind)
    }
}
