//! Which faults there are, where they stand, and what each has touched.

use std::collections::{BTreeMap, BTreeSet};

use super::super::random::{Probability, Random};
use super::super::{Nanos, Route};
use crate::fault::schedule::ScheduledFault;
use crate::fault::{Bandwidth, Degrade, FaultError, FaultKind};
use crate::profile::LinkProfile;

/// A fault's place among all of a network.
pub(crate) type FaultId = u32;
/// From which host to which.
pub(crate) type Pair = (u32, u32);

/// What a fault does.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Effect {
    Bandwidth(Bandwidth),
    Clock { offset: i128, drift_ppm: i32 },
    Connect(Probability),
    Crash,
    Cut,
    CutDirect,
    Degrade(Degrade),
    Hold,
    Pause,
    Profile(LinkProfile),
    Rebind,
}

/// A fault in terms of the engine.
#[derive(Clone, Debug)]
pub(crate) struct Spec {
    pub(crate) name: String,
    pub(crate) kind: FaultKind,
    pub(crate) from: Vec<u32>,
    pub(crate) to: Vec<u32>,
    pub(crate) both_ways: bool,
    pub(crate) effect: Effect,
}

impl Spec {
    /// The directions it stands on, each once.
    pub(crate) fn pairs(&self) -> Vec<Pair> {
        let mut pairs = BTreeSet::new();
        for &a in &self.from {
            for &b in self.to.iter().filter(|&&b| b != a) {
                pairs.insert((a, b));
                if self.both_ways {
                    pairs.insert((b, a));
                }
            }
        }
        pairs.into_iter().collect()
    }
}

/// A fault and what became of it.
#[derive(Clone, Debug)]
pub(crate) struct Record {
    pub(crate) name: String,
    pub(super) kind: FaultKind,
    /// Until it begins, if it is of a schedule.
    pub(crate) planned: Option<ScheduledFault>,
    pub(crate) spec: Option<Spec>,
    pub(crate) hits: u64,
    pub(crate) began: Option<Nanos>,
    pub(crate) ended: Option<Nanos>,
}

impl Record {
    pub(super) fn new(spec: Spec) -> Self {
        let (name, kind) = (spec.name.clone(), spec.kind);
        Self { name, kind, planned: None, spec: Some(spec), hits: 0, began: None, ended: None }
    }

    pub(super) fn planned(fault: ScheduledFault) -> Self {
        let (name, kind) = (fault.name.clone(), fault.fault.kind());
        Self { name, kind, planned: Some(fault), spec: None, hits: 0, began: None, ended: None }
    }
}

/// A task that used a host's endpoint without being one of the host's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Stray {
    pub(crate) host: u32,
    pub(crate) task: String,
    pub(crate) calls: u64,
}

/// All faults of a network.
#[derive(Debug)]
pub(crate) struct Faults {
    records: Vec<Record>,
    on: BTreeMap<Pair, Vec<FaultId>>,
    on_host: BTreeMap<u32, Vec<FaultId>>,
    /// Cut without a name.
    pub(super) cut_by_hand: BTreeSet<Pair>,
    pub(super) paused: BTreeSet<u32>,
    /// What links are like without any fault.
    pub(super) set: BTreeMap<Pair, LinkProfile>,
    dials: BTreeMap<Pair, Random>,
    /// Faults of a schedule that could not begin.
    pub(crate) refused: Vec<FaultError>,
    pub(crate) strays: Vec<Stray>,
    stray_ids: Vec<tokio::task::Id>,
}

impl Faults {
    pub(crate) const fn new() -> Self {
        Self {
            records: Vec::new(),
            on: BTreeMap::new(),
            on_host: BTreeMap::new(),
            cut_by_hand: BTreeSet::new(),
            paused: BTreeSet::new(),
            set: BTreeMap::new(),
            dials: BTreeMap::new(),
            refused: Vec::new(),
            strays: Vec::new(),
            stray_ids: Vec::new(),
        }
    }

    pub(crate) fn records(&self) -> &[Record] {
        &self.records
    }

    pub(super) fn add(&mut self, record: Record) -> FaultId {
        self.records.push(record);
        (self.records.len() - 1) as FaultId
    }

    pub(super) fn record(&mut self, id: FaultId) -> Option<&mut Record> {
        self.records.get_mut(id as usize)
    }

    pub(crate) fn hits(&self, id: FaultId) -> u64 {
        self.records.get(id as usize).map_or(0, |record| record.hits)
    }

    /// Puts a fault where it stands.
    pub(super) fn begin(&mut self, now: Nanos, id: FaultId) -> Option<Spec> {
        let record = self.record(id)?;
        record.began = Some(now);
        let spec = record.spec.clone()?;
        for pair in spec.pairs() {
            self.on.entry(pair).or_default().push(id);
        }
        if spec.to.is_empty() {
            for &host in &spec.from {
                self.on_host.entry(host).or_default().push(id);
            }
        }
        Some(spec)
    }

    /// Takes it away. `None` if it does not stand.
    pub(super) fn finish(&mut self, now: Nanos, id: FaultId) -> Option<Spec> {
        let record = self.record(id)?;
        if record.began.is_none() || record.ended.is_some() {
            return None;
        }
        record.ended = Some(now);
        let spec = record.spec.clone()?;
        for pair in spec.pairs() {
            remove(&mut self.on, &pair, id);
        }
        for host in &spec.from {
            remove(&mut self.on_host, host, id);
        }
        Some(spec)
    }

    pub(crate) fn stands(&self, pair: Pair, which: impl Fn(&Effect) -> bool) -> bool {
        self.on.get(&pair).is_some_and(|ids| ids.iter().any(|&id| self.does(id, &which)))
    }

    pub(super) fn stands_on_host(&self, host: u32, which: impl Fn(&Effect) -> bool) -> bool {
        self.on_host.get(&host).is_some_and(|ids| ids.iter().any(|&id| self.does(id, &which)))
    }

    fn does(&self, id: FaultId, which: impl Fn(&Effect) -> bool) -> bool {
        let spec = self.records.get(id as usize).and_then(|record| record.spec.as_ref());
        spec.is_some_and(|spec| which(&spec.effect))
    }

    /// Counts `hits` for every fault of this sort that stands on a direction.
    pub(crate) fn hit(&mut self, pair: Pair, which: impl Fn(&Effect) -> bool) {
        for id in self.on.get(&pair).cloned().unwrap_or_default() {
            self.count(id, 1, &which);
        }
    }

    pub(crate) fn hit_host(&mut self, host: u32, hits: u64, which: impl Fn(&Effect) -> bool) {
        for id in self.on_host.get(&host).cloned().unwrap_or_default() {
            self.count(id, hits, &which);
        }
    }

    fn count(&mut self, id: FaultId, hits: u64, which: impl Fn(&Effect) -> bool) {
        if self.does(id, which) {
            if let Some(record) = self.record(id) {
                record.hits += hits;
            }
        }
    }

    /// A packet goes over a link: counts it for the faults that change what links are like.
    pub(crate) fn pass(&mut self, route: Route) {
        if self.on.is_empty() {
            return;
        }
        self.hit((route.from_host, route.to_host), |effect| {
            matches!(effect, Effect::Bandwidth(_) | Effect::Degrade(_) | Effect::Profile(_))
        });
    }

    pub(crate) fn is_cut_by_hand(&self, pair: Pair) -> bool {
        self.cut_by_hand.contains(&pair)
    }

    /// The directions on which faults stand.
    pub(super) fn pairs(&self) -> Vec<Pair> {
        self.on.keys().copied().collect()
    }

    /// What a direction is like with its faults, of which every other is like `class`; `None`: like
    /// every other.
    pub(super) fn shaped(&self, pair: Pair, class: &LinkProfile) -> Option<LinkProfile> {
        let mut profile = self.set.get(&pair).cloned();
        for &id in self.on.get(&pair).into_iter().flatten() {
            let spec = self.records.get(id as usize).and_then(|record| record.spec.as_ref());
            let Some(spec) = spec else { continue };
            let before = profile.clone().unwrap_or_else(|| class.clone());
            match &spec.effect {
                Effect::Profile(other) => profile = Some(other.clone()),
                Effect::Degrade(degrade) => profile = Some(degrade.on(before)),
                Effect::Bandwidth(bandwidth) => profile = Some(bandwidth.on(before)),
                _ => {}
            }
        }
        profile
    }

    pub(super) fn dial_fails(&mut self, pair: Pair, random: impl FnOnce() -> Random) -> bool {
        if !self.stands(pair, |effect| matches!(effect, Effect::Connect(_))) {
            return false;
        }
        let mut fails = false;
        let random = self.dials.entry(pair).or_insert_with(random);
        for &id in self.on.get(&pair).into_iter().flatten() {
            let Some(record) = self.records.get_mut(id as usize) else { continue };
            let Some(Effect::Connect(share)) = record.spec.as_ref().map(|spec| &spec.effect) else {
                continue;
            };
            if random.happens(*share) {
                record.hits += 1;
                fails = true;
            }
        }
        fails
    }

    /// What a task is called. tokio counts tasks over the whole process; here they are counted from
    /// the first that was found, so that it is the same in every run.
    pub(crate) fn number_of(&mut self, task: tokio::task::Id) -> String {
        let found = self.stray_ids.iter().position(|id| *id == task);
        let number = found.unwrap_or_else(|| {
            self.stray_ids.push(task);
            self.stray_ids.len() - 1
        });
        format!("task {} of plain tokio::spawn", number + 1)
    }

    /// Counts a call of a task that is not the host's.
    pub(crate) fn stray(&mut self, host: u32, task: String) {
        let known = self.strays.iter_mut().find(|stray| stray.host == host && stray.task == task);
        match known {
            Some(stray) => stray.calls += 1,
            None => self.strays.push(Stray { host, task, calls: 1 }),
        }
    }
}

fn remove<K: Ord>(places: &mut BTreeMap<K, Vec<FaultId>>, place: &K, id: FaultId) {
    if let Some(ids) = places.get_mut(place) {
        ids.retain(|&standing| standing != id);
        if ids.is_empty() {
            places.remove(place);
        }
    }
}
