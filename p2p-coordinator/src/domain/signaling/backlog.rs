//! What is kept for a peer: the newest messages, by number.

use std::collections::VecDeque;

use bytes::Bytes;

use super::{Kind, Limits};

/// Numbered messages, of which those that may still be asked for are kept.
#[derive(Debug, Default)]
pub(super) struct Backlog {
    entries: VecDeque<Entry>,
    bytes: usize,
    /// The number of the last message.
    last: u64,
}

#[derive(Debug)]
pub(super) struct Entry {
    pub(super) number: u64,
    /// What it is, if a peer sent it.
    pub(super) kind: Option<Kind>,
    pub(super) text: Bytes,
}

impl Backlog {
    /// The number that the next message gets.
    pub(super) const fn next(&self) -> u64 {
        self.last + 1
    }

    pub(super) const fn last(&self) -> u64 {
        self.last
    }

    pub(super) fn has_room(&self, limits: &Limits, bytes: usize) -> bool {
        self.entries.len() < limits.backlog_messages && self.bytes + bytes <= limits.backlog_bytes
    }

    /// Keeps a message; the oldest make room for it.
    pub(super) fn push(&mut self, limits: &Limits, kind: Option<Kind>, text: Bytes) {
        self.last += 1;
        if text.len() > limits.backlog_bytes || limits.backlog_messages == 0 {
            return;
        }
        while !self.has_room(limits, text.len()) {
            let Some(oldest) = self.entries.pop_front() else { break };
            self.bytes -= oldest.text.len();
        }
        self.bytes += text.len();
        self.entries.push_back(Entry { number: self.last, kind, text });
    }

    /// A message is not kept; that there was one, its number tells.
    pub(super) const fn skip(&mut self) {
        self.last += 1;
    }

    /// The peer has all up to this number.
    pub(super) fn received(&mut self, number: u64) {
        while let Some(entry) = self.entries.front() {
            if entry.number > number {
                return;
            }
            self.bytes -= entry.text.len();
            self.entries.pop_front();
        }
        // A peer that has all takes up nothing.
        self.entries = VecDeque::new();
    }

    /// How many messages after this number are not kept any more.
    pub(super) fn missed_since(&self, number: u64) -> u64 {
        let kept = self.entries.iter().filter(|entry| entry.number > number).count() as u64;
        self.last.saturating_sub(number) - kept
    }

    pub(super) fn after(&self, number: u64) -> impl Iterator<Item = &Entry> {
        self.entries.iter().filter(move |entry| entry.number > number)
    }

    /// Takes out all of one kind.
    pub(super) fn take(&mut self, kind: Kind) -> Vec<Bytes> {
        let mut taken = Vec::new();
        self.entries.retain(|entry| {
            let stays = entry.kind != Some(kind);
            if !stays {
                taken.push(entry.text.clone());
            }
            stays
        });
        self.bytes -= taken.iter().map(Bytes::len).sum::<usize>();
        taken
    }

    #[cfg(test)]
    pub(super) fn size(&self) -> (usize, usize) {
        (self.entries.len(), self.bytes)
    }
}
