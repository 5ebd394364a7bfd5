//! Whatever peers do in whatever order, what the module promises holds.

use std::collections::BTreeMap;
use std::time::Duration;

use p2p_coordinator_api::Timestamp;
use proptest::collection::vec;
use proptest::prelude::*;
use serde_json::Value;

use super::*;

const NAMES: [&str; 5] = ["a", "b", "c", "d", "e"];
const ROOMS: [&str; 3] = ["r", "s", "t"];

#[derive(Clone, Copy, Debug)]
enum Step {
    /// With a token to come back with, or without.
    Connect {
        who: usize,
        resumes: bool,
    },
    Break {
        who: usize,
    },
    Join {
        who: usize,
        room: usize,
    },
    Leave {
        who: usize,
    },
    Send {
        who: usize,
        to: usize,
    },
    Post {
        who: usize,
        to: usize,
        room: usize,
    },
    Collect {
        who: usize,
        room: usize,
    },
    Overflow {
        who: usize,
    },
    Wait {
        millis: u64,
    },
}

fn steps() -> impl Strategy<Value = Step> {
    let (who, room) = (0..NAMES.len(), 0..ROOMS.len());
    prop_oneof![
        3 => (who.clone(), any::<bool>()).prop_map(|(who, resumes)| Step::Connect { who, resumes }),
        1 => who.clone().prop_map(|who| Step::Break { who }),
        4 => (who.clone(), room.clone()).prop_map(|(who, room)| Step::Join { who, room }),
        1 => who.clone().prop_map(|who| Step::Leave { who }),
        8 => (who.clone(), who.clone()).prop_map(|(who, to)| Step::Send { who, to }),
        2 => (who.clone(), who.clone(), room.clone())
            .prop_map(|(who, to, room)| Step::Post { who, to, room }),
        1 => (who.clone(), room).prop_map(|(who, room)| Step::Collect { who, room }),
        1 => who.prop_map(|who| Step::Overflow { who }),
        1 => (0_u64..800).prop_map(|millis| Step::Wait { millis }),
    ]
}

fn limits() -> Limits {
    let mut limits = Limits::default();
    (limits.peers, limits.members) = (4, 3);
    (limits.backlog_messages, limits.backlog_bytes) = (5, 400);
    limits.grace = Duration::from_millis(500);
    limits.mailbox = Duration::from_millis(700);
    limits
}

/// Peers as they see it, beside the hub.
struct World {
    hub: Hub,
    now: Timestamp,
    lines: BTreeMap<usize, ConnectionId>,
    tokens: BTreeMap<usize, ResumeToken>,
    /// Who has which number of the last message.
    received: BTreeMap<usize, u64>,
    sent: u64,
    /// The last number that each has had from each.
    heard: BTreeMap<(usize, usize), u64>,
}

impl World {
    fn new() -> Self {
        let hub = Hub::new(limits(), Reach::Room);
        let now = Timestamp::from_millis(1_000_000);
        let (lines, tokens, received) = Default::default();
        Self { hub, now, lines, tokens, received, sent: 0, heard: BTreeMap::new() }
    }

    fn step(&mut self, step: Step) -> Result<(), TestCaseError> {
        let mut effects = Vec::new();
        self.hub.expire(self.now, &mut effects);
        match step {
            Step::Wait { millis } => {
                self.now = self.now.after(Duration::from_millis(millis));
                self.hub.expire(self.now, &mut effects);
            }
            Step::Connect { who, resumes } => self.connect(who, resumes, &mut effects),
            Step::Break { who } => {
                if let Some(line) = self.lines.remove(&who) {
                    self.hub.disconnected(self.now, line, &mut effects);
                }
            }
            Step::Overflow { who } => {
                if let Some(&line) = self.lines.get(&who) {
                    self.hub.overflowed(self.now, line, &mut effects);
                }
            }
            Step::Join { who, room } => {
                if let Some(&line) = self.lines.get(&who) {
                    let _ = self.hub.join(self.now, line, ROOMS[room], "1", &mut effects);
                }
            }
            Step::Leave { who } => {
                if let Some(&line) = self.lines.get(&who) {
                    self.hub.leave(line, &mut effects);
                }
            }
            Step::Send { who, to } => {
                if let Some(&line) = self.lines.get(&who) {
                    let payload = self.next();
                    let message = message(to, &payload);
                    let before = (effects.len(), self.kept(to));
                    let outcome = self.hub.send(self.now, line, &message, &mut effects);
                    self.is_answered(to, before, outcome, &effects)?;
                }
            }
            Step::Post { who, to, room } => {
                let visit = self.hub.visit(self.now, NAMES[who], false, ROOMS[room], &mut effects);
                if let Ok(id) = visit {
                    let payload = self.next();
                    let message = message(to, &payload);
                    let before = (effects.len(), self.kept(to));
                    let outcome = self.hub.post(self.now, id, &message, &mut effects);
                    self.is_answered(to, before, outcome, &effects)?;
                }
            }
            Step::Collect { who, room } => {
                let visit = self.hub.visit(self.now, NAMES[who], false, ROOMS[room], &mut effects);
                if let Ok(id) = visit {
                    for text in self.hub.collect(id, Kind::Offer) {
                        self.hears(who, &text, true)?;
                    }
                }
            }
        }
        self.take(&effects)?;
        self.is_bounded()
    }

    fn connect(&mut self, who: usize, resumes: bool, effects: &mut Vec<Effect>) {
        let seed = u8::try_from(self.sent % 251).unwrap_or(0);
        let resume = resumes.then(|| Resume {
            shown: self.tokens.get(&who).copied(),
            received: self.received.get(&who).copied(),
            fresh: ResumeToken::from_bytes([seed; 16]),
        });
        self.sent += 1;
        let arrival = Arrival { peer: NAMES[who], proven: false, resume };
        let Ok(line) = self.hub.connect(self.now, &arrival, effects) else { return };
        self.lines.insert(who, line);
        if let Some(resume) = resume {
            let is_known = effects.iter().any(|effect| {
                matches!(effect, Effect::Deliver { to, text }
                    if *to == line && text.starts_with(b"{\"type\":\"resumed\""))
            });
            if !is_known {
                self.tokens.insert(who, resume.fresh);
                self.received.remove(&who);
            }
        }
    }

    /// Numbers, so that order shows.
    fn next(&mut self) -> String {
        self.sent += 1;
        self.sent.to_string()
    }

    /// What lies there for a peer.
    fn kept(&self, who: usize) -> Option<u64> {
        let peer = self.hub.peers.get(self.hub.names.get(NAMES[who])?)?;
        match (&peer.link, &peer.resumable) {
            (peer::Link::Mailbox { mail, .. }, _) => Some(mail.last()),
            (_, Some(resumable)) => Some(resumable.backlog.last()),
            _ => None,
        }
    }

    /// Each message goes to a connection, is kept, or is answered: one of the three.
    fn is_answered(
        &self,
        to: usize,
        (effects_before, kept_before): (usize, Option<u64>),
        outcome: Result<Delivery, Undeliverable>,
        effects: &[Effect],
    ) -> Result<(), TestCaseError> {
        let went = effects.len() > effects_before;
        let kept = self.kept(to) > kept_before;
        prop_assert_eq!(outcome.is_ok(), went || kept);
        Ok(())
    }

    fn take(&mut self, effects: &[Effect]) -> Result<(), TestCaseError> {
        for effect in effects {
            match effect {
                Effect::Deliver { to, text } => {
                    let who = self.lines.iter().find(|(_, line)| *line == to).map(|(who, _)| *who);
                    // A connection of which we have just heard that it is closed hears no more.
                    if let Some(who) = who {
                        self.hears(who, text, false)?;
                    }
                }
                Effect::Close { connection, .. } => self.lines.retain(|_, line| line != connection),
            }
        }
        Ok(())
    }

    fn hears(&mut self, who: usize, text: &[u8], mail: bool) -> Result<(), TestCaseError> {
        let said: Value = serde_json::from_slice(text).expect("what is sent is JSON");
        if let Some(seq) = said["seq"].as_u64().filter(|_| said["type"] != "resumed") {
            let last = self.received.insert(who, seq);
            prop_assert!(last.is_none_or(|last| last < seq), "once and in order: {said}");
        }
        if said["type"] == "offer" {
            let from = NAMES.iter().position(|name| said["from"] == *name).expect("a peer");
            let number = said["sdp"].as_u64().expect("a number");
            let last = self.heard.insert((who, from), number);
            prop_assert!(last.is_none_or(|last| last < number), "in order: {said} mail {mail}");
        }
        Ok(())
    }

    fn is_bounded(&self) -> Result<(), TestCaseError> {
        let limits = self.hub.limits;
        prop_assert!(self.hub.peers.len() <= limits.peers);
        prop_assert_eq!(self.hub.peers.len(), self.hub.names.len());
        let away = self.hub.peers.values().filter(|peer| peer.until().is_some()).count();
        prop_assert_eq!(self.hub.deadlines.len(), away);
        prop_assert_eq!(self.hub.connections.len(), self.hub.peers.len() - away);
        for peer in self.hub.peers.values() {
            let backlog = match (&peer.link, &peer.resumable) {
                (peer::Link::Mailbox { mail, .. }, _) => Some(&**mail),
                (_, resumable) => resumable.as_ref().map(|resumable| &resumable.backlog),
            };
            let (messages, bytes) = backlog.map_or((0, 0), backlog::Backlog::size);
            prop_assert!(messages <= limits.backlog_messages && bytes <= limits.backlog_bytes);
            let members = peer.room().map_or(0, |room| self.hub.rooms.members(room).len());
            prop_assert!(members <= limits.members);
        }
        Ok(())
    }
}

fn message(to: usize, payload: &str) -> Outgoing<'_> {
    Outgoing { kind: Kind::Offer, to: NAMES[to], payload }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..Default::default() })]

    #[test]
    fn order_bounds_and_answers_hold_whatever_peers_do(steps in vec(steps(), 1..120)) {
        let mut world = World::new();
        for step in steps {
            world.step(step)?;
        }
        // When all are gone for long enough, nothing is left.
        let lines: Vec<_> = world.lines.values().copied().collect();
        let mut effects = Vec::new();
        for line in lines {
            world.hub.disconnected(world.now, line, &mut effects);
        }
        world.hub.expire(world.now.after(Duration::from_secs(10)), &mut effects);
        prop_assert_eq!(world.hub.counts(), (0, 0));
        prop_assert!(world.hub.peers.is_empty() && world.hub.deadlines.is_empty());
    }

    #[test]
    fn no_message_crosses_rooms(
        places in vec(proptest::option::of(0..ROOMS.len()), NAMES.len()),
        moves in vec((0..NAMES.len(), 0..ROOMS.len()), 0..10),
    ) {
        let mut limits = limits();
        (limits.peers, limits.members) = (NAMES.len(), NAMES.len());
        let mut hub = Hub::new(limits, Reach::Room);
        let now = Timestamp::from_millis(0);
        let mut effects = Vec::new();
        let mut places = places;
        let lines: Vec<_> = NAMES.iter().map(|peer| {
            let arrival = Arrival { peer, proven: true, resume: None };
            hub.connect(now, &arrival, &mut effects).expect("there is room")
        }).collect();
        let first = places.clone().into_iter().enumerate();
        let first: Vec<_> = first.filter_map(|(who, room)| Some((who, room?))).collect();
        for (who, room) in first.into_iter().chain(moves) {
            hub.join(now, lines[who], ROOMS[room], "1", &mut effects).expect("there is room");
            places[who] = Some(room);
        }
        for from in 0..NAMES.len() {
            for to in 0..NAMES.len() {
                effects.clear();
                let sent = hub.send(now, lines[from], &message(to, "1"), &mut effects);
                let together = places[from].is_some() && places[from] == places[to];
                prop_assert_eq!(sent.is_ok(), together);
                let reached = matches!(&effects[..], [Effect::Deliver { to: line, .. }] if *line == lines[to]);
                prop_assert_eq!(reached, together);
                prop_assert!(together || effects.is_empty());
            }
        }
    }
}

#[test]
fn a_rate_is_kept_for_long_and_a_burst_is_taken_at_once() {
    let mut limits = limits();
    (limits.per_second, limits.burst, limits.strikes) = (10, 5, 1000);
    let mut bucket = bucket::Bucket::full(&limits, Timestamp::from_millis(0));
    let mut taken = 0;
    for millis in 0..10_000 {
        taken += u32::from(bucket.take(&limits, Timestamp::from_millis(millis), 1).is_ok());
    }
    assert!((104..=105).contains(&taken), "five at once and ten a second: {taken}");
    let excess = bucket.take(&limits, Timestamp::from_millis(9999), 1).expect_err("too many");
    assert!(excess.retry_after <= Duration::from_millis(100), "{excess:?}");
}
