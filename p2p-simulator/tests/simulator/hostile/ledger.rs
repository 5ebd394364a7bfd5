//! What was sent and received by whom, seen from outside.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use p2p_core::{CloseCause, ClosedBy, ConnectionState, Priority};

use super::plan::{Plan, Side};

const LANES: usize = Priority::COUNT;

/// One side's end of a connection, as it is named in its messages.
pub(super) type Tag = u32;

#[derive(Debug)]
struct End {
    side: Side,
    /// The other side's end, known from its messages.
    peer: Option<Tag>,
    sent: [u64; LANES],
    received: [u64; LANES],
    /// Its process crashed, or its program left early.
    gone: bool,
    state: Option<ConnectionState>,
}

pub(super) struct Ledger {
    ends: Mutex<BTreeMap<Tag, End>>,
    /// In each lane, from each side.
    messages: u64,
    stopped: AtomicBool,
}

impl fmt::Debug for Ledger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.ends().iter()).finish()
    }
}

impl Ledger {
    pub(super) fn new(messages: u64) -> Self {
        Self { ends: Mutex::default(), messages, stopped: AtomicBool::new(false) }
    }

    fn ends(&self) -> std::sync::MutexGuard<'_, BTreeMap<Tag, End>> {
        self.ends.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// A connection's end is there.
    pub(super) fn add(&self, side: Side) -> Tag {
        let mut ends = self.ends();
        let tag = ends.len() as Tag;
        let (sent, received) = ([0; LANES], [0; LANES]);
        ends.insert(tag, End { side, peer: None, sent, received, gone: false, state: None });
        tag
    }

    pub(super) fn on_sent(&self, tag: Tag, lane: usize) {
        self.ends().get_mut(&tag).expect("added").sent[lane] += 1;
    }

    /// The message is the next of its lane and of the one peer, or something is wrong.
    pub(super) fn on_received(
        &self,
        tag: Tag,
        lane: usize,
        from: Tag,
        number: u64,
    ) -> Result<(), String> {
        let mut ends = self.ends();
        if let Some((other, _)) = ends.iter().find(|(t, end)| **t != tag && end.peer == Some(from))
        {
            return Err(format!("end {tag} hears of {from}, whose peer is {other}"));
        }
        let end = ends.get_mut(&tag).expect("added");
        if *end.peer.get_or_insert(from) != from {
            return Err(format!("end {tag} hears of {from}, and heard of {:?}", end.peer));
        }
        if end.received[lane] != number {
            let next = end.received[lane];
            return Err(format!("end {tag}, lane {lane}: {number} came, where {next} is next"));
        }
        end.received[lane] += 1;
        Ok(())
    }

    pub(super) fn on_end(&self, tag: Tag, state: ConnectionState) {
        self.ends().get_mut(&tag).expect("added").state = Some(state);
    }

    pub(super) fn gone(&self, tag: Tag) {
        self.ends().get_mut(&tag).expect("added").gone = true;
    }

    pub(super) fn crashed(&self, side: Side) {
        self.ends().values_mut().filter(|end| end.side == side).for_each(|end| end.gone = true);
    }

    /// Whether nothing is expected to happen any more: every end has all, or is over.
    pub(super) fn is_settled(&self) -> bool {
        let ends = self.ends();
        let all = [self.messages; LANES];
        let settled =
            |end: &End| end.gone || end.state.is_some() || end.sent == all && end.received == all;
        ends.values().any(|end| {
            end.side == Side::Alice && end.peer.is_some() | end.state.is_some() | end.gone
        }) && ends.values().all(settled)
    }

    /// Everybody may close.
    pub(super) fn stop(&self) {
        self.stopped.store(true, Ordering::Relaxed);
    }

    pub(super) fn is_stopped(&self) -> bool {
        self.stopped.load(Ordering::Relaxed)
    }

    /// What must be true in the end.
    pub(super) fn check(&self, plan: &Plan) -> Result<(), String> {
        let ends = self.ends();
        let leaves = plan.sides.iter().any(|habits| habits.leaves.is_some());
        for (tag, end) in ends.iter() {
            let peer = end.peer.and_then(|peer| ends.get(&peer));
            if let Some(peer) = peer {
                for lane in 0..LANES {
                    if end.received[lane] > peer.sent[lane] + 1 {
                        return Err(format!("end {tag} received more than was sent"));
                    }
                }
            }
            if let Some(ConnectionState::Lost(lost)) = &end.state {
                for (lane, account) in lost.lanes.iter().enumerate() {
                    let ordered = account.acknowledged <= account.unknown
                        && account.unknown <= account.never_sent
                        && account.never_sent == end.sent[lane];
                    if !ordered {
                        return Err(format!("end {tag}, lane {lane}: the account is {account:?}"));
                    }
                    let Some(peer) = peer else { continue };
                    let early = account.acknowledged > peer.received[lane] && !peer.gone;
                    if early || peer.received[lane] > account.unknown {
                        let got = peer.received[lane];
                        return Err(format!("end {tag}, lane {lane}: {got} came, {account:?}"));
                    }
                }
                // Who closes without a link is not heard.
                let closed = peer.is_some_and(|peer| {
                    matches!(&peer.state, Some(ConnectionState::Closed(reason))
                        if reason.by == ClosedBy::Local)
                });
                if plan.crash.is_none() && !leaves && !closed {
                    return Err(format!("end {tag} is lost: {}", lost.reason));
                }
            }
            let untroubled = plan.crash.is_none() && !leaves;
            if untroubled && (end.sent != end.received || end.sent != [self.messages; LANES]) {
                return Err(format!("end {tag} has not all"));
            }
            if let (true, Some(ConnectionState::Closed(reason))) = (untroubled, &end.state) {
                let fine = reason.cause == CloseCause::Application(7);
                if !fine || reason.by == ClosedBy::Network {
                    return Err(format!("end {tag} ended so: {reason}"));
                }
            }
        }
        Ok(())
    }
}
