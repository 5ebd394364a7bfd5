//! The life of a session, whatever happens in it.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use p2p_coordinator_api::{Nonce, PlayerId, RefusalReason, SessionStatus, Timestamp};
use proptest::prelude::*;
use proptest::test_runner::TestCaseError;

use super::super::session::Hold;
use super::super::{Refusal, Seat, SessionRecord};
use super::START;
use super::session::{PLACES, fresh, player};

/// More than there are places, so that there is a crowd.
const PLAYERS: u8 = 5;

#[derive(Clone, Copy, Debug)]
enum Token {
    Any,
    Newest,
    Earlier,
    Foreign,
}

#[derive(Clone, Debug)]
enum Command {
    Activate,
    Pause,
    End,
    Fail,
    Restart,
    Add(u8),
    Reserve(u8, u64),
    Remove(u8, Token),
    /// The host reports those of the newest 64 tokens whose bit is set.
    Reconcile(u64),
    Pass(u64),
}

fn commands() -> impl Strategy<Value = Vec<Command>> {
    let token = prop_oneof![
        Just(Token::Any),
        Just(Token::Newest),
        Just(Token::Earlier),
        Just(Token::Foreign)
    ];
    let command = prop_oneof![
        3 => Just(Command::Activate),
        2 => Just(Command::Pause),
        1 => Just(Command::End),
        1 => Just(Command::Fail),
        2 => Just(Command::Restart),
        8 => (0..PLAYERS).prop_map(Command::Add),
        16 => (0..PLAYERS, 0..1000_u64).prop_map(|(who, millis)| Command::Reserve(who, millis)),
        8 => (0..PLAYERS, token).prop_map(|(who, token)| Command::Remove(who, token)),
        8 => any::<u64>().prop_map(Command::Reconcile),
        6 => (0..700_u64).prop_map(Command::Pass),
    ];
    prop::collection::vec(command, 0..120)
}

/// A session, and what is known of it by watching from outside.
struct Life {
    session: SessionRecord,
    now: Timestamp,
    /// Of every token that was given, in order.
    nonces: Vec<Nonce>,
    /// When it was first active.
    activated: Option<Timestamp>,
    /// When it was over.
    over: Option<Timestamp>,
    taken: u64,
}

impl Life {
    fn new() -> Self {
        let session = fresh();
        Self { session, now: START, nonces: Vec::new(), activated: None, over: None, taken: 0 }
    }

    fn players(&self) -> Vec<PlayerId> {
        self.session.seats.iter().map(|seat| seat.player.clone()).collect()
    }

    fn draw(&mut self) -> Nonce {
        let mut nonce = [0; 16];
        let number = u64::try_from(self.nonces.len()).unwrap();
        // Not in the order of their bytes, as real ones.
        nonce[..8].copy_from_slice(&number.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes());
        self.nonces.push(Nonce(nonce));
        Nonce(nonce)
    }

    fn nonce_for(&self, who: &PlayerId, token: Token) -> Option<Nonce> {
        let seat = self.session.seats.iter().find(|seat| seat.player == *who);
        let hold = seat.and_then(|seat| seat.hold.as_ref());
        match token {
            Token::Any => None,
            Token::Newest => hold.and_then(|hold| hold.nonces.last().copied()),
            Token::Earlier => hold.and_then(|hold| hold.nonces.first().copied()),
            Token::Foreign => Some(Nonce([0xff; 16])),
        }
    }

    fn step(&mut self, command: &Command) -> Result<(), TestCaseError> {
        let (before, players) = (self.session.clone(), self.players());
        let (status, now) = (before.status, self.now);
        match command {
            Command::Activate => {
                let done = self.session.activate(now);
                let allowed = [SessionStatus::Pending, SessionStatus::Paused].contains(&status);
                self.expect(&before, done, allowed)?;
                if allowed {
                    self.activated.get_or_insert(now);
                    let again = u64::from(status == SessionStatus::Paused);
                    prop_assert_eq!(self.session.epoch, before.epoch + again);
                }
            }
            Command::Pause => {
                let done = self.session.pause(now);
                self.expect(&before, done, status == SessionStatus::Active)?;
            }
            Command::End | Command::Fail => {
                let freed = match command {
                    Command::End => self.session.end(now),
                    _ => self.session.fail(now),
                };
                prop_assert_eq!(freed, players, "all that had a place are told");
                self.over.get_or_insert(now);
            }
            Command::Restart => {
                let freed = self.session.restart(now);
                let live = status.is_live();
                prop_assert_eq!(self.session.epoch, before.epoch + u64::from(live));
                self.expect_freed(&before, &freed, is_vouched)?;
            }
            Command::Add(who) => {
                let done = self.session.add(player(*who), now);
                self.expect_seated(&before, &player(*who), done, status.is_live())?;
            }
            Command::Reserve(who, millis) => {
                let (nonce, until) = (self.draw(), now.after(Duration::from_millis(*millis)));
                let done = self.session.reserve(player(*who), nonce, until, now);
                let reserved = done.is_ok();
                self.expect_seated(&before, &player(*who), done, before.is_joinable())?;
                let seat = self.session.seats.iter().find(|seat| seat.player == player(*who));
                if let Some(hold) = seat.and_then(|seat| seat.hold.as_ref()).filter(|_| reserved) {
                    prop_assert_eq!(hold.nonces.last(), Some(&nonce));
                    // One that a server gave stays the server's.
                    let vouched = before
                        .seats
                        .iter()
                        .any(|seat| seat.player == player(*who) && is_vouched(seat.hold.as_ref()));
                    prop_assert_eq!(hold.reserved_until, (!vouched).then_some(until));
                }
            }
            Command::Remove(who, token) => {
                let nonce = self.nonce_for(&player(*who), *token);
                let newest = self.nonce_for(&player(*who), Token::Newest);
                let vouched = before
                    .seats
                    .iter()
                    .any(|seat| seat.player == player(*who) && is_vouched(seat.hold.as_ref()));
                let right = nonce.is_none() || (nonce == newest && !vouched);
                let allowed = status.is_live() && before.seats(&player(*who)) && right;
                let done = self.session.remove(&player(*who), nonce, now);
                self.expect(&before, done, allowed)?;
                let rest = players.into_iter().filter(|other| !allowed || *other != player(*who));
                prop_assert_eq!(self.players(), rest.collect::<Vec<_>>());
            }
            Command::Reconcile(bits) => {
                let newest = self.nonces.iter().rev().enumerate();
                let mut present: Vec<_> = newest
                    .filter(|(place, _)| *place < 64 && bits >> place & 1 == 1)
                    .map(|(_, nonce)| *nonce)
                    .collect();
                present.sort();
                let is_there =
                    |hold: &Hold| hold.nonces.iter().any(|nonce| present.contains(nonce));
                let begins =
                    before.seats.iter().any(|seat| seat.hold.as_ref().is_some_and(is_there));
                if begins && status == SessionStatus::Pending {
                    self.activated = Some(now);
                }
                let freed = self.session.reconcile(&present, now);
                self.expect_freed(&before, &freed, |hold| {
                    hold.is_none_or(|hold| {
                        hold.reserved_until.is_none_or(|until| now < until)
                            || hold.nonces.iter().any(|nonce| present.contains(nonce))
                    })
                })?;
            }
            Command::Pass(millis) => self.now = now.after(Duration::from_millis(*millis)),
        }
        self.watch(&before)
    }

    /// Done if it is allowed, and otherwise refused without a change.
    fn expect(
        &self,
        before: &SessionRecord,
        done: Result<(), Refusal>,
        allowed: bool,
    ) -> Result<(), TestCaseError> {
        prop_assert_eq!(done.is_ok(), allowed, "{:?}", done);
        if !allowed {
            prop_assert_eq!(&self.session, before);
        }
        Ok(())
    }

    fn expect_seated(
        &mut self,
        before: &SessionRecord,
        who: &PlayerId,
        done: Result<bool, Refusal>,
        open: bool,
    ) -> Result<(), TestCaseError> {
        let (known, room) = (before.seats(who), before.seats.len() < PLACES as usize);
        match done {
            Ok(new) => {
                prop_assert!(open && (known || room));
                prop_assert_eq!(new, !known);
                prop_assert!(self.session.seats(who));
                self.taken += u64::from(new);
            }
            Err(refusal) => {
                let reason = if open { RefusalReason::Full } else { RefusalReason::State };
                prop_assert_eq!(refusal.reason(), reason);
                prop_assert!(!open || !known && !room);
                prop_assert_eq!(&self.session, before);
            }
        }
        Ok(())
    }

    /// Who does not stay has lost the place, and nobody else.
    fn expect_freed(
        &self,
        before: &SessionRecord,
        freed: &[PlayerId],
        stays: impl Fn(Option<&Hold>) -> bool,
    ) -> Result<(), TestCaseError> {
        let (kept, lost): (Vec<_>, Vec<_>) =
            before.seats.iter().cloned().partition(|seat| stays(seat.hold.as_ref()));
        // But for what the host last said of them.
        let plain = |seats: &[Seat]| {
            let hold = |hold: &Hold| (hold.nonces.clone(), hold.reserved_until);
            let plain = |seat: &Seat| (seat.player.clone(), seat.hold.as_ref().map(hold));
            seats.iter().map(plain).collect::<Vec<_>>()
        };
        prop_assert_eq!(plain(&self.session.seats), plain(&kept));
        let lost: Vec<_> = lost.into_iter().map(|seat| seat.player).collect();
        prop_assert_eq!(freed, lost);
        Ok(())
    }

    /// What is true after every step.
    fn watch(&self, before: &SessionRecord) -> Result<(), TestCaseError> {
        let session = &self.session;
        prop_assert!(session.seats.len() <= PLACES as usize);
        let different: BTreeSet<_> = session.seats.iter().map(|seat| &seat.player).collect();
        prop_assert_eq!(different.len(), session.seats.len(), "nobody has two places");
        prop_assert!(session.epoch >= before.epoch);
        prop_assert_eq!(session.served, self.taken);
        prop_assert_eq!(session.started_at, self.activated);
        prop_assert_eq!(session.ended_at, self.over);
        prop_assert_eq!(session.ended_at.is_some(), !session.status.is_live());
        if !before.status.is_live() {
            prop_assert_eq!(session, before, "nothing changes what is over");
        }
        if !session.status.is_live() {
            prop_assert!(session.seats.is_empty());
        }
        if session.status == SessionStatus::Active || session.status == SessionStatus::Paused {
            prop_assert!(session.started_at.is_some());
        }
        if session != before {
            prop_assert_eq!(session.updated_at, self.now);
        }
        for hold in session.seats.iter().filter_map(|seat| seat.hold.as_ref()) {
            prop_assert!((1..=Hold::MAX_NONCES).contains(&hold.nonces.len()));
        }
        // Those who stay keep their order, and newcomers are last.
        let places: BTreeMap<_, _> =
            before.seats.iter().enumerate().map(|(place, seat)| (&seat.player, place)).collect();
        let order: Vec<_> = session
            .seats
            .iter()
            .map(|seat| places.get(&seat.player).copied().unwrap_or(usize::MAX))
            .collect();
        prop_assert!(order.is_sorted());
        Ok(())
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn a_session_keeps_its_rules_through_any_life(commands in commands()) {
        let mut life = Life::new();
        for command in &commands {
            life.step(command)?;
        }
    }
}

/// Whether a server gave the place.
fn is_vouched(hold: Option<&Hold>) -> bool {
    hold.is_none_or(|hold| hold.reserved_until.is_none())
}
