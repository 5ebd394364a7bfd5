//! What a group of commits comes to: a pure function of the commits and of what the database has.
//!
//! Commits that wait together are written together. Each is checked against the rows as they are,
//! locked, and as those before it in the group will have left them; one that conflicts is left out and
//! does not touch the others. Of a row that several write, the last is written.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use p2p_coordinator_api::{PlayerId, SessionName};

use super::columns::{Entry, Tabled};
use crate::domain::session::Hold;
use crate::domain::{
    Change, Changes, HostRecord, Row, RowId, SeatChange, SessionRecord, ZoneRecord,
};
use crate::security::GrantRecord;
use crate::store::StoreError;
use crate::store::tally::{Tally, Weight};

/// A commit with its records as they will be written.
#[derive(Clone, Debug, Default)]
pub(super) struct Commit {
    pub(super) hosts: Vec<Change<Entry<HostRecord>>>,
    pub(super) held: Vec<(RowId, u64)>,
    pub(super) zones: Vec<Change<Entry<ZoneRecord>>>,
    pub(super) sessions: Vec<Change<Entry<SessionRecord>>>,
    pub(super) seats: Vec<SeatChange>,
    pub(super) grants: Vec<Change<Entry<GrantRecord>>>,
}

impl Commit {
    pub(super) fn new(changes: Changes) -> Result<Self, StoreError> {
        Ok(Self {
            hosts: entries(changes.hosts)?,
            held: changes.held,
            zones: entries(changes.zones)?,
            sessions: entries(changes.sessions)?,
            seats: changes.seats,
            grants: entries(changes.grants)?,
        })
    }
}

fn entries<T: Tabled>(changes: Vec<Change<T>>) -> Result<Vec<Change<Entry<T>>>, StoreError> {
    let entry = |change| {
        Ok(match change {
            Change::Insert(value) => Change::Insert(Entry::new(value)?),
            Change::Update(Row { id, version, value }) => {
                Change::Update(Row { id, version, value: Entry::new(value)? })
            }
            Change::Delete { id, version } => Change::Delete { id, version },
        })
    };
    changes.into_iter().map(entry).collect()
}

/// A row that is there.
#[derive(Clone, Debug)]
pub(super) struct Stored<T> {
    pub(super) version: u64,
    pub(super) name: String,
    /// What else is to be known of it.
    pub(super) more: T,
}

/// A table as the database has it, as far as the group asks, and what becomes of it.
#[derive(Debug)]
pub(super) struct Table<R, T> {
    pub(super) stored: BTreeMap<RowId, Stored<T>>,
    /// Names that are to be new, and are not.
    pub(super) taken: BTreeSet<String>,
    pub(super) inserted: Vec<Entry<R>>,
    /// By number, in the version that is written.
    pub(super) updated: BTreeMap<RowId, (u64, Entry<R>)>,
    /// Rows of which the version alone is written.
    pub(super) held: BTreeMap<RowId, u64>,
    pub(super) deleted: BTreeSet<RowId>,
}

impl<R, T> Default for Table<R, T> {
    fn default() -> Self {
        Self {
            stored: BTreeMap::new(),
            taken: BTreeSet::new(),
            inserted: Vec::new(),
            updated: BTreeMap::new(),
            held: BTreeMap::new(),
            deleted: BTreeSet::new(),
        }
    }
}

impl<R: Tabled, T> Table<R, T> {
    fn version(&self, id: RowId) -> Option<u64> {
        if self.deleted.contains(&id) {
            return None;
        }
        let held = self.held.get(&id).copied();
        let written = held.or_else(|| self.updated.get(&id).map(|(version, _)| *version));
        written.or_else(|| self.stored.get(&id).map(|row| row.version))
    }

    /// Gives a row that stays what it is the version after this one.
    fn hold(&mut self, id: RowId, version: u64) {
        match self.updated.get_mut(&id) {
            Some((written, _)) => *written = version + 1,
            None => {
                self.held.insert(id, version + 1);
            }
        }
    }

    /// Whether each change is of what is there once those before it are made.
    fn check(&self, changes: &[Change<Entry<R>>]) -> bool {
        let mut names: BTreeMap<Cow<'_, str>, bool> = BTreeMap::new();
        let mut versions: BTreeMap<RowId, Option<u64>> = BTreeMap::new();
        changes.iter().all(|change| match change {
            Change::Insert(entry) => {
                let name = entry.value.name();
                let taken = names.get(&name).copied();
                let taken = taken.unwrap_or_else(|| self.taken.contains(&*name));
                names.insert(name, true);
                !taken
            }
            Change::Update(Row { id, version, .. }) | Change::Delete { id, version } => {
                let found = versions.get(id).copied().unwrap_or_else(|| self.version(*id));
                let kept = matches!(change, Change::Update(_));
                versions.insert(*id, kept.then(|| *version + 1));
                if let (Some(row), false) = (self.stored.get(id), kept) {
                    names.insert(row.name.as_str().into(), false);
                }
                found == Some(*version)
            }
        })
    }

    /// Makes a change that was found right. The row that is written, if it is kept.
    fn apply(&mut self, change: Change<Entry<R>>) -> Option<Written<R>> {
        match change {
            Change::Insert(entry) => {
                self.taken.insert(entry.value.name().into_owned());
                let value = entry.value.clone();
                self.inserted.push(entry);
                Some(Written { known: None, value })
            }
            Change::Update(Row { id, version, value: entry }) => {
                let value = entry.value.clone();
                self.updated.insert(id, (version + 1, entry));
                self.held.remove(&id);
                Some(Written { known: Some((id, version + 1)), value })
            }
            Change::Delete { id, .. } => {
                self.updated.remove(&id);
                self.held.remove(&id);
                self.deleted.insert(id);
                if let Some(row) = self.stored.get(&id) {
                    self.taken.remove(&row.name);
                }
                None
            }
        }
    }
}

/// A row as a commit wrote it; a new one has a number only when the database has given it.
#[derive(Debug)]
pub(super) struct Written<T> {
    pub(super) known: Option<(RowId, u64)>,
    pub(super) value: T,
}

/// What one commit wrote.
#[derive(Debug, Default)]
pub(super) struct Outcome {
    pub(super) hosts: Vec<Written<HostRecord>>,
    pub(super) zones: Vec<Written<ZoneRecord>>,
    pub(super) sessions: Vec<Written<SessionRecord>>,
}

/// Where a player is, or will be.
#[derive(Debug)]
pub(super) struct SeatNow {
    /// In what session.
    pub(super) session: Option<SessionName>,
    pub(super) hold: Option<Hold>,
    /// Whether it is another place than before, at the end of the order: which in that.
    pub(super) moved: Option<u64>,
    /// Whether anything is to be written.
    pub(super) changed: bool,
}

/// All that the group is about.
#[derive(Debug, Default)]
pub(super) struct Group {
    pub(super) hosts: Table<HostRecord, ()>,
    pub(super) zones: Table<ZoneRecord, ()>,
    pub(super) sessions: Table<SessionRecord, Weight>,
    pub(super) seats: BTreeMap<PlayerId, SeatNow>,
    pub(super) grants: Table<GrantRecord, ()>,
    moves: u64,
}

impl Group {
    /// Takes a commit in, all of it or, if it conflicts, nothing.
    pub(super) fn take(&mut self, commit: Commit) -> Option<Outcome> {
        let is_held = |(id, version): &(RowId, u64)| self.hosts.version(*id) == Some(*version);
        let fits = self.hosts.check(&commit.hosts)
            && commit.held.iter().all(is_held)
            && self.zones.check(&commit.zones)
            && self.sessions.check(&commit.sessions)
            && self.check_seats(&commit.seats)
            && self.grants.check(&commit.grants);
        if !fits {
            return None;
        }
        for (id, version) in commit.held {
            self.hosts.hold(id, version);
        }
        for change in commit.seats {
            self.seat(change);
        }
        for change in commit.grants {
            self.grants.apply(change);
        }
        Some(Outcome {
            hosts: commit.hosts.into_iter().filter_map(|row| self.hosts.apply(row)).collect(),
            zones: commit.zones.into_iter().filter_map(|row| self.zones.apply(row)).collect(),
            sessions: commit
                .sessions
                .into_iter()
                .filter_map(|row| self.sessions.apply(row))
                .collect(),
        })
    }

    fn check_seats(&self, seats: &[SeatChange]) -> bool {
        let mut moved: BTreeMap<&PlayerId, Option<&SessionName>> = BTreeMap::new();
        seats.iter().all(|SeatChange { player, from, to }| {
            let stored = || self.seats.get(player).and_then(|seat| seat.session.as_ref());
            let found = moved.get(player).copied().unwrap_or_else(stored);
            moved.insert(player, to.as_ref().map(|(session, _)| session));
            found == from.as_ref()
        })
    }

    fn seat(&mut self, SeatChange { player, from, to }: SeatChange) {
        let (session, hold) = to.unzip();
        let stays = session.is_some() && session == from;
        if !stays {
            self.moves += 1;
        }
        let before = self.seats.get(&player).and_then(|seat| seat.moved);
        let moved = if stays { before } else { Some(self.moves) };
        let hold = hold.flatten();
        self.seats.insert(player, SeatNow { session, hold, moved, changed: true });
    }

    /// Whether anything is to be written.
    pub(super) fn is_empty(&self) -> bool {
        fn still<R, T>(table: &Table<R, T>) -> bool {
            table.inserted.is_empty()
                && table.updated.is_empty()
                && table.held.is_empty()
                && table.deleted.is_empty()
        }
        still(&self.hosts)
            && still(&self.zones)
            && still(&self.sessions)
            && !self.seats.values().any(|seat| seat.changed)
            && still(&self.grants)
    }

    /// What is to be counted with the sessions that change.
    pub(super) fn tally(&self) -> Tally {
        let mut tally = Tally::default();
        let before = |id| self.sessions.stored.get(id).map(|row| row.more);
        for (id, (_, entry)) in &self.sessions.updated {
            tally.note(before(id), Some(Weight::of(&entry.value)));
        }
        for id in &self.sessions.deleted {
            tally.note(before(id), None);
        }
        for entry in &self.sessions.inserted {
            tally.note(None, Some(Weight::of(&entry.value)));
        }
        tally
    }
}
