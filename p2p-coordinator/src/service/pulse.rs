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

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use p2p_coordinator_api::{HostId, Timestamp};
use tokio::sync::Notify;

use super::{Coordinator, Result};
use crate::domain::{Beat, Change, Changes, HostView, Row, RowId, Terms};
use crate::store::Store;

/// The most signs that are written in one go: others' writes come in between.
const PORTION: usize = 500;

/// Numbers of changes that a reading must not miss; hosts share them.
const MARKS: usize = 1024;

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
    kept: BTreeMap<HostId, (u64, Beat)>,
    /// How many came, and up to which all are written.
    came: u64,
    written: u64,
    /// Hosts as they were read, with what was heard since, and when that was.
    known: BTreeMap<RowId, (Timestamp, HostView)>,
    /// Their numbers.
    numbers: BTreeMap<HostId, RowId>,
    marks: Box<[u64]>,
}

impl State {
    fn known(&self, host: &HostId) -> Option<&(Timestamp, HostView)> {
        self.known.get(self.numbers.get(host)?)
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
        if let Some((_, beat)) = self.state().kept.get(&view.row.value.host_id) {
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
    hosts.chain(sessions).collect()
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
            let now = self.now();
            let state = &mut *pulse.state();
            state.known.retain(|_, (read, _)| now.since(*read) < interval);
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
        for portion in beats.chunks(PORTION) {
            self.store().hear(portion.to_vec(), &self.settings().terms).await?;
        }
        let mut state = pulse.state();
        state.written = all;
        state.kept.retain(|_, (number, _)| *number > all);
        Ok(())
    }

    /// Keeps what a host said, if whoever asks may speak for it, and how it is known with that: whether
    /// it is there at all.
    pub(super) async fn keep(&self, beat: Beat) -> Result<HostView> {
        let (pulse, terms) = (&self.inner.pulse, self.settings().terms);
        let (running, known, marks) = {
            let state = pulse.state();
            let interval = self.settings().heartbeat_interval;
            let known = state.known(&beat.host).filter(|_| state.running);
            let fresh = known.filter(|(read, _)| beat.heard.since(*read) < interval).cloned();
            // To be compared only if the host is read now.
            let marks = if fresh.is_none() { state.marks.clone() } else { Box::default() };
            (state.running, fresh, marks)
        };
        let is_known = known.is_some();
        let (read, mut view) = match known {
            Some(known) => known,
            None => (beat.heard, self.known_host(&beat.host).await?),
        };
        self.caller.may_speak_for(&view.row.value)?;
        view.row.value.hear(&beat, &terms);
        let is_peer = view.row.value.peer.is_some();
        {
            let state = &mut *pulse.state();
            let host = view.row.id;
            let still = if is_known {
                state.known.contains_key(&host)
            } else {
                running && marks[mark(host)] == state.marks[mark(host)]
            };
            if still {
                state.known.insert(host, (read, view.clone()));
                state.numbers.insert(beat.host.clone(), host);
            }
            state.came += 1;
            let number = state.came;
            let newer = |(_, kept): &(u64, Beat)| kept.heard > beat.heard;
            if !state.kept.get(&beat.host).is_some_and(newer) {
                state.kept.insert(beat.host.clone(), (number, beat));
            }
        }
        if is_peer || !running {
            self.settle().await?;
            self.inner.tally.written.add_one();
        } else {
            self.inner.tally.absorbed.add_one();
            pulse.waiting.notify_one();
        }
        Ok(view)
    }
}

struct Stops<'a>(&'a Pulse);

impl Drop for Stops<'_> {
    fn drop(&mut self) {
        let mut state = self.0.state();
        state.running = false;
        state.known.clear();
        state.numbers.clear();
    }
}
