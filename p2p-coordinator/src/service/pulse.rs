//! Signs of life, kept for a moment and written many at once.
//!
//! A heartbeat changes one row and comes often. What it says is kept here until the next writing,
//! which writes the last of each host. Who reads hosts, to list them or to decide on them, has what is
//! kept written first, so that within a process nothing is seen late.
//!
//! A host that is a peer counts on its lease: it hears that it was heard when that is written. Of
//! other hosts, what was heard since the last writing is lost if the process ends without it; their
//! next heartbeat makes up for that. Other coordinators on the same store see a heartbeat once it is
//! written.
//!
//! A heartbeat is answered with its host as that is known here, so that it need not be read each time.
//! What this coordinator changes is forgotten at once; what others may have changed is known for one
//! interval, or for two where the store tells whether there were others ([`Store::others`]) and there
//! were none.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use p2p_coordinator_api::{HostId, Timestamp};
use tokio::sync::Notify;

use super::{Coordinator, Result};
use crate::domain::{Beat, Change, Changes, HostRecord, HostView, Row, RowId, Terms};
use crate::store::Store;

/// The most signs that are written in one go: others' writes come in between.
const PORTION: usize = 500;

/// Numbers of changes that a reading must not miss; hosts share them.
const MARKS: usize = 1024;

/// The most hosts that are known here; past it all are forgotten, and read again when they are heard.
/// With ids and names as long as they may be, some 100 MiB; with common ones, some 40.
const MAX_KNOWN: usize = 1 << 16;

#[derive(Debug)]
pub(super) struct Pulse {
    state: Mutex<State>,
    /// Whoever writes does so alone.
    writing: tokio::sync::Mutex<()>,
    /// There is something to write.
    waiting: Notify,
}

#[derive(Debug)]
struct State {
    /// Whether somebody writes from time to time; if not, each is written at once.
    running: bool,
    /// What is to be written, with the number at which it came.
    kept: BTreeMap<RowId, (u64, Beat)>,
    /// How many came, and up to which all are written.
    came: u64,
    written: u64,
    /// Hosts as they were read, with what was heard since, and when that was.
    known: BTreeMap<RowId, (Timestamp, HostView)>,
    /// Their numbers.
    numbers: BTreeMap<HostId, RowId>,
    /// What the store said of others when it was last asked, and when that was.
    others: Option<u64>,
    checked: Option<Timestamp>,
    marks: Box<[u64]>,
}

impl State {
    /// Notes a sign of a host that is known, if it is known well enough and `may` allows it: gives the
    /// host with that.
    fn hear<E>(
        &mut self,
        beat: &Beat,
        terms: &Terms,
        interval: Duration,
        may: impl FnOnce(&HostRecord) -> std::result::Result<(), E>,
    ) -> std::result::Result<Option<HostView>, E> {
        let number = self.numbers.get(&beat.host).filter(|_| self.running);
        let Some((read, view)) = number.and_then(|number| self.known.get_mut(number)) else {
            return Ok(None);
        };
        let unchanged = self.checked.is_some_and(|at| beat.heard.since(at) < interval * 2);
        if !unchanged && beat.heard.since(*read) >= interval {
            return Ok(None);
        }
        may(&view.row.value)?;
        view.row.value.hear(beat, terms);
        let view = view.clone();
        self.keep(view.row.id, beat);
        Ok(Some(view))
    }

    fn keep(&mut self, host: RowId, beat: &Beat) {
        self.came += 1;
        let newer = |(_, kept): &(u64, Beat)| kept.heard > beat.heard;
        if !self.kept.get(&host).is_some_and(newer) {
            self.kept.insert(host, (self.came, beat.clone()));
        }
    }

    fn know(&mut self, read: Timestamp, view: HostView) {
        if self.known.len() >= MAX_KNOWN && !self.known.contains_key(&view.row.id) {
            self.forget_all();
        }
        self.numbers.insert(view.row.value.host_id.clone(), view.row.id);
        self.known.insert(view.row.id, (read, view));
    }

    fn forget_all(&mut self) {
        self.known.clear();
        self.numbers.clear();
    }

    /// Takes hosts as a writing left them, unless they may have changed since.
    fn renew(
        &mut self,
        (read, marks): &(Timestamp, Box<[u64]>),
        written: &[Beat],
        views: Vec<HostView>,
        terms: &Terms,
    ) {
        let mut gone: BTreeSet<&HostId> = written.iter().map(|beat| &beat.host).collect();
        for mut view in views {
            gone.remove(&view.row.value.host_id);
            let id = view.row.id;
            if marks[mark(id)] != self.marks[mark(id)] {
                continue;
            }
            if let Some(known) = self.known.get_mut(&id) {
                if let Some((_, beat)) = self.kept.get(&id) {
                    view.row.value.hear(beat, terms);
                }
                *known = (*read, view);
            }
        }
        for host in gone {
            if let Some(id) = self.numbers.remove(host) {
                self.known.remove(&id);
            }
        }
    }
}

impl Pulse {
    pub(super) fn new() -> Self {
        let state = State {
            running: false,
            kept: BTreeMap::new(),
            came: 0,
            written: 0,
            known: BTreeMap::new(),
            numbers: BTreeMap::new(),
            others: None,
            checked: None,
            marks: vec![0; MARKS].into(),
        };
        Self {
            state: Mutex::new(state),
            writing: tokio::sync::Mutex::new(()),
            waiting: Notify::new(),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Each change of it is whole when a panic could happen.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes that hosts, or what was placed on them, are about to change, or have changed: what was
    /// read before is not to be shown any more.
    pub(super) fn forget(&self, hosts: &BTreeSet<RowId>) {
        let mut state = self.state();
        for host in hosts {
            state.marks[mark(*host)] += 1;
            state.known.remove(host);
        }
    }

    /// Adds to a host that was read what was heard of it since it was written.
    pub(super) fn overlay(&self, view: &mut HostView, terms: &Terms) {
        if let Some((_, beat)) = self.state().kept.get(&view.row.id) {
            view.row.value.hear(beat, terms);
        }
    }
}

fn mark(host: RowId) -> usize {
    usize::try_from(host.unsigned_abs() % MARKS as u64).unwrap_or(0)
}

/// Which hosts changes touch, as far as anybody knows them.
pub(super) fn touched(changes: &Changes) -> BTreeSet<RowId> {
    let hosts = changes.hosts.iter().filter_map(|change| match change {
        Change::Insert(_) => None,
        Change::Update(Row { id, .. }) | Change::Delete { id, .. } => Some(*id),
    });
    let sessions = changes.sessions.iter().filter_map(|change| match change {
        Change::Insert(value) | Change::Update(Row { value, .. }) => Some(value.host),
        Change::Delete { .. } => None,
    });
    hosts.chain(sessions).chain(changes.held.iter().map(|(id, _)| *id)).collect()
}

impl<S: Store> Coordinator<S> {
    /// Writes what heartbeats said, every [`Settings::heartbeat_interval`](super::Settings), for as
    /// long as it is polled. Without it each heartbeat is written before it is answered.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future leaves what was not written to [`settle`](Self::settle).
    pub async fn write_heartbeats(&self) {
        let pulse = &self.inner.pulse;
        pulse.state().running = true;
        let _stops = Stops(pulse);
        let interval = self.settings().heartbeat_interval;
        loop {
            pulse.waiting.notified().await;
            tokio::time::sleep(interval).await;
            if let Err(error) = self.settle().await {
                self.note(&error);
                tracing::error!(
                    error = &error as &dyn std::error::Error,
                    "cannot write heartbeats; trying again"
                );
                // Whoever is heard next, or this, tries again.
                pulse.waiting.notify_one();
            }
            self.check_others(interval).await;
        }
    }

    /// Forgets what others may have changed.
    async fn check_others(&self, interval: Duration) {
        let (now, others) = (self.now(), self.store().others().await.unwrap_or(None));
        let state = &mut *self.inner.pulse.state();
        match others {
            Some(_) if others == state.others => state.checked = Some(now),
            Some(_) => {
                state.forget_all();
                (state.others, state.checked) = (others, Some(now));
            }
            None => {
                state.checked = None;
                state.known.retain(|_, (read, _)| now.since(*read) < interval);
            }
        }
        // Those that were forgotten one by one are many only after a while.
        if state.numbers.len() > state.known.len() + MARKS {
            state.numbers.retain(|_, number| state.known.contains_key(number));
        }
    }

    /// Waits until all is written that heartbeats have said so far.
    ///
    /// # Errors
    ///
    /// [`ServiceError::Store`](super::ServiceError); then it is still to be written.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses nothing: what was not written is still to be.
    pub async fn settle(&self) -> Result<()> {
        let pulse = &self.inner.pulse;
        let until = {
            let state = pulse.state();
            if state.kept.is_empty() {
                return Ok(());
            }
            state.came
        };
        let _alone = pulse.writing.lock().await;
        let (beats, all) = {
            let state = pulse.state();
            if state.written >= until {
                return Ok(());
            }
            let beats: Vec<Beat> = state.kept.values().map(|(_, beat)| beat.clone()).collect();
            (beats, state.came)
        };
        let terms = &self.settings().terms;
        for portion in beats.chunks(PORTION) {
            let before = (self.now(), pulse.state().marks.clone());
            let views = self.store().hear(portion.to_vec(), terms).await?;
            pulse.state().renew(&before, portion, views, terms);
        }
        let mut state = pulse.state();
        state.written = all;
        state.kept.retain(|_, (number, _)| *number > all);
        Ok(())
    }

    /// Keeps what a host said, if whoever asks may speak for it, and how it is known with that: whether
    /// it is there at all.
    pub(super) async fn keep(&self, beat: Beat) -> Result<HostView> {
        let (pulse, terms) = (&self.inner.pulse, &self.settings().terms);
        let interval = self.settings().heartbeat_interval;
        let may = |host: &HostRecord| self.caller.may_speak_for(host);
        let known = pulse.state().hear(&beat, terms, interval, may)?;
        let view = match known {
            Some(view) => view,
            None => self.keep_unknown(&beat).await?,
        };
        if view.row.value.peer.is_some() || !pulse.state().running {
            self.settle().await?;
            self.inner.tally.written.add_one();
        } else {
            self.inner.tally.absorbed.add_one();
            pulse.waiting.notify_one();
        }
        Ok(view)
    }

    /// The same for a host that has to be read first.
    async fn keep_unknown(&self, beat: &Beat) -> Result<HostView> {
        let pulse = &self.inner.pulse;
        let marks = pulse.state().marks.clone();
        let mut view = self.known_host(&beat.host).await?;
        self.caller.may_speak_for(&view.row.value)?;
        view.row.value.hear(beat, &self.settings().terms);
        let (state, host) = (&mut *pulse.state(), view.row.id);
        if state.running && marks[mark(host)] == state.marks[mark(host)] {
            state.know(beat.heard, view.clone());
        }
        state.keep(host, beat);
        Ok(view)
    }
}

struct Stops<'a>(&'a Pulse);

impl Drop for Stops<'_> {
    fn drop(&mut self) {
        let mut state = self.0.state();
        state.running = false;
        state.forget_all();
    }
}
