//! When messages go over the standby link as well, when it stands for the main one, and when to go
//! back.
//!
//! Four things are kept apart. *Hedging*: the main link has been silent for longer than its round trip
//! explains, and all probes of it are late too; what the peer is not known to have goes over the
//! standby as well. A single sign of life from the main link ends that, and costs what was sent twice.
//! *Switching*: it stays silent for twice as long, while the standby answers; now the standby is the
//! connection's way. *An outage*: the standby does not answer either. Nothing is given up then, as the
//! main link's direct path comes back sooner than a relay's TCP does; both are asked on and on.
//! *Healing*: two answers bring a switched connection back; without any, the main link is given up
//! after a while, and dialled anew, if the standby shows that the peer can be reached.
//!
//! A main link that was silent for long is not trusted at once: transports may forget what was in
//! flight. A question on the control streams, which nothing else repeats, shows whether they still
//! carry; if not, the link is given up.

use std::time::Duration;

use tokio::time::Instant;

use super::probes::Probes;

/// Probes of the main link before messages are hedged. On a line that loses a twelfth of all round
/// trips they are lost together with a message once in twenty thousand messages.
const PROBES_BEFORE_HEDGE: u32 = 3;
/// Probes of a main link without a standby before it counts as dead: as [`super::liveness`].
const PROBES_BEFORE_DEATH: u32 = 8;
/// How often the round trip is measured while there is traffic; what has arrived is reported then.
const SAMPLE_EVERY: Duration = Duration::from_secs(1);
/// How often, and for how many answers, on a path that is new.
const FIRST_SAMPLES: (Duration, u32) = (Duration::from_millis(200), 5);
/// How often both are asked while messages are hedged, and later.
const ASK_HEDGED: Duration = Duration::from_millis(100);
const ASK_SWITCHED: Duration = Duration::from_millis(250);
const ASK_IN_THE_DARK: Duration = Duration::from_secs(1);
/// A standby that was heard within this time, or three times what an answer takes, is alive.
const FRESH: Duration = Duration::from_millis(600);
/// After so much silence the control streams are asked whether they still carry.
const DOUBT: Duration = Duration::from_secs(2);
/// How long they have to answer, at least.
const CONTROL_ANSWER: Duration = Duration::from_millis(2500);
/// An answer that took longer says nothing of the way: it waited out something.
const LONGEST_SAMPLE: Duration = Duration::from_secs(1);

/// When to do what.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Terms {
    /// The least silence after which messages are hedged.
    pub(crate) hedge_after: Duration,
    /// The silence after which a main link is given up, if the standby lives.
    pub(crate) heal_after: Duration,
    /// The least silence after which a main link is given up while there is no standby.
    pub(crate) redial_after: Duration,
    /// Whether this side dials.
    pub(crate) redials: bool,
}

/// One of a connection's links.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    Main = 0,
    Standby = 1,
}

/// How far the standby is relied on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Reliance {
    /// It is only there.
    #[default]
    None,
    /// Messages go over it too.
    Hedged,
    /// It stands for the main link.
    Switched,
}

/// What to do now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// Wait until then, or, without a time, until something is sent or heard.
    Wait(Option<Instant>),
    /// Send this probe, and ask again.
    Probe(Way, u64),
    /// Ask this on the control stream.
    Ping(u64),
    /// Rely on the standby so far from now on.
    Rely(Reliance),
    /// Give the main link up: nothing came over it for this long, or its control streams are stuck.
    Redial(Duration),
}

/// What has come to pass on both links, as counts that only grow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Seen {
    /// Messages given.
    pub(crate) sent: u64,
    /// Heard on the main link, probes and answers apart.
    pub(crate) main: u64,
    /// Heard on the standby.
    pub(crate) standby: u64,
}

/// The watch over a main link and its standby.
#[derive(Debug)]
pub(crate) struct Standby {
    terms: Terms,
    main: Side,
    standby: Side,
    reliance: Reliance,
    /// What was said last.
    told: Reliance,
    /// When the main link's present silence began, if an answer is due.
    since: Option<Instant>,
    /// What had been sent when it began.
    sent: u64,
    /// Probes of the present silence.
    asked: u32,
    /// Signs of life of the main link while the standby stands for it.
    returns: u32,
    /// Nobody can do anything about its silence from here.
    dead: bool,
    /// When the round trip is measured next, and what had been sent and heard the last time.
    next_sample: Option<Instant>,
    sampled: (u64, u64),
    /// The question on the control stream, and until when the answer must have come.
    ping: Option<Ping>,
    next_ping: u64,
}

#[derive(Clone, Copy, Debug)]
struct Ping {
    number: u64,
    asked: bool,
    until: Instant,
}

/// What is known of one of both links.
#[derive(Debug, Default)]
struct Side {
    there: bool,
    probes: Probes,
    heard: u64,
    answered: bool,
    /// When it was heard last.
    last: Option<Instant>,
    next_ask: Option<Instant>,
}

impl Side {
    /// Whether anything has come since the last look.
    fn take_news(&mut self, now: Instant, heard: u64) -> Option<News> {
        let answered = std::mem::take(&mut self.answered);
        let spoke = std::mem::replace(&mut self.heard, heard) != heard;
        let news = if spoke { Some(News::Spoke) } else { answered.then_some(News::Answered) };
        if news.is_some() {
            self.last = Some(now);
        }
        news
    }

    fn on_link(&mut self, rtt: Option<Duration>) {
        self.probes.on_link(rtt);
        self.there = true;
        self.answered = false;
        self.last = None;
        self.next_ask = None;
    }

    fn ask_if_due(&mut self, now: Instant, every: Duration) -> Option<u64> {
        if !self.there || self.next_ask.is_some_and(|at| at > now) {
            return None;
        }
        self.next_ask = Some(now + every);
        Some(self.probes.ask(now))
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum News {
    /// Something of the connection's.
    Spoke,
    /// The answer to a probe.
    Answered,
}

impl Standby {
    pub(crate) fn new(terms: Terms) -> Self {
        Self {
            terms,
            main: Side::default(),
            standby: Side::default(),
            reliance: Reliance::None,
            told: Reliance::None,
            since: None,
            sent: 0,
            asked: 0,
            returns: 0,
            dead: false,
            next_sample: None,
            sampled: (0, 0),
            ping: None,
            next_ping: 0,
        }
    }

    /// There is a link, whose transport has measured this round trip.
    pub(crate) fn on_link(&mut self, way: Way, rtt: Option<Duration>) {
        match way {
            Way::Main => {
                self.main.on_link(rtt);
                self.reliance = Reliance::None;
                self.since = None;
                self.dead = false;
                self.next_sample = None;
                self.ping = None;
            }
            Way::Standby => self.standby.on_link(rtt),
        }
    }

    /// The main link has another path, of which its transport says this.
    pub(crate) fn on_path(&mut self, rtt: Option<Duration>) {
        self.main.probes.on_path(rtt);
        self.next_sample = None;
    }

    /// A link is gone.
    pub(crate) const fn on_lost(&mut self, way: Way) {
        match way {
            Way::Main => {
                self.main.there = false;
                self.ping = None;
            }
            Way::Standby => {
                self.standby.there = false;
                self.reliance = Reliance::None;
            }
        }
    }

    /// The answer to a probe has come.
    pub(crate) fn on_answer(&mut self, way: Way, probe: u64, now: Instant) {
        let side = match way {
            Way::Main => &mut self.main,
            Way::Standby => &mut self.standby,
        };
        let at_most = LONGEST_SAMPLE.max(side.probes.quiet() * 4);
        side.answered |= side.probes.has_asked(probe);
        side.probes.on_answer(probe, now, at_most);
    }

    /// The answer to a question on the control stream has come.
    pub(crate) fn on_pong(&mut self, number: u64) {
        self.ping = self.ping.filter(|ping| ping.number != number);
    }

    /// After how much silence of the main link messages are hedged; without a standby, after how much
    /// it is given up.
    pub(crate) fn limit(&self) -> Duration {
        let quiet = self.main.probes.quiet();
        if self.standby.there {
            self.terms.hedge_after.max(quiet * 2)
        } else {
            self.terms.redial_after.max(quiet * 3)
        }
    }

    /// Whether the main link is silent for longer than it should be.
    pub(crate) fn is_suspect(&self, now: Instant) -> bool {
        let silence =
            self.since.map_or(Duration::ZERO, |since| now.saturating_duration_since(since));
        let share = if self.standby.there { self.limit() } else { self.limit() / 2 };
        self.main.there && (self.dead || self.reliance > Reliance::None || silence >= share)
    }

    /// What to do, given what has come to pass so far.
    pub(crate) fn look(&mut self, now: Instant, seen: Seen) -> Step {
        self.standby.take_news(now, seen.standby);
        self.hear_main(now, seen);
        if !self.main.there && self.standby.there {
            self.reliance = Reliance::Switched;
        }
        if self.told != self.reliance {
            self.told = self.reliance;
            return Step::Rely(self.reliance);
        }
        let step = match self.reliance {
            Reliance::None => self.watch(now, seen),
            Reliance::Hedged | Reliance::Switched => self.compare(now),
        };
        if self.told != self.reliance {
            // The step was to look again at once.
            self.told = self.reliance;
            return Step::Rely(self.reliance);
        }
        step
    }

    fn hear_main(&mut self, now: Instant, seen: Seen) {
        let news = self.main.take_news(now, seen.main);
        if let Some(news) = news {
            let silence = self.since.map_or(Duration::ZERO, |since| now - since);
            self.dead = false;
            self.asked = 0;
            if self.reliance == Reliance::Switched && self.main.there {
                self.returns += 1;
                // One answer may be a straggler of what is over.
                self.main.next_ask = None;
            }
            let back = self.reliance == Reliance::Hedged
                || self.reliance == Reliance::Switched && self.returns >= 2;
            if back && self.main.there {
                self.reliance = Reliance::None;
            }
            if back && silence >= DOUBT {
                let answer = CONTROL_ANSWER.max(self.main.probes.quiet() * 8);
                let number = self.next_ping;
                self.next_ping += 1;
                self.ping = Some(Ping { number, asked: false, until: now + answer });
            }
            // It lives, or answered. Whether it lives on is worth a question, later.
            match news {
                News::Spoke => (self.since, self.sent) = (Some(now), seen.sent),
                News::Answered if self.reliance == Reliance::None => self.since = None,
                News::Answered => {}
            }
        }
        if self.since.is_none() && seen.sent != self.sent {
            (self.since, self.sent) = (Some(now), seen.sent);
            self.asked = 0;
        }
    }

    /// While nothing is wrong, or nothing can be done about it.
    fn watch(&mut self, now: Instant, seen: Seen) -> Step {
        if !self.main.there {
            return Step::Wait(None);
        }
        let mut wake = None;
        let mut wait_until =
            |at: Instant| wake = Some(wake.map_or(at, |wake: Instant| wake.min(at)));
        if let Some(ping) = &mut self.ping {
            if !std::mem::replace(&mut ping.asked, true) {
                return Step::Ping(ping.number);
            }
            if now >= ping.until {
                self.ping = None;
                if self.terms.redials {
                    return self.redial(CONTROL_ANSWER);
                }
            } else {
                wait_until(ping.until);
            }
        }
        let Some(since) = self.since else { return Step::Wait(wake) };
        let (silence, limit) = (now.saturating_duration_since(since), self.limit());
        let before = if self.standby.there { PROBES_BEFORE_HEDGE } else { PROBES_BEFORE_DEATH };
        if silence >= limit && self.standby.there {
            self.reliance = Reliance::Hedged;
            (self.standby.last, self.returns, self.ping) = (None, 0, None);
            (self.main.next_ask, self.standby.next_ask) = (None, None);
            return Step::Wait(Some(now));
        }
        if silence >= limit {
            if self.terms.redials {
                return self.redial(silence);
            }
            // Nobody can do anything about it from here: it is asked from the beginning.
            (self.since, self.asked, self.dead) = (Some(now), 0, true);
            return Step::Wait(Some(now));
        }
        let quiet = self.main.probes.quiet().min(limit / 3).max(limit / 8);
        // The last probe goes early enough to be answered in time.
        let due = since + quiet + (limit - quiet * 2) / before * self.asked;
        if self.asked < before && now >= due {
            self.asked += 1;
            return Step::Probe(Way::Main, self.main.probes.ask(now));
        }
        wait_until(if self.asked < before { due } else { since + limit });
        if self.asked == 0 && self.sampled != (seen.sent, seen.main) {
            match self.next_sample.filter(|&at| at > now) {
                Some(at) => wait_until(at),
                None => {
                    self.sampled = (seen.sent, seen.main);
                    let (soon, first) = FIRST_SAMPLES;
                    let is_new = self.main.probes.samples() < first;
                    self.next_sample = Some(now + if is_new { soon } else { SAMPLE_EVERY });
                    return Step::Probe(Way::Main, self.main.probes.ask(now));
                }
            }
        }
        Step::Wait(wake)
    }

    /// While messages go over the standby.
    fn compare(&mut self, now: Instant) -> Step {
        let since = *self.since.get_or_insert(now);
        let (silence, limit) = (now.saturating_duration_since(since), self.limit());
        let fresh = FRESH.max(self.standby.probes.quiet() * 3);
        let alive =
            self.standby.last.is_some_and(|last| now.saturating_duration_since(last) < fresh);
        let switched = self.reliance == Reliance::Switched;
        if !switched && silence >= limit * 2 && self.standby.last.is_some() {
            (self.reliance, self.returns) = (Reliance::Switched, 0);
            return Step::Wait(Some(now));
        }
        let may_heal = switched && self.main.there && self.terms.redials && alive;
        if may_heal && silence >= self.terms.heal_after {
            return self.redial(silence);
        }
        let every = match (silence >= DOUBT && !alive, switched) {
            (true, _) => ASK_IN_THE_DARK,
            (false, true) => ASK_SWITCHED,
            (false, false) => ASK_HEDGED,
        };
        if let Some(probe) = self.main.ask_if_due(now, every) {
            return Step::Probe(Way::Main, probe);
        }
        if let Some(probe) = self.standby.ask_if_due(now, every) {
            return Step::Probe(Way::Standby, probe);
        }
        let mut wake = now + every;
        let asks = [&self.main, &self.standby].map(|side| side.next_ask.filter(|_| side.there));
        for at in asks.into_iter().flatten() {
            wake = wake.min(at);
        }
        let next = if switched { since + self.terms.heal_after } else { since + limit * 2 };
        if next > now {
            wake = wake.min(next);
        }
        Step::Wait(Some(wake))
    }

    /// The main link goes: it is not looked at any more.
    fn redial(&mut self, silence: Duration) -> Step {
        self.on_lost(Way::Main);
        Step::Redial(silence)
    }
}

#[cfg(test)]
mod tests;
